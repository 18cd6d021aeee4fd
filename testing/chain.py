"""Placed receipts and the hash chain: what a copy, a cursor and an audit rest on."""

from __future__ import annotations

import pytest

from ..engine.log.chain import link
from ..engine.log.port import GENESIS, Backend, CanRepair, Placed
from .store import PLENTY, Store, SuiteBase, place_only, put, sequence, timeline


def walk(backend: Backend, *, page: int = PLENTY) -> list[Placed]:
    """All placed receipts, read in pages."""
    found: list[Placed] = []
    while part := backend.placed(after=found[-1].last_position if found else 0, limit=page):
        assert len(part) <= page
        found += part
    return found


class ChainTests(SuiteBase):
    @pytest.fixture
    def chained(self, backend: Backend) -> Backend:
        for turn, count in enumerate([2, 1, 4, 3]):
            put(backend, f"run-{turn % 2}", *[b"x"] * count, key=turn)
        sequence(backend)
        return backend

    @pytest.mark.parametrize("page", [1, 2, 1000])
    def test_placed_receipts_tile_the_timeline(self, chained: Backend, page: int) -> None:
        """P10: each with position, range, key, time and digest; none is missing, none comes twice."""
        found = walk(chained, page=page)
        assert [(p.position, p.last_position) for p in found] == [(1, 2), (3, 3), (4, 7), (8, 10)]
        assert [p.receipt.key.int for p in found] == [0, 1, 2, 3]
        stored = timeline(chained)
        for entry in found:
            for item in stored[entry.position - 1 : entry.last_position]:
                assert item.position is not None
                assert (item.shard, item.seq - entry.receipt.first_seq) == (
                    entry.receipt.shard,
                    item.position - entry.position,
                )

    @pytest.mark.parametrize("after", range(12))
    def test_placed_past_a_position_inside_a_receipt(self, chained: Backend, after: int) -> None:
        """P5: the receipt that ends past the position comes first, also when it begins before it."""
        wanted = [p for p in walk(chained) if p.last_position > after]
        assert chained.placed(after=after, limit=9) == wanted
        assert chained.placed(after=after, limit=1) == wanted[:1]

    def test_placed_receipts_are_those_of_the_appends(self, backend: Backend) -> None:
        """P10: what `append` answered is what a copy carries."""
        receipts = [put(backend, f"run-{n % 2}", b"%d" % n, key=n + 1) for n in range(4)]
        sequence(backend)
        assert [entry.receipt for entry in walk(backend)] == receipts

    def test_the_chain_can_be_recomputed(self, chained: Backend) -> None:
        """P11: each link covers the one before it, the digest, the range, the time and the shard."""
        chain = GENESIS
        for entry in walk(chained):
            chain = link(chain, entry.receipt)
            assert entry.chain == chain
        assert chained.head().chain == chain

    def test_an_empty_log_begins_at_genesis(self, backend: Backend) -> None:
        """P11: position 0, chain of zeros, an epoch from there."""
        head = backend.head()
        assert (head.position, head.chain) == (0, GENESIS)
        first = backend.epochs()[0]
        assert (first.after_position, first.chain) == (0, GENESIS)
        assert backend.epochs()[-1].number == head.epoch

    def test_logs_are_told_apart_by_id(self, store: Store) -> None:
        """P11: a log keeps its id for life."""
        backend = store.open()
        log_id = backend.head().log_id
        put(backend, "run-1", b"a")
        sequence(backend)
        assert store.reopen().head().log_id == log_id

    def test_an_epoch_begins_at_the_head(self, chained: Backend, store: Store) -> None:
        """P11: another epoch changes no position and no chain, and makes an older head stale."""
        if not isinstance(chained, CanRepair):
            pytest.skip("the backend starts no epochs")
        before, known = chained.head(), chained.epochs()
        epoch = chained.start_epoch("a test")
        assert epoch.number > before.epoch
        assert (epoch.after_position, epoch.chain, epoch.reason) == (before.position, before.chain, "a test")
        assert chained.epochs() == [*known, epoch]
        assert chained.head() == before._replace(epoch=epoch.number)
        receipt = put(chained, "run-0", b"late")
        entry = Placed(before.position + 1, receipt, link(before.chain, receipt))
        assert not chained.place([entry], after=before)
        assert place_only(chained, receipt) == [entry]
        reopened = store.reopen()
        assert reopened.epochs() == [*known, epoch]
        assert reopened.head().epoch == epoch.number
        assert len(timeline(reopened)) == 11

    def test_a_sound_log_has_nothing_to_repair(self, chained: Backend) -> None:
        """P11: a check of a whole log finds nothing, quick or full."""
        if not isinstance(chained, CanRepair):
            pytest.skip("the backend repairs nothing")
        put(chained, "run-0", b"pending")
        assert chained.diagnose(full=False) == []
        assert chained.diagnose(full=True) == []
