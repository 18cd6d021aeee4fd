"""A store that asks again where it got no answer, as the adapters of clouds do: so a create answers False for its own
object. What fails for too long surfaces."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from foldlog import UnavailableError
from foldlog.backends.objectstore.stores import Found, Objects

T = TypeVar("T")


class Retrying:
    """Objects that try each call `tries` times."""

    def __init__(self, objects: Objects, *, tries: int = 8) -> None:
        self.url = objects.url
        self.objects = objects
        self._tries = tries

    def create(self, name: str, data: bytes) -> bool:
        return self._tried(lambda: self.objects.create(name, data))

    def put(self, name: str, data: bytes) -> None:
        self._tried(lambda: self.objects.put(name, data))

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return self._tried(lambda: self.objects.get(name, start=start, end=end))

    def list(self, prefix: str) -> list[Found]:
        return self._tried(lambda: self.objects.list(prefix))

    def delete(self, names: Sequence[str]) -> None:
        self._tried(lambda: self.objects.delete(names))

    def close(self) -> None:
        self.objects.close()

    def _tried(self, call: Callable[[], T]) -> T:
        for _ in range(self._tries - 1):
            try:
                return call()
            except UnavailableError:
                time.sleep(0.0005)
        return call()
