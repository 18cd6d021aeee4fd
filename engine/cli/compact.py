"""`foldlog compact`: many small objects become few large ones."""

from __future__ import annotations

import click

from .opening import existing_log
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import print_json, say, size


@click.command(
    "compact",
    epilog=examples("foldlog compact --url s3://bucket/history", "foldlog compact --json | jq .superseded"),
)
@json_option("One JSON document")
@log_option
def command(target: Target, as_json: bool) -> None:
    """Put the objects of finished runs together.

    For logs on object storage. Events are read faster and with fewer requests afterwards; what they were read from
    before is deleted by `foldlog collect`, a day later. Programs may read and write meanwhile. Interrupted at any
    moment, the next call goes on from there.
    """
    with existing_log(target, write=True) as log:
        with progress("compacting") as report:
            done = log.compact(progress=report)
    if as_json:
        written = {kind: one._asdict() for kind, one in done.written.items()}
        print_json({"shards": done.shards, "superseded": done.superseded, "written": written})
        return
    made = ", ".join(f"{one.objects:,} {kind} ({size(one.bytes)})" for kind, one in done.written.items())
    say(f"compacted {done.shards:,} shards; written: {made or 'nothing'}")
    if done.superseded:
        say(f"{done.superseded:,} objects are superseded; `foldlog collect` deletes them in a day")
