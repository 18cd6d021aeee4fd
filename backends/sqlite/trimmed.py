"""What the order knows of trims: up to which seq a shard goes, how far earlier trims came, and the index of types.

Not here: the bodies (freeing.py), the order of what is done (trim.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...engine.errors import CorruptLogError
from ...engine.log.port import ShardState
from .connect import give_back, translated
from .order import OrderFile, Place

STRETCH = 20_000  #: receipts looked at under one hold of the lock

Entry = tuple[int, str, int]  #: place.id, a type, the position of a receipt that has lost that type


class TrimmedOrder:
    """The order file, as a trim sees it. Thread-safe."""

    def __init__(self, order: OrderFile) -> None:
        self._order = order

    def last_seq(self, place: Place, position: int) -> int:
        """The last seq of a shard at a position up to this one; 0 if there is none. A search, not a scan."""
        low, high = 0, place.ordered_seq
        sql = (
            "SELECT position, first_seq, count FROM timeline WHERE shard = ? AND first_seq <= ? "
            "ORDER BY first_seq DESC LIMIT 1"
        )
        with self._order.reading() as db:
            while low < high:
                row = db.execute(sql, (place.id, (low + high + 1) // 2)).fetchone()
                if row is None:
                    raise CorruptLogError(f"{self._order.path} is damaged: receipts of {place.name} are missing")
                start, first, count = row
                if start > position:
                    high = first - 1
                elif (inside := first + position - start) < first + count - 1:
                    return int(inside)
                else:
                    low = first + count - 1
        return low

    def shards(self, after: int, through: int) -> Iterator[Place]:
        """The shards with events past one position and up to another, each once."""
        seen: set[int] = set()
        while after < through:
            with self._order.reading() as db:
                rows = db.execute(
                    "SELECT shard, position + count - 1 FROM timeline WHERE position >= "
                    "coalesce((SELECT max(position) FROM timeline WHERE position <= ?), 0) AND position <= ? "
                    "ORDER BY position LIMIT ?",
                    (after + 1, through, STRETCH),
                ).fetchall()
            if not rows or rows[-1][1] <= after:  # the receipt that ends at `after` is all that is left
                return
            after = rows[-1][1]
            new = {shard for shard, _ in rows} - seen
            seen |= new
            yield from self._order.names(new).values()

    def done(self, retention: int, place: Place | None) -> int:
        """The position up to which a class was freed before, everywhere or also in this shard."""
        names = [_mark(retention, None)] + ([_mark(retention, place)] if place else [])
        with self._order.reading() as db:
            sql = f"SELECT coalesce(max(value), 0) FROM meta WHERE name IN ({','.join('?' * len(names))})"
            (position,) = db.execute(sql, names).fetchone()
        return int(position)

    def note_done(self, retention: int, place: Place | None, position: int) -> None:
        """Note that all of a class is freed up to a position, and its storage given back."""
        sql = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
        with self._order.writing() as db:
            db.execute(sql, (_mark(retention, place), position))

    def unindex(self, entries: Iterable[Entry]) -> None:
        """Let types leave the index where their receipts hold them no more."""
        with self._order.writing() as db:
            ids = dict(db.execute("SELECT name, id FROM type").fetchall())
            purged = {}
            for shard_id, kind, position in entries:
                if shard_id not in purged:
                    row = db.execute("SELECT state FROM place WHERE id = ?", (shard_id,)).fetchone()
                    purged[shard_id] = row is None or row[0] == ShardState.PURGED.value
                if not purged[shard_id] and kind in ids:  # what a purge has kept is in the index by its doing
                    db.execute("DELETE FROM timeline_type WHERE type = ? AND position = ?", (ids[kind], position))

    def shrink(self) -> None:
        """Give the order's free pages back."""
        with self._order.lock, translated(f"shrinking {self._order.path}"):
            give_back(self._order.db)


def _mark(retention: int, place: Place | None) -> str:
    return f"trimmed:{retention}" if place is None else f"trimmed:{retention}:{place.id}"
