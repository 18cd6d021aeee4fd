"""Appending: the primary key (shard, seq) decides races, and the state of the shard is tested in the same statement.

Promises: a batch is recorded whole or not at all, once, at the seqs the writer said; a fenced shard takes nothing;
appends of different shards never wait for each other. The writer sends seqs, the server never makes them up: a
statement that comes late over a lost connection hits the primary key and is no second copy.
Not here: positions (ordering.py).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, TypeVar
from uuid import UUID, uuid4

import psycopg2
import psycopg2.errors

from ...engine.errors import AppendKeyConflict, ConflictError, ShardPurged, UnavailableError, UsageError
from ...engine.log.port import ANY, NEW, Append, Outcome, Receipt
from .database import Database, Mode, Transaction
from .errors import OutcomeUnknownError, translate
from .rows import SEALED, checksum

T = TypeVar("T")

TAILS = 10_000  #: shards whose end a process remembers
PATIENCE_S = 30  #: how long an append runs after the end of a shard that others append to

# FOR KEY SHARE holds off the fencer, who takes FOR UPDATE, until this append has committed or failed, and nobody else:
# appends share it, and the sequencer's UPDATE of ordered_seq does not wait for it. Were the state read without a lock,
# an append could commit behind the tombstone: tests/test_postgres.py::test_a_fence_waits_for_an_append_under_way
# The receipt before must be the one this process remembers: else, after a backup was restored under a living process,
# a remembered end would leave a hole.
INSERT = """
WITH place AS (
    SELECT shard_id FROM foldlog.shard WHERE name = %(shard)s AND state = 0 FOR KEY SHARE
), follows AS (
    SELECT p.shard_id,
        greatest((extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(last_us)s::bigint + 1) AS at_us
    FROM place p
    WHERE %(last_first)s = 0 OR EXISTS (
        SELECT FROM foldlog.event e WHERE e.shard_id = p.shard_id AND e.seq = %(last_first)s
        AND e.count = %(last_count)s AND e.at_us = %(last_us)s
    )
), written AS (
    INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, type, body, at_us, count, key, keyed, digest)
    SELECT f.shard_id, %(first)s + r.n - 1, r.ts_us, r.topics, r.crc, r.type, r.body,
        CASE WHEN r.n = 1 THEN f.at_us END, CASE WHEN r.n = 1 THEN %(count)s::bigint END,
        CASE WHEN r.n = 1 THEN %(key)s::uuid END, CASE WHEN r.n = 1 THEN %(keyed)s::boolean END,
        CASE WHEN r.n = 1 THEN %(digest)s::bytea END
    FROM follows f, unnest(%(ts_us)s::bigint[], %(topics)s::bigint[], %(crcs)s::bigint[], %(types)s::text[],
        %(bodies)s::bytea[]) WITH ORDINALITY AS r (ts_us, topics, crc, type, body, n)
), told AS (
    INSERT INTO foldlog.news (shard_id, first_seq, at_us) SELECT shard_id, %(first)s, at_us FROM follows
)
SELECT at_us FROM follows
"""

LOOK = """
SELECT s.state, last.seq, last.count, last.at_us, known.seq, known.count, known.at_us, known.digest
FROM foldlog.shard s
LEFT JOIN LATERAL (
    SELECT seq, count, at_us FROM foldlog.event e WHERE e.shard_id = s.shard_id AND e.count IS NOT NULL
    ORDER BY seq DESC LIMIT 1
) last ON true
LEFT JOIN foldlog.event known ON known.shard_id = s.shard_id AND known.key = %(key)s::uuid AND known.keyed
WHERE s.name = %(shard)s
"""

LANDED = """
SELECT e.seq, e.count, e.at_us FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE s.name = %(shard)s AND e.seq = ANY(%(seqs)s::bigint[]) AND e.key = %(key)s::uuid
"""


class Tail(NamedTuple):
    """The last receipt of a shard. All zero where there is none."""

    first_seq: int = 0
    length: int = 0
    at_us: int = 0

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.length - 1 if self.length else 0


@dataclass
class _Order:
    """One append on its way, through all its tries."""

    append: Append
    key: UUID  #: the caller's, or one of ours: by it the append is known again after a lost answer
    tried: set[tuple[int, int]] = field(default_factory=set)  #: (first_seq, at_us) of commits with a lost answer
    written: Receipt | None = None  #: by the transaction that is open

    @classmethod
    def of(cls, append: Append) -> _Order:
        if not append.records:
            raise UsageError(f"shard {append.shard}: an append without events")
        return cls(append, append.key or uuid4())


class _RacedError(Exception):
    """Another append took the seq, or the shard changed its state: look again."""


class Writer:
    """The appends of one process. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mode = Mode.WRITE if database.address.durability == "full" else Mode.QUICK
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, append: Append) -> Receipt:
        order = _Order.of(append)
        deed = f"appending to shard {append.shard}"
        for _ in _tries(deed):
            try:
                return self._commit(deed, [order], lambda tx: self._write(tx, order, {}))
            except _RacedError:
                self._forget(append.shard)
        raise AssertionError("_tries ends by raising")

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        orders = [_Order.of(append) for append in appends]
        # By shard: two groups that lock the same shards in different orders would wait for each other.
        turns = sorted(range(len(orders)), key=lambda index: orders[index].append.shard)

        def work(tx: Transaction) -> list[Outcome]:
            ends: dict[str, Tail] = {}
            answers = {index: self._guarded(tx, orders[index], ends) for index in turns}
            return [answers[index] for index in range(len(orders))]

        return self._commit(f"appending to {len(orders)} shards at once", orders, work) if orders else []

    def _commit(self, deed: str, orders: list[_Order], work: Callable[[Transaction], T]) -> T:
        """Commit what `work` writes; where the answer is lost, look what became of it."""
        for last in (False, False, True):
            try:
                answer = self._database.run(deed, work, mode=self._mode)
            except OutcomeUnknownError:
                for order in orders:
                    if order.written:
                        order.tried.add((order.written.first_seq, order.written.at_us))
                if last:
                    raise
                continue
            for order in orders:
                if order.written:
                    self._remember(order.written)
            return answer
        raise AssertionError("the last try returns or raises")

    def _guarded(self, tx: Transaction, order: _Order, ends: dict[str, Tail]) -> Outcome:
        """One append of a group, behind a savepoint: refused alone, it leaves the others as they are."""
        shard = order.append.shard
        deed = f"appending to shard {shard}"
        for _ in _tries(deed):
            tx.execute("SAVEPOINT one")
            try:
                receipt = self._write(tx, order, ends)
            except (ConflictError, UsageError, _RacedError, psycopg2.DataError) as refused:
                tx.execute("ROLLBACK TO SAVEPOINT one")
                ends.pop(shard, None)
                self._forget(shard)
                if isinstance(refused, psycopg2.Error):
                    return translate(deed, refused) or refused
                if not isinstance(refused, _RacedError):
                    return refused
            else:
                tx.execute("RELEASE SAVEPOINT one")
                return receipt
        raise AssertionError("_tries ends by raising")

    def _write(self, tx: Transaction, order: _Order, ends: dict[str, Tail]) -> Receipt:
        """Write one append in an open transaction. `ends`: of the shards this transaction has written to."""
        order.written = None
        append = order.append
        if order.tried and (landed := _landed(tx, order)):
            return landed
        tail = ends.get(append.shard) or self._tails.get(append.shard)
        if tail is None or append.key is not None or order.tried or not _fits(append, tail):
            found = _look(tx, append)
            if isinstance(found, Receipt):
                return found
            tail = found
        order.written = _insert(tx, order, tail)
        ends[append.shard] = _tail(order.written)
        return order.written

    def _remember(self, receipt: Receipt) -> None:
        with self._lock:
            self._tails[receipt.shard] = _tail(receipt)
            self._tails.move_to_end(receipt.shard)
            if len(self._tails) > TAILS:
                self._tails.popitem(last=False)

    def _forget(self, shard: str) -> None:
        with self._lock:
            self._tails.pop(shard, None)


