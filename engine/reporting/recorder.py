"""Records the events of one run, for the process that is its worker.

Promises: an append is repeated with its key while the store gives no answer, so nothing is recorded twice; and those of
one recorder are recorded in the order in which they were made, also when some got no answer: what is behind such a one
is not tried before it. Events that were *held* are recorded before what comes later. The exception is a line of a log:
it does not wait for what got no answer, and one that cannot be recorded stops nothing, and is counted. What waits is
bounded: beyond that, whoever has more to record waits too. A listener that raises is told no more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from ..errors import FoldlogError, UnavailableError, UsageError
from ..events.event import Event, Fact, Retention
from ..events.log import LogMessage
from ..log.log import EventLog
from ..log.port import ANY, Expected, Receipt
from ..log.writer import EventWriter, got_no_answer
from . import interrupts
from .lines import quiet

logger = logging.getLogger("foldlog.reporting")

RETRY_PAUSES_S = (0.1, 0.5, 2.0, 5.0, 10.0)  #: between tries while the store gives no answer, each with the same key
HELD_LIMIT = 1000  #: events that are held at most; more are recorded at once
HELD_BYTES = 4 * 1024 * 1024  #: the same, of their bodies: an append has a limit, too
UNSETTLED_LIMIT = 1000  #: appends that nobody waited for, at most
UNSETTLED_BYTES = 4 * HELD_BYTES  #: the same, of what they hold
RESEND_S = 0.5  #: while nobody waits, what got no answer is tried again so often


Listener = Callable[[Event[Any]], None]  #: called with each event as it happens; what is held is not yet recorded


@dataclass(eq=False, slots=True)
class _Append:
    """An append, from when it is made until it is known to be durable, or was refused."""

    events: Sequence[Event[Any]]
    expected: Expected
    key: UUID
    held: int  #: how many of them, the first, were held
    held_bytes: int
    total: int  #: events queued with it and before
    future: Future[Receipt] | None = None  #: None: an interrupt came before the writer had it, as far as is known
    is_repeated: bool = False
    is_waited_for: bool = False  #: who made it is told what becomes of it


class Recorder:
    """Appends to one run, in the order of the calls. Thread-safe."""

    def __init__(
        self, log: EventLog, writer: EventWriter, run_id: str, job_name: str, listener: Listener | None = None
    ) -> None:
        self.run_id = run_id
        self.job_name = job_name
        self.lost_lines = 0  #: log lines that could not be recorded
        self._log = log
        self._writer = writer
        self._listener = listener
        # Of all below, and so that what is queued, and counted, is so in one order. Never held in a wait for the store;
        # inside it only the writer's own lock is taken.
        self._lock = threading.RLock()
        self._held: list[Event[Any]] = []
        self._held_bytes = 0  #: of those that were checked
        self._unsettled: list[_Append] = []  #: in order; after one that has failed, none is durable
        self._resend_at = 0.0  #: by the monotonic clock
        self._queued = 0  #: events that were queued here
        self._last: Receipt | None = None
        self._seq_ahead: int | None = None  #: last seq of a receipt less the events queued up to it
        self._company = False

    @property
    def last_seq(self) -> int:
        """The last seq of the receipts that were waited for; 0 if there are none."""
        with self._lock:  # whoever sees it knows whether somebody else is before it
            return 0 if self._last is None else self._last.last_seq

    def event(self, fact: Fact, step_key: str | None = None) -> Event[Any]:
        """The fact in its envelope, as of now."""
        # Kept facts outlive the run's other events, and with them its only mention of the job.
        kept = fact.KIND.retention == Retention.KEPT
        return Event.now(fact, step_key=step_key, job_name=self.job_name if kept else None)

    def hold(self, fact: Fact, step_key: str | None = None, *, check: bool = False) -> None:
        """Have it recorded with what comes next, in one append. A kill before that loses it.

        `check`: raise now what keeps it from being stored (EncodingError, UsageError for its size): a user gave it.
        """
        event = self.event(fact, step_key)
        size = sum(len(one.body) for one in self._log.prepare(self.run_id, [event]).records) if check else 0
        while not self._take(event, size):
            self.release()
        if len(self._held) >= HELD_LIMIT or self._held_bytes >= HELD_BYTES:
            self.release()
        self._tell(event)

    def _take(self, event: Event[Any], size: int) -> bool:
        with self._lock:
            if self._held and self._held_bytes + size > HELD_BYTES:
                return False  # together they could be more than an append may be
            self._held.append(event)
            self._held_bytes += size
            return True

    def release(self) -> None:
        """Queue what is held, and do not wait for it; but if too much waits already, for that.

        Raises what the append raises at once, and if it has to wait, what `record` raises.
        """
        with self._lock:
            if not self._held:
                return
            self._forget_durable()
            last = self._unsettled[-1] if self._is_full() else None
        if last is not None:
            self._settle(last)
        with self._lock:
            self._release()

    def _release(self) -> None:
        if not self._held:
            return
        if self._unsettled and time.monotonic() >= self._resend_at:
            self._send(again=True)
            self._resend_at = time.monotonic() + RESEND_S
        self._queue([], ANY)

    def drop_held(self) -> int:
        """Give up what is held: for what cannot be stored, and would be in the way of all that follows. How many."""
        with self._lock:
            dropped, self._held, self._held_bytes = len(self._held), [], 0
            unsent = [one for one in self._unsettled if one.future is None]
            self._unsettled = [one for one in self._unsettled if one.future is not None]
        return dropped + sum(len(one.events) for one in unsent)

    def record(self, facts: Iterable[Fact], *, step_key: str | None = None, expected: Expected = ANY) -> Receipt:
        """Append what is held and these facts, all or none, and wait until they are durable.

        Raises what the append raises, and what an earlier one with held events raised that nobody waited for. What the
        store gave no answer to is not given up: the next call begins with it.
        """
        events = [self.event(fact, step_key) for fact in facts]
        with self._lock:
            if self._unsettled:
                self._send(again=True)
            # Another thread may have released what was held for this.
            mine = self._queue(events, expected) if events or self._held else next(reversed(self._unsettled), None)
            if mine is None and self._last is not None:
                return self._last
            if mine is None:
                raise UsageError(f"run {self.run_id}: there is nothing to record")
            mine.is_waited_for = True
        receipt = self._settle(mine)
        for event in events:
            self._tell(event)
        return receipt

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        """Queue a line, behind what is held. Never raises: one that is not recorded is no reason to stop the work."""
        try:
            event = Event.now(line, step_key=step_key, level=line.level)
            with quiet(), self._lock:
                self._forget_durable()
                if not self._is_full():  # a line waits for nothing
                    self._release()
                self._writer.append(self.run_id, [event]).add_done_callback(self._count_loss)
                self._queued += 1
        except Exception as trouble:
            self.lost_lines += 1
            logger.debug("run %s: a log line was not recorded: %s", self.run_id, trouble)
            return
        self._tell(event)

    def has_foreign_events(self) -> bool:
        """Whether somebody else may have recorded in the run since the last call; found by the seqs of receipts."""
        found, self._company = self._company, False
        return found

    def expect_company(self) -> None:
        """Have the next `has_foreign_events` say that somebody may have."""
        self._company = True

    def warn_of_loss(self) -> None:
        """Say how many lines are missing, if any are."""
        if self.lost_lines:
            logger.warning("run %s: %d log lines could not be recorded", self.run_id, self.lost_lines)

    # -- the queue; `_lock` is held, but for `_settle` ----------------------------------------------------------

    def _queue(self, events: Sequence[Event[Any]], expected: Expected) -> _Append:
        """Queue what is held and these events. What is held stays so if they cannot be stored."""
        self._send(again=False)
        held, size = len(self._held), self._held_bytes
        every = [*self._held, *events]
        append = _Append(every, expected, uuid4(), held, size, self._queued + len(every))
        # In one assignment, between whose parts no interrupt comes: what is in an append is held no more. From here on
        # it is sent with its key by whoever comes next, should an interrupt be raised.
        self._unsettled, self._held, self._held_bytes, self._queued = [*self._unsettled, append], [], 0, append.total
        try:
            self._hand_over(append, self._unsettled[-2].future if len(self._unsettled) > 1 else None)
        except Exception:
            self._unsettled.remove(append)
            self._held, self._held_bytes = [*every[:held], *self._held], size + self._held_bytes
            self._queued -= len(every)
            raise
        return append

    def _send(self, *, again: bool) -> None:
        """Hand over what is not; `again`: what got no answer, too. In order, each to be recorded after the last."""
        after: Future[Receipt] | None = None
        for append in self._unsettled:
            if append.future is None or (again and got_no_answer(append.future)):
                append.is_repeated = True
                self._hand_over(append, after)
            after = append.future

    def _hand_over(self, append: _Append, after: Future[Receipt] | None) -> None:
        append.future = self._writer.append(
            self.run_id, append.events, expected=append.expected, key=append.key, after=after
        )

    def _is_full(self) -> bool:
        if len(self._unsettled) >= UNSETTLED_LIMIT:
            return True
        return len(self._unsettled) > 1 and sum(one.held_bytes for one in self._unsettled) >= UNSETTLED_BYTES

    def _forget_durable(self) -> None:
        """A step may give very much, and waits for nothing until its end."""
        while self._unsettled and (future := self._unsettled[0].future) is not None and _is_durable(future):
            self._take_in(self._unsettled[0], future.result())

    def _settle(self, mine: _Append) -> Receipt:
        """Wait until it is durable, and all before it; while the store gives no answer, try again."""
        pauses = iter(RETRY_PAUSES_S)
        try:
            while (first := self._first_up_to(mine)) is not None:
                head, future = first
                try:
                    receipt = interrupts.result_of(future)
                except UnavailableError:
                    if (pause_s := next(pauses, None)) is None:
                        raise
                    interrupts.sleep(pause_s)
                    with self._lock:
                        self._send(again=True)
                    continue
                except Exception:  # refused for good
                    self._forget(head)
                    if head is mine or not head.is_waited_for:
                        raise
                    continue
                with self._lock:
                    self._take_in(head, receipt)
                pauses = iter(RETRY_PAUSES_S)  # the store is there again
        except BaseException:
            mine.is_waited_for = False
            raise
        if mine.future is None:
            raise UsageError(f"run {self.run_id}: what was to be recorded was dropped")
        return mine.future.result()

    def _first_up_to(self, mine: _Append) -> tuple[_Append, Future[Receipt]] | None:
        """What is to be waited for next; None if `mine` is settled, by this thread or another."""
        with self._lock:
            self._send(again=False)
            if mine not in self._unsettled:
                return None
            head = self._unsettled[0]
            return None if head.future is None else (head, head.future)

    def _forget(self, append: _Append) -> None:
        with self._lock:
            self._unsettled = [one for one in self._unsettled if one is not append]

    def _take_in(self, append: _Append, receipt: Receipt) -> None:
        """It is durable. See whether somebody else has recorded meanwhile."""
        if append not in self._unsettled:
            return  # another thread has waited for it, too
        self._forget(append)
        self._last = receipt
        if append.is_repeated:  # lines queued behind it may be before it now: its place tells nothing; a look does
            self._company = True
            return
        ahead = receipt.last_seq - append.total
        self._company = self._company or (self._seq_ahead is not None and ahead != self._seq_ahead)
        self._seq_ahead = ahead

    def _tell(self, event: Event[Any]) -> None:
        if self._listener is None:
            return
        try:
            with quiet():
                self._listener(event)
        except Exception as trouble:  # whoever looks on must not break what it looks at
            self._listener = None
            logger.warning(
                "run %s: its listener raised %s: %s; it is told no more", self.run_id, type(trouble).__name__, trouble
            )

    def _count_loss(self, future: Future[Receipt]) -> None:
        if future.cancelled() or future.exception() is not None:
            self.lost_lines += 1
            self._company = True  # from now on the count of what was queued is too high by one


def _is_durable(future: Future[Receipt]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def seal(log: EventLog, run_id: str) -> None:
    """Seal the shard of a run that is over: it takes no more events, unless somebody reopens it. Never raises what
    the store says to that: the run is recorded."""
    try:
        log.seal(run_id)  # False: somebody appended in between, and the shard stays open
    except FoldlogError as trouble:
        logger.warning("run %s is recorded, but could not be sealed: %s", run_id, trouble)
