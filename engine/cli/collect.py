"""`foldlog collect`: deletes objects that nobody needs any more."""

from __future__ import annotations

import click

from ..log.port import Collected
from .opening import existing_log
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import Cell, clean, print_json, say, size, table

#: kind -> why it is garbage
REASONS = {
    "slots": "segments that packs hold, or of deleted runs",
    "contents": "first segments of runs, which stay as names",
    "packs": "left by a kill, or replaced",
    "steps": "blocks hold them",
    "checkpoints": "there are newer ones",
    "markers": "they announce nothing",
    "guards": "of writers that are gone",
    "writers": "ended days ago without closing the log",
    "probes": "left by a kill",
}


@click.command(
    "collect",
    epilog=examples(
        "foldlog collect --dry-run",
        "foldlog collect --url s3://bucket/history",
        "foldlog collect --grace 72 --json | jq .bytes",
    ),
)
@click.option("--dry-run", is_flag=True, help="Delete nothing; show what would go.")
@click.option(
    "--grace",
    type=click.FloatRange(1, 24 * 365),
    default=24.0,
    show_default=True,
    metavar="HOURS",
    help="How long something must have been garbage.",
)
@json_option("One JSON document")
@log_option
def command(target: Target, dry_run: bool, grace: float, as_json: bool) -> None:
    """Delete objects that nobody needs any more.

    For logs on object storage: what `foldlog compact`, deletions and trims have superseded, what a kill has left. Ages
    go by the store's clock. Programs may read and write meanwhile. Interrupted at any moment, the next call goes on.
    """
    with existing_log(target, write=not dry_run) as log:
        with progress("objects") as report:
            done = log.collect(dry_run=dry_run, grace_s=grace * 3600, progress=report)
    if as_json:
        garbage = {kind: one._asdict() for kind, one in done.garbage.items()}
        whole = {"dry_run": dry_run, **done.total._asdict(), "garbage": garbage}
        print_json({**whole, "unannounced": list(done.unannounced)})
    else:
        _print(done)


def _print(done: Collected) -> None:
    rows: list[list[Cell]] = [
        [kind, one.objects, size(one.bytes), REASONS[kind]] for kind, one in sorted(done.garbage.items())
    ]
    if rows:
        table(("what", "objects#", "bytes#", "why"), rows)
    total = done.total
    verb = "would go" if done.dry_run else "gone"
    say(f"{verb}: {total.objects:,} objects, {size(total.bytes)}")
    for name in done.unannounced:
        say(clean(f"stays: {name} was appended and never announced; `foldlog doctor --adopt` takes it in"))
