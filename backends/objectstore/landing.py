"""Segments and their marker, side by side; and what became of each.

Whatever says "exists" is read back: it may be this append's own, its reply lost. What took so long that the order may
have gone on without it is looked for. A marker whose place a guard had taken tells that the gate was shut, or that this
writer was taken for gone. Not here: what is to be made (planning.py), in which groups (appending.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from ...engine.errors import FoldlogError, LogMoved
from ...engine.log.port import Gate, GateState, Outcome, Receipt, refusal
from . import names, segment
from .clock import elapsed_s
from .library import Library
from .markers import Entry, Lane, Writers
from .order_log import OrderLog
from .pendings import Pendings
from .places import place_of
from .planning import Plan, unknown
from .segment import Kind, Segment
from .tails import Tails

REWRITES: Final = 20  #: of a shard, while it is looked at


class Landing:
    """The segments and markers of one handle. Thread-safe."""

    SETTLED_S = 8.0  #: half of how long it waits for who is at shutting the gate

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings, tails: Tails, writers: Writers) -> None:
        self._order = order
        self._library = library
        self._pendings = pendings
        self._tails = tails
        self._writers = writers

    def write(self, lane: Lane, plans: Sequence[Plan]) -> Lane | None:
        """Put the segments and their marker. Plans that lost their slot stay without an outcome. The lane, unless it is
        used up."""
        entries = [plan.entry for plan in plans]
        began = elapsed_s()
        announced, *made = self._order.parallel.run(
            [
                _told(lambda: self._writers.announce(lane, entries)),
                *(_told(lambda plan=plan: self._make(plan)) for plan in plans),  # type: ignore[misc]
            ]
        )
        kept: Lane | None = lane
        if announced is True and elapsed_s() - began > self._order.stall_s:
            announced = self._holds(lane, entries)
        if announced is True:
            self._pendings.note(names.marker(lane.id, lane.n), entries)
        elif announced is False:
            announced, kept = self._again(plans)
            if announced is False:
                self._tails.forget_all()
                return kept
        for plan, outcome in zip(plans, made, strict=True):
            # A segment of which nothing is known may come yet, whatever became of its marker.
            error = next((one for one in (outcome, announced) if isinstance(one, Exception)), None)
            if isinstance(error, LogMoved) and self._counts(plan):
                error = None
            if error is not None:
                self._settle(plan, error)
            elif outcome is True and self._stands(plan):
                self._done(plan)
            else:
                self._tails.forget(plan.tail.shard)
        return None if isinstance(announced, Exception) else kept

    def _again(self, plans: Sequence[Plan]) -> tuple[bool | Exception, Lane | None]:
        """A guard stood in the marker's place: the gate was shut, or this writer was taken for gone. False if it was
        opened again since: then these segments count no more, and must be made anew."""
        gate = self._settled_gate()
        if gate is None:
            return unknown("the gate was being shut meanwhile"), None
        if gate.state is not GateState.OPEN:
            self._tails.forget_all()
            return refusal(self._order.objects.url, gate), None
        try:
            lane = self._writers.take()
            if any(plan.tail.generation != lane.generation for plan in plans):
                return False, lane
            entries = [plan.entry for plan in plans]
            began = elapsed_s()
            accepted = self._writers.announce(lane, entries)
            if accepted and elapsed_s() - began > self._order.stall_s:
                accepted = self._holds(lane, entries)
        except FoldlogError as error:
            return error, None
        return (True, lane) if accepted else (unknown("two guards in a row stood in its way"), None)

    def announced(self, receipt: Receipt) -> Outcome:
        """A receipt that was found under its key. Behind the timeline, whoever wrote the segment may have ended before
        it was announced: that must be done before it is acknowledged, or nobody would give it a position."""
        shard = receipt.shard
        with self._order.lock:
            line = self._order.state.lines.get(shard)
            if line is not None and receipt.last_seq <= line.ordered_seq:
                return receipt
        try:
            self._writers.adopt([(shard, receipt.first_seq, receipt.last_seq)])
        except LogMoved as error:
            return receipt if receipt.last_seq <= self._reached(shard) else error
        except FoldlogError as error:
            return error
        self._tails.forget(shard)
        known = self._tails.load(shard, with_keys=True).keys or {}
        if known.get(receipt.key) != receipt._replace(duplicate=False):
            return unknown("the gate was shut and opened meanwhile")  # what nobody had announced counts no more
        return receipt

    def _holds(self, lane: Lane, entries: Sequence[Entry]) -> bool:
        """Whether a marker counts that took long: it may have come when the writer was reaped, and the guard that was
        to refuse it collected; or have been collected itself, its segments still on their way."""
        objects, marker = self._order.objects, names.marker(lane.id, lane.n)
        if objects.get(names.writer(lane.id)) is None:
            objects.delete([marker])
            return False
        if objects.get(marker) is not None:
            return True
        self._order.refresh()
        with self._order.lock:
            lines = self._order.state.lines
            return all(shard in lines and last <= lines[shard].ordered_seq for shard, _, last in entries)

    def _settled_gate(self) -> Gate | None:
        """The gate, once nobody is at shutting it; None if that takes too long."""
        pause = 0.005
        while pause < self.SETTLED_S:
            self._order.refresh()
            with self._order.lock:
                if self._order.state.closing is None:
                    return self._order.state.gate
            time.sleep(pause)
            pause *= 2
        return None

    def _counts(self, plan: Plan) -> bool:
        """Whether a segment that was not announced counts after all: one that was, of another writer, lies behind it.
        The gate is shut, so no more are announced."""
        found = self._library.head(plan.name)
        if found is None or found.nonce != plan.nonce:
            return False
        return plan.items[-1].receipt.last_seq <= self._reached(plan.tail.shard)

    def _reached(self, shard: str) -> int:
        """The last seq of a shard that was announced."""
        reached = self._pendings.look().ends.get(shard, 0)
        with self._order.lock:
            line = self._order.state.lines.get(shard)
            return max(reached, line.ordered_seq if line else 0)

    def _make(self, plan: Plan) -> bool:
        """Whether the segment is there, and is this one."""
        if self._order.objects.create(plan.name, plan.data):
            return True
        found = self._library.head(plan.name)
        return found is not None and found.nonce == plan.nonce

    def _stands(self, plan: Plan) -> bool:
        """Whether a segment counts: it may have taken so long that its slot was packed and collected before."""
        if elapsed_s() - plan.tail.seen <= self._order.stall_s:
            return True
        receipt = plan.items[0].receipt
        for _ in range(REWRITES):
            self._order.refresh()
            with self._order.lock:
                line = self._order.state.lines.get(plan.tail.shard)
                if line is None or receipt.first_seq > line.ordered_seq:
                    return True
                where = place_of(line, receipt.first_seq)
            if where is None:
                return False
            # Placed, and maybe packed: as this one, or as what another has put there before this came.
            found = self._library.head(where.name)
            if found is not None and found.kind is Kind.EVENTS:
                part = found.find_part(receipt.first_seq)
                return part is not None and part.receipt == receipt
            self._library.forget([where.name])
        raise unknown(f"shard {plan.tail.shard} was rewritten {REWRITES} times while it was looked for")

    def _settle(self, plan: Plan, outcome: Exception) -> None:
        self._tails.forget(plan.tail.shard)
        if not isinstance(outcome, FoldlogError):
            raise outcome
        for job in plan.jobs:
            job.outcome = outcome

    def _done(self, plan: Plan) -> None:
        head = segment.parse(plan.data, plan.name)
        if isinstance(head, Segment):
            self._library.keep(head, plan.data)
        tail, last = plan.tail, plan.items[-1].receipt
        tail.last_seq, tail.last_us = last.last_seq, last.at_us
        for item, job in zip(plan.items, plan.jobs, strict=True):
            if item.keyed and tail.keys is not None:
                tail.keys[item.receipt.key] = item.receipt
            job.outcome = item.receipt
        tail.seen = elapsed_s()
        self._tails.keep(tail)
        self._pendings.appended(tail.shard, last.last_seq)


def _told(call: Callable[[], bool]) -> Callable[[], bool | Exception]:
    """The call, its error as an answer: one that fails must not hide what became of the others."""

    def run() -> bool | Exception:
        try:
            return call()
        except Exception as error:
            return error

    return run
