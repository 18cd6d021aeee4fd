"""What has been appended and has no position yet, as one look finds it; and giving it positions.

A look lists the markers, and reads the headers of the segments they announce: of each shard from its end on, so that a
segment whose own marker is not there yet is never overtaken. A marker without its segment stays: the segment may be on
its way, and an acknowledged append must not lose its marker.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from ...engine.errors import FoldlogError
from ...engine.log.port import GateState, Head, Placed, Receipt, ShardState
from . import markers, names
from .clock import elapsed_s
from .library import Library
from .markers import Entry
from .order_log import OrderLog
from .segment import Kind, Part, Segment
from .state import Line, State
from .step import Operation, Pending, place
from .stores.parallel import get_many

OWN: Final = 10_000  #: markers of this handle that are remembered
WAITING: Final = 1000  #: appends of a shard whose time of waiting is

logger = logging.getLogger("foldlog.objectstore")


class Look(NamedTuple):
    """What one look has found."""

    pending: list[Pending]  #: by time, and gapless in each shard
    ends: dict[str, int]  #: of each shard that has some: the last seq found
    markers: dict[str, list[Entry]]  #: by name


class Pendings:
    """The looks of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, *, read_only: bool) -> None:
        self._order = order
        self._library = library
        self._read_only = read_only
        self._lock = threading.Lock()
        self._markers: dict[str, list[Entry]] = {}  #: those that the last look has seen
        self._own: OrderedDict[str, list[Entry]] = OrderedDict()  #: put by this handle, and not seen by a look yet

        #: what this handle has appended and nobody was seen to place, by shard: last seqs, and since when they wait
        self._waiting: dict[str, deque[tuple[int, float]]] = {}

    def look(self) -> Look:
        """Everything that was acknowledged before, and has no position."""
        order = self._order
        listed: list[str] = []
        # Side by side: what is missing from an old order and from a new list is on the timeline of whoever looks next.
        order.parallel.run(
            [order.refresh, lambda: listed.extend(one.name for one in order.objects.list(names.PENDING))]
        )
        with order.lock:
            if order.state.gate.state is not GateState.OPEN:  # what counts was placed before it shut
                return Look([], {}, {})
        seen = self._read(listed)
        with order.lock:
            wanted = _unplaced(order.state, seen.values())
            ends = {shard: _end(order.state.lines[shard]) for shard in wanted if shard in order.state.lines}
        pending, reached = self._walk(wanted, ends)
        pending.sort(key=lambda one: (one.receipt.at_us, one.receipt.shard, one.receipt.first_seq))
        if not self._read_only:
            self._drop(order.state.writers, seen)
        return Look(pending, reached, seen)

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        """Give these receipts their positions; False if the head is elsewhere by now."""
        order = self._order
        described = self.describe([one.receipt for one in placed])
        if described is None or [one.receipt for one in described] != [one.receipt for one in placed]:
            return False  # placed meanwhile; or others stand there now, and the chain would not come out
        with self._lock:
            seen = dict(self._markers)
        cleared: list[tuple[str, int]] = []

        def decide(state: State) -> list[Operation] | None:
            if state.head != after:
                return None
            ends = {one.receipt.shard: one.receipt.last_seq for one in placed}
            cleared[:] = [
                found
                for name, entries in seen.items()
                if entries  # a guard is none of its writer's numbers
                and all(_is_over(entry, state.lines.get(entry[0]), ends.get(entry[0], 0)) for entry in entries)
                and (found := names.of_marker(name)) is not None
            ]
            return [place(placed, described, cleared)]

        if not order.commit(decide):
            return False
        self._drop(order.state.writers, {name: seen[name] for name in (names.marker(*one) for one in cleared)})
        return True

    def describe(self, receipts: Sequence[Receipt]) -> list[Pending] | None:
        """What the segments of receipts without a position say of them, in the order given; None if they have got
        positions meanwhile."""
        wanted: dict[str, set[int]] = {}
        for receipt in receipts:
            wanted.setdefault(receipt.shard, set()).add(receipt.first_seq)
        with self._order.lock:
            lines = self._order.state.lines
            ends = {shard: _end(lines[shard]) for shard in wanted if shard in lines}
        found = {(one.receipt.shard, one.receipt.first_seq): one for one in self._walk(wanted, ends)[0]}
        described = [found.get((one.shard, one.first_seq)) for one in receipts]
        return None if None in described else [one for one in described if one is not None]

    # -- markers ------------------------------------------------------------------------------------------------

    def note(self, name: str, entries: Sequence[Entry]) -> None:
        """Told by who has put a marker: it need not be read."""
        with self._lock:
            self._own[name] = list(entries)
            while len(self._own) > OWN:  # of those that another process was faster to place
                self._own.popitem(last=False)

    def appended(self, shard: str, last: int) -> None:
        """Told by who has appended up to a seq, which waits for its position from now on."""
        with self._lock:
            self._waiting.setdefault(shard, deque(maxlen=WAITING)).append((last, elapsed_s()))

    def waited_s(self) -> float | None:
        """For how long what this handle has appended waits for a position; None if all of it has one."""
        self._order.refresh()
        now = elapsed_s()
        with self._lock, self._order.lock:
            lines = self._order.state.lines
            for shard, waiting in list(self._waiting.items()):
                line = lines.get(shard)
                while waiting and line is not None and line.ordered_seq >= waiting[0][0]:
                    waiting.popleft()
                if not waiting:
                    del self._waiting[shard]
            return max((now - waiting[0][1] for waiting in self._waiting.values()), default=None)

    def _read(self, listed: Sequence[str]) -> dict[str, list[Entry]]:
        with self._lock:
            known = self._markers | {name: own for name in listed if (own := self._own.pop(name, None)) is not None}
        absent = [name for name in listed if name not in known]
        seen = {name: known[name] for name in listed if name in known}
        for name, data in zip(absent, get_many(self._order.objects, absent, self._order.parallel), strict=True):
            if data is not None:  # else it was placed and dropped since it was listed
                seen[name] = markers.decode(data, name)
        with self._lock:
            self._markers = seen
        return seen

    def _drop(self, noted: dict[str, int], seen: dict[str, list[Entry]]) -> None:
        """Delete markers that announce nothing any more, and whose numbers the order has noted."""
        with self._order.lock:
            lines = self._order.state.lines
            done = []
            for name, entries in seen.items():
                found = names.of_marker(name)
                if found is None or found[1] > noted.get(found[0], 0) or not entries:
                    continue
                if all(_is_over(entry, lines.get(entry[0]), 0) for entry in entries):
                    done.append(name)
        if done:
            try:
                self._order.objects.delete(done)
            except FoldlogError as error:  # the next look tries again
                logger.warning("%s: %s", self._order.objects.url, error)

    # -- segments -----------------------------------------------------------------------------------------------

    def _walk(self, wanted: dict[str, set[int]], ends: dict[str, _End]) -> tuple[list[Pending], dict[str, int]]:
        """The receipts of each shard from behind its end up to what is wanted, and the ends they reach."""
        begins = {shard: ends.get(shard, _End(0, 0, 0)) for shard in wanted}
        with self._order.lock:  # what has no position yet was made since the gate was opened last
            generation = self._order.state.generation
        first = [
            names.slot(shard, seq, generation)
            for shard, end in begins.items()
            for seq in {end.slot or end.seq + 1, end.reach + 1, *(seq for seq in wanted[shard] if seq > end.reach)}
        ]
        heads = dict(zip(first, self._library.heads(first), strict=True))
        pending: list[Pending] = []
        reached: dict[str, int] = {}
        for shard, end in begins.items():
            seq, last = end.slot or end.seq + 1, max(wanted[shard])
            while seq <= max(last, end.reach):
                name = names.slot(shard, seq, generation)
                segment = heads[name] if name in heads else self._library.head(name)
                if segment is None or segment.kind is not Kind.EVENTS:
                    break
                pending += [_described(segment, part) for part in segment.parts if part.receipt.first_seq > end.seq]
                seq = segment.last_seq + 1
                reached[shard] = segment.last_seq
        return pending, reached


