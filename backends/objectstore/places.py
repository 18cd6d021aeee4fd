"""Where events lie: which object holds a receipt, by the order as it is known here."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from ...engine.log.port import ShardState
from .order_log import OrderLog
from .state import Line, Pack


class Stretch(NamedTuple):
    """A part of a shard that lies in one object. `kept`: it holds some of these seqs, and the others are gone."""

    first: int
    last: int
    name: str
    kept: bool = False


class Places(NamedTuple):
    """One shard, as far as it has positions: where it lies, and the positions of what no pack holds."""

    ordered_seq: int
    reach: int  #: last seq of the last of these segments; past `ordered_seq` where only a part of it has positions
    state: ShardState
    stretches: list[Stretch]
    firsts: list[int]
    positions: list[int]

    def position(self, seq: int) -> int | None:
        """Of an event that no pack holds; None if it has none yet."""
        if seq > self.ordered_seq:
            return None
        at = bisect_right(self.firsts, seq) - 1
        return self.positions[at] + seq - self.firsts[at]


def stretches(line: Line) -> list[Stretch]:
    """Where a shard lies, in seq order."""
    if line.state is ShardState.PURGED:
        return [Stretch(pack.first, pack.last, pack.name(line.name), kept=True) for pack in line.kept]
    found = [Stretch(pack.first, pack.last, pack.name(line.name)) for pack in line.packs]
    ends = [*(seq - 1 for seq in line.slots[1:]), line.reach]
    return found + [Stretch(first, last, line.slot(first)) for first, last in zip(line.slots, ends, strict=False)]


def places_of(order: OrderLog, shard: str) -> Places | None:
    """Where a shard lies; None if nothing of it has a position."""
    with order.lock:
        line = order.state.lines.get(shard)
        if line is None:
            return None
        return Places(
            line.ordered_seq, line.reach, line.state, stretches(line), list(line.firsts), list(line.positions)
        )


def place_of(line: Line, seq: int) -> Stretch | None:
    """The object that holds a seq which has a position; None if it was deleted."""
    purged = line.state is ShardState.PURGED
    packs = line.kept if purged else line.packs
    at = bisect_right(packs, seq, key=_first) - 1
    if at >= 0 and seq <= packs[at].last:
        return Stretch(packs[at].first, packs[at].last, packs[at].name(line.name), kept=purged)
    if purged:
        return None
    first = line.slots[bisect_right(line.slots, seq) - 1]
    return Stretch(first, seq, line.slot(first))


def _first(pack: Pack) -> int:
    return pack.first
