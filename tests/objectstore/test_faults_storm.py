"""Many at once on a store that fails by a seed, each append tried again under its key until it is acknowledged.

In the end: nothing that was acknowledged is missing, nothing is there twice, seqs and positions are dense, a reader
that followed all the time skipped nothing, and the chain comes out (P1 to P5, P11), also where listings are stale.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from faulty import Faulty
from retrying import Retrying

from foldlog import UnavailableError
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.log.chain import link
from foldlog.engine.log.port import GENESIS, Receipt
from foldlog.engine.log.sequencer import Sequencer
from foldlog.testing.store import an_append, held, timeline

HARD = {"before": 0.06, "after": 0.06, "repeated": 0.06, "late": 0.04, "delay": 0.3}
MANY = pytest.mark.long
SEEDS = [1, 2, 3, *(pytest.param(seed, marks=MANY) for seed in range(4, 40))]
APPENDS, WRITERS, HANDLES = 30, 6, 3


def tried(deed: Callable[[], Any]) -> Any:
    """What a deed gives, once it gives something."""
    for _ in range(200):
        try:
            return deed()
        except UnavailableError:
            continue
    raise AssertionError("it failed 200 times in a row")


class Storm:
    def __init__(self, objects: MemoryObjects, faulty: Faulty, seed: int) -> None:
        self.objects, self.faulty, self.seed = objects, faulty, seed
        self.told: list[tuple[Receipt, bytes]] = []
        self.seen: list[Any] = []
        self.failed: list[BaseException] = []
        self.is_over = threading.Event()
        self.handles = [tried(lambda: ObjectBackend(faulty)) for _ in range(HANDLES)]

    def write(self, number: int) -> None:
        dice = random.Random(f"{self.seed} {number}")
        for turn in range(APPENDS):
            backend = dice.choice(self.handles)
            shard = dice.choice([f"own-{number}", f"own-{number}-{turn % 4}", "run-all", "@queue"])
            body = f"{number}:{turn}".encode()
            append = an_append(shard, *[body] * dice.choice([1, 1, 3]), key=UUID(int=1000 * number + turn + 1))
            self.told.append((tried(lambda backend=backend, append=append: backend.append(append)), body))

    def sequence(self, number: int) -> None:
        backend = self.handles[number % HANDLES]
        while not self.is_over.is_set():
            tried(lambda: Sequencer(backend, batch=(1000, 5)[number % 2]).catch_up())
            self.is_over.wait(0.002)

    def seal(self) -> None:
        dice = random.Random(self.seed)
        while not self.is_over.wait(0.01):
            tried(lambda: self.handles[0].seal(f"own-{dice.randrange(WRITERS)}-{dice.randrange(4)}"))

    def read(self) -> None:
        """Turns pages, each behind the last event of the one before."""
        backend, after = self.handles[1], 0
        while True:
            was_over = self.is_over.is_set()
            page = tried(lambda after=after: backend.read(after=after, limit=7, types=None))
            self.seen += page
            after = page[-1].position if page else after
            if not page and was_over:
                return

    def run(self) -> None:
        def kept(deed: Callable[..., None], *arguments: int) -> threading.Thread:
            def run() -> None:
                try:
                    deed(*arguments)
                except BaseException as error:
                    self.failed.append(error)

            thread = threading.Thread(target=run, daemon=True)
            thread.start()
            return thread

        writers = [kept(self.write, number) for number in range(WRITERS)]
        others = [kept(self.sequence, 0), kept(self.sequence, 1), kept(self.read), kept(self.seal)]
        for thread in writers:
            thread.join(60)
        self.is_over.set()
        for thread in others:
            thread.join(30)
        assert not any(thread.is_alive() for thread in writers + others)
        if self.failed:
            raise self.failed[0]

    def check(self) -> None:
        assert len(self.told) == WRITERS * APPENDS
        self.faulty.settle()
        self.faulty.is_calm = True
        fresh = ObjectBackend(self.objects)
        end = Sequencer(fresh).catch_up().position
        for backend in (fresh, *self.handles):
            events = timeline(backend)
            assert [one.position for one in events] == list(range(1, end + 1))
            chain = GENESIS
            for placed in backend.placed(after=0, limit=10_000):
                chain = link(chain, placed.receipt)
                assert placed.chain == chain
            assert chain == backend.head().chain
        assert self.seen == events[: len(self.seen)], "the reader saw another order"
        assert len({(receipt.shard, receipt.first_seq) for receipt, _ in self.told}) == len(self.told)
        bodies: dict[tuple[str, int], bytes] = {}
        for shard in {one.shard for one in events}:
            stored = held(fresh, shard)
            assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
            assert stored == sorted([one for one in events if one.shard == shard], key=lambda one: one.seq)
            bodies |= {(shard, one.seq): one.record.body for one in stored if one.record is not None}
        for receipt, body in self.told:
            for seq in range(receipt.first_seq, receipt.last_seq + 1):
                assert bodies.pop((receipt.shard, seq)) == body
        assert not bodies, "something was recorded twice"
        assert fresh.diagnose(full=True) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("stale_s", [0.0, 0.03], ids=["fresh", "stale"])
def test_a_storm(seed: int, stale_s: float) -> None:
    """P1 to P5, P11: requests refused, done with their reply lost, done twice, or done later."""
    objects = MemoryObjects("memory:objects")
    changes = ("create", "put", "delete")  # of a pass of fifty reads none would end well
    faulty = Faulty(objects, seed, chances=HARD, only=changes, delay_s=0.004, late_s=0.02, stale_s=stale_s)
    storm = Storm(objects, faulty, seed)
    storm.run()
    assert sum(faulty.faults.values()) > 100
    storm.check()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_storm_behind_an_adapter(seed: int) -> None:
    """P1 to P5, P11: the same where most of it is tried again by the adapter, and handles stall for longer than they
    may trust what they know."""
    objects = MemoryObjects("memory:objects")
    faulty = Faulty(objects, seed, chances=HARD, delay_s=0.03, late_s=0.02)
    storm = Storm(objects, faulty, seed)
    storm.handles = [ObjectBackend(Retrying(faulty), stall_s=0.01) for _ in range(HANDLES)]
    storm.run()
    storm.check()
