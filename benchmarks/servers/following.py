"""How soon a follower in another process is given an event, counted from when its append was acknowledged."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median, quantiles

from ...engine.open import open_log
from .. import subject
from ..contest import Outcome, Timing, figure, wait_for_quiet
from .server import POSTGRES, Place

EVENTS = 200  #: of one round
PAUSE_S = (0.005, 0.035)  #: between two appends: no follower can keep in step with it
GOAL_MS = 10.0
PATIENCE_S = 60.0


def follow(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Appends of one event at uneven pauses; one writer, one follower. Both read the same clock, the machine's."""
    taken: list[float] = []
    with open_log(place.log_url) as log:
        log.append("run", [subject.step_success(0)])
        log.catch_up()
        for number in range(rounds):
            wait_for_quiet()
            taken += _round(place.log_url, str(log.cursor()), number)
    cuts = quantiles(taken, n=100)
    middle, last = median(taken), cuts[98]
    note = f"{len(taken):,} events; the 99th percentile {last:.1f} ms"
    if place.kind != POSTGRES:
        yield figure("follow: acknowledged to delivered, median", middle, "ms", note)
        return
    yield Outcome(
        "follow: acknowledged to delivered, median", f"< {GOAL_MS:.0f} ms", middle < GOAL_MS, middle / GOAL_MS,
        (min(taken) / GOAL_MS, max(taken) / GOAL_MS), Timing(GOAL_MS, 0), Timing(middle, 0), "ms", note,
    )  # fmt: skip


def _round(url: str, after: str, number: int) -> list[float]:
    """Milliseconds of each event."""
    context, dice = get_context("spawn"), random.Random(number)
    here, there = context.Pipe()
    process = context.Process(target=_deliver, args=(url, after, EVENTS, there), daemon=True)
    process.start()
    there.close()
    try:
        _receive(here)  # it stands at the head
        acknowledged = {}
        with open_log(url) as log:
            for _ in range(EVENTS):
                time.sleep(dice.uniform(*PAUSE_S))
                receipt = log.append("run", [subject.step_success(0)])
                acknowledged[receipt.first_seq] = time.monotonic_ns()
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


def _deliver(url: str, after: str, wanted: int, there: Connection) -> None:
    delivered: dict[int, int] = {}
    with open_log(url) as log, log.follow(after=after) as follower:
        log.read(after=after, limit=1)  # what is done once is over
        there.send({})
        for record in follower:
            now = time.monotonic_ns()
            delivered[getattr(record, "seq", 0)] = now
            if len(delivered) == wanted:
                break
    there.send(delivered)
