"""Questions about pools. The view itself: pools.py; whether a run has ended says the view of runs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from .orchestration_records import PoolRecord, SlotRecord
from .paging import behind, chunks
from .pools import CLAIMED, POOLS, SLOTS, WAITING, SlotRow
from .runs import FINISHED, RUNS
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]


def pools(connection: sa.Connection, tables: Tables, *, after: str | None, limit: int) -> list[PoolRecord]:
    """Up to `limit` pools by name, behind `after`: those with a limit."""
    source = tables[POOLS]
    query = sa.select(source).order_by(source.c.pool).limit(limit)
    if after is not None:
        query = query.where(source.c.pool > keyed(after))
    found = {row.pool: row for row in connection.execute(query)}
    counted = _counts(connection, tables, list(found))
    return [_record(name, row, counted) for name, row in found.items()]


def pool(connection: sa.Connection, tables: Tables, name: str) -> PoolRecord | None:
    """The pool; None if it has no limit and nobody uses it."""
    source = tables[POOLS]
    row = connection.execute(sa.select(source).where(source.c.pool == keyed(name))).first()
    found = _record(keyed(name), row, _counts(connection, tables, [keyed(name)]))
    return found if row is not None or found.claimed or found.waiting else None


def slots(
    connection: sa.Connection, tables: Tables, name: str, *, waiting: bool, after: tuple[str, str] | None, limit: int
) -> list[SlotRecord]:
    """Up to `limit` steps that have a slot of the pool, or wait for one, in the order in which they are served.

    `after`: behind the step of this run id and key; nothing if it is not among them.
    """
    source = tables[SLOTS]
    served = source.c.status == (WAITING if waiting else CLAIMED)
    order = source.c.rank, source.c.place
    query = sa.select(source).where(source.c.pool == keyed(name), served, _counting(tables))
    if after is not None:
        run_id, step_key = map(keyed, after)
        step = source.c.run_id == run_id, source.c.step_key == step_key, source.c.pool == keyed(name), served
        further = behind(connection, query, order, step)
        if further is None:
            return []
        query = further
    return [_slot(SlotRow._make(row)) for row in connection.execute(query.order_by(*order).limit(limit))]


def asked(
    connection: sa.Connection, tables: Tables, column: str, *, after: int, through: int, limit: int
) -> list[tuple[int, str, bool]]:
    """Up to `limit` requests or claims of slots that are held or waited for, past `after` up to a position, in order:
    the position, the run, and whether the view of runs knows it. `column`: where the slots have the position."""
    source, runs = tables[SLOTS], tables[RUNS]
    position, known = source.c[column], sa.exists().where(runs.c.run_id == source.c.run_id)
    query = sa.select(position, source.c.run_id, known).where(position > after, position <= through, _counting(tables))
    found = connection.execute(query.order_by(position).limit(limit))
    return [(at, run_id, bool(is_known)) for at, run_id, is_known in found]


def _counts(connection: sa.Connection, tables: Tables, names: Collection[str]) -> dict[tuple[str, str], int]:
    """How many steps have a slot of each pool or wait for one, by pool and status."""
    source = tables[SLOTS]
    columns = source.c.pool, source.c.status
    found: dict[tuple[str, str], int] = {}
    for some in chunks(names):
        query = sa.select(*columns, sa.func.count()).where(source.c.pool.in_(some), _counting(tables))
        for pool, status, count in connection.execute(query.group_by(*columns)):
            found[pool, status] = count
    return found


def _record(name: str, row: Any, counted: Mapping[tuple[str, str], int]) -> PoolRecord:
    return PoolRecord(
        pool=name,
        limit=None if row is None else row.slots,
        is_default=bool(row is not None and row.is_default),
        claimed=counted.get((name, CLAIMED), 0),
        waiting=counted.get((name, WAITING), 0),
    )


def _counting(tables: Tables) -> sa.ColumnElement[bool]:
    """Slots but those of runs that have ended: a worker that comes too late must not hold one."""
    source, runs = tables[SLOTS], tables[RUNS]
    return ~sa.exists().where(runs.c.run_id == source.c.run_id, runs.c.status.in_(FINISHED))


def _slot(row: SlotRow) -> SlotRecord:
    return SlotRecord(
        pool=row.pool,
        run_id=row.run_id,
        step_key=row.step_key,
        priority=-row.rank,
        requested_us=row.requested_us,
        claimed_us=row.claimed_us,
    )
