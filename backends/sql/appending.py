"""One append on its way: where its shard ends, what is written there, and finding it again after a lost answer.

Promises: the primary key (shard, seq) decides races. The writer sends seqs, the server never makes them up: a statement
that comes late over a lost connection hits the primary key and is no second copy. A fenced shard takes nothing: its
guard has the next seq.
Not here: trying again, committing, what a process remembers (writing.py).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple
from uuid import UUID

from ...engine.errors import AppendKeyConflict, ConflictError, ShardPurged, UsageError
from ...engine.log.port import ANY, NEW, Append, Receipt
from .dialect import Dialect, Values
from .rows import BIGGEST, SEALED, Row, checksums

TYPE_BYTES = 1000  #: of a type's name in UTF-8; an index entry of PostgreSQL ends at about 2700, of MySQL at 3072
SEPARATOR = "\n"  #: between the types of an append in its news

LOOK = """
SELECT s.shard_id, s.state, last.seq, last.count, last.at_us FROM foldlog.shard s
LEFT JOIN foldlog.event last ON last.shard_id = s.shard_id AND last.seq = (
    SELECT e.seq FROM foldlog.event e WHERE e.shard_id = s.shard_id AND e.count IS NOT NULL ORDER BY e.seq DESC LIMIT 1
)
WHERE s.name = %(shard)s
"""

LOOK_FOR_KEY = """
SELECT s.shard_id, s.state, last.seq, last.count, last.at_us, known.seq, known.count, known.at_us, known.digest
FROM foldlog.shard s
LEFT JOIN foldlog.event last ON last.shard_id = s.shard_id AND last.seq = (
    SELECT e.seq FROM foldlog.event e WHERE e.shard_id = s.shard_id AND e.count IS NOT NULL ORDER BY e.seq DESC LIMIT 1
)
LEFT JOIN foldlog.event known ON known.shard_id = s.shard_id AND $given(known)
WHERE s.name = %(shard)s
"""

LANDED = """
SELECT e.seq, e.count, e.at_us FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE s.name = %(shard)s AND e.seq IN %(seqs)s AND e.$key = %(key)s
"""

Ask = Callable[[str, Values], list[Row]]  #: a query, its values, its rows


class End(NamedTuple):
    """Where a shard ends: its last receipt, all zero where there is none. `shard_id` is None for a shard to be made."""

    shard_id: int | None
    first_seq: int = 0
    length: int = 0
    at_us: int = 0
    sure: bool = True  #: the receipt is in the shard, and not only on its way there in the same commit

    @property
    def last_seq(self) -> int:
        return self.first_seq + self.length - 1 if self.length else 0


NOWHERE = End(None)


class Keys:
    """Keys of appends that have none: unique by 8 random bytes and a counter, at half the cost of a uuid4 each."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Count anew, from another start: in a process that was forked, the other one goes on counting."""
        start = int.from_bytes(secrets.token_bytes(8), "big") << 64
        self._next = count(start).__next__

    def next(self) -> UUID:
        return UUID(int=self._next())


_keys = Keys()
os.register_at_fork(after_in_child=_keys.begin)


@dataclass(slots=True)
class Order:
    """One append through all its tries."""

    append: Append
    key: UUID  #: the caller's, or one of ours: by it the append is known again after a lost answer
    tried: set[int] = field(default_factory=set)  #: first seqs of commits with a lost answer

    @classmethod
    def of(cls, append: Append) -> Order:
        if not append.records:
            raise UsageError(f"shard {append.shard}: an append without events")
        return cls(append, append.key or _keys.next())


class Written(NamedTuple):
    """One append as it is written behind an end of its shard."""

    order: Order
    shard_id: int
    first_seq: int
    behind: End  #: must be the shard's last receipt; its `at_us` is what the new one must be past
    crcs: list[int]

    @property
    def kinds(self) -> str:
        """The types of its records, for the sequencer's index."""
        records = self.order.append.records
        if len(records) == 1:
            return records[0].type
        return SEPARATOR.join(sorted({record.type for record in records}))

    @property
    def size(self) -> int:
        """Bytes of its bodies."""
        return sum([len(record.body) for record in self.order.append.records])

    def receipt(self, at_us: int) -> Receipt:
        shard, records, digest, _, _ = self.order.append
        return Receipt(shard, self.first_seq, self.first_seq + len(records) - 1, self.order.key, at_us, digest)


def written(order: Order, end: End, shard_id: int) -> Written:
    shard, records = order.append.shard, order.append.records
    first = end.last_seq + 1
    return Written(order, shard_id, first, end, checksums(shard, first, records))


def look(ask: Ask, dialect: Dialect, append: Append) -> End | Receipt:
    """Where the shard ends; or the receipt that its key has. Raises ShardPurged, or AppendKeyConflict."""
    shard, key = append.shard, append.key
    values: dict[str, object] = {"shard": shard}
    rows = ask(LOOK, values) if key is None else ask(LOOK_FOR_KEY, {**values, "key": dialect.key(key)})
    if not rows:
        return NOWHERE
    shard_id, state, last_first, last_count, last_us, *known = rows[0]
    if state > SEALED:
        raise ShardPurged(f"shard {shard} was deleted")
    if key is not None and known[0] is not None:  # before `expected`: the retry of a success is no conflict
        first, number, at_us, digest = known
        if bytes(digest) != append.digest:
            raise AppendKeyConflict(f"shard {shard}: key {key} recorded other facts at seq {first}")
        return Receipt(shard, first, first + number - 1, key, at_us, append.digest, duplicate=True)
    return End(shard_id, last_first, last_count, last_us) if last_first is not None else End(shard_id)


def landed(ask: Ask, dialect: Dialect, order: Order) -> Receipt | None:
    """The receipt of a commit whose answer was lost, if it came through."""
    shard, _, digest, _, _ = order.append
    values = {"shard": shard, "seqs": tuple(order.tried), "key": dialect.key(order.key)}
    for first, number, at_us in ask(LANDED, values):
        return Receipt(shard, first, first + number - 1, order.key, at_us, digest)
    return None


def fits(append: Append, end: End) -> bool:
    """Whether the shard is where the writer thinks it is."""
    return append.expected is ANY or end.last_seq == (0 if append.expected is NEW else append.expected)


def check_fits(append: Append, end: End) -> None:
    if not fits(append, end):
        wanted = "it empty" if append.expected is NEW else f"seq {append.expected}"
        raise ConflictError(f"shard {append.shard} is at seq {end.last_seq}, the writer expected {wanted}")


def end_of(receipt: Receipt, shard_id: int) -> End:
    return End(shard_id, receipt.first_seq, receipt.size, receipt.at_us)


def check_records(append: Append) -> None:
    """Refuse what the append could store and the index of types could not, which the sequencer would never get past;
    and what no column holds, which would fail a whole group."""
    shard = append.shard
    for type in {record.type for record in append.records}:
        if "\0" in type or SEPARATOR in type or len(type.encode(errors="replace")) > TYPE_BYTES:
            raise UsageError(f"shard {shard}: type {type[:40]!r} has a NUL, a line's end, or over {TYPE_BYTES} bytes")
    for _, ts_us, topics, _ in append.records:
        if not -BIGGEST <= ts_us <= BIGGEST or not 0 <= topics <= BIGGEST:
            raise UsageError(f"shard {shard}: a time or topics past 64 bits: {ts_us}, {topics}")
