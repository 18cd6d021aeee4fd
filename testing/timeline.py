"""The timeline: what is pending, placing it, reading it by position."""

from __future__ import annotations

import random

import pytest

from ..engine.log.chain import number
from ..engine.log.port import Backend, Receipt, Stored
from ..engine.log.sequencer import Sequencer, merge
from .store import PLENTY, Store, SuiteBase, bodies, held, place_only, put, record, sequence, timeline


def identity(receipts: list[Receipt]) -> list[tuple[str, int, int, int]]:
    """Which appends these are: a backend may make up the key of an append that had none when it is asked."""
    return [(receipt.shard, receipt.first_seq, receipt.last_seq, receipt.at_us) for receipt in receipts]


def _backwards(backend: Backend, *, page: int, types: frozenset[str]) -> list[Stored]:
    found = backend.read_back(before=None, limit=page, types=types)
    while more := backend.read_back(before=found[-1].position, limit=page, types=types):
        found += more
    return found


class TimelineTests(SuiteBase):
    def test_pending_are_the_receipts_of_the_appends(self, backend: Backend) -> None:
        """P5: what an append answered is what the sequencer sees, until it has a position."""
        receipts = [put(backend, shard, *[b"x"] * 2) for shard in ("run-2", "@queue", "run-1", "run-2")]
        receipts.append(put(backend, "run-1", b"a", key=5))
        found = merge(backend.pending(limit=PLENTY))
        assert identity(found) == identity(merge(receipts))
        assert [receipt.digest for receipt in found] == [receipt.digest for receipt in merge(receipts)]
        assert [receipt.key for receipt in found if receipt.shard == "run-1"][1] == receipts[-1].key
        assert not any(receipt.duplicate for receipt in found)
        sequence(backend)
        assert backend.pending(limit=PLENTY) == []

    def test_a_retry_is_not_pending_twice(self, backend: Backend) -> None:
        """P3: a duplicate adds nothing to the timeline."""
        put(backend, "run-1", b"a", key=1)
        put(backend, "run-1", b"a", key=1)
        assert len(backend.pending(limit=PLENTY)) == 1
        sequence(backend)
        put(backend, "run-1", b"a", key=1)
        assert sequence(backend) == 1

    @pytest.mark.parametrize("limit", [1, 2, 5, 11, 12, 13])
    def test_a_bounded_look_takes_the_earliest(self, backend: Backend, limit: int) -> None:
        """P6: a full look may leave out only what lies above its greatest time; of a shard, never one in the middle."""
        for turn in range(4):
            for shard in ("run-1", "run-2", "run-3")[:: 1 if turn % 2 else -1]:
                put(backend, shard, b"x", b"y")
        everything = merge(backend.pending(limit=PLENTY))
        look = backend.pending(limit=limit)
        assert len(look) == min(limit, 12)
        bound = max(receipt.at_us for receipt in look)
        left = set(identity(everything)) - set(identity(look))
        assert all(at_us >= bound for *_, at_us in left)
        for shard in ("run-1", "run-2", "run-3"):
            firsts = sorted(receipt.first_seq for receipt in look if receipt.shard == shard)
            assert firsts == [1, 3, 5, 7][: len(firsts)]

    def test_positions_are_dense(self, backend: Backend) -> None:
        """P5: from 1, without a hole, receipt after receipt."""
        for count, shard in enumerate(["run-1", "run-2", "run-1", "@queue"], 1):
            put(backend, shard, *[b"x"] * count)
            if count % 2:
                sequence(backend)
        assert sequence(backend) == 10
        assert backend.head().position == 10
        assert [item.position for item in timeline(backend)] == list(range(1, 11))

    def test_the_order_is_the_one_that_was_placed(self, backend: Backend) -> None:
        """P5: a backend keeps the order it is given; it has none of its own."""
        receipts = [put(backend, f"run-{n}", f"{n}a".encode(), f"{n}b".encode()) for n in range(5)]
        placed = place_only(backend, *receipts[::-1])
        wanted = [f"{n}{part}".encode() for n in range(4, -1, -1) for part in "ab"]
        assert bodies(timeline(backend)) == wanted
        assert backend.placed(after=0, limit=9) == placed
        assert [item.position for item in held(backend, "run-4")] == [1, 2]

    def test_part_of_a_shard_is_placed(self, backend: Backend) -> None:
        """P6: the rest of its queue waits, and follows in seq order."""
        first, second, third = (put(backend, "run-1", name) for name in (b"a", b"b", b"c"))
        other = put(backend, "run-2", b"d")
        place_only(backend, first, other)
        assert [item.position for item in held(backend, "run-1")] == [1, None, None]
        assert (shard := backend.find_shard("run-1")) is not None
        assert shard.ordered_seq == 1
        assert identity(merge(backend.pending(limit=9))) == identity([second, third])
        place_only(backend, second)
        place_only(backend, third)
        assert bodies(timeline(backend)) == [b"a", b"d", b"b", b"c"]

    def test_a_place_behind_a_stale_head_leaves_no_trace(self, backend: Backend) -> None:
        """P5: of two sequencers that looked at once, one wins, and the other is told."""
        put(backend, "run-1", b"a", b"b")
        stale = backend.head()
        wanted = number(backend.pending(limit=9), after=stale)
        assert backend.place(wanted, after=stale)
        late = put(backend, "run-2", b"c")
        before = (backend.head(), timeline(backend), backend.placed(after=0, limit=9))
        backend.place(wanted, after=stale)  # may say that this very thing has landed; changes nothing
        for entries in (number([late], after=stale), number([*[p.receipt for p in wanted], late], after=stale)):
            assert not backend.place(entries, after=stale)
        assert (backend.head(), timeline(backend), backend.placed(after=0, limit=9)) == before
        assert identity(backend.pending(limit=9)) == identity([late])

    def test_a_slow_sequencer_loses(self, backend: Backend, other: Backend) -> None:
        """P5: a process paused between its look and its place changes nothing when it comes back, however late."""
        put(backend, "run-1", b"a")
        put(backend, "run-2", b"b")
        head = backend.head()
        look = merge(backend.pending(limit=9))
        put(other, "run-1", b"c")
        sequence(other)
        assert not backend.place(number(look, after=head), after=head)
        assert not backend.place(number(look[:1], after=head), after=head)
        assert not backend.place(number(look[::-1], after=head), after=head)
        assert bodies(timeline(backend)) == [b"a", b"b", b"c"]

    @pytest.mark.parametrize("page", [1, 3, 1000])
    def test_pages_of_the_timeline_meet(self, backend: Backend, page: int) -> None:
        """P5: whatever the size of the page, every event comes once, in one order; a page may end inside a receipt."""
        for turn, count in enumerate([1, 4, 2, 5, 1, 3]):
            put(backend, f"run-{turn % 3}", *[f"{turn}.{n}".encode() for n in range(count)])
            sequence(backend)
        wanted = [f"{t}.{n}".encode() for t, count in enumerate([1, 4, 2, 5, 1, 3]) for n in range(count)]
        found = timeline(backend, page=page)
        assert bodies(found) == wanted
        assert [item.position for item in found] == list(range(1, 17))
        for after in range(18):
            part = backend.read(after=after, limit=page, types=None)
            assert part == found[after : after + page]

    def test_what_is_not_placed_is_not_on_the_timeline(self, backend: Backend) -> None:
        """P5: readers see a prefix 1..head and nothing behind it."""
        put(backend, "run-1", b"a")
        assert timeline(backend) == []
        sequence(backend)
        put(backend, "run-1", b"b")
        assert bodies(timeline(backend)) == [b"a"]

    @pytest.mark.parametrize("page", [1, 2, 1000])
    def test_types_of_the_timeline(self, backend: Backend, page: int) -> None:
        """P5: a filtered reader gets each event of its kinds once, at the same position."""
        kinds = ["A", "B", "A", "a", "C", "B", "A", "A", "D", "A"]
        for start, end in ((0, 3), (3, 4), (4, 9), (9, 10)):
            put(backend, f"run-{start % 2}", *[record(type=kind, kept=kind == "C") for kind in kinds[start:end]])
            sequence(backend)
        whole = timeline(backend)
        assert [item.record.type for item in whole if item.record] == kinds
        for types in ({"A"}, {"a"}, {"B", "C"}, {"D"}, {"Z"}, {"A", "Z"}, set(), set(kinds)):
            wanted = [item for item in whole if item.record and item.record.type in types]
            assert timeline(backend, page=page, types=frozenset(types)) == wanted
            for after in range(12):
                rest = [item for item in wanted if item.position is not None and item.position > after]
                assert backend.read(after=after, limit=page, types=frozenset(types)) == rest[:page]
                back = [item for item in wanted[::-1] if item.position is not None and item.position < after]
                assert backend.read_back(before=after, limit=page, types=frozenset(types)) == back[:page]
            assert backend.read_back(before=None, limit=page, types=frozenset(types)) == wanted[::-1][:page]

    def test_a_rare_type_is_found_among_many(self, backend: Backend) -> None:
        """P5: the filter bounds the page, not how far it looks."""
        for n in range(20):
            rare = n in (3, 17)
            put(backend, f"run-{n % 4}", *[record(type="RARE" if rare and not i else "MARK") for i in range(50)])
        assert sequence(backend) == 1000
        found = backend.read(after=0, limit=5, types=frozenset(["RARE"]))
        assert [item.position for item in found] == [151, 851]
        assert backend.read(after=151, limit=1, types=frozenset(["RARE"])) == found[1:]
        assert backend.read_back(before=None, limit=5, types=frozenset(["RARE"])) == found[::-1]
        assert backend.read_back(before=851, limit=5, types=frozenset(["RARE"])) == found[:1]
        assert backend.read_back(before=852, limit=1, types=frozenset(["RARE"])) == found[1:]

    @pytest.mark.parametrize("seed", range(3))
    def test_types_among_short_and_long_appends(self, backend: Backend, seed: int) -> None:
        """P5: pages by type, in both directions, are cut out of one list, whatever appends the events came in."""
        dice = random.Random(seed)
        for _ in range(70):
            size, rarity = dice.choice([(1, 1), (3, 1), (10, 5), (260, 100)])
            kinds = ["MARK" if dice.randrange(rarity) else dice.choice(["A", "B"]) for _ in range(size)]
            put(backend, f"run-{dice.randrange(3)}", *[record(type=kind, kept=kind == "B") for kind in kinds])
        sequence(backend)
        whole = timeline(backend)
        for types in (frozenset("A"), frozenset("AB")):
            wanted = [item for item in whole if item.record and item.record.type in types]
            assert len(wanted) > 50
            for page in (1, 7, 40):
                assert timeline(backend, page=page, types=types) == wanted
                assert _backwards(backend, page=page, types=types) == wanted[::-1]
        backend.fence("run-1")
        backend.purge("run-1", keep=True)
        left = [item for item in wanted if item.shard != "run-1" or (item.record and item.record.type == "B")]
        assert timeline(backend, page=7, types=types) == left
        assert _backwards(backend, page=7, types=types) == left[::-1]

    def test_the_timeline_outlives_its_writer(self, store: Store) -> None:
        """P1: order, positions and head are durable."""
        backend = store.open()
        for n in range(5):
            put(backend, f"run-{n % 2}", b"%d" % n, b"%d" % n)
        sequence(backend)
        put(backend, "run-0", b"late")
        before = (backend.head(), timeline(backend), backend.placed(after=0, limit=99), held(backend, "run-0"))
        backend = store.reopen()
        after = (backend.head(), timeline(backend), backend.placed(after=0, limit=99), held(backend, "run-0"))
        assert after == before
        assert sequence(backend) == 11

    @pytest.mark.parametrize("batch", [1, 2, 3, 1000])
    def test_small_batches_give_the_same_order(self, backend: Backend, batch: int) -> None:
        """P6: how much a pass places does not change the order of what was acknowledged one by one."""
        for n in range(12):
            put(backend, ("run-1", "run-2", "@queue")[n * n % 3], b"%d" % n)
        Sequencer(backend, batch=batch).catch_up()
        assert bodies(timeline(backend)) == [b"%d" % n for n in range(12)]
