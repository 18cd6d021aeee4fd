"""A backfill in this process: one run for each of many partitions, one after the other, recorded as one undertaking.

Promises: what does not fit is said before anything is recorded. A run's id is in the backfill's log before the run is
created, so a kill leaves none that nobody knows of. A backfill that was begun here is ended in the log, whatever ends
it short of a kill.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import uuid4

from ..definitions.job import JobDefinition
from ..definitions.job_text import ALL_ASSETS, job_text
from ..definitions.names import check_tags, fault
from ..events.backfill import (
    BackfillCanceled,
    BackfillCanceling,
    BackfillCompleted,
    BackfillFailed,
    BackfillProgressed,
)
from ..events.errorinfo import ErrorInfo
from ..events.run import RunStatus
from ..reporting.recorder import Listener, Recorder
from .boundary import described
from .creation import check_partition
from .deployment import Deployment
from .in_process import StepReport
from .interruption import RunInterrupted, Terminated
from .requests import ExecutionRequest, checked, execute
from .result import ExecutionResult
from .run_context import all_dynamic

SHARD = "@instance"  #: the shard of backfills
BACKFILL_TAG = "foldlog/backfill"  #: tag of a run that is of a backfill: its id


@dataclass(frozen=True, kw_only=True)
class PartitionRun:
    """What became of one partition. It holds no value and no traceback: a backfill may have many."""

    partition: str
    run_id: str
    status: RunStatus
    seconds: float
    errors: Mapping[str, str] = field(default_factory=dict)  #: class and message, by the key of the step that failed


@dataclass(frozen=True, kw_only=True)
class BackfillResult:
    """What a backfill came to."""

    backfill_id: str
    runs: tuple[PartitionRun, ...]  #: in the order in which they were executed
    left: tuple[str, ...] = ()  #: partitions that no run was created for, since it was stopped

    @property
    def success(self) -> bool:
        """Whether every partition was made."""
        return not self.left and not self.failed_partitions

    @property
    def failed_partitions(self) -> tuple[str, ...]:
        return tuple(one.partition for one in self.runs if one.status is not RunStatus.SUCCESS)


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told of the runs of a backfill."""

    begun: Callable[[str, str, int], None] | None = None  #: with partition, run id and number of the run, from 1
    ended: Callable[[PartitionRun, ExecutionResult | None], None] | None = None  #: None: somebody canceled the run
    report: StepReport | None = None  #: as of `execute_job`
    listener: Listener | None = None


NOBODY = Watch()


def run_backfill(
    instance: Deployment,
    job: JobDefinition,
    partitions: Sequence[str],
    wanted: ExecutionRequest,
    *,
    stop_on_failure: bool = False,
    title: str | None = None,
    watch: Watch = NOBODY,
) -> BackfillResult:
    """Execute a job for each of these partitions, in this order; what came of it.

    A failed run keeps no other from being executed, unless `stop_on_failure`. `wanted`: of each run; partition and run
    id are set here. An interrupt is recorded as a cancel of the run and of the backfill, and passes on. So does a
    request to cancel that somebody else has recorded, but that it ends the backfill between two runs, and is no error.

    Raises UsageError for a partition that there is not or that comes twice, and for what else does not fit.
    """
    keys = _checked_keys(instance, job, partitions)
    checked(instance, job, replace(wanted, partition_key=keys[0]), datetime.now(UTC))
    newest = instance.log.read_shard(SHARD, newest_first=True, limit=1).records
    backfill_id = instance.request_backfill(
        keys,
        asset_selection=job.asset_keys if job.makes_assets else (),
        job_name=job.name if job.name != ALL_ASSETS else None,
        tags=check_tags("backfill", wanted.tags),
        title=title,
    )
    backfill = _Backfill(instance, job, backfill_id, wanted, watch, after=newest[0].seq if newest else 0)
    return backfill.execute(keys, stop_on_failure=stop_on_failure)


def _checked_keys(instance: Deployment, job: JobDefinition, partitions: Sequence[str]) -> list[str]:
    """The keys, all there and each once."""
    now = datetime.now(UTC)
    keys = list(partitions)
    if job.partitions_def is None:
        raise fault(f"{job_text(job.name)} has no partitions", "Execute it without one.")
    if not keys:
        raise fault(f"no partition of {job_text(job.name)} is asked for", "Name one at least.")
    there = set(job.partitions_def.get_partition_keys(now=now, dynamic=lambda name: all_dynamic(instance, name)))
    seen: set[str] = set()
    for key in keys:
        if key not in there:
            check_partition(instance, job, key, now)
        if key in seen:
            raise fault(f"the partition {key!r} is asked for twice", "Name each once.")
        seen.add(key)
    return keys


