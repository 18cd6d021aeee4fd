"""Entries that are taken in while somebody else changes what they would fit to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hooked import Hooked, nothing

from foldlog.backends.memory import MemoryBackend
from foldlog.backends.objectstore import names
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import ConflictError
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState, ShardState
from foldlog.testing.moving import KEPT, receive
from foldlog.testing.store import bodies, held, put, sequence


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects("memory:objects")


@pytest.fixture
def source() -> MemoryBackend:
    backend = MemoryBackend()
    for number in range(4):
        put(backend, "run-1", b"%d" % number, KEPT)
    sequence(backend)
    return backend


def as_it_counts(door: Hooked, deed: Callable[[], object]) -> None:
    """Do something when all is written, and the step that makes it count is not."""

    def before(operation: str, name: str) -> None:
        if operation == "create" and name.startswith(names.ORDER):
            door.before = nothing
            deed()

    door.before = before


def test_nothing_comes_in_when_the_gate_has_opened(objects: MemoryObjects, source: MemoryBackend) -> None:
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    receive(source, backend)
    as_it_counts(door, lambda: other.set_gate(OPEN_GATE, expected=Gate(GateState.RECEIVING, "a copy")))
    head = backend.head()
    assert not backend.ingest(source.extract(after=0, limit=99, size=10**6), after=head, states={})
    put(other, "run-1", b"a")
    assert sequence(ObjectBackend(objects)) == 1


def test_nothing_comes_in_to_a_shard_that_was_fenced(objects: MemoryObjects, source: MemoryBackend) -> None:
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    receive(source, backend)
    first = source.extract(after=0, limit=2, size=10**6)
    assert backend.ingest(first, after=backend.head(), states={})
    as_it_counts(door, lambda: other.fence("run-1"))
    with pytest.raises(ConflictError):
        backend.ingest(source.extract(after=2, limit=99, size=10**6), after=backend.head(), states={})


def test_what_was_freed_meanwhile_is_not_named_again(objects: MemoryObjects, source: MemoryBackend) -> None:
    source.fence("run-1")
    source.purge("run-1", keep=True)
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    receive(source, backend)
    states = {"run-1": ShardState.PURGED}
    assert backend.ingest(source.extract(after=0, limit=2, size=10**6), after=backend.head(), states=states)
    as_it_counts(door, lambda: other.purge("run-1", keep=False))
    rest = source.extract(after=2, limit=99, size=10**6)
    assert backend.ingest(rest, after=backend.head(), states=states)
    assert bodies(held(ObjectBackend(objects), "run-1")) == [KEPT.body] * 3
