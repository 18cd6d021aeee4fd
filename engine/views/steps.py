"""The view of steps: one row a step of a run, over all its attempts, and one row an attempt.

Promises: the end of a step stands until another attempt begins; a worker that comes too late changes nothing: neither
after the end, nor when a later attempt is under way.
Not here: questions (step_queries.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeVar

from ..events.event import Event, Fact, Topic
from ..events.step import (
    StepExpectationResult,
    StepFailed,
    StepRestarted,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepUpForRetry,
)
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
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
    expectations: int  #: results of expectations in all its attempts
    expectations_met: int


class AttemptRow(NamedTuple):
    """One attempt at a step. Times by the clock of its worker."""

    run_id: str
    step_key: str
    attempt: int
    status: str  #: STARTED, UP_FOR_RETRY, SUCCESS or FAILURE
    started_us: int | None
    ended_us: int | None
    error_class: str | None
    error_message: str | None


STEPS: Final = Table("steps_v2", StepRow, key=2, late=(("run_id", "first_position"),), of_run=True)
ATTEMPTS: Final = Table("step_attempts_v2", AttemptRow, key=3, of_run=True)

_UNHEARD: Final = ("STARTED", None, None, None, None)  #: an attempt of which nothing was heard before
R = TypeVar("R", StepRow, AttemptRow)

_ENDED: Final = frozenset(("SUCCESS", "FAILURE", "SKIPPED"))
_ENDS: Final[dict[type[Fact], str]] = {
    StepUpForRetry: "UP_FOR_RETRY",
    StepSucceeded: "SUCCESS",
    StepFailed: "FAILURE",
    StepSkipped: "SKIPPED",
}
_KINDS: Final[tuple[type[Fact], ...]] = (StepStarted, StepRestarted, *_ENDS, StepExpectationResult)


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        for table in (STEPS, ATTEMPTS):
            for row in rows.select(table, run_id=keyed(fact.run_id)):
                rows.delete(table, row[: table.key])
        return
    key = _key(record)
    if key is None:
        return
    before: StepRow | None = rows.get(STEPS, key)
    if isinstance(fact, StepExpectationResult):
        if before is not None:  # what no step began is of no step
            met = before.expectations_met + int(fact.success)
            rows.put(STEPS, before._replace(expectations=before.expectations + 1, expectations_met=met))
        return
    row = before or _first(key, record)
    if _counts(row, fact) and not isinstance(fact, StepSkipped):  # a step that was skipped was not attempted
        attempt_key = (*key, _attempt(row, fact))
        attempt = rows.get(ATTEMPTS, attempt_key) or AttemptRow._make((*attempt_key, *_UNHEARD))
        rows.put(ATTEMPTS, fold_attempt(attempt, record.event))
    rows.put(STEPS, fold_step(row, record.event, record.position))


def fold_step(row: StepRow, event: Event[Any], position: int) -> StepRow:
    """The row after `event`."""
    fact = event.fact
    if not _counts(row, fact):
        return row._replace(last_position=position)
    now, status = event.timestamp_us, _ENDS.get(type(fact))
    if status is None:
        started_us = now if row.started_us is None else row.started_us
        return row._replace(
            status="STARTED",
            attempts=_attempt(row, fact),
            last_position=position,
            started_us=started_us,
            ended_us=None,
        )
    row = row._replace(
        status=status,
        attempts=row.attempts if isinstance(fact, StepSkipped) else _attempt(row, fact),
        last_position=position,
        ended_us=row.ended_us if isinstance(fact, StepUpForRetry) else now,
    )
    return _with_error(row, getattr(fact, "error", None))


def fold_attempt(row: AttemptRow, event: Event[Any]) -> AttemptRow:
    """The attempt after an event of its own."""
    status = _ENDS.get(type(event.fact))
    if status is None:
        return row._replace(status="STARTED", started_us=event.timestamp_us, ended_us=None)
    return _with_error(row._replace(status=status, ended_us=event.timestamp_us), getattr(event.fact, "error", None))


def _counts(row: StepRow, fact: Any) -> bool:
    """Whether the fact is of the attempt that is under way, or begins one; else its worker comes too late."""
    if isinstance(fact, StepSkipped):
        return row.status not in _ENDED
    if number(fact.attempt) < row.attempts:
        return False
    return isinstance(fact, StepStarted | StepRestarted) or row.status not in _ENDED


def _attempt(row: StepRow, fact: Any) -> int:
    """The number of the attempt that a fact is of."""
    return max(row.attempts, number(getattr(fact, "attempt", 0)))


def _with_error(row: R, error: Any) -> R:
    if error is None:
        return row
    return row._replace(error_class=words(error.class_name), error_message=words(error.message))


def _first(key: Key, record: Taken) -> StepRow:
    at = record.position
    return StepRow(key[0], key[1], "STARTED", 0, at, at, None, None, None, None, 0, 0)


def _key(record: Taken) -> Key | None:
    """None for an event of no run: there is no step it could tell of."""
    if record.run_id is None:
        return None
    return keyed(record.run_id), keyed(record.event.step_key or "")


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    key = _key(record)
    if key is not None:
        yield STEPS, key
        attempt = getattr(record.event.fact, "attempt", None)
        if attempt is not None:
            yield ATTEMPTS, (*key, number(attempt))


PROJECTION: Final = Projection(
    name="steps",
    version=2,
    topics=Topic.STEP,
    types=frozenset((*(kind.KIND.name for kind in _KINDS), RunDeleted.KIND.name)),
    tables=(STEPS, ATTEMPTS),
    keys=keys,
    fold=fold,
    people={"steps": select_all(STEPS), "step_attempts": select_all(ATTEMPTS)},
)
