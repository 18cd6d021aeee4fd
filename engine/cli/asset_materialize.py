"""`foldlog asset materialize`: make assets, one partition or many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import click

from .backfilling import BackfillOrder, backfill
from .code_options import CodeChoice
from .executing import Caller, UnderWay, check_first, finish, going_on, guarded, showing
from .opening import executing_instance
from .options import Target, examples
from .partition_choice import partition_options, partitions_meant
from .run_display import display_for
from .run_options import run_options
from .select_option import select_option

if TYPE_CHECKING:
    from ..definitions.definitions import Definitions
    from ..definitions.job import JobDefinition
    from ..events.key import AssetKey
    from ..execution.requests import ExecutionRequest
    from ..instance import Instance

LISTED: Final = 12  #: assets of one kind of partitions that a message names


@dataclass(frozen=True, kw_only=True)
class MaterializeOptions:
    """What is to be made, as the command line says it."""

    partitions: tuple[str, ...]
    config: Any
    tags: dict[str, str]
    stop_on_failure: bool

    def request(self, *, partition: str | None = None, run_id: str | None = None) -> ExecutionRequest:
        """What a run is to be."""
        from ..execution.requests import ExecutionRequest

        return ExecutionRequest(run_config=self.config, tags=self.tags, partition_key=partition, run_id=run_id)


@click.command(
    "materialize",
    epilog=examples(
        "foldlog asset materialize -f assets.py",
        "foldlog asset materialize --select 'raw/orders+' --select group:reports",
        "foldlog asset materialize --select daily --partition 2026-11-20",
        "foldlog asset materialize --select daily --partition 2026-11-01..2026-11-20 --stop-on-failure",
        "foldlog asset materialize --select daily --partition 2026-11-01 --partition 2026-11-07..",
        "foldlog asset materialize --select daily --partition .. --json",
    ),
)
@select_option("The assets to make; what lies upstream of them is loaded from earlier runs", default=("*",))
@partition_options
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

    options = MaterializeOptions(config=read_run_config(configs), **given)
    caller = Caller(code, target)
    job = _job(code.definitions(as_json=as_json), select, caller)
    display = display_for(plain=plain, silent=silent, as_json=as_json)
    run_id = str(uuid4())
    order = BackfillOrder(display, caller, stop_on_failure=options.stop_on_failure, as_json=as_json)
    check_first(target, lambda instance: _check(instance, job, options), as_json=as_json)

    def run() -> int:
        from ..execution.requests import execute

        with executing_instance(target) as instance:
            meant = partitions_meant(instance, job, options.partitions, stop_on_failure=options.stop_on_failure)
            if meant.several is not None:
                return backfill(instance, job, meant.several, options.request(), order)
            with showing(display, as_json=as_json):
                count = len(job.asset_keys)
                display.begin(job, f"run {run_id}: {count} asset{'' if count == 1 else 's'}")
                request = options.request(partition=meant.one, run_id=run_id)
                result = execute(
                    instance, job, request, raise_on_error=False, report=display.report, listener=display.listen
                )
        return finish(result, display, caller, job=job.name, as_json=as_json)

    def under_way() -> UnderWay | None:
        if order.backfill_id is not None:
            return order.under_way()
        return UnderWay(f"run {run_id}", going_on(caller, run_id)) if display.is_recorded else None

    return guarded(run, under_way, caller)


def _check(instance: Instance, job: JobDefinition, options: MaterializeOptions) -> None:
    from ..execution.requests import checked

    meant = partitions_meant(instance, job, options.partitions, stop_on_failure=options.stop_on_failure)
    checked(instance, job, options.request(partition=meant.first), datetime.now(UTC))


def _job(definitions: Definitions, select: Sequence[str], caller: Caller) -> JobDefinition:
    """The job of the assets selected."""
    from ..errors import fault

    graph = definitions.asset_graph
    if not graph.specs:
        raise fault("the code defines no asset", "`foldlog job execute` executes its jobs.")
    _check_kinds(definitions, graph.select(list(select)), caller)
    return definitions.asset_job(list(select))


def _check_kinds(definitions: Definitions, keys: Sequence[AssetKey], caller: Caller) -> None:
    """Raise UsageError for assets that are partitioned in different ways: a run is of one partition."""
    from ..errors import fault

    kinds: dict[str, list[AssetKey]] = {}
    by_kind: dict[Any, str] = {}
    for key in keys:
        partitions = definitions.asset_graph.partitions_of(key)
        text = by_kind.setdefault(partitions, partitions.describe() if partitions is not None else "no partitions")
        kinds.setdefault(text, []).append(key)
    count = len(by_kind.keys() - {None})
    if count < 2:
        return
    listed = [f"`{_selecting(caller, some)}` ({text})" for text, some in kinds.items()]
    raise fault(
        f"the assets selected have {count} kinds of partitions, and a run is of one partition",
        f"Make each kind by itself: {'; '.join(listed)}.",
    )


def _selecting(caller: Caller, keys: Sequence[AssetKey]) -> str:
    words = [word for key in keys[:LISTED] for word in ("--select", str(key))]
    more = " ..." if len(keys) > LISTED else ""
    return caller.command("asset", "materialize", *words, code=True) + more
