"""What does not add up, and how much there is. Each look is one transaction with one snapshot, so writers may go on.

Not here: mending. What can be mended, the sequencer mends as it goes; the rest is a matter of a backup.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from hashlib import blake2b
from itertools import islice

from ...engine.errors import CorruptLogError
from ...engine.log.port import GENESIS, Receipt
from .dialect import Dialect, Doing
from .life import kinds_of_receipts
from .ordering import HEAD, head, placed
from .rows import FREED, stored
from .trim import some_shards

PAGE = 1000
FEW = 10  #: findings of one kind that are listed

LAST = """
SELECT t.position + t.count - 1, t.chain, (SELECT max(e.number) FROM foldlog.epoch e)
FROM (SELECT 1 AS one) o LEFT JOIN foldlog.timeline t ON t.position = (SELECT max(b.position) FROM foldlog.timeline b)
"""

LOST_NEWS = """
SELECT $text(s.name), n.first_seq FROM foldlog.news n LEFT JOIN foldlog.shard s ON s.shard_id = n.shard_id
LEFT JOIN foldlog.event e ON e.shard_id = n.shard_id AND e.seq = n.first_seq
WHERE e.count IS NULL OR n.first_seq <= s.ordered_seq OR s.name IS NULL LIMIT %(few)s
"""

# Events are those below the guard of a fenced shard.
LOST_EVENTS = """
SELECT $text(s.name), s.ordered_seq, coalesce(e.held, 0), coalesce(e.latest, 0), coalesce(t.placed, 0)
FROM foldlog.shard s
LEFT JOIN (
    SELECT e.shard_id, count(*) AS held, max(e.seq) AS latest FROM foldlog.event e
    JOIN foldlog.shard f ON f.shard_id = e.shard_id WHERE f.fence_seq IS NULL OR e.seq < f.fence_seq GROUP BY e.shard_id
) e ON e.shard_id = s.shard_id
LEFT JOIN (SELECT shard_id, sum(count) AS placed FROM foldlog.timeline GROUP BY shard_id) t
    ON t.shard_id = s.shard_id
WHERE coalesce(t.placed, 0) <> s.ordered_seq
    OR (s.state <> 3 AND (coalesce(e.held, 0) <> coalesce(e.latest, 0) OR coalesce(e.latest, 0) < s.ordered_seq))
ORDER BY s.name LIMIT %(few)s
"""

UNGUARDED = """
SELECT $text(s.name) FROM foldlog.shard s
LEFT JOIN foldlog.event e ON e.shard_id = s.shard_id AND e.seq = s.fence_seq AND e.type = '' AND e.count IS NULL
WHERE s.state >= 2 AND e.seq IS NULL LIMIT %(few)s
"""

UNTOLD = """
SELECT $text(s.name), e.seq FROM foldlog.event e JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE e.count IS NOT NULL AND e.seq > s.ordered_seq
    AND NOT EXISTS (SELECT 1 FROM foldlog.news n WHERE n.shard_id = e.shard_id AND n.first_seq = e.seq)
LIMIT %(few)s
"""

# By type and position: by position alone, a server would go through the whole index for each shard.
INDEX = """
SELECT $text(type), position FROM foldlog.timeline_type WHERE type IN %(types)s AND position IN %(positions)s
"""
NEXT_TYPE = "SELECT $text(type) FROM foldlog.timeline_type WHERE type > %(after)s ORDER BY type LIMIT 1"

RECORDS = """
SELECT shard_id, seq, ts_us, topics, crc, $text(type), body FROM foldlog.{table}
WHERE shard_id = %(id)s AND seq > %(after)s AND (%(fence)s = 0 OR seq < %(fence)s) ORDER BY seq LIMIT %(page)s
"""
FENCES = "SELECT fence_seq FROM foldlog.shard WHERE shard_id = %(id)s"
ORPHANS = """
SELECT DISTINCT e.shard_id FROM foldlog.{table} e LEFT JOIN foldlog.shard s ON s.shard_id = e.shard_id
WHERE s.shard_id IS NULL LIMIT %(few)s
"""

COUNTS = """
SELECT (SELECT count(*) FROM foldlog.shard), (SELECT position FROM foldlog.log), (SELECT count(*) FROM foldlog.news),
    (SELECT min(at_us) FROM foldlog.news), $now
