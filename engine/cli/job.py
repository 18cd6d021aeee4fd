"""`foldlog job list`: the jobs that code defines; `foldlog job execute`: execute one, or go on where one failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from .code_options import CodeChoice, code_options
from .executing import Caller, check_first, excluded, finish, guarded, showing
from .groups import ListOrExecute
from .opening import executing_instance, existing_instance, find_run
from .options import Target, examples, json_option
from .run_display import Display, display_for
from .run_options import run_options
from .show import Cell, clean, print_json, say, table

if TYPE_CHECKING:
    from ..definitions.definitions import Definitions
    from ..definitions.job import JobDefinition
    from ..definitions.steps import Step
    from ..execution.result import ExecutionResult
    from ..instance import Instance
    from ..views.records import Run


@click.group(
    "job",
    cls=ListOrExecute,
    epilog=examples(
        "foldlog job list -f jobs.py --steps",
        "foldlog job execute nightly -f jobs.py --config prod.yaml",
        "foldlog job execute nightly -m acme.pipelines --from-failure 4f1c",
    ),
)
def command() -> None:
    """List the jobs that code defines, or execute one.

    What the code defines is here; what the log knows of runs is in `foldlog runs`. Without a command, `list`.

    The code is a module (-m), a file (-f), or what [tool.foldlog] in pyproject.toml names.
    """


# -- list -------------------------------------------------------------------------------------------------------------


@command.command(
    "list",
    epilog=examples("foldlog job list", "foldlog job list -f jobs.py --steps", "foldlog job list -m acme --json"),
)
@click.option("--steps", "with_steps", is_flag=True, help="Their steps too, and what each waits for.")
@json_option("One JSON document")
@code_options
def list_jobs(code: CodeChoice, with_steps: bool, as_json: bool) -> None:
    """List the jobs that the code defines. `foldlog runs` lists their runs."""
    jobs = list(code.definitions().jobs.values())
    if as_json:
        print_json({"jobs": [job_form(job) for job in jobs]})
    elif not jobs:
        say("no jobs; `foldlog asset list` lists assets")
    elif with_steps:
        for number, job in enumerate(jobs):
            _print_steps(job, first=number == 0)
    else:
        rows: list[list[Cell]] = [[job.name, len(job.steps), _partitions(job), _first_line(job)] for job in jobs]
        table(("job", "steps#", "partitions", "description"), rows)


def _print_steps(job: JobDefinition, *, first: bool) -> None:
    if not first:
        say()
    say(clean(job.name), "bold")
    rows: list[list[Cell]] = [[step.key, ", ".join(waits_for(step)), _each(step)] for step in job.steps.values()]
    table(("step", "waits for", "one for each of"), rows)


def waits_for(step: Step) -> list[str]:
    """Keys of the steps before it."""
    return list(dict.fromkeys((*step.upstream, *step.after)))


def _each(step: Step) -> str:
    return ".".join(step.mapped_over) if step.mapped_over is not None else ""


def _partitions(job: JobDefinition) -> str:
    return job.partitions_def.describe() if job.partitions_def is not None else ""


def _first_line(job: JobDefinition) -> str:
    return (job.description or "").strip().partition("\n")[0]


def job_form(job: JobDefinition) -> dict[str, Any]:
    """A job as JSON."""
    return {
        "name": job.name,
        "description": job.description,
        "partitions": _partitions(job) or None,
        "tags": dict(job.tags),
        "assets": [key.to_text() for key in job.asset_keys],
        "steps": [
            {
                "step_key": step.key,
                "op": step.op.name,
                "waits_for": waits_for(step),
                "mapped_over": _each(step) or None,
            }
            for step in job.steps.values()
        ],
    }


# -- execute ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Order:
    """What of a job is to be executed, as the command line says it."""

    name: str | None
    partition: str | None
    select: tuple[str, ...]
    run_id: str
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
        if self.parent is not None and self.partition is not None:
            raise click.UsageError("--partition is that of the run that is executed again; leave it out")
        if self.assume_lost and self.parent is None:
            raise click.UsageError("--assume-lost is about a run to execute again: give --from-failure or --reexecute")


@command.command(
    "execute",
    epilog=examples(
        "foldlog job execute nightly -f jobs.py",
        "foldlog job execute nightly --config base.yaml --config prod.yaml --tags team=growth",
        "foldlog job execute daily -m acme.pipelines --partition 2026-11-20",
        "foldlog job execute nightly --select 'clean+'",
        "foldlog job execute nightly --from-failure 4f1c",
        "foldlog job execute nightly --reexecute 4f1c --select load",
        "foldlog job execute nightly --json --no-progress",
    ),
)
@click.argument("name", required=False)
@click.option("--partition", metavar="KEY", help="The partition to execute it for.")
@click.option("--select", multiple=True, metavar="STEPS", help="Only these steps (of assets: these); may be repeated.")
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
    run_id: str | None,
    **given: Any,
) -> int:
    """Execute a job of the code in this process, every event of it recorded.

    NAME may be left out if there is one job only. The log is made if there is none. RUN may be the beginning of a run
    id. Progress and errors go to the error stream.

    Exit codes: 0 success, 1 the run failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from ..definitions.run_config_files import read_run_config

    order = Order(run_id=run_id or str(uuid4()), **given)
    order.check()
    config = read_run_config(configs)
    definitions = code.definitions()
    caller = Caller(code, target)
    display = display_for(plain=plain, silent=silent, as_json=as_json)

    if order.parent is None:
        job = _job(definitions, order.name, None)
        check_first(target, lambda instance: _check(instance, job, order, config))

    def run() -> int:
        opened = executing_instance(target) if order.parent is None else existing_instance(target, write=True)
        with opened as instance:
            parent = _parent(instance, order)
            job = _job(definitions, order.name, parent)
            with showing(display, as_json=as_json):
                display.begin(job, f"job {job.name}, run {order.run_id}")
                result = _execute(instance, job, order, parent, config, display)
            return finish(result, display, caller, job=job.name, as_json=as_json)

    return guarded(run, lambda: f"run {order.run_id}" if display.is_recorded else "")


