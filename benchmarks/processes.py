"""Four writer processes, a run each: foldlog against the raw driver."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from ..engine.open import open_log
from . import raw, subject
from .contest import Outcome, Timing, wait_for_quiet

WRITERS = 4
SECONDS = 2.0

Writer = Callable[[Any, int, Barrier, float], int]  #: appends at a place for so long; how many it were


class Competed(NamedTuple):
    """How it went, and how many events both have written in all."""

    outcome: Outcome
    raw: int
    foldlog: int


def four_processes(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Single durable appends by four processes at once, in windows of two seconds. Raw: sqlite3, a file each."""

    def new(name: str) -> Path:
        (folder / name).mkdir()
        return folder / name

    yield compete(
        _by_driver, _by_foldlog, lambda number: new(f"raw-{number}"), lambda number: new(f"log-{number}"), rounds
    ).outcome


def compete(
    raw: Writer, foldlog: Writer, raw_place: Callable[[int], Any], log_place: Callable[[int], Any], rounds: int
) -> Competed:
    """Both in turn, `rounds` times. The places are made for each round and handed to the processes."""
    pairs = []
    for number in range(rounds):
        wait_for_quiet()
        if number % 2:
            mine, theirs = _count(foldlog, log_place(number)), _count(raw, raw_place(number))
        else:
            theirs, mine = _count(raw, raw_place(number)), _count(foldlog, log_place(number))
        pairs.append((theirs, mine))
    ratios = [mine / theirs for theirs, mine in pairs]
    ratio = median(ratios)
    rates = [Timing(median(column) / SECONDS, 0.0) for column in zip(*pairs, strict=True)]
    spread = (min(ratios), max(ratios))
    outcome = Outcome("4 processes, a run each", ">= 0.7", ratio >= 0.7, ratio, spread, rates[0], rates[1], "events/s")
    return Competed(outcome, sum(one for one, _ in pairs), sum(two for _, two in pairs))


def _count(writer: Writer, place: Any) -> int:
    context = get_context("spawn")
    barrier = context.Barrier(WRITERS)
    with context.Pool(WRITERS, initializer=_share, initargs=(barrier,)) as pool:
        counts = pool.starmap(_write, [(writer, place, number, SECONDS) for number in range(WRITERS)], chunksize=1)
    return sum(counts)


_barrier: list[Barrier] = []


def _share(barrier: Barrier) -> None:
    _barrier.append(barrier)


def _write(writer: Writer, place: Any, number: int, seconds: float) -> int:
    return writer(place, number, _barrier[0], seconds)


def _by_driver(folder: Path, number: int, barrier: Barrier, seconds: float) -> int:
    db = raw.open_raw(folder / f"{number}.db")
    events = [subject.plain(one) for one in range(100)]
    barrier.wait()
    end = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < end:
        raw.append_one(db, f"run-{number}", events[count % 100])
        count += 1
    return count


def _by_foldlog(folder: Path, number: int, barrier: Barrier, seconds: float) -> int:
    with open_log(f"sqlite:///{folder}/home") as log:
        events = [subject.materialization(one) for one in range(100)]
        log.append(f"run-{number}", [events[0]])
        barrier.wait()
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            log.append(f"run-{number}", [events[count % 100]])
            count += 1
    return count
