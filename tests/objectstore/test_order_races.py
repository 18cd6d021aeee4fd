"""Steps of the order that are slow, or overtaken."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hooked import Hooked, nothing

from foldlog.backends.objectstore import library, names, reading
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.step import BLOCK
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import ShardPurged
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import OPEN_GATE, Append, Gate, GateState
from foldlog.testing.store import an_append, bodies, held, put, record, sequence, timeline

STALL_S = 0.05


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects("memory:objects")


def sleep_past_a_checkpoint(objects: MemoryObjects, door: Hooked) -> None:
    """The next step that this handle adds is there, and the handle sleeps until a checkpoint holds it."""

    def after(operation: str, name: str) -> None:
        if operation == "create" and name.startswith(names.ORDER):
            door.after = nothing
            other = ObjectBackend(objects)
            for _ in range(BLOCK):
                other.start_epoch("time goes by")
            time.sleep(STALL_S * 2)

    door.after = after


def test_a_step_that_was_added_counts_however_late_its_writer_learns_of_it(objects: MemoryObjects) -> None:
    """Else the packs that it names are taken for void, and deleted."""
    door = Hooked(objects)
    backend = ObjectBackend(door, stall_s=STALL_S)
    for number in range(3):
        put(backend, "run-1", record(b"log %d" % number, retention=Retention.LOG), record(b"fact %d" % number))
    sequence(backend)
    sleep_past_a_checkpoint(objects, door)
    assert backend.trim(Retention.LOG, through=6, shard=None).events == 3
    assert bodies(held(ObjectBackend(objects), "run-1")) == [b"fact 0", b"fact 1", b"fact 2"]
    assert bodies(held(backend, "run-1")) == [b"fact 0", b"fact 1", b"fact 2"]


def test_an_epoch_is_not_begun_twice(objects: MemoryObjects) -> None:
    door = Hooked(objects)
    backend = ObjectBackend(door, stall_s=STALL_S)
    sleep_past_a_checkpoint(objects, door)
    backend.start_epoch("mine")
    assert [epoch.reason for epoch in ObjectBackend(objects).epochs()].count("mine") == 1


def test_many_appends_that_depend_on_one_another_go_in_one_group(objects: MemoryObjects) -> None:
    backend = ObjectBackend(objects)
    appends: list[Append] = []
    for number in range(250):
        appends += [an_append("run-1", b"%d" % number), an_append("run-1", b"no", expected=7_000)]
    outcomes = backend.append_group(appends)
    assert {type(one).__name__ for one in outcomes[1::2]} == {"ConflictError"}
    assert {type(one).__name__ for one in outcomes[::2]} == {"Receipt"}


def test_what_a_segment_holds_in_part_behind_the_timeline_is_not_weighed(objects: MemoryObjects) -> None:
    backend = ObjectBackend(objects)
    backend.append_group([an_append("run-1", b"a"), an_append("run-1", b"bb"), an_append("run-1", b"ccc")])
    assert len(objects.list(names.folder("run-1"))) == 1
    from foldlog.testing.store import place_only

    place_only(backend, *backend.pending(limit=2))
    weights = backend.weigh(None, through=1, shard="run-1")
    assert [(one.events, one.bytes) for one in weights.values()] == [(1, 1)]


def test_a_shard_is_listed_while_it_is_given_its_positions(objects: MemoryObjects) -> None:
    """Its marker is gone when it is looked for, and the order had not named it yet."""
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    put(backend, "run-1", b"a")

    def before(operation: str, name: str) -> None:
        if operation == "list" and name == names.PENDING:
            door.before = nothing
            time.sleep(0.1)  # the order was looked at meanwhile
            sequence(other)

    door.before = before
    assert [shard.name for shard in backend.shards(after="", limit=9)] == ["run-1"]


def test_a_marker_that_lost_its_slot_goes_with_the_others(objects: MemoryObjects) -> None:
    backend, other = ObjectBackend(objects), ObjectBackend(objects)
    put(backend, "run-1", b"a")
    put(other, "run-1", b"b", expected=1)
    with pytest.raises(Exception, match="is at seq 2"):
        put(backend, "run-1", *(b"many" for _ in range(9)), expected=1)
    sequence(backend)
    put(backend, "run-1", b"c")
    sequence(backend)
    assert objects.list(names.PENDING) == []
    assert backend.is_followed() is False  # nothing waits for positions that will never be given


def test_the_fold_numbers_types_alike_in_every_process() -> None:
    import subprocess
    import sys

    program = """
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.testing.store import put, record, sequence
backend = ObjectBackend(MemoryObjects())
put(backend, "run-1", *(record(type=f"TYPE_{number}") for number in range(20)))
sequence(backend)
print(list(backend._order.state.types))
"""
    found = {
        subprocess.run(
            [sys.executable, "-P", "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_a_marker_that_met_a_fence_goes_with_the_shard(objects: MemoryObjects) -> None:
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    put(backend, "run-1", b"a")

    def before(operation: str, name: str) -> None:
        if operation == "create" and name.startswith(names.folder("run-1")):
            door.before = nothing
            other.fence("run-1")

    door.before = before
    with pytest.raises(ShardPurged):
        put(backend, "run-1", b"late")
    sequence(other)
    other.purge("run-1", keep=False)
    put(other, "run-2", b"b")
    sequence(other)
    sequence(other)
    assert objects.list(names.PENDING) == []


def test_a_shard_is_read_behind_the_shut_gate_while_it_gets_its_positions(objects: MemoryObjects) -> None:
    door = Hooked(objects)
    backend, other = ObjectBackend(door), ObjectBackend(objects)
    put(other, "run-1", b"a")
    assert other.set_gate(Gate(GateState.MOVED, "elsewhere"), expected=OPEN_GATE)

    def before(operation: str, name: str) -> None:
        if operation == "list" and name == names.PENDING:
            door.before = nothing
            sequence(other)

    backend.head()
    door.before = before
    assert bodies(held(backend, "run-1")) == [b"a"]


def test_what_headers_take_in_memory_is_bounded(objects: MemoryObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "HEADS", 10)
    monkeypatch.setattr(library, "HELD", 20_000)
    writer, reader = ObjectBackend(objects), ObjectBackend(objects)
    for shard in range(9):
        writer.append_group([an_append(f"run-{shard}", b"x") for _ in range(4)])
    sequence(reader)
    for shard in range(9):
        assert len(held(reader, f"run-{shard}")) == 4
    kept = reader._library
    assert sum(len(head.parts) for head in kept._heads.values()) == kept._parts <= 10
    assert sum(one.size for one in kept._whole.values()) == kept._bytes <= 20_000


def test_a_page_of_large_appends_is_not_fetched_at_once(
    objects: MemoryObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAVE_BYTES", 30_000)
    backend = ObjectBackend(objects)
    for number in range(20):
        put(backend, f"run-{number}", bytes(10_000))
    sequence(backend)
    reader, at_once = ObjectBackend(objects), []
    load = reader._reader.load

    def noted(wanted: Sequence[str]) -> dict[str, library.Loaded]:
        at_once.append(len(wanted))
        return load(wanted)

    monkeypatch.setattr(reader._reader, "load", noted)
    assert len(timeline(reader)) == 20
    assert max(at_once) == 3
