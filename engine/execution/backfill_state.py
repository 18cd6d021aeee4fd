"""How far a backfill is: what became of each partition by the runs there are, and whether somebody is at work on it.

The views' count of failed partitions is what the ends of the backfill said. Here the latest run of a partition counts,
so that one which was made after all is made.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from ..coordination.processes import started
from ..errors import fault
from ..events.run import FailureReason, RunStatus
from ..events.tags import BACKFILL_TAG, PARTITION_TAG
from .deployment import Deployment

if TYPE_CHECKING:
    from ..views.orchestration_records import BackfillRecord
    from ..views.records import RunRecord

IDLE: Final = "idle"  #: the cursor of a backfill that nobody is at work on
PAGE: Final = 5_000  #: partitions, runs read at a time

_executing: set[str] = set()  #: backfills that this process is at work on


class PartitionState(StrEnum):
    """What became of a partition of a backfill."""

    DONE = "DONE"
    FAILED = "FAILED"
    LEFT = "LEFT"  #: no run has made it, or was to the end: it was interrupted, canceled, or its process is gone
    IN_PROGRESS = "IN_PROGRESS"  #: its run is not over, as far as is recorded


@dataclass(frozen=True, kw_only=True)
class BackfillState:
    """A backfill, and what became of it."""

    record: BackfillRecord
    runs: dict[str, list[RunRecord]]  #: by partition, in the order of the backfill; the oldest run first

    def state_of(self, partition: str) -> PartitionState:
        """By its latest run."""
        runs = self.runs[partition]
        return _state(runs[-1]) if runs else PartitionState.LEFT

    def partitions(self, *states: PartitionState) -> list[str]:
        """Those in one of these states, in order."""
        return [one for one in self.runs if self.state_of(one) in states]

    @property
    def latest_run(self) -> RunRecord | None:
        """Of all its runs the one that was created last."""
        return max((runs[-1] for runs in self.runs.values() if runs), key=lambda run: run.storage_id, default=None)


def backfill_state(instance: Deployment, backfill_id: str) -> BackfillState:
    """How far it is. Raises UsageError if there is no such backfill."""
    record = instance.get_backfill(backfill_id)
    if record is None:
        raise fault(f"there is no backfill {backfill_id!r}", "`foldlog backfill list` lists them.")
    runs: dict[str, list[RunRecord]] = {one: [] for one in _partitions(instance, backfill_id)}
    for one in _runs(instance, backfill_id):
        partition = one.run.tags.get(PARTITION_TAG)
        if partition is not None:
            runs.setdefault(partition, []).append(one)
    return BackfillState(record=record, runs=runs)


def _partitions(instance: Deployment, backfill_id: str) -> Iterator[str]:
    cursor = None
    while page := instance.get_backfill_partitions(backfill_id, cursor=cursor, limit=PAGE):
        yield from (one.partition for one in page)
        cursor = page[-1].partition


def _runs(instance: Deployment, backfill_id: str) -> Iterator[RunRecord]:
    cursor, tags = None, {BACKFILL_TAG: backfill_id}
    while page := instance.get_run_records(tags=tags, ascending=True, cursor=cursor, limit=PAGE):
        yield from page
        cursor = page[-1].run.run_id


def _state(record: RunRecord) -> PartitionState:
    status = record.run.status
    if not status.is_finished:
        return PartitionState.IN_PROGRESS
    if status is RunStatus.SUCCESS:
        return PartitionState.DONE
    interrupted = record.failure_reason == FailureReason.UNEXPECTED_TERMINATION
    return PartitionState.LEFT if status is RunStatus.CANCELED or interrupted else PartitionState.FAILED


# -- who is at work -----------------------------------------------------------------------------------------------


def worker_text() -> str:
    """This process, as the cursor of a backfill that it is at work on: host, number, and when it began."""
    return f"{socket.gethostname()} {os.getpid()} {started(os.getpid())}"


@contextmanager
def at_work_on(backfill_id: str) -> Iterator[None]:
    """Around the work of this process on a backfill."""
    _executing.add(backfill_id)
    try:
        yield
    finally:
        _executing.discard(backfill_id)


def is_at_work(record: BackfillRecord) -> bool:
    """Whether a process of this machine is at work on it, or one of another machine may be."""
    worker = _worker(record)
    if worker is None:
        return False
    host, process_id, began = worker
    if host != socket.gethostname():
        return True
    if process_id == os.getpid():
        return record.backfill_id in _executing
    return started(process_id) == began


def check_nobody_at_work(record: BackfillRecord) -> None:
    """Raise UsageError if somebody is, or may be, at work on it."""
    worker = _worker(record)
    if worker is None or not is_at_work(record):
        return
    host, process_id, _ = worker
    if host != socket.gethostname():
        raise fault(
            f"process {process_id} of {host}, not of this machine, is at work on backfill {record.backfill_id}",
            "Look there; if it is gone, say so: assume_lost=True, or --assume-lost.",
        )
    raise fault(
        f"process {process_id} of this machine is at work on backfill {record.backfill_id}",
        f"Wait for its end, or have it stop: `foldlog backfill cancel {record.backfill_id}`.",
    )


def _worker(record: BackfillRecord) -> tuple[str, int, str] | None:
    """Host, number and beginning of the process that was at work on it last; None if none is known, or it is done."""
    parts = (record.cursor or IDLE).rsplit(" ", 2)
    if len(parts) != 3 or not parts[1].isdecimal():
        return None  # idle, or the text of some other executor
    return parts[0], int(parts[1]), parts[2]
