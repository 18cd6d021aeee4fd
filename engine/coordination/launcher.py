"""Launchers start the worker of a run, and look after it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from ..errors import UsageError
from ..events.errorinfo import ErrorInfo
from ..events.event import Fact
from ..events.log import EngineEvent
from ..events.run import FailureReason, RunCanceled, RunFailed, RunLaunched, RunStarting, RunStatus
from .part import Deployment, InstancePart
from .transition import existing, record, transition

if TYPE_CHECKING:
    from ..views.records import Run


BEFORE_WORKER = "before its worker was started"


class WorkerStatus(StrEnum):
    """What is known of the worker of a run."""

    RUNNING = "RUNNING"
    GONE = "GONE"  #: it ended, in good order or not; the run says which
    UNKNOWN = "UNKNOWN"  #: it cannot be asked from here


class WorkerHealth(NamedTuple):
    """What is known of a worker, and in words."""

    status: WorkerStatus
    message: str


class RunLauncher(InstancePart, ABC):
    """Starts workers. What is needed to find one again is its handle: in the log, so any process may look after it."""

    @abstractmethod
    def start_worker(self, run: Run) -> dict[str, str]:
        """Ask for a worker that executes the run, and return without waiting for it; its handle, without secrets."""

    @abstractmethod
    def terminate(self, run_id: str) -> bool:
        """Ask the worker to stop, and return without waiting; False if there is none that could be asked."""

    @abstractmethod
    def check_health(self, run_id: str) -> WorkerHealth:
        """What is known of the worker of the run."""

    @abstractmethod
    def join(self, timeout_s: float = 30.0) -> bool:
        """Wait for the workers that this object started; False if one still runs after `timeout_s` seconds."""

    def debug_info(self, run_id: str) -> str:
        """For people who look for the worker: its handle, and how it is."""
        handle = self.handle(run_id)
        if handle is None:
            return f"run {run_id} was not launched"
        known = ", ".join(f"{name} {value}" for name, value in handle.handle.items())
        return f"{handle.launcher}: {known}; {self.check_health(run_id).message}"

    def handle(self, run_id: str) -> RunLaunched | None:
        """How to find the worker that was launched last; None if none was."""
        found = self.instance.log.read_shard(run_id, types=["RUN_LAUNCHED"], newest_first=True, limit=1).records
        return found[0].event.fact if found else None


def launch(instance: Deployment, run_id: str, *, dequeued: bool = False) -> Run:
    """Record RUN_STARTING, start the worker of the run, record its handle; the run after that.

    `dequeued`: whoever calls has taken the run out of the queue and recorded RUN_STARTING itself. A launch that fails
    ends the run with LAUNCH_FAILURE, and the error goes on. Raises UsageError for a run that is not NOT_STARTED (with
    `dequeued`: STARTING), and if no launcher is configured; nothing is recorded then.
    """
    launcher = instance.run_launcher
    wanted = RunStatus.STARTING if dequeued else RunStatus.NOT_STARTED

    def starting(run: Run) -> Sequence[Fact]:
        if run.status is not wanted:
            raise UsageError(f"run {run_id} is {run.status}; only a run that is {wanted} can be launched so")
        # Whoever records it launches the run, and nobody else: of two that try, the second finds it STARTING.
        return [] if dequeued else [RunStarting()]

    transition(instance, run_id, starting)
    run = existing(instance, run_id)
    if run.status is not RunStatus.STARTING:
        return _canceled_before(instance, run_id)
    try:
        handle = launcher.start_worker(run)
    except Exception as error:
        _record_failure(instance, run_id, error)
        raise
    record(instance, run_id, [RunLaunched(launcher=type(launcher).__name__, handle=handle)])
    run = existing(instance, run_id)
    if run.status is RunStatus.CANCELING:  # by somebody who found no handle of the worker yet
        launcher.terminate(run_id)
    return run


def _canceled_before(instance: Deployment, run_id: str) -> Run:
    """The run was canceled while it was starting; its worker is not started, so nobody else ends it."""

    def canceled(run: Run) -> Sequence[Fact]:
        return [RunCanceled(reason=BEFORE_WORKER)] if run.status is RunStatus.CANCELING else []

    transition(instance, run_id, canceled)
    return existing(instance, run_id)


def _record_failure(instance: Deployment, run_id: str, error: Exception) -> None:
    info = ErrorInfo.from_exception(error)

    def failed(run: Run) -> Sequence[Fact]:
        note = EngineEvent(text=f"the launch failed: {error}", error=info)
        if run.status is RunStatus.CANCELING:  # in between; there is no worker that could end it
            return [note, RunCanceled(reason=BEFORE_WORKER)]
        if run.status is not RunStatus.STARTING:
            return [note]
        return [note, RunFailed(reason=FailureReason.LAUNCH_FAILURE, error=info)]

    transition(instance, run_id, failed)
