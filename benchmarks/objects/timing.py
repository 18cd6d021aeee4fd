"""How long one thing takes, against another, in turns: milliseconds, so that less is better."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from ..contest import Outcome, Timing, freeze, wait_for_quiet

Deed = Callable[[], object]


def took(
    name: str, raw: Deed, foldlog: Deed, *, most_ms: float | None, rounds: int, times: int = 1, note: str = ""
) -> Outcome:
    """Medians of `rounds` rounds, in each of which both are done `times` times, one after the other."""
    freeze()
    pairs = []
    for _ in range(rounds):
        wait_for_quiet()
        both = [(_ms(raw), _ms(foldlog)) for _ in range(times)]
        theirs, mine = (median(column) for column in zip(*both, strict=True))
        pairs.append((theirs, mine))
    ratios = [mine / theirs for theirs, mine in pairs]
    least, own = (median(column) for column in zip(*pairs, strict=True))
    goal = "" if most_ms is None else f"<= {most_ms:g} ms"
    good = most_ms is None or own <= most_ms
    spread = (min(ratios), max(ratios))
    return Outcome(name, goal, good, median(ratios), spread, Timing(least, 0), Timing(own, 0), "ms", note)


def _ms(deed: Deed) -> float:
    since = time.perf_counter()
    deed()
    return (time.perf_counter() - since) * 1e3
