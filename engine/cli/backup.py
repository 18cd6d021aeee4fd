"""`foldlog backup`: a copy of a log that is in use."""

from __future__ import annotations

import click

from .opening import existing_instance
from .options import Target, examples, json_option, log_option, sqlite_url
from .progress import progress
from .show import clean, print_json, say, size


@click.command(
    "backup",
    epilog=examples("foldlog backup /backups/2026-11-26", "foldlog backup ./copy --json | jq .position"),
)
@click.argument("dest", type=click.Path(file_okay=False))
@json_option("One JSON document")
@log_option
def command(target: Target, dest: str, as_json: bool) -> None:
    """Copy a log that is in use to a folder.

    DEST must not be there, or be empty; it is there as a whole or not at all. Programs may write, seal and delete
    meanwhile: the copy holds what was recorded before, as of one position. It is a log of its own: `foldlog doctor
    --full` and `foldlog verify` with its URL prove it. For logs in a folder of this machine; a database server has
    its own means.
    """
    with existing_instance(target) as instance:
        with progress("copying") as report:
            copied = instance.backup(dest, progress=report)
    url = sqlite_url(copied.folder)
    if as_json:
        print_json(
            {
                "folder": str(copied.folder),
                "url": url,
                "position": copied.position,
                "shards": copied.shards,
                "bytes": copied.bytes,
            }
        )
    else:
        say(clean(f"copied {copied.shards:,} shards, {size(copied.bytes)}, as of position {copied.position:,}: {url}"))
