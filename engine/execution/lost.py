"""A run whose worker was killed: found to be so, and recorded as failed, so that it can be executed again."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from ..coordination.processes import started
from ..definitions.names import fault
from ..errors import ConflictError
from ..events.event import Event, Fact
from ..events.log import EngineEvent
from ..events.run import FailureReason, RunFailed, RunStarted, RunStatus
from ..log.log import EventRecord
from ..reporting.planned import Planned, not_made
from .deployment import Deployment

if TYPE_CHECKING:
    from ..views.records import Run

_WORKING = (RunStatus.STARTED, RunStatus.CANCELING, RunStatus.STARTING, RunStatus.NOT_STARTED)


def end_if_lost(instance: Deployment, run: Run, records: list[EventRecord], *, assume_lost: bool) -> RunStatus:
    """The status of a run; one whose worker is gone is recorded as failed first.

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
    ending: list[Fact] = [
        *not_made(Planned(facts).left, reason="RUN_TERMINATED"),
        EngineEvent(text=text),
        RunFailed(reason=FailureReason.UNEXPECTED_TERMINATION),
    ]
    try:
        # Expected where it was read: a worker that is at work after all has recorded more, and the run is not ended.
        events = [Event.now(fact, job_name=run.job_name) for fact in ending]
        instance.log.append(run.run_id, events, expected=last)
    except ConflictError as error:
        raise fault(
            f"run {run.run_id} has recorded something just now: its worker is at work", "Wait for its end."
        ) from error
    return RunStatus.FAILURE


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
    if process_id == os.getpid() or started(process_id) is not None:
        raise fault(
            f"run {run.run_id} is {run.status}, and there is a process {process_id} on this machine",
            "Wait for its end, or stop it. If that is another program, say so: assume_lost=True, or --assume-lost.",
        )
