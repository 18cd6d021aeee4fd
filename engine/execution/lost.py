"""A run whose worker was killed: found to be so, and recorded as failed, so that it can be executed again."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from ..coordination.processes import started
from ..errors import ConflictError, UsageError, fault
from ..events.errorinfo import ErrorInfo
from ..events.event import Event, Fact
from ..events.log import EngineEvent
from ..events.run import FailureReason, RunCanceled, RunFailed, RunResumed, RunStarted, RunStatus
from ..events.step import StepFailed, StepRestarted, StepStarted, StepSucceeded, StepUpForRetry
from ..log.port import LIMITS
from ..reporting.planned import Planned, not_made
from ..reporting.recorder import seal
from .deployment import Deployment
from .history import read_run

if TYPE_CHECKING:
    from ..views.records import Run


_at_work: set[str] = set()  #: runs that this process executes
_WORKING = (RunStatus.STARTED, RunStatus.CANCELING, RunStatus.STARTING, RunStatus.NOT_STARTED)


def end_if_lost(instance: Deployment, run: Run, *, assume_lost: bool) -> RunStatus:
    """The status of a run; one whose worker is gone is recorded as failed first, or as canceled if it was to stop.

    Raises UsageError for one that may still be at work.
    """
    if run.status.is_finished:  # the first end stands, so this is no matter of how far the views are
        return run.status
    seen = _Seen.of(instance, run)
    if seen.status.is_finished:
        return seen.status
    if seen.status not in _WORKING:
        raise fault(f"run {run.run_id} is {seen.status}", "Wait for its end, or cancel it, then execute it again.")
    if not assume_lost:
        _check_gone(run, seen)
    try:
        status = _end(instance, run, seen)
    except ConflictError as error:
        now = _Seen.of(instance, run).status
        if now.is_finished:
            return now  # somebody else has found the same, or the worker came to its end
        raise fault(
            f"run {run.run_id} has recorded something just now: its worker is at work", "Wait for its end."
        ) from error
    seal(instance.log, run.run_id)
    return status


class _Seen(NamedTuple):
    """A run as its shard told it at one moment: all of it up to a seq."""

    last: int
    facts: list[tuple[str, Fact]]  #: with the key of the step
    status: RunStatus

    @classmethod
    def of(cls, instance: Deployment, run: Run) -> _Seen:
        """The seq is read first, so that nothing is taken for seen that came while the rest was read."""
        from ..views.runs import status_after

        last = instance.log.read_shard(run.run_id, newest_first=True, limit=1).next_seq
        records = read_run(instance, run.run_id, up_to=last)
        status = RunStatus.NOT_STARTED
        for record in records:
            status = status_after(status, record.event.fact)
        return cls(last, [(one.event.step_key or "", one.event.fact) for one in records], status)

    @property
    def under_way(self) -> dict[str, int]:
        """Steps that were begun and not ended, each with the number of the attempt."""
        found: dict[str, int] = {}
        for key, fact in self.facts:
            if isinstance(fact, StepStarted | StepRestarted):
                found[key] = fact.attempt
            elif isinstance(fact, StepSucceeded | StepFailed | StepUpForRetry):
                found.pop(key, None)
        return found


def _end(instance: Deployment, run: Run, seen: _Seen) -> RunStatus:
    """Record the end, and that of the steps under way. Raises ConflictError if the run has recorded more meanwhile."""
    text = f"the worker of the run is gone; it was {seen.status}"
    info = ErrorInfo(class_name="WorkerLost", message=text)
    stopping = seen.status is RunStatus.CANCELING
    end = RunCanceled(reason=text) if stopping else RunFailed(reason=FailureReason.UNEXPECTED_TERMINATION)
    ending: list[tuple[str | None, Fact]] = [
        (key, StepFailed(attempt=attempt, source="INTERRUPT", error=info)) for key, attempt in seen.under_way.items()
    ]
    left = Planned(fact for _, fact in seen.facts).left
    ending += [(None, fact) for fact in not_made(left, reason="RUN_TERMINATED")]
    ending += [(None, EngineEvent(text=text)), (None, end)]
    events = [Event.now(fact, step_key=key, job_name=run.job_name) for key, fact in ending]
    last = seen.last
    for first in range(0, len(events), LIMITS.events):
        # Expected where it was read: a worker that is at work after all has recorded more, and the run is not ended.
        last = instance.log.append(run.run_id, events[first : first + LIMITS.events], expected=last).last_seq
    return RunStatus.CANCELED if stopping else RunStatus.FAILURE


def worker_is_gone(instance: Deployment, run: Run) -> bool:
    """Whether it is certain that nobody executes the run any more, and nothing has said so yet."""
    seen = _Seen.of(instance, run)
    if seen.status not in _WORKING:
        return False
    try:
        _check_gone(run, seen)
    except UsageError:  # it may be at work, or nothing tells of its worker
        return False
    return True


@contextmanager
def at_work(run_id: str) -> Iterator[None]:
    """Around the work of this process on a run: so long it is certainly not lost."""
    _at_work.add(run_id)
    try:
        yield
    finally:
        _at_work.discard(run_id)


def _check_gone(run: Run, seen: _Seen) -> None:
    """Raise UsageError unless it is certain that the worker is gone."""
    starts = [fact for _, fact in seen.facts if isinstance(fact, RunStarted | RunResumed)]
    if not starts:
        raise fault(
            f"run {run.run_id} is {seen.status}, and nothing tells of its worker",
            "If you know that nothing executes it, say so: assume_lost=True, or --assume-lost.",
        )
    host, process_id = starts[-1].host, starts[-1].process_id
    if host != socket.gethostname() or process_id is None:
        raise fault(
            f"run {run.run_id} is {seen.status}, and its worker is process {process_id} of {host}, not of this machine",
            "Look there; if it is gone, say so: assume_lost=True, or --assume-lost.",
        )
    if process_id == os.getpid() and run.plan_snapshot_id is not None and run.run_id not in _at_work:
        return  # of this very process, and nothing here executes it any more: the store was away when it was to end
    if process_id == os.getpid() or started(process_id) is not None:
        raise fault(
            f"run {run.run_id} is {seen.status}, and there is a process {process_id} on this machine",
            "Wait for its end, or stop it. If that is another program, say so: assume_lost=True, or --assume-lost.",
        )
