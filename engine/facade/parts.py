"""The parts of a deployment beside its log: made of the configuration when they are first used."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UsageError
from .runs import RunQuestions

if TYPE_CHECKING:
    from ..artifacts import ComputeLogManager, LocalArtifactStorage
    from ..artifacts.files import FileManager
    from ..config.configuration import Configuration
    from ..config.ref import InstanceRef
    from ..config.secrets import SecretsLoader
    from ..coordination import RunCoordinator, RunLauncher, Scheduler
    from ..views.records import Run

P = TypeVar("P")

STORAGE = "storage"  #: folder of the root where files are kept unless the configuration says otherwise
NO_LAUNCHER = """Write into foldlog.yaml, for example:

run_launcher:
  class: ProcessRunLauncher
  config:
    command: [python, -m, my_worker, "{run_id}"]
"""


class Shelf:
    """The parts that were made so far, one of each, also if two threads ask at once."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._parts: dict[str, Any] = {}
        self._closed = False

    def get(self, key: str, make: Callable[[], P]) -> P:
        """The part, made now if it was not before."""
        with self._lock:
            if self._closed:
                raise UsageError(f"the instance is closed, and gives no {key} any more")
            if key not in self._parts:
                self._parts[key] = make()
            part: P = self._parts[key]
            return part

    def close(self) -> None:
        """Close those that can be closed. Idempotent."""
        with self._lock:
            self._closed = True
            parts, self._parts = list(self._parts.values()), {}
        with ExitStack() as last_first:  # one that raises keeps no other from being closed
            for part in parts:
                if callable(close := getattr(part, "close", None)):
                    last_first.callback(close)


class Parts(RunQuestions):
    """Artifacts, compute logs, files, coordinator, launcher, scheduler, secrets; and what they do with a run."""

    _shelf: Shelf

    @property
    @abstractmethod
    def _configuration(self) -> Configuration:
        """What is configured."""

    @property
    @abstractmethod
    def root_directory(self) -> Path:
        """The folder of the deployment's local files."""

    @abstractmethod
    def get_ref(self) -> InstanceRef:
        """What opens this instance in another process."""

    def get_settings(self, key: str) -> dict[str, Any]:
        """A setting of the configuration that is no part, as `retention`; empty if it is not set.

        Raises UsageError for a key that is none, or a value that is wrong.
        """
        return self._configuration.settings(key)

    @property
    def local_artifact_storage(self) -> LocalArtifactStorage:
        """Where files of runs lie on this machine; by default the folder `storage` of the root."""
        from ..artifacts import LocalArtifactStorage

        return self._part(
            "local_artifacts", LocalArtifactStorage, lambda: LocalArtifactStorage(self.root_directory / STORAGE)
        )

    @property
    def compute_log_manager(self) -> ComputeLogManager:
        """What keeps the output of steps; by default files beside the artifacts."""
        from ..artifacts import ComputeLogManager, LocalComputeLogManager

        def default() -> LocalComputeLogManager:
            return LocalComputeLogManager(self.local_artifact_storage.base_dir)

        return self._part("compute_logs", ComputeLogManager, default)

    @property
    def file_manager(self) -> FileManager:
        """What keeps files of steps; by default on the store of a log of objects, else beside the artifacts."""
        from ..artifacts.beside import FILES, beside_objects
        from ..artifacts.files import FileManager, FsspecFileManager, LocalFileManager
        from ..artifacts.storage import FILES_OF_ALL

        def default() -> FileManager:
            if (url := beside_objects(self.log.backend.url, FILES)) is not None:
                return FsspecFileManager(url)
            return LocalFileManager(self.local_artifact_storage.base_dir / FILES_OF_ALL)

        return self._part("file_manager", FileManager, default)

    @property
    def run_coordinator(self) -> RunCoordinator:
        """What decides when a run is launched; by default at once."""
        from ..coordination import DefaultRunCoordinator, RunCoordinator

        return self._part("run_coordinator", RunCoordinator, DefaultRunCoordinator)

    @property
    def run_launcher(self) -> RunLauncher:
        """What starts the workers of runs. Raises UsageError, with what to write, if none is configured."""
        from ..coordination import RunLauncher

        return self._part("run_launcher", RunLauncher, _no_launcher)

    @property
    def scheduler(self) -> Scheduler:
        """What turns schedules on and off."""
        from ..coordination import DaemonScheduler, Scheduler

        return self._part("scheduler", Scheduler, DaemonScheduler)

    @property
    def secrets_loader(self) -> SecretsLoader:
        """What `{env: NAME}` stands for where the environment lacks it; by default the file `.env` of the root."""
        return self._shelf.get("secrets", self._configuration.secrets_loader)

    def submit_run(self, run_id: str) -> Run:
        """Hand a run that was created to the coordinator; the run after that.

        One that was submitted before is returned as it is, with a warning. Raises UsageError if there is no such run.
        """
        return self.run_coordinator.submit_run(run_id)

    def cancel_run(self, run_id: str) -> bool:
        """Stop a run: at once if it has no worker yet, else its worker is asked to. False if it is over.

        Raises UsageError if there is no such run.
        """
        return self.run_coordinator.cancel_run(run_id)

    def launch_run(self, run_id: str) -> Run:
        """Start the worker of a run now, past the queue; the run after that.

        A launch that fails ends the run with LAUNCH_FAILURE, and its error is raised. Raises UsageError for a run that
        is not NOT_STARTED, and if no launcher is configured.
        """
        from ..coordination.launcher import launch

        return launch(self, run_id)

    def _part(self, key: str, kind: type[P], default: Callable[[], P]) -> P:
        def make() -> P:
            from ..coordination.part import InstancePart

            part = self._configuration.make(key, kind) or default()
            if isinstance(part, InstancePart):
                part.attach(self)
            return part

        return self._shelf.get(key, make)


def _no_launcher() -> RunLauncher:
    error = UsageError("no run_launcher is configured, so this instance cannot start the worker of a run")
    error.remedy = NO_LAUNCHER
    raise error
