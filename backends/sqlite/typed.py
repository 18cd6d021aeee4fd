"""Reading the timeline by type: looks only into receipts that hold an event of it, and takes only the rows of it.

Promises: each event once, in order, whatever is purged or trimmed meanwhile; the work grows with the page, not with
the runs or the events there are; a receipt that holds no event of a type that the order promises is damage, and is
told apart from one that was purged or trimmed. Rows of other types are not looked at: that they are there and whole is
checked by reads of all types, and by `foldlog doctor --full`.
Not here: reads of all types (read.py), the index of types (order.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from operator import itemgetter
from typing import NamedTuple

from ...engine.errors import CorruptLogError
from ...engine.log.port import Record, ShardState, Stored
from .files import FileCache
from .home import Home
from .order import OrderFile, Place, Span
from .purged import kept_records, unless_purged

MAX_INT = 2**63 - 1  #: the greatest number that SQLite holds
RECEIPTS = 32  #: asked of the order at first; then four times as many each time, up to the page's limit
FIRST = 256  #: events looked through at first; how many of them match tells how far to look for the rest
MOST = 10_000  #: events looked through before what was found is counted: how many a page holds in memory beside its own
GAP = 200  #: seqs between two receipts of a shard that are passed over sooner than another statement is run

_POSITION = itemgetter(2)


class Asked(NamedTuple):
    """One question: which types, from where, which way."""

    types: frozenset[str]
    edge: int  #: the position next to the first one that may be found
    newest_first: bool

    def part(self, span: Span) -> Span:
        """What of a receipt lies on this side of the edge."""
        position, shard_id, first, count = span
        if self.newest_first:
            room = self.edge - position
            return Span(position, shard_id, first, room) if room < count else span
        skip = self.edge + 1 - position
        return Span(position + skip, shard_id, first + skip, count - skip) if skip > 0 else span


class TypedReader:
    """The half of reading that goes by type. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def read(self, *, after: int, limit: int, types: frozenset[str]) -> list[Stored]:
        """Up to `limit` records of some types past `after`, the oldest first."""
        return self._page(Asked(types, min(after, MAX_INT - 1), False), limit)

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        """Up to `limit` records of some types below `before`, the newest first."""
        return self._page(Asked(types, MAX_INT if before is None else min(before, MAX_INT), True), limit)

    def _page(self, asked: Asked, limit: int) -> list[Stored]:
        found: list[Stored] = []
        spans = self._spans(asked, limit)
        looked, events = 0, FIRST
        # What the index named may have been purged meanwhile: a page is full, or there are no more receipts.
        while len(found) < limit and (some := _take(spans, limit - len(found), events)):
            found += self._matches(asked, some, limit - len(found))
            looked += sum(span.count for span in some)
            events = max(FIRST, min(MOST, (limit - len(found)) * looked // max(1, len(found))))
        return found[:limit]

    def _spans(self, asked: Asked, limit: int) -> Iterator[Span]:
        """The receipts in question in the order asked for, fetched as they are needed."""
        types, edge, some = asked.types, asked.edge, min(limit, RECEIPTS)
        while True:
            if asked.newest_first:
                spans = self._order.typed_spans_back(before=edge, limit=some, types=types)
            else:
                spans = self._order.typed_spans(after=edge, limit=some, types=types)
            yield from spans
            if len(spans) < some:
                return
            last = spans[-1]
            edge, some = last.position if asked.newest_first else last.position + last.count - 1, min(limit, 4 * some)

    def _matches(self, asked: Asked, spans: list[Span], limit: int) -> list[Stored]:
        """What some receipts hold, in the order asked for; of each shard up to `limit` records."""
        of_shards: dict[int, list[Span]] = {}
        for span in spans:
            of_shards.setdefault(span.shard_id, []).append(span)
        places = self._order.names(of_shards)
        found: list[Stored] = []
        for shard_id, own in of_shards.items():
            found += self._of_shard(asked, places[shard_id], own, limit)
        if len(of_shards) > 1:
            found.sort(key=_POSITION, reverse=asked.newest_first)
        return found

    def _of_shard(self, asked: Asked, place: Place, spans: list[Span], limit: int) -> list[Stored]:
        parts = [asked.part(span) for span in spans]
        for one, other in pairwise(parts[::-1] if asked.newest_first else parts):
            if one.first_seq + one.count > other.first_seq:
                at = f"seq {other.first_seq} of {place.name}"
                raise CorruptLogError(f"{self._order.path} is damaged: {at} is on the timeline out of its turn")
        records = self._records(asked, place, _ranges(parts, asked.newest_first), limit)
        found: list[Stored] = []
        without: list[Span] = []
        left = iter(records)
        record = next(left, None)
        new, name = tuple.__new__, place.name  # half the cost of Stored(...), once an event
        for span, (position, _, first, count) in zip(spans, parts, strict=True):
            before, last = len(found), first + count - 1
            while record is not None and (record[0] >= first if asked.newest_first else record[0] <= last):
                seq = record[0]
                if first <= seq <= last:  # else it lies between two receipts that the index names
                    found.append(new(Stored, (name, seq, position + seq - first, record[1])))
                record = next(left, None)
            if record is None and len(records) >= limit:
                return found  # what lies behind was not looked at
            if len(found) == before and count == span.count:
                without.append(span)
        for span in without:
            self._check_promise(asked, place, span)
        return found

    def _records(
        self, asked: Asked, place: Place, ranges: list[tuple[int, int]], limit: int
    ) -> list[tuple[int, Record]]:
        """Up to `limit` records of the types in some ranges of seqs, in the order asked for."""
        types, newest_first = asked.types, asked.newest_first
        found: list[tuple[int, Record]] = []
        if place.state is not ShardState.PURGED:
            number = self._home.number_in_file(place.name, place.id)
            try:
                with self._files.use(self._home.file_of(place.name)) as file:
                    for first, last in ranges:
                        found += file.between(
                            number, place.name, first, last,
                            types=types, limit=limit - len(found), newest_first=newest_first,
                        )  # fmt: skip
                        if len(found) >= limit:
                            break
                return found
            except (FileNotFoundError, CorruptLogError) as error:
                unless_purged(self._home, self._order, place, error)
        found = []
        for first, last in ranges:
            kept = kept_records(self._order, place, first, last, types)
            found += reversed(kept) if newest_first else kept
        return found[:limit]

    def _check_promise(self, asked: Asked, place: Place, span: Span) -> None:
        """Raise CorruptLogError if a receipt without an event of the types has neither been purged nor trimmed."""
        if place.state is ShardState.PURGED:
            return
        last = span.first_seq + span.count - 1
        number = self._home.number_in_file(place.name, place.id)
        try:
            with self._files.use(self._home.file_of(place.name)) as file:
                records = file.records(number, place.name, span.first_seq, last)
                if None in records:  # freed, by a trim that has yet to tell the index or was cut short
                    return
                raise CorruptLogError(
                    f"{self._order.path} promises events of {' or '.join(sorted(asked.types)[:3])} at position "
                    f"{span.position}, and {file.path} has none at seqs {span.first_seq} to {last} of shard "
                    f"{place.name}: one of them was damaged, or put back from another copy"
                )
        except (FileNotFoundError, CorruptLogError) as error:
            unless_purged(self._home, self._order, place, error)


def _take(spans: Iterator[Span], receipts: int, events: int) -> list[Span]:
    """The next receipts, up to so many, for each holds one match at least, and until they hold so many events."""
    some: list[Span] = []
    for span in islice(spans, receipts):
        some.append(span)
        events -= span.count
        if events <= 0:
            break
    return some


def _ranges(spans: list[Span], newest_first: bool) -> list[tuple[int, int]]:
    """The first and last seqs of what is read at once: receipts of one shard that are neighbours, or nearly."""
    ranges: list[tuple[int, int]] = []
    for _, _, first, count in spans:
        last = first + count - 1
        if ranges and newest_first and ranges[-1][0] - last <= GAP:
            ranges[-1] = (first, ranges[-1][1])
        elif ranges and not newest_first and first - ranges[-1][1] <= GAP:
            ranges[-1] = (ranges[-1][0], last)
        else:
            ranges.append((first, last))
    return ranges
