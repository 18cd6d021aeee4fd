"""The timeline: what waits for a position, giving positions, the head, epochs.

Promises: passes are serial, whoever makes them; positions are dense and given once; what is published is durable.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import psycopg2.errors

from ...engine.errors import CorruptLogError
from ...engine.log.port import Epoch, Head, Placed, Receipt
from .database import Row, Transaction
from .rows import BIGGEST

HEAD = "SELECT log_id::text, epoch, position, chain FROM foldlog.log WHERE one = 1"

# One statement, so one snapshot: an append that is seen here was acknowledged after everything that is not (looks = 1).
# Times rise within a shard, and a receipt is written only once the one before it is committed: cut off anywhere by
# LIMIT, the answer has no gap in any shard.
PENDING = """
SELECT s.name, n.first_seq, e.count, e.key::text, n.at_us, e.digest
FROM (SELECT * FROM foldlog.news ORDER BY at_us, shard_id, first_seq LIMIT %(limit)s) n
JOIN foldlog.event e ON e.shard_id = n.shard_id AND e.seq = n.first_seq
JOIN foldlog.shard s ON s.shard_id = n.shard_id
ORDER BY n.at_us, s.name, n.first_seq
"""

PLACE = """
INSERT INTO foldlog.timeline (position, shard_id, first_seq, count, at_us, key, digest, chain)
SELECT p.position, s.shard_id, p.first_seq, p.count, p.at_us, p.key, p.digest, p.chain
FROM unnest(%(positions)s::bigint[], %(shards)s::text[], %(firsts)s::bigint[], %(counts)s::bigint[],
    %(times)s::bigint[], %(keys)s::uuid[], %(digests)s::bytea[], %(chains)s::bytea[])
    AS p (position, name, first_seq, count, at_us, key, digest, chain)
JOIN foldlog.shard s ON s.name = p.name
JOIN foldlog.event e ON e.shard_id = s.shard_id AND e.seq = p.first_seq AND e.count = p.count
"""

NEW_ROWS = "(SELECT * FROM foldlog.timeline WHERE position > %(after)s)"

INDEX = f"""
INSERT INTO foldlog.timeline_type (type, position)
SELECT DISTINCT e.type, t.position FROM {NEW_ROWS} t
JOIN foldlog.event e ON e.shard_id = t.shard_id AND e.seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
"""

SETTLE = f"""
DELETE FROM foldlog.news n USING {NEW_ROWS} t WHERE n.shard_id = t.shard_id AND n.first_seq = t.first_seq
"""

# Only where the new receipts go on exactly from the last placed one: a gap would give two orders to one shard.
ADVANCE = f"""
UPDATE foldlog.shard s SET ordered_seq = s.ordered_seq + t.sum
FROM (SELECT shard_id, min(first_seq) AS first, sum(count)::bigint AS sum, max(first_seq + count) AS next
      FROM {NEW_ROWS} t GROUP BY shard_id) t
WHERE s.shard_id = t.shard_id AND s.ordered_seq = t.first - 1 AND t.first + t.sum = t.next
"""

MOVE = """
UPDATE foldlog.log SET position = %(position)s, chain = %(chain)s WHERE one = 1 AND position = %(after)s
"""

# A receipt that begins before `after` and ends past it comes too.
PLACED = """
SELECT t.position, s.name, t.first_seq, t.count, t.key::text, t.at_us, t.digest, t.chain
FROM foldlog.timeline t JOIN foldlog.shard s ON s.shard_id = t.shard_id
WHERE t.position >= coalesce(
    (SELECT position FROM foldlog.timeline WHERE position <= %(after)s ORDER BY position DESC LIMIT 1), 0)
