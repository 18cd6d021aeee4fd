"""The view of the queue: one row a run, with its place among those that wait; and which code locations are paused.

Promises: a run's place is the position of its first RUN_ENQUEUED, so one that is put back keeps it. What comes from a
run's own events is in the row of that run alone, which RUN_DELETED drops. The first end of a run stands, and after a
request to cancel only an end changes anything, as in the view of runs. An admission under a lower fencing token than
one before it is void.
Not here: who is let in (the coordinator decides), questions (queue_queries.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from ..events.event import Fact, Topic
from ..events.queue import CodeLocationPaused, CodeLocationResumed, RunAdmitted, RunReleased
from ..events.run import (
    RunCanceled,
    RunCanceling,
    RunCreated,
    RunDequeued,
    RunEnqueued,
    RunFailed,
    RunResumed,
    RunStarted,
    RunStarting,
    RunSucceeded,
    RunSuspended,
    RunTagsAdded,
    RunTagsRemoved,
)
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, keyed_or_none, number, number_or_none, words

QUEUED, ADMITTED, IN_PROGRESS, APART, ENDED = "QUEUED", "ADMITTED", "IN_PROGRESS", "APART", "ENDED"


class QueueRow(NamedTuple):
    """A run, as the queue sees it."""

    run_id: str
    state: str = APART  #: QUEUED, ADMITTED, IN_PROGRESS, ENDED; APART: takes no place and waits for none
    rank: int = 0  #: its priority, negated: runs are let in in the order of rank and place
    place: int | None = None  #: position of the first RUN_ENQUEUED
    enqueued_us: int | None = None  #: of the same
    job_name: str | None = None
    code_location: str | None = None
    pools: str | None = None  #: JSON: pool to the number of steps in it
    root_pools: str | None = None  #: JSON: the same, of the steps that wait for no other
    own_priority: int | None = None  #: of the tag foldlog/priority
    other_priority: int | None = None  #: of the tag dagster/priority
    stage: str | None = None  #: the run's own last word: QUEUED, DEQUEUED, STARTING, ...; None: nothing
    stage_position: int = 0
    admitted_position: int | None = None  #: of the last admission that counts
    admitted_us: int | None = None
    attempt: int = 0  #: the admission's number
    released_position: int | None = None


class PausedRow(NamedTuple):
    """A code location whose runs wait."""

    code_location: str
    until_us: int | None  #: None: until it is resumed
    reason: str | None
    position: int
    timestamp_us: int


class TokenRow(NamedTuple):
    """The greatest fencing token under which a run was let in. There is one row."""

    name: str
    token: int


QUEUE: Final = Table("run_queue_v1", QueueRow, key=1, indexes=(("state", "rank", "place"),))
PAUSED: Final = Table("paused_locations_v1", PausedRow, key=1)
TOKENS: Final = Table("queue_tokens_v1", TokenRow, key=1)

_STAGES: Final[dict[type[Fact], str]] = {
    RunEnqueued: "QUEUED",
    RunDequeued: "DEQUEUED",
    RunStarting: "STARTING",
    RunStarted: "STARTED",
    RunResumed: "STARTED",
    RunSuspended: "SUSPENDED",
    RunCanceling: "CANCELING",
    RunSucceeded: "ENDED",
    RunFailed: "ENDED",
    RunCanceled: "ENDED",
}
_OF_RUN: Final[frozenset[type[Fact]]] = frozenset(
    (RunCreated, RunTagsAdded, RunTagsRemoved, *_STAGES)
)  #: in the run's own shard
_STATES: Final = {"DEQUEUED": ADMITTED, "STARTING": IN_PROGRESS, "STARTED": IN_PROGRESS, "CANCELING": IN_PROGRESS}
_OWN, _OTHER = "foldlog/priority", "dagster/priority"
_PRIORITY: Final = re.compile(r"\s*[+-]?[0-9]{1,15}\s*", re.ASCII)
_TOKEN: Final = ("admission",)


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if record.run_id is not None:
        if type(fact) in _OF_RUN:
            run_id = keyed(record.run_id)
            row: QueueRow = rows.get(QUEUE, (run_id,)) or _first(run_id)
            rows.put(QUEUE, settled(fold_run(row, record)))
        return
    match fact:
        case RunDeleted():
            rows.delete(QUEUE, (keyed(fact.run_id),))
        case RunAdmitted() | RunReleased():
            _decide(rows, fact, record)
        case CodeLocationPaused():
            row_of_pause = PausedRow(
                keyed(fact.code_location),
                number_or_none(fact.until_us),
                words(fact.reason),
                record.position,
                record.event.timestamp_us,
            )
            rows.put(PAUSED, row_of_pause)
        case CodeLocationResumed():
            rows.delete(PAUSED, (keyed(fact.code_location),))


def fold_run(row: QueueRow, record: Taken) -> QueueRow:
    """The row after an event of the run itself."""
    fact = record.event.fact
    match fact:
        case RunCreated():
            return _with_tags(
                row._replace(
                    job_name=keyed(fact.job_name),
                    code_location=keyed_or_none(fact.code_location),
                    pools=_counts(fact.pools),
                    root_pools=_counts(fact.root_pools),
                ),
                fact.tags,
            )
        case RunTagsAdded():
            return _with_tags(row, fact.tags)
        case RunTagsRemoved():
            changes = {column: None for key, column in _COLUMNS.items() if key in fact.keys}
            return row._replace(**changes) if changes else row  # type: ignore[arg-type]
    if row.stage == "ENDED" or (row.stage == "CANCELING" and _STAGES[type(fact)] != "ENDED"):
        return row
    if isinstance(fact, RunEnqueued) and row.place is None:
        row = row._replace(place=record.position, enqueued_us=record.event.timestamp_us)
    return row._replace(stage=_STAGES[type(fact)], stage_position=record.position)


def settled(row: QueueRow) -> QueueRow:
    """The row with the columns that are made from the others."""
    priority = row.own_priority if row.own_priority is not None else row.other_priority
    return row._replace(state=_state(row), rank=-(priority or 0))


def _state(row: QueueRow) -> str:
    admitted, released = row.admitted_position or 0, row.released_position or 0
    if row.stage in (None, "ENDED"):  # of a run that has told nothing, an admission alone takes no place
        return ENDED if row.stage else APART
    if row.stage == "QUEUED":
        return ADMITTED if admitted > max(released, row.stage_position) else QUEUED
    if released > max(admitted, row.stage_position):
        return APART  # its place is given back; it is about to be queued again
    return _STATES.get(row.stage or "", APART)


def _decide(rows: Rows, fact: RunAdmitted | RunReleased, record: Taken) -> None:
    run_id = keyed(fact.run_id)
    row: QueueRow = rows.get(QUEUE, (run_id,)) or _first(run_id)
    if isinstance(fact, RunReleased):
        row = row._replace(released_position=record.position)
    elif _is_void(rows, fact):
        return
    else:
        row = row._replace(
            admitted_position=record.position,
            admitted_us=record.event.timestamp_us,
            attempt=number(fact.attempt),
        )
    rows.put(QUEUE, settled(row))


def _is_void(rows: Rows, fact: RunAdmitted) -> bool:
    """Whether a coordinator that has lost its lease let the run in."""
    if fact.token is None:
        return False
    token = number(fact.token)
    last: TokenRow | None = rows.get(TOKENS, _TOKEN)
    if last is not None and token < last.token:
        return True
    rows.put(TOKENS, TokenRow(*_TOKEN, token))
    return False


# -- from events to columns -------------------------------------------------------------------------------------

_COLUMNS: Final = {_OWN: "own_priority", _OTHER: "other_priority"}


def _with_tags(row: QueueRow, tags: Mapping[str, str]) -> QueueRow:
    changes: dict[str, Any] = {column: _priority(tags[key]) for key, column in _COLUMNS.items() if key in tags}
    return row._replace(**changes) if changes else row


def _priority(text: str) -> int:
    """The priority that a tag says; what is no number is 0."""
    return int(text) if _PRIORITY.fullmatch(text) else 0


def _counts(counts: Mapping[str, int]) -> str | None:
    return json.dumps(counts, sort_keys=True) if counts else None


def _first(run_id: str) -> QueueRow:
    return QueueRow(run_id)


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact: Any = record.event.fact
    if record.run_id is not None:
        yield QUEUE, (keyed(record.run_id),)
    elif isinstance(fact, RunDeleted | RunAdmitted | RunReleased):
        yield QUEUE, (keyed(fact.run_id),)
        yield TOKENS, _TOKEN
    elif isinstance(fact, CodeLocationPaused | CodeLocationResumed):
        yield PAUSED, (keyed(fact.code_location),)


_KINDS: Final[tuple[type[Fact], ...]] = (
    *_OF_RUN,
    RunDeleted,
    RunAdmitted,
    RunReleased,
    CodeLocationPaused,
    CodeLocationResumed,
)
PROJECTION: Final = Projection(
    name="queue",
    version=1,
    topics=Topic.QUEUE | Topic.RUN,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(QUEUE, PAUSED, TOKENS),
    keys=keys,
    fold=fold,
    people={"run_queue": select_all(QUEUE), "paused_locations": select_all(PAUSED)},
)
