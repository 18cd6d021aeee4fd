"""A history as orchestrators leave one: runs of steps and log lines, about a tenth of the events about assets.

The same number gives the same run, so that the raw side is filled with just what foldlog recorded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..engine import events
from ..engine.events import AssetKey, AssetMaterialization
from ..engine.events.event import Event
from ..engine.log.log import EventLog
from . import subject

START_US = 1_700_000_000_000_000
STEP = 20  #: events of one step
ASSETS = 50
PARTITIONS = 28
TEAMS = 5
JOBS = 10
FAILS = 20  #: one run in so many fails
APPEND = 10  #: events of one append
RARE = 10  #: runs that say something rare


class Shape(NamedTuple):
    """How large a history is."""

    runs: int
    events: int  #: of one run

    @property
    def total(self) -> int:
        return self.runs * self.events


def run_id(number: int) -> str:
    return f"run-{number:06}"


def run_events(number: int, shape: Shape) -> list[Event[Any]]:
    """All events of one run."""
    told = list(_life(number, shape))
    for at in range(len(told), shape.events - 1):
        told.append(_of_step(number, at, told[-1].timestamp_us + 10))
    end = events.RunFailed(reason="STEP_FAILURE") if fails(number) else events.RunSucceeded()
    return [*told, Event(end, told[-1].timestamp_us + 10)]


def fails(number: int) -> bool:
    return number % FAILS == 0


def tags(number: int) -> dict[str, str]:
    return {"team": f"team-{number % TEAMS}", "number": str(number)}


def write(log: EventLog, shape: Shape) -> None:
    """Record the history, run by run, a few events an append as workers do, and seal each run."""
    for number in range(shape.runs):
        told = run_events(number, shape)
        for start in range(0, len(told), APPEND):
            log.append(run_id(number), told[start : start + APPEND])
        log.seal(run_id(number))


def _life(number: int, shape: Shape) -> Iterator[Event[Any]]:
    at = START_US + number * 10_000_000
    yield Event(events.RunCreated(job_name=f"job-{number % JOBS}", tags=tags(number)), at)
    yield Event(events.RunEnqueued(), at + 1)
    yield Event(events.RunStarting(), at + 2)
    yield Event(events.RunStarted(), at + 3)
    if number % max(1, shape.runs // RARE) == 0:
        yield Event(events.HookErrored(hook="notify"), at + 4, step_key="step_0")


def _of_step(number: int, at: int, timestamp_us: int) -> Event[Any]:
    step, phase = f"step_{at // STEP}", at % STEP
    fact: Any
    if phase == 0:
        fact = events.StepStarted()
    elif phase == STEP - 1:
        fact = events.StepSucceeded()
    elif phase in (5, 12):
        fact = _materialization(number, at)
    elif phase == 3:
        fact = events.LoadedInput(input_name="orders", manager_key="io")
    elif phase == 14:
        fact = events.StepOutput(output_name="result")
    elif phase == 15:
        fact = events.HandledOutput(output_name="result", manager_key="io")
    else:
        fact = events.LogMessage(text=f"line {at} of a log, about as long as such lines are in practice")
    return Event(fact, timestamp_us, step_key=step, job_name=f"job-{number % JOBS}")


def _materialization(number: int, at: int) -> AssetMaterialization:
    return AssetMaterialization(
        asset_key=AssetKey(("raw", f"asset-{(at // 7 + number) % ASSETS}")),
        partition=f"2026-11-{(number + at) % PARTITIONS + 1:02}",
        metadata=subject.METADATA,
        tags={"team": "growth", "tier": "1"},
        code_version="4f2a91c",
        data_version=f"{number}-{at}",
        description=subject.DESCRIPTION,
    )
