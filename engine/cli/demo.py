"""`foldlog demo`: the tour of examples/."""

from __future__ import annotations

from pathlib import Path

import click

from .options import examples


@click.command(
    "demo",
    epilog=examples("foldlog demo", "foldlog demo --home /tmp/tour", "foldlog demo --keep"),
)
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("demo-home"),
    show_default=True,
    metavar="DIR",
    help="The folder to work in.",
)
@click.option("--keep", is_flag=True, help="Keep what an earlier tour has left there, and add to it.")
def command(home: Path, keep: bool) -> int:
    """Run a tour on real data: a weather pipeline and its log.

    Four years of daily weather go through a pipeline of assets. One step fails and is tried again; one run fails for
    good, and when its file has been corrected, goes on where it failed. Then the views are thrown away, folded from
    the log once more, and proved to be what they were. Takes some seconds; needs no network and no server.

    An earlier tour's folder is emptied first, unless --keep is given. A folder that something else has made is left
    alone. Ends with 0 only if the views were proved.
    """
    from ...examples.demo import tour

    return 0 if tour(home, keep=keep) else 3
