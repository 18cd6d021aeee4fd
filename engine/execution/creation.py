"""A run is created: what it is of, what it means to make, and how its job and plan look, recorded before it begins."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.names import check_tags
from ..definitions.run_config import RunConfig
from ..definitions.snapshot import job_document, within
from ..errors import ConflictError, UsageError, fault
from ..events.asset import AssetMaterializationPlanned
from ..events.check import AssetCheckEvaluationPlanned
from ..events.event import Fact
from ..events.key import AssetKey
from ..events.log import EngineEvent
from ..events.run import RunCreated
from ..events.tags import PARTITION_TAG
from ..log.port import LIMITS, NEW
from ..reporting.recorder import Recorder
from .deployment import Deployment
from .plan import ExecutionPlan
from .run_context import all_dynamic, has_partition, partition_of_check

SNAPSHOT_LIMIT = LIMITS.bytes - 100_000  #: bytes of a document, with room for what stands around it


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """What a run is to be."""

    plan: ExecutionPlan
    config: RunConfig
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)
    partition_key: str | None = None
    op_selection: tuple[str, ...] | None = None  #: as the user wrote it
    asset_selection: tuple[AssetKey, ...] | None = None
    notes: tuple[str, ...] = ()  #: recorded as engine events
    parent_run_id: str | None = None
    root_run_id: str | None = None

    @property
    def all_tags(self) -> dict[str, str]:
        """The job's, those of the run over them, and the one of its partition."""
        tags = {**self.plan.job.tags, **self.tags}
        return {**tags, PARTITION_TAG: self.partition_key} if self.partition_key is not None else tags


def create_run(instance: Deployment, recorder: Recorder, request: NewRun) -> list[Fact]:
    """Record the run and what it plans, in one append; the facts. Raises ConflictError if there is a run of that id."""
    job_snapshot, plan_snapshot = _snapshots(instance, request.plan)
    facts: list[Fact] = [_created(request, job_snapshot, plan_snapshot), *_planned(request)]
    facts += [EngineEvent(text=text) for text in request.notes]
    if len(facts) > LIMITS.events:
        raise fault(
            f"{job_text(request.plan.job.name)} is to make {len(facts) - 1:,} assets and checks; "
            f"a run takes {LIMITS.events - 1:,} at most",
            "Select fewer, and make the rest in another run.",
        )
    try:
        recorder.record(facts, expected=NEW)
    except UsageError as error:
        if type(error) is not UsageError:
            raise
        raise fault(
            f"run {request.run_id} of {job_text(request.plan.job.name)} cannot be recorded: {error}",
            "Keep large values of the run config in files, and give their place.",
        ) from error
    except ConflictError as error:
        if type(error) is not ConflictError:
            raise
        taken = ConflictError(f"run {request.run_id} exists already")
        taken.remedy = "Give another run id, or none; to execute it again, re-execute it."
        raise taken from error
    return facts


def check_partition(instance: Deployment, job: JobDefinition, partition_key: str | None, now: Any) -> None:
    """Raise UsageError unless the key is one of the job's partitions, and just then given."""
    if job.partitions_def is None:
        if partition_key is not None:
            raise fault(
                f"{job_text(job.name)} has no partitions; partition_key={partition_key!r} was given", "Leave it out."
            )
        return
    if partition_key is None:
        how = job.partitions_def.how_to_add()
        raise fault(
            f"{job_text(job.name)} is partitioned by {job.partitions_def.describe()}, and no partition was given",
            "Give one: partition_key='...', or --partition." + (f" {how}" if how else ""),
        )
    if isinstance(partition_key, str) and has_partition(instance, job.partitions_def, partition_key, now):
        return
    job.partitions_def.check_key(
        partition_key, name_of_thing=job_text(job.name), now=now, dynamic=lambda name: all_dynamic(instance, name)
    )


def _created(request: NewRun, job_snapshot: str, plan_snapshot: str) -> RunCreated:
    plan = request.plan
    pools = Counter(step.op.pool for step in plan.steps.values() if step.op.pool is not None)
    roots = Counter(
        step.op.pool
        for step in plan.steps.values()
        if step.op.pool is not None and not any(one in plan.steps for one in step.upstream)
    )
    return RunCreated(
        job_name=plan.job.name,
        tags=check_tags("run", request.all_tags),
        run_config=dict(request.config.document),
        parent_run_id=request.parent_run_id,
        root_run_id=request.root_run_id,
        asset_selection=request.asset_selection,
        op_selection=request.op_selection,
        step_keys=plan.step_keys,
        job_snapshot_id=job_snapshot,
        plan_snapshot_id=plan_snapshot,
        pools=dict(pools),
        root_pools=dict(roots),
    )


def _planned(request: NewRun) -> list[Fact]:
    facts: list[Fact] = []
    for step in request.plan.steps.values():
        making = step.node.making
        if making is None:
            continue
        partition = request.partition_key if making.definition.partitions_def is not None else None
        facts += [AssetMaterializationPlanned(asset_key=key, partition=partition) for key in making.asset_keys]
        facts += [
            AssetCheckEvaluationPlanned(
                asset_key=key.asset_key,
                check_name=key.name,
                partition=partition_of_check(request.plan.job, key.asset_key, request.partition_key),
            )
            for key in making.check_keys
        ]
    return facts


def _snapshots(instance: Deployment, plan: ExecutionPlan) -> tuple[str, str]:
    job_id = instance.add_job_snapshot(plan.job.name, within(job_document(plan.job), SNAPSHOT_LIMIT))
    return job_id, instance.add_plan_snapshot(within(plan.document(), SNAPSHOT_LIMIT), job_snapshot_id=job_id)
