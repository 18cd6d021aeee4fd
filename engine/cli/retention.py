"""`foldlog retention`: what may go by age, and letting it go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..errors import UsageError
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import Cell, local, print_json, say, size, table

if TYPE_CHECKING:
    from ..retention import Applied, RetentionPlan, RetentionPolicy

F = TypeVar("F", bound=Callable[..., Any])

SHOWN = 20  #: runs of a plan that are listed for people
DAYS = click.FloatRange(0, 36_500)


def configured_policy(target: Target) -> RetentionPolicy:
    """The policy of a deployment's configuration. Raises UsageError where none is configured."""
    from ..retention import RetentionPolicy

    configured = target.configuration.settings("retention") if target.configuration is not None else {}
    if configured:
        return RetentionPolicy.from_mapping(configured)
    error = UsageError("nothing says what may go: no rule was given, and none is configured")
    error.remedy = "Give --runs-days, --log-days or --tick-days, or write `retention:` into foldlog.yaml."
    raise error


def policy_of(
    target: Target,
    runs_days: float | None,
    statuses: tuple[str, ...],
    drop_assets: bool,
    log_days: float | None,
    tick_days: float | None,
) -> RetentionPolicy:
    """The policy that the options spell; without any, the configured one."""
    from ..retention import AgeRule, RetentionPolicy, RunRule

    if runs_days is None and (statuses or drop_assets):
        raise click.UsageError("--status and --drop-assets are about runs: give --runs-days too")
    if runs_days is None and log_days is None and tick_days is None:
        return configured_policy(target)
    chosen = tuple(status.upper() for status in statuses) or None
    return RetentionPolicy(
        runs=None if runs_days is None else RunRule(after_days=runs_days, statuses=chosen, keep_assets=not drop_assets),  # type: ignore[arg-type]
        log_messages=None if log_days is None else AgeRule(after_days=log_days),
        ticks=None if tick_days is None else AgeRule(after_days=tick_days),
    )


def rules(function: F) -> F:
    """The options of both commands."""
    for option in reversed(
        (
            click.option("--runs-days", type=DAYS, metavar="N", help="Runs that ended more than N days ago."),
            click.option(
                "--status",
                "statuses",
                multiple=True,
                type=click.Choice(("SUCCESS", "FAILURE", "CANCELED"), case_sensitive=False),
                help="Only runs that ended so; may be repeated.",
            ),
            click.option("--drop-assets", is_flag=True, help="Forget also what the runs did to assets."),
            click.option("--log-days", type=DAYS, metavar="N", help="Log messages of more than N days ago."),
            click.option("--tick-days", type=DAYS, metavar="N", help="Ticks and the like of more than N days ago."),
            click.option(
                "--limit", type=click.IntRange(1, 10_000), default=1000, show_default=True, help="Runs of one pass."
            ),
        )
    ):
        function = option(function)
    return function


@click.group(
    "retention",
    epilog=examples(
        "foldlog retention plan --runs-days 90 --log-days 7 --tick-days 7",
        "foldlog retention apply --runs-days 90 --status SUCCESS --yes",
    ),
)
def command() -> None:
    """Let old runs, log messages and ticks go.

    `plan` shows what would go and changes nothing, `apply` lets it go for good. Without rules on the command line, the
    configured ones hold.
    """


@command.command(
    "plan",
    epilog=examples("foldlog retention plan --runs-days 90", "foldlog retention plan --log-days 7 --json | jq .bytes"),
)
@rules
@json_option("One JSON document")
@log_option
def plan_command(target: Target, limit: int, as_json: bool, **given: Any) -> None:
    """Show what would go, and how much that is; changes nothing."""
    policy = policy_of(target, **given)
    with existing_instance(target) as instance:
        plan = instance.plan_retention(policy, limit=limit)
    if as_json:
        print_json(_form(plan))
    else:
        _print(plan)


@command.command(
    "apply",
    epilog=examples(
        "foldlog retention apply --runs-days 90 --status SUCCESS --yes",
        "foldlog retention apply --log-days 7 --tick-days 7 --yes",
    ),
)
@rules
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@json_option("One JSON document")
@log_option
def apply_command(target: Target, limit: int, yes: bool, as_json: bool, **given: Any) -> None:
    """Let it go, for good.

    Programs may read and write meanwhile. Interrupted at any moment, the next call completes what was begun.
    """
    from ..log.port import CanCompact

    policy = policy_of(target, **given)
    with existing_instance(target, write=True) as instance:
        plan = instance.plan_retention(policy, limit=limit)
        if not yes:
            _confirm(plan)
        with progress("letting go:") as report:
            done = instance.apply_retention(plan, progress=report)
        on_objects = isinstance(instance.log.backend, CanCompact)
    if as_json:
        print_json(done._asdict())
    else:
        _tell(done)
        if on_objects and done.events:
            say("their bytes are free; names of objects are left, which `foldlog collect` deletes in a day")


def _confirm(plan: RetentionPlan) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to confirm: give --yes to let it go")
    _print(plan, err=True)
    if not click.confirm("Let all of this go? This cannot be undone", err=True):
        say("nothing has gone", err=True)
        raise click.exceptions.Exit(1)


def _print(plan: RetentionPlan, *, err: bool = False) -> None:
    if err:
        for name, weight in plan.by_class.items():
            say(f"{name}: {weight.events:,} events, {size(weight.bytes)}", err=True)
        say(f"runs: {len(plan.runs):,}; what they did to assets is {_assets(plan)}", err=True)
        return
    rows: list[list[Cell]] = [
        [run.run_id, run.job_name, str(run.status), local(run.ended_us), run.events, size(run.bytes)]
        for run in plan.runs[:SHOWN]
    ]
    if rows:
        table(("run", "job", "status", "ended", "events#", "bytes#"), rows)
    if len(plan.runs) > SHOWN:
        say(f"... and {len(plan.runs) - SHOWN:,} runs more")
    classes: list[list[Cell]] = [[name, one.events, size(one.bytes)] for name, one in plan.by_class.items()]
    table(("what goes", "events#", "bytes#"), classes)
    if plan.runs:
        say(f"runs: {len(plan.runs):,}; what they did to assets is {_assets(plan)}")
    if plan.more:
        say("more runs may go than one pass takes: see --limit")


def _assets(plan: RetentionPlan) -> str:
    return "kept" if plan.keep_assets else "forgotten too"


def _tell(done: Applied) -> None:
    if done.completed:
        say(f"completed first what had been cut short: {done.completed:,}")
    say(f"gone: {done.events:,} events, {size(done.bytes)}; runs deleted: {done.runs:,}")
    if done.more:
        say("more runs may go: run the command again")


def _form(plan: RetentionPlan) -> dict[str, Any]:
    weights = plan.by_class
    return {
        "now_us": plan.now_us,
        "keep_assets": plan.keep_assets,
        "more": plan.more,
        "events": sum(one.events for one in weights.values()),
        "bytes": sum(one.bytes for one in weights.values()),
        "by_class": {name: one._asdict() for name, one in weights.items()},
        "runs": [{**run._asdict(), "status": str(run.status)} for run in plan.runs],
        "trims": [{**trim._asdict(), "retention": trim.retention.name} for trim in plan.trims],
    }
