"""Objects that are torn or altered, at any byte: the error names the object, and nothing wrong is ever told.
And a bucket that was put back to an older state, under a handle that is open and under none.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from foldlog import EventLog
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import CorruptLogError, HistoryDiverged
from foldlog.engine.events.event import Event
from foldlog.engine.events.log import LogMessage
from foldlog.serdes import Codec
from foldlog.testing.store import put, sequence, timeline

KINDS = {
    "order": 40,
    "blocks": 15,
    "checkpoints": 15,
    "pending": 12,
    "seg": 50,
    "pack": 25,
}  #: and how many alterations


def line(text: str) -> Event[LogMessage]:
    return Event(LogMessage(text=text), 0)


def opened(objects: MemoryObjects) -> EventLog:
    return EventLog(ObjectBackend(objects), Codec())


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """A log with objects of every kind."""
    objects = MemoryObjects("memory:objects")
    backend = ObjectBackend(objects)
    for number in range(70):
        put(backend, f"run-{number % 7}", f"body {number} ".encode() * 20, b"y", key=number + 1)
        sequence(backend)
    for number in range(3):
        backend.seal(f"run-{number}")
    backend.compact()
    for number in range(4):
        put(backend, f"run-{number + 3}", b"z" * 30)
    sequence(backend)
    put(backend, "run-6", b"pending", key=1000)
    put(backend, "run-new", b"pending too")
    backend.close()
    return {one.name: objects.get(one.name) or b"" for one in objects.list("")}


def laid_out(files: dict[str, bytes]) -> MemoryObjects:
    objects = MemoryObjects("memory:objects")
    for name, data in files.items():
        objects.create(name, data)
    return objects


def told(objects: MemoryObjects) -> tuple[Any, ...]:
    """All that a log tells."""
    backend = ObjectBackend(objects)
    try:
        end = sequence(backend)
        shards = backend.shards(after="", limit=100)
        keyed = [put(backend, "run-3", b"body 3 " * 20, b"y", key=4), put(backend, "run-6", b"pending", key=1000)]
        read = [
            backend.read_shard(shard.name, after_seq=0, limit=1000, types=None, newest_first=False) for shard in shards
        ]
        return end, timeline(backend), shards, keyed, read, backend.placed(after=0, limit=1000)
    finally:
        backend.close()


def told_or_error(objects: MemoryObjects) -> Any:
    try:
        return told(objects)
    except CorruptLogError as error:
        return error


def altered(data: bytes, dice: random.Random) -> bytes:
    if dice.random() < 0.3:
        return data[: dice.randrange(1, len(data))]
    at = dice.choice([dice.randrange(min(16, len(data))), dice.randrange(len(data)), dice.randrange(len(data))])
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 12))])
@pytest.mark.parametrize("kind", KINDS)
def test_an_altered_object_is_named_or_does_not_matter(whole: dict[str, bytes], kind: str, seed: int) -> None:
    """P11: whatever byte it is. What does not matter: a checkpoint, which is passed over, and what was superseded."""
    right = told(laid_out(whole))
    names = [name for name in whole if name.startswith(f"{kind}/") or name.endswith(f".{kind}")]
    assert names, kind
    dice = random.Random(f"{kind} {seed}")
    named = 0
    for _ in range(KINDS[kind]):
        name = dice.choice(names)
        files = {**whole, name: altered(whole[name], dice)}
        outcome = told_or_error(laid_out(files))
        if isinstance(outcome, CorruptLogError):
            assert name in str(outcome)
            named += 1
        else:
            assert outcome == right, f"{name} was altered, and something else was told"
    assert named if kind != "checkpoints" else not named


def test_a_segment_or_pack_that_is_gone_is_named(whole: dict[str, bytes]) -> None:
    """P11: what has positions."""
    right = told(laid_out(whole))
    named = 0
    for name in (one for one in whole if one.startswith("runs/")):
        outcome = told_or_error(laid_out({other: data for other, data in whole.items() if other != name}))
        if isinstance(outcome, CorruptLogError):
            assert name in str(outcome)
            named += 1
        elif outcome != right:  # nobody has a record of what was appended and has no position
            assert outcome[0] < right[0]
    assert named > 5


# -- put back ----------------------------------------------------------------------------------------------------------


def test_a_bucket_put_back_under_nobody() -> None:
    """P11: cursors of what is no more are refused, once other events have their positions; and there is no hole."""
    objects = MemoryObjects("memory:objects")
    log = opened(objects)
    for number in range(5):
        log.append("run-1", [line(f"before {number}")], wait="ordered")
    kept = {one.name: objects.get(one.name) or b"" for one in objects.list("")}
    old = log.cursor()
    for number in range(5):
        log.append("run-1", [line(f"lost {number}")], wait="ordered")
    lost = log.cursor()
    log.close()
    back = opened(laid_out(kept))
    assert len(back.read(after=old).events) == 0
    with pytest.raises(HistoryDiverged):
        back.read(after=lost)
    for number in range(5):
        back.append("run-1", [line(f"after {number}")], wait="ordered")
    with pytest.raises(HistoryDiverged):
        back.read(after=lost)
    assert [record.position for record in back.read(after=old).records] == [6, 7, 8, 9, 10]


def test_a_bucket_put_back_under_an_open_handle() -> None:
    """P11: it is told within the time that a handle trusts what it knows, and makes no hole in the order."""
    objects = MemoryObjects("memory:objects")
    log = EventLog(ObjectBackend(objects, stall_s=0.0), Codec())
    for number in range(3):
        log.append("run-1", [line(f"before {number}")], wait="ordered")
    kept = {one.name: objects.get(one.name) or b"" for one in objects.list("")}
    for number in range(3):
        log.append("run-1", [line(f"lost {number}")], wait="ordered")
    objects.delete([one.name for one in objects.list("")])
    for name, data in kept.items():
        objects.create(name, data)
    with pytest.raises((CorruptLogError, HistoryDiverged)):
        log.append("run-1", [line("on top")], wait="ordered")
    other = opened(objects)
    other.append("run-1", [line("after")], wait="ordered")
    texts = [record.event.fact.text for record in other.read().events]  # type: ignore[union-attr]
    assert texts == ["before 0", "before 1", "before 2", "after"]
