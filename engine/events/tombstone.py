"""Deletions. Each is a fact on the timeline first; views drop the rows, then the storage is freed."""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic

__all__ = ["HistoryTrimmed", "RunDeleted"]

_ALL = Topic.RUN | Topic.STEP | Topic.ASSET | Topic.PARTITION | Topic.POOL | Topic.QUEUE | Topic.LOG


class RunDeleted(Fact):
    """A run is gone for good: its shard takes no more events. Recorded in a system shard, before the purge.

    A view drops each row that is keyed by the run; with `keep_assets=False` also what the run did to assets.
    """

    KIND = Kind("RUN_DELETED", _ALL, Retention.KEPT)

    run_id: str
    keep_assets: bool = True
    reason: str | None = None  #: who asked, or the policy that did


class HistoryTrimmed(Fact):
    """Facts of one retention class went by age. Recorded before they are freed.

    A view drops the rows that are keyed by such a fact alone.
    """

    KIND = Kind("HISTORY_TRIMMED", _ALL | Topic.SCHEDULE, Retention.KEPT)

    retention: int  #: the `Retention` class: LOG or TICK
    through_position: int  #: all of that class up to this position of the timeline
    shard: str | None = None  #: only there; None: everywhere
