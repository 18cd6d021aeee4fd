"""`foldlog runs list`: the runs there are, the newest first; `foldlog runs show RUN_ID`: what happened in one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .forms import class_and_message, tags_text
from .groups import ListOrShow
from .moments import Moment
from .opening import existing_instance, find_run
from .options import Target, examples, json_option, log_option
from .show import Cell, on_terminal, print_json, say, status, table, took, when

if TYPE_CHECKING:
    from ..events.run import RunStatus
    from ..views.filters import RunsFilter
    from ..views.records import RunRecord

STATUSES = (
    "QUEUED",
    "NOT_STARTED",
    "MANAGED",
    "STARTING",
    "STARTED",
    "SUSPENDED",
    "SUCCESS",
    "FAILURE",
    "CANCELING",
    "CANCELED",
)
ORDERS = ("storage_id", "created", "updated", "started", "ended")


@click.group(
    "runs",
    cls=ListOrShow,
    epilog=examples(
        "foldlog runs",
        "foldlog runs --status FAILURE --job nightly-load",
        "foldlog runs list --tag team=growth --created-since 2026-11-20",
        "foldlog runs show 4f1c",
        "foldlog runs show 4f1c --at 1200",
    ),
)
def command() -> None:
    """List runs, or show what happened in one.

    That is what the log knows; `foldlog job` lists and executes the jobs that code defines.

    Without a command, `list`: `foldlog runs --help` shows both, `foldlog runs list --help` the options.
    """


@command.command(
    "list",
    epilog=examples(
        "foldlog runs list",
        "foldlog runs list --status FAILURE --job nightly-load",
        "foldlog runs list --tag team=growth --limit 100",
        "foldlog runs list --updated-since 3h --order updated",
        "foldlog runs list --json | jq '.runs[].run_id'",
    ),
)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only runs in this state; may be given several times.",
)
@click.option("--job", metavar="NAME", help="Only runs of this job.")
@click.option("--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Only runs with this tag; may be repeated.")
@click.option("--created-since", type=Moment(), help="Only runs created then or later: 2026-11-20, 3h (ago), ...")
@click.option("--created-until", type=Moment(), help="Only runs created before.")
@click.option("--updated-since", type=Moment(), help="Only runs to which something happened then or later.")
@click.option("--updated-until", type=Moment(), help="Only runs to which the last thing happened before.")
@click.option("--no-subruns", is_flag=True, help="Without the runs of backfills.")
@click.option(
    "--order",
    type=click.Choice(ORDERS),
    help="What to order by; by default the time that is bounded, else the order of creation.",
)
@click.option("--oldest-first", is_flag=True, help="Begin with the oldest.")
@click.option("--limit", type=click.IntRange(1, 9_999), default=20, show_default=True, help="So many at most.")
@click.option("--after", metavar="RUN_ID", help="Go on behind this run.")
@json_option("One JSON document")
@log_option
def list_runs(
    target: Target, order: str | None, oldest_first: bool, limit: int, after: str | None, as_json: bool, **wanted: Any
) -> None:
    """List runs, the newest first."""
    filters = _filter(**wanted)
    with existing_instance(target) as instance:
        records = instance.get_run_records(
            filters,
            limit=limit + 1,
            order_by=order,
            ascending=oldest_first,
            cursor=find_run(instance.log, after) if after is not None else None,
        )
    more, records = len(records) > limit, records[:limit]
    if as_json:
        print_json({"runs": [run_form(record) for record in records], "more": more})
        return
    print_runs(records)
    if more:
        say(f"There are more: --after {records[-1].run.run_id} goes on, --limit shows more at once.", err=True)


@command.command(
    "show",
    epilog=examples("foldlog runs show 4f1c", "foldlog runs show 4f1c --json", "foldlog runs show 4f1c --at 1200"),
)
@click.argument("run_id")
@click.option("--at", "position", type=click.IntRange(1), metavar="POSITION", help="As it stood at that position.")
@json_option("One JSON document")
@log_option
def show(target: Target, run_id: str, position: int | None, as_json: bool) -> None:
    """Show what happened in one run.

    RUN_ID may be the beginning of an id. The run's steps, what it made, and what went wrong, with the stack as it was
    recorded. With --at, the run and its steps as they stood when the timeline ended there.
    """
    from .one_run import show_run

    with existing_instance(target) as instance:
        show_run(instance, find_run(instance.log, run_id), position=position, as_json=as_json, target=target)


def _filter(
    *,
    statuses: tuple[str, ...],
    job: str | None,
    tags: tuple[str, ...],
    created_since: int | None,
    created_until: int | None,
    updated_since: int | None,
    updated_until: int | None,
    no_subruns: bool,
) -> RunsFilter:
    from ..views.filters import RunsFilter

    return RunsFilter(
        job_name=job,
        statuses=_statuses(statuses),
        tags=_tags(tags),
        # The filter's ends are exclusive; what begins with a moment has it.
        created_after_us=None if created_since is None else created_since - 1,
        created_before_us=created_until,
        updated_after_us=None if updated_since is None else updated_since - 1,
        updated_before_us=updated_until,
        exclude_subruns=no_subruns,
    )


def _statuses(given: tuple[str, ...]) -> list[RunStatus] | None:
    from ..events.run import RunStatus

    return [RunStatus(name) for name in given] or None


def _tags(given: tuple[str, ...]) -> dict[str, str] | None:
    tags = {}
    for text in given:
        key, sign, value = text.partition("=")
        if not sign or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--tag")
        tags[key] = value
    return tags or None


# -- all runs ---------------------------------------------------------------------------------------------------------


def print_runs(records: list[RunRecord]) -> None:
    """A table of runs."""
    if not records:
        say("no runs")
        return
    rows: list[list[Cell]] = [
        [
            _short(record.run.run_id),
            record.run.job_name,
            status(record.run.status),
            when(record.started_us or record.created_us),
            lasted(record),
            tags_text(record.run.tags),
            run_words(record),
        ]
        for record in records
    ]
    table(("run", "job", "status", "started", "took#", "tags", "error"), rows)


def _short(run_id: str) -> str:
    """On a terminal the beginning of a UUID, which is enough to name the run; in a pipe all of it."""
    return run_id[:8] if on_terminal() and len(run_id) == 36 and run_id.count("-") == 4 else run_id


def lasted(record: RunRecord) -> str:
    if record.started_us is None or record.ended_us is None:
        return ""
    return took(record.ended_us - record.started_us)


def run_words(record: RunRecord) -> str:
    """What a run failed with, in short."""
    if record.failure_class is None:
        return record.failure_reason or ""
    return class_and_message(record.failure_class, record.failure_message)


def run_form(record: RunRecord) -> dict[str, Any]:
    """A run as JSON."""
    run = record.run
    return {
        "run_id": run.run_id,
        "job_name": run.job_name,
        "status": str(run.status),
        "tags": run.tags,
        "created_us": record.created_us,
        "started_us": record.started_us,
        "ended_us": record.ended_us,
        "updated_us": record.updated_us,
        "failure_reason": record.failure_reason,
        "failure_class": record.failure_class,
        "failure_message": record.failure_message,
        "parent_run_id": run.parent_run_id,
        "root_run_id": run.root_run_id,
        "storage_id": record.storage_id,
    }
