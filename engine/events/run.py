"""The life of a run. Recorded in the run's own shard, which says the run id."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Topic
from .key import AssetCheckKey, AssetKey

__all__ = [
    "FailureReason",
    "RunCanceled",
    "RunCanceling",
    "RunCreated",
    "RunDequeued",
    "RunEnqueued",
    "RunFailed",
    "RunLaunched",
    "RunResumed",
    "RunStarted",
    "RunStarting",
    "RunStatus",
    "RunSucceeded",
    "RunSuspended",
    "RunTagsAdded",
    "RunTagsRemoved",
]

_END = Topic.RUN | Topic.POOL | Topic.QUEUE  # the end of a run frees its slots and its place


class RunStatus(StrEnum):
    """Where a run is in its life."""

    QUEUED = "QUEUED"
    NOT_STARTED = "NOT_STARTED"
    MANAGED = "MANAGED"  #: another scheduler runs it; foldlog only keeps its history
    STARTING = "STARTING"
    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"

    @property
    def is_finished(self) -> bool:
        """Whether nothing can follow: the first of these three, by position, stands."""
        return self in _FINISHED

    @property
    def is_in_progress(self) -> bool:
        """Whether the run takes up a place of the queue's `max_concurrent_runs`."""
        return self in _IN_PROGRESS


_FINISHED = frozenset({RunStatus.SUCCESS, RunStatus.FAILURE, RunStatus.CANCELED})
_IN_PROGRESS = frozenset({RunStatus.STARTING, RunStatus.STARTED, RunStatus.CANCELING})


class FailureReason:
    """Why a run failed, as `RunFailed.reason` says it. Text, so that an older reader takes a newer reason as it is."""

    STEP_FAILURE = "STEP_FAILURE"
    RUN_EXCEPTION = "RUN_EXCEPTION"
    JOB_INITIALIZATION_FAILURE = "JOB_INITIALIZATION_FAILURE"
    START_TIMEOUT = "START_TIMEOUT"
    MAX_RUNTIME = "MAX_RUNTIME"
    UNEXPECTED_TERMINATION = "UNEXPECTED_TERMINATION"
    LAUNCH_FAILURE = "LAUNCH_FAILURE"
    UNKNOWN = "UNKNOWN"


class RunCreated(Fact):
    """A run was born. The first event of its shard, recorded by whoever asks for the run."""

    KIND = Kind("RUN_CREATED", Topic.RUN)

    job_name: str
    tags: dict[str, str] = {}
    run_config: dict[str, Any] = {}  #: plain values: None, bool, int, float, text, lists, dicts with text keys
    status: RunStatus = RunStatus.NOT_STARTED  #: NOT_STARTED, or MANAGED for a run that another scheduler runs
    parent_run_id: str | None = None  #: the run this one repeats or continues
    root_run_id: str | None = None  #: the first of that line
    asset_selection: tuple[AssetKey, ...] | None = None  #: None: all that the job makes
    asset_check_selection: tuple[AssetCheckKey, ...] | None = None
    op_selection: tuple[str, ...] | None = None  #: as the user wrote it
    step_keys: tuple[str, ...] | None = None  #: steps to execute; None: all of the plan. `work[...]`: some keys
    job_snapshot_id: str | None = None
    plan_snapshot_id: str | None = None
    code_location: str | None = None  #: where the job is loaded from
    repository: str | None = None
    pools: dict[str, int] = {}  #: pool to the number of the plan's steps in it
    root_pools: dict[str, int] = {}  #: the same, of the steps that wait for no other


class RunEnqueued(Fact):
    """The run waits to be let in. Recorded by whoever submits it, and again when a launch is put off."""

    KIND = Kind("RUN_ENQUEUED", Topic.RUN | Topic.QUEUE)

    reason: str | None = None  #: why it is put back; None the first time


class RunDequeued(Fact):
    """The run was let in. Recorded by the coordinator, right before RUN_STARTING."""

    KIND = Kind("RUN_DEQUEUED", Topic.RUN | Topic.QUEUE)


class RunStarting(Fact):
    """A worker for the run is being asked for. Recorded by the coordinator."""

    KIND = Kind("RUN_STARTING", Topic.RUN)


class RunLaunched(Fact):
    """A worker for the run was asked for, and this is how to find it. Recorded by the launcher."""

    KIND = Kind("RUN_LAUNCHED", Topic.RUN)

    launcher: str  #: name of the launcher's class or plug-in
    handle: dict[str, str] = {}  #: what the launcher needs to look after the worker: process id, host, job name
    resumed: bool = False  #: in place of a worker that was lost


class RunStarted(Fact):
    """A worker began to execute the plan. Recorded by that worker."""

    KIND = Kind("RUN_START", Topic.RUN)

    host: str | None = None
    process_id: int | None = None


class RunSuspended(Fact):
    """The run rests: nothing executes until it is resumed. Recorded by the run's worker."""

    KIND = Kind("RUN_SUSPENDED", Topic.RUN)

    reason: str | None = None


class RunResumed(Fact):
    """A worker took the run up again, after a rest or after the last worker was lost. Recorded by that worker."""

    KIND = Kind("RUN_RESUMED", Topic.RUN)

    host: str | None = None
    process_id: int | None = None


class RunSucceeded(Fact):
    """Every step that had to succeed did. Recorded by the run's worker."""

    KIND = Kind("RUN_SUCCESS", _END)


class RunFailed(Fact):
    """The run is over and did not do what it should. Recorded by its worker, or by monitoring if that is lost."""

    KIND = Kind("RUN_FAILURE", _END)

    reason: str | None = None  #: one of `FailureReason`, or of a newer release
    error: ErrorInfo | None = None
    failed_step_keys: tuple[str, ...] = ()


class RunCanceling(Fact):
    """Somebody asked that the run stop. Recorded by whoever asks."""

    KIND = Kind("RUN_CANCELING", Topic.RUN | Topic.QUEUE)

    reason: str | None = None


class RunCanceled(Fact):
    """The run was stopped before its end. Recorded by its worker, or by monitoring if that does not answer."""

    KIND = Kind("RUN_CANCELED", _END)

    reason: str | None = None
    error: ErrorInfo | None = None


class RunTagsAdded(Fact):
    """Tags were set on the run; a tag that was there has a new value. Recorded by whoever sets them."""

    KIND = Kind("RUN_TAGS_ADDED", Topic.RUN)

    tags: dict[str, str]


class RunTagsRemoved(Fact):
    """Tags were taken off the run; those it did not have are no matter."""

    KIND = Kind("RUN_TAGS_REMOVED", Topic.RUN)

    keys: tuple[str, ...]
