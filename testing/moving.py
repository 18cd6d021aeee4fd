"""A log taken out of one backend and put into another, entry by entry: nothing changes on the way."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from ..backends.memory import MemoryBackend
from ..engine.errors import AppendKeyConflict, ConflictError, LogMoved, ShardPurged, UsageError
from ..engine.events.event import Retention
from ..engine.log.chain import link
from ..engine.log.port import (
    OPEN_GATE,
    Backend,
    CanMove,
    CanRepair,
    CanTell,
    Entry,
    Epoch,
    Gate,
    GateState,
    Head,
    Placed,
    ShardState,
)
from .gate import moving
from .store import PLENTY, Store, SuiteBase, an_append, bodies, held, put, record, sequence, timeline

SHARDS = ["run-1", "run-2", "Run-1", "@queue", "@ticks", "caf\u00e9"]
KEPT = record(b"kept", type="ASSET", kept=True)
LINE = record(b"line", type="LINE", retention=Retention.LOG)
STEP = record(b"step", type="STEP")


def receive(source: Any, backend: Backend, *, note: str = "a copy") -> CanMove:
    """Make a store ready to take over a log, as far as its head and epochs go now."""
    target = moving(backend)
    head = backend.head()
    target.receive(source.head().log_id, [e for e in source.epochs() if e.after_position <= head.position], note=note)
    return target


def carry(source: Any, backend: Backend, *, limit: int = PLENTY, size: int = 10**9, batches: int = PLENTY) -> None:
    """Copy what a destination lacks, some events at a time, and the states of shards with it."""
    target = receive(source, backend)
    for _ in range(batches):
        head = backend.head()
        entries = source.extract(after=head.position, limit=limit, size=size)
        if not entries:
            break
        assert target.ingest(entries, after=head, states=states_of(source, entries, backend))
    receive(source, backend)


def states_of(source: Any, entries: Sequence[Entry], backend: Backend) -> dict[str, ShardState]:
    """Of each shard that ends with these entries and is finished at the source, how; purged ones from the start."""
    ends = {entry.placed.receipt.shard: entry.placed.receipt.last_seq for entry in entries}
    states = {}
    for name, end in ends.items():
        shard, here = source.find_shard(name), backend.find_shard(name)
        fresh = here is None or here.state is ShardState.PURGED
        if shard.state is ShardState.PURGED and fresh:
            states[name] = ShardState.PURGED
        elif shard.state is ShardState.SEALED and shard.ordered_seq == end:
            states[name] = ShardState.SEALED
    return states


def seen(backend: Any) -> dict[str, Any]:
    """Everything of a log that a copy keeps."""
    return {
        "head": (backend.head().log_id, backend.head().position, backend.head().chain),
        "epochs": backend.epochs(),
        "placed": backend.placed(after=0, limit=PLENTY),
        "timeline": timeline(backend),
        "typed": {kind: timeline(backend, types=frozenset([kind])) for kind in ("ASSET", "LINE", "STEP", "MARK")},
        "shards": backend.shards(after="", limit=PLENTY),
        "held": {shard.name: held(backend, shard.name) for shard in backend.shards(after="", limit=PLENTY)},
        "weights": backend.weigh(None, through=PLENTY, shard=None),
        "keyed": [(entry.placed.position, entry.keyed) for entry in backend.extract(after=0, limit=PLENTY, size=10**9)],
    }


def a_history(dice: random.Random, steps: int = 80) -> MemoryBackend:
    """A log in which all kinds of things have happened; everything has its position."""
    source = MemoryBackend(clock_us=iter(range(1_700_000_000_000_000, 2_000_000_000_000_000, 1000)).__next__)
    for _ in range(steps):
        deed = dice.choices(["append", "seal", "purge", "fence", "trim", "epoch"], [30, 3, 1, 0.3, 1, 0.5])[0]
        shard = dice.choice(SHARDS)
        if deed == "append":
            kinds = dice.choices([KEPT, LINE, STEP, record(b"%d" % dice.randint(0, 9))], k=dice.choice([1, 1, 2, 7]))
            try:
                put(source, shard, *kinds, key=dice.choice([None, None, dice.randint(1, 20)]))
            except (AppendKeyConflict, ShardPurged):
                continue
            continue
        sequence(source)
        if deed == "seal":
            source.seal(shard)
        elif deed == "epoch":
            source.start_epoch("dice")
        elif deed == "trim" and source.head().position:
            source.trim(int(Retention.LOG), through=dice.randint(1, source.head().position), shard=None)
        elif source.find_shard(shard) is not None and deed in ("purge", "fence"):
            source.fence(shard)
            if deed == "purge":
                source.purge(shard, keep=dice.random() < 0.7)
    sequence(source)
    return source


def settle(source: Any, backend: Backend) -> None:
    """Put up what fences the source has at its end, and free what it has freed since it was copied."""
    for shard in source.shards(after="", limit=PLENTY):
        if shard.state in (ShardState.FENCED, ShardState.PURGED):
            backend.fence(shard.name)
        if shard.state is ShardState.PURGED:
            backend.purge(shard.name, keep=True)


class MovingTests(SuiteBase):
    @pytest.fixture
    def source(self) -> MemoryBackend:
        """Positions 1 to 9: run-1 has 1 2, 5 6 7, 9; run-2 (sealed) 3 4; @queue 8. Key 1 begins at 1, key 2 at 5."""
        source = MemoryBackend()
        for append in (
            an_append("run-1", b"1", KEPT, key=1),
            an_append("run-2", b"3", LINE),
            an_append("run-1", LINE, STEP, b"7", key=2),
            an_append("@queue", b"8"),
            an_append("run-1", b"9"),
        ):
            source.append(append)
            sequence(source)
        assert source.seal("run-2")
        return source

    # -- taking out ----------------------------------------------------------------------------------------------

    def test_entries_are_what_was_appended(self, backend: Backend) -> None:
        """P10: receipts as placed, their records, and whether the key was the caller's."""
        taken = moving(backend)
        put(backend, "run-1", b"a", b"b", key=1)
        sequence(backend)
        put(backend, "@queue", b"c")
        sequence(backend)
        put(backend, "run-1", KEPT)
        sequence(backend)
        entries = taken.extract(after=0, limit=PLENTY, size=10**9)
        assert [entry.placed for entry in entries] == backend.placed(after=0, limit=PLENTY)
        assert [list(entry.records) for entry in entries] == [[record(b"a"), record(b"b")], [record(b"c")], [KEPT]]
        assert [entry.keyed for entry in entries] == [True, False, False]
        assert [entry.placed.position for entry in taken.extract(after=2, limit=9, size=9)] == [3, 4]
        assert taken.extract(after=4, limit=9, size=9) == []

    def test_entries_come_in_pages(self, backend: Backend) -> None:
        """P10: bounded by events and by bytes, one at least, and whole."""
        taken = moving(backend)
        put(backend, "run-1", bytes(1000), b"x", b"y")
        put(backend, "run-1", b"z")
        put(backend, "run-2", bytes(1000))
        put(backend, "run-2", b"z")
        sequence(backend)

        def page(**bounds: int) -> list[int]:
            """How many events each entry of the first page has."""
            return [len(entry.records) for entry in taken.extract(after=0, **bounds)]

        assert page(limit=1, size=10**9) == [3]
        assert page(limit=4, size=10**9) == [3, 1]
        assert page(limit=9, size=1) == [3]
        assert page(limit=9, size=10**9) == [3, 1, 1, 1]
        assert len(page(limit=9, size=1100)) <= 3
        pages, after = 0, 0
        while entries := taken.extract(after=after, limit=2, size=100):
            pages, after = pages + 1, entries[-1].placed.last_position
        assert (pages, after) == (4, 6) or (pages, after) == (3, 6)

    def test_entries_of_what_is_gone(self, backend: Backend) -> None:
        """P5, P9: purged and trimmed bodies are missing, and nothing else is; sealed shards are read as any."""
        taken = moving(backend)
        put(backend, "run-1", KEPT, b"gone", key=1)
        put(backend, "run-2", LINE, b"stays", key=2)
        put(backend, "run-3", b"sealed", key=3)
        sequence(backend)
        backend.seal("run-3")
        backend.fence("run-1")
        backend.purge("run-1", keep=True)
        backend.trim(int(Retention.LOG), through=PLENTY, shard=None)
        entries = {entry.placed.receipt.shard: entry for entry in taken.extract(after=0, limit=9, size=10**9)}
        assert list(entries["run-1"].records) == [KEPT, None]
        assert list(entries["run-2"].records) == [None, record(b"stays")]
        assert list(entries["run-3"].records) == [record(b"sealed")]
        assert (entries["run-2"].keyed, entries["run-3"].keyed) == (True, True)
        assert {entry.placed.receipt.key for entry in entries.values()} == {UUID(int=1), UUID(int=2), UUID(int=3)}

    # -- putting in ----------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("limit", [1, 4, PLENTY])
    def test_a_copy_is_the_log(self, source: MemoryBackend, store: Store, limit: int) -> None:
        """P10: log id, epochs, positions, shards, seqs, receipts, chain and records; in pages of any size."""
        backend = store.open()
        carry(source, backend, limit=limit)
        for handle in store.and_reopened(backend):
            assert seen(handle) == seen(source)
            assert handle.pending(limit=9) == []
            assert moving(handle).gate() == Gate(GateState.RECEIVING, "a copy")
            assert not isinstance(handle, CanRepair) or handle.diagnose(full=True) == []

    def test_a_copy_goes_on_behind_its_head(self, source: MemoryBackend, store: Store) -> None:
        """P10: after an interruption, and after the source went on; a late event opens a sealed shard again."""
        backend = store.open()
        carry(source, backend, limit=2, batches=2)
        assert backend.head().position == 4
        carry(source, store.reopen(), limit=2)
        source.start_epoch("went on")
        put(source, "run-2", b"late", key=4)
        put(source, "run-9", b"new")
        sequence(source)
        for _ in range(2):  # the second time there is nothing left to do
            backend = store.reopen()
            carry(source, backend)
            assert seen(backend) == seen(source)
            found = backend.find_shard("run-2")
            assert found is not None
            assert found.state is ShardState.OPEN

    def test_a_copy_takes_appends_once_its_gate_opens(self, source: MemoryBackend, store: Store) -> None:
        """P2, P3, P4: behind the last seq and position, and a retry is recognized by the caller's key."""
        backend = store.open()
        carry(source, backend)
        for shard in ("run-1", "run-2", "run-3", "@queue"):
            with pytest.raises((LogMoved, ConflictError)):
                put(backend, shard, b"early")
        with pytest.raises(LogMoved):
            put(backend, "run-1", b"early")
        assert moving(backend).set_gate(OPEN_GATE, expected=Gate(GateState.RECEIVING, "a copy"))
        for handle in store.and_reopened(backend):
            again = put(handle, "run-1", b"1", KEPT, key=1)
            assert again == source.placed(after=0, limit=1)[0].receipt._replace(duplicate=True)
            assert put(handle, "run-1", LINE, STEP, b"7", key=2).duplicate
            with pytest.raises(AppendKeyConflict):
                put(handle, "run-1", b"other", key=2)
            with pytest.raises(ConflictError):
                put(handle, "run-1", b"stale", expected=5)
        handle = store.reopen()
        assert put(handle, "run-1", b"next", expected=6).first_seq == 7
        assert put(handle, "run-2", b"next").first_seq == 3
        assert put(handle, "@queue", b"next").first_seq == 2
        assert put(handle, "run-3", b"first", expected=0).first_seq == 1
        assert sequence(handle) == 13
        assert [entry.position for entry in handle.placed(after=9, limit=9)] == [10, 11, 12, 13]
        chain = source.head().chain
        for entry in handle.placed(after=9, limit=9):
            chain = link(chain, entry.receipt)
            assert entry.chain == chain
        assert handle.seal("run-2")
        assert not isinstance(handle, CanRepair) or handle.diagnose(full=True) == []

    def test_generated_keys_answer_no_retry(self, source: MemoryBackend, backend: Backend) -> None:
        """P3: an append without a key is as new at the copy as it was at the source."""
        carry(source, backend)
        moving(backend).set_gate(OPEN_GATE, expected=moving(backend).gate())
        generated = next(p.receipt for p in source.placed(after=0, limit=9) if p.receipt.shard == "@queue")
        assert put(backend, "@queue", b"8", key=generated.key).duplicate is False

    def test_a_mark_tells_of_entries(self, source: MemoryBackend, backend: Backend, other: Backend) -> None:
        """P8: who asks for the mark alone sees that the log has grown."""
        target = receive(source, backend)
        if not isinstance(other, CanTell) or other.mark() is None:
            pytest.skip("this backend has no mark")
        before = other.mark()
        assert target.ingest(source.extract(after=0, limit=4, size=10**9), after=backend.head(), states={})
        assert other.mark() != before

    def test_nothing_is_pending_while_a_copy_is_put_in(self, source: MemoryBackend, backend: Backend) -> None:
        """P10: no sequencer gives a position that the source has not given."""
        carry(source, backend, limit=2, batches=1)
        head = backend.head()
        assert sequence(backend) == head.position
        assert backend.pending(limit=9) == []
        assert backend.head() == head

    def test_entries_go_in_behind_the_head_alone(self, source: MemoryBackend, backend: Backend) -> None:
        """P10: twice is once, and what does not fit leaves no trace."""
        target = receive(source, backend)
        head = backend.head()
        entries = source.extract(after=0, limit=4, size=10**9)
        assert target.ingest(entries, after=head, states={})
        assert not target.ingest(entries, after=head, states={})
        before = backend.head()
        assert not target.ingest(source.extract(after=4, limit=9, size=9), after=head, states={})
        assert not target.ingest([], after=head._replace(chain=bytes(16)), states={})
        gap = source.extract(after=7, limit=9, size=10**9)  # run-1 would go on at seq 6, behind seq 2
        with pytest.raises(ConflictError, match="run-1"):
            target.ingest(gap, after=before, states={})
        assert backend.head() == before
        assert backend.find_shard("@queue") is None
        assert len(timeline(backend)) == 4

    def test_only_a_log_that_receives_takes_entries(self, source: MemoryBackend, backend: Backend) -> None:
        """P10: neither before nor after."""
        target = moving(backend)
        entries = source.extract(after=0, limit=4, size=10**9)
        with pytest.raises(UsageError):
            target.ingest(entries, after=backend.head(), states={})
        carry(source, backend, limit=4, batches=1)
        target.set_gate(OPEN_GATE, expected=target.gate())
        rest = source.extract(after=4, limit=9, size=10**9)
        with pytest.raises(UsageError):
            target.ingest(rest, after=backend.head(), states={})
        assert backend.head().position == 4

    def test_only_an_empty_log_becomes_a_copy(self, backend: Backend) -> None:
        """P11: another history is never written over, placed or not."""
        target = moving(backend)
        own = backend.head()
        put(backend, "run-1", b"a")
        epochs = [Epoch(1, 0, bytes(16), 5, "created")]
        with pytest.raises(ConflictError):
            target.receive(UUID(int=5), epochs, note="a copy")
        sequence(backend)
        with pytest.raises(ConflictError):
            target.receive(own.log_id, epochs, note="a copy")
        assert target.gate() == OPEN_GATE
        assert backend.head().log_id == own.log_id
        assert put(backend, "run-1", b"b").first_seq == 2

    def test_a_copy_is_of_one_log(self, source: MemoryBackend, backend: Backend) -> None:
        """P11: what receives one log takes no other."""
        target = receive(source, backend, note="first")
        with pytest.raises(ConflictError):
            target.receive(UUID(int=5), source.epochs(), note="another")
        with pytest.raises(ConflictError):
            target.receive(source.head().log_id, source.epochs(), note="second")
        assert target.gate() == Gate(GateState.RECEIVING, "first")
        target.receive(source.head().log_id, [*source.epochs()[:1], Epoch(2, 0, bytes(16), 7, "x")], note="first")
        assert backend.head() == Head(source.head().log_id, 2, 0, bytes(16))
        assert backend.epochs()[1] == Epoch(2, 0, bytes(16), 7, "x")
        assert target.set_gate(Gate(GateState.RECEIVING, "third"), expected=target.gate())
        assert not target.set_gate(OPEN_GATE, expected=Gate(GateState.RECEIVING, "first"))
        with pytest.raises(ConflictError):
            target.receive(source.head().log_id, source.epochs(), note="first")

    def test_purged_shards_are_copied_as_such(self, source: MemoryBackend, store: Store) -> None:
        """P9: kept facts at their places, in as many pages as it takes, and no append ever."""
        put(source, "run-3", STEP, KEPT)
        put(source, "run-1", b"10")
        put(source, "run-3", KEPT, STEP, KEPT, key=3)
        sequence(source)
        source.fence("run-3")
        source.purge("run-3", keep=True)
        backend = store.open()
        carry(source, backend, limit=1)
        moving(backend).set_gate(OPEN_GATE, expected=moving(backend).gate())
        for handle in store.and_reopened(backend):
            assert seen(handle) == seen(source)
            with pytest.raises(ShardPurged):
                put(handle, "run-3", STEP, KEPT, key=3)
            handle.purge("run-3", keep=True)
            assert [item.seq for item in held(handle, "run-3")] == [2, 3, 5]
        handle = store.open()
        handle.purge("run-3", keep=False)
        assert held(handle, "run-3") == []
        assert not isinstance(handle, CanRepair) or handle.diagnose(full=True) == []

    def test_a_shard_purged_while_it_is_copied(self, source: MemoryBackend, backend: Backend) -> None:
        """P9: what was copied before is freed at the end, and what comes after has no bodies to bring."""
        carry(source, backend, limit=4, batches=1)
        source.fence("run-1")
        source.purge("run-1", keep=True)
        carry(source, backend, limit=1)
        assert bodies(held(backend, "run-1")) == [b"1", b"kept"]
        settle(source, backend)
        assert seen(backend) == seen(source)
        target = moving(backend)
        entry = source.extract(after=8, limit=1, size=1)[0]
        more = entry.placed.receipt._replace(first_seq=7, last_seq=7)
        late = entry._replace(placed=Placed(10, more, bytes(16)))
        with pytest.raises(ConflictError):
            target.ingest([late], after=backend.head(), states={})

    def test_trimmed_records_are_copied_as_such(self, source: MemoryBackend, store: Store) -> None:
        """P5: their seqs and positions, and their keys; a trim of the copy goes on from there."""
        source.trim(int(Retention.LOG), through=4, shard=None)
        backend = store.open()
        carry(source, backend, limit=3)
        assert seen(backend) == seen(source)
        moving(backend).set_gate(OPEN_GATE, expected=moving(backend).gate())
        source.trim(int(Retention.LOG), through=PLENTY, shard=None)
        freed = backend.trim(int(Retention.LOG), through=PLENTY, shard=None)
        assert (freed.events, freed.bytes) == (1, 4)
        for handle in store.and_reopened(backend):
            assert seen(handle) == seen(source)
            assert put(handle, "run-1", LINE, STEP, b"7", key=2).duplicate
            assert not isinstance(handle, CanRepair) or handle.diagnose(full=True) == []

    @pytest.mark.parametrize("seed", range(12))
    def test_any_history_moves(self, store: Store, seed: int) -> None:
        """P10: whatever has happened to a log; there and back again."""
        dice = random.Random(seed)
        source = a_history(dice)
        backend = store.open()
        while backend.head().position < source.head().position:
            carry(source, backend, limit=dice.choice([1, 3, 50]), size=dice.choice([1, 20, 10**9]), batches=3)
            if dice.random() < 0.3:
                backend = store.reopen()
        settle(source, backend)
        assert seen(backend) == seen(source)
        back = MemoryBackend()
        carry(backend, back, limit=7)
        settle(backend, back)
        assert seen(back) == seen(source)
        moving(backend).set_gate(OPEN_GATE, expected=moving(backend).gate())
        for entry in source.extract(after=0, limit=PLENTY, size=10**9):
            receipt = entry.placed.receipt
            append = an_append(receipt.shard, b"again", key=receipt.key)._replace(digest=receipt.digest)
            shard = source.find_shard(receipt.shard)
            if entry.keyed and shard is not None and shard.state is not ShardState.FENCED:
                assert backend.append(append) == receipt._replace(duplicate=True)
        assert sequence(backend) == source.head().position
        for shard in source.shards(after="", limit=PLENTY):
            if shard.state is ShardState.FENCED:
                backend.purge(shard.name, keep=True)  # a deletion that was begun is told of as a fault
        assert not isinstance(backend, CanRepair) or backend.diagnose(full=True) == []
