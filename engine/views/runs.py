"""The view of runs: one row a run, one a tag of a run, one a change of its status, and RUN_CREATED as it was recorded.

Promises: the first end of a run, by position, stands; later ones are counted and shown as ignored. After a request to
cancel, only an end changes the status. Filters and order are indexed columns.
Not here: questions (run_queries.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

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
from ..events.tags import BACKFILL_TAG
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, keyed_or_none, words


class RunRow(NamedTuple):
    """A run. Times by the clock of whoever recorded the event."""

    run_id: str
    created_position: int
    job_name: str
    status: str
    parent_run_id: str | None
    root_run_id: str | None
    job_snapshot_id: str | None
    plan_snapshot_id: str | None
    code_location: str | None
    backfill_id: str | None  #: by its tag, one of `BACKFILL_TAGS`
    created_us: int
    updated_us: int
    enqueued_us: int | None  #: the first time; so are the next two
    starting_us: int | None
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


class BirthRow(NamedTuple):
    """RUN_CREATED as it is stored. Apart from the run's row, which each change of status rewrites."""

    run_id: str
    seq: int
    position: int
    body: bytes


class ChangeRow(NamedTuple):
    """An event that may have changed a run's status, whole. It goes with its run."""

    position: int
    run_id: str
    seq: int
    type: str
    job_name: str
    timestamp_us: int
    body: bytes


# Time comes second in an index, and the place in the timeline last: it breaks ties, and a cursor can rest on it.
RUNS: Final = Table(
    "runs_v2",
    RunRow,
    key=1,
    late=(
        ("created_position",),
        ("created_us", "created_position"),
        ("updated_us", "created_position"),
        ("started_us", "created_position"),
        ("ended_us", "created_position"),
        ("status", "created_position"),
        ("status", "updated_us", "created_position"),
        ("job_name", "created_position"),
        ("job_name", "updated_us", "created_position"),
        ("job_snapshot_id", "created_position"),
        ("backfill_id", "created_position"),
        ("parent_run_id", "created_position"),
        ("root_run_id", "created_position"),
    ),
    of_run=True,
)
TAGS: Final = Table("run_tags_v2", TagRow, key=2, late=(("key", "value", "created_position"),), of_run=True)
BIRTHS: Final = Table("run_births_v2", BirthRow, key=1, of_run=True, wide=True)
CHANGES: Final = Table(
    "run_changes_v2",
    ChangeRow,
    key=1,
    indexes=(("run_id", "position"),),
    late=(("type", "position"), ("type", "job_name", "position")),
    wide=True,
)

#: each names the backfill that a run belongs to; the second is what histories from elsewhere have
BACKFILL_TAGS: Final = (BACKFILL_TAG, "dagster/backfill")

FINISHED: Final = tuple(str(status) for status in RunStatus if status.is_finished)  #: of a run that is over
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


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        if record.run_id is None:
            _drop(rows, keyed(fact.run_id))
        return
    if record.run_id is None:  # a run's life is told in its own shard
        return
    run_id = record.run_id
    before: RunRow | None = rows.get(RUNS, (run_id,))
    after = fold_run(before or _first(run_id, record), record.event, record.position, is_first=before is None)
    match fact:
        case RunCreated() | RunTagsAdded():
            for key, value in fact.tags.items():
                rows.put(TAGS, TagRow(run_id, keyed(key), keyed(value), after.created_position))
            after = _with_backfill(rows, after, fact.tags)
            if isinstance(fact, RunCreated):
                rows.put(BIRTHS, BirthRow(run_id, record.seq, record.position, record.body))
        case RunTagsRemoved():
            for key in fact.keys:
                rows.delete(TAGS, (run_id, keyed(key)))
            after = _with_backfill(rows, after, fact.keys)
        case _:
            rows.add(CHANGES, _change(run_id, after.job_name, record))
    rows.put(RUNS, after)


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
                parent_run_id=keyed_or_none(fact.parent_run_id),
                root_run_id=keyed_or_none(fact.root_run_id),
                job_snapshot_id=keyed_or_none(fact.job_snapshot_id),
                plan_snapshot_id=keyed_or_none(fact.plan_snapshot_id),
                code_location=keyed_or_none(fact.code_location),
            )
        case RunStarted() if row.started_us is None and not over:
            row = row._replace(started_us=now)
        case RunEnqueued() if row.enqueued_us is None and not over:
            row = row._replace(enqueued_us=now)
        case RunStarting() if row.starting_us is None and not over:
            row = row._replace(starting_us=now)
    if type(fact) not in _STAGES:
        return row
    return row._replace(status=str(status_after(RunStatus(row.status), fact)))


def status_after(status: RunStatus, fact: Fact) -> RunStatus:
    """The status of a run after one more of its facts. The first end stands; one that is to stop is begun no more."""
    if status.is_finished:
        return status
    if isinstance(fact, RunCreated):
        return fact.status if status is RunStatus.NOT_STARTED else status
    if type(fact) in _ENDS:
        return _ENDS[type(fact)]
    return status if status is RunStatus.CANCELING else _STAGES.get(type(fact), status)


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


def _first(run_id: str, record: Taken) -> RunRow:
    """The row of a run of which nothing was known: it may tell of itself without RUN_CREATED."""
    event = record.event
    at = record.position
    return RunRow(
        run_id=run_id,
        created_position=at,
        job_name=keyed(event.job_name or ""),
        status=str(RunStatus.NOT_STARTED),
        parent_run_id=None,
        root_run_id=None,
        job_snapshot_id=None,
        plan_snapshot_id=None,
        code_location=None,
        backfill_id=None,
        created_us=event.timestamp_us,
        updated_us=event.timestamp_us,
        enqueued_us=None,
        starting_us=None,
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


def _with_backfill(rows: Rows, row: RunRow, changed: Collection[str]) -> RunRow:
    """The row after some of the run's tags have changed."""
    if not any(key in changed for key in BACKFILL_TAGS):
        return row
    tags: list[TagRow | None] = [rows.get(TAGS, (row.run_id, key)) for key in BACKFILL_TAGS]
    return row._replace(backfill_id=next((tag.value for tag in tags if tag is not None), None))


def _change(run_id: str, job_name: str, record: Taken) -> ChangeRow:
    return ChangeRow(
        position=record.position,
        run_id=run_id,
        seq=record.seq,
        type=record.event.type,
        job_name=job_name,
        timestamp_us=record.event.timestamp_us,
        body=record.body,
    )


def _drop(rows: Rows, run_id: str) -> None:
    rows.delete(RUNS, (run_id,))
    rows.delete(BIRTHS, (run_id,))
    for table in (TAGS, CHANGES):
        rows.clear(table, run_id=run_id)


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    if record.run_id is not None:
        run_id = record.run_id
        yield RUNS, (run_id,)
        fact = record.event.fact
        if isinstance(fact, RunCreated):
            yield BIRTHS, (run_id,)
        if isinstance(fact, RunCreated | RunTagsAdded):
            for key in fact.tags:
                yield TAGS, (run_id, keyed(key))


PROJECTION: Final = Projection(
    name="runs",
    version=2,
    topics=Topic.RUN,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(RUNS, TAGS, BIRTHS, CHANGES),
    keys=keys,
    fold=fold,
    people={
        "runs": select_all(RUNS),
        "run_tags": select_all(TAGS),
        "run_status_changes": select_all(CHANGES, but=("body",)),
    },
)
