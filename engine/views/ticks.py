"""The view of ticks: one row an evaluation of a schedule or a sensor; and the run keys that are used up.

Promises: what only TICK_STARTED or TICK_SKIPPED told is gone from the row, or the row is gone, once these facts went by
age: see trimming.py. Of several facts of one kind about one tick the latest stands. A run key belongs to the first run
that was asked for under it, for ever, and comes from kept facts alone.
Not here: questions (tick_queries.py), the state of a schedule (instigators.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from ..events.event import Topic
from ..events.tick import TickFailed, TickRequested, TickSkipped, TickStarted, TickSucceeded
from ..events.tombstone import HistoryTrimmed
from .instigators import instigator_key
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, number, number_or_none, whole, words
from .trimming import blank, trimmed_through

SHARD: Final = "@ticks"
NO_TIME: Final = ""  #: of a run key that belongs to no time of a schedule


class TickRow(NamedTuple):
    """A tick. The columns of each kind of fact are apart; the three after the key are made from those."""

    tick_id: str
    instigator_type: str
    code_location: str  #: empty: of none
    name: str
    timestamp_us: int = 0  #: of the first fact that is known of it
    position: int = 0  #: of the same
    status: str = ""  #: STARTED, REQUESTED, SUCCESS, SKIPPED or FAILURE: what the latest fact says
    scheduled_us: int | None = None  #: as a kept fact says it
    started_position: int | None = None  #: from here on of TICK_STARTED
    started_us: int | None = None
    started_scheduled_us: int | None = None
    attempt: int | None = None
    skipped_position: int | None = None  #: from here on of TICK_SKIPPED
    skipped_us: int | None = None
    skipped_scheduled_us: int | None = None
    skip_reason: str | None = None
    requested_position: int | None = None  #: from here on of TICK_REQUESTED
    requested_us: int | None = None
    cursor: bytes | None = None  #: UTF-8; of TICK_REQUESTED or TICK_FAILURE
    reserved_run_ids: str | None = None  #: JSON
    reserved_run_keys: str | None = None  #: JSON
    succeeded_position: int | None = None  #: from here on of TICK_SUCCESS
    succeeded_us: int | None = None
    run_ids: str | None = None  #: JSON
    run_keys: str | None = None  #: JSON
    failed_position: int | None = None  #: from here on of TICK_FAILURE
    failed_us: int | None = None
    failure_count: int | None = None
    error_class: str | None = None
    error_message: str | None = None


class RunKeyRow(NamedTuple):
    """A run key that is used up."""

    instigator_type: str
    code_location: str
    name: str
    scheduled: str  #: the time of the schedule in microseconds, as text; empty: a sensor
    run_key: str
    run_id: str | None  #: None: the tick that used it did not say which
    tick_id: str
    position: int


_PLACE = ("timestamp_us", "position")
TICKS: Final = Table(
    "ticks_v1",
    TickRow,
    key=4,
    indexes=(
        _PLACE,
        ("status", *_PLACE),
        ("name", *_PLACE),
        ("name", "status", *_PLACE),
        ("name", "code_location", *_PLACE),
        ("name", "code_location", "status", *_PLACE),
        ("started_position",),
        ("skipped_position",),
    ),
)
RUN_KEYS: Final = Table("run_keys_v1", RunKeyRow, key=5)

_STATUS: Final = {
    "started": "STARTED",
    "skipped": "SKIPPED",
    "requested": "REQUESTED",
    "succeeded": "SUCCESS",
    "failed": "FAILURE",
}
_TOLD: Final = tuple(
    (TickRow._fields.index(f"{name}_position"), TickRow._fields.index(f"{name}_us"), status)
    for name, status in _STATUS.items()
)
_DETAILS: Final = {
    "started_position": ("started_us", "started_scheduled_us", "attempt"),
    "skipped_position": ("skipped_us", "skipped_scheduled_us", "skip_reason"),
}


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, HistoryTrimmed):
        through = trimmed_through(record, fact, SHARD)
        if through is not None:
            put, drop = partial(rows.put, TICKS), lambda row: rows.delete(TICKS, row[:4])
            blank(rows, TICKS, _DETAILS, through, settled=settled, put=put, drop=drop)
        return
    if record.run_id is not None or (isinstance(fact, TickStarted | TickSkipped) and record.shard != SHARD):
        return
    key = _key(fact)
    row = rows.get(TICKS, key) or _blank(key)
    told = fold_tick(row, fact, record.position, record.event.timestamp_us)
    if told is not None:
        rows.put(TICKS, told)
    for run_key in _run_keys_of(record):
        before: RunKeyRow | None = rows.get(RUN_KEYS, run_key[:5])
        if before is None:
            rows.put(RUN_KEYS, run_key)
        elif before.run_id is None and run_key.run_id is not None:
            rows.put(RUN_KEYS, before._replace(run_id=run_key.run_id))


def fold_tick(row: TickRow, fact: Any, position: int, now: int) -> TickRow | None:
    """The row after `fact`."""
    scheduled_us = number_or_none(fact.scheduled_us)
    match fact:
        case TickStarted():
            changes: dict[str, Any] = {"started_scheduled_us": scheduled_us, "attempt": number(fact.attempt)}
            name = "started"
        case TickSkipped():
            changes = {"skipped_scheduled_us": scheduled_us, "skip_reason": words(fact.reason)}
            name = "skipped"
        case TickRequested():
            changes = {
                "reserved_run_ids": _list(run.run_id for run in fact.runs),
                "reserved_run_keys": _list(run.run_key for run in fact.runs if run.run_key is not None),
            }
            name = "requested"
        case TickSucceeded():
            changes = {"run_ids": _list(fact.run_ids), "run_keys": _list(fact.run_keys)}
            name = "succeeded"
        case _:
            changes = _failed(fact)
            name = "failed"
    if name not in ("started", "skipped") and scheduled_us is not None:
        changes["scheduled_us"] = scheduled_us
    if getattr(fact, "cursor", None) is not None:
        changes["cursor"] = whole(fact.cursor)
    changes |= {f"{name}_position": position, f"{name}_us": now}
    return settled(row._replace(**changes))


def settled(row: TickRow) -> TickRow | None:
    """The row with the columns that are made from the others; None when nothing is known any more."""
    told: list[tuple[Any, Any, str]] = [(row[at], row[us], status) for at, us, status in _TOLD if row[at] is not None]
    if not told:
        return None
    first, last = min(told), max(told)
    return row._replace(position=first[0], timestamp_us=first[1], status=last[2])


def _failed(fact: TickFailed) -> dict[str, Any]:
    error = fact.error
    return {
        "failure_count": number(fact.failure_count),
        "error_class": words(error.class_name) if error else None,
        "error_message": words(error.message) if error else None,
    }


def _run_keys_of(record: Taken) -> Iterator[RunKeyRow]:
    fact = record.event.fact
    told: list[tuple[str | None, str | None]] = []
    if isinstance(fact, TickRequested):
        told = [(run.run_key, run.run_id) for run in fact.runs]
    elif isinstance(fact, TickSucceeded):  # its two lists need not go side by side
        told = [(run_key, None) for run_key in fact.run_keys]
    for run_key, run_id in told:
        if run_key is not None:
            instigator = instigator_key(fact.instigator_type, fact.code_location, fact.instigator)
            key = run_key_key(*instigator, fact.scheduled_us, run_key)
            yield RunKeyRow(*key, None if run_id is None else keyed(run_id), keyed(fact.tick_id), record.position)


def run_key_key(
    instigator_type: str, code_location: str | None, name: str, scheduled_us: int | None, run_key: str
) -> tuple[str, str, str, str, str]:
    """Where a run key is: of a sensor for ever, of a schedule at one of its times."""
    scheduled = NO_TIME if scheduled_us is None else str(scheduled_us)
    return *instigator_key(instigator_type, code_location, name), scheduled, keyed(run_key)


def _key(fact: Any) -> tuple[str, str, str, str]:
    return keyed(fact.tick_id), *instigator_key(fact.instigator_type, fact.code_location, fact.instigator)


def _blank(key: tuple[str, str, str, str]) -> TickRow:
    return TickRow(*key)


def _list(texts: Iterable[str]) -> str:
    return json.dumps(list(texts))


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    if not isinstance(record.event.fact, HistoryTrimmed):
        yield TICKS, _key(record.event.fact)
        for run_key in _run_keys_of(record):
            yield RUN_KEYS, run_key[:5]


_KINDS: Final = (TickStarted, TickSkipped, TickRequested, TickSucceeded, TickFailed, HistoryTrimmed)
PROJECTION: Final = Projection(
    name="ticks",
    version=1,
    topics=Topic.SCHEDULE,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(TICKS, RUN_KEYS),
    keys=keys,
    fold=fold,
    people={"ticks": select_all(TICKS), "run_keys": select_all(RUN_KEYS)},
)
