"""Backfills: many partitions made by many runs, as one undertaking. In `@instance`."""

from __future__ import annotations

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Retention, Topic
from .key import AssetKey

__all__ = [
    "BackfillCanceled",
    "BackfillCanceling",
    "BackfillCompleted",
    "BackfillFailed",
    "BackfillProgressed",
    "BackfillRequested",
]

_BACKFILL = Topic.PARTITION | Topic.RUN


class BackfillRequested(Fact):
    """Somebody asked for partitions to be made. Recorded by whoever asks."""

    KIND = Kind("BACKFILL_REQUESTED", _BACKFILL, Retention.KEPT)

    backfill_id: str
    asset_selection: tuple[AssetKey, ...] = ()  #: of assets; or
    job_name: str | None = None  #: of a job; or neither, when `partition_set` tells all
    partition_set: str | None = None
    partitions: tuple[str, ...] = ()  #: in the order in which they are to be made
    tags: dict[str, str] = {}  #: each of its runs gets these
    from_failure: bool = False  #: repeat only what failed
    title: str | None = None
    description: str | None = None
    user: str | None = None


class BackfillProgressed(Fact):
    """More of its runs were asked for. Recorded by the backfill daemon before it creates them."""

    KIND = Kind("BACKFILL_PROGRESSED", _BACKFILL, Retention.KEPT)

    backfill_id: str
    run_ids: tuple[str, ...] = ()  #: the ids that these runs will have
    partitions: tuple[str, ...] = ()  #: partitions now asked for
    cursor: str | None = None  #: the daemon's own text: where it goes on


class BackfillCanceling(Fact):
    """Somebody asked that it stop. Recorded by whoever asks."""

    KIND = Kind("BACKFILL_CANCELING", _BACKFILL, Retention.KEPT)

    backfill_id: str


class BackfillCanceled(Fact):
    """It was stopped, and none of its runs goes on. Recorded by the backfill daemon."""

    KIND = Kind("BACKFILL_CANCELED", _BACKFILL, Retention.KEPT)

    backfill_id: str


class BackfillCompleted(Fact):
    """All that it asked for has ended. Recorded by the backfill daemon."""

    KIND = Kind("BACKFILL_COMPLETED", _BACKFILL, Retention.KEPT)

    backfill_id: str
    failed_partitions: tuple[str, ...] = ()


class BackfillFailed(Fact):
    """It cannot go on. Recorded by the backfill daemon."""

    KIND = Kind("BACKFILL_FAILED", _BACKFILL, Retention.KEPT)

    backfill_id: str
    error: ErrorInfo | None = None