def _tries(deed: str) -> Iterator[int]:
    """Counts tries; raises UnavailableError when others have been faster for too long."""
    end = time.monotonic() + PATIENCE_S
    for turn in count():
        yield turn
        if time.monotonic() > end:
            raise UnavailableError(f"{deed}: other writers were faster {turn + 1} times in {PATIENCE_S} s")


def _look(tx: Transaction, append: Append) -> Tail | Receipt:
    """Where the shard ends, made ready for this append; or the receipt its key has. Raises what refuses it."""
    shard, key = append.shard, append.key
    row = tx.one(LOOK, {"shard": shard, "key": key and str(key)})
    if row is None:
        if not _fits(append, Tail()):
            raise _conflict(append, Tail())
        # Another process may be doing the same: this waits for it, and the primary key of `event` decides.
        tx.execute("INSERT INTO foldlog.shard (name) VALUES (%(shard)s) ON CONFLICT DO NOTHING", {"shard": shard})
        return Tail()
    state, last_first, last_count, last_us, first, number, at_us, digest = row
    if state > SEALED:
        raise ShardPurged(f"shard {shard} was deleted")
    if key is not None and first is not None:  # before `expected`: the retry of a success is no conflict
        if bytes(digest) != append.digest:
            raise AppendKeyConflict(f"shard {shard}: key {key} recorded other facts at seq {first}")
        return Receipt(shard, first, first + number - 1, key, at_us, append.digest, duplicate=True)
    tail = Tail(last_first, last_count, last_us) if last_first is not None else Tail()
    if not _fits(append, tail):
        raise _conflict(append, tail)
    if state == SEALED:
        tx.execute("UPDATE foldlog.shard SET state = 0 WHERE name = %(shard)s AND state = 1", {"shard": shard})
    return tail


