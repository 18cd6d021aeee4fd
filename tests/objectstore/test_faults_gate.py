"""The gate shut and opened beside writers and readers that sleep at the worst moment (P1, P2, P5, P10)."""

from __future__ import annotations

import pytest
from hooked import Hooked, Sleeper, Thread

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


def move(backend: ObjectBackend, *gates: Gate) -> None:
    for gate in gates:
        assert backend.set_gate(gate, expected=backend.gate())


def leave_a_segment(objects: MemoryObjects, shard: str, body: bytes) -> None:
    def before(operation: str, name: str) -> None:
        if operation == "create" and name.startswith("pending/"):
            raise UnavailableError("nothing was done, by plan")

    with pytest.raises(UnavailableError):
        put(ObjectBackend(Hooked(objects, before=before)), shard, body)


@pytest.mark.parametrize("before", [0, 2])
def test_who_has_read_what_was_refused_forgets_it(objects: MemoryObjects, before: int) -> None:
    """P1, P5: its slot is taken by another append, and that gets the position."""
    one, other = ObjectBackend(objects), ObjectBackend(objects)
    for _ in range(before):
        put(one, "run-1", b"before")
    sequence(one)
    leave_a_segment(objects, "run-1", b"void")
    assert bodies(held(other, "run-1"))[before:] == [b"void"]
    put(other, "run-2", b"x")
    move(one, SHUT, OPEN_GATE)
    put(one, "run-1", b"real")
    put(other, "run-1", b"behind")
    for backend in (other, one, ObjectBackend(objects)):
        assert sequence(backend) == before + 3
        assert bodies(held(backend, "run-1"))[before:] == [b"real", b"behind"]
        assert set(bodies(timeline(backend))) == {b"real", b"behind", b"x", *[b"before"] * min(before, 1)}
        assert backend.diagnose(full=True) == []


@pytest.mark.parametrize("gates", [(SHUT,), (SHUT, OPEN_GATE), (SHUT, OPEN_GATE, SHUT)])
@pytest.mark.parametrize("held_up", ["runs/", "pending/"])
def test_a_writer_that_sleeps_before_half_of_an_append(
    objects: MemoryObjects, held_up: str, gates: tuple[Gate, ...]
) -> None:
    """P1, P10: the marker or the segment comes once the gate was shut, or opened again: refused, or recorded."""
    one = ObjectBackend(objects)
    put(one, "run-1", b"before")
    sleeper = Sleeper("create", held_up)
    hooked = Hooked(objects)
    zombie = ObjectBackend(hooked)
    put(zombie, "run-2", b"mine")
    hooked.before = sleeper
    append = Thread(lambda: put(zombie, "run-1", b"late", key=7))
    assert sleeper.sleeps.wait(10)
    move(one, *gates)
    is_open = gates[-1] == OPEN_GATE
    if is_open:
        put(one, "run-1", b"real")
    sequence(one)
    whole = bodies(timeline(one))
    sleeper.wake()
    if is_open:
        assert append.outcome.first_seq == 3
        sequence(one)
        assert bodies(held(one, "run-1")) == [b"before", b"real", b"late"]
        assert bodies(timeline(one)) == [*whole, b"late"]
    else:
        assert isinstance(append.outcome, LogMoved), append.outcome
        assert bodies(timeline(ObjectBackend(objects))) == whole
        move(one, OPEN_GATE)
        assert put(zombie, "run-1", b"late", key=7).first_seq == 2
        assert sequence(one) == len(whole) + 1
    assert one.diagnose(full=True) == []


def test_a_gate_shut_again_after_positions_were_given_behind_it(objects: MemoryObjects) -> None:
    """P10: the guards of the first time are known for what they are."""
    one, other = ObjectBackend(objects), ObjectBackend(objects)
    for turn in range(3):
        put(one, "run-1", b"a")
        put(other, "run-2", b"b")
        move(one, SHUT)
        assert sequence(other) == 2 * turn + 2
        move(other, OPEN_GATE)


@pytest.mark.parametrize("operation", ["list", "create"])
def test_who_slept_while_shutting_shuts_nothing_later(objects: MemoryObjects, operation: str) -> None:
    """P10: others gave it up, opened, and have writers that the sleeper's guards do not stop."""
    sleeper = Sleeper(operation, "writers/" if operation == "list" else "order/")
    hooked = Hooked(objects)
    zombie, one = ObjectBackend(hooked), ObjectBackend(objects)
    put(one, "run-1", b"a")
    hooked.after = sleeper
    shutting = Thread(lambda: zombie.set_gate(SHUT, expected=OPEN_GATE))
    assert sleeper.sleeps.wait(10)
    assert one.set_gate(OPEN_GATE, expected=OPEN_GATE)
    writer = ObjectBackend(objects)
    put(writer, "run-2", b"b")
    sleeper.wake()
    told = shutting.outcome
    try:
        put(writer, "run-2", b"c")
        taken = True
    except LogMoved:
        taken = False
    assert taken == (one.gate() == OPEN_GATE)
    assert told == (not taken)
    assert sequence(one) == 2 + taken


def test_a_fence_while_the_gate_is_shut_and_opened(objects: MemoryObjects) -> None:
    """P1: whoever sleeps between two halves of a fence: the run ends all the same, and nothing acknowledged is lost."""
    sleeper = Sleeper("create", ".seg")
    hooked = Hooked(objects)
    zombie, one = ObjectBackend(hooked), ObjectBackend(objects)
    put(one, "run-1", b"a")
    hooked.after = sleeper
    fencing = Thread(lambda: zombie.fence("run-1"))
    assert sleeper.sleeps.wait(10)
    move(one, SHUT, OPEN_GATE)
    put(one, "run-1", b"b")
    sleeper.wake()
    assert fencing.outcome is None
    assert sequence(one) == 2
    with pytest.raises(Exception, match="deleted"):
        put(one, "run-1", b"c")
    assert bodies(timeline(one)) == [b"a", b"b"]
    one.purge("run-1", keep=False)