AND t.position + t.count - 1 > %(after)s
ORDER BY t.position LIMIT %(limit)s
"""


def head(tx: Transaction) -> Head:
    return _head(tx.one(HEAD))


def _head(row: Row | None) -> Head:
    if row is None:
        raise CorruptLogError("the table `log` has lost its one row; restore the database from a backup")
    log_id, epoch, position, chain = row
    return Head(UUID(log_id), epoch, position, bytes(chain))


def pending(tx: Transaction, limit: int) -> list[Receipt]:
    return [
        Receipt(shard, first, first + count - 1, UUID(key), at_us, bytes(digest))
        for shard, first, count, key, at_us, digest in tx.all(PENDING, {"limit": limit})
    ]


def place(tx: Transaction, placed: Sequence[Placed], after: Head) -> bool:
    # The lock is a statement of its own. At READ COMMITTED the statements after it see what its last holder committed;
    # a lock taken inside one of them would come with a snapshot from before the wait.
    now = _head(tx.one(f"{HEAD} FOR UPDATE"))
    if not placed:
        return now == after
    last = placed[-1]
    if now != after:
        # The chain covers all that was placed: where it is ours, this is a second try, and the first one has landed.
        return now == after._replace(position=last.last_position, chain=last.chain)
    where = {"after": after.position, "position": last.last_position, "chain": last.chain}
    try:
        written = tx.execute(PLACE, _columns(placed))
    except psycopg2.errors.UniqueViolation as error:
        raise CorruptLogError(
            f"a receipt behind position {after.position} already has a place: {_names(placed)}; run `foldlog doctor`"
        ) from error
    tx.execute(INDEX, where)
    settled = tx.execute(SETTLE, where)
    advanced = tx.execute(ADVANCE, where)
    moved = tx.execute(MOVE, where)
    shards = len({entry.receipt.shard for entry in placed})
    if (written, settled, advanced, moved) != (len(placed), len(placed), shards, 1):
        raise CorruptLogError(
            f"receipts to be placed behind position {after.position} are not those that wait ({_names(placed)}): "
            f"{written} of {len(placed)} are there, {settled} wait, {advanced} of {shards} shards go on without a gap"
        )
    return True


def _columns(placed: Sequence[Placed]) -> dict[str, object]:
    receipts = [entry.receipt for entry in placed]
    return {
        "positions": [entry.position for entry in placed],
        "chains": [entry.chain for entry in placed],
        "shards": [receipt.shard for receipt in receipts],
        "firsts": [receipt.first_seq for receipt in receipts],
        "counts": [receipt.size for receipt in receipts],
        "times": [receipt.at_us for receipt in receipts],
        "keys": [str(receipt.key) for receipt in receipts],
        "digests": [receipt.digest for receipt in receipts],
    }


def _names(placed: Sequence[Placed]) -> str:
    names = sorted({entry.receipt.shard for entry in placed})
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def placed(tx: Transaction, after: int, limit: int) -> list[Placed]:
    return [
        Placed(position, Receipt(shard, first, first + count - 1, UUID(key), at_us, bytes(digest)), bytes(chain))
        for position, shard, first, count, key, at_us, digest, chain in tx.all(
            PLACED, {"after": min(after, BIGGEST), "limit": limit}
        )
    ]


def epochs(tx: Transaction) -> list[Epoch]:
    rows = tx.all("SELECT number, after_position, chain, started_us, reason FROM foldlog.epoch ORDER BY number")
    return [Epoch(number, after, bytes(chain), started_us, reason) for number, after, chain, started_us, reason in rows]


def start_epoch(tx: Transaction, reason: str) -> Epoch:
    head = _head(tx.one(f"{HEAD} FOR UPDATE"))  # no sequencer moves the head while the epoch begins there
    values = {"number": head.epoch + 1, "after": head.position, "chain": head.chain, "reason": reason}
    row = tx.one(
        "INSERT INTO foldlog.epoch (number, after_position, chain, started_us, reason) VALUES (%(number)s, %(after)s, "
        "%(chain)s, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, %(reason)s) RETURNING started_us",
        values,
    )
    tx.execute("UPDATE foldlog.log SET epoch = %(number)s WHERE one = 1", values)
    return Epoch(head.epoch + 1, head.position, head.chain, row[0] if row else 0, reason)
