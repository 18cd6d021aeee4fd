"""One attempt at a step: its inputs are loaded, its function is called, what it gives is kept and recorded.

Promises: STEP_START is durable before any code of the user runs. The step's end is held and recorded with what comes
next, in one append, and an attempt that was begun has one, also if it is interrupted. Whatever the user's code raises
ends the attempt, and nothing else; but for what is no Exception, as an interrupt, which ends the run.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ..definitions.hook import HookDefinition
from ..definitions.retry import Failure, RetryRequested
from ..errors import FoldlogError, UsageError, UserCodeError
from ..events.errorinfo import clean
from ..events.event import Fact
from ..events.hook import HookCompleted, HookErrored, HookSkipped
from ..events.metadata import to_metadata
from ..events.step import (
    StepFailed,
    StepRestarted,
    StepStarted,
    StepSucceeded,
    StepUpForRetry,
)
from ..reporting.interrupts import handled
from ..reporting.lines import step_here
from .boundary import described, error_info, user_code_error_boundary
from .contexts import HookContext, StepExecutionContext
from .frontier import Outcome, StepInstance
from .outputs import StepOutputs
from .run_context import RunContext
from .values import Loader

Outputs = dict[str, tuple[str, ...] | None]


class Ended(NamedTuple):
    """How an attempt ended."""

    outcome: Outcome | None  #: None: it is to be tried again
    outputs: Outputs  #: those that came; of dynamic ones, their keys
    error: BaseException | None = None  #: the user's own
    wait_s: float = 0.0  #: before the next attempt


def attempt(run: RunContext, instance: StepInstance, number: int) -> Ended:
    """Make one attempt at a step. An interrupt is recorded as the step's failure, and goes on."""
    return _Attempt(run, instance, number).make()


