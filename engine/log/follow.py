"""Follow the timeline from a cursor, without end.

Promises: every sequenced event once, in timeline order; a reader that resumes from its cursor misses none.
A cursor from another history is refused with HistoryDiverged before the first event.
Not here: what events mean (views/), keeping the cursor (the caller's checkpoint), retries (the caller's loop).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Self

from .cursor import Cursor
from .port import CanWait

if TYPE_CHECKING:
    from .log import EventLog, EventRecord, Purged

QUICKEST_S = 0.002  #: the first pause at the head
SLOWEST_S = 0.1  #: the longest one, reached by doubling: an idle follower costs next to nothing


class Follower:
    """An iterator over the timeline that waits at its end. Close it (or the log) to end the loop.

    `cursor` is where the reader stands after the record it was given last: keep it, and pass it as `after` next time.
    """

    def __init__(self, log: EventLog, *, after: str | None, types: Collection[str] | None, page: int) -> None:
        self._log = log
        self._types = types
        self._page = page
        self._buffer: deque[EventRecord | Purged] = deque()
        self._closed = threading.Event()
        self._taken: int | None = None
        self._after = after

    @property
    def cursor(self) -> Cursor:
        """Where the reader stands: behind the last record it was given, and behind what `types` leaves out there."""
        if not self._buffer and self._after is not None:
            return Cursor(self._after)
        return self._log.cursor(self._taken or 0)

    def close(self) -> None:
        """End the loop, also from another thread: after what was fetched already, which is a page at most."""
        self._closed.set()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> EventRecord | Purged:
        pause = QUICKEST_S
        while not self._buffer:
            if self._closed.is_set() or self._log.closed:
                raise StopIteration
            try:
                if not self._fetch():
                    while self._wait(pause) is False and not (self._closed.is_set() or self._log.closed):
                        pass
                    pause = min(pause * 2, SLOWEST_S)
            except Exception:
                if self._log.closed:  # in the middle of it: tests/test_follow.py::test_the_log_is_closed_during_a_read
                    raise StopIteration from None
                raise
        record = self._buffer.popleft()
        self._taken = record.position
        return record

    def _fetch(self) -> bool:
        page = self._log.read(after=self._after, limit=self._page, types=self._types)
        self._after = page.cursor
        self._buffer.extend(page.records)
        return bool(page.records)

    def _wait(self, seconds: float) -> bool | None:
        """False if a look for news would be in vain."""
        backend = self._log.backend
        if isinstance(backend, CanWait):
            return backend.wait(timeout_us=int(seconds * 1e6))
        self._closed.wait(seconds)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
