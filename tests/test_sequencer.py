"""The sequencer against a simulated store: dice choose who moves next, and what each clock shows.

A look visits shard after shard, and writers, the clock and other sequencers go on between two visits. Each failure
names its seed: `run(seed)` replays it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import combinations
from uuid import UUID

import pytest

from foldlog.engine.log import sequencer as module
from foldlog.engine.log.chain import link, number
from foldlog.engine.log.port import GENESIS, Head, Placed, Receipt
from foldlog.engine.log.sequencer import Sequencer, cut, merge
from foldlog.testing.order import Timed, disorder, inversion

BLOCKS, SEEDS = 20, 50  # a thousand histories, fifty in a test
LOG_ID = UUID(int=1)


def receipt(shard: str, seq: int, at_us: int, *, count: int = 1) -> Receipt:
    return Receipt(shard, seq, seq + count - 1, UUID(int=seq), at_us, f"{shard}{seq}".encode().ljust(16))


class Writer:
    """Appends in steps: begins, takes the shard's lock and a time stamp, lands, learns of it."""

    def __init__(self, world: World, appends: int) -> None:
        self.world, self.left = world, appends
        self.begun = 0
        self.shard = ""
        self.receipt: Receipt | None = None
        self.next = self.begin

    def begin(self) -> None:
        if self.left:
            self.left -= 1
            self.shard = self.world.dice.choice(self.world.names)
            self.begun = self.world.tick()
            self.next = self.stamp

    def stamp(self) -> None:
        if self.shard not in self.world.locked:  # another writer is between its stamp and its commit
            self.world.locked.add(self.shard)
            self.receipt = self.world.stamp(self.shard)
            self.next = self.land

    def land(self) -> None:
        assert self.receipt is not None
        self.world.shards[self.shard].append(self.receipt)
        self.world.locked.discard(self.shard)
        self.next = self.acknowledge

    def acknowledge(self) -> None:
        assert self.receipt is not None
        self.world.acknowledged[self.shard, self.receipt.first_seq] = (self.begun, self.world.tick())
        self.next = self.begin


class World:
    """A store, its writers, their clock. As a backend, it lets time go by within each call."""

    def __init__(self, seed: int, *, looks: int = 2, steps_back: bool = False, bump: bool = True) -> None:
        self.dice = random.Random(seed)
        self.looks = looks
        self.snapshot = False  #: whether a look sees all shards at one moment
        self.bump = bump  #: whether stamps rise within a shard when the clock does not
        self.steps_back = steps_back
        self.names = ["a", "b", "c", "d", "e"][: self.dice.randint(2, 5)]
        self.shards: dict[str, list[Receipt]] = {name: [] for name in self.names}
        self.placed_of = dict.fromkeys(self.names, 0)
        self.locked: set[str] = set()
        self.acknowledged: dict[tuple[str, int], tuple[int, int]] = {}
        self.timeline: list[Placed] = []
        self.refused = 0  #: places that came too late
        self._now = 0  #: true time, for the checks alone
        self._skew = 0
        self.writers = [Writer(self, self.dice.randint(1, 15)) for _ in range(self.dice.randint(1, 5))]
        self.others: list[Sequencer] = []  #: sequencers of other processes, that run in the middle of a call
        self._busy = False

    def tick(self) -> int:
        self._now += 1
        return self._now

    def stamp(self, shard: str) -> Receipt:
        if self.steps_back and self.dice.random() < 0.3:
            self._skew = self.dice.randint(-30, 30)
        queue = self.shards[shard]
        last = queue[-1] if queue else None
        at_us = 1000 + self.tick() + self._skew
        if self.bump and last is not None:
            at_us = max(at_us, last.at_us + 1)
        return receipt(shard, last.last_seq + 1 if last else 1, at_us, count=self.dice.randint(1, 3))

    def go_on(self) -> None:
        """Let the writers, and now and then another sequencer, do something."""
        for _ in range(self.dice.choice([0, 0, 1, 3, 8])):
            self.dice.choice(self.writers).next()
        if self.others and not self._busy and self.dice.random() < 0.1:
            self._busy = True  # one of them at a time, or the recursion would not end
            self.dice.choice(self.others).catch_up()
            self._busy = False

    # -- the part of a backend that the sequencer needs ------------------------------------------------------------

    def pending(self, *, limit: int) -> list[Receipt]:
        found: list[Receipt] = []
        for name in self.dice.sample(self.names, len(self.names)):
            if not self.snapshot:
                self.go_on()
            found += self.shards[name][self.placed_of[name] :]
        self.go_on()
        return merge(found)[:limit]

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        self.go_on()
        if self.head() != after:
            self.refused += 1
            return False
        for entry in placed:
            queue, index = self.shards[entry.receipt.shard], self.placed_of[entry.receipt.shard]
            assert queue[index] == entry.receipt, f"{entry} is placed twice, or before its turn"
            self.placed_of[entry.receipt.shard] += 1
            self.timeline.append(entry)
        return True

    def head(self) -> Head:
        last = self.timeline[-1] if self.timeline else None
        return Head(LOG_ID, 1, last.last_position, last.chain) if last else Head(LOG_ID, 1, 0, GENESIS)

    # -- checks ----------------------------------------------------------------------------------------------------

    def timed(self) -> list[Timed]:
        return [
            Timed(receipt.shard, receipt.first_seq, *self.acknowledged[receipt.shard, receipt.first_seq], position)
            for position, receipt, _ in self.timeline
        ]

    def check_dense(self) -> None:
        """Every acknowledged receipt is there once, positions have no hole, the chain can be recomputed."""
        assert sorted((p.receipt.shard, p.receipt.first_seq) for p in self.timeline) == sorted(self.acknowledged)
        chain, position = GENESIS, 0
        for entry in self.timeline:
            chain = link(chain, entry.receipt)
            assert (entry.position, entry.chain) == (position + 1, chain)
            position = entry.last_position


