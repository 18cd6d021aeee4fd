"""Reading: shards, and the timeline from the files its receipts point into.

Not here: what is pending (look.py), what the order says (order.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from ...engine.errors import CorruptLogError
from ...engine.log.port import Record, Shard, ShardState, Stored
from .files import FileCache
from .home import Home
from .order import OrderFile, Place, Span
from .shardfile import checked


class Reader:
    """The reading half of the backend. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        if types is None:
            return self._events(self._order.spans(after=after, limit=limit), after=after, limit=limit, types=None)
        found: list[Stored] = []
        while len(found) < limit:
            spans = self._order.typed_spans(after=after, limit=limit, types=types)
            found += self._events(spans, after=after, limit=limit - len(found), types=types)
            if len(spans) < limit:
                break
            # What matched may lie before `after`, or was purged meanwhile: a short page would say that nothing is left.
            after = spans[-1].position + spans[-1].count - 1
        return found

    def _events(self, spans: list[Span], *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        """The events of placed receipts in order: each shard's part is read at once, then dealt out."""
        places = self._order.names({span.shard_id for span in spans})
        held = self._held(spans, places, types)
        found: list[Stored] = []
        for position, shard_id, first_seq, count in spans:
            name = places[shard_id].name
            records = held[shard_id]
            skip = max(0, after + 1 - position)
            for offset in range(skip, count):
                record = records.get(first_seq + offset)
                if types is None or record is not None:
                    found.append(Stored(name, first_seq + offset, position + offset, record))
                    if len(found) == limit:
                        return found
        return found

    def _held(
        self, spans: list[Span], places: dict[int, Place], types: frozenset[str] | None
    ) -> dict[int, dict[int, Record]]:
        """The records of the spans, by shard id and seq; purged ones are not there."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for _, shard_id, first, count in spans:
            of_shard = ranges.setdefault(shard_id, [])
            if of_shard and of_shard[-1][1] + 1 == first:  # neighbours are read at once
                of_shard[-1] = (of_shard[-1][0], first + count - 1)
            else:
                of_shard.append((first, first + count - 1))
        return {
            shard_id: {
                seq: record
                for first, last in of_shard
                for seq, record in self._range(places[shard_id], first, last)
                if types is None or record.type in types
            }
            for shard_id, of_shard in ranges.items()
        }

    def _range(self, place: Place, first: int, last: int) -> list[tuple[int, Record]]:
        """A shard's records with seqs `first` to `last`; of a purged one, the kept among them."""
        if place.state is not ShardState.PURGED:
            number = self._home.number_in_file(place.name, place.id)
            try:
                with self._files.use(self._home.file_of(place.name)) as file:
                    return list(enumerate(file.records(number, place.name, first, last), start=first))
            except (FileNotFoundError, CorruptLogError) as error:
                self._unless_purged(place, error)
        return self._kept(place, first, last)

    def _purged_now(self, place: Place) -> bool:
        now = self._order.find(place.name)
        return now is not None and now.state is ShardState.PURGED

    def _unless_purged(self, place: Place, error: Exception) -> None:
        """Return if the shard was purged while it was being read; else the error stands."""
        if not self._purged_now(place):
            if isinstance(error, FileNotFoundError):
                path = self._home.file_of(place.name).path
                raise CorruptLogError(f"{path} is missing, yet events of shard {place.name} were recorded") from error
            raise error

    def _kept(self, place: Place, first: int, last: int) -> list[tuple[int, Record]]:
        path, name = self._order.path, place.name
        rows = self._order.kept(place.id, first, last)
        return [(row[0], checked(path, name, row)) for row in rows]

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        place = self._order.find(shard)
        if place is None:
            return []
        found = self._scan(place, after_seq, limit, types, newest_first)
        if not found:
            return []
        seqs = (found[0][0], found[-1][0])
        spans = self._order.spans_of(place.id, min(seqs), max(seqs))
        positions = _positions(spans, min(seqs), max(seqs))
        if newest_first:
            positions.reverse()
        if len(positions) > len(found):  # only some types: there are seqs in between
            at = dict(zip(range(seqs[0], seqs[1] + (-1 if newest_first else 1), -1 if newest_first else 1), positions))
            positions = [at[seq] for seq, _ in found]
        new = tuple.__new__
        return [new(Stored, (shard, seq, at, record)) for (seq, record), at in zip(found, positions, strict=True)]

    def _scan(
        self, place: Place, after: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[tuple[int, Record]]:
        if place.state is not ShardState.PURGED:
            number = self._home.number_in_file(place.name, place.id)
            try:
                with self._files.use(self._home.file_of(place.name)) as file:
                    found = file.scan(
                        number, place.name, after=after, limit=limit, types=types, newest_first=newest_first
                    )
                if found or not self._purged_now(place):
                    return found
            except FileNotFoundError as error:
                if not place.ordered_seq:
                    return []  # announced, not yet written
                self._unless_purged(place, error)
        first, last = (1, after - 1 if after else place.ordered_seq) if newest_first else (after + 1, place.ordered_seq)
        kept = [(seq, record) for seq, record in self._kept(place, first, last) if types is None or record.type in types]
        return (kept[::-1] if newest_first else kept)[:limit]

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        found: list[Shard] = []
        while len(found) < limit:
            page = self._order.page(after=after, limit=limit)
            found += [Shard(p.name, p.state, p.ordered_seq) for p in page if self._written(p)]
            if len(page) < limit:
                break
            after = page[-1].name
        return found[:limit]

    def find_shard(self, name: str) -> Shard | None:
        place = self._order.find(name)
        return Shard(name, place.state, place.ordered_seq) if place and self._written(place) else None

    def _written(self, place: Place) -> bool:
        """Whether a shard holds anything; a row without events is the trace of a writer that got no further."""
        if place.ordered_seq or place.state is not ShardState.OPEN:
            return True
        try:
            with self._files.use(self._home.file_of(place.name)) as file:
                return file.end(self._home.number_in_file(place.name, place.id)).seq > 0
        except FileNotFoundError:
            return False


def _positions(spans: list[Span], first: int, last: int) -> list[int | None]:
    """The positions of the seqs `first` to `last`, from the spans that hold them; None past the last span."""
    positions: list[int | None] = []
    for position, _, first_seq, count in spans:
        skip = max(0, first - first_seq)
        positions += range(position + skip, position + count)
    del positions[last - first + 1 :]
    return positions + [None] * (last - first + 1 - len(positions))
