"""What coordinators, launchers and schedulers have in common: they belong to an instance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol
from weakref import ref

from ..config.configurable import ConfigurableClass
from ..errors import UsageError
from ..log.log import EventLog

if TYPE_CHECKING:
    from ..artifacts.storage import LocalArtifactStorage
    from ..config.ref import InstanceRef
    from ..views.records import Run
    from .launcher import RunLauncher


class Deployment(Protocol):
    """The instance, as its parts see it."""

    @property
    def log(self) -> EventLog: ...
    @property
    def run_launcher(self) -> RunLauncher: ...
    @property
    def local_artifact_storage(self) -> LocalArtifactStorage: ...
    def get_run_by_id(self, run_id: str) -> Run | None: ...
    def launch_run(self, run_id: str) -> Run: ...
    def get_ref(self) -> InstanceRef: ...


class InstancePart(ConfigurableClass):
    """A part that works on its instance, which attaches it when it is first used."""

    _attached: ref[Deployment] | None = None

    def attach(self, instance: Deployment) -> None:
        """Say which instance it belongs to. It is held weakly: the instance owns the part."""
        self._attached = ref(instance)

    @property
    def instance(self) -> Deployment:
        """The instance it belongs to. Raises UsageError if there is none, or it is gone."""
        instance = self._attached() if self._attached is not None else None
        if instance is None:
            raise UsageError(f"{type(self).__name__} belongs to no instance; ask an instance for it, or attach it")
        return instance

    def close(self) -> None:
        """Free what it holds. Idempotent."""
