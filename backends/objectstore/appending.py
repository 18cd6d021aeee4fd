"""Appends: one segment a shard and one marker for all, put side by side, so that an append costs one PUT's time.

Appends of one process that come while others are under way gather, and go together: there is no window. Two writers
with the same idea of where a shard ends meet at one name, and one of them wins; the other reads what is there, and goes
behind it. Whatever says "exists" is read back: it may be this append's own, its reply lost.
Not here: what markers are for (markers.py), where shards end (tails.py), bytes (segment.py).
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import uuid4

from ...engine.errors import AppendKeyConflict, ConflictError, FoldlogError, LogMoved, UnavailableError
from ...engine.log.port import ANY, NEW, Append, Gate, GateState, Outcome, Receipt, refusal
from . import names, segment
from .clock import elapsed_s, now_us
from .library import Library
from .markers import Entry, Lane, Writers
from .order_log import OrderLog
from .pendings import Pendings
from .places import place_of
from .segment import HEAD_BYTES, Item, Kind, Segment
from .tails import Tail, Tails

LANES: Final = 4  #: groups under way at once: one slow request holds up a quarter of what comes
GROUP: Final = 1000  #: appends in one group at most
GROUP_BYTES: Final = 32 * 1024 * 1024  #: bytes of bodies in one group, unless one append alone has more
TRIES: Final = 200  #: how often an append that loses its race for a slot goes behind the winner
REWRITES: Final = 20  #: of a shard, while it is looked at


class Job:
    """An append that waits for its outcome."""

    __slots__ = ("append", "bytes", "outcome")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.bytes = sum([len(record.body) for record in append.records])
        self.outcome: Outcome | None = None


class _Plan(NamedTuple):
    """A segment that is to be made, and whose outcome it is."""

    tail: Tail
    items: list[Item]
    jobs: list[Job]
    name: str
    nonce: bytes
    data: bytes

    @property
    def entry(self) -> Entry:
        return self.tail.shard, self.items[0].receipt.first_seq, self.items[-1].receipt.last_seq


class Appender:
    """The appends of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings, tails: Tails, writers: Writers) -> None:
        self._pendings = pendings
        self._order = order
        self._library = library
        self._tails = tails
        self._writers = writers
        self._change = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._busy: set[str] = set()  #: shards that a group is at work on
        self._groups = 0

    def append(self, append: Append) -> Receipt:
        [outcome] = self.append_group([append])
        if isinstance(outcome, Receipt):
            return outcome
        raise outcome

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        jobs = [Job(append) for append in appends]
        with self._change:
            self._waiting.extend(jobs)
        try:
            while True:
                with self._change:
                    left = [job for job in jobs if job.outcome is None]
                    if not left:
                        return [job.outcome for job in jobs if job.outcome is not None]
                    group = self._next_group()
                    if not group:
                        self._change.wait()
                        continue
                self._run(group)
        except BaseException:
            with self._change:  # what nobody has begun is not begun any more; what is under way has its leader
                self._waiting = deque(job for job in self._waiting if job not in jobs)
            raise

    def _next_group(self) -> list[Job]:
        """What can go now: nothing of a shard that is being written to, and no shard's appends out of their order."""
        if self._groups >= LANES or not self._waiting:
            return []
        group: list[Job] = []
        left: deque[Job] = deque()
        held = set(self._busy)
        size = 0
        for job in self._waiting:
            shard = job.append.shard
            full = len(group) >= GROUP or (group and size + job.bytes > GROUP_BYTES)
            if shard in held or full:
                held.add(shard)
                left.append(job)
            else:
                group.append(job)
                size += job.bytes
        if group:
            self._waiting = left
            self._groups += 1
            self._busy |= {job.append.shard for job in group}
        return group

    def _run(self, group: Sequence[Job]) -> None:
        """Bring a group to its end, whatever happens: others wait for these outcomes."""
        try:
            self._commit(group)
        except BaseException as error:
            told = error if isinstance(error, FoldlogError) else _unknown("it was interrupted")
            for job in group:
                if job.outcome is None:
                    self._tails.forget(job.append.shard)
                    job.outcome = told
            if not isinstance(error, FoldlogError):
                raise
        finally:
            with self._change:
                self._groups -= 1
                self._busy -= {job.append.shard for job in group}
                self._change.notify_all()

    # -- one group ----------------------------------------------------------------------------------------------

    def _commit(self, group: Sequence[Job]) -> None:
        lane: Lane | None = self._writers.take()
        try:
            for attempt in range(TRIES):
                by_shard: dict[str, list[Job]] = {}
                for job in group:
                    if job.outcome is None:
                        by_shard.setdefault(job.append.shard, []).append(job)
                plans = [plan for shard, jobs in by_shard.items() if (plan := self._planned(shard, jobs, attempt))]
                if not plans:
                    return
                # Held by nobody meanwhile: of a lane whose marker was interrupted nothing is known.
                current, lane = lane or self._writers.take(), None
                lane = self._write(current, plans)
                if attempt > 2:  # several writers of one shard: let them not meet again at once
                    time.sleep(random.random() * 0.002 * min(attempt, 20))
            raise UnavailableError(f"other writers of the same shards were faster {TRIES} times")
        finally:
            if lane is not None:
                self._writers.give_back(lane)

    def _planned(self, shard: str, jobs: Sequence[Job], attempt: int) -> _Plan | None:
        """The segment for the appends of one shard; those that are refused, or were recorded before, get their outcome.

        What this handle has seen may be behind. So it serves to make a segment, whose slot decides, and nothing is
        refused by it.
        """
        with_keys = any(job.append.key is not None for job in jobs)
        tail = self._tails.known(shard, with_keys=with_keys)
        if tail is None and attempt == 0 and self._tails.is_new(shard):
            tail = Tail(shard)
        try:
            if tail is not None:
                items, taken, refused = _decide(tail, jobs)
                if refused:
                    tail = None
            if tail is None:
                tail = self._tails.load(shard, with_keys=with_keys)
                items, taken, refused = _decide(tail, jobs)
        except FoldlogError as error:
            for job in jobs:
                job.outcome = error
            return None
        for job, outcome in refused:
            job.outcome = outcome
        if not items:
            return None
        nonce = secrets.token_bytes(8)
        data = segment.encode(self._order.state.log_id, shard, items, nonce=nonce)
        return _Plan(tail, items, taken, names.slot(shard, items[0].receipt.first_seq), nonce, data)

    def _write(self, lane: Lane, plans: Sequence[_Plan]) -> Lane | None:
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
            announced, kept = self._again(entries)
            if announced is True:  # a gate that was shut, and is open again, has had refused segments swept away
                made = [
                    self._is_there(plan) if outcome is True else outcome
                    for plan, outcome in zip(plans, made, strict=True)
                ]
        for plan, outcome in zip(plans, made, strict=True):
            error = announced if isinstance(announced, Exception) else None
            if error is None and isinstance(outcome, Exception):
                error = outcome
            if isinstance(error, LogMoved) and self._counts(plan):
                error = None
            if error is not None:
                self._settle(plan, error)
            elif outcome is True and self._stands(plan):
                self._done(plan)
            else:
                self._tails.forget(plan.tail.shard)
        return None if isinstance(announced, Exception) else kept

    def _again(self, entries: Sequence[Entry]) -> tuple[bool | Exception, Lane | None]:
        """A guard stood in the marker's place: the gate was shut, or this writer was taken for gone."""
        gate = self._settled_gate()
        if gate is None:
            return _unknown("the gate was being shut meanwhile"), None
        if gate.state is not GateState.OPEN:
            self._tails.forget_all()
            return refusal(self._order.objects.url, gate), None
        try:
            lane = self._writers.take()
            began = elapsed_s()
            accepted = self._writers.announce(lane, entries)
            if accepted and elapsed_s() - began > self._order.stall_s:
                accepted = self._holds(lane, entries)
        except FoldlogError as error:
            return error, None
        return (True, lane) if accepted else (_unknown("two guards in a row stood in its way"), None)

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
        while pause < 2.0:
            self._order.refresh()
            with self._order.lock:
                if self._order.state.closing is None:
                    return self._order.state.gate
            time.sleep(pause)
            pause *= 2
        return None

    def _counts(self, plan: _Plan) -> bool:
        """Whether a segment that was not announced counts after all: one that was, of another writer, lies behind it.
        The gate is shut, so no more are announced."""
        found = self._library.head(plan.name)
        if found is None or found.nonce != plan.nonce:
            return False
        reached = self._pendings.look().ends.get(plan.tail.shard, 0)
        with self._order.lock:
            line = self._order.state.lines.get(plan.tail.shard)
            return plan.items[-1].receipt.last_seq <= max(reached, line.ordered_seq if line else 0)

    def _is_there(self, plan: _Plan) -> bool:
        """Whether its segment is, as the store has it; or has been packed since."""
        data = self._order.objects.get(plan.name, end=HEAD_BYTES)
        if data is not None and plan.data.startswith(data):
            return True
        self._library.forget([plan.name])
        return self._is_placed(plan) is True

    def _make(self, plan: _Plan) -> bool:
        """Whether the segment is there, and is this one."""
        if self._order.objects.create(plan.name, plan.data):
            return True
        found = self._library.head(plan.name)
        return found is not None and found.nonce == plan.nonce

    def _stands(self, plan: _Plan) -> bool:
        """Whether a segment counts: it may have taken so long that its slot was packed and collected before."""
        return elapsed_s() - plan.tail.seen <= self._order.stall_s or self._is_placed(plan) is not False

    def _is_placed(self, plan: _Plan) -> bool | None:
        """Whether the order has this append in its place, or another one; None if it does not reach there yet."""
        receipt = plan.items[0].receipt
        for _ in range(REWRITES):
            self._order.refresh()
            with self._order.lock:
                line = self._order.state.lines.get(plan.tail.shard)
                if line is None or receipt.first_seq > line.ordered_seq:
                    return None
                where = place_of(line, receipt.first_seq)
            if where is None:
                return False
            # Placed, and maybe packed: as this one, or as what another has put there before this came.
            found = self._library.head(where.name)
            if found is not None and found.kind is Kind.EVENTS:
                part = found.find_part(receipt.first_seq)
                return part is not None and part.receipt == receipt
            self._library.forget([where.name])
        raise _unknown(f"shard {plan.tail.shard} was rewritten {REWRITES} times while it was looked for")

    def _settle(self, plan: _Plan, outcome: Exception) -> None:
        self._tails.forget(plan.tail.shard)
        if not isinstance(outcome, FoldlogError):
            raise outcome
        for job in plan.jobs:
            job.outcome = outcome

    def _done(self, plan: _Plan) -> None:
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


