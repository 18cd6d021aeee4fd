"""`foldlog ticks`: the ticks of all schedules and sensors, or of one, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .moments import Moment
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import Cell, Styled, print_json, say, table, took, when

if TYPE_CHECKING:
    from ..views.orchestration_records import TickRecord

STATUSES = ("STARTED", "REQUESTED", "SUCCESS", "SKIPPED", "FAILURE")
_COLOURS = {"SUCCESS": "green", "FAILURE": "red", "STARTED": "yellow", "REQUESTED": "yellow", "SKIPPED": "bright_black"}


@click.command(
    "ticks",
    epilog=examples(
        "foldlog ticks",
        "foldlog ticks nightly --status FAILURE",
        "foldlog ticks nightly --since 2h",
        "foldlog ticks --since 2026-11-20 --limit 100",
        "foldlog ticks --json | jq '.ticks[].run_ids[]'",
    ),
)
@click.argument("name", required=False)
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only ticks in this state; may be given several times.",
)
@click.option(
    "--since", type=Moment(), metavar="WHEN", help="Only later ones: 90s, 30min, 2h, 3d ago, or a date or time."
)
@click.option("--limit", type=click.IntRange(1, 9_999), default=20, show_default=True, help="So many at most.")
@click.option("--after", metavar="TICK_ID", help="Go on behind this tick, to the older ones.")
@json_option("One JSON document")
@log_option
def command(
    target: Target,
    name: str | None,
    statuses: tuple[str, ...],
    since: int | None,
    limit: int,
    after: str | None,
    as_json: bool,
) -> None:
    """List the ticks of schedules and sensors, the newest first.

    NAME is that of a schedule or a sensor. A tick is one evaluation of it: what it asked for, why it did nothing, or
    what went wrong.
    """
    with existing_instance(target) as instance:
        if after is not None and instance.get_tick(after) is None:
            error = UsageError(f"there is no tick {after!r}")
            error.remedy = "List the ticks with `foldlog ticks`."
            raise error
        ticks = instance.get_ticks(name, statuses=statuses or None, after_us=since, cursor=after, limit=limit + 1)
    more, ticks = len(ticks) > limit, ticks[:limit]
    if as_json:
        print_json({"ticks": [tick_form(tick) for tick in ticks], "more": more})
        return
    print_ticks(ticks)
    if more:
        say(f"There are more: --after {ticks[-1].tick_id} goes on, --limit shows more at once.", err=True)


def print_ticks(ticks: list[TickRecord]) -> None:
    """A table of ticks."""
    if not ticks:
        say("no ticks")
        return
    rows: list[list[Cell]] = [
        [
            tick.tick_id,
            tick.name,
            Styled(tick.status, _COLOURS.get(tick.status, "")),
            when(tick.timestamp_us),
            took(tick.ended_us - tick.timestamp_us) if tick.ended_us is not None else "",
            len(tick.run_ids),
            _words(tick),
        ]
        for tick in ticks
    ]
    table(("tick", "of", "status", "at", "took#", "runs#", "what"), rows)


def _words(tick: TickRecord) -> str:
    """Why it did nothing, or what went wrong."""
    if tick.status == "FAILURE" and tick.error_class is not None:
        return f"{tick.error_class.rpartition('.')[2]}: {tick.error_message}"
    return (tick.skip_reason or "") if tick.status == "SKIPPED" else ""


def tick_form(tick: TickRecord) -> dict[str, Any]:
    """A tick as JSON."""
    return {
        "tick_id": tick.tick_id,
        "name": tick.name,
        "instigator_type": tick.instigator_type,
        "code_location": tick.code_location,
        "status": tick.status,
        "timestamp_us": tick.timestamp_us,
        "scheduled_us": tick.scheduled_us,
        "started_us": tick.started_us,
        "requested_us": tick.requested_us,
        "ended_us": tick.ended_us,
        "attempt": tick.attempt,
        "run_ids": list(tick.run_ids),
        "run_keys": list(tick.run_keys),
        "cursor": tick.cursor,
        "skip_reason": tick.skip_reason,
        "failure_count": tick.failure_count,
        "error_class": tick.error_class,
        "error_message": tick.error_message,
        "position": tick.position,
    }
