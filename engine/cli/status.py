"""`foldlog status`: what a log holds, and how far its views are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ..errors import ViewStopped
from .forms import jsonable
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import Cell, Styled, clean, print_json, say, table

if TYPE_CHECKING:
    from ..instance import Instance
    from ..log.log import EventLog


@click.command(
    "status",
    epilog=examples("foldlog status", "foldlog status --url sqlite:///./history", "foldlog status --json | jq .head"),
)
@json_option("One JSON document")
@log_option
def command(target: Target, as_json: bool) -> None:
    """Show what a log holds and how far its views are."""
    with existing_instance(target) as instance:
        runs = _runs_by_status(instance)
        gate = gate_of(instance.log)
        found = {**instance.status(), "log_id": instance.log.head().log_id, "gate": gate, "runs": runs}
    if as_json:
        print_json(jsonable(found))
        return
    say(clean(f"log {target.shown}"), "bold")
    if gate is not None and gate["note"]:
        say(clean(f"takes no appends: {gate['note']}"), "yellow")
    table(("of the log", "value"), [["id", str(found["log_id"])], *_counts(found["log"])])
    say()
    table(("view", "version#", "position#", "behind#", "rows#", "state"), [_view(view) for view in found["views"]])
    if runs:
        say()
        table(("runs", "number#"), [[name, number] for name, number in runs.items()])


def gate_of(log: EventLog) -> dict[str, str] | None:
    """Whether the log takes appends, and why not; None of a backend that moves no logs."""
    from ..log.port import CanMove

    if not isinstance(log.backend, CanMove):
        return None
    gate = log.backend.gate()
    return {"state": gate.state.name.lower(), "note": gate.note}


def _runs_by_status(instance: Instance) -> dict[str, int] | None:
    """None if the view cannot tell; it says itself why."""
    from ..events.run import RunStatus

    try:
        counts = {str(status): instance.get_runs_count(statuses=[status]) for status in RunStatus}
    except ViewStopped:
        return None
    return {name: count for name, count in counts.items() if count}


def _counts(log: dict[str, Any]) -> list[list[Cell]]:
    return [[name.replace("_", " "), value if isinstance(value, int) else str(value)] for name, value in log.items()]


def _view(view: dict[str, Any]) -> list[Cell]:
    state = Styled(f"stopped at {view['stopped']}", "red") if view["stopped"] else Styled("ok", "green")
    return [view["name"], view["version"], view["position"], view["lag"], view["rows"], state]
