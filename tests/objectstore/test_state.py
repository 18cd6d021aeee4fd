"""The fold of the order's steps: what a checkpoint holds is what the steps come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldlog.backends.objectstore import checkpoint, names, step
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import CorruptLogError, UsageError
from foldlog.testing.store import put, record, sequence


def history() -> tuple[MemoryObjects, ObjectBackend]:
    """A log with a bit of everything."""
    objects = MemoryObjects("memory:objects")
    backend = ObjectBackend(objects)
    for turn in range(70):
        put(backend, f"run-{turn % 7}", record(b"kept", kept=True), b"gone", key=turn + 1)
        sequence(backend)
    backend.seal("run-1")
    backend.fence("run-2")
    backend.purge("run-2", keep=True)
    backend.start_epoch("for the test")
    return objects, backend


def steps(objects: MemoryObjects) -> list[step.Step]:
    found = objects.list(names.ORDER)
    return [step.decode(objects.get(one.name) or b"", one.name, k) for k, one in enumerate(found)]


def test_a_checkpoint_is_what_the_steps_come_to() -> None:
    """P9: any checkpoint and the steps behind it give the same bytes as all steps from the first on."""
    objects, backend = history()
    every = steps(objects)
    state = checkpoint.State()
    for one in every:
        state.apply(one)
    for k in (0, 1, 64, len(every) - 1):
        early = checkpoint.State()
        for one in every[:k]:
            early.apply(one)
        later = checkpoint.decode(checkpoint.encode(early), "checkpoint")
        for one in every[k:]:
            later.apply(one)
        assert checkpoint.encode(later) == checkpoint.encode(state)
    assert state.head == backend.head()


def test_a_step_out_of_its_place_is_refused() -> None:
    """P11: steps of two histories are never mixed."""
    objects, _ = history()
    every = steps(objects)
    state = checkpoint.State()
    state.apply(every[0])
    with pytest.raises(CorruptLogError, match=names.order(2)):
        state.apply(every[2])
    other, _ = history()
    with pytest.raises(CorruptLogError, match="does not follow"):
        state.apply(steps(other)[1])


def test_a_log_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    """P12: an older program says so, and writes nothing."""
    objects = MemoryObjects("memory:objects")
    objects.create(names.order(0), step.encode(bytes(16), b"12345678", 0, [["made", 2, bytes(16), 0]]))
    with pytest.raises(UsageError, match="format 2, this release knows 1") as error:
        ObjectBackend(objects)
    assert "newer" in error.value.remedy
    assert [one.name for one in objects.list("")] == [names.order(0)]


def test_an_operation_of_a_newer_release_stops_an_older_one() -> None:
    """P12: it is not passed over: what comes behind it may depend on it."""
    objects, backend = history()
    before = backend.head()
    with backend._order.lock:
        k, last = backend._order.state.k, backend._order.state.hash
    objects.create(names.order(k), step.encode(last, b"12345678", 0, [["folded", "run-1"]]))
    with pytest.raises(UsageError, match="'folded'"):
        backend.head()
    with pytest.raises(UsageError, match="'folded'"):
        sequence(backend)
    assert before.position == 140
