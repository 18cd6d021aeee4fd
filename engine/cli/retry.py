"""`foldlog retry`: views that have stopped at an event try it again."""

from __future__ import annotations

import click

from .main import FOUND, OK
from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .show import Cell, Styled, clean, print_json, say, table


@click.command(
    "retry",
    epilog=examples("foldlog retry", "foldlog retry --view runs", "foldlog --import acme.facts retry"),
)
@click.option("--view", metavar="NAME", help="Only this view; `foldlog status` lists them.")
@json_option("One JSON document")
@log_option
def command(target: Target, view: str | None, as_json: bool) -> int:
    """Let views that have stopped try again.

    A view stops before an event that its fold cannot take in, or of a kind that a process does not know. With the fold
    corrected, or the kind registered, it goes on from there. Ends with 3 if a view is still stopped.
    """
    with existing_instance(target, write=True) as instance:
        found = instance.retry_view(view)
    stopped = [one for one in found if one.stopped]
    if as_json:
        print_json({"ok": not stopped, "views": [one._asdict() for one in found]})
        return FOUND if stopped else OK
    rows: list[list[Cell]] = [
        [one.name, one.position, one.lag, Styled("STOPPED", "red") if one.stopped else Styled("ok", "green")]
        for one in found
    ]
    table(("view", "position#", "behind#", "state"), rows)
    for one in stopped:
        say(clean(f"{one.name} stopped at {one.stopped}"), "red")
    return FOUND if stopped else OK
