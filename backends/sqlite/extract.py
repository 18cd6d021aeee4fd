"""Taking the timeline out, receipt by receipt, with all that each brings: what a copy is made from.

Not here: putting it in (ingest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...engine.log.port import Entry, Placed, Record, ShardState
from .files import FileCache
from .home import Home
from .order import OrderFile, Place
from .purged import unless_purged
from .read import Reader
from .schema import SEQ_BITS, SEQ_MASK


class _Part(NamedTuple):
    """One shard's share of a page. The receipts of a shard follow each other, so it is one range of seqs."""

    place: Place
    first: int
    last: int


class Extractor:
    """Reads whole entries. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache, reader: Reader) -> None:
        self._home = home
        self._order = order
        self._files = files
        self._reader = reader

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        placed = [entry for entry in self._order.placed(after=after, limit=limit + 1) if entry.position > after]
        placed = _fitting(placed, limit)
        parts = self._parts(placed)
        while len(placed) > 1 and sum(map(self._bytes, parts.values())) > size:
            placed = placed[: len(placed) // 2]  # what it holds is asked before it is read: memory is bounded
            parts = self._parts(placed)
        records = {name: self._reader.part_of(part.place, part.first, part.last) for name, part in parts.items()}
        keyed = {name: self._keyed(part) for name, part in parts.items()}
        return [_entry(one, parts[one.receipt.shard].first, records, keyed) for one in placed]

    def _parts(self, placed: Sequence[Placed]) -> dict[str, _Part]:
        parts: dict[str, _Part] = {}
        for _, receipt, _ in placed:
            part = parts.get(receipt.shard)
            if part is None:
                place = self._order.known(receipt.shard)
                parts[receipt.shard] = _Part(place, receipt.first_seq, receipt.last_seq)
            else:
                parts[receipt.shard] = part._replace(last=receipt.last_seq)
        return parts

    def _bytes(self, part: _Part) -> int:
        """Bytes of the bodies of a part."""
        sql = "SELECT coalesce(sum(length(body)), 0) FROM event WHERE id BETWEEN ? AND ?"
        return sum(row[0] for row in self._ask(part, sql))

    def _keyed(self, part: _Part) -> frozenset[int]:
        """The seqs at which receipts with a caller's key begin."""
        sql = "SELECT id FROM event WHERE id BETWEEN ? AND ? AND keyed"
        return frozenset([row[0] & SEQ_MASK for row in self._ask(part, sql)])

    def _ask(self, part: _Part, sql: str) -> list[tuple[int]]:
        """Rows about the events of a part in the shard's file; none of a purged shard, which has none there."""
        place = part.place
        if place.state is ShardState.PURGED:
            return []
        base = self._home.number_in_file(place.name, place.id) << SEQ_BITS
        try:
            with self._files.use(self._home.file_of(place.name)) as file:
                return file.db.execute(sql, (base + part.first, base + part.last)).fetchall()
        except FileNotFoundError as error:
            unless_purged(self._home, self._order, place, error)
            return []


def _fitting(placed: list[Placed], limit: int) -> list[Placed]:
    """The first receipts that hold up to `limit` events, one at least."""
    events = 0
    for count, entry in enumerate(placed):
        events += entry.receipt.size
        if events > limit and count:
            return placed[:count]
    return placed


def _entry(
    placed: Placed, start: int, records: dict[str, Sequence[Record | None]], keyed: dict[str, frozenset[int]]
) -> Entry:
    receipt = placed.receipt
    part = records[receipt.shard][receipt.first_seq - start : receipt.last_seq + 1 - start]
    return Entry(placed, receipt.first_seq in keyed[receipt.shard], part)
