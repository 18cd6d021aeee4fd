"""The log in memory: the contract as plain code. The other backends must agree with it, record for record.

Promises: what the port says, within one process; nothing survives it. Shares no code with the other backends.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from ..engine.errors import AppendKeyConflict, ConflictError, LogMoved, ShardPurged, UsageError
from ..engine.log.port import (
    ANY,
    GENESIS,
    NEW,
    OPEN_GATE,
    RETENTION_MASK,
    TRIMMABLE,
    Append,
    Backend,
    Entry,
    Epoch,
    Gate,
    GateState,
    Head,
    Outcome,
    Placed,
    Receipt,
    Record,
    Shard,
    ShardState,
    Stored,
    Weight,
    check_gate_step,
    refusal,
)


def open_url(url: str, *, read_only: bool = False) -> Backend:
    """`memory://`: a new, empty log at each call."""
    check_url(url)
    return MemoryBackend()


def check_url(url: str) -> None:
    """Raise UsageError for a URL with a path."""
    if url.removeprefix("memory:").strip("/"):
        raise UsageError(f"{url!r}: a memory log has no path; write memory://")


@dataclass
class _Shard:
    """One shard: records by seq - 1 (None where purged), its receipts in order, and how much of it is placed."""

    records: list[Record | None] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)
    keys: dict[UUID, Receipt] = field(default_factory=dict)  #: those that callers gave
    positions: list[int] = field(default_factory=list)  #: position of the event at seq - 1; as long as what is placed
    placed_receipts: int = 0
    state: ShardState = ShardState.OPEN


class MemoryBackend:
    """Everything in lists, under one lock."""

    looks = 1  #: the lock makes every look one snapshot

    def __init__(self, *, clock_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.url = "memory://"
        self._clock_us = clock_us
        self._lock = threading.Condition()
        self._log_id = uuid4()
        self._shards: dict[str, _Shard] = {}
        self._appended = 0  #: appends ever recorded
        self._timeline: list[Placed] = []
        self._ends: list[int] = []  #: last position of each placed receipt, for bisection
        self._epochs = [Epoch(1, 0, GENESIS, self._clock_us(), "created")]
        self._gate = OPEN_GATE

    def append(self, append: Append) -> Receipt:
        with self._lock:
            receipt = self._append(append)
            self._lock.notify_all()
            return receipt

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        with self._lock:
            for append in appends:
                try:
                    outcomes.append(self._append(append))
                except (ConflictError, LogMoved, UsageError) as error:
                    outcomes.append(error)
            self._lock.notify_all()
        return outcomes

    def _append(self, append: Append) -> Receipt:
        name, records, digest, expected, key = append
        if self._gate.state is not GateState.OPEN:
            raise refusal(self.url, self._gate)
        shard = self._shards.get(name, _Shard())
        if shard.state in (ShardState.FENCED, ShardState.PURGED):
            raise ShardPurged(f"shard {name} was deleted")
        if key is not None and (known := shard.keys.get(key)):  # before `expected`: a success retried is no conflict
            if known.digest != digest:
                raise AppendKeyConflict(f"shard {name}: key {key} recorded other facts at seq {known.first_seq}")
            return known._replace(duplicate=True)
        last = len(shard.records)
        if expected is not ANY and last != (0 if expected is NEW else expected):
            raise ConflictError(f"shard {name} is at seq {last}, the writer expected {_spell(expected)}")
        # Strictly increasing in the shard even when the clock stands still or steps back.
        at_us = max(self._clock_us(), shard.receipts[-1].at_us + 1 if shard.receipts else 0)
        receipt = Receipt(name, last + 1, last + len(records), key or uuid4(), at_us, digest)
        shard.records.extend(records)
        shard.receipts.append(receipt)
        if key is not None:
            shard.keys[key] = receipt
        shard.state = ShardState.OPEN
        self._shards[name] = shard
        self._appended += 1
        return receipt

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        with self._lock:
            held = self._shards.get(shard)
            if held is None:
                return []
            if newest_first:
                end = len(held.records) if after_seq == 0 else min(after_seq - 1, len(held.records))
                seqs = range(end, 0, -1)
            else:
                seqs = range(after_seq + 1, len(held.records) + 1)
            found = []
            for seq in seqs:
                record = held.records[seq - 1]
                if record is not None and (types is None or record.type in types):
                    position = held.positions[seq - 1] if seq <= len(held.positions) else None
                    found.append(Stored(shard, seq, position, record))
                    if len(found) == limit:
                        break
            return found

    def pending(self, *, limit: int) -> list[Receipt]:
        with self._lock:
            if self._gate.state is GateState.RECEIVING:
                return []
            waiting = [r for shard in self._shards.values() for r in shard.receipts[shard.placed_receipts :]]
            waiting.sort(key=lambda receipt: (receipt.at_us, receipt.shard, receipt.first_seq))
            return waiting[:limit]

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        with self._lock:
            if self._head() != after:
                return False
            for entry in placed:
                self._place(entry)
            self._lock.notify_all()
            return True

    def _place(self, entry: Placed) -> None:
        shard = self._shards[entry.receipt.shard]
        shard.positions.extend(range(entry.position, entry.last_position + 1))
        shard.placed_receipts += 1
        self._timeline.append(entry)
        self._ends.append(entry.last_position)

    def mark(self) -> bytes:
        with self._lock:
            return b"%d" % self._appended

    def head(self) -> Head:
        with self._lock:
            return self._head()

    def _head(self) -> Head:
        if not self._timeline:
            return Head(self._log_id, self._epochs[-1].number, 0, GENESIS)
        return Head(self._log_id, self._epochs[-1].number, self._ends[-1], self._timeline[-1].chain)

    def epochs(self) -> list[Epoch]:
        with self._lock:
            return list(self._epochs)

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        with self._lock:
            found: list[Stored] = []
            for entry in self._timeline[bisect_right(self._ends, after) :]:
                shard = self._shards[entry.receipt.shard]
                for seq in range(entry.receipt.first_seq, entry.receipt.last_seq + 1):
                    position = entry.position + seq - entry.receipt.first_seq
                    record = shard.records[seq - 1]
                    wanted = types is None or (record is not None and record.type in types)
                    if position > after and wanted:
                        found.append(Stored(entry.receipt.shard, seq, position, record))
                        if len(found) == limit:
                            return found
            return found

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        with self._lock:
            found: list[Stored] = []
            for entry in reversed(self._timeline):
                shard = self._shards[entry.receipt.shard]
                for seq in range(entry.receipt.last_seq, entry.receipt.first_seq - 1, -1):
                    position = entry.position + seq - entry.receipt.first_seq
                    record = shard.records[seq - 1]
                    if record is not None and record.type in types and (before is None or position < before):
                        found.append(Stored(entry.receipt.shard, seq, position, record))
                        if len(found) == limit:
                            return found
            return found

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        with self._lock:
            start = bisect_right(self._ends, after)
            return self._timeline[start : start + limit]

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        with self._lock:
            names = sorted(name for name in self._shards if name > after)[:limit]
            return [self._describe(name) for name in names]

    def find_shard(self, name: str) -> Shard | None:
        with self._lock:
            return self._describe(name) if name in self._shards else None

    def _describe(self, name: str) -> Shard:
        shard = self._shards[name]
        return Shard(name, shard.state, len(shard.positions))

    def seal(self, shard: str) -> bool:
        with self._lock:
            held = self._shards.get(shard)
            if held is None or held.state in (ShardState.FENCED, ShardState.PURGED):
                return False
            if len(held.positions) < len(held.records):
                return False
            held.state = ShardState.SEALED
            return True

    def fence(self, shard: str) -> None:
        with self._lock:
            held = self._shards.get(shard)
            if held is not None and held.state is not ShardState.PURGED:
                held.state = ShardState.FENCED

    def purge(self, shard: str, *, keep: bool) -> None:
        with self._lock:
            held = self._shards.get(shard)
            if held is None or held.state not in (ShardState.FENCED, ShardState.PURGED):
                raise ConflictError(f"shard {shard} must be fenced before it is purged")
            if len(held.positions) < len(held.records):
                raise ConflictError(f"shard {shard} has events without a position; sequence them first")
            held.records = [r if keep and r is not None and r.kept else None for r in held.records]
            held.keys.clear()
            held.state = ShardState.PURGED

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        with self._lock:
            found: dict[int, Weight] = {}
            for _, _, record in self._placed_records(through, shard):
                kind = record.topics & RETENTION_MASK
                if retention is None or kind == retention:
                    found[kind] = found.get(kind, Weight()).plus(Weight(1, len(record.body)))
            return found

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        if retention not in TRIMMABLE:
            raise UsageError(f"records of retention class {retention} go with their run, or never; not by a trim")
        with self._lock:
            freed = Weight()
            for held, seq, record in self._placed_records(through, shard):
                if record.topics & RETENTION_MASK == retention:
                    held.records[seq - 1] = None
                    freed = freed.plus(Weight(1, len(record.body)))
            return freed

    def _placed_records(self, through: int, shard: str | None) -> Iterator[tuple[_Shard, int, Record]]:
        names = list(self._shards) if shard is None else [shard]
        for held in [self._shards[name] for name in names if name in self._shards]:
            for seq, position in enumerate(held.positions, start=1):
                record = held.records[seq - 1]
                if position <= through and record is not None:
                    yield held, seq, record

    # -- moving -------------------------------------------------------------------------------------------------

    def gate(self) -> Gate:
        with self._lock:
            return self._gate

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        check_gate_step(expected, gate)
        with self._lock:
            if self._gate != expected:
                return False
            self._gate = gate
            return True

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        with self._lock:
            if self._gate.state is GateState.RECEIVING:
                if (log_id, note) != (self._log_id, self._gate.note):
                    raise ConflictError(f"{self.url} receives another copy, of log {self._log_id}: {self._gate.note}")
            elif self._gate.state is not GateState.OPEN or self._shards:
                raise ConflictError(f"{self.url} holds events, or has moved: a copy needs an empty log")
            self._log_id = log_id
            self._epochs = list(epochs)
            self._gate = Gate(GateState.RECEIVING, note)

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        with self._lock:
            found: list[Entry] = []
            for placed in self._timeline[bisect_right(self._ends, after) :]:
                if placed.position > after:
                    receipt = placed.receipt
                    shard = self._shards[receipt.shard]
                    records = shard.records[receipt.first_seq - 1 : receipt.last_seq]
                    entry = Entry(placed, receipt.key in shard.keys, records)
                    limit, size = limit - receipt.size, size - entry.size
                    if found and (limit < 0 or size < 0):
                        break
                    found.append(entry)
            return found

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        with self._lock:
            if self._gate.state is not GateState.RECEIVING:
                raise UsageError(f"{self.url} receives no copy")
            if self._head() != after:
                return False
            self._check_fits(entries, states)
            for placed, keyed, records in entries:
                receipt = placed.receipt
                shard = self._shards.setdefault(receipt.shard, _Shard())
                shard.records.extend(records)
                shard.receipts.append(receipt)
                shard.state = states.get(receipt.shard, ShardState.OPEN)
                if keyed and shard.state is not ShardState.PURGED:
                    shard.keys[receipt.key] = receipt
                self._place(placed)
                self._appended += 1
            self._lock.notify_all()
            return True

    def _check_fits(self, entries: Sequence[Entry], states: Mapping[str, ShardState]) -> None:
        ends: dict[str, int] = {}
        for (_, receipt, _), _, _ in entries:
            name = receipt.shard
            shard = self._shards.get(name, _Shard())
            if name not in ends and shard.state in (ShardState.FENCED, ShardState.PURGED):
                if shard.state is ShardState.FENCED or states.get(name) is not ShardState.PURGED:
                    raise ConflictError(f"shard {name} was deleted here; its copy cannot go on")
            elif name not in ends and shard.receipts and states.get(name) is ShardState.PURGED:
                raise ConflictError(f"shard {name} holds events here: fence and purge it once they are all there")
            end = ends.get(name, len(shard.records))
            if receipt.first_seq != end + 1:
                raise ConflictError(f"shard {name} ends at seq {end} here, the copy goes on at {receipt.first_seq}")
            ends[name] = receipt.last_seq

    def stats(self) -> dict[str, int | float | str]:
        with self._lock:
            pending = sum(len(shard.receipts) - shard.placed_receipts for shard in self._shards.values())
            return {"backend": "memory", "shards": len(self._shards), "head": self._head().position, "pending": pending}

    def wait(self, *, timeout_us: int) -> None:
        with self._lock:
            self._lock.wait(timeout_us / 1e6)

    def start_epoch(self, reason: str) -> Epoch:
        with self._lock:
            head = self._head()
            epoch = Epoch(head.epoch + 1, head.position, head.chain, self._clock_us(), reason)
            self._epochs.append(epoch)
            return epoch

    def diagnose(self, *, full: bool) -> list[str]:
        return []

    def close(self) -> None:
        with self._lock:
            self._lock.notify_all()


def _spell(expected: object) -> str:
    return "it empty" if expected is NEW else f"seq {expected}"
