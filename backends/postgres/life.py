"""The end of a shard: sealed, fenced, purged.

Promises: no append slips in between the look and the change; a purge frees the rows of its shard and nothing else.
"""

from __future__ import annotations

from ...engine.errors import ConflictError
from .database import Transaction
from .rows import FENCED, OPEN, PURGED, SEALED

# FOR UPDATE, and a statement of its own: it waits for appends that hold the row FOR KEY SHARE, and what they committed
# is seen by the statements after it. An UPDATE alone would pass them by.
LOCK = "SELECT shard_id, state, ordered_seq FROM foldlog.shard WHERE name = %(shard)s FOR UPDATE"
UNPLACED = "SELECT FROM foldlog.event WHERE shard_id = %(id)s AND seq > %(ordered)s LIMIT 1"
CHANGE = "UPDATE foldlog.shard SET state = %(state)s WHERE shard_id = %(id)s"

KEEP = """
INSERT INTO foldlog.kept (shard_id, seq, ts_us, topics, crc, type, body)
SELECT shard_id, seq, ts_us, topics, crc, type, body FROM foldlog.event
WHERE shard_id = %(id)s AND topics & 768 = 768
"""

# A receipt stays in the index of types for what is kept of it, and for nothing else: a page of a typed read counts on
# every receipt it finds there (typed.py).
UNINDEX = """
DELETE FROM foldlog.timeline_type i USING (
    SELECT DISTINCT e.type, t.position FROM foldlog.timeline t
    CROSS JOIN LATERAL (
        SELECT type FROM foldlog.event
        WHERE shard_id = t.shard_id AND type <> '' AND seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
        UNION ALL
        SELECT type FROM foldlog.kept
        WHERE shard_id = t.shard_id AND seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
    ) e
    WHERE t.shard_id = %(id)s AND NOT (%(keep)s AND EXISTS (
        SELECT FROM foldlog.kept k WHERE k.shard_id = t.shard_id AND k.type = e.type
        AND k.seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
    ))
) gone WHERE i.type = gone.type AND i.position = gone.position
"""


def seal(tx: Transaction, shard: str) -> bool:
    row = tx.one(LOCK, {"shard": shard})
    if row is None or row[1] not in (OPEN, SEALED):
        return False
    where = {"id": row[0], "ordered": row[2], "state": SEALED}
    if tx.one(UNPLACED, where) is not None:
        return False
    tx.execute(CHANGE, where)
    return True


def fence(tx: Transaction, shard: str) -> None:
    row = tx.one(LOCK, {"shard": shard})
    if row is not None and row[1] != PURGED:
        tx.execute(CHANGE, {"id": row[0], "state": FENCED})


def purge(tx: Transaction, shard: str, keep: bool) -> None:
    row = tx.one(LOCK, {"shard": shard})
    if row is None or row[1] not in (FENCED, PURGED):
        raise ConflictError(f"shard {shard} must be fenced before it is purged")
    where = {"id": row[0], "ordered": row[2], "state": PURGED, "keep": keep}
    if tx.one(UNPLACED, where) is not None:
        raise ConflictError(f"shard {shard} has events without a position; sequence them first")
    if keep:
        tx.execute(KEEP, where)
    tx.execute(UNINDEX, where)
    if not keep:
        tx.execute("DELETE FROM foldlog.kept WHERE shard_id = %(id)s", where)
    tx.execute("DELETE FROM foldlog.event WHERE shard_id = %(id)s", where)
    tx.execute(CHANGE, where)
