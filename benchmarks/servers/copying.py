"""Logs copied from SQLite to a server, back, and to other servers: events a second.

The rate is that of the copying itself, each page durable and its chain checked. That both logs are then compared as a
whole comes on top: the note.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from typing import NamedTuple

from ... import moving
from ...engine.open import open_log
from .. import history
from ..contest import Outcome, Timing, wait_for_quiet
from ..history import Shape
from .appending import expect
from .server import Server

SHAPE = Shape(runs=200, events=500)
MOST = 3  #: rounds, for each takes seconds
GOAL = 30_000

New = Callable[[], AbstractContextManager[str]]  #: a new destination, by its URL


class Taken(NamedTuple):
    """Seconds of one copy."""

    copying: float
    all: float  #: with the comparison


class _Clock:
    """When the copying itself began and ended, by what is told of its progress."""

    def __init__(self) -> None:
        self._began = 0.0
        self.seconds = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        if what == "events" and not self.seconds:
            self._began = self._began or time.perf_counter()
            if done == total:
                self.seconds = time.perf_counter() - self._began


def copy(server: Server, folder: Path, rounds: int, others: Sequence[Server] = ()) -> Iterator[Outcome]:
    """From SQLite to the server, from there to SQLite, and from there to each of the others."""
    source = f"sqlite:///{folder}/source"
    with open_log(f"{source}?durability=process") as log:
        history.write(log, SHAPE)
    copies = count()

    def in_folder() -> AbstractContextManager[str]:
        return nullcontext(f"sqlite:///{folder}/copy-{next(copies)}")

    with _on(server) as held:
        _copy(source, held)
        yield _rate("copy from SQLite", source, partial(_on, server), rounds)
        yield _rate("copy to SQLite", held, in_folder, rounds)
        for other in others:
            yield _rate(f"copy to {other.title}", held, partial(_on, other), rounds)


@contextmanager
def _on(server: Server) -> Iterator[str]:
    with server.place() as place:
        yield place.log_url


def _rate(name: str, source: str, new: New, rounds: int) -> Outcome:
    taken = []
    for _ in range(min(rounds, MOST)):
        wait_for_quiet()
        with new() as destination:
            taken.append(_copy(source, destination))
    rates = [SHAPE.total / one.copying for one in taken]
    rate, whole = median(rates), median(SHAPE.total / one.all for one in taken)
    return Outcome(
        name, f">= {GOAL:,} events/s", rate >= GOAL, rate / GOAL, (min(rates) / GOAL, max(rates) / GOAL),
        Timing(GOAL, 0), Timing(rate, 0), "events/s", f"{SHAPE.total:,} events; {whole:,.0f} events/s with comparison",
    )  # fmt: skip


def _copy(source: str, destination: str) -> Taken:
    clock, began = _Clock(), time.perf_counter()
    copied = moving.copy_log(source, destination, fork=True, progress=clock)
    expect(copied.position, SHAPE.total)
    return Taken(clock.seconds, time.perf_counter() - began)
