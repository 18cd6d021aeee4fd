"""Where shards end, as one handle knows it: what an append needs to know before it is made.

A tail may be behind: the slot behind it is then taken, and the append that was to go there finds that out. It must
never be ahead, nor so old that the slots behind it were packed and collected: what was last seen `stall_s` seconds ago
is loaded anew.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from ...engine.errors import ShardPurged, UnavailableError
from ...engine.log.port import GateState, Receipt, ShardState, refusal
from . import names
from .clock import elapsed_s
from .library import Library
from .order_log import OrderLog
from .segment import Kind, Segment

HELD: Final = 10_000  #: tails kept in memory
_TRIES: Final = 50


class Tail:
    """The end of one shard."""

    def __init__(self, shard: str, generation: int) -> None:
        self.shard = shard
        self.generation = generation  #: of the segments that come behind it
        self.last_seq = 0
        self.last_us = 0
        self.keys: dict[UUID, Receipt] | None = {}  #: of appends with keys of callers; None: not loaded
        self.seen = elapsed_s()  #: when it was certain


class Tails:
    """The tails of one handle. Thread-safe; one thread at a time works with the tail of one shard."""

    def __init__(self, order: OrderLog, library: Library) -> None:
        self._order = order
        self._library = library
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Tail] = OrderedDict()

    def known(self, shard: str, *, with_keys: bool) -> Tail | None:
        """The tail as this handle has seen it, if that is not too long ago."""
        with self._order.lock:
            generation = self._order.state.generation
        with self._lock:
            tail = self._held.get(shard)
            if tail is None:
                return None
            is_old = elapsed_s() - tail.seen > self._order.stall_s or tail.generation != generation
            if is_old or (with_keys and tail.keys is None):
                del self._held[shard]
                return None
            self._held.move_to_end(shard)
            return tail

    def keep(self, tail: Tail) -> None:
        with self._lock:
            self._held[tail.shard] = tail
            while len(self._held) > HELD:
                self._held.popitem(last=False)

    def forget(self, shard: str) -> None:
        """It is not certain any more."""
        with self._lock:
            self._held.pop(shard, None)

    def forget_all(self) -> None:
        """None is certain any more."""
        with self._lock:
            self._held.clear()

    def new(self, shard: str) -> Tail | None:
        """The tail of a shard of which nothing has a position, as far as this handle knows."""
        with self._order.lock:
            state = self._order.state
            return None if shard in state.lines else Tail(shard, state.generation)

    def load(self, shard: str, *, with_keys: bool) -> Tail:
        """The tail as it is. Raises ShardPurged or LogMoved if the shard, or the log, takes no appends any more."""
        for _ in range(_TRIES):
            began = elapsed_s()
            self._order.refresh()
            tail = self._placed(shard, with_keys=with_keys)
            placed = tail.last_seq if tail is not None else 0
            if tail is not None and self._walk(tail):
                tail.seen = began
                if tail.last_seq == placed:
                    # What nobody has given a position may be taken back behind a gate that shuts; once an append has
                    # gone behind it, it stays.
                    self.keep(tail)
                return tail
            self._check_gate()
        raise UnavailableError(f"shard {shard}: its segments are being rewritten faster than they can be read")

    def _check_gate(self) -> None:
        """Raise LogMoved if the gate is shut: then slots behind what counts are taken by stubs, until it opens."""
        with self._order.lock:
            gate = self._order.state.closing or self._order.state.gate
        if gate.state is not GateState.OPEN:
            raise refusal(self._order.objects.url, gate)

    def _placed(self, shard: str, *, with_keys: bool) -> Tail | None:
        """The tail as far as the order knows it; None if a segment that it names is there no more."""
        with self._order.lock:
            tail = Tail(shard, self._order.state.generation)
            line = self._order.state.lines.get(shard)
            if line is None:
                return tail
            if line.state in (ShardState.FENCED, ShardState.PURGED):
                raise deleted(shard)
            tail.last_seq, tail.last_us = line.ordered_seq, line.last_us
            part = line.slots[-1] if line.reach > line.ordered_seq else 0
            sources = [pack.name(shard) for pack in line.packs]
            known = line.keys
            if known is None:
                sources += [line.slot(seq) for seq in line.slots]
            keys = {} if known is None else {UUID(bytes=key): one for key, one in known.items()}
        if part and not self._reach(tail, part):
            return None
        if not with_keys:
            tail.keys = None
            return tail
        tail.keys = {key: Receipt(shard, one[0], one[1], key, one[2], one[3]) for key, one in keys.items()}
        segments = self._library.heads([*sources, names.slot(shard, part, tail.generation)] if part else sources)
        for segment in segments:
            if segment is None or segment.kind is not Kind.EVENTS:
                return None
            _note_keys(tail, [segment])
        return tail

    def _reach(self, tail: Tail, slot: int) -> bool:
        """Go on to the end of a segment that has positions in part; False if it is there no more."""
        segment = self._library.head(names.slot(tail.shard, slot, tail.generation))
        if segment is None or segment.kind is not Kind.EVENTS:
            return False
        last = segment.parts[-1].receipt
        tail.last_seq, tail.last_us = last.last_seq, last.at_us
        return True

    def _walk(self, tail: Tail) -> bool:
        """Go on over segments that have no position yet. False if there are stubs: then the order has news."""
        steps = 0
        while True:
            if steps == 2:  # many: list them, to read them side by side
                self._library.heads(list(self.slots_behind(tail.shard, tail.last_seq)))
            segment = self._library.head(names.slot(tail.shard, tail.last_seq + 1, tail.generation))
            if segment is None:
                return True
            if segment.kind is Kind.FENCE:
                raise deleted(tail.shard)
            if segment.kind is Kind.STUB:
                return False
            _note_keys(tail, [segment])
            last = segment.parts[-1].receipt
            tail.last_seq, tail.last_us = last.last_seq, last.at_us
            steps += 1

    def slots_behind(self, shard: str, seq: int) -> list[str]:
        """The names of the segments that begin behind a seq."""
        found = [one.name for one in self._order.objects.list(names.folder(shard))]
        return [name for name in found if (first := names.seq_of_slot(name)) is not None and first > seq]


def deleted(shard: str) -> ShardPurged:
    """The error of an append to a shard that is fenced or purged."""
    return ShardPurged(f"shard {shard} was deleted")


def _note_keys(tail: Tail, segments: Iterable[Segment]) -> None:
    if tail.keys is not None:
        for segment in segments:
            tail.keys |= {part.receipt.key: part.receipt for part in segment.parts if part.keyed}
