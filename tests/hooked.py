"""A store with somebody at the door: called before and after each request, who may fail it, hold it up, or die."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from foldlog.backends.objectstore.stores import Found, Objects

Hook = Callable[[str, str], None]  #: of an operation and the name it concerns (of a delete, the first)


def nothing(operation: str, name: str) -> None:
    """Nobody is at the door."""


class Hooked:
    """Objects with hooks, which may be exchanged at any time."""

    def __init__(self, objects: Objects, *, before: Hook = nothing, after: Hook = nothing) -> None:
        self.url = objects.url
        self.objects = objects
        self.before, self.after = before, after

    def create(self, name: str, data: bytes) -> bool:
        self.before("create", name)
        made = self.objects.create(name, data)
        self.after("create", name)
        return made

    def put(self, name: str, data: bytes) -> None:
        self.before("put", name)
        self.objects.put(name, data)
        self.after("put", name)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        self.before("get", name)
        data = self.objects.get(name, start=start, end=end)
        self.after("get", name)
        return data

    def list(self, prefix: str) -> list[Found]:
        self.before("list", prefix)
        found = self.objects.list(prefix)
        self.after("list", prefix)
        return found

    def delete(self, names: Sequence[str]) -> None:
        self.before("delete", names[0] if names else "")
        self.objects.delete(names)
        self.after("delete", names[0] if names else "")

    def close(self) -> None:
        """Nothing: the objects are other handles' too."""


class Sleeper:
    """Holds up the first request that fits, until it is woken."""

    def __init__(self, operation: str, part: str) -> None:
        self.sleeps, self._wake = threading.Event(), threading.Event()
        self._operation, self._part = operation, part

    def __call__(self, operation: str, name: str) -> None:
        if operation == self._operation and self._part in name and not self.sleeps.is_set():
            self.sleeps.set()
            assert self._wake.wait(20)

    def wake(self) -> None:
        self._wake.set()


class Thread(threading.Thread):
    """Keeps what its deed gave, or raised."""

    def __init__(self, deed: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._deed, self._outcome = deed, None
        self.start()

    def run(self) -> None:
        try:
            self._outcome = self._deed()
        except Exception as error:
            self._outcome = error

    @property
    def outcome(self) -> Any:
        self.join(20)
        assert not self.is_alive()
        return self._outcome
