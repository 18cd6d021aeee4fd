"""Segments that landed without the marker that announces them: no append was acknowledged with them yet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hooked import Hooked

from foldlog import UnavailableError
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import LogMoved
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState
from foldlog.testing.store import bodies, held, put, sequence, timeline

SHUT = Gate(GateState.MOVED, "elsewhere")


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects("memory:objects")


def refusing(prefix: str) -> Callable[[str, str], None]:
    def before(operation: str, name: str) -> None:
        if operation == "create" and name.startswith(prefix):
            raise UnavailableError(f"{name}: nothing was done, by plan")

    return before


def leave_a_segment(objects: MemoryObjects, *made: bytes, key: int | None = 1) -> None:
    """A writer whose segment lands and whose marker does not."""
    writer = ObjectBackend(Hooked(objects, before=refusing("pending/")))
    with pytest.raises(UnavailableError):
        put(writer, "run-1", *made, key=key)


@pytest.mark.parametrize("is_fresh", [False, True])
@pytest.mark.parametrize("before", [0, 2])
def test_a_retry_announces_what_it_finds(objects: MemoryObjects, before: int, is_fresh: bool) -> None:
    """P1, P4: the retry is acknowledged, so the append gets its position, and stands behind a gate that shuts."""
    backend = ObjectBackend(objects)
    for _ in range(before):
        put(backend, "run-1", b"before")
    sequence(backend)
    leave_a_segment(objects, b"a", b"b")
    if is_fresh:  # one that reads what there is before it appends
        backend = ObjectBackend(objects)
    receipt = put(backend, "run-1", b"a", b"b", key=1)
    assert (receipt.first_seq, receipt.duplicate) == (before + 1, True)
    assert [one.first_seq for one in backend.pending(limit=9)] == [before + 1]
    assert backend.set_gate(SHUT, expected=OPEN_GATE)
    assert sequence(backend) == before + 2
    assert bodies(timeline(backend))[before:] == [b"a", b"b"]


def test_a_retry_behind_the_shut_gate_is_refused(objects: MemoryObjects) -> None:
    """P10: a segment that nobody announced before is no append that was made."""
    backend = ObjectBackend(objects)
    put(backend, "run-0", b"x")
    leave_a_segment(objects, b"a")
    assert backend.set_gate(SHUT, expected=OPEN_GATE)
    with pytest.raises(LogMoved):
        put(backend, "run-1", b"a", key=1)
    assert backend.set_gate(OPEN_GATE, expected=SHUT)
    assert not put(backend, "run-1", b"other", key=2).duplicate
    assert not put(backend, "run-1", b"a", key=1).duplicate
    assert sequence(backend) == 3
    assert bodies(held(backend, "run-1")) == [b"other", b"a"]


def test_a_retry_of_another_batch_is_no_conflict_to_keep(objects: MemoryObjects) -> None:
    """What stands in a segment under a key answers for that key, announced or not, once somebody went behind it."""
    backend = ObjectBackend(objects)
    leave_a_segment(objects, b"a")
    put(backend, "run-1", b"behind")
    assert put(backend, "run-1", b"a", key=1).duplicate
    assert sequence(backend) == 2
    assert bodies(timeline(backend)) == [b"a", b"behind"]


def test_a_fence_takes_in_what_it_stands_behind(objects: MemoryObjects) -> None:
    """A dead writer's run can be deleted: what it left gets a position first."""
    backend = ObjectBackend(objects)
    put(backend, "run-1", b"x")
    sequence(backend)
    leave_a_segment(objects, b"a", key=None)
    backend.fence("run-1")
    assert sequence(backend) == 2
    backend.purge("run-1", keep=False)
    assert bodies(held(backend, "run-1")) == []
