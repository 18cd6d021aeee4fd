"""`foldlog import`: a log out of a portable file."""

from __future__ import annotations

import click

from .forms import jsonable
from .main import OK
from .moving_reports import reported
from .options import examples, json_option
from .show import clean, print_json, say


@click.command(
    "import",
    epilog=examples(
        "foldlog import history.foldlog postgresql://user@host/name",
        "foldlog import history.foldlog sqlite:///./trial --fork",
        "foldlog import history.foldlog sqlite:///./standby --more",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.argument("destination", metavar="DST")
@click.option("--fork", is_flag=True, help="Make a log of its own, with another log id.")
@click.option("--more", is_flag=True, help="Leave DST closed, for exports of what came since.")
@json_option("One JSON document")
def command(file: str, destination: str, fork: bool, more: bool, as_json: bool) -> int:
    """Make a log from a file that `foldlog export` wrote; FILE may be - for the standard input.

    DST is the URL of a log that is empty or not there yet, on any backend. Log id, runs, seqs, positions, keys and
    times are those of the exported log, and an epoch starts. A file that is damaged or cut off is refused with the
    place; what was put in by then stays closed. Killed at any moment, the same command goes on.
    """
    from ...migrations import moving

    with reported("importing") as (report, _):
        done = moving.import_log(file, destination, fork=fork, more=more, progress=report)
    if as_json:
        print_json(jsonable(done))
        return OK
    say(clean(f"imported {done.imported:,} events up to position {done.position:,}: {done.destination}"), "green")
    if not done.open:
        say("it takes no appends yet: import what came since, the last part without --more")
    return OK