def _parent(instance: Instance, order: Order) -> Run | None:
    """The run that is executed again. Raises UsageError if there is none."""
    if order.parent is None:
        return None
    from ..definitions.names import fault

    run = instance.get_run_by_id(find_run(instance.log, order.parent))
    if run is None:
        raise fault(f"{order.parent!r} is no run, or was deleted", "List the runs with `foldlog runs`.")
    return run


def _job(definitions: Definitions, name: str | None, parent: Run | None) -> JobDefinition:
    """The job that is meant."""
    from ..definitions.definitions import ALL_ASSETS
    from ..definitions.names import fault

    name = name or (parent.job_name if parent is not None else None)
    if name == ALL_ASSETS:
        return definitions.asset_job(list((parent.asset_selection if parent is not None else None) or ["*"]))
    if name is not None:
        return definitions.get_job(name)
    if len(definitions.jobs) > 1:
        raise click.UsageError(f"NAME is missing; there are several jobs: {', '.join(definitions.jobs)}")
    if not definitions.jobs:
        raise fault("the code defines no job", "`foldlog asset materialize` makes its assets without one.")
    return next(iter(definitions.jobs.values()))


def _wanted(job: JobDefinition, order: Order, config: Any) -> dict[str, Any]:
    """What a new run is to be, by the names that the library has for it."""
    chosen = "asset_selection" if job.makes_assets else "op_selection"
    return {
        "run_config": config,
        "tags": order.tags,
        "partition_key": order.partition,
        "run_id": order.run_id,
        chosen: list(order.select) or None,
    }


def _check(instance: Instance, job: JobDefinition, order: Order, config: Any) -> None:
    from ..execution.requests import ExecutionRequest, checked

    checked(instance, job, ExecutionRequest(**_wanted(job, order, config)), datetime.now(UTC))


def _execute(
    instance: Instance, job: JobDefinition, order: Order, parent: Run | None, config: Any, display: Display
) -> ExecutionResult:
    from ..execute import execute_job, reexecute_job

    if parent is None:
        return execute_job(
            job,
            instance=instance,
            raise_on_error=False,
            report=display.report,
            listener=display.listen,
            **_wanted(job, order, config),
        )
    return reexecute_job(
        job,
        parent.run_id,
        instance=instance,
        from_failure=order.from_failure is not None,
        step_selection=_steps(job, order.select),
        run_config=config,
        tags=order.tags,
        run_id=order.run_id,
        assume_lost=order.assume_lost,
        raise_on_error=False,
        report=display.report,
        listener=display.listen,
    )


def _steps(job: JobDefinition, select: tuple[str, ...]) -> list[str] | None:
    """The selection as one of steps; of a job of assets, it names assets."""
    if not select:
        return None
    if job.assets is None:
        return list(select)
    keys = set(job.assets.select(list(select)))
    makers = [key for key, step in job.steps.items() if step.node.making and keys & set(step.node.making.asset_keys)]
    return [f'key:"{key}"' for key in makers]
