"""`foldlog asset list`: the assets that code defines; `foldlog asset materialize`: make them, one partition or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import click

from .code_options import CodeChoice, code_options
from .executing import Caller, check_first, finish, guarded, showing
from .groups import ListOrMaterialize
from .opening import executing_instance
from .options import Target, examples, json_option
from .run_display import Display, display_for
from .run_options import run_options
from .show import Cell, print_json, say, table

if TYPE_CHECKING:
    from ..definitions.asset_graph import AssetGraph
    from ..definitions.definitions import Definitions
    from ..definitions.job import JobDefinition
    from ..events.key import AssetKey
    from ..instance import Instance

RANGE = ".."  #: between the first and the last key of several partitions


@click.group(
    "asset",
    cls=ListOrMaterialize,
    epilog=examples(
        "foldlog asset list -f assets.py",
        "foldlog asset materialize -m acme.pipelines --select 'raw/orders+'",
        "foldlog asset materialize --select daily --partition 2026-11-01..2026-11-20",
    ),
)
def command() -> None:
    """List the assets that code defines, or make them.

    What the code defines is here; what the log knows of assets is in `foldlog assets`. Without a command, `list`.

    The code is a module (-m), a file (-f), or what [tool.foldlog] in pyproject.toml names.
    """


# -- list -------------------------------------------------------------------------------------------------------------


@command.command(
    "list",
    epilog=examples("foldlog asset list", "foldlog asset list -f assets.py --select 'group:reports'"),
)
@click.option("--select", multiple=True, metavar="EXPR", help="Only these; may be repeated.")
@json_option("One JSON document")
@code_options
def list_assets(code: CodeChoice, select: tuple[str, ...], as_json: bool) -> None:
    """List the assets that the code defines. `foldlog assets` lists those that the log knows."""
    graph = code.definitions().asset_graph
    keys = graph.select(list(select)) if select else [*graph.specs, *graph.external]
    if as_json:
        print_json({"assets": [asset_form(graph, key) for key in keys]})
    elif not keys:
        say("no assets; `foldlog job list` lists jobs")
    else:
        rows: list[list[Cell]] = []
        for key in keys:
            form = asset_form(graph, key)
            made = "" if form["made"] else " (made elsewhere)"
            rows.append(
                [
                    form["key"] + made,
                    form["group"],
                    ", ".join(form["deps"]),
                    form["partitions"] or "",
                    ", ".join(form["checks"]),
                ]
            )
        table(("asset", "group", "made of", "partitions", "checks"), rows)


def asset_form(graph: AssetGraph, key: AssetKey) -> dict[str, Any]:
    """An asset as JSON."""
    spec, maker = graph.spec_of(key), graph.maker.get(key)
    partitions = graph.partitions_of(key)
    return {
        "key": key.to_text(),
        "group": spec.group_name if spec is not None else None,
        "description": spec.description if spec is not None else None,
        "made": maker is not None,
        "deps": [one.to_text() for one in maker.upstream_of(key)] if maker is not None else [],
        "partitions": partitions.describe() if partitions is not None else None,
        "checks": [check.name for check in graph.checks if check.asset_key == key],
    }


# -- materialize ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be made, as the command line says it."""

    partition: str | None
    config: Any
    tags: dict[str, str]
    stop_on_failure: bool
    as_json: bool


