"""Questions about asset checks. The view itself: checks.py.

A plan that its run has carried out does not show beside the result. One that was not is PLANNED while its run lives;
after that EXECUTION_FAILED if the run failed, else SKIPPED. What a wipe of the asset, or of the partition, came after
does not show.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from ..errors import UsageError
from ..events.key import AssetCheckKey, AssetKey
from ..events.run import RunStatus
from ..log.log import EventLog, EventRecord
from .arms import loose, ordered, walk
from .asset_search import EventQuery, wiped_later
from .assets import ASSETS, EVENTS
from .checks import CHECKS, FAILED, PASSED, PLANNED
from .records import CheckRecord
from .runs import FINISHED, RUNS
from .table import Table, keyed
from .whole import whole

Tables = Mapping[Table, sa.Table]
EXECUTION_FAILED, SKIPPED = "EXECUTION_FAILED", "SKIPPED"
STATUSES = (PLANNED, PASSED, FAILED, EXECUTION_FAILED, SKIPPED)
TYPES = {"ASSET_CHECK_EVALUATION": (PASSED, FAILED), "ASSET_CHECK_EVALUATION_PLANNED": (PLANNED,)}
_STORED = (PLANNED, PASSED, FAILED)


def history(
    connection: sa.Connection,
    tables: Tables,
    log: EventLog,
    key: AssetCheckKey,
    *,
    statuses: Collection[str] | None = None,
    partition: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[CheckRecord]:
    """Up to `limit` executions of one check, the newest first."""
    if statuses is not None and (isinstance(statuses, str) or not set(statuses) <= set(STATUSES)):
        raise UsageError(f"status={statuses!r}: an execution of a check is {', '.join(STATUSES)}")
    checks = tables[CHECKS]
    shown = _status(tables)
    query = sa.select(checks, shown.label("shown")).where(
        checks.c.asset_key == keyed(key.asset_key.to_text()), checks.c.check_name == keyed(key.name)
    )
    query = query.where(*_shows(tables, key.asset_key))
    if before is not None:
        query = query.where(checks.c.position < before)
    if partition is not None:
        query = query.where(loose(connection, checks.c.partition) == keyed(partition))
    arms = []
    for stored in _STORED:
        arm = walk(query.where(checks.c.status == stored), checks, "asset_key", "check_name", "status")
        if statuses is None:
            arms.append(arm)
        elif stored == PLANNED and {PLANNED, EXECUTION_FAILED, SKIPPED} & set(statuses):
            arms.append(arm.where(shown.in_(sorted(set(statuses)))))
        elif stored in statuses:
            arms.append(arm)
    if not arms:
        return []
    return [
        check_record(log, row)
        for row in connection.execute(ordered(connection, arms, [("position", False)], limit=limit))
    ]


def of_asset(
    connection: sa.Connection, tables: Tables, log: EventLog, key: AssetKey, *, limit: int
) -> list[CheckRecord]:
    """Up to `limit` executions of all checks of an asset, the newest first."""
    checks = tables[CHECKS]
    query = sa.select(checks, _status(tables).label("shown")).where(checks.c.asset_key == keyed(key.to_text()))
    query = query.where(*_shows(tables, key)).order_by(checks.c.position.desc()).limit(limit)
    query = walk(query, checks, "asset_key", "position")
    return [check_record(log, row) for row in connection.execute(query)]


def events(
    connection: sa.Connection, tables: Tables, log: EventLog, query: EventQuery, *, ascending: bool, limit: int
) -> list[EventRecord]:
    """Up to `limit` evaluations, or plans of them, by position: whole events."""
    checks = tables[CHECKS]
    time = loose(connection, checks.c.timestamp_us)
    statuses = TYPES[query.type]
    found = sa.select(checks).where(*_bounds(checks.c.position, query.after, query.before))
    found = found.where(*_bounds(time, query.after_us, query.before_us), *_not_wiped(tables, query.asset_key))
    if query.partitions is not None:
        found = found.where(loose(connection, checks.c.partition).in_([keyed(one) for one in query.partitions]))
    if query.ids is not None:
        of_type = loose(connection, checks.c.status).in_(statuses)
        arms = [found.where(checks.c.position.in_(query.ids), of_type)]
        if query.asset_key is not None:
            named = loose(connection, checks.c.asset_key) == keyed(query.asset_key.to_text())
            arms = [arm.where(named) for arm in arms]
    elif query.asset_key is not None:
        of_type = loose(connection, checks.c.status).in_(statuses)
        named = checks.c.asset_key == keyed(query.asset_key.to_text())
        arms = [walk(found.where(named, of_type), checks, "asset_key", "position")]
    else:
        each = [found.where(checks.c.status == status) for status in statuses]
        arms = [walk(one, checks, "status", "position") for one in each]
    rows = connection.execute(ordered(connection, arms, [("position", ascending)], limit=limit))
    return [_event(log, row) for row in rows]


def _bounds(column: sa.ColumnElement[int], above: int | None, below: int | None) -> list[sa.ColumnElement[bool]]:
    return [*([] if above is None else [column > above]), *([] if below is None else [column < below])]


def _status(tables: Tables) -> sa.ColumnElement[str]:
    checks, runs = tables[CHECKS], tables[RUNS].alias("planner")
    state = sa.select(runs.c.status).where(runs.c.run_id == checks.c.run_id).scalar_subquery()
    return sa.case(
        (checks.c.status != PLANNED, checks.c.status),
        (checks.c.run_id.is_(None), sa.literal(PLANNED)),
        (state.not_in(FINISHED), sa.literal(PLANNED)),
        (state == str(RunStatus.FAILURE), sa.literal(EXECUTION_FAILED)),
        else_=sa.literal(SKIPPED),
    )


def _not_wiped(tables: Tables, key: AssetKey | None) -> list[sa.ColumnElement[bool]]:
    checks, assets = tables[CHECKS], tables[ASSETS].alias("of_asset")
    text: Any = checks.c.asset_key if key is None else keyed(key.to_text())
    wiped = sa.select(assets.c.wiped_position).where(assets.c.asset_key == text).scalar_subquery()
    return [checks.c.position > sa.func.coalesce(wiped, 0), ~wiped_later(checks, tables[EVENTS].alias("wipe"))]


def _shows(tables: Tables, key: AssetKey) -> list[sa.ColumnElement[bool]]:
    """Not wiped, and no plan that was carried out."""
    checks, done = tables[CHECKS], tables[CHECKS].alias("done")
    carrying_out = sa.select(done.c.position).where(
        done.c.run_id == checks.c.run_id,
        done.c.asset_key == checks.c.asset_key,
        done.c.check_name == checks.c.check_name,
        done.c.status != PLANNED,
        sa.func.coalesce(done.c.partition, "") == sa.func.coalesce(checks.c.partition, ""),
    )
    carried_out = sa.exists(walk(carrying_out, done, "run_id"))
    return [*_not_wiped(tables, key), sa.or_(checks.c.status != PLANNED, ~carried_out)]


def check_record(log: EventLog, row: Any) -> CheckRecord:
    """A row as users see it."""
    return CheckRecord(
        asset_key=AssetKey.from_text(row.asset_key),
        check_name=row.check_name,
        status=row.shown,
        severity=row.severity,
        partition=row.partition,
        position=row.position,
        run_id=row.run_id,
        timestamp_us=row.timestamp_us,
        metadata=json.loads(row.metadata) if row.metadata else {},
        event=_event(log, row),
    )


def _event(log: EventLog, row: Any) -> EventRecord:
    kind = "ASSET_CHECK_EVALUATION_PLANNED" if row.status == PLANNED else "ASSET_CHECK_EVALUATION"
    return whole(log, shard=row.shard, seq=row.seq, position=row.position, type=kind, body=row.body)
