"""From what a caller wants to a run: everything is checked, then the run is created and executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ..definitions.assets import AssetsDefinition
from ..definitions.definitions import FILE_MANAGER, UnresolvedAssetJob
from ..definitions.graph import GraphDefinition
from ..definitions.inout import IO_MANAGER
from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.names import check_tags
from ..definitions.op import OpDefinition
from ..definitions.resource import check_io_managers, check_resources, io_managers_of
from ..definitions.run_config import check_run_config, given_inputs
from ..definitions.shown import shown
from ..errors import UserCodeError, fault
from ..events.event import Fact
from ..events.key import AssetKey
from ..events.run import RunStatus
from ..events.tags import OWN_TAGS
from ..log.names import check_run_id
from ..reporting.interrupts import let_through, shielded
from ..reporting.planned import Planned
from ..reporting.recorder import Listener, Recorder
from .creation import NewRun, check_partition, create_run
from .deployment import Deployment
from .frontier import Frontier
from .given import check_is_mapping, op_texts
from .in_process import StepReport
from .interruption import Interruption, interrupts_held
from .keeping import default_file_manager, default_io_manager, requires_file_manager
from .narrowing import selected
from .plan import NOTHING_KNOWN, KnownState, plan_of
from .result import ExecutionResult
from .run_context import RunContext
from .worker import work


@dataclass(frozen=True, kw_only=True)
class ExecutionRequest:
    """What a caller asks of a run; see `foldlog.execute_job`. Not yet held against the job: creation.NewRun is."""

    run_config: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    partition_key: str | None = None
    op_selection: str | OpDefinition | Sequence[str | OpDefinition] | None = None
    asset_selection: Any = None
    resources: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    own_tags: Mapping[str, str] = field(default_factory=dict)  #: those that only foldlog sets; see events/tags.py
    # of a re-execution:
    step_keys: frozenset[str] | None = None
    known: KnownState = NOTHING_KNOWN
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  #: of what is not as it would be expected
    parent_run_id: str | None = None
    root_run_id: str | None = None


def execute(
    instance: Deployment,
    job: JobDefinition,
    wanted: ExecutionRequest,
    *,
    raise_on_error: bool = True,
    report: StepReport | None = None,
    listener: Listener | None = None,
) -> ExecutionResult:
    """Check, create and execute a run; what came of it."""
    with interrupts_held():  # one that came between would leave a run that nobody begins or ends
        run = begin(instance, job, wanted, listener)
        end = work(run, report)
    if raise_on_error and end.status is not RunStatus.SUCCESS and end.error is not None:
        if isinstance(end.error, SystemExit):  # it has ended a step; it is not to end the program as well
            raise UserCodeError(f"run {run.run_id}: code of a step called sys.exit({end.error.code!r})") from end.error
        raise end.error
    return ExecutionResult(run, end)


def begin(
    instance: Deployment, job: JobDefinition, wanted: ExecutionRequest, listener: Listener | None = None
) -> RunContext:
    """The run, created and not yet begun. Raises UsageError for what does not fit, before anything is recorded."""
    now = datetime.now(UTC)
    with let_through():  # nothing is recorded yet
        request = checked(instance, job, wanted, now)
    recorder = Recorder(instance.log, instance.writer, request.run_id, request.plan.job.name, listener)
    with shielded():
        return _context(instance, recorder, request, create_run(instance, recorder, request), now)


def _context(instance: Deployment, recorder: Recorder, request: NewRun, facts: list[Fact], now: datetime) -> RunContext:
    return RunContext(
        instance=instance,
        plan=request.plan,
        run_id=request.run_id,
        tags=request.all_tags,
        partition_key=request.partition_key,
        config=request.config,
        recorder=recorder,
        frontier=Frontier(request.plan, request.run_id),
        planned=Planned(facts),
        interruption=Interruption(instance.log, recorder),
        now=now,
    )


def checked(instance: Deployment, job: JobDefinition, wanted: ExecutionRequest, now: datetime) -> NewRun:
    """What the run is to be; nothing is recorded. Raises UsageError for what does not fit."""
    if not isinstance(job, JobDefinition):
        raise fault(f"{shown(job)} cannot be executed", _how_to_execute(job))
    check_is_mapping(wanted.run_config)
    job = equipped(instance, selected(job, wanted.asset_selection), wanted.resources)
    selection = op_texts(wanted.op_selection)
    plan = plan_of(
        job,
        op_selection=selection,
        step_keys=wanted.step_keys,
        known=wanted.known,
        only=wanted.only,
        given=given_inputs(job, wanted.run_config),
    )
    keep = (one for step in plan.steps.values() for one in io_managers_of(step.op, f"step {step.key}"))
    check_io_managers(job_text(job.name), job.resource_defs, keep)
    config = check_run_config(job, plan.steps, wanted.run_config)
    check_partition(instance, job, wanted.partition_key, now)
    return NewRun(
        plan=plan,
        config=config,
        run_id=str(uuid4()) if wanted.run_id is None else check_run_id(wanted.run_id),
        tags={**_tags(job, wanted.tags), **wanted.own_tags},
        partition_key=wanted.partition_key,
        op_selection=selection,
        asset_selection=_assets(job),
        notes=wanted.notes,
        parent_run_id=wanted.parent_run_id,
        root_run_id=wanted.root_run_id,
    )


def _tags(job: JobDefinition, tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that a caller gives. Raises UsageError for one that foldlog sets, and would take at its word."""
    found = check_tags("run", tags)
    for what, given in (("the run", found), (job_text(job.name), job.tags)):
        for key in OWN_TAGS.keys() & given.keys():
            raise fault(f"{what} is given the tag {key!r}, which foldlog sets itself", OWN_TAGS[key])
    return found


def _how_to_execute(given: Any) -> str:
    match given:
        case OpDefinition():
            return f"Call it in a function with @job, or, to try its function, call it: {given.name}(...)."
        case GraphDefinition():
            return f"Write execute_job({given.name}.to_job())."
        case AssetsDefinition():
            return "Write foldlog.materialize([...]), with the assets."
        case UnresolvedAssetJob():
            return f"Write execute_job(Definitions(assets=[...], jobs=[...]).get_job({given.name!r}))."
    return "Make it with @job or graph.to_job(); Definitions(...).get_job() gives what define_asset_job names."


def equipped(instance: Deployment, job: JobDefinition, resources: Mapping[str, Any]) -> JobDefinition:
    """The job with these resources in place of its own, and with the default IO manager if it has none; with the file
    manager of the instance, if that is required and not there."""
    given = {**job.resource_defs, **check_resources("the call", resources)}
    if IO_MANAGER not in given:
        given[IO_MANAGER] = default_io_manager(instance)
    job = replace(job, resource_defs=given)
    if FILE_MANAGER not in given and requires_file_manager(job):
        return replace(job, resource_defs={**given, FILE_MANAGER: default_file_manager(instance)})
    return job


def _assets(job: JobDefinition) -> tuple[AssetKey, ...] | None:
    return job.asset_keys if job.makes_assets else None
