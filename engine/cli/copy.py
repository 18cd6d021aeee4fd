"""`foldlog copy`: move a log to another backend under its writers, follow it, or fork it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .forms import jsonable
from .main import INTERRUPTED, OK
from .moving_reports import reported
from .options import examples, json_option
from .show import clean, print_json, say

if TYPE_CHECKING:
    from ...migrations.moving import Moved

_ONE = "--cut-over, --follow, --fork and --release exclude each other: give one of them"


@click.command(
    "copy",
    epilog=examples(
        "foldlog copy sqlite:///./history postgresql://user@host/name --follow",
        "foldlog copy sqlite:///./history postgresql://user@host/name --cut-over",
        "foldlog copy sqlite:///./history sqlite:///./trial --fork",
        "foldlog copy sqlite:///./history postgresql://user@host/name --release",
    ),
)
@click.argument("source", metavar="SRC")
@click.argument("destination", metavar="[DST]", required=False)
@click.option("--cut-over", is_flag=True, help="Move the log: copy it, fence SRC, copy the tail, verify, open DST.")
@click.option("--follow", is_flag=True, help="Go on copying until Ctrl-C, or until another call cuts over.")
@click.option("--fork", is_flag=True, help="Make a log of its own, with another log id; SRC goes on.")
@click.option("--release", is_flag=True, help="Let SRC take appends again, if DST was not opened.")
@click.option("--force", is_flag=True, help="With --release: do not ask DST, which is lost.")
@json_option("One JSON document")
def command(
    source: str,
    destination: str | None,
    cut_over: bool,
    follow: bool,
    fork: bool,
    release: bool,
    force: bool,
    as_json: bool,
) -> int:
    """Copy a log to another backend, with all its positions.

    SRC and DST are URLs; DST must be empty or not there yet. Log id, runs, seqs, positions, keys, times and deletions
    stay what they are, so every cursor goes on at the new place; views are made anew there. Programs may write to SRC
    meanwhile. With --cut-over SRC then takes no appends any more (LogMoved tells programs where the log went), and
    DST takes them a moment later. Without any of the options, a cut-over that was interrupted is completed.

    Killed at any moment, the same command goes on. Artifacts and captured output are files of their own: copy them.
    """
    if cut_over + follow + fork + release > 1:
        raise click.UsageError(_ONE)
    if force and not release:
        raise click.UsageError("--force goes with --release")
    if release:
        return _release(source, destination, force=force, as_json=as_json)
    if destination is None:
        raise click.UsageError("DST is missing: foldlog copy SRC DST")
    from ...migrations import moving

    try:
        with reported("copying") as (report, told):
            done = moving.copy_log(
                source, destination, cut_over=cut_over, follow=follow, fork=fork, progress=report, told=told
            )
    except KeyboardInterrupt:
        say("interrupted: run the same command again, and it goes on from here; nothing was lost", err=True)
        return INTERRUPTED
    if as_json:
        form = jsonable(done)
        form["held_us"] = int(form.pop("held_s") * 1e6)
        print_json(form)
    else:
        _tell(done)
    return OK


def _tell(done: Moved) -> None:
    reached = f"{done.copied:,} events copied, up to position {done.position:,}"
    if done.state == "moved before":
        say(clean(f"nothing to do: the log has moved to {done.destination}, which takes appends"))
    elif done.state == "moved":
        held = f"; no log took appends for {done.held_s:.1f} s" if done.held_s else ""
        say(clean(f"moved to {done.destination}: {reached}, epoch {done.epoch}{held}"), "green")
        say("what to do: let programs open it there, and copy the artifacts, which are files of their own")
    elif done.state == "forked":
        say(clean(f"forked to {done.destination}, log {done.log_id}: {reached}, epoch {done.epoch}"), "green")
    elif done.state == "following":
        say(clean(f"{reached}; {done.destination} stays closed until --cut-over"))
    else:
        say(clean(f"{reached}; {done.source} was fenced by another copy"))
        say("what to do: if that one was interrupted, run `foldlog copy SRC DST --cut-over`, which completes it")


def _release(source: str, destination: str | None, *, force: bool, as_json: bool) -> int:
    from ...migrations import moving

    done = moving.release_log(source, destination, force=force)
    if as_json:
        print_json(jsonable(done))
        return OK
    say(clean(f"{done.source} takes appends again, from position {done.position:,} on"), "green")
    if done.destination is not None:
        say(clean(f"{done.destination} stays closed; the copy can go on later"))
    elif force:
        say("at risk: if the destination was opened, the log goes on in two places; nobody asked it")
    return OK
