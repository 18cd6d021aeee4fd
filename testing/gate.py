"""The gate of a whole log: closed, no append gets through, in no handle; opened again, all do."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial

import pytest

from ..engine.errors import ConflictError, LogMoved, UsageError
from ..engine.log.port import ANY, NEW, OPEN_GATE, Backend, CanGroup, CanMove, Expected, Gate, GateState, ShardState
from .handles import at_once
from .store import Store, SuiteBase, an_append, bodies, held, put, record, sequence, timeline

MOVED = Gate(GateState.MOVED, "it went to elsewhere://")


def moving(backend: Backend) -> CanMove:
    """The backend, if it can move a log."""
    if not isinstance(backend, CanMove):
        pytest.skip("this backend moves no logs")
    return backend


def close_gate(backend: Backend) -> None:
    assert moving(backend).set_gate(MOVED, expected=OPEN_GATE)


class GateTests(SuiteBase):
    def test_a_new_log_is_open(self, backend: Backend) -> None:
        """P10: a log takes appends from the start."""
        assert moving(backend).gate() == OPEN_GATE

    @pytest.mark.parametrize("expected", [ANY, NEW, 0, 1], ids=str)
    def test_a_closed_gate_refuses_every_append(self, store: Store, expected: Expected) -> None:
        """P10: to known shards, sealed ones and new ones, with a key and without, and says where the log went."""
        backend = store.open()
        for shard in ("run-1", "run-2", "@queue"):
            put(backend, shard, b"a")
        sequence(backend)
        assert backend.seal("run-2")
        close_gate(backend)
        for handle in store.and_reopened(backend):
            assert moving(handle).gate() == MOVED
            for shard in ("run-1", "run-2", "run-3", "@queue", "@ticks"):
                fits = expected is ANY or (expected == 1) == (shard in ("run-1", "run-2", "@queue"))
                refusals = LogMoved if fits else (LogMoved, ConflictError)
                for key in (None, 7):
                    with pytest.raises(refusals, match="elsewhere://" if fits else None):
                        put(handle, shard, b"late", b"late", expected=expected, key=key)
            assert [shard.name for shard in handle.shards(after="", limit=9)] == ["@queue", "run-1", "run-2"]
            assert bodies(timeline(handle)) == [b"a", b"a", b"a"]
            assert handle.pending(limit=9) == []

    def test_a_closed_gate_refuses_a_group(self, backend: Backend) -> None:
        """P10: each append of it."""
        if not isinstance(backend, CanGroup):
            pytest.skip("appends to this backend go one by one")
        put(backend, "run-1", b"a")
        close_gate(backend)
        outcomes = backend.append_group([an_append("run-1", b"b"), an_append("run-2", b"c"), an_append("@q", b"d")])
        assert [type(outcome) for outcome in outcomes] == [LogMoved] * 3
        assert sequence(backend) == 1

    def test_a_retry_behind_a_closed_gate_writes_nothing(self, backend: Backend) -> None:
        """P3, P10: it is refused, or answered with the first receipt."""
        first = put(backend, "run-1", b"a", key=1)
        close_gate(backend)
        with suppress(LogMoved):
            assert put(backend, "run-1", b"a", key=1) == first._replace(duplicate=True)
        assert sequence(backend) == 1

    def test_handles_that_had_the_log_open_are_refused(self, store: Store) -> None:
        """P10: also those that have written since, or are behind; nothing they were told is lost."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        behind, level, fresh = (store.open() for _ in range(3))
        put(behind, "run-1", b"1")
        put(level, "run-1", b"2")
        put(level, "run-2", b"3")
        close_gate(store.open())
        for handle in (behind, level, fresh):
            for shard in ("run-1", "run-2", "run-3", "@queue"):
                with pytest.raises(LogMoved):
                    put(handle, shard, b"late")
        assert sequence(fresh) == 3
        with pytest.raises(LogMoved):
            put(store.reopen(), "run-1", b"late")

    def test_what_came_before_gets_its_position_behind_the_gate(self, backend: Backend, other: Backend) -> None:
        """P1, P10: an acknowledged append is found and placed, whoever made it."""
        put(other, "run-1", b"1")
        put(backend, "@queue", b"2", b"3")
        close_gate(backend)
        waiting = sum(receipt.size for receipt in other.pending(limit=9))
        assert waiting + other.head().position == 3, "it is pending, or has its position already"
        assert sequence(other) == 3
        assert other.head() == backend.head()

    def test_the_end_of_a_shard_goes_on_behind_the_gate(self, backend: Backend) -> None:
        """P9: what is to be deleted can be deleted."""
        put(backend, "run-1", record(b"kept", kept=True), b"gone")
        put(backend, "run-2", b"a")
        sequence(backend)
        close_gate(backend)
        assert backend.seal("run-2")
        backend.fence("run-1")
        backend.purge("run-1", keep=True)
        assert bodies(timeline(backend)) == [b"kept", None, b"a"]
        states = [shard.state for shard in backend.shards(after="", limit=9)]
        assert states == [ShardState.PURGED, ShardState.SEALED]

    def test_an_opened_gate_lets_all_in(self, store: Store) -> None:
        """P10: in handles that met the closed gate, that never wrote, and in new ones; to shards old and new."""
        backend = store.open()
        put(backend, "run-1", b"1")
        put(backend, "run-2", b"2")
        sequence(backend)
        backend.seal("run-2")
        close_gate(backend)
        with pytest.raises(LogMoved):
            put(backend, "run-1", b"late")
        assert moving(backend).set_gate(OPEN_GATE, expected=MOVED)
        for handle in store.and_reopened(backend):
            for shard in ("run-1", "run-2", "run-3", "@queue"):
                put(handle, shard, b"more")
        end = sequence(store.open())
        assert end == 10
        assert bodies(held(store.open(), "run-1")) == [b"1", b"more", b"more"]

    def test_a_gate_closes_again(self, backend: Backend, other: Backend) -> None:
        """P10: as tightly as the first time, for handles that came in between."""
        put(backend, "run-1", b"1")
        close_gate(backend)
        assert moving(other).set_gate(OPEN_GATE, expected=MOVED)
        put(backend, "run-1", b"2")
        put(other, "@queue", b"3")
        close_gate(other)
        for handle in (backend, other):
            for shard in ("run-1", "@queue", "run-4"):
                with pytest.raises(LogMoved):
                    put(handle, shard, b"late")
        assert sequence(backend) == 3

    def test_only_the_expected_gate_is_replaced(self, backend: Backend) -> None:
        """P10: of two who would change it, one is told that the other was faster."""
        gated = moving(backend)
        assert not gated.set_gate(OPEN_GATE, expected=MOVED)
        assert gated.set_gate(MOVED, expected=OPEN_GATE)
        assert not gated.set_gate(Gate(GateState.MOVED, "another"), expected=OPEN_GATE)
        assert gated.gate() == MOVED
        assert gated.set_gate(Gate(GateState.MOVED, "another"), expected=MOVED)
        assert not gated.set_gate(OPEN_GATE, expected=MOVED)
        assert gated.gate() == Gate(GateState.MOVED, "another")

    def test_a_gate_changes_in_few_ways(self, backend: Backend) -> None:
        """P10: only `receive` makes a log the destination of a copy."""
        gated = moving(backend)
        receiving = Gate(GateState.RECEIVING, "a copy")
        for before, after in ((OPEN_GATE, receiving), (MOVED, receiving), (receiving, MOVED)):
            with pytest.raises(UsageError):
                gated.set_gate(after, expected=before)
        assert gated.set_gate(OPEN_GATE, expected=OPEN_GATE)
        assert gated.gate() == OPEN_GATE

    @pytest.mark.parametrize("turn", range(3))
    def test_a_gate_that_closes_under_writers(self, store: Store, turn: int) -> None:
        """P1, P10: when the gate is closed, all that was acknowledged is there and nothing more ever comes."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        closer = store.open()
        moving(closer)
        acknowledged: list[tuple[str, int]] = []
        begun = threading.Barrier(4)

        def write(name: str) -> None:
            handle = store.open()
            begun.wait()
            for number in range(10_000):
                shard = (name, "shared", f"{name}-{number // 5}", "@queue")[number % 4]
                try:
                    acknowledged.append((shard, put(handle, shard, b"x").last_seq))
                except LogMoved:
                    return
            raise AssertionError("the gate never closed")

        def shut() -> None:
            begun.wait()
            while len(acknowledged) < 40 * (turn + 1):
                pass
            close_gate(closer)
            before.append(sequence(closer))

        before: list[int] = []
        at_once([partial(write, "a"), partial(write, "b"), partial(write, "c"), partial(shut)])
        assert sequence(closer) == before[0]
        found = [(item.shard, item.seq) for item in timeline(closer)]
        assert set(acknowledged) <= set(found)
        assert len(found) == before[0]
