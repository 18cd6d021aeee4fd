"""Trims: the bodies of one retention class go, up to a position, some at a time.

A freed record keeps its row: its seq, its retention class and, on the first row of an append, the receipt. Its type is
empty, its time 0, its body gone. In the same transaction the types it had leave the index, where their receipts hold
them no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...engine.log.port import RETENTION_MASK, Record, Weight
from .dialect import Dialect, Doing
from .life import unindex
from .ordering import KINDS_OF
from .rows import BIGGEST, FREED, PURGED, Row, checksum

BATCH = 1000  #: records looked at by one transaction
SHARDS = "SELECT shard_id, $text(name) FROM foldlog.shard WHERE shard_id > %(after)s ORDER BY shard_id LIMIT 1000"
ONE = "SELECT shard_id, $text(name) FROM foldlog.shard WHERE name = %(shard)s"

#: the last seq of a shard at a position up to `through`
UPTO = """
SELECT t.first_seq, t.position, t.count FROM foldlog.timeline t
WHERE t.shard_id = %(id)s AND t.first_seq = (
    SELECT max(b.first_seq) FROM foldlog.timeline b WHERE b.shard_id = %(id)s AND b.position <= %(through)s)
"""

WEIGH = f"""
SELECT e.topics & {RETENTION_MASK}, count(*), sum($size(e)) FROM foldlog.{{table}} e
WHERE e.shard_id = %(id)s AND e.seq <= %(last)s AND e.type <> '' GROUP BY e.topics & {RETENTION_MASK}
"""

#: up to the head, in one statement
WEIGH_ALL = f"""
SELECT e.topics & {RETENTION_MASK}, count(*), sum($size(e)) FROM foldlog.{{table}} e
JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE e.seq <= s.ordered_seq AND e.type <> '' GROUP BY e.topics & {RETENTION_MASK}
"""

# The lock holds off a purge of the shard, and neither appends nor, for long, the sequencer.
LOCK = "SELECT state FROM foldlog.shard WHERE shard_id = %(id)s FOR UPDATE"
NEXT = f"""
SELECT e.seq, $text(e.type), e.topics, $size(e), e.topics & {RETENTION_MASK} FROM foldlog.event e
WHERE e.shard_id = %(id)s AND e.seq > %(after)s AND e.seq <= %(last)s ORDER BY e.seq LIMIT {BATCH}
"""
RECEIPTS = """
SELECT first_seq, position, count FROM foldlog.timeline
WHERE shard_id = %(id)s AND first_seq <= %(last)s AND first_seq >= coalesce(
    (SELECT max(b.first_seq) FROM foldlog.timeline b WHERE b.shard_id = %(id)s AND b.first_seq <= %(first)s), 0)
"""
#: of receipts, the types that they still hold
HOLD = KINDS_OF


class Freed(NamedTuple):
    """What one transaction has freed, and where the next one goes on in the shard."""

    weight: Weight
    seq: int
    last: int  #: the seq up to which the shard is trimmed; to find it may take as long as to free a batch
    more: bool


def last_seq(tx: Doing, id: int, through: int) -> int:
    """The last seq of a shard that has a position up to `through`; 0 if none has."""
    row = tx.one(UPTO, {"id": id, "through": min(through, BIGGEST)})
    return row[0] + min(row[2], through - row[1] + 1) - 1 if row else 0


def some_shards(tx: Doing, after: int, shard: str | None) -> Sequence[Row]:
    """Numbers and names of the next shards; of one, that."""
    if shard is not None:
        return tx.all(ONE, {"shard": shard}) if not after else []
    return tx.all(SHARDS, {"after": after})


def weigh(tx: Doing, retention: int | None, through: int, shard: str | None) -> dict[int, Weight]:
    found: dict[int, Weight] = {}
    for kind, events, size in _weights(tx, through, shard):
        if retention is None or kind == retention:
            found[kind] = found.get(kind, Weight()).plus(Weight(int(events), int(size)))
    return found


def _weights(tx: Doing, through: int, shard: str | None) -> Iterator[Row]:
    head = tx.one("SELECT position FROM foldlog.log")
    if shard is None and head is not None and through >= head[0]:
        for table in ("event", "kept"):
            yield from tx.all(WEIGH_ALL.replace("{table}", table))
        return
    for id, _ in _all_shards(tx, shard):
        last = last_seq(tx, id, through)
        for table in ("event", "kept") if last else ():
            yield from tx.all(WEIGH.replace("{table}", table), {"id": id, "last": last})


def _all_shards(tx: Doing, shard: str | None) -> Iterator[Row]:
    after = 0
    while page := some_shards(tx, after, shard):
        yield from page
        after = page[-1][0]


def free(
    tx: Doing, dialect: Dialect, shard: tuple[int, str], retention: int, through: int, done: Freed | None
) -> Freed:
    """Free the next records of a class in a shard, behind those that are `done`."""
    id, name = shard
    row = tx.one(LOCK, {"id": id})
    after, last = (done.seq, done.last) if done else (0, last_seq(tx, id, through))
    if row is None or row[0] == PURGED or last <= after:
        return Freed(Weight(), after, last, False)
    rows = tx.all(NEXT, {"id": id, "after": after, "last": last})
    going = [row for row in rows if row[4] == retention and row[1] != FREED]
    if going:
        crcs = {row[0]: checksum(name, row[0], Record(FREED, 0, row[2], b"")) for row in going}
        dialect.free(tx, id, crcs)
        _unindex(tx, id, going)
    seq = rows[-1][0] if rows else last
    return Freed(Weight(len(going), sum(int(row[3]) for row in going)), seq, last, len(rows) == BATCH)


def _unindex(tx: Doing, id: int, going: Sequence[Row]) -> None:
    """Take the types of freed records out of the index where their receipts hold them no more."""
    types = {row[0]: row[1] for row in going}
    first, last = going[0][0], going[-1][0]
    gone: dict[str, list[int]] = {}
    for begin, position, count in tx.all(RECEIPTS, {"id": id, "first": first, "last": last}):
        had = {types[seq] for seq in range(max(begin, first), min(begin + count - 1, last) + 1) if seq in types}
        if had and count > 1:
            had -= {type for (type,) in tx.all(HOLD, {"id": id, "first": begin, "last": begin + count - 1})}
        for type in had:
            gone.setdefault(type, []).append(position)
    unindex(tx, gone)
