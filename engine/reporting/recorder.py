"""Records the events of one run, for the process that is its worker.

Promises: an append is repeated with its key while the store gives no answer, so nothing is recorded twice; a line that
cannot be recorded stops nothing, and is counted. Events that were *held* are recorded before anything that comes later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any
from uuid import UUID, uuid4

from ..errors import UnavailableError
from ..events.event import Event, Fact, Retention
from ..events.log import LogMessage
from ..log.log import EventLog
from ..log.port import ANY, Expected, Receipt
from ..log.writer import EventWriter

logger = logging.getLogger("foldlog.reporting")

RETRY_PAUSES_S = (0.1, 0.5, 2.0)  #: between tries while the store gives no answer, each with the same key
HELD_LIMIT = 1000  #: events that are held at most; more are recorded at once
HELD_BYTES = 4 * 1024 * 1024  #: the same, of their bodies: an append has a limit, too


class Recorder:
    """Appends to one run. Thread-safe, but for what is held, which belongs to one thread."""

    def __init__(self, log: EventLog, writer: EventWriter, run_id: str, job_name: str) -> None:
        self.run_id = run_id
        self.job_name = job_name
        self.lost_lines = 0  #: log lines that could not be recorded
        self._log = log
        self._writer = writer
        self._held: list[Event[Any]] = []
        self._held_bytes = 0  #: of those that were checked
        self._queueing = threading.Lock()  #: so that events are counted in the order in which they are queued
        self._queued = 0  #: events that were queued here
        self._seq_ahead: int | None = None  #: last seq of a receipt less the events queued up to it
        self._company = False

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
        if check:
            self._held_bytes += sum(len(one.body) for one in self._log.prepare(self.run_id, [event]).records)
        self._held.append(event)
        if len(self._held) >= HELD_LIMIT or self._held_bytes >= HELD_BYTES:
            self.release()

    def release(self) -> Future[Receipt] | None:
        """Queue what is held, and do not wait for it."""
        held = self._take()
        return self._queue(held, ANY, uuid4()) if held else None

    def _take(self) -> list[Event[Any]]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def record(self, facts: Iterable[Fact], *, step_key: str | None = None, expected: Expected = ANY) -> Receipt:
        """Append what is held and these facts, all or none, and wait until they are durable."""
        events = [*self._take(), *(self.event(fact, step_key) for fact in facts)]
        key = uuid4()
        for pause_s in (*RETRY_PAUSES_S, None):
            future, queued = self._counted(events, expected, key)
            try:
                receipt = future.result()
                break
            except UnavailableError:
                # It may have landed: with the same key, and before `expected` is looked at, it is recorded once.
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        self._compare(receipt, queued)
        return receipt

    def has_company(self) -> bool:
        """Whether somebody else may have recorded in the run since the last call; found by the seqs of receipts."""
        found, self._company = self._company, False
        return found

    def _compare(self, receipt: Receipt, queued: int) -> None:
        ahead = receipt.last_seq - queued
        self._company = self._company or (self._seq_ahead is not None and ahead != self._seq_ahead)
        self._seq_ahead = ahead

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        """Queue a line. Never raises: one that cannot be recorded is no reason to stop the work."""
        try:
            event = Event.now(line, step_key=step_key, level=line.level)
            self._queue([event], ANY, None).add_done_callback(self._count_loss)
        except Exception as trouble:
            self.lost_lines += 1
            logger.debug("run %s: a log line was not recorded: %s", self.run_id, trouble)

    def warn_of_loss(self) -> None:
        """Say how many lines are missing, if any are."""
        if self.lost_lines:
            logger.warning("run %s: %d log lines could not be recorded", self.run_id, self.lost_lines)

    def _queue(self, events: Sequence[Event[Any]], expected: Expected, key: UUID | None) -> Future[Receipt]:
        return self._counted(events, expected, key)[0]

    def _counted(
        self, events: Sequence[Event[Any]], expected: Expected, key: UUID | None
    ) -> tuple[Future[Receipt], int]:
        """The append, and how many events were queued with it and before."""
        with self._queueing:
            future = self._writer.append(self.run_id, events, expected=expected, key=key)
            self._queued += len(events)
            return future, self._queued

    def _count_loss(self, future: Future[Receipt]) -> None:
        if future.cancelled() or future.exception() is not None:
            self.lost_lines += 1
