"""The life of shards: listed, sealed, fenced.

A fence is an object in the slot behind the last event: an append that was on its way there finds its place taken,
whatever its writer knew.
"""

from __future__ import annotations

import secrets
import time
from typing import Final

from ...engine.errors import LogMoved, ShardPurged, UnavailableError
from ...engine.log.port import GateState, Shard, ShardState
from . import names, segment
from .clock import elapsed_s
from .markers import Writers
from .order_log import OrderLog
from .pendings import Pendings
from .reading import Reader
from .segment import Kind
from .state import Line, State
from .step import Operation
from .tails import Tail, Tails

PAUSE_S: Final = 0.05  #: before it is looked again whether the gate is shut
TRIES: Final = 100  #: a fence that loses against an append tries again; each time the shard has moved on


class Life:
    """Shards of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, reader: Reader, pendings: Pendings, tails: Tails, writers: Writers) -> None:
        self._order = order
        self._writers = writers
        self._reader = reader
        self._pendings = pendings
        self._tails = tails
        self._sorted: list[str] = []

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        ends = self._pendings.look().ends
        self._order.refresh()  # what the look did not find pending any more has positions by now
        with self._order.lock:
            lines = self._order.state.lines
            if len(self._sorted) != len(lines):  # lines only ever come
                self._sorted = sorted(lines)
            every = sorted({*self._sorted, *ends}) if ends.keys() - lines.keys() else self._sorted
            wanted = [name for name in every if name > after][:limit]
            return [_shard(name, lines.get(name), bool(ends.get(name))) for name in wanted]

    def find_shard(self, name: str) -> Shard | None:
        return self._reader.steady(lambda: self._find(name))

    def _find(self, name: str) -> Shard | None:
        self._order.refresh()
        with self._order.lock:
            line = self._order.state.lines.get(name)
            seq, reach = (0, 0) if line is None else (line.ordered_seq, line.reach)
        pending = reach > seq or bool(self._reader.pending_of(name, reach))
        return None if line is None and not pending else _shard(name, line, pending)

    def seal(self, shard: str) -> bool:
        found = self.find_shard(shard)
        if found is None or found.state in (ShardState.FENCED, ShardState.PURGED):
            return False
        if found.state is ShardState.SEALED:
            return True

        def decide(state: State) -> list[Operation] | None:
            line = state.lines.get(shard)
            here = line is not None and line.ordered_seq == line.reach == found.ordered_seq
            if line is None or not here or line.state is not ShardState.OPEN:
                return None
            return [["seal", shard, found.ordered_seq]]

        if self._reader.steady(lambda: self._has_pending(shard)):
            return False
        return self._order.commit(decide)

    def _has_pending(self, shard: str) -> bool:
        with self._order.lock:
            line = self._order.state.lines.get(shard)
            seq = 0 if line is None else line.reach
        return bool(self._reader.pending_of(shard, seq))

    def fence(self, shard: str) -> None:
        for _ in range(TRIES):
            generation = self._shut_generation()
            if generation is not None:
                # No append comes any more, and opened again the log has other names of slots: to say it is enough.
                if self.find_shard(shard) is None or self._note_fence(shard, generation):
                    return None
                continue
            try:
                tail = self._tails.load(shard, with_keys=False)
            except ShardPurged:
                self._note_fence(shard)
                return None
            except LogMoved:  # somebody is just shutting the gate
                time.sleep(PAUSE_S)
                continue
            end = tail.last_seq
            if end == 0:
                return None
            self._adopt(shard, end)
            mark = segment.encode_mark(Kind.FENCE, self._order.state.log_id, shard, nonce=secrets.token_bytes(8))
            self._tails.forget(shard)
            name = names.slot(shard, end + 1, tail.generation)
            if not self._order.objects.create(name, mark) or not self._is_end(tail):
                continue
            if self._note_fence(shard, tail.generation):
                return None
        raise UnavailableError(f"fencing shard {shard}: appends were faster {TRIES} times")

    def _shut_generation(self) -> int | None:
        """The generation of segments, if the gate is shut; None if it is open, or somebody is at it."""
        self._order.refresh()
        with self._order.lock:
            state = self._order.state
            is_shut = state.closing is None and state.gate.state is not GateState.OPEN
            return state.generation if is_shut else None

    def _adopt(self, shard: str, end: int) -> None:
        """What stands before a fence gets its positions, also what a writer has left who ended before it announced it:
        behind a fence no append comes that would take it in."""
        with self._order.lock:
            line = self._order.state.lines.get(shard)
            ordered = 0 if line is None else line.ordered_seq
        if end > ordered and self._pendings.look().ends.get(shard, 0) < end:
            self._writers.adopt([(shard, end, end)])

    def _is_end(self, tail: Tail) -> bool:
        """Whether a shard ends where it did: else a slot was fenced that had been packed and collected since."""
        if elapsed_s() - tail.seen <= self._order.stall_s:
            return True
        self._order.refresh()
        with self._order.lock:
            line = self._order.state.lines.get(tail.shard)
            return line is None or line.ordered_seq <= tail.last_seq

    def _note_fence(self, shard: str, generation: int | None = None) -> bool:
        """False if the gate was shut and opened since: then the fence stands where nobody looks any more."""
        outdated = False

        def decide(state: State) -> list[Operation] | None:
            nonlocal outdated
            line = state.lines.get(shard)
            outdated = generation not in (None, state.generation)
            if outdated:
                return None
            if line is not None and line.state in (ShardState.FENCED, ShardState.PURGED):
                return None
            return [["fence", shard]]

        self._order.commit(decide)
        return not outdated


def _shard(name: str, line: Line | None, pending: bool) -> Shard:
    if line is None:
        return Shard(name, ShardState.OPEN, 0)
    state = ShardState.OPEN if pending and line.state is ShardState.SEALED else line.state
    return Shard(name, state, line.ordered_seq)
