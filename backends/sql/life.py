"""The end of a shard: sealed, fenced, purged.

Promises: no append slips in between the look and the change; a purge frees the rows of its shard and nothing else.
A fence is a row, the guard: it takes the seq where the next append would go, so that the primary key refuses every
append to come and makes the fence wait for one that is under way. No append has to look at the shard's row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from ...engine.errors import ConflictError
from .dialect import Dialect, Doing
from .errors import RacedError
from .rows import FENCED, FREED, OPEN, PURGED, SEALED, Row

# FOR UPDATE: ends of a shard take turns, and its sequencer waits.
LOCK = "SELECT shard_id, state, ordered_seq, fence_seq FROM foldlog.shard WHERE name = %(shard)s FOR UPDATE"
LAST = """
SELECT e.seq + e.count - 1 FROM foldlog.event e WHERE e.shard_id = %(id)s AND e.count IS NOT NULL
ORDER BY e.seq DESC LIMIT 1
"""
CHANGE = "UPDATE foldlog.shard SET state = %(state)s WHERE shard_id = %(id)s"
FENCE = "UPDATE foldlog.shard SET state = %(state)s, fence_seq = %(fence)s WHERE shard_id = %(id)s"
GUARD = """
INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, type, body) VALUES (%(id)s, %(fence)s, 0, 0, 0, '', '')
"""

KEEP = """
INSERT INTO foldlog.kept (shard_id, seq, ts_us, topics, crc, type, body)
SELECT shard_id, seq, ts_us, topics, crc, type, body FROM foldlog.event
WHERE shard_id = %(id)s AND topics & 768 = 768 AND type <> ''
"""

KINDS = """
SELECT seq, $text(type), topics & 768 FROM foldlog.{table}
WHERE shard_id = %(id)s AND seq > %(after)s AND type <> '' ORDER BY seq LIMIT %(page)s
"""
RECEIPTS = """
SELECT first_seq, position, count FROM foldlog.timeline WHERE shard_id = %(id)s AND first_seq > %(after)s
ORDER BY first_seq LIMIT %(page)s
"""
UNINDEX = "DELETE FROM foldlog.timeline_type WHERE type = %(type)s AND position IN %(positions)s"
PAGE = 5000
KEPT = 768


def seal(tx: Doing, dialect: Dialect, shard: str) -> bool:
    """Whether the shard is sealed now. An append that commits behind this look opens it again, once it is placed."""
    row = tx.one(LOCK, {"shard": shard})
    if row is None or row[1] not in (OPEN, SEALED):
        return False
    where = {"id": row[0], "state": SEALED}
    if _last(tx, row[0]) > row[2]:
        return False
    tx.execute(CHANGE, where)
    return True


def fence(tx: Doing, dialect: Dialect, shard: str) -> None:
    """Raises RacedError if an append took the seq of the guard; then again, from the start."""
    row = tx.one(LOCK, {"shard": shard})
    if row is None or row[1] >= FENCED:
        return
    values = {"id": row[0], "state": FENCED, "fence": _last(tx, row[0]) + 1}
    try:
        tx.execute(GUARD, values)
    except dialect.error as error:
        raise (RacedError() if dialect.is_taken(error) else error) from error
    tx.execute(FENCE, values)


def _last(tx: Doing, id: int) -> int:
    row = tx.one(LAST, {"id": id})
    return row[0] if row else 0


def purge(tx: Doing, dialect: Dialect, shard: str, keep: bool) -> None:
    row = tx.one(LOCK, {"shard": shard})
    if row is None or row[1] not in (FENCED, PURGED):
        raise ConflictError(f"shard {shard} must be fenced before it is purged")
    id, state, ordered, fence = row
    if fence is None or fence - 1 > ordered:
        raise ConflictError(f"shard {shard} has events without a position; sequence them first")
    where = {"id": id, "state": PURGED, "fence": fence}
    if keep and state == FENCED:
        tx.execute(KEEP, where)
    _unindex(tx, id, keep)
    if not keep:
        dialect.forget(tx, "kept", id, None)
    dialect.forget(tx, "event", id, fence)
    tx.execute(CHANGE, where)


def _unindex(tx: Doing, id: int, keep: bool) -> None:
    """Take the types of a shard out of the index. A receipt stays there for what is kept of it, and for nothing else: a
    page of a typed read counts on every receipt it finds there (typed.py)."""
    gone: dict[str, list[int]] = {}
    for position, types in kinds_of_receipts(tx, id):
        for type, kept in types.items():
            if not (keep and kept):
                gone.setdefault(type, []).append(position)
    unindex(tx, gone)


def unindex(tx: Doing, gone: dict[str, list[int]]) -> None:
    """Take positions of types out of the index."""
    for type, positions in sorted(gone.items()):
        for start in range(0, len(positions), PAGE):
            tx.execute(UNINDEX, {"type": type, "positions": tuple(positions[start : start + PAGE])})


def kinds_of_receipts(tx: Doing, id: int) -> Iterator[tuple[int, dict[str, bool]]]:
    """Of each receipt with a position: the types it holds, and whether a record of the type is kept."""
    records = _pages(lambda after: tx.all(KINDS.replace("{table}", "event"), {"id": id, "after": after, "page": PAGE}))
    kept = _pages(lambda after: tx.all(KINDS.replace("{table}", "kept"), {"id": id, "after": after, "page": PAGE}))
    rows = chain(records, kept)  # of one shard, one of them has any
    row = next(rows, None)
    for first, position, count in _pages(lambda after: tx.all(RECEIPTS, {"id": id, "after": after, "page": PAGE})):
        types: dict[str, bool] = {}
        while row is not None and row[0] < first + count:
            if row[0] >= first and row[1] != FREED:
                types[row[1]] = types.get(row[1], False) or row[2] == KEPT
            row = next(rows, None)
        yield position, types


def _pages(page: Callable[[int], list[Row]]) -> Iterator[Row]:
    """Rows whose first column is a seq, page by page."""
    after = 0
    while rows := page(after):
        yield from rows
        after = rows[-1][0]
