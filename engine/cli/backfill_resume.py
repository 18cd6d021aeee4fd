"""`foldlog backfill resume ID`: make what a backfill has not made; `foldlog backfill cancel ID`: have it stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .backfill_show import find_backfill
from .backfilling import BackfillOrder, followed
from .code_options import CodeChoice
from .executing import Caller, UnderWay, guarded
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .run_display import display_for
from .run_options import run_options
from .show import print_json, say

if TYPE_CHECKING:
    from ..definitions.definitions import Definitions
    from ..definitions.job import JobDefinition
    from ..execution.backfill_state import BackfillState
    from ..execution.requests import ExecutionRequest


@click.command(
    "resume",
    epilog=examples(
        "foldlog backfill resume 4f1c -f assets.py",
        "foldlog backfill resume 4f1c --failed -m acme.pipelines",
        "foldlog backfill resume 4f1c --failed --config corrected.yaml --json",
    ),
)
@click.argument("backfill_id", metavar="ID")
@click.option("--failed", is_flag=True, help="The partitions that failed as well, each in a new run.")
@click.option("--stop-on-failure", is_flag=True, help="None behind one that fails.")
@click.option("--assume-lost", is_flag=True, help="Take its process for dead where that cannot be found out.")
@run_options
def resume(
    code: CodeChoice,
    target: Target,
    configs: tuple[str, ...],
    plain: bool,
    silent: bool,
    as_json: bool,
    backfill_id: str,
    failed: bool,
    stop_on_failure: bool,
    assume_lost: bool,
    tags: dict[str, str],
) -> int:
    """Make the partitions that a backfill has not made, under its id.

    Those are the ones that no run was created for, and whose run was interrupted or canceled, or is of a process that
    is gone: that run is recorded as failed first. Run config and tags are those of its runs, unless given.

    Exit codes: 0 success, 1 a run failed, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM.
    """
    from ..definitions.run_config_files import read_run_config
    from ..execution.backfill import resume_backfill
    from ..execution.backfill_state import PartitionState, backfill_state

    config = read_run_config(configs)
    definitions = code.definitions(as_json=as_json)
    caller = Caller(code, target)
    display = display_for(plain=plain, silent=silent, as_json=as_json)
    order = BackfillOrder(display, caller, stop_on_failure=stop_on_failure, as_json=as_json)

    def run() -> int:
        with existing_instance(target, write=True) as instance:
            name = find_backfill(instance, backfill_id)
            state = backfill_state(instance, name)
            job = _job(definitions, state)
            made = state.partitions(PartitionState.DONE, *([] if failed else [PartitionState.FAILED]))
            order.count = len(state.runs) - len(made)
            return followed(
                job,
                order,
                lambda watch: resume_backfill(
                    instance,
                    job,
                    name,
                    failed=failed,
                    wanted=_request(state, config, tags),
                    stop_on_failure=stop_on_failure,
                    assume_lost=assume_lost,
                    watch=watch,
                ),
            )

    def under_way() -> UnderWay | None:
        return order.under_way() if order.backfill_id is not None else None

    return guarded(run, under_way, caller)


def _job(definitions: Definitions, state: BackfillState) -> JobDefinition:
    """The job that the backfill is of."""
    record = state.record
    if record.job_name is not None:
        return definitions.get_job(record.job_name)
    return definitions.asset_job([f'key:"{key}"' for key in record.asset_selection])


def _request(state: BackfillState, config: Any, tags: dict[str, str]) -> ExecutionRequest:
    from dataclasses import replace

    from ..execution.backfill import request_like

    request = request_like(state)
    return replace(request, run_config=request.run_config if config is None else config, tags={**request.tags, **tags})


@click.command("cancel", epilog=examples("foldlog backfill cancel 4f1c"))
@click.argument("backfill_id", metavar="ID")
@click.option("--assume-lost", is_flag=True, help="Take its process for dead where that cannot be found out.")
@json_option("One JSON document")
@log_option
def cancel(target: Target, backfill_id: str, assume_lost: bool, as_json: bool) -> None:
    """Have a backfill stop: after the run that is under way, or at once, if its process is gone."""
    from ..execution.backfill import cancel_backfill

    with existing_instance(target, write=True) as instance:
        name = find_backfill(instance, backfill_id)
        stopped = cancel_backfill(instance, name, assume_lost=assume_lost)
    if as_json:
        print_json({"backfill_id": name, "canceled": stopped})
    elif stopped:
        say(f"canceled backfill {name}: nobody was at work on it any more")
    else:
        say(f"backfill {name} is to stop after the run that is under way")
