"""Appends: one segment a shard and one marker for all, put side by side, so that an append costs one PUT's time.

Appends of one process that come while others are under way gather, and go together: there is no window. Two writers
with the same idea of where a shard ends meet at one name, and one of them wins; the other reads what is there, and goes
behind it. Not here: what a group comes to (planning.py), making it and learning what became of it (landing.py), what
markers are for (markers.py), where shards end (tails.py).
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Final

from ...engine.errors import FoldlogError, UnavailableError
from ...engine.log.port import Append, Outcome, Receipt
from . import names, segment
from .landing import Landing
from .library import Library
from .markers import Lane, Writers
from .order_log import OrderLog
from .pendings import Pendings
from .planning import Job, Plan, decide, unknown
from .stores.parallel import Parallel
from .tails import Tails

LANES: Final = 4  #: groups under way at once: one slow request holds up a quarter of what comes
GROUP: Final = 1000  #: appends in one group at most
GROUP_BYTES: Final = 32 * 1024 * 1024  #: bytes of bodies in one group, unless one append alone has more
TRIES: Final = 200  #: how often an append that loses its race for a slot goes behind the winner


class Appender:
    """The appends of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings, tails: Tails, writers: Writers) -> None:
        self._order = order
        self._tails = tails
        self._writers = writers
        self._landing = Landing(order, library, pendings, tails, writers)
        self._change = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._busy: set[str] = set()  #: shards that a group is at work on
        self._groups = 0
        self._leaders = Parallel(LANES)

    def append(self, append: Append) -> Receipt:
        [outcome] = self.append_group([append])
        if isinstance(outcome, Receipt):
            return outcome
        raise outcome

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        jobs = [Job(append) for append in appends]
        lead: Callable[[], None] = partial(self._lead, jobs)
        try:
            with self._change:
                self._waiting.extend(jobs)
            if threading.current_thread() is threading.main_thread():
                # An interrupt comes in this thread only. Others wait for what a leader does, so it leads in another.
                self._leaders.run([_nothing, lead])
            else:
                lead()
        except BaseException:
            with self._change:  # what nobody has begun is not begun any more; what is under way has its leader
                for job in jobs:
                    if job in self._waiting:
                        self._waiting.remove(job)
                        job.outcome = unknown("it was interrupted before it began")
                self._change.notify_all()
            raise
        return [job.outcome for job in jobs if job.outcome is not None]

    def close(self) -> None:
        self._leaders.close()

    def _lead(self, jobs: Sequence[Job]) -> None:
        """Bring one group after another to its end, until these jobs have theirs."""
        while True:
            with self._change:
                if all(job.outcome is not None for job in jobs):
                    return
                group = self._next_group()
                if not group:
                    self._change.wait()
                    continue
            self._run(group)

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
            told = error if isinstance(error, FoldlogError) else unknown("it was interrupted")
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
        lane: Lane | None = None
        try:
            lost = 0  #: rounds in a row that have brought no append to its end
            for attempt in count():
                lane = lane or self._writers.take()  # before it is looked where shards end: no gate opens in between
                by_shard: dict[str, list[Job]] = {}
                for job in group:
                    if job.outcome is None:
                        by_shard.setdefault(job.append.shard, []).append(job)
                plans = [plan for shard, jobs in by_shard.items() if (plan := self._planned(shard, jobs, attempt))]
                if not plans:
                    return
                # Held by nobody meanwhile: of a lane whose marker was interrupted nothing is known.
                current, lane = lane, None
                lane = self._landing.write(current, plans)
                lost = 0 if any(job.outcome is not None for plan in plans for job in plan.jobs) else lost + 1
                if lost == TRIES:
                    raise UnavailableError(f"other writers of the same shards were faster {TRIES} times")
                if lost > 2:  # several writers of one shard: let them not meet again at once
                    time.sleep(random.random() * 0.002 * min(lost, 20))
        finally:
            if lane is not None:
                self._writers.give_back(lane)

    def _planned(self, shard: str, jobs: Sequence[Job], attempt: int) -> Plan | None:
        """The segment for the appends of one shard; those that are refused, or were recorded before, get their outcome.

        What this handle has seen may be behind. So it serves to make a segment, whose slot decides, and nothing is
        refused by it.
        """
        with_keys = any(job.append.key is not None for job in jobs)
        tail = self._tails.known(shard, with_keys=with_keys)
        if tail is None and attempt == 0:
            tail = self._tails.new(shard)
        try:
            if tail is not None:
                items, taken, refused = decide(tail, jobs)
                if refused:
                    tail = None
            if tail is None:
                tail = self._tails.load(shard, with_keys=with_keys)
                items, taken, refused = decide(tail, jobs)
        except FoldlogError as error:
            for job in jobs:
                job.outcome = error
            return None
        for job, outcome in refused:
            job.outcome = self._landing.announced(outcome) if isinstance(outcome, Receipt) else outcome
        if not items:
            return None
        nonce = secrets.token_bytes(8)
        data = segment.encode(self._order.state.log_id, shard, items, nonce=nonce)
        return Plan(tail, items, taken, names.slot(shard, items[0].receipt.first_seq, tail.generation), nonce, data)


def _nothing() -> None:
    """What the caller's own thread does meanwhile."""