def run(
    seed: int, *, processes: int = 1, setup: Callable[[World], None] = lambda world: None, **options: bool
) -> World:
    """One history: sequencers with small batches run while writers write, until all is written and placed."""
    world = World(seed, **options)  # type: ignore[arg-type]
    setup(world)
    batch = world.dice.choice([1, 2, 3, 5, 1000])
    mine = Sequencer(world, batch=batch)
    world.others = [Sequencer(world, batch=world.dice.choice([1, 2, 4, 1000])) for _ in range(processes - 1)]
    while any(writer.left or writer.next != writer.begin for writer in world.writers):
        world.go_on()
        before = set(world.acknowledged)
        mine.catch_up()
        missing = before - {(p.receipt.shard, p.receipt.first_seq) for p in world.timeline}
        assert not missing, f"catch_up came back without {missing}, acknowledged before it was called"
    mine.catch_up()
    world.check_dense()
    return world


def seeds(block: int) -> range:
    return range(block * SEEDS, (block + 1) * SEEDS)


@pytest.mark.parametrize("block", range(BLOCKS))
def test_order_agrees_with_happened_before(block: int) -> None:
    """P5, P6: with a steady clock, whatever the looks missed and whoever sequenced beside."""
    for seed in seeds(block):
        world = run(seed, processes=1 + seed % 3)
        assert inversion(world.timed()) is None, f"seed {seed}"
        assert disorder(world.timed()) is None, f"seed {seed}"


@pytest.mark.parametrize("block", range(BLOCKS))
@pytest.mark.parametrize("bump", [True, False], ids=["rising", "raw"])
def test_order_agrees_with_seq_when_the_clock_steps(block: int, bump: bool) -> None:
    """P6: also where stamps do not rise within a shard, as a store without a place to keep the last one has them."""
    for seed in seeds(block):
        world = run(seed, processes=1 + seed % 3, steps_back=True, bump=bump)
        assert disorder(world.timed()) is None, f"seed {seed}"


def test_one_look_is_enough_for_a_snapshot() -> None:
    """P6: a backend that reads all shards at one moment says `looks = 1`."""

    def snapshot(world: World) -> None:
        world.looks, world.snapshot = 1, True

    for seed in range(200):
        world = run(seed, processes=1 + seed % 3, setup=snapshot)
        assert inversion(world.timed()) is None, f"seed {seed}"


