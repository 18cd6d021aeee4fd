"""Durable appends on a server: of one event, of a thousand, by four processes; and what they take on disk."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ...engine.open import open_log
from ...serdes import Codec
from .. import subject
from ..contest import Outcome, Timing, contest, timed
from ..processes import WRITERS, compete
from ..syncs import syncs_per_second
from .server import MYSQL, POSTGRES, Event, Place, Raw

SINGLES = 1000
BATCH = 1000
BATCHES = 5  #: of one turn
RUNS, LONG = 100, 500  #: runs whose bytes are counted, and events of one

SINGLE_GOAL = {POSTGRES: 1.0, MYSQL: 0.8}


def single_appends(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """One durable append of one event at a time, one writer."""
    events = [subject.materialization(number) for number in range(SINGLES)]
    plain = [subject.plain(number) for number in range(SINGLES)]
    with closing(place.open_raw()) as raw, open_log(place.log_url) as log:

        def by_driver() -> int:
            for event in plain:
                raw.append_one("run", event)
            return SINGLES

        def by_foldlog() -> int:
            for event in events:
                log.append("run", [event])
            return SINGLES

        before = syncs_per_second(folder)
        outcome = contest("one event an append", by_driver, by_foldlog, goal=SINGLE_GOAL[place.kind], rounds=rounds)
        limit = (before + syncs_per_second(folder)) / 2
        yield outcome._replace(note=f"{limit:,.0f} syncs/s of 8 KiB in {folder.parents[2]}")
        expect(raw.count(), (rounds + 1) * SINGLES)
        expect(log.catch_up().position, (rounds + 1) * SINGLES)


def batches(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Appends of 1000 events, against the fastest way the driver has."""
    events = [subject.materialization(number) for number in range(BATCH)]
    plain = [subject.plain(number) for number in range(BATCH)]
    with closing(place.open_raw()) as raw, open_log(place.log_url) as log:
        way, put = _fastest(raw, plain)
        began = raw.count()

        def by_driver() -> int:
            for _ in range(BATCHES):
                put("run", plain)
            return BATCHES * BATCH

        def by_foldlog() -> int:
            for _ in range(BATCHES):
                log.append("run", events)
            return BATCHES * BATCH

        outcome = contest("1000 events an append", by_driver, by_foldlog, goal=0.7, rounds=rounds)
        yield outcome._replace(note=f"raw: {way}")
        expect(raw.count() - began, (rounds + 1) * BATCHES * BATCH)
        expect(log.catch_up().position, (rounds + 1) * BATCHES * BATCH)


def _fastest(raw: Raw, plain: list[Event]) -> tuple[str, Callable[[str, list[Event]], None]]:
    ways = raw.batches()

    def rate(name: str) -> float:
        def once() -> int:
            ways[name]("run", plain)
            return len(plain)

        once()
        return max(timed(once).rate for _ in range(5))

    name = max(ways, key=rate)
    return name, ways[name]


def four_processes(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Single durable appends by four processes at once, a run each, in windows of two seconds."""
    with open_log(place.log_url) as log, closing(place.open_raw()) as raw:
        outcome, theirs, mine = compete(
            _by_driver, _by_foldlog, lambda number: (place.open_raw, number), lambda number: (place.log_url, number),
            rounds,
        )  # fmt: skip
        yield outcome
        expect(raw.count(), theirs)
        expect(log.catch_up().position, mine + rounds * WRITERS)


def _by_driver(where: tuple[Callable[[], Raw], int], number: int, barrier: Barrier, seconds: float) -> int:
    open_raw, turn = where
    events = [subject.plain(one) for one in range(100)]
    with closing(open_raw()) as raw:
        barrier.wait()
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            raw.append_one(f"run-{turn}-{number}", events[count % 100])
            count += 1
    return count


def _by_foldlog(where: tuple[str, int], number: int, barrier: Barrier, seconds: float) -> int:
    url, turn = where
    events = [subject.materialization(one) for one in range(100)]
    run = f"run-{turn}-{number}"
    with open_log(url) as log:
        log.append(run, [events[0]])
        barrier.wait()
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            log.append(run, [events[count % 100]])
            count += 1
    return count


def space(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Bytes an event on disk: 100 runs of 500 events in appends of one, four runs at a time, ordered and sealed.

    With all tables and indexes of the log, and without views, as on SQLite. More events than there: InnoDB gives an
    index a megabyte at a time.
    """
    with open_log(place.quick_url) as log, log.writer() as writer:
        for first in range(0, RUNS, WRITERS):
            runs = [f"run-{number}" for number in range(first, first + WRITERS)]
            for number in range(LONG):
                for run in runs:
                    writer.append(run, [subject.materialization(number)])  # a receipt each; commits are shared
            writer.flush()
            for run in runs:
                log.seal(run)
            place.weigh()  # clears up each time, as the server does by itself in the life of a log
        expect(log.catch_up().position, RUNS * LONG)
    weight = place.weigh()
    size = weight.bytes / (RUNS * LONG)
    body = len(Codec().encode([subject.materialization(0)])[0][0].body)
    note = f"the event itself is {body} bytes; {weight.how}"
    yield Outcome(
        "bytes an event", "<= 1100", size <= 1100, size / body, (0, 0), Timing(body, 0), Timing(size, 0), "bytes", note
    )


def expect(found: int, wanted: int) -> int:
    """Raise where the answer is wrong: a fast wrong answer is no result."""
    if found != wanted:
        raise AssertionError(f"the answer is wrong, so is the figure: {found:,} events where {wanted:,} were written")
    return found
