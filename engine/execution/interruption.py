"""How a run learns that it is to stop: by an interrupt of its process, or by what somebody else records in its shard.

Another process that records RUN_CANCELING shows in the receipts of this one: seqs that it did not write. So nothing has
to be asked for as long as nobody interferes.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from types import FrameType

from ..errors import UnavailableError
from ..events.run import RunStatus
from ..log.log import EventLog
from ..reporting import interrupts
from ..reporting.recorder import Recorder

logger = logging.getLogger("foldlog.execution")

_TOLD = {
    "RUN_CANCELING": RunStatus.CANCELING,
    "RUN_CANCELED": RunStatus.CANCELED,
    "RUN_FAILURE": RunStatus.FAILURE,
    "RUN_SUCCESS": RunStatus.SUCCESS,
}

TOLD_PAUSES_S = (0.1, 0.5, 2.0)  #: between tries to learn, at the end of a run, what others made of it


class RunInterrupted(BaseException):
    """The run is to stop. No Exception: code of users that catches all of those must not hold it up."""

    status: RunStatus | None = None  #: what somebody else made of the run; None if it was not that


class Terminated(RunInterrupted):
    """The process was told to end, by SIGTERM."""


class Interruption:
    """What others have recorded in the run's shard, of which its worker must take notice."""

    def __init__(self, log: EventLog, recorder: Recorder) -> None:
        self._log = log
        self._recorder = recorder
        self._after = 0  #: seq up to which nothing is unknown: it was read, or it is all of this recorder
        self._found: RunStatus | None = None

    def check(self) -> None:
        """Raise RunInterrupted if the run is to stop. Costs nothing as long as nobody else records."""
        if (status := self.told_lately()) is not None:
            interrupt = RunInterrupted(f"the run is {status}")
            interrupt.status = status
            raise interrupt

    def told(self) -> RunStatus | None:
        """What the run is by what is recorded: CANCELING, or over; None if it may go on."""
        last = self._recorder.last_seq  # recorded by now, so it is among what is read
        while records := self._log.read_shard(
            self._recorder.run_id, after_seq=self._after, types=list(_TOLD), limit=100
        ).records:
            self._after = records[-1].seq
            for record in records:
                if self._found is None or not self._found.is_finished:  # the first end stands
                    self._found = _TOLD[record.event.type]
        self._after = max(self._after, last)  # else a long run is read from its beginning each time
        return self._found

    def is_over(self, *, look: bool = True) -> bool:
        """Whether somebody else has ended the run, as far as the store tells; without a look, as far as is known."""
        if look:
            try:
                self.told()
            except UnavailableError as trouble:
                logger.warning("run %s: whether it is over could not be read: %s", self._recorder.run_id, trouble)
        return self._found is not None and self._found.is_finished

    def told_at_end(self) -> RunStatus | None:
        """The same, of a run that ends in any case: if the store gives no answer, nobody has said anything."""
        for pause_s in (*TOLD_PAUSES_S, None):
            try:
                return self.told()
            except UnavailableError as trouble:
                if pause_s is None:
                    logger.warning("run %s: what became of it could not be read: %s", self._recorder.run_id, trouble)
                else:
                    interrupts.sleep(pause_s)
        return None

    def told_lately(self) -> RunStatus | None:
        """The same, if somebody else may have recorded since it was last looked at; else None."""
        last = self._recorder.last_seq
        if not self._recorder.has_foreign_events():
            self._after = max(self._after, last)
            return None
        try:
            return self.told()
        except UnavailableError as trouble:  # no reason to stop: it is looked at again when the next step begins
            self._recorder.expect_company()
            logger.warning("run %s: whether it is to stop could not be read: %s", self._recorder.run_id, trouble)
            return None


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises Terminated in the main thread, so that the run is recorded as ended. For commands and
    workers; a program around a call of the library keeps its own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated("the process was told to end (SIGTERM)")


def interrupts_held() -> AbstractContextManager[None]:
    """Around the work on a run: Ctrl-C, and SIGTERM where it is turned into Terminated, are raised in code of users, in
    waits and between steps only. See `reporting.interrupts`."""
    return interrupts.held((_terminate,))
