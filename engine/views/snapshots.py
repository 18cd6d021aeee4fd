"""The view of snapshots: where in the log the document of a job or a plan is. The first fact of an id stands.

A row has the place of the fact and not the document, which may be long; the question reads it from the log.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.event import Topic
from ..events.snapshot import JobSnapshot, PlanSnapshot
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, keyed_or_none

JOB, PLAN = "JOB", "PLAN"


class SnapshotRow(NamedTuple):
    """Where a snapshot is."""

    kind: str  #: JOB or PLAN
    snapshot_id: str
    job_name: str | None
    job_snapshot_id: str | None
    position: int
    shard: str
    seq: int
    timestamp_us: int


SNAPSHOTS: Final = Table("snapshots_v1", SnapshotRow, key=2)


def fold(rows: Rows, record: Taken) -> None:
    if record.run_id is not None:  # what is in a run's shard may go with the run
        return
    fact: Any = record.event.fact
    key = _key(fact)
    if rows.get(SNAPSHOTS, key) is None:
        row = SnapshotRow(
            *key,
            job_name=keyed_or_none(getattr(fact, "job_name", None)),
            job_snapshot_id=keyed_or_none(getattr(fact, "job_snapshot_id", None)),
            position=record.position,
            shard=record.shard,
            seq=record.seq,
            timestamp_us=record.event.timestamp_us,
        )
        rows.put(SNAPSHOTS, row)


def _key(fact: JobSnapshot | PlanSnapshot) -> tuple[str, str]:
    return JOB if isinstance(fact, JobSnapshot) else PLAN, keyed(fact.snapshot_id)


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    yield SNAPSHOTS, _key(record.event.fact)


PROJECTION: Final = Projection(
    name="snapshots",
    version=1,
    topics=Topic.RUN,
    types=frozenset((JobSnapshot.KIND.name, PlanSnapshot.KIND.name)),
    tables=(SNAPSHOTS,),
    keys=keys,
    fold=fold,
    people={"snapshots": select_all(SNAPSHOTS)},
)


def place(connection: sa.Connection, source: sa.Table, kind: str, snapshot_id: str) -> SnapshotRow | None:
    """Where the snapshot is, if there is one."""
    query = sa.select(source).where(source.c.kind == kind, source.c.snapshot_id == keyed(snapshot_id))
    row = connection.execute(query).first()
    return None if row is None else SnapshotRow._make(row)
