"""One append in an open transaction: look where its shard ends, insert it there, find it again after a lost answer.

Promises: the primary key (shard, seq) decides races, and the state of the shard is tested in the same statement; a
fenced shard takes nothing. The writer sends seqs, the server never makes them up: a statement that comes late over a
lost connection hits the primary key and is no second copy.
Not here: trying again, committing, what a process remembers (writing.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID, uuid4

import psycopg2.errors

from ...engine.errors import AppendKeyConflict, ConflictError, ShardPurged, UsageError
from ...engine.log.port import ANY, NEW, Append, Receipt
from .database import Transaction
from .rows import SEALED, checksum

TYPE_BYTES = 1000  #: of a type's name in UTF-8; an index entry of the server ends at about 2700

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
class Order:
    """One append on its way, through all its tries."""

    append: Append
    key: UUID  #: the caller's, or one of ours: by it the append is known again after a lost answer
    tried: set[tuple[int, int]] = field(default_factory=set)  #: (first_seq, at_us) of commits with a lost answer
    written: Receipt | None = None  #: by the transaction that is open

    @classmethod
    def of(cls, append: Append) -> Order:
        if not append.records:
            raise UsageError(f"shard {append.shard}: an append without events")
        return cls(append, append.key or uuid4())


class RacedError(Exception):
    """Another append took the seq, or the shard changed its state: look again."""


def look(tx: Transaction, append: Append) -> Tail | Receipt:
    """Where the shard ends, made ready for this append; or the receipt its key has. Raises what refuses it."""
    shard, key = append.shard, append.key
    row = tx.one(LOOK, {"shard": shard, "key": key and str(key)})
    if row is None:
        if not fits(append, Tail()):
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
    if not fits(append, tail):
        raise _conflict(append, tail)
    if state == SEALED:
        tx.execute("UPDATE foldlog.shard SET state = 0 WHERE name = %(shard)s AND state = 1", {"shard": shard})
    return tail


def insert(tx: Transaction, order: Order, tail: Tail) -> Receipt:
    shard, records, digest, _, key = order.append
    _check_types(shard, {record.type for record in records})
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
        raise RacedError from error
    if row is None:
        raise RacedError
    return Receipt(shard, first, first + len(records) - 1, order.key, row[0], digest)


def landed(tx: Transaction, order: Order) -> Receipt | None:
    """The receipt of a commit whose answer was lost, if it did land: our key at a seq and time that we had."""
    append = order.append
    seqs = [first_seq for first_seq, _ in order.tried]
    for first, number, at_us in tx.all(LANDED, {"shard": append.shard, "seqs": seqs, "key": str(order.key)}):
        if (first, at_us) in order.tried:
            return Receipt(append.shard, first, first + number - 1, order.key, at_us, append.digest)
    return None


def fits(append: Append, tail: Tail) -> bool:
    if append.expected is ANY:
        return True
    return tail.last_seq == (0 if append.expected is NEW else append.expected)


def _conflict(append: Append, tail: Tail) -> ConflictError:
    wanted = "it empty" if append.expected is NEW else f"seq {append.expected}"
    return ConflictError(f"shard {append.shard} is at seq {tail.last_seq}, the writer expected {wanted}")


def tail_of(receipt: Receipt) -> Tail:
    return Tail(receipt.first_seq, receipt.size, receipt.at_us)


def _check_types(shard: str, types: set[str]) -> None:
    """Refuse what the append could store and the index of types could not: the sequencer would never get past it."""
    for type in types:
        if "\0" in type or len(type.encode(errors="replace")) > TYPE_BYTES:
            raise UsageError(f"shard {shard}: type {type[:40]!r} holds a NUL, or more than {TYPE_BYTES} bytes")
