"""Appending: dense seqs, whole batches, expectations, keys, receipts."""

from __future__ import annotations

import time
from itertools import pairwise
from uuid import UUID

import pytest

from ..engine.errors import AppendKeyConflict, ConflictError
from ..engine.log.port import ANY, NEW, Backend, Expected
from .store import PLENTY, Store, SuiteBase, an_append, bodies, held, put, record, sequence


class AppendTests(SuiteBase):
    def test_seqs_are_dense_from_one(self, backend: Backend) -> None:
        """P2: in a shard, seq runs 1..n without a hole."""
        ranges = [put(backend, "run-1", *[b"x"] * count)[1:3] for count in (1, 3, 1, 2)]
        assert ranges == [(1, 1), (2, 4), (5, 5), (6, 7)]
        assert [item.seq for item in held(backend, "run-1")] == [1, 2, 3, 4, 5, 6, 7]

    def test_shards_count_for_themselves(self, backend: Backend) -> None:
        """P2: an append to one shard takes no seq of another."""
        for shard in ("run-1", "run-2", "run-1", "@queue", "run-2"):
            put(backend, shard, b"x")
        assert [len(held(backend, shard)) for shard in ("run-1", "run-2", "@queue")] == [2, 2, 1]

    def test_a_receipt_tells_what_was_asked(self, backend: Backend) -> None:
        """P2, P3: a receipt has the shard, the range, the caller's key and the digest."""
        append = an_append("run-1", b"a", b"b", key=7)
        receipt = backend.append(append)
        assert receipt[:4] == ("run-1", 1, 2, UUID(int=7))
        assert (receipt.digest, receipt.duplicate, receipt.size) == (append.digest, False, 2)

    def test_appends_without_a_key_get_keys_of_their_own(self, backend: Backend) -> None:
        """P3: the same facts decided twice are two facts."""
        first, second = put(backend, "run-1", b"same"), put(backend, "run-1", b"same")
        assert first.key != second.key
        assert (second.first_seq, second.duplicate) == (2, False)

    def test_a_big_batch_is_one_append(self, backend: Backend) -> None:
        """P2: 10,000 events are recorded in order under one receipt."""
        receipt = put(backend, "run-1", *[b"%d" % number for number in range(PLENTY)])
        assert (receipt.first_seq, receipt.last_seq) == (1, PLENTY)
        assert bodies(held(backend, "run-1")) == [b"%d" % number for number in range(PLENTY)]

    def test_many_appends_stay_in_order(self, backend: Backend) -> None:
        """P2: seq is the order of the appends."""
        for number in range(300):
            assert put(backend, "run-1", b"%d" % number).first_seq == number + 1
        assert bodies(held(backend, "run-1")) == [b"%d" % number for number in range(300)]

    # -- expected ------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        ("before", "expected", "lands"),
        [
            (0, ANY, True),
            (0, NEW, True),
            (0, 0, True),
            (0, 1, False),
            (2, ANY, True),
            (2, NEW, False),
            (2, 0, False),
            (2, 1, False),
            (2, 2, True),
            (2, 3, False),
        ],
    )
    def test_an_append_lands_only_where_expected(
        self, backend: Backend, before: int, expected: Expected, lands: bool
    ) -> None:
        """P4: the append lands only if the shard is where the writer thinks it is; P2: else it leaves no trace."""
        if before:
            put(backend, "run-1", *[b"old"] * before)
        if lands:
            receipt = put(backend, "run-1", b"a", b"b", expected=expected)
            assert (receipt.first_seq, receipt.last_seq) == (before + 1, before + 2)
        else:
            with pytest.raises(ConflictError) as caught:
                put(backend, "run-1", b"a", b"b", expected=expected)
            assert type(caught.value) is ConflictError
            assert "run-1" in str(caught.value), "the message names the shard"
        assert len(held(backend, "run-1")) == before + 2 * lands

    def test_a_refused_append_leaves_no_shard_behind(self, backend: Backend) -> None:
        """P2: nothing was written, so nothing is listed."""
        with pytest.raises(ConflictError):
            put(backend, "run-1", b"a", expected=5)
        assert backend.find_shard("run-1") is None
        assert backend.shards(after="", limit=9) == []
        assert backend.pending(limit=9) == []

    def test_a_refused_key_may_be_used_afterwards(self, backend: Backend) -> None:
        """P3: a refused append recorded nothing under its key."""
        with pytest.raises(ConflictError):
            put(backend, "run-1", b"a", expected=3, key=1)
        assert not put(backend, "run-1", b"b", expected=NEW, key=1).duplicate

    # -- keys ----------------------------------------------------------------------------------------------------

    def test_a_retry_is_recorded_once(self, backend: Backend) -> None:
        """P3: the same append retried gives its first receipt, marked duplicate."""
        first = put(backend, "run-1", b"a", b"b", key=1)
        put(backend, "run-1", b"c")
        assert put(backend, "run-1", b"a", b"b", key=1) == first._replace(duplicate=True)
        assert bodies(held(backend, "run-1")) == [b"a", b"b", b"c"]

    @pytest.mark.parametrize("expected", [NEW, 0, 1, 9], ids=str)
    def test_the_key_is_looked_at_before_the_expectation(self, backend: Backend, expected: Expected) -> None:
        """P3, P4: the retry of a success is no conflict, whatever came after it."""
        first = put(backend, "run-1", b"a", expected=NEW, key=1)
        put(backend, "run-1", b"b", b"c")
        assert put(backend, "run-1", b"a", expected=expected, key=1) == first._replace(duplicate=True)

    def test_a_retry_counts_after_it_was_placed(self, backend: Backend) -> None:
        """P3: a key is known as long as its shard lives."""
        first = put(backend, "run-1", b"a", key=1)
        sequence(backend)
        assert put(backend, "run-1", b"a", key=1) == first._replace(duplicate=True)
        assert backend.pending(limit=9) == []

    def test_a_retry_counts_after_reopening(self, store: Store) -> None:
        """P1, P3: keys outlive the process that wrote them."""
        backend = store.open()
        first = put(backend, "run-1", b"a", key=1)
        put(backend, "run-1", b"b", key=2)
        backend = store.reopen()
        assert put(backend, "run-1", b"a", expected=NEW, key=1) == first._replace(duplicate=True)
        with pytest.raises(AppendKeyConflict):
            put(backend, "run-1", b"a", key=2)
        assert bodies(held(backend, "run-1")) == [b"a", b"b"]

    @pytest.mark.parametrize("expected", [ANY, NEW, 1, 5], ids=str)
    def test_a_key_of_other_facts_is_an_error(self, backend: Backend, expected: Expected) -> None:
        """P3: the same key with other content is an error, and nothing is written."""
        put(backend, "run-1", b"a", key=1)
        with pytest.raises(AppendKeyConflict) as caught:
            put(backend, "run-1", b"b", expected=expected, key=1)
        assert str(UUID(int=1)) in str(caught.value), "the message names the key"
        assert bodies(held(backend, "run-1")) == [b"a"]

    def test_the_digest_decides_what_differs(self, backend: Backend) -> None:
        """P3: an honest retry has another time stamp and the same digest."""
        first = an_append("run-1", record(b"a", ts_us=1), key=1)
        backend.append(first)
        assert backend.append(first._replace(records=[record(b"a", ts_us=2)])).duplicate
        assert [item.record.ts_us for item in held(backend, "run-1") if item.record] == [1]
        with pytest.raises(AppendKeyConflict):
            backend.append(first._replace(digest=bytes(16)))

    def test_the_scope_of_a_key_is_its_shard(self, backend: Backend) -> None:
        """P3: one key in two shards is two appends."""
        first, second = put(backend, "run-1", b"a", key=1), put(backend, "run-2", b"b", key=1)
        assert (first.duplicate, second.duplicate) == (False, False)
        assert put(backend, "run-2", b"b", key=1).duplicate

    # -- times ---------------------------------------------------------------------------------------------------

    def test_receipts_are_dated_by_the_clock(self, backend: Backend) -> None:
        """P6: `at_us` is microseconds since 1970, give or take the clock of a server."""
        receipt = put(backend, "run-1", b"a")
        assert abs(receipt.at_us - time.time_ns() // 1000) < 600 * 1_000_000

    def test_times_rise_within_a_shard(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        """P6: strictly, also when this machine's clock stands still or steps back an hour."""
        receipts = [put(backend, "run-1", b"a") for _ in range(3)]
        now = time.time_ns()
        for shown in (now, now, now - 3600 * 10**9, now - 3600 * 10**9, now):
            monkeypatch.setattr(time, "time_ns", lambda shown=shown: shown)
            receipts.append(put(backend, "run-1", b"a"))
        monkeypatch.undo()
        times = [receipt.at_us for receipt in receipts]
        assert all(a < b for a, b in pairwise(times)), times

    def test_times_rise_after_reopening(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """P6: the last time of a shard outlives the process, also when the clock then steps back."""
        first = put(store.open(), "run-1", b"a")
        backend = store.reopen()
        now = time.time_ns()
        monkeypatch.setattr(time, "time_ns", lambda: now - 3600 * 10**9)
        assert put(backend, "run-1", b"b").at_us > first.at_us
