"""Reading: one shard by seq, and the timeline by position.

Objects are fetched side by side, in waves. One that is gone or a stub was packed, trimmed or purged since the order was
looked at: it is looked at again, and the read begins anew.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from ...engine.log.port import GateState, Placed, Record, ShardState, Stored
from . import names
from .library import Library, Loaded
from .order_log import OrderLog
from .pendings import Pendings
from .places import Places, Stretch, place_of, places_of
from .segment import Kind, Segment, damaged
from .step import Row

T = TypeVar("T")

WAVE: Final = 32  #: objects fetched at once
_TRIES: Final = 20


class Superseded(Exception):
    """An object is not what the order said."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Reader:
    """The reads of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings) -> None:
        self._order = order
        self._library = library
        self._pendings = pendings

    def steady(self, deed: Callable[[], T]) -> T:
        """Do what reads objects; again, with the order looked at anew, where they were superseded meanwhile."""
        name = ""
        for _ in range(_TRIES):
            try:
                return deed()
            except Superseded as error:
                name = error.name
                self._library.forget([name])
                self._order.refresh()
        raise damaged(name, "it is gone or overwritten, and the order still names it")

    def load(self, wanted: Sequence[str]) -> dict[str, Loaded]:
        """Whole objects, all of them. Raises Superseded."""
        found = self._library.load(wanted)
        for name in wanted:
            if name not in found or found[name].segment.kind is not Kind.EVENTS:
                raise Superseded(name)
        return found

    def heads(self, wanted: Sequence[str]) -> list[Segment]:
        """Headers, all of them. Raises Superseded."""
        found = []
        for name, segment in zip(wanted, self._library.heads(wanted), strict=True):
            if segment is None or segment.kind is not Kind.EVENTS:
                raise Superseded(name)
            found.append(segment)
        return found

    # -- a shard ------------------------------------------------------------------------------------------------

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        def deed() -> list[Stored]:
            self._order.refresh()
            places = places_of(self._order, shard)
            found: list[Stored] = []
            for wave in self._waves_of(shard, places, after_seq, newest_first):
                loaded = self.load([one.name for one in wave])
                for one in wave:
                    found += _of_shard(loaded[one.name], places, types, newest_first, after_seq)
                    if len(found) >= limit:
                        return found[:limit]
            return found

        return self.steady(deed)

    def _waves_of(
        self, shard: str, places: Places | None, after_seq: int, newest_first: bool
    ) -> Iterator[Sequence[Stretch]]:
        """Where the events lie, by as many objects as are fetched at once. What has no position yet is asked for only
        when it is its turn."""
        placed, reach = ([], 0) if places is None else (places.stretches, places.reach)

        def parts() -> Iterator[list[Stretch]]:
            if newest_first:
                yield (placed + self.pending_of(shard, reach))[::-1]
            else:
                yield placed
                yield self.pending_of(shard, reach)

        for part in parts():
            wanted = [one for one in part if _concerns(one, after_seq, newest_first)]
            yield from (wanted[at : at + WAVE] for at in range(0, len(wanted), WAVE))

    def pending_of(self, shard: str, seq: int) -> list[Stretch]:
        """The segments of a shard behind its end on the timeline."""
        with self._order.lock:
            shut = self._order.state.closing is not None or self._order.state.gate.state is not GateState.OPEN
        # Behind a gate that is shut, only what was announced counts: the rest was refused.
        last = self._pendings.look().ends.get(shard, 0) if shut else None
        found: list[Stretch] = []
        while last is None or seq < last:
            if len(found) == 2:
                listed = [one.name for one in self._order.objects.list(names.folder(shard))]
                self._library.load([name for name in listed if (names.seq_of_slot(name) or 0) > seq])
            name = names.slot(shard, seq + 1)
            segment = self._library.head(name)
            if segment is None or segment.kind is Kind.FENCE:
                break
            if segment.kind is Kind.STUB:
                raise Superseded(name)
            found.append(Stretch(seq + 1, segment.last_seq, name))
            seq = segment.last_seq
        return found

    # -- the timeline -------------------------------------------------------------------------------------------

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        def deed() -> list[Stored]:
            found: list[Stored] = []
            for wave in _waves(self.rows(after=after, types=types), limit):
                for row, records in self._opened(wave):
                    found += _of_timeline(row.placed, records, types, after)
                    if len(found) >= limit:
                        return found[:limit]
            return found

        return self._with_news(deed, limit)

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        def deed() -> list[Stored]:
            self._order.refresh()
            found: list[Stored] = []
            for wave in _waves(self._rows_back(before, types), limit):
                for row, records in self._opened(wave):
                    of_row = _of_timeline(row.placed, records, types, 0)
                    found += [one for one in reversed(of_row) if before is None or (one.position or 0) < before]
                    if len(found) >= limit:
                        return found[:limit]
            return found

        return self.steady(deed)

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        def deed() -> list[Placed]:
            found: list[Placed] = []
            for row in self.rows(after=after, types=None):
                found.append(row.placed)
                if len(found) == limit:
                    break
            return found

        return self._with_news(deed, limit)

    def rows(self, *, after: int, types: frozenset[str] | None) -> Iterator[Row]:
        """The receipts that end past a position, and may hold one of the types."""
        order = self._order
        with order.lock:
            wanted = _mask(order.state.types, types)
            first = max(0, bisect_right(order.state.starts, after) - 1)
            blocks = [
                j for j in range(first, len(order.state.starts)) if wanted is None or order.state.masks[j] & wanted
            ]
        for j in blocks:
            rows = order.rows(j)
            begin = bisect_right(rows, after, key=_last_position)
            for row in rows[begin:] if begin else rows:
                if types is None or row.types & types:
                    yield row

    def entries(self, after: int, limit: int) -> Iterator[tuple[Row, Sequence[Record | None], bool]]:
        """The receipts that begin past a position, with what they hold, and whether their shard was purged."""
        rows = (row for row in self.rows(after=after, types=None) if row.placed.position > after)
        for wave in _waves(rows, limit):
            with self._order.lock:
                lines = self._order.state.lines
                gone = {one for row in wave if lines[one := row.placed.receipt.shard].state is ShardState.PURGED}
            for row, records in self._opened(wave):
                yield row, records, row.placed.receipt.shard in gone

    def _rows_back(self, before: int | None, types: frozenset[str]) -> Iterator[Row]:
        order = self._order
        with order.lock:
            wanted = _mask(order.state.types, types)
            assert wanted is not None, "read_back is of some types"
            last = len(order.state.starts) if before is None else bisect_right(order.state.starts, before)
            blocks = [j for j in range(last - 1, -1, -1) if order.state.masks[j] & wanted]
        for j in blocks:
            for row in reversed(order.rows(j)):
                if row.types & types and (before is None or row.placed.position < before):
                    yield row

    def _with_news(self, deed: Callable[[], list[T]], limit: int) -> list[T]:
        """A full page needs no look at what came since; a short one must not be short for want of it."""
        with self._order.lock:
            k = self._order.state.k
        found = self.steady(deed)
        if len(found) >= limit:
            return found
        self._order.refresh()
        with self._order.lock:
            if self._order.state.k == k:
                return found
        return self.steady(deed)

    def _opened(self, wave: Sequence[Row]) -> Iterator[tuple[Row, Sequence[Record | None]]]:
        with self._order.lock:
            lines = self._order.state.lines
            where = [place_of(lines[row.placed.receipt.shard], row.placed.receipt.first_seq) for row in wave]
        loaded = self.load(list(dict.fromkeys(one.name for one in where if one is not None)))
        for row, one in zip(wave, where, strict=True):
            receipt = row.placed.receipt
            held = None if one is None else loaded[one.name]
            part = None if held is None else held.segment.find_part(receipt.first_seq)
            if held is not None and part is not None:
                yield row, held.records(part)
            elif one is None or one.kept:
                yield row, [None] * receipt.size
            else:
                raise damaged(one.name, f"it lacks the append at seq {receipt.first_seq}")


def _waves(rows: Iterator[Row], limit: int) -> Iterator[list[Row]]:
    """Rows by so many as may fill a page, and no more than are fetched at once."""
    wave: list[Row] = []
    events = 0
    for row in rows:
        wave.append(row)
        events += row.placed.receipt.size
        if len(wave) >= WAVE * 8 or (events >= limit and len(wave) >= 1):
            yield wave
            wave, events = [], 0
    if wave:
        yield wave


def _concerns(one: Stretch, after_seq: int, newest_first: bool) -> bool:
    if newest_first:
        return after_seq == 0 or one.first < after_seq
    return one.last > after_seq


def _of_shard(
    loaded: Loaded, places: Places | None, types: frozenset[str] | None, newest_first: bool, after_seq: int
) -> list[Stored]:
    found: list[Stored] = []
    parts = loaded.segment.parts
    for part in reversed(parts) if newest_first else parts:
        first, last = part.receipt.first_seq, part.receipt.last_seq
        past = after_seq and first >= after_seq if newest_first else last <= after_seq
        if past or (types is not None and types.isdisjoint(part.types)):
            continue
        base = part.position or (None if places is None else places.position(first))
        of_part = [
            Stored(part.receipt.shard, seq, None if base is None else base + seq - first, record)
            for seq, record in enumerate(loaded.records(part), start=first)
            if record is not None and (types is None or record.type in types) and _wanted(seq, after_seq, newest_first)
        ]
        found += reversed(of_part) if newest_first else of_part
    return found


def _wanted(seq: int, after_seq: int, newest_first: bool) -> bool:
    return (after_seq == 0 or seq < after_seq) if newest_first else seq > after_seq


def _of_timeline(
    placed: Placed, records: Sequence[Record | None], types: frozenset[str] | None, after: int
) -> list[Stored]:
    shard, first, base = placed.receipt.shard, placed.receipt.first_seq, placed.position
    skip = max(0, after - base + 1)
    return [
        Stored(shard, first + at, base + at, record)
        for at, record in enumerate(records[skip:], start=skip)
        if types is None or (record is not None and record.type in types)
    ]


def _last_position(row: Row) -> int:
    return row.placed.last_position


def _mask(numbers: dict[str, int], types: frozenset[str] | None) -> int | None:
    """The bits of types; None for all."""
    if types is None:
        return None
    return sum(1 << numbers[type] for type in types if type in numbers)
