"""Questions about runs. The view itself: runs.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from ..events.run import RunStatus
from .records import Run, RunRecord
from .runs import RUNS, TAGS, RunRow
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]


class RunQuery(NamedTuple):
    """Which runs; all conditions hold at once."""

    run_ids: Collection[str] | None = None
    job_name: str | None = None
    statuses: Collection[RunStatus] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None  #: key -> the value, or any of several
    before: int | None = None  #: only those with a smaller storage id
    after: int | None = None  #: only those with a greater one
    ended_before_us: int | None = None  #: only those that ended before this moment


def find(
    connection: sa.Connection, tables: Tables, query: RunQuery, *, limit: int, ascending: bool = False
) -> list[RunRecord]:
    """Up to `limit` runs, by storage id, the newest first."""
    source, place, where = _source(tables, query)
    order = place.asc() if ascending else place.desc()
    found = sa.select(tables[RUNS]).select_from(source).where(*where).order_by(order).limit(limit)
    rows = [RunRow._make(row) for row in connection.execute(found)]
    of_run = tags_of(connection, tables, [row.run_id for row in rows])
    return [_record(row, of_run.get(row.run_id, {})) for row in rows]


def count(connection: sa.Connection, tables: Tables, query: RunQuery) -> int:
    """How many runs there are."""
    source, _, where = _source(tables, query)
    return connection.execute(sa.select(sa.func.count()).select_from(source).where(*where)).scalar_one()


def _source(
    tables: Tables, query: RunQuery
) -> tuple[sa.FromClause, sa.ColumnElement[int], list[sa.ColumnElement[bool]]]:
    """Where to look, what to order by, and the conditions. With a tag, its index leads: it has the order as well."""
    wanted = [(key, [one] if isinstance(one, str) else list(one)) for key, one in (query.tags or {}).items()]
    runs = tables[RUNS]
    source: sa.FromClause = runs
    place: sa.ColumnElement[int] = runs.c.created_position
    where: list[sa.ColumnElement[bool]] = []
    for number, (key, values) in enumerate(wanted):
        tag = tables[TAGS].alias(f"tag{number}")
        source = source.join(tag, tag.c.run_id == runs.c.run_id)
        where += [tag.c.key == keyed(key), tag.c.value.in_([keyed(value) for value in values])]
        if number == 0:
            place = tag.c.created_position
    return source, place, [*where, *_conditions(runs, place, query)]


def tags_of(connection: sa.Connection, tables: Tables, run_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The tags of some runs, by run id."""
    tags = tables[TAGS]
    found: dict[str, dict[str, str]] = {}
    query = sa.select(tags.c.run_id, tags.c.key, tags.c.value).where(tags.c.run_id.in_(list(run_ids)))
    for run_id, key, value in connection.execute(query.order_by(tags.c.run_id, tags.c.key)):
        found.setdefault(run_id, {})[key] = value
    return found


def _conditions(runs: sa.Table, place: sa.ColumnElement[int], query: RunQuery) -> Iterator[sa.ColumnElement[bool]]:
    if query.run_ids is not None:
        yield runs.c.run_id.in_([keyed(one) for one in query.run_ids])
    if query.job_name is not None:
        yield runs.c.job_name == keyed(query.job_name)
    if query.statuses is not None:
        yield runs.c.status.in_([str(RunStatus(status)) for status in query.statuses])
    if query.before is not None:
        yield place < query.before
    if query.after is not None:
        yield place > query.after
    if query.ended_before_us is not None:
        yield runs.c.ended_us < query.ended_before_us


def _record(row: RunRow, tags: dict[str, str]) -> RunRecord:
    return RunRecord(
        storage_id=row.created_position,
        run=Run(
            run_id=row.run_id,
            job_name=row.job_name,
            status=RunStatus(row.status),
            tags=tags,
            parent_run_id=row.parent_run_id,
            root_run_id=row.root_run_id,
        ),
        created_us=row.created_us,
        updated_us=row.updated_us,
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
