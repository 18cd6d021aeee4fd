"""`foldlog rebuild`: views are thrown away and folded from the log again."""

from __future__ import annotations

import time

import click

from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import print_json, say, table


@click.command(
    "rebuild",
    epilog=examples("foldlog rebuild", "foldlog rebuild --view runs", "foldlog rebuild && foldlog verify"),
)
@click.option("--view", metavar="NAME", help="Only this view; `foldlog status` lists them.")
@json_option("One JSON document")
@log_option
def command(target: Target, view: str | None, as_json: bool) -> None:
    """Throw views away and fold them from the log again.

    The new tables are built beside the old and take their place at once: programs may read and write meanwhile.
    """
    with existing_instance(target, write=True) as instance:
        began = time.monotonic()
        with progress("rebuilding", unit="events") as report:
            position = instance.rebuild(view, progress=report)
        seconds = time.monotonic() - began
        built = [one for one in instance.status()["views"] if view in (None, one["name"])]
    if as_json:
        views = [{name: one[name] for name in ("name", "version", "position", "rows")} for one in built]
        print_json({"position": position, "seconds": round(seconds, 6), "views": views})
        return
    table(("view", "position#", "rows#"), [[one["name"], one["position"], one["rows"]] for one in built])
    say(f"rebuilt up to position {position:,} in {seconds:.2f} s; `foldlog verify` proves it")
