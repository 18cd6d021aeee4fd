"""Appends to a distant store: how long each waits, how many PUTs they take, and what those cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

from ...backends.objectstore.stores.memory import MemoryObjects
from .. import subject
from ..contest import Outcome, figure
from ..latency import Latency
from ..servers.appending import expect
from . import raw
from .distant import Handle, held, opened, puts as puts_of, told
from .timing import took

APPENDS = 40  #: in one round
MOST_MS = 40.0
MOST_PUTS = 25.0
EVENTS = 30_000  #: of which the PUTs are counted
SINGLES = 300
STEPS = 60  #: of the order, before: so that a block and a checkpoint fall into what is counted


def appends(folder: Path, rounds: int) -> Iterator[Outcome]:
    """One append after the other to one run, against one object made in the same store."""
    for size in (1, 100):
        events = [subject.materialization(number) for number in range(size)]
        data = raw.pack([subject.plain(number) for number in range(size)])
        distant = Latency(MemoryObjects())
        with opened(distant) as (log, _):
            log.append("run", events)
            names = (f"raw/{number}" for number in count())
            name = f"an append of {size}, median"
            yield took(
                name,
                lambda: distant.create(next(names), data),  # noqa: B023 - called before the next size
                lambda: log.append("run", events),  # noqa: B023
                most_ms=MOST_MS, rounds=rounds, times=APPENDS,
            )  # fmt: skip
            expect(log.catch_up().position, (1 + rounds * APPENDS) * size)
    with opened(distant) as (log, _):
        yield took(
            "an append of 1 with wait='ordered', median",
            lambda: distant.create(next(names), data),
            lambda: log.append("run", events[:1], wait="ordered"),
            most_ms=None, rounds=rounds, times=max(1, APPENDS // 4),
        )  # fmt: skip


class _Shape(NamedTuple):
    """How events come in."""

    name: str
    batch: int
    runs: int
    events: int


def puts(folder: Path, rounds: int) -> Iterator[Outcome]:
    """PUTs per 1000 events, those of giving positions, blocks and checkpoints among them, and dollars.

    In pace, as fast as the store lets one writer: what a second costs is paid by what comes in it. Raw: an object for
    each run in each batch.
    """
    for shape in (
        _Shape("batch 1", 1, 1, SINGLES),
        _Shape("batch 100", 100, 1, EVENTS),
        _Shape("batch 1000 in 20 runs", 1000, 20, EVENTS),
    ):
        memory = MemoryObjects()
        with opened(memory) as (log, _):
            for _ in range(STEPS):
                log.append("earlier", [subject.step_success(0)], wait="ordered")
        with opened(Latency(memory)) as handle:
            yield from _in_pace(handle, shape)


def _in_pace(handle: Handle, shape: _Shape) -> Iterator[Outcome]:
    log, counted = handle
    append = _appending(handle, shape)
    append()
    before, since = counted.snapshot(), time.perf_counter()
    for _ in range(0, shape.events, shape.batch):
        append()
    rate = shape.events / (time.perf_counter() - since)
    head = log.catch_up()
    counts = counted.snapshot().since(before)
    expect(head.position, STEPS + shape.batch + shape.events)
    least = 1000 * shape.runs / shape.batch
    found = held(
        f"PUTs per 1000 events: {shape.name}", puts_of(counts) * 1000 / shape.events, "PUTs",
        most=MOST_PUTS, than=least, note=f"{shape.events:,} events, {rate:,.0f} a second: {told(counts)}",
    )  # fmt: skip
    yield found if shape.batch > 1 else found._replace(goal="", good=True)
    yield figure(f"a million events: {shape.name}", counts.dollars * 1e6 / shape.events, "dollars")


def _appending(handle: Handle, shape: _Shape) -> Callable[[], None]:
    log = handle.log
    events = [subject.materialization(number) for number in range(shape.batch // shape.runs)]
    if shape.runs == 1:
        return lambda: log.append("run", events) and None
    writer = log.writer()

    def group() -> None:
        for run in range(shape.runs):
            writer.append(f"run-{run}", events)
        writer.flush()

    return group
