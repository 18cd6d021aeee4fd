"""Say now and then, on the error stream, how far something is that takes minutes."""

from __future__ import annotations

import sys
import time

EVERY_S = 10.0


class Telling:
    """How many of `total` are done, how fast, and how long it still takes. Silent while it is quick."""

    def __init__(self, what: str, total: int) -> None:
        self._what = what
        self._total = total
        self._began = self._told = time.monotonic()

    def at(self, done: int) -> None:
        """So many are done."""
        now = time.monotonic()
        if now - self._told < EVERY_S or not done:
            return
        self._told = now
        rate = done / (now - self._began)
        left = (self._total - done) / rate
        print(
            f"{self._what}: {done:,} of {self._total:,}, {rate:,.0f}/s, about {left:,.0f} s left",
            file=sys.stderr,
            flush=True,
        )
