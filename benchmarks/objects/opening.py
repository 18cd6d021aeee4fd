"""Opening a log of 10,000 commits in a distant store: requests, and how long it takes."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...backends.objectstore import names
from ...backends.objectstore.stores.counting import Counts
from ...backends.objectstore.stores.memory import MemoryObjects
from ...engine.instance import Instance
from .. import subject
from ..contest import Outcome, figure
from ..latency import Latency
from ..servers.appending import expect
from ..telling import Telling
from .distant import held, opened, told
from .timing import took

COMMITS = 10_000  #: each placed by a step of its own
RUN = 50  #: commits of one run
MOST_GETS = 100
MOST_MS = 1000.0


def opening(folder: Path, rounds: int) -> Iterator[Outcome]:
    """With the newest checkpoint, and without it. Raw: a listing and one object, one after the other."""
    memory = MemoryObjects()
    began = time.perf_counter()
    _make(memory)
    yield figure("commits, each placed by itself", COMMITS / (time.perf_counter() - began), "commits/s", "no latency")
    yield from _opened(f"open {COMMITS:,} commits", memory, rounds)
    yield from _views(memory, folder)
    memory.delete([one.name for one in memory.list(names.CHECKPOINTS)][-1:])
    yield from _opened(f"open {COMMITS:,} commits, newest checkpoint lost", memory, rounds)


def _make(memory: MemoryObjects) -> None:
    telling = Telling("commits, each placed by itself", COMMITS)
    with opened(memory) as (log, _):
        for number in range(COMMITS):
            log.append(f"run-{number // RUN}", [subject.materialization(number)], wait="ordered")
            telling.at(number)


def _opened(name: str, memory: MemoryObjects, rounds: int) -> Iterator[Outcome]:
    asked: list[Counts] = []
    distant = Latency(memory)

    def by_driver() -> None:
        found = distant.list(names.CHECKPOINTS)
        distant.get(found[-1].name)

    def by_foldlog() -> None:
        with opened(distant) as (log, counted):
            expect(log.backend.head().position, COMMITS)
            asked.append(counted.snapshot())

    yield took(name, by_driver, by_foldlog, most_ms=MOST_MS, rounds=rounds)
    gets = max(counts.get for counts in asked)
    yield held(f"GETs: {name}", gets, "GETs", most=MOST_GETS, note=told(asked[0]))


def _views(memory: MemoryObjects, folder: Path) -> Iterator[Outcome]:
    """A question on a machine that has no views yet: folded from the log, and from a snapshot beside it."""
    for how in ("folded", "from a snapshot"):
        with _cold_cache(folder), opened(Latency(memory)) as (log, counted):
            before, began = counted.snapshot(), time.perf_counter()
            with Instance(log) as instance:
                expect(len(instance.get_asset_records()), 1)
                seconds = time.perf_counter() - began
                counts = counted.snapshot().since(before)
                instance.put_back_views()
        yield figure(f"first answer of cold views, {how}", seconds * 1e3, "ms", told(counts))


@contextmanager
def _cold_cache(folder: Path) -> Iterator[None]:
    """The views of this machine in a folder that is empty."""
    kept = os.environ.get("FOLDLOG_CACHE")
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        os.environ["FOLDLOG_CACHE"] = cache
        try:
            yield
        finally:
            if kept is None:
                del os.environ["FOLDLOG_CACHE"]
            else:
                os.environ["FOLDLOG_CACHE"] = kept
