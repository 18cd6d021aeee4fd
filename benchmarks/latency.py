"""A store that takes as long as a distant one does, whatever keeps the objects."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ..backends.objectstore.stores import Found, Objects

PUT_S, GET_S = 0.030, 0.015  #: seconds; a bucket in the same region, as object storage was measured from there


class Latency:
    """Objects whose every request takes a while: `put_s` to write, list or delete, `get_s` to read."""

    def __init__(self, objects: Objects, *, put_s: float = PUT_S, get_s: float = GET_S) -> None:
        self.url = objects.url
        self._objects = objects
        self._put_s, self._get_s = put_s, get_s

    def create(self, name: str, data: bytes) -> bool:
        time.sleep(self._put_s)
        return self._objects.create(name, data)

    def put(self, name: str, data: bytes) -> None:
        time.sleep(self._put_s)
        self._objects.put(name, data)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        time.sleep(self._get_s)
        return self._objects.get(name, start=start, end=end)

    def list(self, prefix: str) -> list[Found]:
        time.sleep(self._put_s)
        return self._objects.list(prefix)

    def delete(self, names: Sequence[str]) -> None:
        time.sleep(self._put_s)
        self._objects.delete(names)

    def close(self) -> None:
        self._objects.close()
