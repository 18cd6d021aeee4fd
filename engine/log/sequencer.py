"""Give committed receipts their positions: merge, cut, chain. Sans-IO but for the two port methods it is handed.

Promises: the timeline agrees with seq in each shard, and with happened-before: an append acknowledged before another
began gets the smaller position, also where the pending receipts cannot be read in one snapshot.
Source of the idea: persist first, order later (Scalog, NSDI 2020). Why two looks: docs/decisions/0002.
Not here: fetching and placing (backends), what events mean.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Protocol

from .chain import number
from .port import Head, Placed, Receipt

BATCH = 1000  #: receipts a pass places at most: bounds its memory and how long it holds the order


class Orderable(Protocol):
    """The part of a backend the sequencer needs."""

    looks: int

    def pending(self, *, limit: int) -> list[Receipt]: ...
    def place(self, placed: Sequence[Placed], *, after: Head) -> bool: ...
    def head(self) -> Head: ...


def merge(receipts: Iterable[Receipt]) -> list[Receipt]:
    """All receipts in one order: of the shards' queues, the head with the least timestamp goes first.

    Never a plain sort by timestamp: after a stepped clock it would put seq 6 before seq 5 of the same shard.
    Ties go by shard name, so every process finds the same order.
    """
    queues: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        queues.setdefault(receipt.shard, []).append(receipt)
    for queue in queues.values():
        queue.sort(key=_first_seq)
    heads = [(queue[0].at_us, shard, 0) for shard, queue in queues.items()]
    heapify(heads)
    merged = []
    while heads:
        _, shard, index = heads[0]
        queue = queues[shard]
        merged.append(queue[index])
        if index + 1 < len(queue):
            heapreplace(heads, (queue[index + 1].at_us, shard, index + 1))
        else:
            heappop(heads)
    return merged


def cut(first: Sequence[Receipt], second: Sequence[Receipt], *, limit: int) -> list[Receipt]:
    """What of two looks may be placed now, in order.

    A look that visits shard after shard can miss an append in a shard it has left and still see a later one in a
    shard it comes to. The second look, begun after the first ended, finds all that was acknowledged before anything
    the first look saw. So: everything either look saw up to the greatest timestamp of the first, and nothing above.
    A look that came back full ends at its own greatest timestamp, for it may have left out what lies above.
    """
    if not first:
        return []
    bound = max(receipt.at_us for receipt in first)
    if len(second) >= limit:
        bound = min(bound, max(receipt.at_us for receipt in second))
    seen = {(receipt.shard, receipt.first_seq): receipt for receipt in (*first, *second)}
    chosen = []
    closed: set[str] = set()
    for receipt in sorted(seen.values(), key=_shard_and_seq):
        # The rest of a shard's queue waits with the first receipt that waits: a gap would reorder seqs.
        if receipt.at_us > bound or receipt.shard in closed:
            closed.add(receipt.shard)
        else:
            chosen.append(receipt)
    return merge(chosen)


class Sequencer:
    """Runs passes over one backend. Any number of processes may do so at once; one of them wins each pass."""

    def __init__(self, backend: Orderable, *, batch: int = BATCH) -> None:
        self._backend = backend
        self._batch = batch
        self._lock = threading.Lock()

    def catch_up(self) -> Head:
        """Place every append that was acknowledged before this call; the head after that."""
        with self._lock:
            while not self._one_pass():
                pass
            return self._backend.head()

    def _one_pass(self) -> bool:
        """Place one batch; True when nothing is left of what was pending as the pass began."""
        # The head is read before the looks: a receipt another sequencer placed since then makes `place` refuse.
        head = self._backend.head()
        first = self._backend.pending(limit=self._batch)
        if not first:
            return True
        second = self._backend.pending(limit=self._batch) if self._backend.looks > 1 else first
        chosen = cut(first, second, limit=self._batch)
        if not self._backend.place(number(chosen, after=head), after=head):
            return False
        left = {(r.shard, r.first_seq) for r in first} - {(r.shard, r.first_seq) for r in chosen}
        return not left and len(first) < self._batch


def _first_seq(receipt: Receipt) -> int:
    return receipt.first_seq


def _shard_and_seq(receipt: Receipt) -> tuple[str, int]:
    return receipt.shard, receipt.first_seq
