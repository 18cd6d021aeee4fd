"""The view of runs: one row a run, one row a tag of a run.

Promises: the first end of a run, by position, stands; later ones are counted and shown as ignored. After a request to
cancel, only an end changes the status. Filters and order are indexed columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.errorinfo import ErrorInfo
from ..events.event import Event, Fact, Topic
from ..events.run import (
    RunCanceled,
    RunCanceling,
    RunCreated,
    RunEnqueued,
    RunFailed,
    RunResumed,
    RunStarted,
    RunStarting,
    RunStatus,
    RunSucceeded,
    RunSuspended,
    RunTagsAdded,
    RunTagsRemoved,
)
from ..events.tombstone import RunDeleted
from ..log.log import EventRecord
from .projection import Projection, select_all
from .records import Run, RunRecord
from .rows import Rows
from .table import Key, Table, keyed, words


class RunRow(NamedTuple):
    """A run. Times by the clock of whoever recorded the event."""

    run_id: str
    created_position: int
    job_name: str
    status: str
    parent_run_id: str | None
    root_run_id: str | None
    created_us: int
    updated_us: int
    started_us: int | None
    ended_us: int | None
    ended_position: int | None
    last_position: int
    failure_reason: str | None
    failure_class: str | None
    failure_message: str | None
    ignored_ends: int
    ignored_status: str | None


class TagRow(NamedTuple):
    """A tag of a run, with the run's place in the order, so that one index answers a question by tag."""

    run_id: str
    key: str
    value: str
    created_position: int


RUNS: Final = Table(
    "runs_v1",
    RunRow,
    key=1,
    indexes=(
        ("created_position",),
        ("status", "created_position"),
        ("job_name", "created_position"),
        ("parent_run_id",),
        ("root_run_id",),
    ),
)
TAGS: Final = Table("run_tags_v1", TagRow, key=2, indexes=(("key", "value", "created_position"),))

_ENDS: Final[dict[type[Fact], RunStatus]] = {
    RunSucceeded: RunStatus.SUCCESS,
    RunFailed: RunStatus.FAILURE,
    RunCanceled: RunStatus.CANCELED,
}
_STAGES: Final[dict[type[Fact], RunStatus]] = {
    RunEnqueued: RunStatus.QUEUED,
    RunStarting: RunStatus.STARTING,
    RunStarted: RunStatus.STARTED,
    RunResumed: RunStatus.STARTED,
    RunSuspended: RunStatus.SUSPENDED,
    RunCanceling: RunStatus.CANCELING,
}
_KINDS: Final[tuple[type[Fact], ...]] = (RunCreated, RunTagsAdded, RunTagsRemoved, RunDeleted, *_ENDS, *_STAGES)


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: EventRecord) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        _drop(rows, keyed(fact.run_id))
        return
    if record.run_id is None:  # a run's life is told in its own shard
        return
    run_id = keyed(record.run_id)
    before: RunRow | None = rows.get(RUNS, (run_id,))
    after = fold_run(before or _first(run_id, record), record.event, _at(record), is_first=before is None)
    rows.put(RUNS, after)
    match fact:
        case RunCreated() | RunTagsAdded():
            for key, value in fact.tags.items():
                rows.put(TAGS, TagRow(run_id, keyed(key), keyed(value), after.created_position))
        case RunTagsRemoved():
            for key in fact.keys:
                rows.delete(TAGS, (run_id, keyed(key)))


def fold_run(row: RunRow, event: Event[Any], position: int, *, is_first: bool) -> RunRow:
    """The row after `event`. `is_first`: `row` is the blank one made for it."""
    fact = event.fact
    now = event.timestamp_us
    row = row._replace(updated_us=now, last_position=position)
    if type(fact) in _ENDS:
        return _ended(row, fact, _ENDS[type(fact)], now, position)
    over = RunStatus(row.status).is_finished
    match fact:
        case RunCreated():
            return row._replace(
                job_name=keyed(fact.job_name),
                status=str(fact.status) if is_first else row.status,
                parent_run_id=_keyed_or_none(fact.parent_run_id),
                root_run_id=_keyed_or_none(fact.root_run_id),
            )
        case RunStarted() if row.started_us is None and not over:
            row = row._replace(started_us=now)
    if type(fact) not in _STAGES or over or row.status == RunStatus.CANCELING:
        return row
    return row._replace(status=str(_STAGES[type(fact)]))