class _End(NamedTuple):
    """Where a shard ends on the timeline."""

    seq: int
    reach: int
    slot: int  #: the segment that has positions in part; 0: there is none


def _end(line: Line) -> _End:
    return _End(line.ordered_seq, line.reach, line.slots[-1] if line.reach > line.ordered_seq else 0)


def _described(segment: Segment, part: Part) -> Pending:
    reach = segment.last_seq if part is segment.parts[0] else 0
    return Pending(part.receipt, part.keyed, reach, part.types, dict(part.weights))


def _is_over(entry: Entry, line: Line | None, end: int) -> bool:
    """Whether a segment has its positions, with those up to `end` that are just given; or lost its slot to another,
    which has begun to get some, or to the fence of a shard that was deleted since."""
    _, first, last = entry
    if line is None:
        return last <= end
    if line.state is ShardState.PURGED and line.reach == line.ordered_seq:
        return True
    return last <= max(end, line.ordered_seq) or first <= line.ordered_seq <= line.reach < last


def _unplaced(state: State, announced: Iterable[Sequence[Entry]]) -> dict[str, set[int]]:
    wanted: dict[str, set[int]] = {}
    for entries in announced:
        for shard, first, last in entries:
            line = state.lines.get(shard)
            if not _is_over((shard, first, last), line, 0):
                wanted.setdefault(shard, set()).add(first)
    return wanted
