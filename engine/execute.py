"""The calls that execute jobs and assets, in this process: `execute_job`, `materialize`,
`materialize_partitions`, `reexecute_job`.

Here an instance is made where none is given; what they do is in engine/execution.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .definitions.asset_graph import Selection
    from .definitions.assets import AssetsDefinition, AssetSpec
    from .definitions.job import JobDefinition
    from .definitions.op import OpDefinition
    from .execution.backfill_result import BackfillResult
    from .execution.in_process import StepReport
    from .execution.result import ExecutionResult
    from .instance import Instance
    from .reporting.recorder import Listener


def execute_job(
    job: JobDefinition,
    *,
    instance: Instance | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    partition_key: str | None = None,
    op_selection: str | OpDefinition | Sequence[str | OpDefinition] | None = None,
    asset_selection: Selection | None = None,
    resources: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    raise_on_error: bool = True,
    report: StepReport | None = None,
    listener: Listener | None = None,
) -> ExecutionResult:
    """Execute a job in this process, every event of it recorded; what came of it.

    `instance`: where it is recorded; by default in memory, gone with the result. `run_config`: see
    docs/definitions.md. `op_selection`: steps to execute, as `"*load"`, `["extract", "clean+"]`, or ops;
    `asset_selection`: the same of a job of assets. `resources`: in place of the job's own.
    `run_id`: a name of the caller's, else a new one.
    `raise_on_error`: raise what the first step failed with, when all is recorded; else see `result.error`.
    `report`: called as steps begin and end, with key, `START`, `RETRY` or outcome, and seconds. `listener`: called with
    each event of the run, log lines too, by the thread that records it.

    Raises UsageError, before anything is recorded, for a config, selection, partition or resource that does not fit;
    ConflictError if there is a run of that id. An interrupt (Ctrl-C) is recorded as a cancel, and passes on.
    """
    from .execution.requests import ExecutionRequest, execute

    request = ExecutionRequest(
        run_config=run_config,
        tags=tags or {},
        partition_key=partition_key,
        op_selection=op_selection,
        asset_selection=asset_selection,
        resources=resources or {},
        run_id=run_id,
    )
    with _given_or_ephemeral(instance) as there:
        return execute(there, job, request, raise_on_error=raise_on_error, report=report, listener=listener)


def materialize(
    assets: Sequence[AssetsDefinition | AssetSpec] | AssetsDefinition,
    *,
    instance: Instance | None = None,
    selection: Selection = "*",
    partition_key: str | None = None,
    resources: Mapping[str, Any] | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    run_id: str | None = None,
    raise_on_error: bool = True,
    report: StepReport | None = None,
    listener: Listener | None = None,
) -> ExecutionResult:
    """Make assets in this process, with their checks. `assets`: all that are concerned, checks too, or a single one;
    of these, those that `selection` names are made, and what lies upstream of them is loaded from what earlier runs
    have made.

    The other parameters, and errors, as of `execute_job`.
    """
    job = _job_of(assets, selection, resources)
    return execute_job(
        job,
        instance=instance,
        run_config=run_config,
        tags=tags,
        partition_key=partition_key,
        run_id=run_id,
        raise_on_error=raise_on_error,
        report=report,
        listener=listener,
    )


def materialize_partitions(
    assets: Sequence[AssetsDefinition | AssetSpec] | AssetsDefinition,
    partitions: Sequence[str],
    *,
    instance: Instance,
    selection: Selection = "*",
    resources: Mapping[str, Any] | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    title: str | None = None,
    stop_on_failure: bool = False,
) -> BackfillResult:
    """Make many partitions of assets, a run each, in this order, recorded as a backfill; what came of each.

    The result has `success`, `backfill_id`, `failed_partitions`, `runs` (each with `partition`, `run_id`, `status`,
    `seconds`, `errors`: class and message by step) and `left`, the partitions that were not begun. A failed run keeps
    no other from being executed, unless `stop_on_failure`. Its runs have the tag `foldlog/backfill`. An interrupt
    (Ctrl-C) is recorded as a cancel of the run and of the backfill, and passes on; `instance.cancel_backfill` from
    elsewhere ends it after the run that is under way. The other parameters as of `materialize`.

    Raises UsageError, before anything is recorded, for a partition that there is not, and for what else does not fit.
    """
    from .execution.backfill import run_backfill
    from .execution.requests import ExecutionRequest

    job = _job_of(assets, selection, resources)
    request = ExecutionRequest(run_config=run_config, tags=tags or {})
    return run_backfill(_checked(instance), job, partitions, request, stop_on_failure=stop_on_failure, title=title)


def reexecute_job(
    job: JobDefinition,
    parent_run_id: str,
    *,
    instance: Instance,
    from_failure: bool = False,
    step_selection: str | OpDefinition | Sequence[str | OpDefinition] | None = None,
    run_config: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    resources: Mapping[str, Any] | None = None,
    run_id: str | None = None,
    assume_lost: bool = False,
    raise_on_error: bool = True,
    report: StepReport | None = None,
    listener: Listener | None = None,
) -> ExecutionResult:
    """Execute a job again: what the parent was to execute (all of the job, or what its `op_selection` and
    `asset_selection` named), the steps of `step_selection`, or from where it failed.

    `from_failure`: what failed, was interrupted or never ran, and all that lies behind it; what succeeded is taken from
    the runs before, unless its outputs have changed or a check of what it made failed, and what was skipped stays so.
    The parent must be over, and not a success; one whose worker is gone is first recorded as failed.
    `assume_lost`: take it for gone also where that cannot be found out from here.
    `run_config`, `tags`: by default those of the parent; given tags go over them. The rest as of `execute_job`.

    Raises UsageError for a parent that there is not, that still runs or has succeeded, or is of another job.
    """
    from .execution.reexecution import ReexecutionRequest, reexecute

    request = ReexecutionRequest(
        parent_run_id=parent_run_id,
        from_failure=from_failure,
        step_selection=step_selection,
        run_config=run_config,
        tags=tags or {},
        resources=resources or {},
        run_id=run_id,
        assume_lost=assume_lost,
    )
    return reexecute(_checked(instance), job, request, raise_on_error=raise_on_error, report=report, listener=listener)


@contextmanager
def _given_or_ephemeral(instance: Instance | None) -> Iterator[Instance]:
    """The instance; or one in memory, which lives as long as the result that refers to it, without a thread."""
    if instance is not None:
        yield _checked(instance)
        return
    from .errors import FoldlogError
    from .instance import Instance

    own = Instance.ephemeral()
    try:
        yield own
    finally:
        with suppress(FoldlogError):  # an append that failed was told to who made it
            own.end_writer()


def _job_of(assets: Any, selection: Selection, resources: Mapping[str, Any] | None) -> JobDefinition:
    """The job of the assets selected. Raises UsageError for what is no list of assets, nor a single one."""
    from collections.abc import Iterable

    from .definitions.assets import AssetsDefinition, AssetSpec
    from .definitions.definitions import ALL_ASSETS, Definitions

    if isinstance(assets, AssetsDefinition | AssetSpec):
        assets = [assets]
    elif isinstance(assets, str | Mapping) or not isinstance(assets, Iterable):
        from .definitions.shown import shown
        from .errors import fault

        raise fault(f"{shown(assets)} is no asset, and no list of assets", "Write [orders, revenue].")
    return Definitions(assets=assets, resources=resources).asset_job(selection, name=ALL_ASSETS)


def _checked(instance: Instance) -> Instance:
    """The instance. Raises UsageError for what is none, such as a URL."""
    from .instance import Instance

    if not isinstance(instance, Instance):
        from .errors import fault

        raise fault(
            f"instance is a {type(instance).__name__}, no Instance",  # not shown: it may be a URL
            "Open it: foldlog.Instance.from_url('sqlite:///history'), or Instance.get().",
        )
    return instance
