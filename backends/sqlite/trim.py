"""Trims: the bodies of one retention class go, up to a position, and their storage is given back.

The order every crash relies on: bodies, shard by shard and some at a time, each shard's file then gets shorter; the
types they had leave the index; last, the order notes how far it came. Killed in between, the index names types of
receipts that hold them no more, which reads pass over and the next call puts right.
A live file is never replaced by another: it shrinks where it lies.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ...engine.errors import CorruptLogError, UsageError
from ...engine.log.port import RETENTION_MASK, TRIMMABLE, ShardState, Weight
from . import freeing
from .files import FileCache
from .home import Home
from .order import OrderFile, Place
from .purged import unless_purged
from .schema import together_in
from .shardfile import FREED
from .trimmed import Entry, TrimmedOrder

CHUNK = 1000  #: seqs freed by one transaction: writers to that file wait for it
FLUSH = 2000  #: entries that leave the index in one transaction


class Trimming:
    """Weighs and trims. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files
        self._trimmed = TrimmedOrder(order)

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        found: dict[int, Weight] = {}
        for place, first, last in self._parts(retention, through, shard):
            for kind, events, size in self._weigh(place, first, last):
                if retention is None or kind == retention:
                    found[kind] = found.get(kind, Weight()).plus(Weight(events, size))
        return found

    def _weigh(self, place: Place, first: int, last: int) -> list[tuple[int, int, int]]:
        if place.state is not ShardState.PURGED:
            try:
                with self._files.use(self._home.file_of(place.name)) as file:
                    return freeing.weigh(file, self._home.number_in_file(place.name, place.id), first, last)
            except FileNotFoundError as error:
                unless_purged(self._home, self._order, place, error)
        kept = self._order.kept(place.id, first, last)
        return [(row[3] & RETENTION_MASK, 1, len(row[5])) for row in kept]

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        if retention not in TRIMMABLE:
            raise UsageError(f"records of retention class {retention} go with their run, or never; not by a trim")
        through = min(through, self._order.head().position)  # what is not there yet must not be noted as freed
        freed = Weight()
        gone: list[Entry] = []
        with together_in(self._home.folder):  # not while a copy is made: it would have freed what its order promises
            place = self._order.find(shard) if shard is not None else None
            for one, first, last in self._parts(retention, through, shard):
                if one.state is not ShardState.PURGED:
                    freed = freed.plus(self._trim(one, retention, first, last, gone))
                if len(gone) >= FLUSH:
                    self._trimmed.unindex(gone)
                    gone.clear()
            self._trimmed.unindex(gone)
            self._shrink_shared()
            if shard is None or place is not None:
                self._trimmed.note_done(retention, place, through)
        return freed

    def _parts(self, retention: int | None, through: int, shard: str | None) -> Iterator[tuple[Place, int, int]]:
        """The shards in question, each with its first and last seq to look at: what earlier trims did is left out."""
        if shard is None:
            after = 0 if retention is None else self._trimmed.done(retention, None)
            places = self._trimmed.shards(after, through)
        else:
            found = self._order.find(shard)
            places = iter([found] if found else [])
        for place in places:
            done = 0 if retention is None else self._trimmed.done(retention, place)
            first, last = self._trimmed.last_seq(place, done) + 1, self._trimmed.last_seq(place, through)
            if first <= last:
                yield place, first, last

    def _trim(self, place: Place, retention: int, first: int, last: int, gone: list[Entry]) -> Weight:
        kind = self._home.file_of(place.name)
        number = self._home.number_in_file(place.name, place.id)
        freed = Weight()
        try:
            for start in range(first, last + 1, CHUNK):
                end = min(start + CHUNK - 1, last)
                with self._files.use(kind) as file:
                    rows = freeing.free(file, number, place.name, retention, start, end)
                fresh = [size for _, type_, size in rows if type_ != FREED]
                freed = freed.plus(Weight(len(fresh), sum(fresh)))
                gone += self._lost_types(place, number, rows, start, end)
            if self._home.is_run_file(kind):
                with self._files.use(kind) as file:
                    file.shrink()
        except (FileNotFoundError, CorruptLogError) as error:
            unless_purged(self._home, self._order, place, error)
        return freed

    def _lost_types(
        self, place: Place, number: int, rows: list[tuple[int, str, int]], first: int, last: int
    ) -> list[Entry]:
        """Which types the receipts of freed records hold no more."""
        spans = self._order.spans_of(place.id, first, last) if rows else []
        starts = [span.first_seq for span in spans]
        had: dict[int, set[str]] = {}
        for seq, type_, _ in rows:
            had.setdefault(bisect_right(starts, seq) - 1, set()).add(type_)
        entries: list[Entry] = []
        everything = self._order.all_types() if any(FREED in types for types in had.values()) else set()
        with self._files.use(self._home.file_of(place.name)) as file:
            for at, types in had.items():
                span = spans[at]
                left = freeing.types(file, number, span.first_seq, span.first_seq + span.count - 1)
                # Freed by a call that was cut short: which types they had, nobody knows any more.
                lost = (everything if FREED in types else types) - left
                entries += [(place.id, type_, span.position) for type_ in sorted(lost)]
        return entries

    def _shrink_shared(self) -> None:
        if self._home.layout == "sharded":
            try:
                with self._files.use(self._home.shared_file()) as file:
                    file.shrink()
            except FileNotFoundError:
                pass  # there are no system shards yet
        self._trimmed.shrink()
