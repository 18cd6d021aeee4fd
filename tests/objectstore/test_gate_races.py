"""The gate against appends that are under way, request by request."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from hooked import Hooked

from foldlog import UnavailableError
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import LogMoved
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState
from foldlog.testing.store import put

SHUT = Gate(GateState.MOVED, "elsewhere")


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects("memory:objects")


class Held:
    """Holds up the first request of a kind, before or after it is made, until it is let go."""

    def __init__(self, operation: str, prefix: str) -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self._wanted = operation, prefix

    def __call__(self, operation: str, name: str) -> None:
        wanted, prefix = self._wanted
        if operation == wanted and name.startswith(prefix) and not self.reached.is_set():
            self.reached.set()
            assert self.go.wait(20)


def aside(deed: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """The deed in a thread, and what it gave or raised."""
    given: list[object] = []

    def run() -> None:
        try:
            given.append(deed())
        except Exception as error:
            given.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, given


def test_an_append_whose_segment_may_come_is_not_said_to_be_refused(objects: MemoryObjects) -> None:
    def lost(operation: str, name: str) -> None:
        if operation == "create" and name.startswith("runs/"):
            raise UnavailableError("it may come later, by plan")

    door = Hooked(objects)
    writer, keeper = ObjectBackend(door), ObjectBackend(objects)
    put(writer, "run-0", b"x")
    marker = Held("create", "pending/")

    def before(operation: str, name: str) -> None:
        marker(operation, name)
        lost(operation, name)

    door.before = before
    thread, given = aside(lambda: put(writer, "run-1", b"a"))
    assert marker.reached.wait(20)
    assert keeper.set_gate(SHUT, expected=OPEN_GATE)
    marker.go.set()
    thread.join(20)
    assert isinstance(given[0], UnavailableError)
    assert not isinstance(given[0], LogMoved)


def test_nothing_is_left_of_appends_that_the_gate_refuses(objects: MemoryObjects) -> None:
    writer, keeper = ObjectBackend(objects), ObjectBackend(objects)
    put(writer, "run-1", b"a")
    assert keeper.set_gate(SHUT, expected=OPEN_GATE)
    before = len(objects.list("writers/"))
    for _ in range(10):
        with pytest.raises(LogMoved):
            put(writer, "run-1", b"b")
    assert len(objects.list("writers/")) <= before + 1