def _insert(tx: Transaction, order: _Order, tail: Tail) -> Receipt:
    shard, records, digest, _, key = order.append
    first = tail.last_seq + 1
    values = {
        "shard": shard,
        "first": first,
        "count": len(records),
        "key": str(order.key),
        "keyed": key is not None,
        "digest": digest,
        "last_first": tail.first_seq,
        "last_count": tail.length,
        "last_us": tail.at_us,
        "types": [record.type for record in records],
        "ts_us": [record.ts_us for record in records],
        "topics": [record.topics for record in records],
        "crcs": [checksum(shard, first + index, record) for index, record in enumerate(records)],
        "bodies": [record.body for record in records],
    }
    try:
        row = tx.one(INSERT, values)
    except psycopg2.errors.UniqueViolation as error:
        raise _RacedError from error
    if row is None:
        raise _RacedError
    return Receipt(shard, first, first + len(records) - 1, order.key, row[0], digest)


def _landed(tx: Transaction, order: _Order) -> Receipt | None:
    """The receipt of a commit whose answer was lost, if it did land: our key at a seq and time that we had."""
    append = order.append
    seqs = [first_seq for first_seq, _ in order.tried]
    for first, number, at_us in tx.all(LANDED, {"shard": append.shard, "seqs": seqs, "key": str(order.key)}):
        if (first, at_us) in order.tried:
            return Receipt(append.shard, first, first + number - 1, order.key, at_us, append.digest)
    return None


def _fits(append: Append, tail: Tail) -> bool:
    if append.expected is ANY:
        return True
    return tail.last_seq == (0 if append.expected is NEW else append.expected)


def _conflict(append: Append, tail: Tail) -> ConflictError:
    wanted = "it empty" if append.expected is NEW else f"seq {append.expected}"
    return ConflictError(f"shard {append.shard} is at seq {tail.last_seq}, the writer expected {wanted}")


def _tail(receipt: Receipt) -> Tail:
    return Tail(receipt.first_seq, receipt.count, receipt.at_us)
