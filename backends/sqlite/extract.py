"""Taking the timeline out, receipt by receipt, with all that each brings: what a copy is made from.

Not here: putting it in (ingest.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...engine.errors import CorruptLogError
from ...engine.log.port import Entry, Placed, Record, ShardState
from .files import FileCache
from .home import Home
from .order import OrderFile, Place
from .purged import kept_records, unless_purged
from .schema import SEQ_BITS, SEQ_MASK
from .shardfile import ShardFile

SIZE = "SELECT coalesce(sum(length(body)), 0) FROM event WHERE id BETWEEN ? AND ?"
KEYED = "SELECT id FROM event WHERE id BETWEEN ? AND ? AND keyed"


class _Part(NamedTuple):
    """One shard's share of a page. The receipts of a shard follow each other, so it is one range of seqs."""

    place: Place
    first: int
    last: int


class _Held(NamedTuple):
    """What a part holds."""

    first: int
    records: Sequence[Record | None]
    keyed: frozenset[int]  #: seqs at which receipts with a caller's key begin


class Extractor:
    """Reads whole entries. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        placed = [entry for entry in self._order.placed(after=after, limit=limit + 1) if entry.position > after]
        placed = _fitting(placed, limit)
        while (held := self._held(placed, size if len(placed) > 1 else None)) is None:
            placed = placed[: len(placed) // 2]
        return [_entry(one, held[one.receipt.shard]) for one in placed]

    def _held(self, placed: Sequence[Placed], room: int | None) -> dict[str, _Held] | None:
        """What the receipts' shards hold of them; None if it is more than `room` bytes, which are not exceeded."""
        held: dict[str, _Held] = {}
        for name, part in self._parts(placed).items():
            found = self._purged(part) if part.place.state is ShardState.PURGED else self._in_file(part, room)
            if found is None:
                return None
            held[name] = found
            if room is not None:
                room -= sum([len(record.body) for record in found.records if record is not None])
        return held if room is None or room >= 0 else None

    def _parts(self, placed: Sequence[Placed]) -> dict[str, _Part]:
        parts: dict[str, _Part] = {}
        for _, receipt, _ in placed:
            part = parts.get(receipt.shard)
            if part is None:
                parts[receipt.shard] = _Part(self._order.known(receipt.shard), receipt.first_seq, receipt.last_seq)
            else:
                parts[receipt.shard] = part._replace(last=receipt.last_seq)
        return parts

    def _in_file(self, part: _Part, room: int | None) -> _Held | None:
        """All that is asked of a file is asked at one visit: it may have to be opened for it."""
        place = part.place
        try:
            with self._files.use(self._home.file_of(place.name)) as file:
                return self._read(file, part, room)
        except (FileNotFoundError, CorruptLogError) as error:
            unless_purged(self._home, self._order, place, error)
            return self._purged(part)

    def _read(self, file: ShardFile, part: _Part, room: int | None) -> _Held | None:
        number = self._home.number_in_file(part.place.name, part.place.id)
        ids = (number << SEQ_BITS | part.first, number << SEQ_BITS | part.last)
        if room is not None and file.db.execute(SIZE, ids).fetchone()[0] > room:  # asked before it is read
            return None
        keyed = frozenset([row[0] & SEQ_MASK for row in file.db.execute(KEYED, ids)])
        return _Held(part.first, file.records(number, part.place.name, part.first, part.last), keyed)

    def _purged(self, part: _Part) -> _Held:
        records: list[Record | None] = [None] * (part.last - part.first + 1)
        for seq, record in kept_records(self._order, part.place, part.first, part.last):
            records[seq - part.first] = record
        return _Held(part.first, records, frozenset())


def _fitting(placed: list[Placed], limit: int) -> list[Placed]:
    """The first receipts that hold up to `limit` events, one at least."""
    events = 0
    for count, entry in enumerate(placed):
        events += entry.receipt.size
        if events > limit and count:
            return placed[:count]
    return placed


def _entry(placed: Placed, held: _Held) -> Entry:
    receipt = placed.receipt
    records = held.records[receipt.first_seq - held.first : receipt.last_seq + 1 - held.first]
    return Entry(placed, receipt.first_seq in held.keyed, records)
