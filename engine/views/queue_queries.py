"""Questions about the queue of runs. The view itself: queue.py."""

from __future__ import annotations

import json
from collections.abc import Mapping

import sqlalchemy as sa

from .orchestration_records import PausedLocation, QueuedRun, QueueStatus
from .paging import behind
from .queue import ADMITTED, IN_PROGRESS, PAUSED, QUEUE, QUEUED, QueueRow
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]

MOST_PAUSED = 1000


def queued(connection: sa.Connection, source: sa.Table, *, after: str | None, limit: int) -> list[QueuedRun]:
    """Up to `limit` runs that wait, the greatest priority first, among equals by their place.

    `after`: behind this run; nothing if it does not wait.
    """
    waits, order = source.c.state == QUEUED, (source.c.rank, source.c.place)
    query = sa.select(source).where(waits).order_by(*order).limit(limit)
    if after is not None:
        further = behind(connection, query, order, (source.c.run_id == keyed(after), waits))
        if further is None:
            return []
        query = further
    return [_record(QueueRow._make(row)) for row in connection.execute(query)]


def status(connection: sa.Connection, tables: Tables) -> QueueStatus:
    """How many runs wait and how many take a place, and what is paused."""
    queue, paused = tables[QUEUE], tables[PAUSED]
    counted = {
        state: connection.execute(
            sa.select(sa.func.count()).select_from(queue).where(queue.c.state == state)
        ).scalar_one()
        for state in (QUEUED, ADMITTED, IN_PROGRESS)
    }
    rows = connection.execute(sa.select(paused).order_by(paused.c.code_location).limit(MOST_PAUSED))
    return QueueStatus(
        queued=counted[QUEUED],
        admitted=counted[ADMITTED],
        in_progress=counted[IN_PROGRESS],
        paused=tuple(PausedLocation(row.code_location, row.until_us, row.reason, row.timestamp_us) for row in rows),
    )


def _record(row: QueueRow) -> QueuedRun:
    return QueuedRun(
        run_id=row.run_id,
        place=row.place or 0,
        priority=-row.rank,
        enqueued_us=row.enqueued_us or 0,
        job_name=row.job_name,
        code_location=row.code_location,
        pools=json.loads(row.pools) if row.pools else {},
        root_pools=json.loads(row.root_pools) if row.root_pools else {},
        attempts=row.attempt,
    )
