"""Reading: shards, and the timeline from the files its receipts point into.

Not here: the timeline by type (typed.py), what is pending (look.py), what the order says (order.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from ...engine.errors import CorruptLogError
from ...engine.log.port import Record, Shard, ShardState, Stored
from .files import FileCache
from .home import Home
from .order import OrderFile, Place, Span
from .purged import kept_records, unless_purged
from .unknown import check_unknown


class Reader:
    """The reading half of the backend. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def read(self, *, after: int, limit: int) -> list[Stored]:
        """Up to `limit` records of the timeline past `after`, dense."""
        spans = self._order.spans(after=after, limit=limit)
        places = self._order.names({span.shard_id for span in spans})
        starts, held = self._parts(spans, places)
        found: list[Stored] = []
        new = tuple.__new__  # half the cost of Stored(...), once an event
        for position, shard_id, first_seq, count in spans:
            name, skip = places[shard_id].name, max(0, after + 1 - position)
            begin = first_seq - starts[shard_id]
            seq, here = first_seq + skip, position + skip
            for record in held[shard_id][begin + skip : begin + count]:
                found.append(new(Stored, (name, seq, here, record)))
                seq += 1
                here += 1
        del found[limit:]
        return found

    def _parts(
        self, spans: list[Span], places: dict[int, Place]
    ) -> tuple[dict[int, int], dict[int, Sequence[Record | None]]]:
        """Each shard's part of the spans, read at once: its first seq and its records, None where purged.

        The receipts of a shard follow each other on the timeline without a gap, so its part is one range of seqs.
        """
        starts: dict[int, int] = {}
        ends: dict[int, int] = {}
        for _, shard_id, first, count in spans:
            if starts.setdefault(shard_id, first) != first and ends[shard_id] + 1 != first:
                name, path = places[shard_id].name, self._order.path
                raise CorruptLogError(f"{path} is damaged: seq {first} of {name} is on the timeline out of its turn")
            ends[shard_id] = first + count - 1
        held = {shard_id: self._range(places[shard_id], start, ends[shard_id]) for shard_id, start in starts.items()}
        return starts, held

    def _range(self, place: Place, first: int, last: int) -> Sequence[Record | None]:
        """A shard's records with seqs `first` to `last`, all of them; None where purged."""
        if place.state is not ShardState.PURGED:
            number = self._home.number_in_file(place.name, place.id)
            try:
                with self._files.use(self._home.file_of(place.name)) as file:
                    return file.records(number, place.name, first, last)
            except (FileNotFoundError, CorruptLogError) as error:
                unless_purged(self._home, self._order, place, error)
        part: list[Record | None] = [None] * (last - first + 1)
        for seq, record in kept_records(self._order, place, first, last):
            part[seq - first] = record
        return part

    @staticmethod
    def _lacks(
        place: Place,
        found: Sequence[tuple[int, Record]],
        after: int,
        limit: int,
        types: frozenset[str] | None,
        newest_first: bool,
    ) -> bool:
        """Whether less was found of a shard than its ordered seqs promise; of some types alone, nobody can tell."""
        if len(found) == limit:
            return False
        if types is not None:
            return not found and place.state is ShardState.FENCED  # about to be purged: look again
        if newest_first:
            top = after - 1 if after else place.ordered_seq
            return (
                (found[0][0] < min(top, place.ordered_seq) or found[-1][0] != 1)
                if found
                else min(top, place.ordered_seq) > 0
            )
        return max(found[-1][0] if found else after, after) < place.ordered_seq

    def _purged_now(self, place: Place) -> bool:
        now = self._order.find(place.name)
        return now is not None and now.state is ShardState.PURGED

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        place = self._order.find(shard)
        if place is None:
            check_unknown(self._home, self._order, self._files, shard)
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
            positions = [positions[abs(seq - seqs[0])] for seq, _ in found]
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
                    if not self._lacks(place, found, after, limit, types, newest_first):
                        return found
                    first, last = _promised(place, after, newest_first)
                    if file.holds(number, first, last):  # what was not found was freed, or is of other types
                        return found
                if not self._purged_now(place):
                    path = self._home.file_of(place.name).path
                    raise CorruptLogError(
                        f"{path} lacks events of shard {place.name}, of which {place.ordered_seq} are on the timeline: "
                        "it was damaged, or an older copy was put there"
                    )
            except FileNotFoundError as error:
                if not place.ordered_seq:
                    return []  # announced, not yet written
                unless_purged(self._home, self._order, place, error)
        first, last = _promised(place, after, newest_first)
        kept = kept_records(self._order, place, first, last, types)
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


def _promised(place: Place, after: int, newest_first: bool) -> tuple[int, int]:
    """The first and last seq past `after` that have positions."""
    if newest_first:
        return 1, min(after - 1, place.ordered_seq) if after else place.ordered_seq
    return after + 1, place.ordered_seq


def _positions(spans: list[Span], first: int, last: int) -> list[int | None]:
    """The positions of the seqs `first` to `last`, from the spans that hold them; None past the last span."""
    positions: list[int | None] = []
    for position, _, first_seq, count in spans:
        skip = max(0, first - first_seq)
        positions += range(position + skip, position + count)
    del positions[last - first + 1 :]
    return positions + [None] * (last - first + 1 - len(positions))