class _Attempt:
    def __init__(self, run: RunContext, instance: StepInstance, number: int) -> None:
        self._run = run
        self._instance = instance
        self._number = number
        self._context = StepExecutionContext(run, instance, number)
        self._loader = Loader(run, instance, self._context)
        self._outputs = StepOutputs(run, instance, self._context, self._loader)
        self._since = time.monotonic()
        self._is_begun = self._is_ended = False  #: whether its first and its last event are held

    def make(self) -> Ended:
        token = step_here.set((self._run.recorder, self._instance.key))
        try:
            return self._make()
        except BaseException as error:
            handled(error)
            if self._is_begun and not self._is_ended and not isinstance(error, Exception):
                info, took = error_info(error), self._took()
                self._hold(StepFailed(attempt=self._number, error=info, source="INTERRUPT", duration_us=took))
            raise
        finally:
            step_here.reset(token)

    def _make(self) -> Ended:
        self._begin()
        self._since = time.monotonic()
        try:
            self._run.interruption.check()
            self._work()
        except (Exception, SystemExit) as error:  # sys.exit() in a step ends the step, not the program around it
            return self._failed(error)
        return self._succeeded()

    def _begin(self) -> None:
        """Nothing of the user's runs before this is on disk: what a killed process was at can be told from the log.
        Where it cannot be recorded, the run cannot go on: that is no failure of the step."""
        self._hold(StepStarted() if self._number == 1 else StepRestarted(attempt=self._number))
        self._is_begun = True
        self._run.recorder.record([])

    # -- the work -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        arguments = self._loader.load_all()
        op = self._instance.step.op
        arguments |= {key: self._run.resources[key] for key in op.signature.resources}
        if op.signature.config_type is not None:
            arguments["config"] = self._run.config.ops[self._instance.step.path]
        positional = (self._context,) if op.signature.takes_context else ()
        with user_code_error_boundary(StepCodeError, self._what):
            given = op.fn(*positional, **arguments)
        if inspect.isgenerator(given):
            self._take_each(given)
        else:
            self._outputs.take_returned(given)
        self._outputs.check_complete()

    def _take_each(self, given: Any) -> None:
        """Taken one by one, so that the step fails where its function does, with what came before recorded. Where
        foldlog fails it, its function is ended there and then, with the resources still there that it may need."""
        try:
            while True:
                with user_code_error_boundary(StepCodeError, self._what):
                    one = next(given, _END)
                if one is _END:
                    return
                self._outputs.take(one)
                self._run.recorder.release()
        except BaseException as error:
            handled(error)
            try:
                with user_code_error_boundary(StepCodeError, self._what):
                    given.close()
            except FoldlogError as trouble:
                error.add_note(f"and as it was ended there, {trouble}")
            raise

    def _what(self) -> str:
        return f"the code of step {self._instance.key}"

    # -- the end ------------------------------------------------------------------------------------------------

    def _succeeded(self) -> Ended:
        self._hold(StepSucceeded(attempt=self._number, duration_us=self._took()))
        self._is_ended = True
        self._call_hooks("success", None)
        return Ended(Outcome.SUCCESS, self._outputs.came)

    def _failed(self, error: BaseException) -> Ended:
        own = _own(error)
        wait_s = self._retry_wait(own)
        if wait_s is not None:
            self._hold_end(partial(StepUpForRetry, wait_us=int(wait_s * 1e6)), own)
            return Ended(None, {}, own, wait_s)
        source = (
            "FRAMEWORK"
            if isinstance(own, FoldlogError) and not isinstance(own, UserCodeError | UsageError)
            else "USER_CODE"
        )
        self._hold_end(partial(StepFailed, source=source, duration_us=self._took()), own)
        self._call_hooks("failure", own)
        return Ended(Outcome.FAILURE, {}, own)

    def _retry_wait(self, error: BaseException) -> float | None:
        """Seconds to wait before another attempt; None if there is to be none."""
        policy = self._instance.step.retry_policy
        if isinstance(error, RetryRequested):
            if self._number > error.max_retries:
                return None
            if error.seconds_to_wait is not None:
                return error.seconds_to_wait
            return policy.wait_s(self._number, self._run.dice) if policy is not None else 0.0
        if policy is None or self._number > policy.max_retries or not isinstance(error, Exception):
            return None
        if isinstance(error, Failure) and not error.allow_retries:
            return None
        return policy.wait_s(self._number, self._run.dice)

    def _call_hooks(self, when: str, error: BaseException | None) -> None:
        for hook in self._instance.step.hooks:
            if hook.when == when:
                self._hold(self._called(hook, error))
            else:
                self._hold(HookSkipped(hook=hook.name))

    def _called(self, hook: HookDefinition, error: BaseException | None) -> Fact:
        self._run.recorder.release()  # how the step ended should not wait for the hook
        try:
            with user_code_error_boundary(StepCodeError, lambda: f"hook {hook.name!r} of step {self._instance.key}"):
                hook.fn(HookContext(self._context, hook, error))
        except FoldlogError as trouble:
            return HookErrored(hook=hook.name, error=error_info(_own(trouble)))
        return HookCompleted(hook=hook.name)

    def _took(self) -> int:
        return int((time.monotonic() - self._since) * 1e6)

    def _hold(self, fact: Fact) -> None:
        self._run.recorder.hold(fact, self._instance.key)

    def _hold_end(self, end: Callable[..., Fact], error: BaseException) -> None:
        """Hold the end of an attempt, if need be without metadata that cannot be stored: it must not hide the end."""
        end = partial(end, attempt=self._number, error=error_info(error))
        try:
            metadata = to_metadata(error.metadata) if isinstance(error, Failure) else {}
            self._run.recorder.hold(end(metadata=metadata), self._instance.key, check=bool(metadata))
        except FoldlogError as trouble:
            self._hold(end(metadata={"metadata": clean(described(trouble))}))
        self._is_ended = True


_END = object()


class StepCodeError(UserCodeError):
    """The function of a step raised. Never seen outside: the step is recorded as failed with the user's own error."""


def _own(error: BaseException) -> BaseException:
    """The user's own error, where foldlog has only said that the step's function raised it."""
    return error.__cause__ if isinstance(error, StepCodeError) and error.__cause__ is not None else error
