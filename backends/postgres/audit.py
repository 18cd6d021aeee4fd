"""What does not add up, and how much there is. Each look is one transaction with one snapshot, so writers may go on.

Not here: mending. What can be mended, the sequencer mends as it goes; the rest is a matter of a backup.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import blake2b

from ...engine.errors import CorruptLogError
from ...engine.log.port import GENESIS, Receipt
from .database import Transaction
from .ordering import head, placed
from .rows import stored

PAGE = 1000
FEW = 10  #: findings of one kind that are listed

LAST = """
SELECT t.position + t.count - 1, t.chain, (SELECT max(number) FROM foldlog.epoch)
FROM (SELECT 1) one LEFT JOIN foldlog.timeline t ON t.position = (SELECT max(position) FROM foldlog.timeline)
"""

# The last receipt of a shard that was not purged: its first row is there, and there is news or a position for it.
LOST_NEWS = """
SELECT s.name, n.first_seq FROM foldlog.news n LEFT JOIN foldlog.shard s ON s.shard_id = n.shard_id
LEFT JOIN foldlog.event e ON e.shard_id = n.shard_id AND e.seq = n.first_seq
WHERE e.count IS NULL OR n.first_seq <= s.ordered_seq OR s.name IS NULL LIMIT %(few)s
"""

LOST_EVENTS = """
SELECT s.name, s.ordered_seq, coalesce(e.held, 0), coalesce(e.last, 0), coalesce(t.placed, 0)
FROM foldlog.shard s
LEFT JOIN (SELECT shard_id, count(*) AS held, max(seq) AS last FROM foldlog.event GROUP BY shard_id) e
    ON e.shard_id = s.shard_id
LEFT JOIN (SELECT shard_id, sum(count)::bigint AS placed FROM foldlog.timeline GROUP BY shard_id) t
    ON t.shard_id = s.shard_id
WHERE coalesce(t.placed, 0) <> s.ordered_seq
    OR (s.state <> 3 AND (coalesce(e.held, 0) <> coalesce(e.last, 0) OR coalesce(e.last, 0) < s.ordered_seq))
ORDER BY s.name LIMIT %(few)s
"""

UNTOLD = """
SELECT s.name, e.seq FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE e.count IS NOT NULL AND e.seq > s.ordered_seq
    AND NOT EXISTS (SELECT FROM foldlog.news n WHERE n.shard_id = e.shard_id AND n.first_seq = e.seq)
LIMIT %(few)s
"""

UNINDEXED = """
SELECT DISTINCT e.type, t.position FROM foldlog.timeline t
JOIN (SELECT shard_id, seq, type FROM foldlog.event WHERE type <> ''
      UNION ALL SELECT shard_id, seq, type FROM foldlog.kept) e
    ON e.shard_id = t.shard_id AND e.seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
EXCEPT SELECT type, position FROM foldlog.timeline_type LIMIT %(few)s
"""

RECORDS = """
SELECT s.name, e.seq, NULL::bigint, e.type, e.ts_us, e.topics, e.crc, e.body, e.shard_id
FROM (SELECT * FROM foldlog.{table} WHERE (shard_id, seq) > (%(id)s, %(seq)s) ORDER BY shard_id, seq LIMIT %(page)s) e
LEFT JOIN foldlog.shard s ON s.shard_id = e.shard_id ORDER BY e.shard_id, e.seq
"""

STATS = """
SELECT (SELECT count(*) FROM foldlog.shard), (SELECT position FROM foldlog.log), (SELECT count(*) FROM foldlog.news),
    (SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
     JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND c.relkind = 'r')
"""

RESTORE = "stop writing and restore the database from a backup"


def stats(tx: Transaction, schema: str) -> dict[str, int | float | str]:
    row = tx.one(STATS, {"schema": schema})
    shards, position, pending, size = row or (0, 0, 0, 0)
    return {"backend": "postgres", "shards": shards, "head": position, "pending": pending, "bytes": size}


def diagnose(tx: Transaction, full: bool) -> list[str]:
    """What does not add up, one sentence each. `full` reads the whole log, page by page."""
    checks = [_ends, _news, *((_chain, _shards, _index, _records) if full else ())]
    return [finding for check in checks for finding in check(tx)]


def _ends(tx: Transaction) -> Iterator[str]:
    now = head(tx)
    row = tx.one(LAST)
    last, chain, epoch = row or (None, None, None)
    found = (last or 0, bytes(chain) if chain is not None else GENESIS)
    if found != (now.position, now.chain):
        yield f"the head says position {now.position}, the timeline ends at {found[0]} or with another chain; {RESTORE}"
    if epoch != now.epoch:
        yield f"the head says epoch {now.epoch}, the last one recorded is {epoch}; {RESTORE}"


def _news(tx: Transaction) -> Iterator[str]:
    for shard, first in tx.all(LOST_NEWS, {"few": FEW}):
        yield f"shard {shard}: seq {first} waits for a position, but is missing or has one; {RESTORE}"


def _chain(tx: Transaction) -> Iterator[str]:
    position, chain = 0, GENESIS
    while page := placed(tx, position, PAGE):
        for entry in page:
            chain = _link(chain, entry.receipt)
            if entry.position != position + 1 or entry.chain != chain:
                yield (
                    f"the timeline is broken at position {entry.position}: the receipt of shard {entry.receipt.shard} "
                    f"does not continue what comes before it; {RESTORE}"
                )
                return  # everything behind the first break differs as well
            position = entry.last_position


def _link(chain: bytes, receipt: Receipt) -> bytes:
    """The chain after a receipt, as docs/format.md says. Written down a second time on purpose: an audit that shared
    the sequencer's code would share its mistakes. tests/test_postgres.py holds the two together."""
    where = struct.pack(">QIQ", receipt.first_seq, receipt.size, receipt.at_us)
    return blake2b(chain + receipt.digest + where + receipt.shard.encode(), digest_size=16).digest()


def _shards(tx: Transaction) -> Iterator[str]:
    for shard, ordered, held, last, given in tx.all(LOST_EVENTS, {"few": FEW}):
        yield (
            f"shard {shard} should hold seqs 1 to {max(last, ordered)}: {held} are there, {given} have positions, "
            f"{ordered} should; {RESTORE}"
        )
    for shard, first in tx.all(UNTOLD, {"few": FEW}):
        yield f"shard {shard}: seq {first} has no position and does not wait for one; {RESTORE}"


def _index(tx: Transaction) -> Iterator[str]:
    for type, position in tx.all(UNINDEXED, {"few": FEW}):
        yield f"type {type} is missing in the index at position {position}: reads by type skip it; {RESTORE}"


def _records(tx: Transaction) -> Iterator[str]:
    bad = 0
    for table in ("event", "kept"):
        here = {"id": 0, "seq": 0, "page": PAGE}
        while rows := tx.all(RECORDS.format(table=table), here):
            here |= {"id": rows[-1][-1], "seq": rows[-1][1]}
            for row in rows:
                try:
                    stored(row[:-1])
                except CorruptLogError as error:
                    yield f"{error}; {RESTORE}"
                    if (bad := bad + 1) == FEW:
                        return