"""

RESTORE = "stop writing and restore the database from a backup"


def stats(tx: Doing, dialect: Dialect) -> dict[str, int | float | str]:
    shards, position, pending, oldest, now = tx.one(COUNTS) or (0, 0, 0, None, 0)
    lag = max(0, now - oldest) / 1e6 if oldest is not None else 0.0
    return {
        "backend": dialect.kind,
        "shards": shards,
        "head": position,
        "pending": pending,
        "oldest_pending_s": lag,
        "bytes": dialect.bytes(tx),
    }


def diagnose(tx: Doing, dialect: Dialect, full: bool) -> list[str]:
    """What does not add up, one sentence each. `full` reads the whole log, page by page."""
    checks: list[Callable[[Doing, Dialect], Iterator[str]]] = [_ends, _news]
    if full:
        checks += [_chain, _shards, _records]
    return [finding for check in checks for finding in check(tx, dialect)]


def _ends(tx: Doing, dialect: Dialect) -> Iterator[str]:
    now = head(dialect, tx.all(HEAD))
    row = tx.one(LAST)
    last, chain, epoch = row or (None, None, None)
    found = (last or 0, bytes(chain) if chain is not None else GENESIS)
    if found != (now.position, now.chain):
        yield f"the head says position {now.position}, the timeline ends at {found[0]} or with another chain; {RESTORE}"
    if epoch != now.epoch:
        yield f"the head says epoch {now.epoch}, the last one recorded is {epoch}; {RESTORE}"


def _news(tx: Doing, dialect: Dialect) -> Iterator[str]:
    for shard, first in tx.all(LOST_NEWS, {"few": FEW}):
        yield f"shard {shard}: seq {first} waits for a position, but is missing or has one; {RESTORE}"


def _chain(tx: Doing, dialect: Dialect) -> Iterator[str]:
    position, chain = 0, GENESIS
    while True:
        try:
            page = placed(tx, dialect, position, PAGE)
        except CorruptLogError as error:
            yield f"{error}; {RESTORE}"
            return
        for entry in page:
            chain = _link(chain, entry.receipt)
            if entry.position != position + 1 or entry.chain != chain:
                yield (
                    f"the timeline is broken at position {entry.position}: the receipt of shard {entry.receipt.shard} "
                    f"does not continue what comes before it; {RESTORE}"
                )
                return  # everything behind the first break differs as well
            position = entry.last_position
        if not page:
            return


def _link(chain: bytes, receipt: Receipt) -> bytes:
    """The chain after a receipt, as docs/format.md says. Written down a second time on purpose: an audit that shared
    the sequencer's code would share its mistakes. tests/sql hold the two together."""
    where = struct.pack(">QIQ", receipt.first_seq, receipt.size, receipt.at_us)
    return blake2b(chain + receipt.digest + where + receipt.shard.encode(), digest_size=16).digest()


def _shards(tx: Doing, dialect: Dialect) -> Iterator[str]:
    for shard, ordered, held, last, given in tx.all(LOST_EVENTS, {"few": FEW}):
        yield (
            f"shard {shard} should hold seqs 1 to {max(last, ordered)}: {held} are there, {given} have positions, "
            f"{ordered} should; {RESTORE}"
        )
    for shard, first in tx.all(UNTOLD, {"few": FEW}):
        yield f"shard {shard}: seq {first} has no position and does not wait for one; {RESTORE}"
    for (shard,) in tx.all(UNGUARDED, {"few": FEW}):
        yield f"shard {shard} was deleted, and lacks the row that refuses late appends; {RESTORE}"


def _records(tx: Doing, dialect: Dialect) -> Iterator[str]:
    """Each record against its checksum, and the index of types against the records."""
    for table in ("event", "kept"):
        for (id,) in tx.all(ORPHANS.replace("{table}", table), {"few": FEW}):
            yield f"table {table} holds records of shard number {id}, which is not there; {RESTORE}"
    bad, after, types = 0, 0, _types(tx)
    while page := some_shards(tx, after, None):
        for id, name in page:
            for finding in (*_bodies(tx, dialect, id, name), *_index(tx, id, types)):
                yield finding
                if (bad := bad + 1) == FEW:
                    return
        after = page[-1][0]


def _bodies(tx: Doing, dialect: Dialect, id: int, name: str) -> Iterator[str]:
    fence = (tx.one(FENCES, {"id": id}) or (None,))[0] or 0
    for table, end in (("event", fence), ("kept", 0)):
        where = {"id": id, "after": 0, "fence": end, "page": PAGE}
        while True:
            rows = dialect.events(tx, RECORDS.replace("{table}", table), where)
            for _, seq, *rest in rows:
                try:
                    stored((name, seq, None, *rest))
                except CorruptLogError as error:
                    yield f"{error}; {RESTORE}"
            if not rows:
                break
            where["after"] = rows[-1][1]


def _types(tx: Doing) -> tuple[str, ...]:
    """All types in the index."""
    types = [""]
    while row := tx.one(NEXT_TYPE, {"after": types[-1]}):
        types.append(row[0])
    return tuple(types)


def _index(tx: Doing, id: int, types: tuple[str, ...]) -> Iterator[str]:
    receipts = kinds_of_receipts(tx, id)
    while True:
        some = list(islice(receipts, PAGE))
        if not some:
            return
        wanted = {(type, position) for position, held in some for type in held if type != FREED}
        there = set(tx.all(INDEX, {"types": types, "positions": tuple(position for position, _ in some)}))
        for type, position in sorted(wanted - there)[:FEW]:
            yield f"type {type} is missing in the index at position {position}: reads by type skip it; {RESTORE}"
        for type, position in sorted(there - wanted)[:FEW]:
            yield f"the index of types promises {type} at position {position}, where there is none; {RESTORE}"
