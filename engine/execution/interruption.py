"""How a run learns that it is to stop: by an interrupt of its process, or by what somebody else records in its shard.

Another process that records RUN_CANCELING shows in the receipts of this one: seqs that it did not write. So nothing has
to be asked for as long as nobody interferes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..events.run import RunStatus
from ..log.log import EventLog
from ..reporting.recorder import Recorder

_TOLD = {
    "RUN_CANCELING": RunStatus.CANCELING,
    "RUN_CANCELED": RunStatus.CANCELED,
    "RUN_FAILURE": RunStatus.FAILURE,
    "RUN_SUCCESS": RunStatus.SUCCESS,
}


class RunInterrupted(BaseException):
    """The run is to stop. No Exception: code of users that catches all of those must not hold it up."""


class Terminated(RunInterrupted):
    """The process was told to end, by SIGTERM."""


class Interruption:
    """What others have recorded in the run's shard, of which its worker must take notice."""

    def __init__(self, log: EventLog, recorder: Recorder) -> None:
        self._log = log
        self._recorder = recorder
        self._after = 0  #: seq up to which was looked

    def check(self) -> None:
        """Raise RunInterrupted if the run is to stop. Costs nothing as long as nobody else records."""
        if self._recorder.has_company() and (status := self.told()) is not None:
            raise RunInterrupted(f"the run is {status}")

    def told(self) -> RunStatus | None:
        """What the run is by what others have recorded: CANCELING, or over; None if it may go on."""
        found = None
        while records := self._log.read_shard(
            self._recorder.run_id, after_seq=self._after, types=list(_TOLD), limit=100
        ).records:
            self._after = records[-1].seq
            for record in records:
                if found is None or not found.is_finished:  # the first end stands
                    found = _TOLD[record.event.type]
        return found


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Inside, SIGTERM raises Terminated in the main thread, so that the run is recorded as ended. For commands and
    workers; a program around a call of the library keeps its own handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated("the process was told to end (SIGTERM)")

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
