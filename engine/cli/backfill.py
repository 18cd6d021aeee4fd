"""`foldlog backfill`: many partitions made as one undertaking. Its commands: backfill_show.py, backfill_resume.py."""

from __future__ import annotations

import click

from .backfill_resume import cancel, resume
from .backfill_show import list_backfills, show
from .groups import ListShowOrResume
from .options import examples


@click.group(
    "backfill",
    cls=ListShowOrResume,
    epilog=examples(
        "foldlog backfill list",
        "foldlog backfill show 4f1c",
        "foldlog backfill resume 4f1c --failed -f assets.py",
        "foldlog backfill cancel 4f1c",
    ),
)
def command() -> None:
    """List backfills, show one, go on with it, or have it stop.

    `foldlog asset materialize` and `foldlog job execute` begin one when they are given several partitions. ID may be
    the beginning of an id. Without a command, `list`.
    """


for one in (list_backfills, show, resume, cancel):
    command.add_command(one)
