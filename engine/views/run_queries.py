"""Questions about runs. The view itself: runs.py; how runs are found: run_search.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import UsageError
from ..events.event import Record
from ..events.run import RunCreated, RunStatus
from ..log.log import EventLog, EventRecord
from .arms import ARMS, distinct, loose, ordered
from .filters import RunsFilter, RunStatusChangeRecordsFilter
from .records import Run, RunRecord
from .run_search import ORDERS, Search, Tables
from .runs import CHANGES, RUNS, TAGS, RunRow
from .table import keyed
from .whole import whole

_CREATED = RunCreated.KIND.name
_CHUNK = 500  #: runs whose tags are fetched in one statement


def find(
    connection: sa.Connection,
    tables: Tables,
    log: EventLog,
    filters: RunsFilter,
    *,
    order: str = "storage_id",
    ascending: bool = False,
    cursor: str | None = None,
    limit: int,
) -> list[RunRecord]:
    """Up to `limit` runs in order; behind the run `cursor`, none if it has no place there."""
    search = Search(connection, tables, filters)
    behind = None
    if cursor is not None:
        behind = search.place_of(cursor, order)
        if behind is None:
            return []
    rows = search.page(order=order, ascending=ascending, behind=behind, limit=limit)
    of_run = tags_of(connection, tables, [row.run_id for row in rows])
    return [run_record(RunRow._make(row[:-3]), of_run.get(row.run_id, {}), log, row.born) for row in rows]


def ids(
    connection: sa.Connection, tables: Tables, filters: RunsFilter, *, cursor: str | None = None, limit: int
) -> list[str]:
    """Up to `limit` run ids, the newest first."""
    search, order = Search(connection, tables, filters), order_of(None, filters)
    behind = None if cursor is None else search.place_of(cursor, order)
    if cursor is not None and behind is None:
        return []
    rows = search.page(order=order, ascending=False, behind=behind, limit=limit, ids_only=True)
    return [row.run_id for row in rows]


def order_of(given: str | None, filters: RunsFilter) -> str:
    """The order that is meant: by storage id, or by the time that the filter bounds. Raises UsageError for none."""
    if given is None:
        if filters.updated_after_us is not None or filters.updated_before_us is not None:
            return "updated"
        return "storage_id" if filters.created_after_us is filters.created_before_us is None else "created"
    if given not in ORDERS:
        raise UsageError(f"order_by={given!r}: runs are ordered by {', '.join(ORDERS)}")
    return given


def group(
    connection: sa.Connection, tables: Tables, log: EventLog, run_id: str, *, limit: int
) -> tuple[str, list[RunRecord]] | None:
    """The id of the first of a line of runs, and up to `limit` of them, the oldest first; None if there is no run."""
    runs = tables[RUNS]
    row = connection.execute(sa.select(runs.c.root_run_id).where(runs.c.run_id == keyed(run_id))).first()
    if row is None:
        return None
    root: str = row.root_run_id or keyed(run_id)
    later = sa.select(runs.c.run_id).where(runs.c.root_run_id == root, runs.c.run_id != root)
    found = connection.execute(later.order_by(runs.c.created_position).limit(max(limit - 1, 1)))
    named = [root, *(one for (one,) in found)]
    return root, find(connection, tables, log, RunsFilter(run_ids=named), ascending=True, limit=limit)


def exists(connection: sa.Connection, tables: Tables, run_id: str) -> bool:
    runs = tables[RUNS]
    return connection.execute(sa.select(runs.c.run_id).where(runs.c.run_id == keyed(run_id))).first() is not None


# -- tags ---------------------------------------------------------------------------------------------------------


def tags_of(connection: sa.Connection, tables: Tables, run_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The tags of some runs, by run id."""
    tags = tables[TAGS]
    wanted = list(run_ids)
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(wanted), _CHUNK):
        some = wanted[start : start + _CHUNK]
        query = sa.select(tags.c.run_id, tags.c.key, tags.c.value).where(tags.c.run_id.in_(some))
        for run_id, key, value in connection.execute(query.order_by(tags.c.run_id, tags.c.key)):
            found.setdefault(run_id, {})[key] = value
    return found


def tag_keys(connection: sa.Connection, tables: Tables, *, after: str | None, limit: int) -> list[str]:
    """Up to `limit` keys that some run has as a tag, ascending."""
    return list(connection.execute(distinct(tables[TAGS], "key", after=after, limit=limit)).scalars())


