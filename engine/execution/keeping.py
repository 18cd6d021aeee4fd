"""The IO manager of runs whose job names none: files in the folder of the instance, or the memory of this process."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from ..artifacts.io import FilesIOManager, InMemoryIOManager, IOManager
from ..definitions.resource import ResourceDefinition
from ..definitions.typed_config import Config
from ..errors import UsageError
from .deployment import Deployment

#: below the local artifacts, which several logs may share, and with a folder in it for each of them; no run's folder is
#: called so: `~` has a hash behind it there
FOLDER = "values~"

#: what runs of one instance keep in memory: later runs in this process find the assets of earlier ones
_memories: WeakKeyDictionary[Deployment, InMemoryIOManager] = WeakKeyDictionary()


class IOManagerConfig(Config):
    """The run config of the default IO manager: `resources: {io_manager: {config: {url: "s3://bucket/values"}}}`."""

    #: `files`, `memory`, or None: files if the instance outlives this process and has a folder on this machine
    kind: Literal["files", "memory"] | None = None
    url: str | None = None  #: where files are kept: a folder or a URL of fsspec; by default a folder of the log's own
    format: Literal["auto", "json", "msgpack", "parquet", "pickle"] = "auto"


def default_io_manager(instance: Deployment) -> ResourceDefinition:
    """The resource `io_manager` of a job that has none."""

    def make(config: IOManagerConfig) -> IOManager:
        if config.kind == "memory" or (config.kind is None and config.url is None and _is_fleeting(instance)):
            return _memories.setdefault(instance, InMemoryIOManager())
        return FilesIOManager(config.url or _folder(instance), format=config.format)

    return ResourceDefinition(
        fn=make,
        name="io_manager",
        config_type=IOManagerConfig,
        takes_context=False,
        description="keeps values as files, or in memory",
    )


def _folder(instance: Deployment) -> Path:
    """The folder of the log, by its id: two logs beside each other have assets of the same keys."""
    return instance.local_artifact_storage.base_dir / FOLDER / str(instance.log.head().log_id)


def _is_fleeting(instance: Deployment) -> bool:
    """Whether values need not outlive the process, or cannot: there is no folder on this machine to keep them in."""
    if instance.is_ephemeral:
        return True
    try:
        instance.local_artifact_storage  # noqa: B018  # raises if the instance has no folder
    except UsageError:
        return True
    return False
