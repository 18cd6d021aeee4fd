"""How soon a follower in another process is given an event, counted from when its append was acknowledged.

Raw: LISTEN and NOTIFY on PostgreSQL, a SELECT every two milliseconds on MySQL.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from ...engine.open import open_log
from .. import subject
from ..contest import Outcome, Timing, wait_for_quiet
from .server import POSTGRES, Place, Raw

EVENTS = 200  #: of one round
PAUSE_S = (0.005, 0.035)  #: between two appends: no follower can keep in step with it
GOAL_MS = 10.0
PATIENCE_S = 60.0

Follower = Callable[[Any, Any, int, Connection], None]  #: where, after what, how many, and whom to tell


def follow(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Appends of one event at uneven pauses; one writer, one follower. Both read the same clock, the machine's."""
    theirs: list[float] = []
    mine: list[float] = []
    with open_log(place.log_url) as log, closing(place.open_raw()) as raw:
        log.append("run", [subject.step_success(0)])
        log.catch_up()
        last = 0

        def by_driver() -> int:
            nonlocal last
            last = raw.announce("run", subject.plain(0))
            return last

        def by_foldlog() -> int:
            return log.append("run", [subject.step_success(0)]).first_seq

        for number in range(rounds):
            wait_for_quiet()
            theirs += _round(by_driver, _by_driver, place.open_raw, last, number)
            mine += _round(by_foldlog, _by_foldlog, place.log_url, str(log.cursor()), number)
    middle, limit = median(mine), median(theirs)
    goal = f"< {GOAL_MS:.0f} ms" if place.kind == POSTGRES else ""
    yield Outcome(
        "follow: acknowledged to delivered, median", goal, not goal or middle < GOAL_MS, middle / limit, (0, 0),
        Timing(limit, 0), Timing(middle, 0), "ms",
        f"{len(mine):,} events; the 99th percentile {_last(mine):.1f} ms, raw {_last(theirs):.1f} ms",
    )  # fmt: skip


def _last(taken: list[float]) -> float:
    return quantiles(taken, n=100)[98]


def _round(append: Callable[[], int], follower: Follower, where: Any, after: Any, number: int) -> list[float]:
    """Milliseconds of each event."""
    context, dice = get_context("spawn"), random.Random(number)
    here, there = context.Pipe()
    process = context.Process(target=follower, args=(where, after, EVENTS, there), daemon=True)
    process.start()
    there.close()
    try:
        _receive(here)  # it stands at the head
        acknowledged = {}
        for _ in range(EVENTS):
            time.sleep(dice.uniform(*PAUSE_S))
            acknowledged[append()] = time.monotonic_ns()
        delivered = _receive(here)
    finally:
        process.kill()
        process.join()
    if delivered.keys() != acknowledged.keys():
        raise AssertionError(f"{len(delivered)} events were delivered where {len(acknowledged)} were acknowledged")
    return [(delivered[seq] - acknowledged[seq]) / 1e6 for seq in acknowledged]


def _receive(here: Connection) -> dict[int, int]:
    if not here.poll(PATIENCE_S):
        raise AssertionError(f"the follower has not delivered all events within {PATIENCE_S:.0f} s")
    return dict(here.recv())


def _by_foldlog(url: str, after: str, wanted: int, there: Connection) -> None:
    delivered: dict[int, int] = {}
    with open_log(url) as log, log.follow(after=after) as follower:
        log.read(after=after, limit=1)  # what is done once is over
        there.send({})
        for record in follower:
            delivered[getattr(record, "seq", 0)] = time.monotonic_ns()
            if len(delivered) == wanted:
                break
    there.send(delivered)


def _by_driver(open_raw: Callable[[], Raw], after: int, wanted: int, there: Connection) -> None:
    delivered: dict[int, int] = {}
    with closing(open_raw()) as raw:
        raw.listen()
        there.send({})
        while len(delivered) < wanted:
            for number in raw.follow(after):
                delivered[number] = time.monotonic_ns()
                after = number
    there.send(delivered)
