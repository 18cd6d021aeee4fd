"""The view of steps: one row a step of a run, over all its attempts.

Promises: the end of a step stands until another attempt begins; a worker that comes too late changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.event import Event, Topic
from ..events.step import (
    StepFailed,
    StepRestarted,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepUpForRetry,
)
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .records import StepRecord
from .rows import Rows
from .table import Key, Table, keyed, number, words


class StepRow(NamedTuple):
    """A step of a run. Times by the clock of its worker."""

    run_id: str
    step_key: str
    status: str
    attempts: int
    first_position: int
    last_position: int
    started_us: int | None
    ended_us: int | None
    error_class: str | None
    error_message: str | None


STEPS: Final = Table("steps_v1", StepRow, key=2)

_ENDED: Final = frozenset(("SUCCESS", "FAILURE", "SKIPPED"))
_RETRY: Final = "UP_FOR_RETRY"  #: an attempt is over, the step is not
_KINDS: Final = (StepStarted, StepRestarted, StepUpForRetry, StepSucceeded, StepFailed, StepSkipped)


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        for row in rows.select(STEPS, run_id=keyed(fact.run_id)):
            rows.delete(STEPS, row[:2])
        return
    key = _key(record)
    if key is not None:
        rows.put(STEPS, fold_step(rows.get(STEPS, key) or _first(key, record), record.event, record.position))


def fold_step(row: StepRow, event: Event[Any], position: int) -> StepRow:
    """The row after `event`."""
    now = event.timestamp_us
    row = row._replace(last_position=position)
    fact = event.fact
    attempts = max(row.attempts, number(getattr(fact, "attempt", 0)))
    match fact:
        case StepStarted() | StepRestarted():
            started_us = now if row.started_us is None else row.started_us
            return row._replace(status="STARTED", attempts=attempts, started_us=started_us, ended_us=None)
        case StepUpForRetry() if row.status not in _ENDED:
            return _with_error(row._replace(status=_RETRY, attempts=attempts), fact.error)
        case StepSucceeded() if row.status not in _ENDED:
            return row._replace(status="SUCCESS", attempts=attempts, ended_us=now)
        case StepFailed() if row.status not in _ENDED:
            return _with_error(row._replace(status="FAILURE", attempts=attempts, ended_us=now), fact.error)
        case StepSkipped() if row.status not in _ENDED:
            return row._replace(status="SKIPPED", ended_us=now)
    return row


def _with_error(row: StepRow, error: Any) -> StepRow:
    if error is None:
        return row
    return row._replace(error_class=words(error.class_name), error_message=words(error.message))


def _first(key: Key, record: Taken) -> StepRow:
    at = record.position
    return StepRow(key[0], key[1], "STARTED", 0, at, at, None, None, None, None)


def _key(record: Taken) -> Key | None:
    """None for an event of no run: there is no step it could tell of."""
    if record.run_id is None:
        return None
    return keyed(record.run_id), keyed(record.event.step_key or "")


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    key = _key(record)
    if key is not None:
        yield STEPS, key


PROJECTION: Final = Projection(
    name="steps",
    version=1,
    topics=Topic.STEP,
    types=frozenset(kind.KIND.name for kind in (*_KINDS, RunDeleted)),
    tables=(STEPS,),
    keys=keys,
    fold=fold,
    people={"steps": select_all(STEPS)},
)


def of_run(connection: sa.Connection, steps: sa.Table, run_id: str, *, limit: int) -> list[StepRecord]:
    """Up to `limit` steps of a run, in the order in which they were first heard of."""
    query = sa.select(steps).where(steps.c.run_id == keyed(run_id)).order_by(steps.c.first_position).limit(limit)
    rows = (StepRow._make(row) for row in connection.execute(query))
    return [
        StepRecord(
            run_id=row.run_id,
            step_key=row.step_key,
            status=row.status,
            attempts=row.attempts,
            started_us=row.started_us,
            ended_us=row.ended_us,
            error_class=row.error_class,
            error_message=row.error_message,
        )
        for row in rows
    ]


def ends_of(connection: sa.Connection, steps: sa.Table, run_id: str, step_keys: Collection[str]) -> dict[str, int]:
    """Of those steps of a run whose last attempt is over: the position of the event that says so."""
    wanted = {keyed(key): key for key in step_keys}
    query = sa.select(steps.c.step_key, steps.c.last_position).where(
        steps.c.run_id == keyed(run_id), steps.c.step_key.in_(list(wanted)), steps.c.status.in_([*_ENDED, _RETRY])
    )
    return {wanted[key]: position for key, position in connection.execute(query)}
