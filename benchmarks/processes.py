"""Four writer processes, a run each: foldlog against raw sqlite3 with a file each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

from ..engine.open import open_log
from . import raw, subject
from .contest import Outcome, Timing, wait_for_quiet

WRITERS = 4
SECONDS = 2.0

Writer = Callable[[Path, int, Barrier, float], int]


def four_processes(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Single durable appends by four processes at once, in windows of two seconds."""
    pairs = []
    for number in range(rounds):
        wait_for_quiet()
        pairs.append((_rate(_by_driver, folder / f"raw-{number}"), _rate(_by_foldlog, folder / f"log-{number}")))
    ratios = [mine / theirs for theirs, mine in pairs]
    ratio = median(ratios)
    theirs, mine = (Timing(median(column), 0.0) for column in zip(*pairs, strict=True))
    spread = (min(ratios), max(ratios))
    yield Outcome("4 processes, a run each", ">= 0.7", ratio >= 0.7, ratio, spread, theirs, mine, "events/s")


def _rate(writer: Writer, folder: Path) -> float:
    folder.mkdir()
    context = get_context("spawn")
    barrier = context.Barrier(WRITERS)
    with context.Pool(WRITERS, initializer=_share, initargs=(barrier,)) as pool:
        counts = pool.starmap(_write, [(writer, folder, number) for number in range(WRITERS)], chunksize=1)
    return sum(counts) / SECONDS


_barrier: list[Barrier] = []


def _share(barrier: Barrier) -> None:
    _barrier.append(barrier)


def _write(writer: Writer, folder: Path, number: int) -> int:
    return writer(folder, number, _barrier[0], SECONDS)


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
