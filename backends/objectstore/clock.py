"""Microseconds since 1970 that only ever grow within one process, so that of two appends of it, one acknowledged before
the other began, the first has the smaller time. Between machines, times differ as their clocks do."""

from __future__ import annotations

import threading
import time

_lock = threading.Lock()
_last = 0


def now_us(*, after: int = 0) -> int:
    """The time; greater than any that this process was given before, and than `after`."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1, after + 1)
        return _last
