"""What is asked of a store, counted, and what S3 would take for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import NamedTuple

from .port import Found, Objects

#: dollars; list prices of S3 standard storage
PUT_PRICE = 0.005 / 1000
LIST_PRICE = 0.005 / 1000
GET_PRICE = 0.0004 / 1000
DELETE_PRICE = 0.0
STORED_PRICE = 0.023  #: for a GB and a month

PRICES = {"create": PUT_PRICE, "put": PUT_PRICE, "get": GET_PRICE, "list": LIST_PRICE, "delete": DELETE_PRICE}
PAGE = 1000  #: objects that one request lists, or deletes


class Counts(NamedTuple):
    """Requests by operation, and bytes, at one moment."""

    create: int
    put: int
    get: int
    list: int
    delete: int
    bytes_read: int
    bytes_written: int

    @property
    def dollars(self) -> float:
        """What the requests cost at S3; without storage."""
        return float(sum(getattr(self, name) * price for name, price in PRICES.items()))

    def since(self, earlier: Counts) -> Counts:
        """What was counted after an earlier moment."""
        return Counts(*(now - then for now, then in zip(self, earlier, strict=True)))


class Counted:
    """Objects that count what is asked of them; each page of a listing, or of deletions, as a request."""

    def __init__(self, objects: Objects) -> None:
        self.url = objects.url
        self._objects = objects
        self._lock = threading.Lock()
        self._counts = [0] * len(Counts._fields)

    @property
    def requests(self) -> dict[str, int]:
        """How many, by operation."""
        counts = self.snapshot()
        return {name: getattr(counts, name) for name in PRICES}

    @property
    def bytes_read(self) -> int:
        return self.snapshot().bytes_read

    @property
    def bytes_written(self) -> int:
        return self.snapshot().bytes_written

    @property
    def dollars(self) -> float:
        """What the requests cost at S3; without storage."""
        return self.snapshot().dollars

    def snapshot(self) -> Counts:
        """All counts at one moment."""
        with self._lock:
            return Counts(*self._counts)

    def create(self, name: str, data: bytes) -> bool:
        self._count(0, written=len(data))
        return self._objects.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        self._count(1, written=len(data))
        self._objects.put(name, data)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        data = self._objects.get(name, start=start, end=end)
        self._count(2, read=len(data or b""))
        return data

    def list(self, prefix: str) -> list[Found]:
        found = self._objects.list(prefix)
        self._count(3, times=_pages(len(found)))
        return found

    def delete(self, names: Sequence[str]) -> None:
        if names:
            self._count(4, times=_pages(len(names)))
        self._objects.delete(names)

    def close(self) -> None:
        self._objects.close()

    def _count(self, operation: int, *, times: int = 1, read: int = 0, written: int = 0) -> None:
        with self._lock:
            self._counts[operation] += times
            self._counts[5] += read
            self._counts[6] += written


def _pages(objects: int) -> int:
    return max(1, -(-objects // PAGE))
