"""`foldlog rebuild`: views are thrown away and folded from the log again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .opening import existing_instance
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import print_json, say, table

if TYPE_CHECKING:
    from ..instance import Instance


@click.command(
    "rebuild",
    epilog=examples(
        "foldlog rebuild",
        "foldlog rebuild --view runs",
        "foldlog rebuild && foldlog verify",
        "foldlog rebuild --view runs --roll-back",
        "foldlog rebuild --drop-old",
    ),
)
@click.option("--view", metavar="NAME", help="Only this view; `foldlog status` lists them.")
@click.option("--afresh", is_flag=True, help="Not from where an interrupted rebuild stands.")
@click.option("--cancel", is_flag=True, help="Drop what an interrupted rebuild has left.")
@click.option("--roll-back", is_flag=True, help="Put back what the last rebuild of --view replaced.")
@click.option("--drop-old", is_flag=True, help="Free what rebuilds replaced and older versions left.")
@json_option("One JSON document")
@log_option
def command(target: Target, view: str | None, afresh: bool, as_json: bool, **deeds: bool) -> None:
    """Throw views away and fold them from the log again.

    The new tables are built beside the old and take their place at once: programs may read and write meanwhile.
    Interrupted, the next one goes on where it stood. What was replaced is kept until the next rebuild of that view.
    """
    chosen = [deed for deed in ("cancel", "roll_back", "drop_old") if deeds[deed]]
    if len(chosen) > 1:
        names = " and ".join(f"--{deed.replace('_', '-')}" for deed in chosen)
        raise click.UsageError(f"{names} exclude each other; give one of them")
    deed = chosen[0] if chosen else None
    if deed == "roll_back" and view is None:
        raise click.UsageError("--roll-back needs --view: it is done a view at a time")
    if afresh and deed is not None:
        raise click.UsageError(f"--afresh does not go with --{deed.replace('_', '-')}")
    with existing_instance(target, write=True) as instance:
        if deed is not None:
            _other(instance, view, deed, as_json=as_json)
        else:
            _rebuild(instance, view, afresh=afresh, as_json=as_json)


def _rebuild(instance: Instance, view: str | None, *, afresh: bool, as_json: bool) -> None:
    began = time.monotonic()
    try:
        with progress("rebuilding", unit="events") as report:
            position = instance.rebuild(view, progress=report, afresh=afresh)
    except KeyboardInterrupt:
        say(
            "interrupted; nothing has changed. `foldlog rebuild` goes on from here, --cancel drops it",
            err=True,
        )
        raise
    seconds = time.monotonic() - began
    built = [one for one in instance.status()["views"] if view in (None, one["name"])]
    if as_json:
        views = [{name: one[name] for name in ("name", "version", "position", "rows")} for one in built]
        print_json({"position": position, "seconds": round(seconds, 6), "views": views})
        return
    table(("view", "position#", "rows#"), [[one["name"], one["position"], one["rows"]] for one in built])
    say(f"rebuilt up to position {position:,} in {seconds:.2f} s; `foldlog verify` proves it")


def _other(instance: Instance, view: str | None, deed: str, *, as_json: bool) -> None:
    if deed == "roll_back":
        assert view is not None
        instance.roll_back_view(view)
        done, names = "rolled back", [view]
    elif deed == "cancel":
        done, names = "dropped the interrupted rebuild of", instance.cancel_rebuild(view)
    else:
        done, names = "dropped", instance.drop_old_views(view)
    if as_json:
        print_json({deed: names})
        return
    for name in names:
        say(f"{done} {name}")
    if not names:
        say("there was nothing to drop")