def test_sequencers_do_lose_races() -> None:
    """The simulation reaches what it is for: places refused, looks cut short."""
    assert sum(run(seed, processes=3).refused for seed in range(50)) > 10


def test_control_one_look_inverts() -> None:
    """The check above would notice: shard after shard, looked at once, gives an order that nobody saw."""

    def hasty(world: World) -> None:
        world.looks = 1

    assert any(inversion(run(seed, setup=hasty).timed()) for seed in range(200))


def test_control_a_plain_sort_disorders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above would notice: sorted by stamp alone, seq 6 comes before seq 5 once a clock stepped back."""
    found: list[tuple[Placed, Placed]] = []

    def place(world: World, placed: Sequence[Placed], *, after: Head) -> bool:
        found.extend(
            (one, other)
            for one, other in combinations(placed, 2)
            if one.receipt.shard == other.receipt.shard and one.receipt.first_seq > other.receipt.first_seq
        )
        return True

    monkeypatch.setattr(module, "merge", lambda receipts: sorted(receipts, key=lambda receipt: receipt.at_us))
    monkeypatch.setattr(World, "place", place)
    for seed in range(50):
        world = World(seed, steps_back=True, bump=False)
        for _ in range(30):
            world.go_on()
        Sequencer(world).catch_up()
    assert found


# -- the pure parts, by example ------------------------------------------------------------------------------------


def test_merge_takes_the_least_head() -> None:
    a5, a6 = receipt("a", 5, 300), receipt("a", 6, 100)
    b1, b2, c1 = receipt("b", 1, 200), receipt("b", 2, 300), receipt("c", 1, 400)
    assert merge([c1, a6, b2, a5, b1]) == [b1, a5, a6, b2, c1]
    assert merge([]) == []


def test_merge_breaks_ties_by_shard() -> None:
    a, b = receipt("a", 1, 5), receipt("b", 1, 5)
    assert merge([b, a]) == merge([a, b]) == [a, b]


def test_cut_adds_what_the_first_look_missed() -> None:
    """The case of docs/decisions/0002: p is visited, p1 and then q1 are acknowledged, q is visited."""
    p1, q1, q2 = receipt("p", 1, 10), receipt("q", 1, 20), receipt("q", 2, 30)
    assert cut([q1], [p1, q1, q2], limit=9) == [p1, q1]


def test_cut_of_a_full_look_ends_where_it_ends() -> None:
    a1, b1, c1 = receipt("a", 1, 10), receipt("b", 1, 20), receipt("c", 1, 30)
    assert cut([b1, c1], [a1, b1], limit=2) == [a1, b1]
    assert cut([], [a1], limit=2) == []


def test_cut_leaves_no_gap_in_a_shard() -> None:
    """What waits makes the rest of its queue wait, although its stamp is below the bound."""
    a1, a2, b1 = receipt("a", 1, 50), receipt("a", 2, 10), receipt("b", 1, 20)
    assert cut([b1], [a1, a2, b1], limit=9) == [b1]


def test_number_goes_on_behind_the_head() -> None:
    head = Head(LOG_ID, 1, 7, b"c" * 16)
    placed = number([receipt("a", 1, 5, count=3), receipt("b", 4, 6)], after=head)
    assert [(entry.position, entry.last_position) for entry in placed] == [(8, 10), (11, 11)]
    assert placed[1].chain == link(link(head.chain, placed[0].receipt), placed[1].receipt)


def test_link_covers_what_the_receipt_says() -> None:
    base = receipt("a", 1, 5)
    others = [
        base._replace(shard="b"),
        base._replace(first_seq=2, last_seq=2),
        base._replace(last_seq=2),
        base._replace(at_us=6),
        base._replace(digest=bytes(16)),
    ]
    assert len({link(GENESIS, entry) for entry in [base, *others]} | {link(b"x" * 16, base)}) == 7
    assert link(GENESIS, base._replace(duplicate=True, key=UUID(int=9))) == link(GENESIS, base)
