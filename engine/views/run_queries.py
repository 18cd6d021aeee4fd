"""Questions about runs. The view itself: runs.py; how runs are found: run_search.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import UsageError
from ..events.event import Record
from ..events.run import RunCreated, RunStatus
from ..log.log import EventLog, EventRecord
from .arms import ARMS, Written, distinct, loose, ordered
from .filters import RunsFilter
from .question import Ask, Question, Tables, given, padded, several, spread
from .rare import RARE
from .records import Run, RunRecord
from .run_search import ORDERS, VIEW, Search
from .runs import CHANGES, RUNS, TAGS, RunRow
from .table import Table, keyed
from .whole import whole

_CREATED = RunCreated.KIND.name
_BIRTH = int(RunCreated.KIND.flags)
_STATUS = {str(status): status for status in RunStatus}
_CHUNK = 500  #: runs whose tags are fetched in one statement


def find(
    ask: Ask,
    log: EventLog,
    filters: RunsFilter,
    *,
    order: str = "storage_id",
    ascending: bool = False,
    cursor: str | None = None,
    limit: int,
) -> list[RunRecord]:
    """Up to `limit` runs in order; behind the run `cursor`, none if it has no place there."""
    search = Search(ask, filters)
    behind = None
    if cursor is not None:
        behind = search.place_of(cursor, order)
        if behind is None:
            return []
    rows = search.page(order=order, ascending=ascending, behind=behind, limit=limit)
    of_run = tags_of(ask, [row[0] for row in rows])
    return [run_record(RunRow._make(row[:-3]), of_run.get(row[0], {}), log, row[-3]) for row in rows]


def ids(ask: Ask, filters: RunsFilter, *, cursor: str | None = None, limit: int) -> list[str]:
    """Up to `limit` run ids, the newest first."""
    search, order = Search(ask, filters), order_of(None, filters)
    behind = None if cursor is None else search.place_of(cursor, order)
    if cursor is not None and behind is None:
        return []
    return [row[0] for row in search.page(order=order, ascending=False, behind=behind, limit=limit, ids_only=True)]


def order_of(given: str | None, filters: RunsFilter) -> str:
    """The order that is meant: by storage id, or by the time that the filter bounds. Raises UsageError for none."""
    if given is None:
        if filters.updated_after_us is not None or filters.updated_before_us is not None:
            return "updated"
        return "storage_id" if filters.created_after_us is filters.created_before_us is None else "created"
    if given not in ORDERS:
        raise UsageError(f"order_by={given!r}: runs are ordered by {', '.join(ORDERS)}")
    return given


def group(ask: Ask, log: EventLog, run_id: str, *, limit: int) -> tuple[str, list[RunRecord]] | None:
    """The id of the first of a line of runs, and up to `limit` of them, the oldest first; None if there is no run."""
    rows = ask(_ROOT, run_id=keyed(run_id))
    if not rows:
        return None
    root: str = rows[0][0] or keyed(run_id)
    named = [root, *(one for (one,) in ask(_LINE, root=root, most=max(limit - 1, 1)))]
    return root, find(ask, log, RunsFilter(run_ids=named), ascending=True, limit=limit)


_ROOT = Question(VIEW, lambda t, _: sa.select(t[RUNS].c.root_run_id).where(t[RUNS].c.run_id == given("run_id")))
_LINE = Question(
    VIEW,
    lambda t, _: (
        sa.select(t[RUNS].c.run_id)
        .where(t[RUNS].c.root_run_id == given("root"), t[RUNS].c.run_id != given("root"))
        .order_by(t[RUNS].c.created_position)
        .limit(given("most"))
    ),
)
#: whether there is a run
EXISTS = Question(VIEW, lambda t, _: sa.select(t[RUNS].c.run_id).where(t[RUNS].c.run_id == given("run_id")))


# -- tags ---------------------------------------------------------------------------------------------------------


def tags_of(ask: Ask, run_ids: Sequence[str]) -> dict[str, dict[str, str]]:
    """The tags of some runs, by run id."""
    found: dict[str, dict[str, str]] = {}
    for start in range(0, len(run_ids), _CHUNK):
        some = padded(run_ids[start : start + _CHUNK])
        for run_id, key, value in ask(_tags(len(some)), **spread("run", some)):
            found.setdefault(run_id, {})[key] = value
    return found


@lru_cache
def _tags(count: int) -> Question:
    def build(tables: Tables, _: sa.Dialect) -> sa.Select[Any]:
        tags = tables[TAGS].c
        query = sa.select(tags.run_id, tags.key, tags.value).where(tags.run_id.in_(several("run", count)))
        return query.order_by(tags.run_id, tags.key)

    return Question(VIEW, build)


def tag_keys(connection: sa.Connection, tables: Tables, *, after: str | None, limit: int) -> list[str]:
    """Up to `limit` keys that some run has as a tag, ascending."""
    return list(connection.execute(distinct(connection, tables[TAGS], "key", after=after, limit=limit)).scalars())


def tag_values(connection: sa.Connection, tables: Tables, key: str, *, prefix: str | None, limit: int) -> list[str]:
    """Up to `limit` values that some run has for a tag, ascending; only those that begin with `prefix`."""
    tags = tables[TAGS]
    where = [tags.c.key == keyed(key)]
    if prefix:
        where += [tags.c.value >= prefix, tags.c.value < prefix + chr(0x10FFFF)]
    return list(connection.execute(distinct(connection, tags, "value", *where, limit=limit)).scalars())


# -- changes of status, and rare events ---------------------------------------------------------------------------


class OfType(NamedTuple):
    """Which events of runs, all of one type."""

    type: str
    after: int | None = None  #: positions
    before: int | None = None
    after_us: int | None = None
    before_us: int | None = None
    ids: Collection[int] | None = None
    job_names: Collection[str] | None = None


class _Form(NamedTuple):
    """What a question for events of runs asks, without the values."""

    view: str
    table: Table
    ids: int | None
    jobs: int | None
    bounds: tuple[bool, bool, bool, bool]  #: after and before a position, after and before a time
    ascending: bool


def changes(ask: Ask, log: EventLog, query: OfType, *, ascending: bool, limit: int) -> list[EventRecord]:
    """Up to `limit` changes of status of one type, by position."""
    return _events(ask, log, VIEW, CHANGES, query, ascending=ascending, limit=limit)


def rare_events(ask: Ask, log: EventLog, query: OfType, *, ascending: bool, limit: int) -> list[EventRecord]:
    """Up to `limit` rare events of one type, by position."""
    return _events(ask, log, "rare", RARE, query, ascending=ascending, limit=limit)


def _events(
    ask: Ask, log: EventLog, view: str, table: Table, query: OfType, *, ascending: bool, limit: int
) -> list[EventRecord]:
    kind, after, before, after_us, before_us, ids, names = query
    bounds = {"after": after, "before": before, "after_us": after_us, "before_us": before_us}
    values = {"type": kind, "most": limit, **{name: one for name, one in bounds.items() if one is not None}}
    values |= spread("id", list(ids or ())) | spread("job", [keyed(name) for name in names or ()])
    given_bounds = (after is not None, before is not None, after_us is not None, before_us is not None)
    counts = (None if ids is None else len(ids), None if names is None else len(names))
    rows = ask(_of_type(_Form(view, table, *counts, given_bounds, ascending)), **values)
    return [
        whole(log, shard=run_id, seq=seq, position=position, type=kind, body=body)
        for position, run_id, seq, body in rows
    ]


@lru_cache(256)
def _of_type(form: _Form) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        source, written = tables[form.table].c, Written(dialect)
        of_type = source.type == given("type")
        arms = [of_type]
        where = list(_bounds(form, source, written))
        names = None if form.jobs is None else several("job", form.jobs)
        if form.ids is not None:
            arms = [source.position.in_(several("id", form.ids)) if form.ids else sa.false()]
            where.append(loose(written, source.type) == given("type"))
        if names is not None and (form.ids is not None or len(names) > ARMS):
            where.append(loose(written, source.job_name).in_(names) if names else sa.false())
        elif names is not None:
            arms = [sa.and_(of_type, source.job_name == name) for name in names] or [sa.false()]
        columns = source.position, source.run_id, source.seq, source.body
        selects = [sa.select(*columns).where(arm, *where) for arm in arms]
        return ordered(written, selects, [("position", form.ascending)], limit=given("most"))

    return Question(form.view, build)


def _bounds(form: _Form, source: Any, written: Written) -> list[sa.ColumnElement[bool]]:
    position, time = source.position, loose(written, source.timestamp_us)
    every = [position > given("after"), position < given("before")]
    every += [time > given("after_us"), time < given("before_us")]
    return [one for one, wanted in zip(every, form.bounds, strict=True) if wanted]


# -- rows as users see them ---------------------------------------------------------------------------------------


def run_record(row: RunRow, tags: Mapping[str, str], log: EventLog, born: bytes | None) -> RunRecord:
    """A row with the tags of the run and its RUN_CREATED.

    By place, not by name: of all that an answer costs, naming thirty fields of each run would be a fifth.
    """
    fact = None if born is None else log.decode(Record(_CREATED, 0, _BIRTH, bytes(born))).fact
    known = (row.run_id, row.job_name, _STATUS[row.status], dict(tags), row.parent_run_id, row.root_run_id)
    run = Run(*known, *_of_birth(fact)) if isinstance(fact, RunCreated) else Run(*known)
    return RunRecord(
        row.created_position,
        run,
        row.created_us,
        row.updated_us,
        row.last_position,
        row.enqueued_us,
        row.starting_us,
        row.started_us,
        row.ended_us,
        row.failure_reason,
        row.failure_class,
        row.failure_message,
        row.ended_position,
        row.ignored_ends,
        RunStatus(row.ignored_status) if row.ignored_status else None,
    )


def _of_birth(fact: RunCreated) -> tuple[Any, ...]:
    """The fields of `Run` from `run_config` on, in their order."""
    return (
        fact.run_config,
        fact.asset_selection,
        fact.asset_check_selection,
        fact.op_selection,
        fact.step_keys,
        fact.job_snapshot_id,
        fact.plan_snapshot_id,
        fact.code_location,
        fact.repository,
        fact.pools,
    )