def _decide(tail: Tail, jobs: Sequence[Job]) -> tuple[list[Item], list[Job], list[tuple[Job, Outcome]]]:
    """What of the appends is to be written where, and the outcome of the others, if the shard ends as the tail says."""
    items: list[Item] = []
    taken: list[Job] = []
    settled: list[tuple[Job, Outcome]] = []
    last_seq, last_us = tail.last_seq, tail.last_us
    keys, made = tail.keys or {}, set()
    for job in jobs:
        shard, records, digest, expected, key = job.append
        if key is not None and key in made:
            continue  # of one that goes with it: its outcome, in the next round, depends on what becomes of that
        if key is not None and (known := keys.get(key)):  # before `expected`: a success retried is no conflict
            settled.append((job, _again_or_conflict(known, digest)))
            continue
        if expected is not ANY and last_seq != (0 if expected is NEW else expected):
            if items:
                break  # as above; and what comes behind it must not come before it
            spelled = "it empty" if expected is NEW else f"seq {expected}"
            settled.append((job, ConflictError(f"shard {shard} is at seq {last_seq}, the writer expected {spelled}")))
            continue
        last_us = now_us(after=last_us)
        receipt = Receipt(shard, last_seq + 1, last_seq + len(records), key or uuid4(), last_us, digest)
        last_seq = receipt.last_seq
        if key is not None:
            made.add(key)
        items.append(Item(receipt, key is not None, 0, records))
        taken.append(job)
    return items, taken, settled


def _again_or_conflict(known: Receipt, digest: bytes) -> Outcome:
    if known.digest != digest:
        return AppendKeyConflict(f"shard {known.shard}: key {known.key} recorded other facts at seq {known.first_seq}")
    return known._replace(duplicate=True)


def _told(call: Callable[[], bool]) -> Callable[[], bool | Exception]:
    """The call, its error as an answer: one that fails must not hide what became of the others."""

    def run() -> bool | Exception:
        try:
            return call()
        except Exception as error:
            return error

    return run


def _unknown(why: str) -> UnavailableError:
    return UnavailableError(f"it is not known what became of the append: {why}")
