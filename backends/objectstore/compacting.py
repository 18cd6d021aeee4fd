"""Compaction: the segments of a shard in one pack, small packs in a larger one, and what sums up the order.

Shards are taken in batches: what they hold is fetched side by side, their packs are put side by side, and one step of
the order makes all of them count. Segments that this supersedes stay until they are collected (collecting.py); packs go
at once. Killed anywhere, it leaves packs that no step names, and all is read as before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from ...engine.log.port import Amount, Compacted, ShardState
from . import names, summaries
from .library import Library
from .order_log import OrderLog
from .packing import PACK_BYTES, Made, Packer
from .places import Places, Stretch, places_of, stretches
from .reading import Reader
from .segment import Segment
from .state import Line, State
from .step import Operation

Report = Callable[[str, int, int], None]

BATCH_BYTES: Final = 32 * 1024 * 1024  #: of bodies, fetched and rewritten at once
BATCH: Final = 64  #: shards in one step
FEW: Final = 64  #: segments of a shard that goes on: fewer are left as they are
MANY: Final = 8  #: small packs of a shard: more are put together
SMALL: Final = PACK_BYTES // 2  #: bytes
SEGMENTS: Final = 1024  #: of one shard, packed at once


class Rewrite(NamedTuple):
    """Packs that are to count instead of some stretches of a shard."""

    shard: str
    old: list[Stretch]
    packs: list[tuple[Made, bytes]]

    def operations(self) -> list[Operation]:
        return [["packed", self.shard, *made, {}] for made, _ in self.packs]

    def names(self) -> list[str]:
        """Of the packs."""
        return [names.pack(self.shard, made.first, made.last, made.id) for made, _ in self.packs]


class Compactor:
    """The compactions of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, reader: Reader, packer: Packer) -> None:
        self._order = order
        self._library = library
        self._reader = reader
        self._packer = packer

    def run(self, progress: Report | None = None) -> Compacted:
        """Rewrite whatever lies in more objects than it needs."""
        report = progress or (lambda what, done, total: None)
        wanted = self.scattered()
        total, shards, superseded, packs = len(wanted), set[str](), 0, Amount()
        report("shards", 0, total)
        while wanted:
            batch, wanted = self._batch(wanted)
            done = self._rewrite(batch)
            for one in done:
                shards.add(one.shard)
                superseded += len(one.old)
                packs = packs.plus(Amount(len(one.packs), sum(made.size for made, _ in one.packs)))
            moved = {one.shard for one in done}
            wanted = [shard for shard in batch if shard in moved and self._is_scattered(shard)] + wanted
            report("shards", total - len(wanted), total)
        blocks, checkpoints = summaries.make_blocks(self._order), summaries.make_checkpoint(self._order)
        written = {"packs": packs, "blocks": blocks, "checkpoints": checkpoints}
        return Compacted(len(shards), superseded, {kind: one for kind, one in written.items() if one.objects})

    def scattered(self) -> list[str]:
        """Shards that lie in more objects than they need."""
        self._order.refresh()
        with self._order.lock:
            return [line.name for line in self._order.state.lines.values() if _is_scattered(line)]

    def _is_scattered(self, shard: str) -> bool:
        with self._order.lock:
            return _is_scattered(self._order.state.lines[shard])

    def _batch(self, wanted: Sequence[str]) -> tuple[list[str], list[str]]:
        """As many shards as may be held in memory at once, one at least; and the others."""
        size = count = 0
        with self._order.lock:
            for shard in wanted[:BATCH]:
                size += sum(weight[1] for weight in self._order.state.lines[shard].weights.values())
                if count and size > BATCH_BYTES:
                    break
                count += 1
        return list(wanted[:count]), list(wanted[count:])

    def _rewrite(self, shards: Sequence[str]) -> list[Rewrite]:
        """Rewrite some shards by one step; what has come to count."""
        self._fetch(shards)
        sweeps = self._packer.sweeps()
        found = [one for shard in shards for one in self._reader.steady(partial(self._rewrites, shard))]
        if not found:
            return []
        objects, parallel = self._order.objects, self._order.parallel
        parallel.run(
            [
                partial(objects.create, name, data)
                for one in found
                for name, (_, data) in zip(one.names(), one.packs, strict=True)
            ]
        )
        valid: list[Rewrite] = []

        def decide(state: State) -> list[Operation] | None:
            valid[:] = [one for one in found if state.sweeps == sweeps and _fits(state, one)]
            return [operation for one in valid for operation in one.operations()] or None

        if not self._order.commit(decide):
            valid.clear()
        void = [name for one in found if one not in valid for name in one.names()]
        if void:
            objects.delete(void)
        for one in valid:
            self._packer.free(one.shard, [], [old.name for old in one.old if names.is_pack(old.name)])
        return valid

    def _fetch(self, shards: Sequence[str]) -> None:
        """Have what these shards hold at hand: asked for side by side, whosever it is."""
        wanted: list[str] = []
        for shard in shards:
            places = places_of(self._order, shard)
            if places is not None and len(shards) > 1:  # alone, it may be larger than the memory
                wanted += [one.name for one in _segments(places)]
        self._library.load(wanted)

    def _rewrites(self, shard: str) -> list[Rewrite]:
        places = places_of(self._order, shard)
        if places is None or places.state is ShardState.PURGED:
            return []
        found = []
        for old in [*self._some_segments(places), *self._small_packs(places)]:
            items = self._packer.items(shard, places, old, None)
            found.append(Rewrite(shard, old, self._packer.encoded(shard, items)))
        return found

    def _some_segments(self, places: Places) -> Iterator[list[Stretch]]:
        """The first segments, as many as may be held in memory."""
        segments = _segments(places)[:SEGMENTS]
        if len(segments) < 2:
            return
        size = 0
        some: list[Stretch] = []
        for one, head in zip(segments, self._reader.heads([one.name for one in segments]), strict=True):
            size += _bytes(head)
            if some and size > BATCH_BYTES:
                break
            some.append(one)
        yield some

    def _small_packs(self, places: Places) -> Iterator[list[Stretch]]:
        """Packs that lie side by side, and fill no more than one."""
        packs = [one for one in places.stretches if names.is_pack(one.name)]
        if len(packs) <= MANY:
            return
        some: list[Stretch] = []
        size = 0
        for one, head in zip(packs, self._reader.heads([one.name for one in packs]), strict=True):
            own = _bytes(head)
            if some and size + own > PACK_BYTES:
                if len(some) > 1:
                    yield some
                some, size = [], 0
            some.append(one)
            size += own
        if len(some) > 1:
            yield some


def _fits(state: State, rewrite: Rewrite) -> bool:
    """Whether all that was rewritten still counts."""
    line = state.lines[rewrite.shard]
    there = stretches(line)
    return line.state is not ShardState.PURGED and all(one in there for one in rewrite.old)


def _segments(places: Places) -> list[Stretch]:
    """Those that have all their positions: one that has some cannot be rewritten yet."""
    return [one for one in places.stretches if not names.is_pack(one.name) and one.last <= places.ordered_seq]


def _bytes(head: Segment) -> int:
    """Of the bodies in an object."""
    return sum(weight.bytes for part in head.parts for weight in part.weights.values())


def _is_scattered(line: Line) -> bool:
    if line.state is ShardState.PURGED:
        return False
    slots = len(line.slots) - (line.reach > line.ordered_seq)
    small = sum(pack.size < SMALL for pack in line.packs)
    return slots >= (2 if line.state is not ShardState.OPEN else FEW) or small > MANY
