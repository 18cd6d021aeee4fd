"""Questions about schedules and sensors. The view itself: instigators.py."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from .arms import past
from .instigators import SCHEDULE, SENSOR, InstigatorRow
from .orchestration_records import InstigatorState
from .paging import any_of
from .table import keyed, text_of

STATUSES = ("RUNNING", "STOPPED", "DECLARED_IN_CODE")
_ORDER = (("code_location", False), ("name", False))


def states(
    connection: sa.Connection,
    source: sa.Table,
    instigator_type: str,
    *,
    statuses: Collection[str] | None = None,
    after: tuple[str, str] | None = None,
    limit: int,
) -> list[InstigatorState]:
    """Up to `limit` of a type, by code location and name; `after`: behind these two."""
    wanted = sa.select(source).where(source.c.instigator_type == instigator_type)
    if after is not None:
        end = [sa.literal(keyed(text)) for text in after]
        wanted = wanted.where(past(connection, (source.c.code_location, source.c.name), end))

    def of_status(status: str) -> sa.Select[Any]:
        return wanted.where(source.c.status == status)

    if statuses is None:
        query: Any = wanted.order_by(source.c.code_location, source.c.name).limit(limit)
    else:
        query = any_of(connection, of_status, statuses, order=_ORDER, limit=limit)
    return [_record(InstigatorRow._make(row)) for row in connection.execute(query)]


def state(connection: sa.Connection, source: sa.Table, name: str, code_location: str | None) -> InstigatorState | None:
    """The schedule of that name, or else the sensor."""
    query = sa.select(source).where(
        source.c.instigator_type.in_([SCHEDULE, SENSOR]),
        source.c.code_location == keyed(code_location or ""),
        source.c.name == keyed(name),
    )
    row = connection.execute(query.order_by(source.c.instigator_type).limit(1)).first()
    return None if row is None else _record(InstigatorRow._make(row))


def _record(row: InstigatorRow) -> InstigatorState:
    return InstigatorState(
        instigator_type=row.instigator_type,
        name=row.name,
        code_location=row.code_location or None,
        status=row.status,
        status_us=row.status_us,
        stop_reason=row.stop_reason,
        automatic=bool(row.automatic),
        cron=row.cron,
        time_zone=row.time_zone,
        minimum_interval_us=row.minimum_interval_us,
        cursor=text_of(row.cursor),
        advanced_us=row.advanced_us,
        last_tick_id=row.tick_id,
        last_tick_status=row.tick_status,
        last_tick_us=row.tick_us,
        last_tick_scheduled_us=row.tick_scheduled_us,
        failure_count=row.failure_count,
        last_run_key=row.run_key,
        storage_id=row.first_position,
        updated_us=row.updated_us,
    )
