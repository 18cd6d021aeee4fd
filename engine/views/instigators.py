"""The view of instigators: one row a schedule or a sensor, on or off, with its cursor and how far it has got.

Promises: from kept facts alone, so neither trimmed ticks nor an edited cron changes anything. A reset keeps the cursor.
An automation sensor is a sensor. Not here: single ticks (ticks.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..events.event import Fact, Topic
from ..events.schedule import (
    ScheduleAdvanced,
    ScheduleReset,
    ScheduleStarted,
    ScheduleStopped,
    SensorCursorSet,
    SensorReset,
    SensorStarted,
    SensorStopped,
)
from ..events.tick import TickFailed, TickRequested, TickSucceeded
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, number, number_or_none, whole, words

SCHEDULE, SENSOR = "SCHEDULE", "SENSOR"
RUNNING, STOPPED, DECLARED = "RUNNING", "STOPPED", "DECLARED_IN_CODE"


class InstigatorRow(NamedTuple):
    """A schedule or a sensor."""

    code_location: str  #: empty: of none
    name: str
    instigator_type: str  #: SCHEDULE or SENSOR
    first_position: int
    last_position: int
    updated_us: int
    status: str = DECLARED  #: RUNNING, STOPPED or DECLARED_IN_CODE
    status_us: int | None = None  #: when it was last turned on, off, or reset
    stop_reason: str | None = None
    automatic: int = 0
    cron: str | None = None
    time_zone: str | None = None
    minimum_interval_us: int | None = None
    cursor: bytes | None = None  #: UTF-8; whole, for the sensor reads it back
    advanced_us: int | None = None  #: all scheduled times up to this one are dealt with
    tick_id: str | None = None  #: of the last tick that did something
    tick_status: str | None = None  #: REQUESTED, SUCCESS or FAILURE
    tick_us: int | None = None
    tick_scheduled_us: int | None = None
    failure_count: int = 0  #: of the last tick; 0 when it did not fail
    run_key: str | None = None  #: the last one asked for


INSTIGATORS: Final = Table(
    "instigators_v1",
    InstigatorRow,
    key=3,
    # The type leads in both, and not in the key: SQLite would go by the key, and look at every status.
    indexes=(("instigator_type", "code_location", "name"), ("instigator_type", "status", "code_location", "name")),
)

_SWITCHED: Final[dict[type[Fact], tuple[str, str]]] = {
    ScheduleStarted: (SCHEDULE, RUNNING),
    ScheduleStopped: (SCHEDULE, STOPPED),
    ScheduleReset: (SCHEDULE, DECLARED),
    SensorStarted: (SENSOR, RUNNING),
    SensorStopped: (SENSOR, STOPPED),
    SensorReset: (SENSOR, DECLARED),
}
_TICKED: Final[dict[type[Fact], str]] = {TickRequested: "REQUESTED", TickSucceeded: "SUCCESS", TickFailed: "FAILURE"}


def instigator_key(instigator_type: str, code_location: str | None, name: str) -> tuple[str, str, str]:
    """How the tables name a schedule or a sensor: type, code location, name."""
    kind = SENSOR if instigator_type == "AUTOMATION" else keyed(instigator_type)
    return kind, keyed(code_location or ""), keyed(name)


def fold(rows: Rows, record: Taken) -> None:
    if record.run_id is not None:  # what is in a run's shard may go with the run
        return
    key = _key(record.event.fact)
    now = record.event.timestamp_us
    row: InstigatorRow = rows.get(INSTIGATORS, key) or _first(key, record)
    row = row._replace(last_position=record.position, updated_us=now)
    rows.put(INSTIGATORS, fold_instigator(row, record.event.fact, now))


def fold_instigator(row: InstigatorRow, fact: Any, now: int) -> InstigatorRow:
    """The row after `fact`."""
    if type(fact) in _SWITCHED:
        row = row._replace(
            status=_SWITCHED[type(fact)][1], status_us=now, stop_reason=words(getattr(fact, "reason", None))
        )
    elif type(fact) in _TICKED:
        row = _ticked(row, fact, now)
    match fact:
        case ScheduleStarted():
            return row._replace(cron=words(fact.cron), time_zone=words(fact.time_zone))
        case SensorStarted():
            interval_us = number_or_none(fact.minimum_interval_us)
            return row._replace(minimum_interval_us=interval_us, automatic=int(fact.automatic))
        case ScheduleAdvanced():
            through_us = number(fact.through_us)  # two daemons may say so in the wrong order
            return row._replace(
                advanced_us=max(through_us, row.advanced_us if row.advanced_us is not None else through_us)
            )
        case SensorCursorSet():
            return row._replace(cursor=whole(fact.cursor))
        case TickRequested() | TickFailed() if fact.cursor is not None:
            return row._replace(cursor=whole(fact.cursor))
    return row


def _ticked(row: InstigatorRow, fact: Any, now: int) -> InstigatorRow:
    run_keys = [run.run_key for run in getattr(fact, "runs", ()) if run.run_key is not None]
    return row._replace(
        tick_id=keyed(fact.tick_id),
        tick_status=_TICKED[type(fact)],
        tick_us=now,
        tick_scheduled_us=number_or_none(fact.scheduled_us),
        failure_count=number(getattr(fact, "failure_count", 0)),
        run_key=keyed(run_keys[-1]) if run_keys else row.run_key,
    )


def _first(key: tuple[str, str, str], record: Taken) -> InstigatorRow:
    """The row of one of which nothing was known: it is as its code declares it."""
    at, now = record.position, record.event.timestamp_us
    return InstigatorRow(*key, at, at, now)


def _key(fact: Any) -> tuple[str, str, str]:
    if type(fact) in _TICKED:
        kind, name = fact.instigator_type, fact.instigator
    else:
        schedule = getattr(fact, "schedule", None)
        kind, name = (SENSOR, fact.sensor) if schedule is None else (SCHEDULE, schedule)
    kind, code_location, name = instigator_key(kind, fact.code_location, name)
    return code_location, name, kind


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    yield INSTIGATORS, _key(record.event.fact)


_KINDS: Final[tuple[type[Fact], ...]] = (*_SWITCHED, *_TICKED, ScheduleAdvanced, SensorCursorSet)
PROJECTION: Final = Projection(
    name="instigators",
    version=1,
    topics=Topic.SCHEDULE,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(INSTIGATORS,),
    keys=keys,
    fold=fold,
    people={"instigators": select_all(INSTIGATORS)},
)
