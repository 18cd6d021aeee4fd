"""Processes that sleep, and days that pass, without waiting for either: a store that calls a test before or after an
operation, and one whose clock can be put forward."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Literal
from uuid import UUID

from foldlog.backends.objectstore import clock
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores import Found, Objects
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import ANY, Append, Expected, Receipt, Record
from foldlog.engine.log.sequencer import Sequencer

DAY_S = 24 * 3600.0


class Dated(MemoryObjects):
    """Objects in memory, by a clock that can be put forward."""

    def __init__(self) -> None:
        super().__init__("memory:dated")
        self.ahead_us = 0

    def _keep(self, name: str, data: bytes) -> None:
        super()._keep(name, data)
        self._held[name] = (data, time.time_ns() // 1000 + self.ahead_us)

    def sleep(self, seconds: float) -> None:
        """Let time pass, for the store and for whoever looks at the clocks of this process."""
        self.ahead_us += round(seconds * 1e6)
        with clock._lock:
            clock._passed += seconds


class Seam:
    """Objects that call a hook, once, before or after the first operation on a name that begins so."""

    def __init__(self, objects: Objects) -> None:
        self.url = objects.url
        self.objects = objects
        self._hooks: list[tuple[str, str, str, Callable[[], object]]] = []
        self.called = 0

    def on(
        self, operation: str, prefix: str, hook: Callable[[], object], *, when: Literal["before", "after"] = "before"
    ) -> None:
        self._hooks.append((operation, prefix, when, hook))

    def create(self, name: str, data: bytes) -> bool:
        self._call("create", name, "before")
        made = self.objects.create(name, data)
        self._call("create", name, "after")
        return made

    def put(self, name: str, data: bytes) -> None:
        self._call("put", name, "before")
        self.objects.put(name, data)
        self._call("put", name, "after")

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        self._call("get", name, "before")
        data = self.objects.get(name, start=start, end=end)
        self._call("get", name, "after")
        return data

    def list(self, prefix: str) -> list[Found]:
        self._call("list", prefix, "before")
        found = self.objects.list(prefix)
        self._call("list", prefix, "after")
        return found

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._call("delete", name, "before")
        self.objects.delete(names)
        for name in names:
            self._call("delete", name, "after")

    def close(self) -> None:
        self.objects.close()

    def _call(self, operation: str, name: str, when: str) -> None:
        for hook in self._hooks:
            if hook[0] == operation and name.startswith(hook[1]) and hook[2] == when:
                self._hooks.remove(hook)
                self.called += 1
                hook[3]()
                return


def facts(*words: str, retention: Retention = Retention.RUN) -> list[Record]:
    return [Record("Fact", 1, int(retention), word.encode()) for word in words]


def append(
    backend: ObjectBackend, shard: str, *words: str, expected: Expected = ANY, key: UUID | None = None
) -> Receipt:
    digest = blake2b("".join(words).encode(), digest_size=16).digest()
    return backend.append(Append(shard, facts(*words), digest, expected, key))


def catch_up(backend: ObjectBackend) -> int:
    return Sequencer(backend).catch_up().position


def words(backend: ObjectBackend, shard: str) -> list[str]:
    """What a shard holds, as it is read."""
    found = backend.read_shard(shard, after_seq=0, limit=10_000, types=None, newest_first=False)
    return [one.record.body.decode() for one in found if one.record is not None]


def timeline(backend: ObjectBackend) -> list[str]:
    """What is on the timeline."""
    catch_up(backend)
    found = backend.read(after=0, limit=10_000, types=None)
    return [one.record.body.decode() if one.record is not None else "-" for one in found]


def add_steps(backend: ObjectBackend, number: int) -> None:
    """Steps of the order, one append each."""
    for at in range(number):
        append(backend, "filler", f"filler {at}")
        catch_up(backend)
