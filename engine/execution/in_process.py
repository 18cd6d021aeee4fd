"""Executes a plan in this process and thread, a step at a time, in the order of the plan.

A step that is to be tried again waits its pause while others go on; a failed one keeps only what lies behind it from
being executed.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple

from ..events.errorinfo import ErrorInfo
from ..events.log import EngineEvent
from ..events.step import StepSkipped
from ..reporting.interrupts import check, let_through
from ..reporting.planned import not_made
from .attempt import Ended, attempt
from .boundary import described, error_info
from .frontier import Outcome, StepInstance
from .run_context import RunContext

logger = logging.getLogger("foldlog.execution")

#: called as a step begins, is tried again or ends: its key, `START`, `RETRY`, or its outcome, and seconds it took
StepReport = Callable[[str, str, float], None]


class Failed(NamedTuple):
    """A step that failed for good."""

    step_key: str
    error: BaseException  #: of all but the first to fail, without its traceback: that holds all that the step had


class InProcessExecutor:
    """One execution of a plan. What failed is in `failed`, in the order in which it did."""

    def __init__(self, run: RunContext, report: StepReport | None = None) -> None:
        self._run = run
        self._report = report or _no_report
        self._attempts: dict[str, int] = {}
        self._waiting: list[tuple[float, int, StepInstance]] = []  #: (monotonic time, number, step), a heap
        self._numbers = itertools.count()  # of two that are due at once, the first to fail is tried first
        self.failed: list[Failed] = []

    def execute(self) -> None:
        """Execute all that can be. Interrupts pass through, with the step that was under way recorded as failed."""
        frontier = self._run.frontier
        while True:
            check()
            self._tell_skips()
            self._wake()
            instance = frontier.pop()
            if instance is not None:
                self._make(instance)
            elif self._waiting:
                self._run.recorder.release()
                with let_through():
                    time.sleep(max(0.0, self._waiting[0][0] - time.monotonic()))
            else:
                return

    def _make(self, instance: StepInstance) -> None:
        key = instance.key
        number = self._attempts[key] = self._attempts.get(key, 0) + 1
        self._tell(key, "START", 0.0)
        since = time.monotonic()
        ended = attempt(self._run, instance, number)
        self._settle(instance, ended, time.monotonic() - since)

    def _settle(self, instance: StepInstance, ended: Ended, seconds: float) -> None:
        if ended.outcome is None:
            heapq.heappush(self._waiting, (time.monotonic() + ended.wait_s, next(self._numbers), instance))
            self._tell(instance.key, "RETRY", seconds)
            return
        first = None
        if ended.outcome is Outcome.FAILURE and ended.error is not None:
            first = self.failed[0].error if self.failed else None
            self.failed.append(Failed(instance.key, ended.error))
        self._tell_not_made(instance, ended.outcome, error=ended.error)
        if first is not None and ended.error is not None:
            _forget_frames(ended.error, keep=first)
        self._run.frontier.settle(instance, ended.outcome, ended.outputs)
        self._tell(instance.key, ended.outcome, seconds)

    def _tell(self, key: str, what: str, seconds: float) -> None:
        try:
            self._report(key, what, seconds)
        except Exception as trouble:  # whoever looks on must not break what it looks at
            self._report = _no_report
            text = f"run {self._run.run_id}: its report raised {described(trouble)}; it is called no more"
            logger.warning("%s", text)

    def _wake(self) -> None:
        now = time.monotonic()
        while self._waiting and self._waiting[0][0] <= now:
            self._run.frontier.put_back(heapq.heappop(self._waiting)[2])

    def _tell_skips(self) -> None:
        for skip in self._run.frontier.skips():
            key = skip.instance.key
            if skip.outcome is Outcome.SKIPPED:
                self._run.recorder.hold(StepSkipped(reason=skip.reason), key)
            else:
                self._run.recorder.hold(EngineEvent(text=f"not executed: {skip.reason}"), key)
            self._tell_not_made(skip.instance, skip.outcome, executed=False)
            self._tell(key, skip.outcome, 0.0)

    def _tell_not_made(
        self, instance: StepInstance, outcome: Outcome, *, executed: bool = True, error: BaseException | None = None
    ) -> None:
        """Record which assets the step was to make and will not, as soon as that is certain."""
        making = instance.step.node.making
        if making is None or not making.asset_keys:
            return
        partition = self._run.partition_of(making.definition)
        left = self._run.planned.left_of((key, partition) for key in making.asset_keys)
        # Of a run that was taken for lost: another may have made them meanwhile. A failure is worth a look.
        if not left or self._run.interruption.is_over(look=outcome is Outcome.FAILURE):
            return
        skipped, reason = _WHY[outcome, executed]
        # In short: the step's own event has the stack, and this one is kept when the run is deleted.
        info = error_info(error, max_causes=0) if error is not None else None
        told = ErrorInfo(class_name=info.class_name, message=info.message) if info is not None else None
        for fact in not_made(left, skipped=skipped, reason=reason, error=told):
            self._run.recorder.hold(fact, instance.key)
            self._run.planned.take_in([fact])


#: (outcome of a step, whether it was executed) to (skipped, reason) of an asset that it did not make
_WHY = {
    (Outcome.SUCCESS, True): (True, "SKIPPED_OPTIONAL"),
    (Outcome.FAILURE, True): (False, "FAILED_TO_MATERIALIZE"),
    (Outcome.SKIPPED, False): (True, "UPSTREAM_SKIPPED"),
    (Outcome.ABANDONED, False): (False, "UPSTREAM_FAILED_TO_MATERIALIZE"),
}


def _forget_frames(error: BaseException, *, keep: BaseException) -> None:
    """Let go of what the functions held that the error passed through, and of those it was raised from. Not of those
    that `keep` was raised from, too."""
    kept = {id(one) for one in _chain(keep)}
    for one in _chain(error):
        if id(one) not in kept:
            traceback.clear_frames(one.__traceback__)
            one.__traceback__ = None


def _chain(error: BaseException) -> list[BaseException]:
    found: dict[int, BaseException] = {}
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        waiting += [below for below in (one.__cause__, one.__context__) if below is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return list(found.values())


def _no_report(key: str, what: str, seconds: float) -> None:
    """Nobody looks."""
