"""Sealing, read-only handles, counts, closing."""

from __future__ import annotations

import pytest

from ..engine.errors import AppendKeyConflict
from ..engine.log.port import NEW, Backend, Shard, ShardState
from .store import PLENTY, Store, SuiteBase, bodies, held, put, sequence, timeline


class LifeTests(SuiteBase):
    def test_a_shard_is_described(self, backend: Backend) -> None:
        """P5: open, and how far it is on the timeline."""
        put(backend, "run-1", b"a", b"b")
        assert backend.find_shard("run-1") == Shard("run-1", ShardState.OPEN, 0)
        sequence(backend)
        assert backend.find_shard("run-1") == Shard("run-1", ShardState.OPEN, 2)
        assert backend.shards(after="", limit=9) == [Shard("run-1", ShardState.OPEN, 2)]

    # -- seal ----------------------------------------------------------------------------------------------------

    def test_a_sealed_shard_stays_readable(self, store: Store) -> None:
        """P1: sealed means finished, not gone."""
        backend = store.open()
        put(backend, "run-1", b"a", b"b", key=1)
        sequence(backend)
        before = (held(backend, "run-1"), timeline(backend))
        assert backend.seal("run-1")
        for handle in store.and_reopened(backend):
            assert handle.find_shard("run-1") == Shard("run-1", ShardState.SEALED, 2)
            assert (held(handle, "run-1"), timeline(handle)) == before
            assert handle.pending(limit=9) == []
        assert put(handle, "run-1", b"a", b"b", key=1).duplicate

    def test_a_seal_is_refused_while_events_are_pending(self, backend: Backend) -> None:
        """P5: nobody looks for news in a sealed shard, so there must be none."""
        put(backend, "run-1", b"a")
        assert not backend.seal("run-1")
        sequence(backend)
        put(backend, "run-1", b"b")
        assert not backend.seal("run-1")
        assert backend.find_shard("run-1") == Shard("run-1", ShardState.OPEN, 1)
        assert sequence(backend) == 2

    def test_sealing_twice_or_nothing(self, backend: Backend) -> None:
        """P5: a seal can be repeated; an unknown shard has none, and is not made."""
        assert not backend.seal("run-1")
        assert backend.find_shard("run-1") is None
        put(backend, "run-1", b"a")
        sequence(backend)
        assert backend.seal("run-1")
        assert backend.seal("run-1")

    @pytest.mark.parametrize("turns", [1, 3])
    def test_a_late_append_opens_a_sealed_shard(self, backend: Backend, turns: int) -> None:
        """P1, P5: it is acknowledged, listed, and reaches the timeline; then the shard may be sealed again."""
        put(backend, "run-1", b"0")
        for turn in range(1, turns + 1):
            sequence(backend)
            assert backend.seal("run-1")
            assert put(backend, "run-1", b"%d" % turn).first_seq == turn + 1
            assert backend.find_shard("run-1") == Shard("run-1", ShardState.OPEN, turn)
            assert not backend.seal("run-1")
        assert sequence(backend) == turns + 1
        assert bodies(timeline(backend)) == bodies(held(backend, "run-1")) == [b"%d" % n for n in range(turns + 1)]

    def test_a_handle_from_before_the_seal_appends(self, backend: Backend, other: Backend, store: Store) -> None:
        """P1, P5: a writer that has the shard open does not know of the seal; its append must not be lost."""
        put(other, "run-1", b"a")
        put(other, "run-2", b"b")
        sequence(backend)
        assert backend.seal("run-1")
        assert backend.seal("run-2")
        assert put(other, "run-1", b"late", key=1).first_seq == 2
        assert not backend.seal("run-1")
        fresh = store.open()
        assert sequence(fresh) == 3
        assert bodies(timeline(backend)) == [b"a", b"b", b"late"]
        reopened = store.reopen()
        assert bodies(held(reopened, "run-1")) == [b"a", b"late"]
        assert put(reopened, "run-1", b"late", key=1).duplicate

    def test_a_sealed_shard_is_held_to_expectations(self, backend: Backend, other: Backend) -> None:
        """P3, P4: a seal changes no seq and forgets no key, and a retry does not open the shard."""
        first = put(backend, "run-1", b"a", key=1)
        sequence(backend)
        backend.seal("run-1")
        with pytest.raises(Exception, match="run-1"):
            put(other, "run-1", b"b", expected=NEW)
        with pytest.raises(AppendKeyConflict):
            put(other, "run-1", b"b", key=1)
        assert put(other, "run-1", b"a", key=1) == first._replace(duplicate=True)
        assert backend.find_shard("run-1") == Shard("run-1", ShardState.SEALED, 1)
        assert put(other, "run-1", b"b", expected=1).first_seq == 2

    # -- read only -----------------------------------------------------------------------------------------------

    def test_a_read_only_handle_answers(self, store: Store) -> None:
        """P5: as of what others have sequenced."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        backend = store.open()
        put(backend, "run-1", b"a", b"b")
        sequence(backend)
        backend.seal("run-1")
        reader = store.open(read_only=True)
        put(backend, "run-2", b"c")
        for _ in range(2):
            assert reader.head() == backend.head()
            assert timeline(reader) == timeline(backend)
            assert held(reader, "run-1") == held(backend, "run-1")
            assert held(reader, "run-2") == held(backend, "run-2")
            assert reader.placed(after=0, limit=9) == backend.placed(after=0, limit=9)
            assert reader.shards(after="", limit=9) == backend.shards(after="", limit=9)
            assert reader.epochs() == backend.epochs()
            assert reader.find_shard("run-3") is None
            sequence(backend)

    def test_a_read_only_handle_alone(self, store: Store) -> None:
        """P1: a log that nobody has open for writing can be read."""
        backend = store.open()
        put(backend, "run-1", b"a")
        sequence(backend)
        put(backend, "run-1", b"pending")
        store.close()
        reader = store.open(read_only=True)
        assert bodies(timeline(reader)) == [b"a"]
        assert bodies(held(reader, "run-1")) == [b"a", b"pending"]

    # -- counts and the end --------------------------------------------------------------------------------------

    def test_stats_count(self, backend: Backend) -> None:
        """P5: head, shards and pending receipts, by these names, for people and metrics."""

        def counts() -> tuple[object, ...]:
            stats = backend.stats()
            return stats["head"], stats["shards"], stats["pending"]

        assert counts() == (0, 0, 0)
        put(backend, "run-1", b"a", b"b")
        put(backend, "run-2", b"c")
        assert counts() == (0, 2, 2)
        sequence(backend)
        assert counts() == (3, 2, 0)
        put(backend, "run-2", b"d")
        assert counts() == (3, 2, 1)

    def test_the_url_has_no_password(self, backend: Backend) -> None:
        """P11: a backend says where it is, fit to be shown."""
        assert ":" in backend.url
        assert backend.looks in (1, 2)

    def test_closing_twice(self, store: Store) -> None:
        """P1: closing is idempotent, and loses nothing that was acknowledged."""
        backend = store.open()
        put(backend, "run-1", b"a")
        backend.close()
        backend.close()
        assert bodies(held(store.open(), "run-1")) == [b"a"]

    def test_closing_one_handle_leaves_the_others(self, backend: Backend, other: Backend) -> None:
        """P1: handles on one store are independent."""
        put(backend, "run-1", b"a")
        put(other, "run-1", b"b")
        backend.close()
        put(other, "run-1", b"c")
        assert sequence(other) == 3
        assert len(timeline(other)) == 3

    def test_a_limit_beyond_the_end(self, backend: Backend) -> None:
        """P5: limits are bounds, not wishes."""
        put(backend, "run-1", b"a")
        sequence(backend)
        assert len(timeline(backend, page=PLENTY)) == 1
        assert backend.read(after=99, limit=PLENTY, types=None) == []
        assert backend.placed(after=99, limit=PLENTY) == []
        assert backend.shards(after="\U0010ffff", limit=PLENTY) == []