def tag_values(connection: sa.Connection, tables: Tables, key: str, *, prefix: str | None, limit: int) -> list[str]:
    """Up to `limit` values that some run has for a tag, ascending; only those that begin with `prefix`."""
    tags = tables[TAGS]
    where = [tags.c.key == keyed(key)]
    if prefix:
        where += [tags.c.value >= prefix, tags.c.value < prefix + chr(0x10FFFF)]
    return list(connection.execute(distinct(tags, "value", *where, limit=limit)).scalars())


# -- changes of status --------------------------------------------------------------------------------------------


def changes(
    connection: sa.Connection,
    tables: Tables,
    log: EventLog,
    filters: RunStatusChangeRecordsFilter,
    *,
    ascending: bool,
    limit: int,
) -> list[EventRecord]:
    """Up to `limit` changes of status of one type, by position."""
    source = tables[CHANGES].c
    of_type = source.type == filters.event_type
    arms = [of_type]
    where = [bound for bound in _bounds(connection, tables[CHANGES], filters) if bound is not None]
    names = None if filters.job_names is None else [keyed(name) for name in filters.job_names]
    if filters.storage_ids is not None:
        arms = [source.position.in_(filters.storage_ids)]
        where.append(loose(connection, source.type) == filters.event_type)
        if names is not None:
            where.append(loose(connection, source.job_name).in_(names))
    elif names is not None and len(names) <= ARMS:
        arms = [sa.and_(of_type, source.job_name == name) for name in names] or [sa.false()]
    elif names is not None:
        where.append(loose(connection, source.job_name).in_(names))
    selects = [sa.select(tables[CHANGES]).where(arm, *where) for arm in arms]
    rows = connection.execute(ordered(selects, [("position", ascending)], limit=limit))
    return [
        whole(log, shard=row.run_id, seq=row.seq, position=row.position, type=row.type, body=row.body) for row in rows
    ]


def _bounds(
    connection: sa.Connection, table: sa.Table, filters: RunStatusChangeRecordsFilter
) -> Iterable[sa.ColumnElement[bool] | None]:
    position, time = table.c.position, loose(connection, table.c.timestamp_us)
    for column, operator, bound in (
        (position, "__gt__", filters.after_storage_id),
        (position, "__lt__", filters.before_storage_id),
        (time, "__gt__", filters.after_timestamp_us),
        (time, "__lt__", filters.before_timestamp_us),
    ):
        yield None if bound is None else getattr(column, operator)(bound)


# -- rows as users see them ---------------------------------------------------------------------------------------


def run_record(row: RunRow, tags: Mapping[str, str], log: EventLog, born: bytes | None) -> RunRecord:
    """A row with the tags of the run and its RUN_CREATED."""
    fact = None if born is None else log.decode(Record(_CREATED, 0, RunCreated.KIND.flags, bytes(born))).fact
    return RunRecord(
        storage_id=row.created_position,
        run=Run(
            run_id=row.run_id,
            job_name=row.job_name,
            status=RunStatus(row.status),
            tags=dict(tags),
            parent_run_id=row.parent_run_id,
            root_run_id=row.root_run_id,
            **(_of_birth(fact) if isinstance(fact, RunCreated) else {}),
        ),
        created_us=row.created_us,
        updated_us=row.updated_us,
        enqueued_us=row.enqueued_us,
        launched_us=row.starting_us,
        started_us=row.started_us,
        ended_us=row.ended_us,
        failure_reason=row.failure_reason,
        failure_class=row.failure_class,
        failure_message=row.failure_message,
        ended_position=row.ended_position,
        last_position=row.last_position,
        ignored_ends=row.ignored_ends,
        ignored_status=RunStatus(row.ignored_status) if row.ignored_status else None,
    )


def _of_birth(fact: RunCreated) -> dict[str, Any]:
    return {
        "run_config": fact.run_config,
        "asset_selection": fact.asset_selection,
        "asset_check_selection": fact.asset_check_selection,
        "op_selection": fact.op_selection,
        "step_keys": fact.step_keys,
        "job_snapshot_id": fact.job_snapshot_id,
        "plan_snapshot_id": fact.plan_snapshot_id,
        "code_location": fact.code_location,
        "repository": fact.repository,
        "pools": fact.pools,
    }
