"""The view of backfills: one row each, one a partition, one a run. All from kept facts, so no purge changes it.

Promises: the first end of a backfill, by position, stands; after a request to cancel only an end changes its status.
What it says of its partitions and runs is taken in at any time.
Not here: questions (backfill_queries.py), what became of its runs (runs.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..events.backfill import (
    BackfillCanceled,
    BackfillCanceling,
    BackfillCompleted,
    BackfillFailed,
    BackfillProgressed,
    BackfillRequested,
)
from ..events.event import Topic
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, keyed_or_none, plain_json, whole, words

ENDS: Final = ("CANCELED", "COMPLETED", "FAILED")
WAITING, ASKED, FAILED = "WAITING", "REQUESTED", "FAILED"


class BackfillRow(NamedTuple):
    """A backfill."""

    backfill_id: str
    position: int  #: of the first event about it
    status: str = ""  #: REQUESTED, IN_PROGRESS, CANCELING, or an end: CANCELED, COMPLETED, FAILED
    created_us: int = 0
    updated_us: int = 0
    ended_us: int | None = None
    job_name: str | None = None
    partition_set: str | None = None
    asset_keys: str | None = None  #: JSON: the texts of the keys
    tags: str | None = None  #: JSON
    from_failure: int = 0
    title: str | None = None
    description: str | None = None
    user_name: str | None = None
    partitions: int = 0  #: how many there are
    asked: int = 0  #: of so many of them runs were asked for
    failed: int = 0  #: so many of them failed
    runs: int = 0
    cursor: bytes | None = None  #: UTF-8; whole, for the daemon reads it back
    error_class: str | None = None
    error_message: str | None = None


class BackfillPartitionRow(NamedTuple):
    """A partition of a backfill, in the order in which they are to be made."""

    backfill_id: str
    partition: str
    position: int  #: of the event that named it first
    item: int  #: its place in that event
    asked_position: int | None  #: of the event that asked for its run
    failed: int


class BackfillRunRow(NamedTuple):
    """A run of a backfill."""

    backfill_id: str
    run_id: str
    position: int  #: of the event that named it first
    item: int  #: its place in that event


BACKFILLS: Final = Table("backfills_v1", BackfillRow, key=1, indexes=(("position",), ("status", "position")))
PARTITIONS: Final = Table(
    "backfill_partitions_v1", BackfillPartitionRow, key=2, indexes=(("backfill_id", "position", "item"),)
)
RUNS: Final = Table(
    "backfill_runs_v1", BackfillRunRow, key=2, indexes=(("backfill_id", "position", "item"), ("run_id",))
)

_STATUS: Final[dict[type[Any], str]] = {
    BackfillRequested: "REQUESTED",
    BackfillProgressed: "IN_PROGRESS",
    BackfillCanceling: "CANCELING",
    BackfillCanceled: "CANCELED",
    BackfillCompleted: "COMPLETED",
    BackfillFailed: "FAILED",
}


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: Taken) -> None:
    if record.run_id is not None:  # what is in a run's shard may go with the run
        return
    fact: Any = record.event.fact
    key = keyed(fact.backfill_id)
    row: BackfillRow = rows.get(BACKFILLS, (key,)) or _first(key, record)
    row = fold_status(row, fact, record.event.timestamp_us)
    match fact:
        case BackfillRequested():
            row = _described(row, fact)
            row = _with_partitions(rows, row, fact.partitions, record, asked=False)
        case BackfillProgressed():
            row = _with_partitions(rows, row, fact.partitions, record, asked=True)
            row = _with_runs(rows, row, fact.run_ids, record)
            if fact.cursor is not None:
                row = row._replace(cursor=whole(fact.cursor))
        case BackfillCompleted():
            row = _with_partitions(rows, row, fact.failed_partitions, record, failed=True)
    rows.put(BACKFILLS, row)


def fold_status(row: BackfillRow, fact: Any, now: int) -> BackfillRow:
    """The row after `fact`, as far as its life goes."""
    row = row._replace(updated_us=now)
    status = _STATUS[type(fact)]
    if row.status in ENDS or (row.status == "CANCELING" and status not in ENDS):
        return row
    if status == "REQUESTED" and row.status != "":
        return row  # its progress was told before
    row = row._replace(status=status, ended_us=now if status in ENDS else None)
    error = getattr(fact, "error", None)
    if error is not None:
        row = row._replace(error_class=words(error.class_name), error_message=words(error.message))
    return row


def _described(row: BackfillRow, fact: BackfillRequested) -> BackfillRow:
    return row._replace(
        job_name=keyed_or_none(fact.job_name),
        partition_set=keyed_or_none(fact.partition_set),
        asset_keys=json.dumps([key.to_text() for key in fact.asset_selection]) if fact.asset_selection else None,
        tags=plain_json(dict(fact.tags)),
        from_failure=int(fact.from_failure),
        title=words(fact.title),
        description=words(fact.description),
        user_name=words(fact.user),
    )


def _with_partitions(
    rows: Rows, row: BackfillRow, names: tuple[str, ...], record: Taken, *, asked: bool = False, failed: bool = False
) -> BackfillRow:
    for item, name in enumerate(names):
        key = row.backfill_id, keyed(name)
        before: BackfillPartitionRow | None = rows.get(PARTITIONS, key)
        after = before or BackfillPartitionRow(*key, record.position, item, None, 0)
        if asked and after.asked_position is None:
            after = after._replace(asked_position=record.position)
            row = row._replace(asked=row.asked + 1)
        if failed and not after.failed:
            after = after._replace(failed=1)
            row = row._replace(failed=row.failed + 1)
        if before is None:
            row = row._replace(partitions=row.partitions + 1)
        rows.put(PARTITIONS, after)
    return row


def _with_runs(rows: Rows, row: BackfillRow, run_ids: tuple[str, ...], record: Taken) -> BackfillRow:
    for item, run_id in enumerate(run_ids):
        key = row.backfill_id, keyed(run_id)
        if rows.get(RUNS, key) is None:
            rows.put(RUNS, BackfillRunRow(*key, record.position, item))
            row = row._replace(runs=row.runs + 1)
    return row


def _first(key: str, record: Taken) -> BackfillRow:
    now = record.event.timestamp_us
    return BackfillRow(key, record.position, created_us=now, updated_us=now)


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact: Any = record.event.fact
    key = keyed(fact.backfill_id)
    yield BACKFILLS, (key,)
    for name in (*getattr(fact, "partitions", ()), *getattr(fact, "failed_partitions", ())):
        yield PARTITIONS, (key, keyed(name))
    for run_id in getattr(fact, "run_ids", ()):
        yield RUNS, (key, keyed(run_id))


PROJECTION: Final = Projection(
    name="backfills",
    version=1,
    topics=Topic.PARTITION | Topic.RUN,
    types=frozenset(kind.KIND.name for kind in _STATUS),
    tables=(BACKFILLS, PARTITIONS, RUNS),
    keys=keys,
    fold=fold,
    people={
        "backfills": select_all(BACKFILLS),
        "backfill_partitions": select_all(PARTITIONS),
        "backfill_runs": select_all(RUNS),
    },
)
