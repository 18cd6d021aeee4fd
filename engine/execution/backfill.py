"""A backfill in this process: one run for each of many partitions, one after the other, recorded as one undertaking.

Promises: what does not fit is said before anything is recorded. A backfill that was begun here is ended in the log,
whatever ends it short of a kill; one that was killed is resumed under its id.
Not here: how its runs are executed (backfill_runner.py), how far a backfill is (backfill_state.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ..definitions.job import JobDefinition
from ..definitions.job_text import ALL_ASSETS, job_text
from ..definitions.names import check_tags
from ..errors import fault
from ..events.backfill import (
    BackfillCanceled,
    BackfillCanceling,
    BackfillProgressed,
)
from ..log.names import INSTANCE_SHARD
from ..reporting.recorder import Recorder
from .backfill_result import NOBODY, BackfillResult, Watch
from .backfill_runner import BackfillRunner
from .backfill_state import (
    IDLE,
    BackfillState,
    PartitionState,
    backfill_state,
    check_nobody_at_work,
    is_at_work,
)
from .creation import check_partition
from .deployment import Deployment
from .lost import end_if_lost
from .requests import ExecutionRequest, checked
from .run_context import all_dynamic


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
    after = _newest(instance)
    backfill_id = instance.request_backfill(
        keys,
        asset_selection=job.asset_keys if job.makes_assets else (),
        job_name=job.name if job.name != ALL_ASSETS else None,
        tags=check_tags("backfill", wanted.tags),
        title=title,
    )
    return BackfillRunner(instance, job, backfill_id, wanted, watch, after=after).execute(keys, stop_on_failure)


def resume_backfill(
    instance: Deployment,
    job: JobDefinition,
    backfill_id: str,
    *,
    failed: bool = False,
    wanted: ExecutionRequest | None = None,
    stop_on_failure: bool = False,
    assume_lost: bool = False,
    watch: Watch = NOBODY,
) -> BackfillResult:
    """Make the partitions that a backfill has not made yet, under its id; what came of these.

    Those are partitions without a run, and with one that was interrupted or canceled; `failed`: those that failed, too,
    each anew. A run whose process is gone is recorded as failed first. `wanted`: of each run; by default the run
    config, the selection and the tags of its latest. The job must be the one that the backfill is of. `assume_lost`:
    take a process that cannot be asked for gone.

    Its first end stands in the views; what its runs make is taken in all the same. Raises UsageError if there is no
    such backfill or nothing to make, and for one that somebody is at work on.
    """
    state = _idle_state(instance, backfill_id, assume_lost=assume_lost)
    _check_same_job(state, job)
    wrong = (PartitionState.LEFT, PartitionState.FAILED) if failed else (PartitionState.LEFT,)
    partitions = state.partitions(*wrong)
    if not partitions:
        again = state.partitions(PartitionState.FAILED)
        raise fault(
            f"backfill {backfill_id} has no partition left to make{f'; {len(again)} failed' if again else ''}",
            "Make those again: failed=True, or --failed." if again else "Begin another for more partitions.",
        )
    keys = _checked_keys(instance, job, partitions)
    wanted = wanted or request_like(state)
    checked(instance, job, replace(wanted, partition_key=keys[0]), datetime.now(UTC))
    after = _newest(instance)
    return BackfillRunner(instance, job, backfill_id, wanted, watch, after=after).execute(keys, stop_on_failure)


def cancel_backfill(instance: Deployment, backfill_id: str, *, assume_lost: bool = False) -> bool:
    """Have a backfill stop after the run that is under way; True if it has stopped, since nobody is at work on it.

    A run whose process is gone is recorded as failed. Raises UsageError if there is no such backfill, or it is over.
    """
    record = backfill_state(instance, backfill_id).record
    recorder = Recorder(instance.log, instance.writer, INSTANCE_SHARD, record.job_name or ALL_ASSETS)
    canceling = BackfillCanceling(backfill_id=backfill_id)
    if is_at_work(record) and not assume_lost:
        recorder.record([canceling])
        return False
    if record.is_finished:
        raise fault(f"backfill {backfill_id} is {record.status}", "It is over; nothing of it is left to cancel.")
    _idle_state(instance, backfill_id, assume_lost=assume_lost)
    idle = BackfillProgressed(backfill_id=backfill_id, cursor=IDLE)
    recorder.record([canceling, idle, BackfillCanceled(backfill_id=backfill_id)])
    return True


def request_like(state: BackfillState) -> ExecutionRequest:
    """What the latest run of a backfill was asked for; of one without runs, what the backfill says."""
    latest, tags = state.latest_run, dict(state.record.tags)
    if latest is None:
        return ExecutionRequest(tags=tags)
    run = latest.run
    assets = run.asset_selection if state.record.job_name is not None else None  # else the job is just of these
    return ExecutionRequest(
        run_config=run.run_config, tags=tags, op_selection=run.op_selection, asset_selection=assets or None
    )


def _idle_state(instance: Deployment, backfill_id: str, *, assume_lost: bool) -> BackfillState:
    """How far it is, with runs whose process is gone recorded as failed. Raises UsageError if somebody is at work."""
    state = backfill_state(instance, backfill_id)
    if not assume_lost:
        check_nobody_at_work(state.record)
    under_way = state.partitions(PartitionState.IN_PROGRESS)
    for partition in under_way:
        end_if_lost(instance, state.runs[partition][-1].run, assume_lost=assume_lost)
    return backfill_state(instance, backfill_id) if under_way else state


def _check_same_job(state: BackfillState, job: JobDefinition) -> None:
    record = state.record
    of = record.job_name or ALL_ASSETS
    if of != job.name:
        raise fault(
            f"backfill {record.backfill_id} is of {job_text(of)}, not of {job_text(job.name)}",
            f"Resume it with {job_text(of)}.",
        )
    if record.job_name is None and set(record.asset_selection) != set(job.asset_keys):
        raise fault(
            f"backfill {record.backfill_id} is of other assets than are selected",
            f"Select {', '.join(map(str, record.asset_selection))}.",
        )


def _newest(instance: Deployment) -> int:
    """The seq of the latest event about backfills."""
    records = instance.log.read_shard(INSTANCE_SHARD, newest_first=True, limit=1).records
    return records[0].seq if records else 0


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
            job.partitions_def.how_to_add() or "Wait for the first.",
        )
    return job.partitions_def.get_partition_keys_in_range(
        keys[0] if first is None else first, keys[-1] if last is None else last, now=now, dynamic=dynamic
    )
