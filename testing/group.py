"""Optional abilities: several appends in one commit, and waiting for news."""

from __future__ import annotations

import threading
import time

import pytest

from ..engine.errors import AppendKeyConflict, ConflictError, ShardPurged
from ..engine.log.port import ANY, NEW, Append, Backend, CanGroup, CanWait, Receipt
from .store import PLENTY, Store, SuiteBase, an_append, bodies, held, put, sequence, timeline


class GroupTests(SuiteBase):
    def test_a_group_of_nothing(self, backend: Backend) -> None:
        """P2: no appends, no outcomes, no error."""
        assert _grouping(backend).append_group([]) == []

    def test_a_group_answers_like_single_appends(self, backend: Backend) -> None:
        """P2: each append has its own receipt; of one shard, in the order given."""
        outcomes = _grouping(backend).append_group(
            [an_append("run-1", b"a"), an_append("run-2", b"b", b"c"), an_append("run-1", b"d", b"e"),
             an_append("run-1", b"f", expected=3), an_append("@queue", b"g", expected=NEW)]
        )  # fmt: skip
        receipts = [outcome for outcome in outcomes if isinstance(outcome, Receipt)]
        assert [receipt[:3] for receipt in receipts] == [
            ("run-1", 1, 1), ("run-2", 1, 2), ("run-1", 2, 3), ("run-1", 4, 4), ("@queue", 1, 1)
        ]  # fmt: skip
        assert bodies(held(backend, "run-1")) == [b"a", b"d", b"e", b"f"]
        assert bodies(held(backend, "run-2")) == [b"b", b"c"]
        own = [receipt.at_us for receipt in receipts if receipt.shard == "run-1"]
        assert own == sorted(set(own))
        assert len(backend.pending(limit=9)) == 5
        assert sequence(backend) == 7
        assert len(timeline(backend)) == 7

    def test_a_conflict_fails_alone(self, backend: Backend) -> None:
        """P4: a refused append leaves the others of its group, and of its shard, untouched."""
        group = _grouping(backend)
        put(backend, "run-1", b"0", key=1)
        outcomes = group.append_group(
            [
                an_append("run-1", b"a", expected=1),
                an_append("run-1", b"no", expected=1),
                an_append("run-1", b"no", key=1),
                an_append("run-2", b"no", expected=4),
                an_append("run-1", b"b", expected=2),
                an_append("run-2", b"c", expected=NEW),
            ]
        )
        kinds = [type(outcome) for outcome in outcomes]
        assert kinds == [Receipt, ConflictError, AppendKeyConflict, ConflictError, Receipt, Receipt]
        assert bodies(held(backend, "run-1")) == [b"0", b"a", b"b"]
        assert bodies(held(backend, "run-2")) == [b"c"]

    def test_a_shard_refused_all_through_a_group_is_not_made(self, backend: Backend) -> None:
        """P2: a group whose appends to a shard were all refused leaves no trace of it."""
        outcomes = _grouping(backend).append_group(
            [an_append("run-1", b"no", expected=1), an_append("run-2", b"yes"), an_append("run-1", b"no", expected=2)]
        )
        assert [type(outcome) for outcome in outcomes] == [ConflictError, Receipt, ConflictError]
        assert backend.find_shard("run-1") is None

    def test_a_retry_within_a_group(self, backend: Backend) -> None:
        """P3: recorded once, and both get the receipt."""
        append = an_append("run-1", b"a", expected=NEW, key=1)
        other = an_append("run-1", b"other", key=1)
        outcomes = _grouping(backend).append_group([append, append, other, an_append("run-1", b"b"), append])
        first = outcomes[0]
        assert isinstance(first, Receipt)
        assert not first.duplicate
        assert outcomes[1] == outcomes[4] == first._replace(duplicate=True)
        assert type(outcomes[2]) is AppendKeyConflict
        assert bodies(held(backend, "run-1")) == [b"a", b"b"]

    def test_a_group_retried_whole(self, store: Store) -> None:
        """P1, P3: after a lost reply the same group gives the same receipts, from another process too."""
        group = [an_append(f"run-{n % 3}", b"%d" % n, key=n + 1) for n in range(12)]
        first = _grouping(store.open()).append_group(group)
        again = _grouping(store.reopen()).append_group(group)
        assert again == [outcome._replace(duplicate=True) for outcome in first if isinstance(outcome, Receipt)]

    def test_a_fenced_shard_in_a_group(self, backend: Backend, other: Backend) -> None:
        """P5: the appends to it fail, also when this handle had it open; the others land."""
        group = _grouping(other)
        put(other, "run-1", b"0")
        backend.fence("run-1")
        outcomes = group.append_group([an_append("run-1", b"no"), an_append("run-2", b"a"), an_append("run-1", b"no")])
        assert [type(outcome) for outcome in outcomes] == [ShardPurged, Receipt, ShardPurged]
        assert bodies(held(backend, "run-1")) == [b"0"]

    def test_a_group_reopens_a_sealed_shard(self, backend: Backend, other: Backend) -> None:
        """P5: a late append is not lost because it came in company."""
        group = _grouping(other)
        put(other, "run-1", b"0")
        sequence(backend)
        assert backend.seal("run-1")
        group.append_group([an_append("run-1", b"1"), an_append("run-1", b"2")])
        assert sequence(backend) == 3

    def test_a_group_behind_another_handle(self, backend: Backend, other: Backend) -> None:
        """P2: what this handle remembers of a shard may be old; the group lands behind what is there."""
        group = _grouping(backend)
        put(backend, "run-1", b"1")
        put(other, "run-1", b"2")
        outcomes = group.append_group(
            [an_append("run-1", b"3"), an_append("run-1", b"no", expected=2), an_append("run-1", b"4", expected=3)]
        )
        assert [type(outcome) for outcome in outcomes] == [Receipt, ConflictError, Receipt]
        assert bodies(held(other, "run-1")) == [b"1", b"2", b"3", b"4"]

    def test_a_large_group(self, backend: Backend) -> None:
        """P2: a thousand appends to fifty shards, sizes mixed."""
        appends: list[Append] = []
        for n in range(1000):
            appends.append(an_append(f"run-{n % 50}", *[b"%d" % n] * (1 + n % 4), expected=ANY))
        outcomes = _grouping(backend).append_group(appends)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes)
        for shard in ("run-0", "run-49"):
            mine = [append for append in appends if append.shard == shard]
            assert bodies(held(backend, shard)) == [item.body for append in mine for item in append.records]
        assert sequence(backend) == sum(len(append.records) for append in appends)
        assert len(timeline(backend, page=PLENTY)) == 2500

    # -- waiting -------------------------------------------------------------------------------------------------

    def test_waiting_ends_by_itself(self, backend: Backend) -> None:
        """P5: nothing happens, and the reader looks again after its time, or earlier."""
        begun = time.monotonic()
        _waiting(backend).wait(timeout_us=20_000)
        assert time.monotonic() - begun < 10

    def test_waiting_ends_with_news(self, backend: Backend, other: Backend) -> None:
        """P5: a reader that waits is woken when the timeline grows, or in its own time."""
        put(other, "run-1", b"a")
        waiting = _waiting(backend)
        grown = threading.Event()

        def reader() -> None:
            deadline = time.monotonic() + 30
            while backend.head().position == 0 and time.monotonic() < deadline:
                waiting.wait(timeout_us=500_000)
            if backend.head().position == 1:
                grown.set()

        thread = threading.Thread(target=reader)
        thread.start()
        sequence(other)
        thread.join(40)
        assert grown.is_set()


def _grouping(backend: Backend) -> CanGroup:
    if not isinstance(backend, CanGroup):
        pytest.skip("the backend commits appends one by one")
    return backend


def _waiting(backend: Backend) -> CanWait:
    if not isinstance(backend, CanWait):
        pytest.skip("readers of this backend poll")
    return backend