def _ended(row: RunRow, fact: Any, status: RunStatus, now: int, position: int) -> RunRow:
    if RunStatus(row.status).is_finished:
        return row._replace(ignored_ends=row.ignored_ends + 1, ignored_status=str(status))
    error: ErrorInfo | None = getattr(fact, "error", None)
    return row._replace(
        status=str(status),
        ended_us=now,
        ended_position=position,
        failure_reason=words(getattr(fact, "reason", None)),
        failure_class=words(error.class_name) if error else None,
        failure_message=words(error.message) if error else None,
    )


def _first(run_id: str, record: EventRecord) -> RunRow:
    """The row of a run of which nothing was known: it may tell of itself without RUN_CREATED."""
    event = record.event
    at = _at(record)
    return RunRow(
        run_id=run_id,
        created_position=at,
        job_name=keyed(event.job_name or ""),
        status=str(RunStatus.NOT_STARTED),
        parent_run_id=None,
        root_run_id=None,
        created_us=event.timestamp_us,
        updated_us=event.timestamp_us,
        started_us=None,
        ended_us=None,
        ended_position=None,
        last_position=at,
        failure_reason=None,
        failure_class=None,
        failure_message=None,
        ignored_ends=0,
        ignored_status=None,
    )


def _drop(rows: Rows, run_id: str) -> None:
    rows.delete(RUNS, (run_id,))
    for tag in rows.select(TAGS, run_id=run_id):
        rows.delete(TAGS, tag[:2])


def keys(record: EventRecord) -> Iterator[tuple[Table, Key]]:
    if record.run_id is not None:
        run_id = keyed(record.run_id)
        yield RUNS, (run_id,)
        fact = record.event.fact
        if isinstance(fact, RunCreated | RunTagsAdded):
            for key in fact.tags:
                yield TAGS, (run_id, keyed(key))


def _at(record: EventRecord) -> int:
    return record.position or 0


def _keyed_or_none(text: str | None) -> str | None:
    return None if text is None else keyed(text)


PROJECTION: Final = Projection(
    name="runs",
    version=1,
    topics=Topic.RUN,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(RUNS, TAGS),
    keys=keys,
    fold=fold,
    people={"runs": select_all(RUNS), "run_tags": select_all(TAGS)},
)


# -- questions --------------------------------------------------------------------------------------------------


class RunQuery(NamedTuple):
    """Which runs; all conditions hold at once."""

    run_ids: Collection[str] | None = None
    job_name: str | None = None
    statuses: Collection[RunStatus] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None  #: key -> the value, or any of several
    before: int | None = None  #: only those with a smaller storage id
    after: int | None = None  #: only those with a greater one


def find(
    connection: sa.Connection, runs: sa.Table, tags: sa.Table, query: RunQuery, *, limit: int, ascending: bool = False
) -> list[RunRecord]:
    """Up to `limit` runs, by storage id, the newest first."""
    source, place, where = _source(runs, tags, query)
    order = place.asc() if ascending else place.desc()
    found = sa.select(runs).select_from(source).where(*where).order_by(order).limit(limit)
    rows = [RunRow._make(row) for row in connection.execute(found)]
    of_run = tags_of(connection, tags, [row.run_id for row in rows])
    return [_record(row, of_run.get(row.run_id, {})) for row in rows]


def count(connection: sa.Connection, runs: sa.Table, tags: sa.Table, query: RunQuery) -> int:
    """How many runs there are."""
    source, _, where = _source(runs, tags, query)
    return connection.execute(sa.select(sa.func.count()).select_from(source).where(*where)).scalar_one()


def _source(
    runs: sa.Table, tags: sa.Table, query: RunQuery
) -> tuple[sa.FromClause, sa.ColumnElement[int], list[sa.ColumnElement[bool]]]:
    """Where to look, what to order by, and the conditions. With a tag, its index leads: it has the order as well."""
    wanted = [(key, [one] if isinstance(one, str) else list(one)) for key, one in (query.tags or {}).items()]
    source: sa.FromClause = runs
    place: sa.ColumnElement[int] = runs.c.created_position
    where: list[sa.ColumnElement[bool]] = []
    for number, (key, values) in enumerate(wanted):
        tag = tags.alias(f"tag{number}")
        source = source.join(tag, tag.c.run_id == runs.c.run_id)
        where += [tag.c.key == keyed(key), tag.c.value.in_([keyed(value) for value in values])]
        if number == 0:
            place = tag.c.created_position
    return source, place, [*where, *_conditions(runs, place, query)]


def tags_of(connection: sa.Connection, tags: sa.Table, run_ids: Iterable[str]) -> dict[str, dict[str, str]]:
    """The tags of some runs, by run id."""
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
