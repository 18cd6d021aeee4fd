"""The view of steps: one row a step of a run, over all its attempts, and one row an attempt.

Promises: the end of a step stands until another attempt begins; a worker that comes too late changes nothing: neither
after the end, nor when a later attempt is under way.
Not here: questions (step_queries.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..events.event import Fact, Topic
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
        if record.run_id is None:
            _drop(rows, keyed(fact.run_id))
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
    row, at, now = before or _first(key, record), record.position, record.event.timestamp_us
    if not _counts(row, fact):
        rows.put(STEPS, row._replace(last_position=at))
        return
    status, attempts = _ENDS.get(type(fact), "STARTED"), row.attempts
    if status != "SKIPPED":  # a step that was skipped was not attempted
        attempts = _attempt(row, fact)
        attempt = rows.get(ATTEMPTS, (*key, attempts))
        rows.put(ATTEMPTS, _attempt_after(attempt or AttemptRow._make((*key, attempts, *_UNHEARD)), fact, status, now))
    rows.put(STEPS, _step_after(row, fact, status, attempts, at, now))


def _drop(rows: Rows, run_id: str) -> None:
    for table in (STEPS, ATTEMPTS):
        rows.clear(table, run_id=run_id)


def _step_after(row: StepRow, fact: Any, status: str, attempts: int, position: int, now: int) -> StepRow:
    """The step after a fact that counts."""
    run_id, step_key, _, _, first, _, started_us, ended_us, error_class, error_message, results, met = row
    if status == "STARTED":
        ended_us = None
        if started_us is None:
            started_us = now
    else:
        error_class, error_message = _error(fact, error_class, error_message)
        if status != "UP_FOR_RETRY":
            ended_us = now
    return StepRow(
        run_id,
        step_key,
        status,
        attempts,
        first,
        position,
        started_us,
        ended_us,
        error_class,
        error_message,
        results,
        met,
    )


def _attempt_after(row: AttemptRow, fact: Any, status: str, now: int) -> AttemptRow:
    """The attempt after a fact of its own."""
    run_id, step_key, attempt, _, started_us, _, error_class, error_message = row
    if status == "STARTED":
        return AttemptRow(run_id, step_key, attempt, status, now, None, error_class, error_message)
    error = _error(fact, error_class, error_message)
    return AttemptRow(run_id, step_key, attempt, status, started_us, now, *error)


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


def _error(fact: Any, error_class: str | None, message: str | None) -> tuple[str | None, str | None]:
    """The error that a fact tells of, or the one before."""
    error = getattr(fact, "error", None)
    return (error_class, message) if error is None else (words(error.class_name), words(error.message))


def _first(key: Key, record: Taken) -> StepRow:
    at = record.position
    return StepRow(key[0], key[1], "STARTED", 0, at, at, None, None, None, None, 0, 0)


def _key(record: Taken) -> Key | None:
    """None for an event of no run: there is no step it could tell of."""
    if record.run_id is None:
        return None
    return record.run_id, keyed(record.event.step_key or "")


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
