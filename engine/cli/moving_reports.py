"""How far a move is: bars on a terminal, a line now and then elsewhere. On the error stream.

Not here: what moves (foldlog.migrations.moving).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .progress import Report, progress
from .show import line, say

EVERY_S = 10.0  #: between two lines where nobody watches a terminal


@contextmanager
def reported(title: str, *, unit: str = "events") -> Iterator[tuple[Report, Callable[[str], None]]]:
    """What to hand to the library as `progress=`, and as `told=`."""

    def told(step: str) -> None:
        say(line(step), err=True)

    if sys.stderr.isatty():
        with progress(title, unit=unit) as report:
            if report is not None:
                yield report, told
                return
    yield _Lines(title, unit), told


class _Lines:
    """A line each ten seconds: how far, how fast, how much longer; none while nothing goes on."""

    def __init__(self, title: str, unit: str) -> None:
        self._title = title
        self._unit = unit
        self._next_s = time.monotonic() + EVERY_S
        self._began: dict[str, tuple[float, int]] = {}  #: of each thing: when it was first told of, and how far it was
        self._said: tuple[str, int] | None = None  #: what the last line was of, and how far that was

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        began, first = self._began.setdefault(what, (now, done))
        if now < self._next_s or (what, done) == self._said:
            return
        self._said = what, done
        self._next_s = now + EVERY_S
        rate = (done - first) / (now - began) if now > began else 0.0
        left = f", {(total - done) / rate:,.0f} s left" if rate and total > done else ""
        of = f" of {total:,}" if total else ""
        say(line(f"{self._title} {what}: {done:,}{of}, {rate:,.0f} {self._unit}/s{left}"), err=True)
