"""What runs are given where nobody gives it: the IO manager, with files beside the log or values in the memory of this
process; and the file manager of the instance."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from weakref import WeakKeyDictionary

from ..artifacts.beside import VALUES, beside_objects
from ..artifacts.io import FilesIOManager, InMemoryIOManager, IOManager
from ..definitions.definitions import FILE_MANAGER
from ..definitions.job import JobDefinition
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

    #: `files`, `memory`, or None: files if the instance outlives this process, and has a place for them
    kind: Literal["files", "memory"] | None = None
    url: str | None = None  #: where files are kept: a folder or a URL of fsspec; by default a place of the log's own
    format: Literal["auto", "json", "msgpack", "parquet", "pickle"] = "auto"


def default_io_manager(instance: Deployment) -> ResourceDefinition:
    """The resource `io_manager` of a job that has none."""

    def make(config: IOManagerConfig) -> IOManager:
        if config.kind == "memory" or (config.kind is None and config.url is None and _is_fleeting(instance)):
            return _memories.setdefault(instance, InMemoryIOManager())
        return FilesIOManager(config.url or _place(instance), format=config.format)

    return ResourceDefinition(
        fn=make,
        name="io_manager",
        config_type=IOManagerConfig,
        takes_context=False,
        description="keeps values as files, or in memory",
    )


def default_file_manager(instance: Deployment) -> ResourceDefinition:
    """The resource `file_manager` of a job that has none, and a step that requires it."""
    return ResourceDefinition(
        fn=lambda: instance.file_manager,
        name=FILE_MANAGER,
        takes_context=False,
        description="the file manager of the instance",
    )


def requires_file_manager(job: JobDefinition) -> bool:
    """Whether a step, a hook or a resource of the job does."""
    keys = [one.required_resource_keys for one in job.resource_defs.values()]
    for step in job.steps.values():
        keys += [step.op.required_resource_keys, *(hook.required_resource_keys for hook in step.hooks)]
    return any(FILE_MANAGER in one for one in keys)


def _place(instance: Deployment) -> Path | str:
    """The place of the log, by its id: two logs beside each other have assets of the same keys, and so has a log that
    was made where another one had been."""
    log_id = str(instance.log.head().log_id)
    if (url := beside_objects(instance.log.backend.url, VALUES)) is not None:
        return f"{url}/{log_id}"
    return instance.local_artifact_storage.base_dir / FOLDER / log_id


def _is_fleeting(instance: Deployment) -> bool:
    """Whether values need not outlive the process, or cannot: there is no place to keep them in."""
    if instance.is_ephemeral:
        return True
    if beside_objects(instance.log.backend.url, VALUES) is not None:
        return False
    try:
        instance.local_artifact_storage  # noqa: B018  # raises if the instance has no folder
    except UsageError:
        return True
    return False
