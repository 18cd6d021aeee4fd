"""What the views answer with: small frozen records. Times are integer microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..events.key import AssetCheckKey, AssetKey
from ..events.run import RunStatus

if TYPE_CHECKING:
    from ..log.log import EventRecord


class Run(msgspec.Struct, frozen=True):
    """One run."""

    run_id: str
    job_name: str
    status: RunStatus
    tags: dict[str, str] = msgspec.field(default_factory=dict)
    parent_run_id: str | None = None  #: the run this one repeats or continues
    root_run_id: str | None = None  #: the first of that line
    run_config: dict[str, Any] = msgspec.field(default_factory=dict)  #: what follows is as RUN_CREATED says
    asset_selection: tuple[AssetKey, ...] | None = None  #: None: all that the job makes
    asset_check_selection: tuple[AssetCheckKey, ...] | None = None
    op_selection: tuple[str, ...] | None = None  #: as the user wrote it
    step_keys: tuple[str, ...] | None = None  #: None: all of the plan
    job_snapshot_id: str | None = None
    plan_snapshot_id: str | None = None
    code_location: str | None = None
    repository: str | None = None
    pools: dict[str, int] = msgspec.field(default_factory=dict)  #: to the number of the plan's steps in it

    @property
    def is_finished(self) -> bool:
        return self.status.is_finished

    @property
    def is_success(self) -> bool:
        return self.status is RunStatus.SUCCESS

    @property
    def is_failure(self) -> bool:
        return self.status is RunStatus.FAILURE

    @property
    def is_failure_or_canceled(self) -> bool:
        return self.status in (RunStatus.FAILURE, RunStatus.CANCELED)


class RunRecord(msgspec.Struct, frozen=True):
    """One run and what is known of it beside."""

    storage_id: int  #: position of the run's first event: grows in the order in which runs were created
    run: Run
    created_us: int
    updated_us: int
    last_position: int  #: of the last event of its life; steps and log lines do not count
    enqueued_us: int | None = None  #: the first time; so are the next two
    launched_us: int | None = None  #: when a worker was asked for
    started_us: int | None = None
    ended_us: int | None = None
    failure_reason: str | None = None
    failure_class: str | None = None
    failure_message: str | None = None
    ended_position: int | None = None  #: of the event that ended it
    ignored_ends: int = 0  #: ends that came after the first, which stands
    ignored_status: RunStatus | None = None  #: what the last of those said


class StepRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run, all attempts together."""

    run_id: str
    step_key: str
    status: str  #: STARTED, UP_FOR_RETRY, SUCCESS, FAILURE or SKIPPED
    attempts: int
    started_us: int | None = None  #: the first attempt
    ended_us: int | None = None  #: the last one
    error_class: str | None = None  #: of the last failure, also when a later attempt succeeded
    error_message: str | None = None
    expectations: int = 0  #: results of expectations, over all attempts
    expectations_met: int = 0

    @property
    def duration_us(self) -> int | None:
        """From the first start to the end, pauses included."""
        if self.started_us is None or self.ended_us is None:
            return None
        return self.ended_us - self.started_us


class StepAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a step."""

    run_id: str
    step_key: str
    attempt: int  #: 1 for the first try
    status: str  #: STARTED, UP_FOR_RETRY, SUCCESS or FAILURE
    started_us: int | None = None
    ended_us: int | None = None
    error_class: str | None = None
    error_message: str | None = None


class RunStats(msgspec.Struct, frozen=True, kw_only=True):
    """What a run amounts to."""

    run_id: str
    steps_succeeded: int
    steps_failed: int
    materializations: int
    expectations: int
    enqueued_us: int | None = None  #: the first time; so are the next two
    launched_us: int | None = None  #: when a worker was asked for
    started_us: int | None = None
    ended_us: int | None = None


class RunAt(msgspec.Struct, frozen=True, kw_only=True):
    """One run as it stood at a position of the timeline."""

    position: int
    record: RunRecord
    steps: list[StepRecord]


class AssetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to an asset, as the views keep it; `get_event_records` gives the whole event."""

    position: int
    type: str
    asset_key: AssetKey
    partition: str | None
    run_id: str | None  #: None: of no run
    step_key: str | None
    shard: str
    seq: int
    timestamp_us: int
    code_version: str | None = None
    data_version: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)  #: as plain values; structured ones as [tag, ...]


class AssetRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One asset and the latest of each thing that happened to it."""

    asset_key: AssetKey
    storage_id: int  #: position of its last event
    materialization: AssetEvent | None = None
    observation: AssetEvent | None = None
    planned: AssetEvent | None = None
    failed: AssetEvent | None = None
    wiped_us: int | None = None  #: when it was last wiped as a whole


class PartitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of an asset."""

    asset_key: AssetKey
    partition: str
    status: str  #: IN_PROGRESS, FAILED, MATERIALIZED or MISSING
    position: int  #: of its latest event
    run_id: str | None
    timestamp_us: int
    materialized_position: int | None = None  #: of its latest materialization
    data_version: str | None = None  #: of its latest materialization


class CheckRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation of an asset check, done or planned."""

    asset_key: AssetKey
    check_name: str
    status: str  #: PASSED, FAILED; without a result PLANNED, or, its run being over, EXECUTION_FAILED or SKIPPED
    severity: str | None
    partition: str | None
    position: int
    run_id: str | None
    timestamp_us: int
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    event: EventRecord | None = None  #: the whole event


class CheckSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A check by its latest execution, and by its latest result."""

    check_key: AssetCheckKey
    latest: CheckRecord | None = None  #: planned or done
    latest_result: CheckRecord | None = None  #: PASSED or FAILED


class PlannedMaterialization(msgspec.Struct, frozen=True, kw_only=True):
    """The latest plan to make an asset, or one partition of it."""

    storage_id: int
    run_id: str | None
