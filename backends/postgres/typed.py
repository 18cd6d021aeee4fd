"""Reading the timeline by type: the index of types, then the rows of the type in the receipts that it names.

Promises: each event once, in order; the work grows with the page, not with what the receipts hold beside it; a receipt
that holds no event of a type that the index promises is damage: purges and trims take types out of the index in the
transaction in which they free the events.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...engine.errors import CorruptLogError
from ...engine.log.port import Stored
from .database import Row, Transaction
from .rows import BIGGEST, stored

FIRST = 5_000  #: events that the receipts of the first statement hold, about; four times as many in each that follows
MOST = 200_000

#: the receipt in which the edge lies may have events past it
START = """
coalesce((SELECT position FROM foldlog.timeline WHERE position <= %(edge)s ORDER BY position DESC LIMIT 1), 0)
"""

# Of each type the next receipts that hold it, then of these the first, as many as hold `events` events: a page may need
# one of them or all. Each of them has a row at least, one without an event if it holds none past the edge, so that who
# goes on knows where.
_TYPED = """
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT i.position FROM unnest(%(types)s::text[]) w (type)
    CROSS JOIN LATERAL (
        SELECT position FROM foldlog.timeline_type WHERE type = w.type COLLATE "C" AND {from_here}
        ORDER BY position {way} LIMIT %(limit)s + 1
    ) i ORDER BY i.position {way} LIMIT %(limit)s + 1
), receipt AS MATERIALIZED (
    SELECT w.position, t.shard_id, t.first_seq, t.count,
        sum(t.count) OVER (ORDER BY w.position {way} ROWS UNBOUNDED PRECEDING) AS events
    FROM wanted w LEFT JOIN foldlog.timeline t ON t.position = w.position
    WHERE t.count IS NULL OR {past}
)
SELECT s.name, e.seq, r.position + e.seq - r.first_seq, e.type, e.ts_us, e.topics, e.crc, e.body,
    r.position, r.count, (SELECT max(events) FROM receipt) > r.events
FROM receipt r
LEFT JOIN foldlog.shard s ON s.shard_id = r.shard_id
LEFT JOIN LATERAL (
    SELECT seq, type, ts_us, topics, crc, body FROM foldlog.event
    WHERE shard_id = r.shard_id AND seq BETWEEN r.first_seq AND r.first_seq + r.count - 1
    UNION ALL
    SELECT seq, type, ts_us, topics, crc, body FROM foldlog.kept
    WHERE shard_id = r.shard_id AND seq BETWEEN r.first_seq AND r.first_seq + r.count - 1
) e ON e.type = ANY(%(types)s::text[]) AND r.position + e.seq - r.first_seq {bound}
WHERE r.count IS NULL OR r.events - r.count < %(events)s
ORDER BY r.position {way}, e.seq {way} LIMIT %(limit)s
"""
# A receipt that ends at the edge would be given again for ever: a row without an event, behind which to go on.
PAST = "t.position + t.count - 1 > %(edge)s"
FORWARD = _TYPED.format(from_here=f"position >= {START}", way="ASC", bound="> %(edge)s", past=PAST)
BACK = _TYPED.format(from_here="position < %(edge)s", way="DESC", bound="< %(edge)s", past="true")


class Found(NamedTuple):
    """A row of an answer: an event, or that a receipt has none on this side of the edge."""

    record: Stored | None
    position: int  #: of the receipt
    count: Any  #: of its events; None where the timeline does not have it
    more: bool  #: whether the index names receipts behind this one


def read(tx: Transaction, after: int, limit: int, types: frozenset[str]) -> list[Stored]:
    """Up to `limit` records of some types past `after`, the oldest first."""
    return _page(tx, FORWARD, min(after, BIGGEST), limit, types)


def read_back(tx: Transaction, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
    """Up to `limit` records of some types below `before`, the newest first."""
    return _page(tx, BACK, BIGGEST if before is None else min(before, BIGGEST), limit, types)


def _page(tx: Transaction, sql: str, edge: int, limit: int, types: frozenset[str]) -> list[Stored]:
    found: list[Stored] = []
    events = FIRST
    while True:
        room = limit - len(found)
        values = {"types": sorted(types), "edge": edge, "limit": room, "events": events}
        rows = [_found(row) for row in tx.all(sql, values)]
        for row in rows:
            _check(row, types, edge, newest_first=sql is BACK)
        found += [row.record for row in rows if row.record is not None]
        if len(found) == limit or not rows or (len(rows) < room and not rows[-1].more):
            return found
        edge, events = _behind(rows[-1], full=len(rows) == room, newest_first=sql is BACK), min(MOST, 4 * events)


def _found(row: Row) -> Found:
    *record, position, count, more = row
    return Found(stored(tuple(record)) if record[1] is not None else None, position, count, more)


def _check(row: Found, types: frozenset[str], edge: int, *, newest_first: bool) -> None:
    """Raise CorruptLogError for a receipt that lies on this side of the edge as a whole and does not hold what it
    should."""
    if row.record is not None:
        return
    if row.count is None:
        raise CorruptLogError(f"the receipt at position {row.position} is missing from the timeline")
    if row.position + row.count <= edge if newest_first else row.position > edge:
        kinds = " or ".join(sorted(types)[:3])
        raise CorruptLogError(f"the receipt at position {row.position} holds no {kinds}, which the index of types says")


def _behind(row: Found, *, full: bool, newest_first: bool) -> int:
    """The edge from which to go on: behind an event if the rest of its receipt may not have been given, else behind
    the receipt."""
    if full and row.record is not None and row.record.position is not None:
        return row.record.position
    return row.position if newest_first else int(row.position + row.count - 1)
