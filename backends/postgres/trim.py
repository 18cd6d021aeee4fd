"""Trims: the bodies of one retention class go, up to a position, some at a time.

A freed record keeps its row: its seq, its retention class and, on the first row of an append, the receipt. Its type is
empty, its time 0, its body gone. In the same transaction the types it had leave the index, where their receipts hold
them no more.
"""

from __future__ import annotations

from typing import NamedTuple

from ...engine.log.port import RETENTION_MASK, Record, Weight
from .database import Row, Transaction
from .rows import BIGGEST, checksum

BATCH = 1000  #: records freed by one transaction
FREED = ""  #: the type of a record whose body was freed; no other has an empty one

#: the position of the receipt that holds a record with a position
PLACE = """
CROSS JOIN LATERAL (
    SELECT position, first_seq, count FROM foldlog.timeline
    WHERE shard_id = e.shard_id AND first_seq <= e.seq ORDER BY first_seq DESC LIMIT 1
) t
"""

WEIGH = f"""
SELECT e.topics & {RETENTION_MASK}, count(*), sum(octet_length(e.body))::bigint
FROM (SELECT shard_id, seq, topics, body FROM foldlog.event WHERE type <> '' UNION ALL
      SELECT shard_id, seq, topics, body FROM foldlog.kept) e
JOIN foldlog.shard s ON s.shard_id = e.shard_id {PLACE}
WHERE e.seq <= s.ordered_seq AND t.position + e.seq - t.first_seq <= %(through)s {{more}}
GROUP BY 1
"""

# FOR KEY SHARE holds off a purge of these shards, and neither appends nor the sequencer.
NEXT = f"""
SELECT e.shard_id, e.seq, s.name, e.topics, e.type, octet_length(e.body), t.position, t.first_seq, t.count
FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id {PLACE}
WHERE (e.shard_id, e.seq) > (%(shard_id)s, %(seq)s) AND e.topics & {RETENTION_MASK} = %(retention)s AND e.type <> ''
    AND e.seq <= s.ordered_seq AND t.position + e.seq - t.first_seq <= %(through)s {{more}}
ORDER BY e.shard_id, e.seq LIMIT %(limit)s FOR KEY SHARE OF s
"""

FREE = """
UPDATE foldlog.event e SET type = '', ts_us = 0, body = '', crc = v.crc
FROM unnest(%(shard_ids)s::bigint[], %(seqs)s::bigint[], %(crcs)s::bigint[]) v (shard_id, seq, crc)
WHERE e.shard_id = v.shard_id AND e.seq = v.seq AND e.type <> ''
"""

UNINDEX = """
DELETE FROM foldlog.timeline_type i USING (
    SELECT DISTINCT * FROM unnest(%(types)s::text[], %(positions)s::bigint[], %(shard_ids)s::bigint[],
        %(firsts)s::bigint[], %(counts)s::bigint[]) v (type, position, shard_id, first_seq, count)
) v WHERE i.type = v.type COLLATE "C" AND i.position = v.position
AND NOT EXISTS (SELECT FROM foldlog.event e WHERE e.shard_id = v.shard_id AND e.type = v.type COLLATE "C"
    AND e.seq BETWEEN v.first_seq AND v.first_seq + v.count - 1)
AND NOT EXISTS (SELECT FROM foldlog.kept k WHERE k.shard_id = v.shard_id AND k.type = v.type COLLATE "C"
    AND k.seq BETWEEN v.first_seq AND v.first_seq + v.count - 1)
"""

#: the number first, for it is what the rows are found by
ONE_SHARD = "AND e.shard_id = (SELECT shard_id FROM foldlog.shard WHERE name = %(shard)s)"


class Freed(NamedTuple):
    """What one transaction has freed, and where the next one goes on."""

    weight: Weight
    shard_id: int
    seq: int
    more: bool


def weigh(tx: Transaction, retention: int | None, through: int, shard: str | None) -> dict[int, Weight]:
    more = ONE_SHARD if shard is not None else ""
    if retention is not None:
        more += f" AND e.topics & {RETENTION_MASK} = %(retention)s"
    values = {"retention": retention, "through": min(through, BIGGEST), "shard": shard}
    return {kind: Weight(events, size) for kind, events, size in tx.all(WEIGH.format(more=more), values)}


def free(tx: Transaction, retention: int, through: int, shard: str | None, after: Freed | None) -> Freed:
    """Free the next records of a class past those that `after` has freed."""
    values = {
        "retention": retention,
        "through": min(through, BIGGEST),
        "shard": shard,
        "shard_id": after.shard_id if after else 0,
        "seq": after.seq if after else 0,
        "limit": BATCH,
    }
    rows = tx.all(NEXT.format(more=ONE_SHARD if shard is not None else ""), values)
    if not rows:
        return Freed(Weight(), 0, 0, False)
    tx.execute(FREE, _columns(rows))
    tx.execute(UNINDEX, _columns(rows))
    return Freed(Weight(len(rows), sum(row[5] for row in rows)), rows[-1][0], rows[-1][1], len(rows) == BATCH)


def _columns(rows: list[Row]) -> dict[str, object]:
    return {
        "shard_ids": [row[0] for row in rows],
        "seqs": [row[1] for row in rows],
        "crcs": [checksum(row[2], row[1], Record(FREED, 0, row[3], b"")) for row in rows],
        "types": [row[4] for row in rows],
        "positions": [row[6] for row in rows],
        "firsts": [row[7] for row in rows],
        "counts": [row[8] for row in rows],
    }
