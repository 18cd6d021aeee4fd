"""Questions about backfills. The view itself: backfills.py."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from ..events.key import AssetKey
from .backfills import PARTITIONS, RUNS, BackfillRow
from .orchestration_records import BackfillPartition, BackfillRecord
from .paging import any_of, behind
from .table import Table, keyed, text_of

Tables = Mapping[Table, sa.Table]

STATUSES = ("REQUESTED", "IN_PROGRESS", "CANCELING", "CANCELED", "COMPLETED", "FAILED")


def one(connection: sa.Connection, source: sa.Table, backfill_id: str) -> BackfillRecord | None:
    row = connection.execute(sa.select(source).where(source.c.backfill_id == keyed(backfill_id))).first()
    return None if row is None else _record(BackfillRow._make(row))


def find(
    connection: sa.Connection,
    source: sa.Table,
    *,
    statuses: Collection[str] | None,
    before: int | None,
    limit: int,
) -> list[BackfillRecord]:
    """Up to `limit` backfills, the newest first; `before`: only those with a smaller storage id."""
    wanted = sa.select(source)
    if before is not None:
        wanted = wanted.where(source.c.position < before)

    def of_status(status: str) -> sa.Select[Any]:
        return wanted.where(source.c.status == status)

    if statuses is None:
        query: Any = wanted.order_by(source.c.position.desc()).limit(limit)
    else:
        query = any_of(connection, of_status, statuses, order=(("position", True),), limit=limit)
    return [_record(BackfillRow._make(row)) for row in connection.execute(query)]


def count(connection: sa.Connection, source: sa.Table, statuses: Collection[str] | None) -> int:
    """How many there are."""
    return sum(
        connection.execute(sa.select(sa.func.count()).select_from(source).where(source.c.status == status)).scalar_one()
        for status in sorted(set(STATUSES if statuses is None else statuses))
    )


def partitions(
    connection: sa.Connection, tables: Tables, backfill_id: str, *, after: str | None, limit: int
) -> list[BackfillPartition]:
    """Up to `limit` partitions in their order, behind `after`; nothing if that is not among them."""
    rows = _members(connection, tables[PARTITIONS], backfill_id, after, limit)
    return [
        BackfillPartition(partition=row.partition, requested=row.asked_position is not None, failed=bool(row.failed))
        for row in rows
    ]


def run_ids(connection: sa.Connection, tables: Tables, backfill_id: str, *, after: str | None, limit: int) -> list[str]:
    """Up to `limit` ids of its runs in the order in which they were asked for, behind `after`."""
    return [row.run_id for row in _members(connection, tables[RUNS], backfill_id, after, limit)]


def _members(connection: sa.Connection, source: sa.Table, backfill_id: str, after: str | None, limit: int) -> list[Any]:
    of, name = source.primary_key.columns
    order = source.c.position, source.c.item
    mine = of == keyed(backfill_id)
    query = sa.select(source).where(mine).order_by(*order).limit(limit)
    if after is not None:
        further = behind(connection, query, order, (mine, name == keyed(after)))
        if further is None:
            return []
        query = further
    return list(connection.execute(query))


def _record(row: BackfillRow) -> BackfillRecord:
    return BackfillRecord(
        backfill_id=row.backfill_id,
        storage_id=row.position,
        status=row.status,
        created_us=row.created_us,
        updated_us=row.updated_us,
        ended_us=row.ended_us,
        job_name=row.job_name,
        partition_set=row.partition_set,
        asset_selection=tuple(AssetKey.from_text(text) for text in json.loads(row.asset_keys or "[]")),
        tags=json.loads(row.tags or "{}"),
        from_failure=bool(row.from_failure),
        title=row.title,
        description=row.description,
        user=row.user_name,
        partitions=row.partitions,
        requested_partitions=row.asked,
        failed_partitions=row.failed,
        runs=row.runs,
        cursor=text_of(row.cursor),
        error_class=row.error_class,
        error_message=row.error_message,
    )
