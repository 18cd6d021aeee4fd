"""Writers and sequencers that sleep in the middle of what they do, and wake when others have gone on; and many callers
of one handle beside a request that takes long."""

from __future__ import annotations

import threading
import time

import pytest
from hooked import Hooked, Sleeper, Thread

from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.testing.store import an_append, bodies, held, put, sequence, timeline


@pytest.fixture
def objects() -> MemoryObjects:
    return MemoryObjects("memory:objects")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("others", [0, 1, 70])
def test_a_sequencer_that_sleeps_at_its_step(objects: MemoryObjects, others: int, moment: str) -> None:
    """P2, P5: another has taken over meanwhile, for a step or for more than a block; nothing has two positions."""
    one = ObjectBackend(objects)
    for number in range(3):
        put(one, f"run-{number}", b"a")
    hooked = Hooked(objects)
    zombie = ObjectBackend(hooked)
    sleeper = Sleeper("create", "order/")
    setattr(hooked, moment, sleeper)
    pass_ = Thread(lambda: sequence(zombie))
    assert sleeper.sleeps.wait(10)
    for number in range(others):
        put(one, f"run-{number % 3}", b"b")
        sequence(one)
    sleeper.wake()
    assert pass_.outcome == 3 + others
    for backend in (zombie, one, ObjectBackend(objects)):
        assert sequence(backend) == 3 + others
        assert [item.position for item in timeline(backend)] == list(range(1, 4 + others))
        assert backend.diagnose(full=True) == []


@pytest.mark.parametrize("held_up", [".seg", "pending/"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("others", [1, 5])
def test_a_writer_that_sleeps_in_its_append(objects: MemoryObjects, others: int, moment: str, held_up: str) -> None:
    """P1, P2, P3: others append to the same run, and may have built upon its segment; its append is there once, at the
    seq that it is told in the end."""
    one = ObjectBackend(objects)
    hooked = Hooked(objects)
    zombie = ObjectBackend(hooked)
    put(zombie, "run-1", b"first")
    sleeper = Sleeper("create", held_up)
    setattr(hooked, moment, sleeper)
    append = Thread(lambda: put(zombie, "run-1", b"mine", key=1))
    assert sleeper.sleeps.wait(10)
    time.sleep(0.02)  # the other half of it lands
    receipts = [put(one, "run-1", b"other") for _ in range(others)]
    sequence(one)
    seen = bodies(timeline(one))
    sleeper.wake()
    receipt = append.outcome
    assert not receipt.duplicate
    assert sequence(one) == 2 + others
    assert bodies(timeline(one))[: len(seen)] == seen
    stored = held(ObjectBackend(objects), "run-1")
    assert [item.seq for item in stored] == list(range(1, 3 + others))
    assert stored[receipt.first_seq - 1].record.body == b"mine"  # type: ignore[union-attr]
    for other in receipts:
        assert stored[other.first_seq - 1].record.body == b"other"  # type: ignore[union-attr]
    assert put(zombie, "run-1", b"mine", key=1) == receipt._replace(duplicate=True)


def test_many_callers_of_one_handle(objects: MemoryObjects) -> None:
    """P1, P2, P3: fifty threads, to runs of their own and to one of all; far fewer requests than appends."""
    requests: list[str] = []

    def before(operation: str, name: str) -> None:
        if operation == "create":
            requests.append(name)
            time.sleep(0.005)

    backend = ObjectBackend(Hooked(objects, before=before))
    told = []

    def work(number: int) -> None:
        for turn in range(8):
            body = f"{number} {turn}".encode()
            told.append((put(backend, f"run-{number}", body), body))
            told.append((put(backend, "run-all", body), body))

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(told) == 800
    assert sequence(backend) == 800
    stored = {(item.shard, item.seq): item.record.body for item in timeline(backend) if item.record is not None}
    assert len(stored) == 800
    assert all(stored[receipt.shard, receipt.first_seq] == body for receipt, body in told)
    assert len(requests) < 700


def test_a_slow_request_holds_up_its_own_lane(objects: MemoryObjects) -> None:
    """P1: appends to other runs go on meanwhile; those to the same run wait, and come behind it."""
    hooked = Hooked(objects)
    backend = ObjectBackend(hooked)
    put(backend, "run-1", b"a")
    sleeper = Sleeper("create", ".seg")
    hooked.before = sleeper
    slow = Thread(lambda: put(backend, "run-1", b"slow"))
    assert sleeper.sleeps.wait(10)
    behind = Thread(lambda: put(backend, "run-1", b"behind"))
    for number in range(20):
        put(backend, f"run-{number + 2}", b"quick")
    assert slow.is_alive() and behind.is_alive()  # noqa: PT018
    sleeper.wake()
    assert (slow.outcome.first_seq, behind.outcome.first_seq) == (2, 3)
    outcomes = backend.append_group([an_append("run-1", b"c"), an_append("run-99", b"d")])
    assert [one.first_seq for one in outcomes] == [4, 1]  # type: ignore[union-attr]