class _Backfill:
    def __init__(
        self,
        instance: Deployment,
        job: JobDefinition,
        backfill_id: str,
        wanted: ExecutionRequest,
        watch: Watch,
        *,
        after: int,
    ) -> None:
        self._instance = instance
        self._job = job
        self._id = backfill_id
        self._wanted = replace(wanted, tags={**wanted.tags, BACKFILL_TAG: backfill_id})
        self._watch = watch
        self._recorder = Recorder(instance.log, instance.writer, SHARD, job.name)
        self._looked = after  #: seq in the shard of backfills up to which was looked for a request to cancel
        self._runs: list[PartitionRun] = []

    def execute(self, keys: Sequence[str], *, stop_on_failure: bool) -> BackfillResult:
        try:
            for number, key in enumerate(keys, 1):
                if self._is_canceled():
                    self._recorder.record([BackfillCanceled(backfill_id=self._id)])
                    return self._result(keys[number - 1 :])
                self._make(key, number)
                if stop_on_failure and self._runs[-1].status is not RunStatus.SUCCESS and number < len(keys):
                    self._stopped(key, len(keys) - number)
                    return self._result(keys[number:])
        except BaseException as error:
            self._broken(error)
            raise
        result = self._result(())
        self._recorder.record([BackfillCompleted(backfill_id=self._id, failed_partitions=result.failed_partitions)])
        return result

    def _make(self, key: str, number: int) -> None:
        run_id = str(uuid4())
        progress = BackfillProgressed(backfill_id=self._id, run_ids=(run_id,), partitions=(key,))
        self._recorder.record([progress])
        if self._watch.begun is not None:
            self._watch.begun(key, run_id, number)
        since = time.monotonic()
        result: ExecutionResult | None = None
        try:
            result = execute(
                self._instance,
                self._job,
                replace(self._wanted, partition_key=key, run_id=run_id),
                raise_on_error=False,
                report=self._watch.report,
                listener=self._watch.listener,
            )
        except RunInterrupted as interrupt:
            if isinstance(interrupt, Terminated):
                raise
            # Somebody has canceled this run, and not the backfill: it counts as one that failed.
        self._ended(key, run_id, result, time.monotonic() - since)

    def _ended(self, key: str, run_id: str, result: ExecutionResult | None, seconds: float) -> None:
        errors = {} if result is None else {step: described(one) for step, one in result.step_errors.items()}
        if result is not None and result.error is not None and not errors:
            errors = {"": described(result.error)}
        status = RunStatus.CANCELED if result is None else result.status
        run = PartitionRun(partition=key, run_id=run_id, status=status, seconds=seconds, errors=errors)
        self._runs.append(run)
        if self._watch.ended is not None:
            self._watch.ended(run, result)

    def _is_canceled(self) -> bool:
        """Whether somebody has asked that it stop."""
        while records := self._instance.log.read_shard(
            SHARD, after_seq=self._looked, types=["BACKFILL_CANCELING"], limit=100
        ).records:
            self._looked = records[-1].seq
            if any(record.event.fact.backfill_id == self._id for record in records):
                return True
        return False

    def _stopped(self, key: str, left: int) -> None:
        info = ErrorInfo(
            class_name="RunFailed", message=f"the run of partition {key} failed; {left} behind it are not made"
        )
        self._recorder.record([BackfillFailed(backfill_id=self._id, error=info)])

    def _broken(self, error: BaseException) -> None:
        """Record what ends it from outside: an interrupt, or an error of the engine."""
        if isinstance(error, KeyboardInterrupt):
            self._recorder.record([BackfillCanceling(backfill_id=self._id), BackfillCanceled(backfill_id=self._id)])
        else:
            self._recorder.record([BackfillFailed(backfill_id=self._id, error=ErrorInfo.from_exception(error))])

    def _result(self, left: Sequence[str]) -> BackfillResult:
        return BackfillResult(backfill_id=self._id, runs=tuple(self._runs), left=tuple(left))


def partition_range(instance: Deployment, job: JobDefinition, first: str | None, last: str | None) -> Sequence[str]:
    """The partitions of a job from one to another, both included; None: from the first, to the last there is.

    Raises UsageError for a job without partitions, a key that there is not, and a range that ends before it starts.
    """
    now = datetime.now(UTC)
    if job.partitions_def is None:
        raise fault(f"{job_text(job.name)} has no partitions", "Execute it without one.")

    def dynamic(name: str) -> Sequence[str]:
        return all_dynamic(instance, name)

    keys = job.partitions_def.get_partition_keys(now=now, dynamic=dynamic)
    if not keys:
        raise fault(
            f"{job_text(job.name)} is partitioned by {job.partitions_def.describe()}, and there is none yet",
            "Wait for the first.",
        )
    return job.partitions_def.get_partition_keys_in_range(
        keys[0] if first is None else first, keys[-1] if last is None else last, now=now, dynamic=dynamic
    )
