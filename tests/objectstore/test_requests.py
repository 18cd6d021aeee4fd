"""What is asked of a store: no more than has to be, and what is missing there is never taken for the end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from foldlog.backends.objectstore import names
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.step import BLOCK
from foldlog.backends.objectstore.stores.counting import Counted
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import CorruptLogError
from foldlog.engine.events.event import Event
from foldlog.engine.events.log import LogMessage
from foldlog.engine.log.log import EventLog
from foldlog.serdes import Codec

STEPS = 3 * BLOCK + 5


def handle(objects: MemoryObjects | Counted) -> EventLog:
    log = EventLog(ObjectBackend(objects), Codec())
    log._prompter = None
    return log


def append(log: EventLog) -> None:
    log.backend.append(log.prepare("run", [Event.now(LogMessage(text="so far"))]))


@pytest.fixture(scope="module")
def made() -> dict[str, bytes]:
    """The objects of a log of 197 steps, each with one event of its own."""
    objects = MemoryObjects()
    log = handle(objects)
    for _ in range(STEPS - 1):  # the first step makes the log
        append(log)
        log.catch_up()
    return {one.name: objects.get(one.name) or b"" for one in objects.list("")}


@pytest.fixture
def objects(made: dict[str, bytes]) -> Iterator[MemoryObjects]:
    objects = MemoryObjects()
    for name, data in made.items():
        objects.create(name, data)
    return objects


def checkpoints(objects: MemoryObjects) -> list[str]:
    return [one.name for one in objects.list(names.CHECKPOINTS)]


def steps_before(objects: MemoryObjects, k: int) -> list[str]:
    return [names.order(number) for number in range(k)]


def test_opening_asks_for_a_checkpoint_and_the_steps_behind_it(objects):
    counted = Counted(objects)
    assert handle(counted).backend.head().position == STEPS - 1
    counts = counted.snapshot()
    assert counts.list == 2  # the newest checkpoint, and that none is ahead of the step that is missing
    assert counts.get < 20
    assert counts.create == counts.put == counts.delete == 0


def test_without_its_newest_checkpoints_a_log_opens_by_blocks(objects):
    objects.delete(checkpoints(objects))
    counted = Counted(objects)
    assert handle(counted).backend.head().position == STEPS - 1
    assert counted.snapshot().get < 2 * BLOCK  # the first block begins with the step that is asked for alone


def test_steps_that_were_collected_are_read_from_their_block(objects):
    *_, newest = checkpoints(objects)
    objects.put(newest, b"foldckp1 altered")
    objects.delete(steps_before(objects, 3 * BLOCK))
    assert handle(objects).backend.head().position == STEPS - 1


def test_a_gap_below_a_checkpoint_is_not_taken_for_the_end(objects):
    *_, newest = checkpoints(objects)
    objects.put(newest, b"foldckp1 altered")
    objects.delete([*steps_before(objects, 3 * BLOCK), names.block(2)])
    with pytest.raises(CorruptLogError, match="there were 192 steps"):
        handle(objects)


def test_a_handle_does_not_read_its_own_markers_and_segments():
    counted = Counted(MemoryObjects())
    log = handle(counted)
    for _ in range(10):
        append(log)
    before = counted.snapshot()
    assert log.catch_up().position == 10
    assert counted.snapshot().since(before).get <= 6  # for the next step, before and after each look


def test_a_full_page_of_a_shard_asks_nothing_of_its_end(objects):
    counted = Counted(objects)
    log = handle(counted)
    log.read_shard("run", after_seq=0, limit=1)
    before = counted.snapshot()
    page = log.read_shard("run", after_seq=0, limit=20)
    assert len(page.records) == 20
    assert counted.snapshot().since(before).get == 1  # what is read already, and the next step
