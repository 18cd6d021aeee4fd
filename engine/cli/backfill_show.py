"""`foldlog backfill list`: how far backfills are; `foldlog backfill show ID`: one, with the runs of each partition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .code_options import CodeChoice
from .executing import Caller
from .forms import class_and_message, tags_text
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .runs import run_words
from .show import Cell, Styled, clean, local, print_json, say, status, table, when

if TYPE_CHECKING:
    from ..execution.backfill_state import BackfillState
    from ..instance import Instance

MOST: Final = 1000  #: backfills among which the beginning of an id is looked for
_COLOURS: Final = {"DONE": "green", "FAILED": "red", "IN_PROGRESS": "yellow", "LEFT": "bright_black"}


@click.command("list", epilog=examples("foldlog backfill list", "foldlog backfill list --json | jq '.backfills[]'"))
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="So many at most.")
@click.option("--after", metavar="ID", help="Go on behind this backfill, to the older ones.")
@json_option("One JSON document")
@log_option
def list_backfills(target: Target, limit: int, after: str | None, as_json: bool) -> None:
    """List backfills, the newest first: how many of their partitions are done, failed or left."""
    from ..execution.backfill_state import backfill_state

    with existing_instance(target) as instance:
        cursor = find_backfill(instance, after) if after is not None else None
        records = instance.get_backfills(limit=limit + 1, cursor=cursor)
        states = [backfill_state(instance, one.backfill_id) for one in records[:limit]]
    more = len(records) > limit
    if as_json:
        print_json({"backfills": [backfill_form(one) for one in states], "more": more})
        return
    if not states:
        say("no backfills")
        return
    table(("backfill", "title", "of", "status", "done#", "failed#", "left#", "created"), [_row(one) for one in states])
    if more:
        say(f"There are more: --after {states[-1].record.backfill_id} goes on, --limit shows more at once.", err=True)


@click.command("show", epilog=examples("foldlog backfill show 4f1c", "foldlog backfill show 4f1c --json"))
@click.argument("backfill_id", metavar="ID")
@json_option("One JSON document")
@log_option
def show(target: Target, backfill_id: str, as_json: bool) -> None:
    """Show one backfill: the runs of each partition."""
    from ..execution.backfill_state import PartitionState, backfill_state, is_at_work

    with existing_instance(target) as instance:
        state = backfill_state(instance, find_backfill(instance, backfill_id))
    at_work = is_at_work(state.record)
    if as_json:
        print_json({**backfill_form(state), "at_work": at_work, "partitions": _partition_forms(state)})
        return
    _print_head(state, at_work=at_work)
    say()
    rows: list[list[Cell]] = []
    for partition, runs in state.runs.items():
        kind = state.state_of(partition)
        rows += [
            [
                partition if number == 0 else "",
                Styled(kind, _COLOURS[kind]) if number == 0 else "",
                one.run.run_id,
                status(str(one.run.status)),
                when(one.started_us or one.created_us),
                run_words(one),
            ]
            for number, one in enumerate(reversed(runs))
        ] or [[partition, Styled(kind, _COLOURS[kind]), "", "", "", ""]]
    table(("partition", "state", "run", "status", "started", "error"), rows)
    failed = state.partitions(PartitionState.FAILED)
    left = state.partitions(PartitionState.LEFT, PartitionState.IN_PROGRESS)
    if (failed or left) and not at_work:
        caller = Caller(CodeChoice(None, None, None), target)
        again = caller.command("backfill", "resume", state.record.backfill_id, *(["--failed"] if failed else []))
        say(f"what to do: `{again}`, with the code as of `foldlog asset materialize`, makes them.", err=True)


def find_backfill(instance: Instance, given: str) -> str:
    """The id that begins with `given`, if there is just one. Raises UsageError if there is none, or several."""
    from ..errors import fault

    if instance.get_backfill(given) is not None:
        return given
    matches = [one.backfill_id for one in instance.get_backfills(limit=MOST) if one.backfill_id.startswith(given)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise fault(f"several backfills begin with {given!r}: {', '.join(matches[:5])}", "Give more of the id.")
    raise fault(f"there is no backfill {given!r}", "List them with `foldlog backfill list`.")


def _print_head(state: BackfillState, *, at_work: bool) -> None:
    record = state.record
    say(f"backfill {clean(record.backfill_id)} of {clean(_of(state))}: {record.status}", "bold")
    counts = _counts(state)
    died = record.status in ("IN_PROGRESS", "REQUESTED", "CANCELING") and not at_work
    for name, text in (
        ("title", record.title or ""),
        ("tags", tags_text(record.tags)),
        ("created", local(record.created_us)),
        ("ended", local(record.ended_us)),
        ("made", f"{counts['done']} of {len(state.runs)}, {counts['failed']} failed, {counts['left']} left"),
        ("error", class_and_message(record.error_class, record.error_message) if record.error_class else ""),
        ("note", "the process that was at work on it is gone" if died else "a process is at work on it" * at_work),
    ):
        if text:
            say(f"  {name:<8}{clean(text)}")


def _row(state: BackfillState) -> list[Cell]:
    record, counts = state.record, _counts(state)
    return [
        record.backfill_id,
        record.title or "",
        _of(state),
        status(record.status),
        counts["done"],
        counts["failed"],
        counts["left"],
        when(record.created_us),
    ]


def _of(state: BackfillState) -> str:
    record = state.record
    if record.job_name is not None:
        return record.job_name
    keys = [str(key) for key in record.asset_selection]
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _counts(state: BackfillState) -> dict[str, int]:
    """How many partitions are done, have failed, and are left: those that are under way among them."""
    states = [str(state.state_of(one)) for one in state.runs]
    done, failed = states.count("DONE"), states.count("FAILED")
    return {"done": done, "failed": failed, "left": len(states) - done - failed}


def backfill_form(state: BackfillState) -> dict[str, Any]:
    """A backfill as JSON."""
    record = state.record
    return {
        "backfill_id": record.backfill_id,
        "title": record.title,
        "status": record.status,
        "job_name": record.job_name,
        "asset_keys": [str(key) for key in record.asset_selection],
        "tags": record.tags,
        "created_us": record.created_us,
        "ended_us": record.ended_us,
        "error_class": record.error_class,
        "error_message": record.error_message,
        **_counts(state),
    }


def _partition_forms(state: BackfillState) -> list[dict[str, Any]]:
    return [
        {
            "partition": partition,
            "state": str(state.state_of(partition)),
            "runs": [{"run_id": one.run.run_id, "status": str(one.run.status)} for one in runs],
        }
        for partition, runs in state.runs.items()
    ]
