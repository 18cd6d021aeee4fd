"""Questions about ticks and run keys. The view itself: ticks.py."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa

from .arms import past
from .orchestration_records import TickRecord
from .paging import any_of, chunks
from .table import keyed, text_of
from .ticks import TickRow

STATUSES = ("STARTED", "REQUESTED", "SUCCESS", "SKIPPED", "FAILURE")
_ORDER = (("timestamp_us", True), ("position", True))


class TickQuery(NamedTuple):
    """Which ticks; all conditions hold at once."""

    name: str | None = None  #: of the schedule or sensor
    code_location: str | None = None  #: only with a name
    statuses: Collection[str] | None = None
    before_us: int | None = None  #: only those with an earlier timestamp
    after_us: int | None = None  #: only those with a later one


def find(
    connection: sa.Connection, source: sa.Table, query: TickQuery, *, behind: TickRecord | None = None, limit: int
) -> list[TickRecord]:
    """Up to `limit` ticks, the newest first; `behind`: only older ones than that."""
    wanted = sa.select(source).where(*_conditions(source, query))
    if behind is not None:
        here, place = (source.c.timestamp_us, source.c.position), (behind.timestamp_us, behind.position)
        wanted = wanted.where(past(connection, here, [sa.literal(one) for one in place], ascending=False))

    def of_status(status: str) -> sa.Select[Any]:
        return wanted.where(source.c.status == status)

    if query.statuses is None:
        page: Any = wanted.order_by(source.c.timestamp_us.desc(), source.c.position.desc()).limit(limit)
    else:
        page = any_of(connection, of_status, query.statuses, order=_ORDER, limit=limit)
    return [_record(TickRow._make(row)) for row in connection.execute(page)]


def counts(connection: sa.Connection, source: sa.Table, query: TickQuery) -> dict[str, int]:
    """How many ticks there are of each status; those of which there is none are left out."""
    statuses = STATUSES if query.statuses is None else query.statuses
    found = {}
    for status in sorted(set(statuses)):  # one range of an index each
        wanted = sa.select(sa.func.count()).select_from(source)
        wanted = wanted.where(*_conditions(source, query), source.c.status == status)
        if count := connection.execute(wanted).scalar_one():
            found[status] = count
    return found


def by_ids(connection: sa.Connection, source: sa.Table, tick_ids: Collection[str]) -> list[TickRecord]:
    """These ticks, in the order of `tick_ids`; those that are not there are left out."""
    found: dict[str, TickRecord] = {}
    for some in chunks(tick_ids):
        query = sa.select(source).where(source.c.tick_id.in_([keyed(one) for one in some]))
        for row in connection.execute(query):
            found.setdefault(row.tick_id, _record(TickRow._make(row)))
    return [found[keyed(one)] for one in dict.fromkeys(tick_ids) if keyed(one) in found]


def run_of_key(connection: sa.Connection, source: sa.Table, key: tuple[str, ...]) -> tuple[str | None] | None:
    """The run a run key belongs to, in a tuple, for a key may be used up without a run; None: it is free."""
    columns = list(source.primary_key.columns)
    query = sa.select(source.c.run_id).where(*(column == value for column, value in zip(columns, key, strict=True)))
    row = connection.execute(query).first()
    return None if row is None else (row.run_id,)


def _conditions(source: sa.Table, query: TickQuery) -> list[sa.ColumnElement[bool]]:
    where: list[sa.ColumnElement[bool]] = []
    if query.name is not None:
        where.append(source.c.name == keyed(query.name))
    if query.code_location is not None:
        where.append(source.c.code_location == keyed(query.code_location))
    if query.before_us is not None:
        where.append(source.c.timestamp_us < query.before_us)
    if query.after_us is not None:
        where.append(source.c.timestamp_us > query.after_us)
    return where


def _record(row: TickRow) -> TickRecord:
    done = row.succeeded_position is not None
    ends = (
        (row.succeeded_position, row.succeeded_us),
        (row.failed_position, row.failed_us),
        (row.skipped_position, row.skipped_us),
    )
    ended = max((position, at) for position, at in ends if position is not None) if any(e[0] for e in ends) else None
    scheduled = (row.scheduled_us, row.started_scheduled_us, row.skipped_scheduled_us)
    return TickRecord(
        tick_id=row.tick_id,
        instigator_type=row.instigator_type,
        name=row.name,
        code_location=row.code_location or None,
        status=row.status,
        timestamp_us=row.timestamp_us,
        position=row.position,
        scheduled_us=next((us for us in scheduled if us is not None), None),
        attempt=row.attempt,
        started_us=row.started_us,
        requested_us=row.requested_us,
        ended_us=ended[1] if ended else None,
        run_ids=_texts(row.run_ids if done else row.reserved_run_ids),
        run_keys=_texts(row.run_keys if done else row.reserved_run_keys),
        cursor=text_of(row.cursor),
        skip_reason=row.skip_reason,
        failure_count=row.failure_count,
        error_class=row.error_class,
        error_message=row.error_message,
    )


def _texts(text: str | None) -> tuple[str, ...]:
    return tuple(json.loads(text)) if text else ()
