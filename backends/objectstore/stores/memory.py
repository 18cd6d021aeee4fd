"""Objects in memory: the port as plain code. The other stores must agree with it.

Promises: what the port says, within one process. Several backends may be handed the same one; nothing survives it.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, insort
from collections.abc import Sequence

from ...sql.forked import begin_anew_in_children
from .names import check_name, check_object, check_prefix
from .port import Found


class MemoryObjects:
    """Objects of this process."""

    def __init__(self, url: str = "memory") -> None:
        self.url = url
        self._lock = threading.Lock()
        self._held: dict[str, tuple[bytes, int]] = {}  #: name -> data, when it was written (us)
        self._names: list[str] = []  #: in order, for listings
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        self._lock = threading.Lock()  # a thread that the child has not got may hold the other

    def create(self, name: str, data: bytes) -> bool:
        check_object(name, data)
        with self._lock:
            if name in self._held:
                return False
            self._keep(name, data)
            return True

    def put(self, name: str, data: bytes) -> None:
        check_object(name, data)
        with self._lock:
            self._keep(name, data)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        check_name(name)
        with self._lock:
            held = self._held.get(name)
        return None if held is None else held[0][start:end]

    def list(self, prefix: str) -> list[Found]:
        check_prefix(prefix)
        with self._lock:
            first = bisect_left(self._names, prefix)
            behind = bisect_left(self._names, f"{prefix[:-1]}0") if prefix else None  # 0 is the character behind /
            return [Found(name, len(self._held[name][0]), self._held[name][1]) for name in self._names[first:behind]]

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(name)
        with self._lock:
            for name in names:
                if self._held.pop(name, None) is not None:
                    del self._names[bisect_left(self._names, name)]

    def close(self) -> None:
        """Nothing: whoever else was handed these objects goes on."""

    def _keep(self, name: str, data: bytes) -> None:
        if name not in self._held:
            insort(self._names, name)
        self._held[name] = bytes(data), time.time_ns() // 1000
