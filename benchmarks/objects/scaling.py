"""Sixteen processes, a run each, on a distant store: how many times what one of them does."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median

from ...backends.objectstore.stores.local import LocalObjects
from .. import subject
from ..contest import Outcome, Timing, wait_for_quiet
from ..latency import Latency
from ..servers.appending import expect
from .distant import opened

PROCESSES = 16
SECONDS = 5.0
GOAL = 12.0
MEMORY = Path("/dev/shm")  #: what the disk takes is another workload's matter
ROOM = 256 * 1024 * 1024  #: bytes


def scale(folder: Path, rounds: int) -> Iterator[Outcome]:
    """Appends of one event in windows of five seconds. In the column of the raw driver: one process."""
    with _room(folder) as place:
        pairs = []
        for number in range(rounds):
            wait_for_quiet()
            one = _round(place / f"one-{number}", 1)
            pairs.append((one, _round(place / f"all-{number}", PROCESSES)))
    ratios = [many / one for one, many in pairs]
    single, together = (Timing(median(column) / SECONDS, 0.0) for column in zip(*pairs, strict=True))
    ratio, spread = median(ratios), (min(ratios), max(ratios))
    yield Outcome(
        f"{PROCESSES} processes, a run each", f">= {GOAL:g} times one", ratio >= GOAL, ratio, spread, single, together,
        "events/s", "raw: one process",
    )  # fmt: skip


@contextmanager
def _room(folder: Path) -> Iterator[Path]:
    """A folder in a file system in memory, if there is one with room."""
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with tempfile.TemporaryDirectory(prefix="foldlog-bench-", dir=MEMORY if in_memory else folder) as place:
        yield Path(place)


def _round(place: Path, processes: int) -> int:
    place.mkdir()
    with opened(_objects(place, latency=False)):
        pass  # made before they meet
    context = get_context("spawn")
    barrier = context.Barrier(processes)
    with context.Pool(processes, initializer=_share, initargs=(barrier,)) as pool:
        counts = pool.starmap(_write, [(place, number, SECONDS) for number in range(processes)], chunksize=1)
    with opened(_objects(place, latency=False)) as (log, _):
        expect(log.catch_up().position, sum(counts) + processes)
    return sum(counts)


_barrier: list[Barrier] = []


def _share(barrier: Barrier) -> None:
    _barrier.append(barrier)


def _write(place: Path, number: int, seconds: float) -> int:
    events = [subject.materialization(one) for one in range(100)]
    run = f"run-{number}"
    with opened(_objects(place, latency=True)) as (log, _):
        log.append(run, [events[0]])
        _barrier[0].wait()
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            log.append(run, [events[count % 100]])
            count += 1
    return count


def _objects(place: Path, *, latency: bool) -> LocalObjects | Latency:
    local = LocalObjects(str(place), url=f"file://{place}", durability="process")
    return Latency(local) if latency else local
