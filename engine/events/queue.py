"""The queue of runs: who was let in, and what holds others back. In `@queue`, so one writer at a time decides."""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic

__all__ = ["CodeLocationPaused", "CodeLocationResumed", "RunAdmitted", "RunReleased"]


class RunAdmitted(Fact):
    """The coordinator let a run in: it takes a place from now on. Recorded before RUN_DEQUEUED in the run's shard."""

    KIND = Kind("RUN_ADMITTED", Topic.QUEUE, Retention.KEPT)

    run_id: str
    coordinator: str | None = None  #: which process decided
    token: int | None = None  #: fencing token of its lease: a lower one than the last is void
    attempt: int = 1  #: 1 for the first launch


class RunReleased(Fact):
    """A place is given back without the run having ended: its launch was put off. Recorded by the coordinator."""

    KIND = Kind("RUN_RELEASED", Topic.QUEUE, Retention.KEPT)

    run_id: str
    reason: str | None = None


class CodeLocationPaused(Fact):
    """Runs of a code location wait, for it cannot be reached. Recorded by the coordinator."""

    KIND = Kind("CODE_LOCATION_PAUSED", Topic.QUEUE, Retention.KEPT)

    code_location: str
    until_us: int | None = None  #: microseconds since 1970-01-01 UTC, by the coordinator's clock; None: until resumed
    reason: str | None = None


class CodeLocationResumed(Fact):
    """Runs of a code location wait no longer. Recorded by the coordinator."""

    KIND = Kind("CODE_LOCATION_RESUMED", Topic.QUEUE, Retention.KEPT)

    code_location: str
