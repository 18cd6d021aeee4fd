"""What the views answer with: small frozen records. Times are integer microseconds since 1970-01-01 UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..events.key import AssetKey
from ..events.run import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run."""

    run_id: str
    job_name: str
    status: RunStatus
    tags: dict[str, str] = field(default_factory=dict)
    parent_run_id: str | None = None  #: the run this one repeats or continues
    root_run_id: str | None = None  #: the first of that line

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """One run and what is known of it beside."""

    storage_id: int  #: position of the run's first event: grows in the order in which runs were created
    run: Run
    created_us: int
    updated_us: int
    started_us: int | None = None
    ended_us: int | None = None
    failure_reason: str | None = None
    failure_class: str | None = None
    failure_message: str | None = None
    ended_position: int | None = None  #: of the event that ended it
    last_position: int  #: of the last event of its life; steps and log lines do not count
    ignored_ends: int = 0  #: ends that came after the first, which stands
    ignored_status: RunStatus | None = None  #: what the last of those said


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One step of a run, all attempts together."""

    run_id: str
    step_key: str
    status: str  #: STARTED, UP_FOR_RETRY, SUCCESS, FAILURE or SKIPPED
    attempts: int
    started_us: int | None = None  #: the first attempt
    ended_us: int | None = None  #: the last one
    error_class: str | None = None  #: of the last failure, also when a later attempt succeeded
    error_message: str | None = None

    @property
    def duration_us(self) -> int | None:
        """From the first start to the end, pauses included."""
        if self.started_us is None or self.ended_us is None:
            return None
        return self.ended_us - self.started_us


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetEvent:
    """One thing that happened to an asset, as the views keep it. The whole event: `log.read_shard(shard, seq - 1)`."""

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
    metadata: dict[str, Any] = field(default_factory=dict)  #: as plain values; structured ones as [tag, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRecord:
    """One asset and the latest of each thing that happened to it."""

    asset_key: AssetKey
    storage_id: int  #: position of its last event
    materialization: AssetEvent | None = None
    observation: AssetEvent | None = None
    planned: AssetEvent | None = None
    failed: AssetEvent | None = None
    wiped_us: int | None = None  #: when it was last wiped as a whole


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionRecord:
    """One partition of an asset."""

    asset_key: AssetKey
    partition: str
    status: str  #: IN_PROGRESS, FAILED, MATERIALIZED or MISSING, by its latest event
    position: int  #: of that event
    run_id: str | None
    timestamp_us: int
    materialized_position: int | None = None  #: of its latest materialization


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRecord:
    """One evaluation of an asset check, done or planned."""

    asset_key: AssetKey
    check_name: str
    status: str  #: PLANNED, PASSED or FAILED
    severity: str | None
    partition: str | None
    position: int
    run_id: str | None
    timestamp_us: int
    metadata: dict[str, Any] = field(default_factory=dict)
