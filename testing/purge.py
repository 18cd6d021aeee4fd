"""Fencing and purging: what is gone is gone, what is kept stays in its place, and nobody writes there again."""

from __future__ import annotations

import pytest

from ..engine.errors import ConflictError, ShardPurged
from ..engine.log.port import ANY, NEW, Backend, Expected, Shard, ShardState, Stored
from .store import PLENTY, Store, SuiteBase, bodies, held, place_only, put, record, sequence, timeline

KEPT = record(b"kept", type="ASSET", kept=True)
GONE = record(b"gone", type="STEP")


def fill(backend: Backend) -> None:
    """run-1 among others: seqs 1 to 6 at positions 1, 2, 3, 5, 6, 8; seqs 2, 5 and 6 are kept."""
    place_only(
        backend,
        put(backend, "run-1", GONE, KEPT, record(b"gone", type="ASSET"), key=1),
        put(backend, "run-2", record(b"other", type="STEP")),
        put(backend, "run-1", GONE, KEPT),
        put(backend, "run-2", record(b"other", type="ASSET")),
        put(backend, "run-1", KEPT),
    )


class PurgeTests(SuiteBase):
    @pytest.fixture
    def six(self, backend: Backend) -> Backend:
        fill(backend)
        return backend

    # -- fence ---------------------------------------------------------------------------------------------------

    def test_a_fenced_shard_is_whole(self, six: Backend) -> None:
        """P5: nothing is gone yet, pending events included; they can still be placed."""
        put(six, "run-1", b"pending")
        before = (held(six, "run-1"), timeline(six))
        six.fence("run-1")
        assert (held(six, "run-1"), timeline(six)) == before
        assert six.find_shard("run-1") == Shard("run-1", ShardState.FENCED, 6)
        assert sequence(six) == 9
        assert six.find_shard("run-1") == Shard("run-1", ShardState.FENCED, 7)

    @pytest.mark.parametrize("expected", [ANY, NEW, 6, 3], ids=str)
    def test_a_fenced_shard_refuses_appends(self, six: Backend, expected: Expected) -> None:
        """P5: for ever, whatever was expected; nothing is written."""
        six.fence("run-1")
        with pytest.raises(ShardPurged, match="run-1"):
            put(six, "run-1", b"late", expected=expected)
        with pytest.raises(ShardPurged):
            put(six, "run-1", b"late", expected=expected, key=9)
        assert len(held(six, "run-1")) == 6
        assert six.pending(limit=9) == []

    def test_a_fenced_shard_refuses_a_retry_too(self, store: Store) -> None:
        """P3: a deleted run answers no retry, whether the writer had it open or not."""
        backend, other = store.open(), store.open()
        put(other, "run-1", b"a", key=1)
        sequence(backend)
        backend.fence("run-1")
        for handle in (other, store.open()):
            with pytest.raises(ShardPurged):
                put(handle, "run-1", b"a", key=1)

    def test_a_fence_can_be_put_up_twice(self, six: Backend) -> None:
        """P5: idempotent, also on a sealed shard; a fenced one is never sealed."""
        six.seal("run-1")
        six.fence("run-1")
        six.fence("run-1")
        assert not six.seal("run-1")
        assert six.find_shard("run-1") == Shard("run-1", ShardState.FENCED, 6)

    def test_an_unknown_shard_is_left_unknown(self, backend: Backend) -> None:
        """P5: there is nothing to fence; the run may still begin."""
        backend.fence("run-1")
        assert backend.find_shard("run-1") is None
        assert put(backend, "run-1", b"a", expected=NEW).first_seq == 1

    def test_other_shards_go_on(self, six: Backend) -> None:
        """P7: a fence and a purge concern one shard."""
        six.fence("run-1")
        put(six, "run-2", b"a")
        sequence(six)
        six.purge("run-1", keep=True)
        assert put(six, "run-2", b"b").first_seq == 4
        assert put(six, "RUN-1", b"another").first_seq == 1
        assert sequence(six) == 11

    @pytest.mark.parametrize("purged", [False, True], ids=["fenced", "purged"])
    def test_handles_that_had_the_shard_open_are_refused(self, store: Store, purged: bool) -> None:
        """P5: the fence is seen by writers who opened the shard before it, and whose last seq is behind."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        behind, level, keyed, reader = (store.open() for _ in range(4))
        put(behind, "run-1", b"1")
        put(keyed, "run-1", b"2", key=2)
        put(level, "run-1", b"3", b"4")
        assert len(held(reader, "run-1")) == 4
        backend = store.open()
        sequence(backend)
        backend.fence("run-1")
        if purged:
            backend.purge("run-1", keep=True)
        for handle in (behind, level, keyed, reader):
            for expected in (ANY, NEW, 1, 2, 4):
                with pytest.raises(ShardPurged):
                    put(handle, "run-1", b"late", expected=expected)
        with pytest.raises(ShardPurged):
            put(keyed, "run-1", b"2", key=2)
        assert bodies(held(reader, "run-1")) == ([] if purged else [b"1", b"2", b"3", b"4"])
        assert sequence(reader) == 4
        with pytest.raises(ShardPurged):
            put(store.reopen(), "run-1", b"late")

    # -- purge ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("keep", [True, False])
    def test_kept_facts_stay_in_their_place(self, store: Store, keep: bool) -> None:
        """P5, P9: kept facts at their seq and position, the rest gone, positions dense, other shards untouched."""
        backend = store.open()
        fill(backend)
        chain = backend.placed(after=0, limit=PLENTY)
        backend.fence("run-1")
        backend.purge("run-1", keep=keep)
        kept = KEPT if keep else None
        wanted = [
            Stored("run-1", 1, 1, None),
            Stored("run-1", 2, 2, kept),
            Stored("run-1", 3, 3, None),
            Stored("run-2", 1, 4, record(b"other", type="STEP")),
            Stored("run-1", 4, 5, None),
            Stored("run-1", 5, 6, kept),
            Stored("run-2", 2, 7, record(b"other", type="ASSET")),
            Stored("run-1", 6, 8, kept),
        ]
        left = [item for item in wanted if item.shard == "run-1" and item.record]
        for handle in store.and_reopened(backend):
            for page in (1, 3, PLENTY):
                assert timeline(handle, page=page) == wanted
                for kind in ("ASSET", "STEP", "MARK"):
                    typed = timeline(handle, page=page, types=frozenset([kind]))
                    assert handle.read_back(before=None, limit=PLENTY, types=frozenset([kind])) == typed[::-1]
                    assert typed == [item for item in wanted if item.record and item.record.type == kind]
            for after in range(9):
                assert handle.read(after=after, limit=2, types=None) == wanted[after : after + 2]
            assert held(handle, "run-1") == left
            assert handle.placed(after=0, limit=PLENTY) == chain
            assert (handle.head().position, handle.head().chain) == (8, chain[-1].chain)
            assert handle.find_shard("run-1") == Shard("run-1", ShardState.PURGED, 6)
            assert handle.pending(limit=9) == []

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_purged_shard_is_read_in_pages(self, six: Backend, keep: bool) -> None:
        """P9: by seq, type and direction, the kept facts and nothing else."""
        six.fence("run-1")
        six.purge("run-1", keep=keep)

        def seqs(after_seq: int, limit: int, kind: str | None, newest_first: bool) -> list[int]:
            types = frozenset([kind]) if kind else None
            part = six.read_shard("run-1", after_seq=after_seq, limit=limit, types=types, newest_first=newest_first)
            return [item.seq for item in part]

        assert seqs(0, 2, None, False) == ([2, 5] if keep else [])
        assert seqs(2, 9, "ASSET", False) == ([5, 6] if keep else [])
        assert seqs(0, 9, "STEP", False) == []
        assert seqs(0, 2, None, True) == ([6, 5] if keep else [])
        assert seqs(5, 9, "ASSET", True) == ([2] if keep else [])

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_purge_can_be_repeated(self, six: Backend, other: Backend, keep: bool) -> None:
        """P9: idempotent, through any handle; a second one may free what the first kept, never bring it back."""
        six.fence("run-1")
        six.purge("run-1", keep=keep)
        before = timeline(six)
        other.fence("run-1")
        assert other.find_shard("run-1") == Shard("run-1", ShardState.PURGED, 6)
        other.purge("run-1", keep=True)
        assert timeline(other) == timeline(six) == before
        other.purge("run-1", keep=False)
        assert bodies(timeline(six)) == [None, None, None, b"other", None, None, b"other", None]
        assert held(six, "run-1") == []
        six.purge("run-1", keep=True)
        assert held(six, "run-1") == []
        assert six.find_shard("run-1") == Shard("run-1", ShardState.PURGED, 6)

    def test_a_purge_needs_a_fence(self, six: Backend) -> None:
        """P5: else a writer could append to what is being freed."""
        for shard in ("run-1", "run-9"):
            with pytest.raises(ConflictError, match=shard):
                six.purge(shard, keep=True)
        six.seal("run-1")
        with pytest.raises(ConflictError):
            six.purge("run-1", keep=True)
        assert len(held(six, "run-1")) == 6

    def test_a_purge_needs_positions(self, six: Backend) -> None:
        """P5: what is not on the timeline yet cannot be a purged range of it."""
        put(six, "run-1", KEPT, GONE)
        six.fence("run-1")
        with pytest.raises(ConflictError, match="run-1"):
            six.purge("run-1", keep=True)
        assert len(held(six, "run-1")) == 8
        sequence(six)
        six.purge("run-1", keep=True)
        assert [item.seq for item in held(six, "run-1")] == [2, 5, 6, 7]

    def test_a_sealed_shard_is_purged(self, six: Backend, other: Backend) -> None:
        """P9: the usual way of a run: finished, sealed, and deleted later."""
        sequence(six)
        assert six.seal("run-1")
        other.fence("run-1")
        other.purge("run-1", keep=True)
        assert [item.seq for item in held(six, "run-1")] == [2, 5, 6]
        with pytest.raises(ShardPurged):
            put(six, "run-1", b"late")

    def test_a_batch_of_kept_and_gone(self, backend: Backend) -> None:
        """P9: one large append, every third event kept."""
        put(backend, "run-1", *[KEPT if n % 3 == 0 else GONE for n in range(3000)])
        sequence(backend)
        backend.fence("run-1")
        backend.purge("run-1", keep=True)
        assert [item.seq for item in held(backend, "run-1")] == list(range(1, 3001, 3))
        found = timeline(backend, page=700)
        assert [item.position for item in found] == list(range(1, 3001))
        assert [item.position for item in found if item.record] == list(range(1, 3001, 3))

    def test_a_purged_shard_is_still_listed(self, six: Backend) -> None:
        """P9: a rebuild must learn that there was a run, and that it ended so."""
        six.fence("run-1")
        six.purge("run-1", keep=False)
        assert [shard.name for shard in six.shards(after="", limit=9)] == ["run-1", "run-2"]
