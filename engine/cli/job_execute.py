"""`foldlog job execute`: execute a job of the code, or go on where one failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from .backfilling import BackfillOrder, backfill
from .code_options import CodeChoice
from .executing import Caller, UnderWay, check_first, excluded, finish, going_on, guarded, showing
from .opening import executing_instance, existing_instance, find_run
from .options import Target, examples
from .partition_choice import partition_options, partitions_meant
from .run_display import Display, display_for
from .run_options import run_options
from .select_option import select_option

if TYPE_CHECKING:
    from ..definitions.definitions import Definitions
    from ..definitions.job import JobDefinition
    from ..execution.requests import ExecutionRequest
    from ..execution.result import ExecutionResult
    from ..instance import Instance
    from ..views.records import Run


@dataclass(frozen=True, kw_only=True)
class ExecuteOptions:
    """What of a job is to be executed, as the command line says it."""

    name: str | None
    partitions: tuple[str, ...]
    stop_on_failure: bool
    select: tuple[str, ...]
    run_id: str | None
    from_failure: str | None
    reexecute: str | None
    assume_lost: bool
    tags: dict[str, str]

    @property
    def parent(self) -> str | None:
        """The run to execute again, as it was given."""
        return self.from_failure or self.reexecute

    def check(self) -> None:
        """Raise click.UsageError for options that do not go together."""
        excluded(from_failure=self.from_failure, reexecute=self.reexecute)
        excluded(from_failure=self.from_failure, select=self.select)
        if self.parent is not None and self.partitions:
            raise click.UsageError("--partition is that of the run that is executed again; leave it out")
        if self.parent is not None and self.stop_on_failure:
            raise click.UsageError("--stop-on-failure is about several partitions, not about a run that is there")
        if self.assume_lost and self.parent is None:
            raise click.UsageError("--assume-lost is about a run to execute again: give --from-failure or --reexecute")


@click.command(
    "execute",
    epilog=examples(
        "foldlog job execute nightly -f jobs.py",
        "foldlog job execute nightly --config base.yaml --config prod.yaml --tags team=growth",
        "foldlog job execute daily -m acme.pipelines --partition 2026-11-20",
        "foldlog job execute daily --partition 2026-11-01..2026-11-20 --partition 2026-10-01",
        "foldlog job execute nightly --select 'clean+'",
        "foldlog job execute --from-failure 4f1c",
        "foldlog job execute --reexecute 4f1c --select load",
        "foldlog job execute nightly --json --no-progress",
    ),
)
@click.argument("name", required=False)
@partition_options
@select_option("Only these steps, or assets, if the job makes some")
@click.option("--run-id", metavar="ID", help="The id of the run; by default a new one.")
@click.option("--from-failure", metavar="RUN", help="Go on where that run failed.")
@click.option("--reexecute", metavar="RUN", help="Execute that run again, with its config and tags.")
@click.option("--assume-lost", is_flag=True, help="Take the worker of RUN for dead where that cannot be found out.")
@run_options
def execute(
    code: CodeChoice,
    target: Target,
    configs: tuple[str, ...],
    plain: bool,
    silent: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Execute a job of the code in this process, every event of it recorded.

    NAME may be left out if there is one job only, or a run to execute again. The log is made if there is none. RUN may
    be the beginning of a run id. Several partitions are recorded as a backfill. Progress and errors go to the error
    stream.

    Exit codes: 0 success, 1 a run failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from ..definitions.run_config_files import read_run_config

    options = ExecuteOptions(**given)
    options.check()
    config = read_run_config(configs)
    definitions = code.definitions(as_json=as_json)
    caller = Caller(code, target)
    display = display_for(plain=plain, silent=silent, as_json=as_json)
    run_id = options.run_id or str(uuid4())
    order = BackfillOrder(display, caller, stop_on_failure=options.stop_on_failure, as_json=as_json)

    if options.parent is None:
        job = _job(definitions, options.name, None, caller)
        check_first(target, lambda instance: _check(instance, job, options, config), as_json=as_json)

    def run() -> int:
        opened = executing_instance(target) if options.parent is None else existing_instance(target, write=True)
        with opened as instance:
            parent = _parent(instance, options)
            job = _job(definitions, options.name, parent, caller)
            several = _several(instance, job, options) if parent is None else None
            if several is not None:
                return backfill(instance, job, several, _request(job, options, config), order)
            with showing(display, as_json=as_json):
                display.begin(job, f"job {job.name}, run {run_id}")
                result = _execute(instance, job, options, parent, config, display, run_id)
            return finish(result, display, caller, job=job.name, as_json=as_json)

    def under_way() -> UnderWay | None:
        if order.backfill_id is not None:
            return order.under_way()
        return UnderWay(f"run {run_id}", going_on(caller, run_id)) if display.is_recorded else None

    return guarded(run, under_way, caller)


def _parent(instance: Instance, options: ExecuteOptions) -> Run | None:
    """The run that is executed again. Raises UsageError if there is none."""
    if options.parent is None:
        return None
    from ..errors import fault

    run = instance.get_run_by_id(find_run(instance.log, options.parent))
    if run is None:
        raise fault(f"{options.parent!r} is no run, or was deleted", "List the runs with `foldlog runs`.")
    return run


def _job(definitions: Definitions, name: str | None, parent: Run | None, caller: Caller) -> JobDefinition:
    """The job that is meant."""
    from ..definitions.job_text import ALL_ASSETS
    from ..errors import fault

    name = name or (parent.job_name if parent is not None else None)
    if name == ALL_ASSETS:
        return definitions.asset_job(list((parent.asset_selection if parent is not None else None) or ["*"]))
    if name is not None:
        if name not in definitions.jobs and any(str(key) == name for key in definitions.asset_graph.specs):
            again = caller.command("asset", "materialize", "--select", name, code=True)
            raise fault(f"{name!r} is an asset, no job", f"`{again}` makes it.")
        return definitions.get_job(name)
    if len(definitions.jobs) > 1:
        raise click.UsageError(f"NAME is missing; there are several jobs: {', '.join(definitions.jobs)}")
    if not definitions.jobs:
        raise fault("the code defines no job", "`foldlog asset materialize` makes its assets without one.")
    return next(iter(definitions.jobs.values()))


def _several(instance: Instance, job: JobDefinition, options: ExecuteOptions) -> list[str] | None:
    """The partitions of a backfill; None if a single run is meant."""
    several = partitions_meant(instance, job, options.partitions, stop_on_failure=options.stop_on_failure).several
    if several is not None and options.run_id is not None:
        raise click.UsageError("--run-id is the id of one run, and several partitions are a run each; leave it out")
    return several


def _request(
    job: JobDefinition, options: ExecuteOptions, config: Any, *, partition: str | None = None, run_id: str | None = None
) -> ExecutionRequest:
    """What a new run is to be."""
    from ..execution.requests import ExecutionRequest

    select = list(options.select) or None
    return ExecutionRequest(
        run_config=config,
        tags=options.tags,
        partition_key=partition,
        run_id=run_id,
        op_selection=None if job.makes_assets else select,
        asset_selection=select if job.makes_assets else None,
    )


def _check(instance: Instance, job: JobDefinition, options: ExecuteOptions, config: Any) -> None:
    from ..execution.requests import checked

    meant = partitions_meant(instance, job, options.partitions, stop_on_failure=options.stop_on_failure)
    request = _request(job, options, config, partition=meant.first, run_id=options.run_id)
    checked(instance, job, request, datetime.now(UTC))


def _execute(
    instance: Instance,
    job: JobDefinition,
    options: ExecuteOptions,
    parent: Run | None,
    config: Any,
    display: Display,
    run_id: str,
) -> ExecutionResult:
    from ..execute import reexecute_job
    from ..execution.requests import execute as execute_request

    if parent is None:
        partition = partitions_meant(instance, job, options.partitions).one
        request = _request(job, options, config, partition=partition, run_id=run_id)
        return execute_request(
            instance, job, request, raise_on_error=False, report=display.report, listener=display.listen
        )
    return reexecute_job(
        job,
        parent.run_id,
        instance=instance,
        from_failure=options.from_failure is not None,
        step_selection=_steps(job, options.select),
        run_config=config,
        tags=options.tags,
        run_id=run_id,
        assume_lost=options.assume_lost,
        raise_on_error=False,
        report=display.report,
        listener=display.listen,
    )


def _steps(job: JobDefinition, select: tuple[str, ...]) -> list[str] | None:
    """The selection as one of steps; of a job of assets, it names assets, and with them their checks."""
    from ..execution.narrowing import assets_of

    if not select:
        return None
    if not job.makes_assets:
        return list(select)
    keys = set(assets_of(job, list(select)))
    return [
        f'key:"{key}"'
        for key, step in job.steps.items()
        if (making := step.node.making) is not None
        and not (keys.isdisjoint(making.asset_keys) and keys.isdisjoint(one.asset_key for one in making.check_keys))
    ]
