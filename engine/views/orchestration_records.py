"""What the views of orchestration answer with: partitions, schedules, ticks, pools, the queue, backfills, snapshots.

Small frozen records, as records.py has them. Times are integer microseconds since 1970-01-01 UTC, by the clock of
whoever recorded the fact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from ..events.key import AssetKey


class DynamicPartitionsPage(msgspec.Struct, frozen=True, kw_only=True):
    """Some keys of a definition of dynamic partitions."""

    keys: tuple[str, ...]  #: in the order in which they were added, unless asked otherwise
    cursor: str | None  #: where the next page goes on; None: of no key at all
    has_more: bool  #: whether there are keys behind these


class InstigatorState(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule or a sensor: whether it is on, and how far it has got."""

    instigator_type: str  #: SCHEDULE or SENSOR
    name: str
    code_location: str | None
    status: str  #: RUNNING, STOPPED, or DECLARED_IN_CODE: as its code says
    status_us: int | None = None  #: when it was last turned on, off, or reset
    stop_reason: str | None = None
    automatic: bool = False  #: turned on by its default, not by a person
    cron: str | None = None  #: the times, as they were written when it was turned on
    time_zone: str | None = None  #: IANA name; None: UTC
    minimum_interval_us: int | None = None  #: of a sensor: microseconds between two evaluations
    cursor: str | None = None  #: the sensor's own text
    advanced_us: int | None = None  #: of a schedule: all scheduled times up to this one are dealt with
    last_tick_id: str | None = None  #: the last tick that did something; one that was skipped does not count
    last_tick_status: str | None = None  #: REQUESTED, SUCCESS or FAILURE
    last_tick_us: int | None = None
    last_tick_scheduled_us: int | None = None
    failure_count: int = 0  #: of the last tick; 0: it did not fail
    last_run_key: str | None = None  #: the last one asked for
    storage_id: int  #: position of the first fact about it
    updated_us: int


class TickRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One evaluation of a schedule or a sensor. What only its start or its skip told is None once that went by age."""

    tick_id: str
    instigator_type: str  #: SCHEDULE or SENSOR
    name: str
    code_location: str | None
    status: str  #: STARTED, REQUESTED (runs are reserved), SUCCESS, SKIPPED or FAILURE
    timestamp_us: int  #: of the first fact that is known of it
    position: int  #: of the same
    scheduled_us: int | None = None  #: the time of the schedule that is evaluated
    attempt: int | None = None  #: 1 for the first try
    started_us: int | None = None
    requested_us: int | None = None
    ended_us: int | None = None  #: when it succeeded, failed or was skipped, by the latest of these
    run_ids: tuple[str, ...] = ()  #: created or found; before it succeeds: reserved
    run_keys: tuple[str, ...] = ()  #: used up; before it succeeds: asked for
    cursor: str | None = None  #: after it; None: not moved
    skip_reason: str | None = None
    failure_count: int | None = None
    error_class: str | None = None
    error_message: str | None = None


class SlotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A step that has a slot of a pool, or waits for one."""

    pool: str
    run_id: str
    step_key: str
    priority: int  #: greater goes first
    requested_us: int | None = None
    claimed_us: int | None = None  #: None: it waits


class PoolRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A pool, and how full it is. Runs that have ended do not count."""

    pool: str
    limit: int | None  #: slots; None: it has no limit of its own
    is_default: bool = False  #: the limit is the deployment's default
    claimed: int = 0  #: steps that have a slot
    waiting: int = 0  #: steps that wait for one

    @property
    def free(self) -> int | None:
        """Slots that are free; None where there is no limit. Never below 0, also when the limit was lowered."""
        return None if self.limit is None else max(0, self.limit - self.claimed)


class QueuedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that waits to be let in."""

    run_id: str
    place: int  #: position of its first RUN_ENQUEUED
    priority: int  #: greater goes first
    enqueued_us: int  #: the first time
    job_name: str | None = None
    code_location: str | None = None
    pools: dict[str, int] = msgspec.field(default_factory=dict)  #: pool to the number of its steps in it
    root_pools: dict[str, int] = msgspec.field(default_factory=dict)  #: the same, of steps that wait for no other
    attempts: int = 0  #: launches that were tried and put off


class PausedLocation(NamedTuple):
    """A code location whose runs wait."""

    code_location: str
    until_us: int | None  #: None: until it is resumed
    reason: str | None
    paused_us: int


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How the queue stands."""

    queued: int  #: runs that wait
    admitted: int  #: let in, and not yet starting: each takes a place
    in_progress: int  #: STARTING, STARTED or CANCELING: each takes a place
    paused: tuple[PausedLocation, ...] = ()  #: 1,000 at most, by name


class BackfillRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Many partitions made by many runs, as one undertaking."""

    backfill_id: str
    storage_id: int  #: position of the first fact about it
    status: str  #: REQUESTED, IN_PROGRESS, CANCELING, CANCELED, COMPLETED or FAILED
    created_us: int
    updated_us: int
    ended_us: int | None = None
    job_name: str | None = None
    partition_set: str | None = None
    asset_selection: tuple[AssetKey, ...] = ()
    tags: dict[str, str] = msgspec.field(default_factory=dict)  #: each of its runs gets these
    from_failure: bool = False  #: repeat only what failed
    title: str | None = None
    description: str | None = None
    user: str | None = None
    partitions: int = 0  #: how many it is to make
    requested_partitions: int = 0  #: of so many of them runs were asked for
    failed_partitions: int = 0
    runs: int = 0  #: asked for so far
    cursor: str | None = None  #: the daemon's own text: where it goes on
    error_class: str | None = None
    error_message: str | None = None

    @property
    def is_finished(self) -> bool:
        return self.status in ("CANCELED", "COMPLETED", "FAILED")


class BackfillPartition(msgspec.Struct, frozen=True, kw_only=True):
    """One partition of a backfill."""

    partition: str
    requested: bool  #: whether its run was asked for
    failed: bool


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a job or a plan looked like."""

    snapshot_id: str
    job_name: str | None = None  #: of a job
    job_snapshot_id: str | None = None  #: of a plan: the job it is made of
    document: dict[str, Any]
    position: int  #: of the fact that recorded it first
    timestamp_us: int
