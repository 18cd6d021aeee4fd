"""Reading shards and the timeline. Each answer is one statement, so one snapshot, and checks every record it gives.

Promises: no more rows are touched than the page is long, but for what a filter of types within a shard
skips; a record that should be there and is not is damage, and is told apart from a purged one.
Not here: the timeline by type (typed.py).
"""

from __future__ import annotations

from ...engine.errors import CorruptLogError
from ...engine.log.port import Shard, Stored
from .database import Row, Transaction
from .rows import BIGGEST, PURGED, STATES, stored

# `kept` has the rows of purged shards, `event` those of all others; a row without a type was freed by a trim.
SHARD = """
WITH found AS (
    (SELECT e.seq, e.type, e.ts_us, e.topics, e.crc, e.body, s.ordered_seq, s.shard_id
     FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id
     WHERE s.name = %(shard)s AND e.type <> '' AND {where} ORDER BY e.seq {way} LIMIT %(limit)s)
    UNION ALL
    (SELECT e.seq, e.type, e.ts_us, e.topics, e.crc, e.body, s.ordered_seq, s.shard_id
     FROM foldlog.kept e JOIN foldlog.shard s ON s.shard_id = e.shard_id
     WHERE s.name = %(shard)s AND {where} ORDER BY e.seq {way} LIMIT %(limit)s)
)
SELECT %(shard)s, f.seq,
    CASE WHEN f.seq <= f.ordered_seq THEN (
        SELECT t.position + f.seq - t.first_seq FROM foldlog.timeline t
        WHERE t.shard_id = f.shard_id AND t.first_seq <= f.seq ORDER BY t.first_seq DESC LIMIT 1
    ) END,
    f.type, f.ts_us, f.topics, f.crc, f.body
FROM found f ORDER BY f.seq {way} LIMIT %(limit)s
"""

#: the receipt in which `after` lies may have events past it
START = """
coalesce((SELECT position FROM foldlog.timeline WHERE position <= %(after)s ORDER BY position DESC LIMIT 1), 0)
"""

# Positions are dense, so a page is a range of them, and every position of the range must have an answer.
TIMELINE = f"""
SELECT s.name, g.seq, t.position + g.seq - t.first_seq, coalesce(e.type, k.type), coalesce(e.ts_us, k.ts_us),
    coalesce(e.topics, k.topics), coalesce(e.crc, k.crc), coalesce(e.body, k.body), s.state
FROM foldlog.timeline t
JOIN foldlog.shard s ON s.shard_id = t.shard_id
CROSS JOIN LATERAL generate_series(
    t.first_seq + greatest(%(after)s + 1 - t.position, 0),
    t.first_seq + least(t.count - 1, %(until)s - t.position)) g (seq)
LEFT JOIN foldlog.event e ON e.shard_id = t.shard_id AND e.seq = g.seq
LEFT JOIN foldlog.kept k ON k.shard_id = t.shard_id AND k.seq = g.seq
WHERE t.position >= {START} AND t.position <= %(until)s
ORDER BY t.position, g.seq
"""

DESCRIBE = "SELECT name, state, ordered_seq FROM foldlog.shard"


def read_shard(
    tx: Transaction, shard: str, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
) -> list[Stored]:
    where = "true"
    if not newest_first:
        where = "e.seq > %(after)s"
    elif after_seq != 0:
        where = "e.seq < %(after)s"
    if types is not None:
        where += " AND e.type = ANY(%(types)s::text[])"
    sql = SHARD.format(where=where, way="DESC" if newest_first else "ASC")
    values = {"shard": shard, "after": min(after_seq, BIGGEST), "limit": limit, "types": sorted(types or ())}
    return [stored(row) for row in tx.all(sql, values)]


def read(tx: Transaction, after: int, limit: int) -> list[Stored]:
    after = min(after, BIGGEST - limit)
    return [_found(row) for row in tx.all(TIMELINE, {"after": after, "until": after + limit})]


def _found(row: Row) -> Stored:
    shard, seq, position, type, *_, state = row
    if type is not None:
        found = stored(row[:-1])
        return found if type else found._replace(record=None)
    if state == PURGED:
        return Stored(shard, seq, position, None)
    raise CorruptLogError(f"shard {shard}: seq {seq} (position {position}) is missing, and the shard was not purged")


def shards(tx: Transaction, after: str, limit: int) -> list[Shard]:
    rows = tx.all(f"{DESCRIBE} WHERE name > %(after)s ORDER BY name LIMIT %(limit)s", {"after": after, "limit": limit})
    return [Shard(name, STATES[state], ordered_seq) for name, state, ordered_seq in rows]


def find_shard(tx: Transaction, name: str) -> Shard | None:
    row = tx.one(f"{DESCRIBE} WHERE name = %(name)s", {"name": name})
    return Shard(row[0], STATES[row[1]], row[2]) if row else None
