"""The worker of a run: begins it, has its plan executed, and records how it ended.

Promises: a run that was begun is ended in the log by success, failure, or cancel, whatever ends it; but for a kill, a
store that gives no answer to the end of it, and somebody who insists, by a third interrupt, on not waiting for one. The
end is one append: what was planned and not made (of very many assets, in several), then the status. An interrupt is
recorded, and then goes on. (In a program that has a handler of its own for the signal, it comes where that raises.)
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

from ..errors import ConflictError, FoldlogError, ShardPurged, UnavailableError, UsageError
from ..events.errorinfo import clean
from ..events.event import Fact
from ..events.log import EngineEvent
from ..events.run import (
    FailureReason,
    RunCanceled,
    RunCanceling,
    RunFailed,
    RunStarted,
    RunStatus,
    RunSucceeded,
)
from ..reporting import interrupts
from ..reporting.lines import RunHandler, step_here
from ..reporting.planned import not_made
from ..reporting.recorder import seal
from ..reporting.run import NAMED
from .boundary import described, error_info
from .in_process import Failed, InProcessExecutor, StepReport
from .interruption import RunInterrupted, Terminated, interrupts_held
from .lost import at_work
from .resources import ResourceUnready, ready_resources
from .run_context import RunContext

logger = logging.getLogger("foldlog.execution")
A = TypeVar("A")

NOT_RECORDED = (UnavailableError, ShardPurged)  #: the log takes no more events; that is no failure of a step


class RunEnd(NamedTuple):
    """How a run ended."""

    status: RunStatus
    error: BaseException | None = None  #: the user's own, of the first step that failed; or of a resource
    failed: Sequence[Failed] = ()


def work(run: RunContext, report: StepReport | None = None, *, captured: Sequence[str] = ("",)) -> RunEnd:
    """Execute the run. `captured`: loggers whose lines are recorded, by name; `""` is the root logger.

    Interrupts (KeyboardInterrupt, RunInterrupted) are recorded, and raised again. Raises UnavailableError and
    ShardPurged if the log takes no more events: then it may lack the end of the run.
    """
    with interrupts_held(), at_work(run.run_id):
        return _work(run, InProcessExecutor(run, report), captured)


def _work(run: RunContext, executor: InProcessExecutor, captured: Sequence[str]) -> RunEnd:
    try:
        interrupts.check()
        _begin(run)
        with _captured_logging(run, captured), ready_resources(run):
            executor.execute()
        interrupts.check()
    except (KeyboardInterrupt, RunInterrupted) as interrupt:
        interrupts.handled(interrupt)
        _end(run, _interrupted, interrupt)
        raise
    except Exception as error:  # of a resource, an IO manager's absence, or the engine itself: the log has to say so
        interrupts.handled(error)
        _end(run, _broken, error)
        if isinstance(error, NOT_RECORDED):
            raise
        return RunEnd(RunStatus.FAILURE, error, executor.failed)
    except BaseException as error:  # sys.exit() outside of a step, what a library has instead of Exception
        interrupts.handled(error)
        _end(run, _broken, error)
        raise
    _end(run, _finished, executor.failed)
    status = RunStatus.FAILURE if executor.failed else RunStatus.SUCCESS
    told = run.interruption.told_lately() or status
    if executor.failed:
        return RunEnd(told, executor.failed[0].error, executor.failed)
    ended = f"run {run.run_id} is {told}: somebody else ended it before its last step was done"
    return RunEnd(told, ConflictError(ended) if told is not status else None)


def _begin(run: RunContext) -> None:
    count = len(run.plan.steps)
    note = EngineEvent(text=f"executing {count} step{'' if count == 1 else 's'} in process {os.getpid()}")
    run.recorder.record([RunStarted(host=clean(socket.gethostname()), process_id=os.getpid()), note])


@contextmanager
def _captured_logging(run: RunContext, names: Sequence[str]) -> Iterator[None]:
    """Lines of the standard logging are recorded in the run, and in the step whose thread they come from."""
    handler = RunHandler(run.recorder, logging.NOTSET)
    sources = [logging.getLogger(name or None) for name in names]
    for source in sources:
        source.addHandler(handler)
    token = step_here.set((run.recorder, None))
    try:
        yield
    finally:
        step_here.reset(token)
        for source in sources:
            source.removeHandler(handler)


def _end(run: RunContext, ending: Callable[[RunContext, A], list[Fact]], how: A) -> None:
    """Record the end. Seal the shard: the run takes no more events, unless somebody reopens it."""
    with interrupts.shielded():
        facts: list[Fact] = []
        try:
            facts = ending(run, how)
            for fact in facts[:-1]:  # of more assets than an append may hold, in several
                run.recorder.hold(fact)
            run.recorder.record(facts[-1:])
        except BaseException as trouble:
            if not facts or isinstance(trouble, UsageError):  # it is not the store that takes no more
                is_canceled = ending is _interrupted and not isinstance(how, Terminated)
                _end_in_short(run, RunCanceled() if is_canceled else RunFailed(), trouble)
            raise
        finally:
            run.recorder.warn_of_loss()
        seal(run.instance.log, run.run_id)


def _end_in_short(run: RunContext, end: RunCanceled | RunFailed, trouble: BaseException) -> None:
    """Record that the run is over, where what was still to be recorded cannot be: a run without an end would be taken
    for one that is at work."""
    dropped = run.recorder.drop_held() if isinstance(trouble, UsageError) else 0  # one of them is in the way
    text = f"what was to be recorded at the end, and {dropped} events before it, are left out: {described(trouble)}"
    if isinstance(end, RunFailed):
        end = RunFailed(reason=FailureReason.RUN_EXCEPTION, error=error_info(trouble))
    try:
        run.recorder.record([EngineEvent(text=clean(text)), end])
    except FoldlogError as more:
        trouble.add_note(f"foldlog could not record the end of run {run.run_id}: {more}")
    else:
        seal(run.instance.log, run.run_id)


def _finished(run: RunContext, failed: Sequence[Failed]) -> list[Fact]:
    left = [] if run.interruption.is_over(look=False) else run.planned.left  # none, if every step has told of its own
    facts: list[Fact] = list(not_made(left))
    if not failed:
        return [*facts, EngineEvent(text="all steps are done"), RunSucceeded()]
    keys = tuple(one.step_key for one in failed[:NAMED])
    abandoned = run.frontier.abandoned
    behind = f"; {abandoned} behind {'it' if len(failed) == 1 else 'them'}" if abandoned else ""
    behind += f" {'was' if abandoned == 1 else 'were'} not executed" if abandoned else ""
    named = f"; RUN_FAILURE names the first {NAMED:,}" if len(failed) > NAMED else ""
    which = f"{', '.join(keys[:10])}{', ...' if len(failed) > 10 else ''}"
    text = f"{len(failed):,} step{' has' if len(failed) == 1 else 's have'} failed: {which}{named}{behind}"
    first = error_info(failed[0].error)
    return [
        *facts,
        EngineEvent(text=text),
        RunFailed(reason=FailureReason.STEP_FAILURE, error=first, failed_step_keys=keys),
    ]


def _broken(run: RunContext, error: BaseException) -> list[Fact]:
    unready = isinstance(error, ResourceUnready)
    reason = FailureReason.JOB_INITIALIZATION_FAILURE if unready else FailureReason.RUN_EXCEPTION
    left = [] if run.interruption.is_over() else run.planned.left
    facts = list(not_made(left, reason="RUN_TERMINATED"))
    return [*facts, RunFailed(reason=reason, error=error_info(error))]


def _interrupted(run: RunContext, interrupt: BaseException) -> list[Fact]:
    info = error_info(interrupt)
    told = run.interruption.told_at_end()
    if told is not None and told.is_finished:
        # Somebody has ended it, and said what it did not make; another run may have made it since. This is a note.
        return [EngineEvent(text=f"the worker stopped: the run is {told}", error=info)]
    facts: list[Fact] = list(not_made(run.planned.left, reason="RUN_TERMINATED"))
    if told is RunStatus.CANCELING:
        return [*facts, RunCanceled(reason=clean(described(interrupt)), error=info)]
    if isinstance(interrupt, Terminated):
        return [*facts, RunFailed(reason=FailureReason.UNEXPECTED_TERMINATION, error=info)]
    return [
        RunCanceling(reason="the worker was interrupted"),
        *facts,
        RunCanceled(reason=clean(described(interrupt)), error=info),
    ]
