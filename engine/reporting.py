"""Report what a program does: a run, its steps, what they made of assets, what they said.

    with instance.run("nightly-load", tags={"team": "growth"}) as run:
        with run.step("extract") as step:
            step.log("42 rows")
        run.materialize(["raw", "orders"], partition="2026-11-20", metadata={"rows": 1234})

Promises: each call but `log` returns when its facts are durable, and a reply that got lost records nothing twice. All
of a run's events go through one queue, so their order in the log is the order of the calls. A log line never fails
the program, nor does sealing. Whatever ends the `with` block, the end of the run or step is recorded with its error,
and the exception goes on. Thread-safe: steps may run in threads of their own.
Not here: executing anything, retrying a whole run (engine/execution), questions about runs (engine/views).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Literal, Self
from uuid import UUID, uuid4

from .errors import ConflictError, FoldlogError, ShardPurged, UnavailableError, UsageError
from .events.asset import (
    AssetFailedToMaterialize,
    AssetMaterialization,
    AssetMaterializationPlanned,
    AssetObservation,
)
from .events.check import AssetCheckEvaluation
from .events.errorinfo import ErrorInfo, clean
from .events.event import Event, Fact, Retention
from .events.key import AssetKey, AssetLike
from .events.log import LogMessage
from .events.metadata import to_metadata
from .events.run import FailureReason, RunCanceled, RunCreated, RunFailed, RunStarted, RunSucceeded
from .events.step import StepFailed, StepRestarted, StepStarted, StepSucceeded, StepUpForRetry
from .log.log import EventLog
from .log.port import ANY, NEW, Expected, Receipt
from .log.writer import EventWriter

logger = logging.getLogger("foldlog.reporting")

RETRY_PAUSES_S = (0.1, 0.5, 2.0)  #: between tries while the store gives no answer, each with the same key
STEP_KEY_LIMIT = 200  #: bytes of a step key in UTF-8

#: the step this thread is in, so that a line taken by the standard logging finds it
_step_here: ContextVar[StepReporter | None] = ContextVar("foldlog_step", default=None)


class Reporter:
    """What a run and a step have in common: both can report on assets and say something."""

    run_id: str
    step_key: str | None

    def _record(self, facts: Iterable[Fact]) -> Receipt:
        raise NotImplementedError

    def _say(self, line: LogMessage) -> None:
        raise NotImplementedError

    def materialize(
        self,
        asset_key: AssetLike,
        *,
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        code_version: str | None = None,
        data_version: str | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record that an asset, or one partition of it, was made. `asset_key`: a key, `"raw/orders"`, or its parts.

        `metadata`: plain values, times with a zone, paths, lists and dicts; see `events.to_metadata`.
        Raises EncodingError, with the path, for a value that cannot be stored; nothing is recorded then.
        """
        return self._record(
            [
                AssetMaterialization(
                    asset_key=AssetKey.of(asset_key),
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    tags=dict(tags or {}),
                    code_version=code_version,
                    data_version=data_version,
                    description=description,
                )
            ]
        )

    def observe(
        self,
        asset_key: AssetLike,
        *,
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        data_version: str | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record what was seen of an asset without making it. Parameters and errors as of `materialize`."""
        return self._record(
            [
                AssetObservation(
                    asset_key=AssetKey.of(asset_key),
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    tags=dict(tags or {}),
                    data_version=data_version,
                    description=description,
                )
            ]
        )

    def check(
        self,
        asset_key: AssetLike,
        name: str,
        passed: bool,
        *,
        severity: Literal["ERROR", "WARN"] = "ERROR",
        partition: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        description: str | None = None,
    ) -> Receipt:
        """Record the outcome of a check of an asset. A check that did not pass fails nothing by itself."""
        return self._record(
            [
                AssetCheckEvaluation(
                    asset_key=AssetKey.of(asset_key),
                    check_name=name,
                    passed=bool(passed),
                    severity=severity,
                    partition=partition,
                    metadata=to_metadata(metadata or {}),
                    description=description,
                )
            ]
        )

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Record a line. Returns at once; the line is durable before the end of the run is. Never raises.

        `level`: as in the standard logging module, 10 debug to 50 critical.
        """
        self._say(LogMessage(text=clean(str(text)), level=level))


class RunReporter(Reporter):
    """One run, as its worker reports it. Made by `Instance.run`; use it as a context manager."""

    step_key = None

    def __init__(self, log: EventLog, writer: EventWriter, created: RunCreated, run_id: str) -> None:
        self.run_id = run_id
        self.job_name = created.job_name
        self._log = log
        self._writer = writer
        self._created = created
        self._lock = threading.Lock()
        self._attempts: dict[str, int] = {}  #: step key to the number of the last attempt
        self._failed: dict[str, BaseException] = {}
        self._planned: dict[tuple[AssetKey, str | None], None] = {}  #: a dict, for its order
        self._lost_lines = 0
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
        facts = self._ending(error)
        try:
            self._record(facts)
        except FoldlogError as trouble:
            if error is None:
                raise
            error.add_note(f"foldlog could not record the end of run {self.run_id}: {trouble}")
            return
        finally:
            self._state = "over"
            if self._lost_lines:
                logger.warning("run %s: %d log lines could not be recorded", self.run_id, self._lost_lines)
        self._seal()

    def _ending(self, error: BaseException | None) -> list[Fact]:
        """The facts that end the run, in one append: what was planned and not made, then the status."""
        with self._lock:
            left = list(self._planned)
            failed = tuple(self._failed)
            cause = next((key for key, one in self._failed.items() if one is error), None)
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return [*_not_made(left, skipped=True), RunSucceeded()]
        info = ErrorInfo.from_exception(error)
        if isinstance(error, Exception | SystemExit):
            reason = FailureReason.STEP_FAILURE if cause is not None else FailureReason.RUN_EXCEPTION
            ending = RunFailed(reason=reason, error=info, failed_step_keys=failed)
            return [*_not_made(left, reason="FAILED_TO_MATERIALIZE"), ending]
        return [*_not_made(left, reason="RUN_TERMINATED"), RunCanceled(reason=type(error).__name__, error=info)]

    def _seal(self) -> None:
        try:
            self._log.seal(self.run_id)  # False: somebody appended in between, and the shard stays open
        except FoldlogError as trouble:
            logger.warning("run %s is recorded, but could not be sealed: %s", self.run_id, trouble)

    # -- its steps ----------------------------------------------------------------------------------------------

    def step(self, step_key: str) -> StepReporter:
        """A step, as a context manager: started on entry, ended on exit, failed if an exception passes.

        The same key once more in this run is another attempt at that step.
        """
        return StepReporter(self, _checked(step_key))

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
        return self._attempts_at(_checked(step_key), max_retries, delay_s, backoff, retry_on)

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
        events = [self._event(fact, step_key) for fact in facts]
        key = uuid4()
        for pause_s in (*RETRY_PAUSES_S, None):
            try:
                receipt = self._queue(events, expected, key).result()
                break
            except UnavailableError:
                # It may have landed: with the same key, and before `expected` is looked at, it is recorded once.
                if pause_s is None:
                    raise
                time.sleep(pause_s)
        self._take_in(facts)
        return receipt

    def _queue(self, events: list[Event[Any]], expected: Expected, key: UUID) -> Future[Receipt]:
        return self._writer.append(self.run_id, events, expected=expected, key=key)

    def _say(self, line: LogMessage, step_key: str | None = None) -> None:
        try:
            self._check_open()
            event = Event.now(line, step_key=step_key, level=line.level)
            self._writer.append(self.run_id, [event]).add_done_callback(self._count_loss)
        except Exception as trouble:  # a line that cannot be recorded is no reason to stop the work
            self._lost_lines += 1
            logger.debug("run %s: a log line was not recorded: %s", self.run_id, trouble)

    def _count_loss(self, future: Future[Receipt]) -> None:
        if future.cancelled() or future.exception() is not None:
            self._lost_lines += 1

    def _event(self, fact: Fact, step_key: str | None) -> Event[Any]:
        # Kept facts outlive the run's other events, and with them its only mention of the job.
        kept = fact.KIND.retention == Retention.KEPT
        return Event.now(fact, step_key=step_key, job_name=self.job_name if kept else None)

    def _take_in(self, facts: list[Fact]) -> None:
        with self._lock:
            for fact in facts:
                if isinstance(fact, AssetMaterializationPlanned):
                    self._planned[fact.asset_key, fact.partition] = None
                elif isinstance(fact, AssetMaterialization):
                    self._planned.pop((fact.asset_key, fact.partition), None)

    def _check_open(self) -> None:
        if self._state != "open":
            raise UsageError(f"run {self.run_id} is {'over' if self._state == 'over' else 'not entered yet'}")

    def __repr__(self) -> str:
        return f"<RunReporter {self.job_name} {self.run_id}>"


class StepReporter(Reporter):
    """One attempt at a step. Made by `RunReporter.step` and `RunReporter.attempts`; use it as a context manager."""

    def __init__(
        self,
        run: RunReporter,
        step_key: str,
        *,
        retry_on: type[Exception] | tuple[type[Exception], ...] = (),
        wait_s: float = 0.0,
    ) -> None:
        self.run = run
        self.run_id = run.run_id
        self.step_key: str = step_key
        self.attempt = 0  #: 1 for the first try; 0 before it is entered
        self.state: Literal["new", "open", "done", "retry", "failed"] = "new"
        self._retry_on = retry_on
        self._wait_s = wait_s
        self._since = 0.0
        self._token: Token[StepReporter | None] | None = None

    def __enter__(self) -> Self:
        if self.state != "new":
            raise UsageError(f"step {self.step_key} of run {self.run_id} was entered before; ask the run for it again")
        with self.run._lock:
            self.attempt = self.run._attempts[self.step_key] = self.run._attempts.get(self.step_key, 0) + 1
        self._record([StepStarted() if self.attempt == 1 else StepRestarted(attempt=self.attempt)])
        self.state = "open"
        self._since = time.monotonic()
        self._token = _step_here.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._token is not None:
            _step_here.reset(self._token)
        fact = self._ending(error)
        try:
            self._record([fact])
        except FoldlogError as trouble:
            if error is None:
                raise
            error.add_note(f"foldlog could not record the end of step {self.step_key}: {trouble}")
            self.state = "failed"
            return False
        with self.run._lock:
            if self.state == "failed" and error is not None:
                self.run._failed[self.step_key] = error
            else:
                self.run._failed.pop(self.step_key, None)
        return self.state == "retry"

    def _ending(self, error: BaseException | None) -> Fact:
        duration_us = int((time.monotonic() - self._since) * 1e6)
        if error is None:
            self.state = "done"
            return StepSucceeded(attempt=self.attempt, duration_us=duration_us)
        info = ErrorInfo.from_exception(error)
        if isinstance(error, self._retry_on):
            self.state = "retry"
            return StepUpForRetry(attempt=self.attempt, wait_us=int(self._wait_s * 1e6), error=info)
        self.state = "failed"
        source = "USER_CODE" if isinstance(error, Exception) else "INTERRUPT"
        return StepFailed(attempt=self.attempt, error=info, source=source, duration_us=duration_us)

    def _record(self, facts: Iterable[Fact]) -> Receipt:
        return self.run._record(facts, step_key=self.step_key)

    def _say(self, line: LogMessage) -> None:
        self.run._say(line, self.step_key)

    def __repr__(self) -> str:
        return f"<StepReporter {self.step_key} attempt {self.attempt} of run {self.run_id}>"


class RunHandler(logging.Handler):
    """Hands the lines of a standard logger to a run, but for foldlog's own: recording one must not make another."""

    def __init__(self, run: RunReporter, level: int = logging.INFO) -> None:
        super().__init__(level)
        self._run = run

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "foldlog" or record.name.startswith("foldlog."):
            return
        try:
            error = record.exc_info[1] if record.exc_info else None
            line = LogMessage(
                text=clean(record.getMessage()),
                level=record.levelno,
                logger=clean(record.name),
                error=ErrorInfo.from_exception(error) if error is not None else None,
            )
        except Exception:  # a message whose arguments do not fit it
            self.handleError(record)
            return
        step = _step_here.get()
        self._run._say(line, step.step_key if step is not None and step.run is self._run else None)


def _not_made(
    planned: Iterable[tuple[AssetKey, str | None]], *, skipped: bool = False, reason: str | None = None
) -> list[AssetFailedToMaterialize]:
    return [
        AssetFailedToMaterialize(asset_key=key, partition=partition, skipped=skipped, reason=reason)
        for key, partition in planned
    ]


def _checked(step_key: str) -> str:
    if not isinstance(step_key, str) or not step_key or step_key != step_key.strip():
        raise UsageError(f"step key {step_key!r} must be text, not empty, without blanks at its ends")
    if len(step_key.encode("utf-8", "replace")) > STEP_KEY_LIMIT or not step_key.isprintable():
        raise UsageError(f"step key {step_key[:80]!r}: at most {STEP_KEY_LIMIT} bytes, and no control characters")
    return step_key