@command.command(
    "materialize",
    epilog=examples(
        "foldlog asset materialize -f assets.py",
        "foldlog asset materialize --select 'raw/orders+' --select group:reports",
        "foldlog asset materialize --select daily --partition 2026-11-20",
        "foldlog asset materialize --select daily --partition 2026-11-01..2026-11-20 --stop-on-failure",
        "foldlog asset materialize --select daily --partition .. --json",
    ),
)
@click.option(
    "--select",
    multiple=True,
    default=("*",),
    show_default=True,
    metavar="EXPR",
    help="The assets to make; what lies upstream of them is loaded from earlier runs. May be repeated.",
)
@click.option(
    "--partition",
    metavar="KEY|FIRST..LAST",
    help="The partition; or several, a run each. Without FIRST from the first there is, without LAST to the last.",
)
@click.option("--stop-on-failure", is_flag=True, help="Of several partitions: none behind one that fails.")
@run_options
def materialize(
    code: CodeChoice,
    target: Target,
    select: tuple[str, ...],
    configs: tuple[str, ...],
    plain: bool,
    silent: bool,
    as_json: bool,
    **given: Any,
) -> int:
    """Make assets in this process, with their checks, every event of it recorded.

    The log is made if there is none. Several partitions are recorded as a backfill; a failed one keeps no other from
    being made. Progress and errors go to the error stream.

    Exit codes: 0 success, 1 a run failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from ..definitions.run_config_files import read_run_config

    order = Order(config=read_run_config(configs), as_json=as_json, **given)
    job = _job(code.definitions(), select)
    caller = Caller(code, target)
    display = display_for(plain=plain, silent=silent, as_json=as_json)
    run_id = str(uuid4())
    several: list[str] = []
    check_first(target, lambda instance: _check(instance, job, order))

    def run() -> int:
        from .backfilling import backfill

        with executing_instance(target) as instance:
            keys = _keys(instance, job, order)
            if keys is None:
                return _one(instance, job, order, run_id, display, caller)
            several.extend(keys)
            return backfill(
                instance,
                job,
                keys,
                display,
                caller,
                config=order.config,
                tags=order.tags,
                stop_on_failure=order.stop_on_failure,
                as_json=as_json,
            )

    def what() -> str:
        if not display.is_recorded:
            return ""
        return f"the backfill of {len(several)} partitions, with the run under way," if several else f"run {run_id}"

    return guarded(run, what)


def _job(definitions: Definitions, select: Sequence[str]) -> JobDefinition:
    """The job of the assets selected."""
    from ..definitions.names import fault

    if not definitions.asset_graph.specs:
        raise fault("the code defines no asset", "`foldlog job execute` executes its jobs.")
    return definitions.asset_job(list(select))


def _check(instance: Instance, job: JobDefinition, order: Order) -> None:
    from ..execution.requests import ExecutionRequest, checked

    keys = _keys(instance, job, order)
    wanted = ExecutionRequest(
        run_config=order.config, tags=order.tags, partition_key=keys[0] if keys else order.partition
    )
    checked(instance, job, wanted, datetime.now(UTC))


def _keys(instance: Instance, job: JobDefinition, order: Order) -> Sequence[str] | None:
    """The partitions of a range; None if one is meant, or none."""
    from ..execution.backfill import partition_range
    from ..execution.run_context import all_dynamic

    given, partitions = order.partition, job.partitions_def
    if (
        given is not None
        and RANGE in given
        and partitions is not None
        and not partitions.has_partition_key(given, dynamic=lambda name: all_dynamic(instance, name))
    ):  # a key may have the two dots in it
        first, _, last = given.partition(RANGE)
        return partition_range(instance, job, first or None, last or None)
    if order.stop_on_failure:
        raise click.UsageError(f"--stop-on-failure is about several partitions: give --partition FIRST{RANGE}LAST")
    return None


def _one(instance: Instance, job: JobDefinition, order: Order, run_id: str, display: Display, caller: Caller) -> int:
    from ..execute import execute_job

    with showing(display, as_json=order.as_json):
        display.begin(job, f"run {run_id}: {len(job.asset_keys)} asset{'' if len(job.asset_keys) == 1 else 's'}")
        result = execute_job(
            job,
            instance=instance,
            run_config=order.config,
            tags=order.tags,
            partition_key=order.partition,
            run_id=run_id,
            raise_on_error=False,
            report=display.report,
            listener=display.listen,
        )
    return finish(result, display, caller, job=job.name, as_json=order.as_json)
