"""A run whose worker was killed: found to be so, and recorded as failed, so that it can be executed again."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..coordination.processes import started
from ..errors import ConflictError, UsageError, fault
from ..events.event import Event, Fact
from ..events.log import EngineEvent
from ..events.run import FailureReason, RunCanceled, RunFailed, RunStarted, RunStatus
from ..log.log import EventRecord
from ..log.port import LIMITS
from ..reporting.planned import Planned, not_made
from .deployment import Deployment

if TYPE_CHECKING:
    from ..views.records import Run

_at_work: set[str] = set()  #: runs that this process executes
_WORKING = (RunStatus.STARTED, RunStatus.CANCELING, RunStatus.STARTING, RunStatus.NOT_STARTED)


def end_if_lost(instance: Deployment, run: Run, records: list[EventRecord], *, assume_lost: bool) -> RunStatus:
    """The status of a run; one whose worker is gone is recorded as failed first, or as canceled if it was to stop.

    Raises UsageError for one that may still be at work.
    """
    if run.status.is_finished:
        return run.status
    if run.status not in _WORKING:
        raise fault(f"run {run.run_id} is {run.status}", "Wait for its end, or cancel it, then execute it again.")
    if not assume_lost:
        _check_gone(run, records)
    last = instance.log.read_shard(run.run_id, newest_first=True, limit=1).records[0].seq
    facts = [record.event.fact for record in records]
    text = f"the worker of the run is gone; it was {run.status}"
    stopping = run.status is RunStatus.CANCELING
    end = RunCanceled(reason=text) if stopping else RunFailed(reason=FailureReason.UNEXPECTED_TERMINATION)
    ending: list[Fact] = [*not_made(Planned(facts).left, reason="RUN_TERMINATED"), EngineEvent(text=text), end]
    events = [Event.now(fact, job_name=run.job_name) for fact in ending]
    try:
        for first in range(0, len(events), LIMITS.events):
            # Expected where it was read: a worker that is at work after all has recorded more; the run is not ended.
            last = instance.log.append(run.run_id, events[first : first + LIMITS.events], expected=last).last_seq
    except ConflictError as error:
        now = instance.get_run_by_id(run.run_id)
        if now is not None and now.is_finished:
            return now.status  # somebody else has found the same, or the worker came to its end
        raise fault(
            f"run {run.run_id} has recorded something just now: its worker is at work", "Wait for its end."
        ) from error
    return RunStatus.CANCELED if stopping else RunStatus.FAILURE


def worker_is_gone(run: Run, records: list[EventRecord]) -> bool:
    """Whether it is certain that nobody executes the run any more, and nothing has said so yet."""
    if run.status not in _WORKING:
        return False
    try:
        _check_gone(run, records)
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


def _check_gone(run: Run, records: list[EventRecord]) -> None:
    """Raise UsageError unless it is certain that the worker is gone."""
    starts: list[Any] = [record.event.fact for record in records if isinstance(record.event.fact, RunStarted)]
    if not starts:
        raise fault(
            f"run {run.run_id} is {run.status}, and nothing tells of its worker",
            "If you know that nothing executes it, say so: assume_lost=True, or --assume-lost.",
        )
    host, process_id = starts[-1].host, starts[-1].process_id
    if host != socket.gethostname() or process_id is None:
        raise fault(
            f"run {run.run_id} is {run.status}, and its worker is process {process_id} of {host}, not of this machine",
            "Look there; if it is gone, say so: assume_lost=True, or --assume-lost.",
        )
    if process_id == os.getpid() and run.plan_snapshot_id is not None and run.run_id not in _at_work:
        return  # of this very process, and nothing here executes it any more: the store was away when it was to end
    if process_id == os.getpid() or started(process_id) is not None:
        raise fault(
            f"run {run.run_id} is {run.status}, and there is a process {process_id} on this machine",
            "Wait for its end, or stop it. If that is another program, say so: assume_lost=True, or --assume-lost.",
        )
