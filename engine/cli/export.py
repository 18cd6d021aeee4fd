"""`foldlog export`: a log in one portable file, or as rows for analysis."""

from __future__ import annotations

import sys
from typing import Any

import click

from .forms import jsonable
from .main import OK
from .moving_reports import reported
from .opening import existing_log
from .options import Target, examples, json_option, log_option
from .show import clean, print_json, say, size


@click.command(
    "export",
    epilog=examples(
        "foldlog export history.foldlog",
        "foldlog export - | ssh host foldlog import - sqlite:///./history",
        "foldlog export more.foldlog --after v1:0f3c...",
        "foldlog export events.parquet --format parquet",
        "foldlog export - --format jsonl | jq -c 'select(.type == \"STEP_FAILURE\")'",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    "form",
    type=click.Choice(["foldlog", "jsonl", "parquet"]),
    default="foldlog",
    show_default=True,
    help="foldlog: all that a log is, for `foldlog import`; else one row an event, for analysis.",
)
@click.option("--after", metavar="CURSOR", help="Only what came since; an export tells the cursor for the next one.")
@click.option(
    "--compression",
    type=click.Choice(["zlib", "lzma", "none"]),
    default="zlib",
    show_default=True,
    help="Of the format foldlog.",
)
@json_option("One JSON document, on the error stream if FILE is -")
@log_option
def command(target: Target, file: str, form: str, after: str | None, compression: str, as_json: bool) -> int:
    """Write a log to one file; FILE may be - for the standard output.

    The file is there as a whole or not at all, compressed, with checksums; programs may go on writing to the log.
    `foldlog import` makes a log of it on any backend, with the same positions. JSON lines and Parquet hold the events
    decoded, one row each: for analysis, not to be imported.
    """
    if file == "-" and form != "jsonl" and sys.stdout.isatty():
        raise click.UsageError("this would write bytes to the terminal; redirect the output, or name a file")
    from ...migrations import moving

    with existing_log(target) as log, reported("exporting") as (report, _):
        done: Any = (
            moving.export_log(log, file, after=after, compression=compression, progress=report)
            if form == "foldlog"
            else moving.export_table(log, file, form, after=after, progress=report)
        )
    if as_json:
        document = {"file": file, "format": form, **jsonable(done)}
        if file == "-":
            import json

            say(json.dumps(document), err=True)
        else:
            print_json(document)
        return OK
    took = f", {size(done.bytes)}" if form == "foldlog" else ""
    say(clean(f"exported {done.events:,} events up to position {done.position:,}{took}: {file}"), err=file == "-")
    say(f"the next export: --after {done.cursor}", err=True)
    return OK
