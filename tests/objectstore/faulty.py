"""A store that fails as real ones do, by a seed: the same calls fail in the same way in each run.

Of each operation the n-th call is decided by (seed, operation, n) alone, whichever thread makes it:

    before     nothing was done, UnavailableError          (503, 409, a connection that was refused)
    after      it was done, UnavailableError               (the reply was lost)
    repeated   it was done and asked for once more: a create answers False for its own object   (the adapter's retry)
    late       it was refused, and is done `late_s` later  (a request that was still on its way)
    delay      it takes up to `delay_s` longer

`stale_s`: a listing misses objects that were made in the last so many seconds.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from foldlog import UnavailableError
from foldlog.backends.objectstore.stores import Found, Objects

T = TypeVar("T")

DEFAULT = {"before": 0.05, "after": 0.05, "repeated": 0.05, "delay": 0.1}


class Faulty:
    """Objects that fail. `chances` are of each fault, for each call; `only` names the operations that fail."""

    def __init__(
        self,
        objects: Objects,
        seed: int,
        *,
        chances: Mapping[str, float] = DEFAULT,
        only: Sequence[str] = ("create", "put", "get", "list", "delete"),
        delay_s: float = 0.002,
        late_s: float = 0.05,
        stale_s: float = 0.0,
    ) -> None:
        self.url = objects.url
        self.objects = objects
        self.faults: Counter[tuple[str, str]] = Counter()  #: how often, by operation and fault
        self.is_calm = False  #: set to have no faults any more
        self._seed, self._chances, self._only = seed, dict(chances), tuple(only)
        self._delay_s, self._late_s, self._stale_s = delay_s, late_s, stale_s
        self._calls: Counter[str] = Counter()
        self._made: dict[str, float] = {}
        self._lock = threading.Lock()
        self._late: list[threading.Timer] = []

    def create(self, name: str, data: bytes) -> bool:
        def create() -> bool:
            made = self.objects.create(name, data)
            if made and self._stale_s:
                with self._lock:
                    self._made[name] = time.monotonic()
            return made

        return self._done("create", create)

    def put(self, name: str, data: bytes) -> None:
        self._done("put", lambda: self.objects.put(name, data))

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return self._done("get", lambda: self.objects.get(name, start=start, end=end))

    def list(self, prefix: str) -> list[Found]:
        found = self._done("list", lambda: self.objects.list(prefix))
        if not self._stale_s or self.is_calm:
            return found
        since = time.monotonic() - self._stale_s
        with self._lock:
            return [one for one in found if self._made.get(one.name, since) <= since]

    def delete(self, names: Sequence[str]) -> None:
        self._done("delete", lambda: self.objects.delete(names))

    def settle(self) -> None:
        """Wait until whatever was late has landed."""
        with self._lock:
            late, self._late = self._late, []
        for one in late:
            one.join()

    def close(self) -> None:
        self.settle()
        self.objects.close()

    def _done(self, operation: str, deed: Callable[[], T]) -> T:
        fault, delay_s = self._fate(operation)
        time.sleep(delay_s)
        if fault == "before":
            raise UnavailableError(f"{operation}: nothing was done, by plan")
        if fault == "late":
            timer = threading.Timer(self._late_s, deed)
            timer.daemon = True
            with self._lock:
                self._late.append(timer)
            timer.start()
            raise UnavailableError(f"{operation}: it will be done later, by plan")
        given = deed()
        if fault == "after":
            raise UnavailableError(f"{operation}: it was done and its reply lost, by plan")
        return deed() if fault == "repeated" else given

    def _fate(self, operation: str) -> tuple[str | None, float]:
        with self._lock:
            self._calls[operation] += 1
            call = self._calls[operation]
        if self.is_calm or operation not in self._only:
            return None, 0.0
        dice = random.Random(f"{self._seed} {operation} {call}")
        roll, delay_s = dice.random(), 0.0
        if dice.random() < self._chances.get("delay", 0.0):
            delay_s = dice.random() * self._delay_s
        for fault in ("before", "after", "repeated", "late"):
            roll -= self._chances.get(fault, 0.0)
            if roll < 0:
                with self._lock:
                    self.faults[operation, fault] += 1
                return fault, delay_s
        return None, delay_s
