"""Measure two contestants against each other on a machine that others use too.

Each round runs both, in turn first; a ratio is taken within the round, and the figure is the median of the ratios.
Absolute rates differ twofold between two runs on the same machine and are given for orientation only.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

Work = Callable[[], int]  #: does some work and answers how many units it was


class Timing(NamedTuple):
    """One contestant in one round."""

    rate: float  #: units a second
    cpu_us: float  #: processor time of this process, microseconds a unit


class Outcome(NamedTuple):
    """One workload measured. `ratio` is foldlog to raw, so that more is better."""

    name: str
    goal: str
    good: bool
    ratio: float
    spread: tuple[float, float]  #: least and greatest ratio of a round
    raw: Timing
    foldlog: Timing
    unit: str
    note: str = ""


def contest(name: str, raw: Work, foldlog: Work, *, goal: float, rounds: int, unit: str = "events/s") -> Outcome:
    """Let both run `rounds` times after a warm-up."""
    freeze()
    raw(), foldlog()
    pairs = []
    for number in range(rounds):
        wait_for_quiet()
        if number % 2:
            mine, theirs = timed(foldlog), timed(raw)
        else:
            theirs, mine = timed(raw), timed(foldlog)
        pairs.append((theirs, mine))
    ratios = [mine.rate / theirs.rate for theirs, mine in pairs]
    ratio = median(ratios)
    return Outcome(
        name, f">= {goal}", ratio >= goal, ratio, (min(ratios), max(ratios)),
        _middle([theirs for theirs, _ in pairs]), _middle([mine for _, mine in pairs]), unit,
    )  # fmt: skip


def figure(name: str, amount: float, unit: str, note: str = "") -> Outcome:
    """What is only told: no limit, no goal."""
    return Outcome(name, "", True, 0.0, (0, 0), Timing(0.0, 0.0), Timing(amount, 0.0), unit, note)


def timed(work: Work) -> Timing:
    cpu, start = time.process_time(), time.perf_counter()
    units = work()
    seconds = time.perf_counter() - start
    return Timing(units / seconds, (time.process_time() - cpu) * 1e6 / units)


def freeze() -> None:
    """Take what lives now out of the garbage collector's sight, else every decode pays for the harness's objects."""
    gc.collect()
    gc.freeze()


def wait_for_quiet(*, share: float = 0.2, seconds: float = 3.0) -> None:
    """Wait a little for the machine to be idle; go on anyway after `seconds`."""
    end = time.monotonic() + seconds
    while _busy_share() > share and time.monotonic() < end:
        pass


def _busy_share() -> float:
    before = _jiffies()
    time.sleep(0.1)
    after = _jiffies()
    total = sum(after) - sum(before)
    return 1 - (after[3] - before[3]) / total if total else 0.0


def _jiffies() -> list[int]:
    stat = Path("/proc/stat")
    if not stat.exists():
        return [0, 0, 0, 0]
    return [int(word) for word in stat.read_text().split("\n", 1)[0].split()[1:]]


def _middle(timings: list[Timing]) -> Timing:
    return Timing(median(one.rate for one in timings), median(one.cpu_us for one in timings))
