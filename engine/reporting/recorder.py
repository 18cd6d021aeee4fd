"""Records the events of one run, for the process that is its worker.

Promises: an append is repeated with its key while the store gives no answer, so nothing is recorded twice; a line that
cannot be recorded stops nothing, and is counted. Events that were *held* are recorded before anything that comes later,
and if that fails, the next `record` says so.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from ..errors import UnavailableError
from ..events.event import Event, Fact, Retention
from ..events.log import LogMessage
from ..log.log import EventLog
from ..log.port import ANY, Expected, Receipt
from ..log.writer import EventWriter

logger = logging.getLogger("foldlog.reporting")

RETRY_PAUSES_S = (0.1, 0.5, 2.0, 5.0, 10.0)  #: between tries while the store gives no answer, each with the same key
HELD_LIMIT = 1000  #: events that are held at most; more are recorded at once
HELD_BYTES = 4 * 1024 * 1024  #: the same, of their bodies: an append has a limit, too


Listener = Callable[[Event[Any]], None]  #: called with each event as it happens; what is held is not yet recorded


class _Append(NamedTuple):
    """An append that is queued, and what it takes to queue it again."""

    future: Future[Receipt]
    events: Sequence[Event[Any]]
    expected: Expected
    key: UUID
    total: int  #: events queued with it and before


class _Handing(NamedTuple):
    """What is being handed to the writer; left behind by an interrupt, it is handed over again with what comes next."""

    events: Sequence[Event[Any]]
    held: int  #: how many of them, the first, are held
    expected: Expected
    key: UUID


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
        self._tell = listener or _nobody
        self._lock = threading.RLock()  #: so that what is queued, and counted, is so in one order
        self._held: list[Event[Any]] = []
        self._held_bytes = 0  #: of those that were checked
        self._unsettled: list[_Append] = []  #: with held events, and not waited for yet
        self._handing: _Handing | None = None
        self._queued = 0  #: events that were queued here
        self._seq_ahead: int | None = None  #: last seq of a receipt less the events queued up to it
        self._company = False
        self._last_seq = 0

    @property
    def last_seq(self) -> int:
        """The last seq of the receipts that were waited for; 0 if there are none."""
        with self._lock:
            return self._last_seq

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
        with self._lock:
            if self._held_bytes + size > HELD_BYTES:  # together they could be more than an append may be
                self.release()
            self._held.append(event)
            self._held_bytes += size
            if len(self._held) >= HELD_LIMIT or self._held_bytes >= HELD_BYTES:
                self.release()
        self._tell(event)

    def release(self) -> None:
        """Queue what is held, and do not wait for it."""
        with self._lock:
            if self._held:
                while self._unsettled and _is_durable(self._unsettled[0].future):
                    del self._unsettled[0]  # a step may give very much, and waits for nothing until its end
                self._unsettled.append(self._queue([], ANY))

    def record(self, facts: Iterable[Fact], *, step_key: str | None = None, expected: Expected = ANY) -> Receipt:
        """Append what is held and these facts, all or none, and wait until they are durable.

        Raises what the append raises, and what an earlier one with held events raised that nobody waited for. What the
        store gave no answer to is not given up: the next call begins with it.
        """
        with self._lock:
            waiting, self._unsettled = self._unsettled, []
        events = [self.event(fact, step_key) for fact in facts]
        try:
            while waiting:  # before the next is queued: tried again behind it, they would change places
                self._settle(waiting[0])
                del waiting[0]
            with self._lock:
                waiting.append(self._queue(events, expected))
            receipt = self._settle(waiting[0])
        except BaseException as error:
            if isinstance(error, Exception) and not isinstance(error, UnavailableError):
                del waiting[:1]  # refused for good
            with self._lock:
                self._unsettled[:0] = waiting
            raise
        for event in events:
            self._tell(event)
        return receipt

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        """Queue a line, behind what is held. Never raises: one that is not recorded is no reason to stop the work."""
        try:
            event = Event.now(line, step_key=step_key, level=line.level)
            with self._lock:
                self.release()
                self._writer.append(self.run_id, [event]).add_done_callback(self._count_loss)
                self._queued += 1
            self._tell(event)
        except Exception as trouble:
            self.lost_lines += 1
            logger.debug("run %s: a log line was not recorded: %s", self.run_id, trouble)

    def has_company(self) -> bool:
        """Whether somebody else may have recorded in the run since the last call; found by the seqs of receipts."""
        found, self._company = self._company, False
        return found

    def expect_company(self) -> None:
        """Have the next `has_company` say that somebody may have."""
        self._company = True

    def warn_of_loss(self) -> None:
        """Say how many lines are missing, if any are."""
        if self.lost_lines:
            logger.warning("run %s: %d log lines could not be recorded", self.run_id, self.lost_lines)

    def _queue(self, events: Sequence[Event[Any]], expected: Expected) -> _Append:
        """Queue what is held and these events. What is held stays so if they cannot be stored."""
        if self._handing is not None:  # once more, with its key: whether it was queued is not known
            self._unsettled.append(self._hand_over(self._handing))
        held = len(self._held)
        return self._hand_over(_Handing([*self._held, *events], held, expected, uuid4()))

    def _hand_over(self, given: _Handing) -> _Append:
        self._handing = given
        try:
            future = self._writer.append(self.run_id, given.events, expected=given.expected, key=given.key)
        except Exception:
            self._handing = None
            raise
        total = self._queued + len(given.events)
        # In one assignment, between whose parts no interrupt comes: what was queued is held no more.
        self._held, self._held_bytes, self._queued, self._handing = self._held[given.held :], 0, total, None
        return _Append(future, given.events, given.expected, given.key, total)

    def _settle(self, append: _Append) -> Receipt:
        """Wait until it is durable; while the store gives no answer, try again."""
        future, again = append.future, False
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                receipt = future.result()
                break
            except UnavailableError:
                if pause_s is None:
                    raise
                time.sleep(pause_s)
                # It may have landed: with the same key, and before `expected` is looked at, it is recorded once.
                future, again = (
                    self._writer.append(self.run_id, append.events, expected=append.expected, key=append.key),
                    True,
                )
        ahead = receipt.last_seq - append.total
        if again:  # lines queued behind it may be before it now: its place tells nothing, and looking costs little
            self._company = True
            self._last_seq = receipt.last_seq
            return receipt
        self._company = self._company or (self._seq_ahead is not None and ahead != self._seq_ahead)
        self._seq_ahead = ahead
        self._last_seq = receipt.last_seq  # behind the others: who sees it knows whether somebody else is before it
        return receipt

    def _count_loss(self, future: Future[Receipt]) -> None:
        if future.cancelled() or future.exception() is not None:
            self.lost_lines += 1
            self._company = True  # from now on the count of what was queued is too high by one


def _is_durable(future: Future[Receipt]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _nobody(event: Event[Any]) -> None:
    """Nobody listens."""
