"""A run, reported from its creation to its end."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Literal, Self

from ..errors import ConflictError, ShardPurged, UsageError
from ..events.asset import AssetMaterializationPlanned
from ..events.errorinfo import ErrorInfo, clean
from ..events.event import Fact
from ..events.key import AssetKey, AssetLike
from ..events.log import EngineEvent, LogMessage
from ..events.run import FailureReason, RunCanceled, RunCreated, RunFailed, RunStarted, RunSucceeded
from ..log.log import EventLog
from ..log.port import ANY, NEW, Expected, Receipt
from ..log.writer import EventWriter
from . import interrupts
from .lines import RunHandler
from .planned import Planned, not_made
from .recorder import Recorder, seal
from .reporter import Reporter
from .step import StepReporter, checked

NAMED = 1000  #: failed steps that RUN_FAILURE names; each has said so itself


class RunReporter(Reporter):
    """One run, as its worker reports it. Made by `Instance.run`; use it as a context manager."""

    step_key = None

    def __init__(self, log: EventLog, writer: EventWriter, created: RunCreated, run_id: str) -> None:
        self.run_id = run_id
        self.job_name = created.job_name
        self._log = log
        self._recorder = Recorder(log, writer, run_id, created.job_name)
        self._created = created
        self._lock = threading.Lock()
        self._attempts: dict[str, int] = {}  #: step key to the number of the last attempt
        self._failed: dict[str, BaseException] = {}
        self._planned = Planned()
        self._state: Literal["new", "open", "over"] = "new"

    # -- the life of the run ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if self._state != "new":
            raise UsageError(f"run {self.run_id} was started before; ask the instance for another one")
        selected = self._created.asset_selection or ()
        started = RunStarted(host=clean(socket.gethostname()), process_id=os.getpid())
        facts = [self._created, *(AssetMaterializationPlanned(asset_key=key) for key in selected), started]
        self._state = "open"
        try:
            self._record(facts, expected=NEW)
        except ShardPurged:
            self._state = "new"
            raise
        except ConflictError as error:
            self._state = "new"
            raise ConflictError(f"run {self.run_id} exists already: {error}") from error
        except BaseException:
            self._state = "new"
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with interrupts.held(), interrupts.shielded():  # Ctrl-C while the end is recorded waits for that
                self._record(self._ending(error))
        except Exception as trouble:
            if error is None:
                raise
            error.add_note(f"foldlog could not record the end of run {self.run_id}: {trouble}")
            return
        finally:
            self._state = "over"
            self._recorder.warn_of_loss()
        seal(self._log, self.run_id)

    def _ending(self, error: BaseException | None) -> list[Fact]:
        """The facts that end the run, in one append: what was planned and not made, then the status."""
        left = self._planned.left
        with self._lock:
            failed = tuple(self._failed)
            cause = next((key for key, one in self._failed.items() if one is error), None)
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return [*not_made(left, skipped=True), RunSucceeded()]
        info = ErrorInfo.from_exception(error)
        if isinstance(error, Exception | SystemExit):
            reason = FailureReason.STEP_FAILURE if cause is not None else FailureReason.RUN_EXCEPTION
            ending = RunFailed(reason=reason, error=info, failed_step_keys=failed[:NAMED])
            more = [EngineEvent(text=f"{len(failed):,} steps have failed; RUN_FAILURE names the first {NAMED:,}")]
            notes = more if len(failed) > NAMED else []
            return [*not_made(left, reason="FAILED_TO_MATERIALIZE"), *notes, ending]
        return [*not_made(left, reason="RUN_TERMINATED"), RunCanceled(reason=type(error).__name__, error=info)]

    # -- its steps ----------------------------------------------------------------------------------------------

    def step(self, step_key: str) -> StepReporter:
        """A step, as a context manager: started on entry, ended on exit, failed if an exception passes.

        The same key once more in this run is another attempt at that step.
        """
        return StepReporter(self, checked(step_key))

    def attempts(
        self,
        step_key: str,
        *,
        max_retries: int,
        delay_s: float = 0.0,
        backoff: float = 1.0,
        retry_on: type[Exception] | tuple[type[Exception], ...] = Exception,
    ) -> Iterator[StepReporter]:
        """A step that is tried again when it fails: `for attempt in run.attempts(...):` `with attempt: ...`.

        Up to `max_retries` further attempts after the first, `delay_s` seconds apart, each pause `backoff` times the
        one before. Other errors than `retry_on`, and the last failure, end the step and pass through.
        """
        if max_retries < 0 or delay_s < 0 or backoff <= 0:
            raise UsageError(f"max_retries={max_retries}, delay_s={delay_s}, backoff={backoff}: none may be negative")
        return self._attempts_at(checked(step_key), max_retries, delay_s, backoff, retry_on)

    def _attempts_at(
        self,
        step_key: str,
        retries: int,
        delay_s: float,
        backoff: float,
        retry_on: type[Exception] | tuple[type[Exception], ...],
    ) -> Iterator[StepReporter]:
        for left in range(retries, -1, -1):
            attempt = StepReporter(self, step_key, retry_on=retry_on if left else (), wait_s=delay_s)
            yield attempt
            if attempt.state == "new":
                raise UsageError(f"step {step_key}: write `with attempt:` in the loop over `run.attempts`")
            if attempt.state != "retry":
                return
            time.sleep(delay_s)
            delay_s *= backoff

    # -- what it has to say -------------------------------------------------------------------------------------

    def plan(self, *asset_keys: AssetLike, partition: str | None = None) -> Receipt:
        """Record that the run means to make these assets. What is not made when it ends is recorded as such."""
        if not asset_keys:
            raise UsageError("plan() takes one or more asset keys")
        keys = [AssetKey.of(key) for key in asset_keys]
        return self._record([AssetMaterializationPlanned(asset_key=key, partition=partition) for key in keys])

    @contextmanager
    def capture_logging(self, name: str | None = None, level: int = logging.INFO) -> Iterator[logging.Handler]:
        """Record what the standard logger `name` (the root logger by default) takes, from `level` on, while inside.

        A line logged inside a step of this run, in the step's thread, is recorded as that step's.
        """
        source = logging.getLogger(name)
        handler = RunHandler(self, level)
        source.addHandler(handler)
        try:
            yield handler
        finally:
            source.removeHandler(handler)

    # -- the queue ----------------------------------------------------------------------------------------------

    def _record(self, facts: Iterable[Fact], *, step_key: str | None = None, expected: Expected = ANY) -> Receipt:
        """Append facts, all or none, and wait until they are durable."""
        self._check_open()
        facts = list(facts)
        receipt = self._recorder.record(facts, step_key=step_key, expected=expected)
        self._planned.take_in(facts)
        return receipt

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        if self._state == "open":
            self._recorder.say(line, step_key)
        else:
            self._recorder.lost_lines += 1  # nobody is told: a line is no reason to raise

    def _check_open(self) -> None:
        if self._state != "open":
            raise UsageError(f"run {self.run_id} is {'over' if self._state == 'over' else 'not entered yet'}")

    def __repr__(self) -> str:
        return f"<RunReporter {self.job_name} {self.run_id}>"
