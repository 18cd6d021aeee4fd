"""One attempt at a step, reported."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextvars import Token
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from ..errors import FoldlogError, UsageError
from ..events.errorinfo import ErrorInfo
from ..events.event import Fact
from ..events.log import LogMessage
from ..events.step import StepFailed, StepRestarted, StepStarted, StepSucceeded, StepUpForRetry
from ..log.port import Receipt
from .lines import Sink, step_here
from .reporter import Reporter

if TYPE_CHECKING:
    from .run import RunReporter

STEP_KEY_LIMIT = 200  #: bytes of a step key in UTF-8


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
        self._token: Token[tuple[Sink, str | None] | None] | None = None

    def __enter__(self) -> Self:
        if self.state != "new":
            raise UsageError(f"step {self.step_key} of run {self.run_id} was entered before; ask the run for it again")
        with self.run._lock:
            self.attempt = self.run._attempts[self.step_key] = self.run._attempts.get(self.step_key, 0) + 1
        self._record([StepStarted() if self.attempt == 1 else StepRestarted(attempt=self.attempt)])
        self.state = "open"
        self._since = time.monotonic()
        self._token = step_here.set((self.run, self.step_key))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._token is not None:
            step_here.reset(self._token)
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

    def say(self, line: LogMessage, step_key: str | None = None) -> None:
        self.run.say(line, self.step_key)

    def __repr__(self) -> str:
        return f"<StepReporter {self.step_key} attempt {self.attempt} of run {self.run_id}>"


def checked(step_key: str) -> str:
    if not isinstance(step_key, str) or not step_key or step_key != step_key.strip():
        raise UsageError(f"step key {step_key!r} must be text, not empty, without blanks at its ends")
    if len(step_key.encode("utf-8", "replace")) > STEP_KEY_LIMIT or not step_key.isprintable():
        raise UsageError(f"step key {step_key[:80]!r}: at most {STEP_KEY_LIMIT} bytes, and no control characters")
    return step_key
