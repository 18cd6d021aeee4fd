"""The gate turns while appends are under way: segments that it refused are swept away, others come in their places."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from seam import Dated, Seam, append, catch_up, timeline, words

from foldlog import LogMoved
from foldlog.backends.objectstore import markers, names
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState

MOVED = Gate(GateState.MOVED, "elsewhere")


def turn(backend: ObjectBackend) -> None:
    assert backend.set_gate(MOVED, expected=OPEN_GATE)
    assert backend.set_gate(OPEN_GATE, expected=MOVED)


def test_an_append_whose_segment_was_swept_meanwhile_is_made_again() -> None:
    """It meets the guard, and finds the gate open again: what it had put is gone."""
    objects = Dated()
    seam = Seam(objects)
    writer, mover = ObjectBackend(seam), ObjectBackend(objects)
    append(writer, "run", "a")
    catch_up(mover)

    def backwards(calls: Sequence[Callable[[], Any]]) -> list[Any]:
        return [call() for call in reversed(calls)][::-1]  # the segment before its marker

    writer._order.parallel.run = backwards  # type: ignore[method-assign]
    seam.on("create", names.PENDING, lambda: mover.set_gate(MOVED, expected=OPEN_GATE))
    seam.on("get", names.PENDING, lambda: mover.set_gate(OPEN_GATE, expected=MOVED), when="after")
    receipt = append(writer, "run", "b")
    assert seam.called == 2
    assert (receipt.first_seq, timeline(ObjectBackend(objects))) == (2, ["a", "b"])


def test_an_append_whose_segment_comes_when_the_gate_is_shut_is_none() -> None:
    objects = Dated()
    seam = Seam(objects)
    writer, mover = ObjectBackend(seam), ObjectBackend(objects)
    append(writer, "run", "a")
    catch_up(mover)
    seen: list[int] = []

    def one_by_one(calls: Sequence[Callable[[], Any]]) -> list[Any]:
        return [call() for call in calls]  # the marker before the segment

    def shut() -> None:
        assert mover.set_gate(MOVED, expected=OPEN_GATE)
        seen.append(catch_up(mover))

    writer._order.parallel.run = one_by_one  # type: ignore[method-assign]
    seam.on("create", names.RUNS, shut)
    try:
        append(writer, "run", "late")
    except LogMoved:
        seen.append(catch_up(mover))
    else:
        raise AssertionError("it was acknowledged, and whoever has copied the log has not got it")
    assert seen == [1, 1]


def test_what_was_swept_is_not_remembered() -> None:
    objects = Dated()
    seam = Seam(objects)
    killed, reader, mover = ObjectBackend(seam), ObjectBackend(objects), ObjectBackend(objects)
    append(killed, "run", "a")
    catch_up(mover)

    def die() -> None:
        raise OSError("killed")

    seam.on("create", names.PENDING, die)
    with pytest.raises(OSError, match="killed"):
        append(killed, "run", "ghost")
    assert words(reader, "run") == ["a", "ghost"]
    turn(mover)
    append(mover, "run", "real", "and more")
    catch_up(reader)
    assert words(reader, "run") == timeline(reader) == ["a", "real", "and more"]
    assert timeline(ObjectBackend(objects)) == ["a", "real", "and more"]
    assert append(reader, "run", "behind").first_seq == 4


def test_a_guard_that_came_into_the_place_of_a_dropped_marker_does_not_serve() -> None:
    objects = Dated()
    writer, mover = ObjectBackend(objects), ObjectBackend(objects)
    append(writer, "run", "a")
    [id] = [one.name.removeprefix(names.WRITERS) for one in objects.list(names.WRITERS)]
    catch_up(writer)
    assert objects.list(names.PENDING) == []
    objects.create(names.marker(id, 1), markers.guard())  # by who had looked before the order noted the marker
    assert mover._gate.guard([id]) == [names.marker(id, 2)]
