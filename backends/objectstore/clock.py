"""Two clocks. Microseconds since 1970 that only ever grow within one process, so that of two appends of it, one
acknowledged before the other began, the first has the smaller time; between machines, times differ as their clocks do.
And seconds that have passed at least, for whoever asks whether what it knows is too old to be relied on.
"""

from __future__ import annotations

import threading
import time
from typing import Final

_lock = threading.Lock()
_last = 0

#: they stand still and jump at different occasions; where the system has it, also the one that counts a machine's sleep
_CLOCKS: Final = tuple(
    number
    for name in ("CLOCK_MONOTONIC", "CLOCK_BOOTTIME", "CLOCK_REALTIME")
    if (number := getattr(time, name, None)) is not None
)
_passed = 0.0
_read: list[float] = []


def now_us(*, after: int = 0) -> int:
    """The time; greater than any that this process was given before, and than `after`."""
    global _last
    with _lock:
        _last = max(time.time_ns() // 1000, _last + 1, after + 1)
        return _last


def elapsed_s() -> float:
    """Seconds since some moment, never too few: the monotonic clock stands still while a machine sleeps, so what any of
    the clocks has gone on by counts. A clock that was set forward makes it too many, which costs a look."""
    global _passed, _read
    with _lock:
        read = [time.clock_gettime(number) for number in _CLOCKS]
        if _read:
            _passed += max(0.0, *(now - then for now, then in zip(read, _read, strict=True)))
        _read = read
        return _passed
