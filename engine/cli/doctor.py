"""`foldlog doctor`: looks for damage in a log, and says what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ..errors import CorruptLogError
from .forms import jsonable
from .main import FOUND, OK
from .opening import existing_log
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import Cell, clean, print_json, say, size, table
from .status import gate_of

if TYPE_CHECKING:
    from pathlib import Path

    from ...backends.objectstore.backend import ObjectBackend
    from ..log.log import EventLog

WAL_RESET_FIXED = (3, 51, 3)
WAL_RESET = (
    "SQLite {} has the WAL-reset bug (fixed in 3.51.3): two connections that checkpoint and write at once can damage a "
    "file. foldlog makes its checkpoints while nobody can write; do not run other programs on its files."
)


class Findings(NamedTuple):
    """What was found of a log."""

    faults: list[str]
    notes: list[str]
    facts: dict[str, Any]


@click.command(
    "doctor",
    epilog=examples(
        "foldlog doctor",
        "foldlog doctor --full",
        "foldlog doctor --json | jq -r '.faults[]'",
        "foldlog doctor --rebuild-order",
        "foldlog doctor --adopt --url s3://bucket/history",
    ),
)
@click.option("--full", is_flag=True, help="Read the whole log, each event; else what can be told quickly.")
@click.option("--rebuild-order", is_flag=True, help="SQLite: order.db is lost; make it anew from the runs' files.")
@click.option(
    "--adopt",
    is_flag=True,
    help="Take in what the order lacks: runs, or on object storage appends that nobody was told of.",
)
@json_option("One JSON document")
@log_option
def command(target: Target, full: bool, rebuild_order: bool, adopt: bool, as_json: bool) -> int:
    """Look for damage in a log, and say what to do.

    Only looks, unless told to mend. Ends with 3 if there are faults, each with its remedy. Damage of the views is not
    looked for here: see `foldlog verify`.

    Mending starts an epoch: readers' cursors are accepted if what they have read is unchanged, else refused.
    """
    if rebuild_order + adopt + full > 1:
        raise click.UsageError("--full looks, --rebuild-order and --adopt mend: give one of them")
    if rebuild_order or adopt:
        from . import mend

        return mend.rebuild_order(target, as_json=as_json) if rebuild_order else mend.adopt(target, as_json=as_json)
    found = _examine(target, full=full)
    if as_json:
        print_json({"ok": not found.faults, **jsonable(found)})
    else:
        _print(target, found, full=full)
    return FOUND if found.faults else OK


def _examine(target: Target, *, full: bool) -> Findings:
    try:
        with existing_log(target, look_only=True) as log:
            return Findings(_faults(log, full=full), _notes(log), _facts(log))
    except CorruptLogError as error:  # it could not even be opened, or read so far
        return Findings([str(error)], [], {})


def _faults(log: EventLog, *, full: bool) -> list[str]:
    from ...backends.sqlite import SqliteBackend
    from ..log.port import CanRepair

    if isinstance(log.backend, SqliteBackend):  # asked directly, for it tells how far it is
        from ...backends.sqlite.repair import diagnose
        from ..log.chain import link

        with progress("looking at") as report:
            more = {"progress": report} if report else {}
            return diagnose(log.backend, full=full, link=link, **more)
    return log.backend.diagnose(full=full) if isinstance(log.backend, CanRepair) else []


def _notes(log: EventLog) -> list[str]:
    from ..log.port import CanRepair, HasHome

    notes = []
    gate = gate_of(log)
    if gate is not None and gate["note"]:
        notes.append(f"takes no appends: {gate['note']}")
    if not isinstance(log.backend, CanRepair):
        notes.append("this backend cannot look for damage itself")
    if isinstance(log.backend, HasHome):
        import sqlite3

        if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
            notes.append(WAL_RESET.format(sqlite3.sqlite_version))
        if dead := _dead_writers(log.backend.home.folder):
            notes.append(
                f"{dead} writers ended without closing the log, as a kill does; nothing is lost: the next program that "
                "opens the log takes in what they had written"
            )
    return notes


def _facts(log: EventLog) -> dict[str, Any]:
    from ...backends.objectstore.backend import ObjectBackend
    from ..log.port import HasHome

    facts: dict[str, Any] = {"url": log.backend.url, "log_id": log.head().log_id}
    if isinstance(log.backend, ObjectBackend):
        return facts | _objects(log.backend)
    facts |= log.stats()
    if isinstance(log.backend, HasHome):
        folder = log.backend.home.folder
        facts["dead_writers"] = _dead_writers(folder)
        facts["files"] = _files(folder)
    return facts


def _objects(backend: ObjectBackend) -> dict[str, Any]:
    """What lies in the store and what that costs, at the list prices of S3. The requests are those of this command."""
    held = backend.holdings()
    hour = held.last_hour
    return {
        **backend.stats(),
        "objects": {kind: {"number": one.objects, "bytes": one.bytes} for kind, one in held.objects.items()},
        "storage_dollars_a_month": held.dollars_a_month,
        "last_hour": {"segments": hour.segments, "steps": hour.steps, "puts": hour.puts, "gets": hour.gets}
        | {"lists": hour.lists, "dollars": hour.dollars},
    }


def _dead_writers(folder: Path) -> int:
    from ...backends.sqlite.doorbell import Writers

    try:
        return len(Writers(folder / "writers").dead())
    except OSError:  # not ours to look at
        return 0


def _files(folder: Path) -> dict[str, dict[str, int]]:
    """What lies in the home: number and bytes, by kind."""
    groups = {
        "log": [*folder.glob("order.db*"), *folder.glob("log.db*"), *folder.glob("system.db*")],
        "runs": list(folder.glob("runs/??/*")),
        "views": list(folder.glob("views.db*")),
    }
    return {name: {"number": len(paths), "bytes": sum(map(_size, paths))} for name, paths in groups.items()}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # a WAL comes and goes
        return 0


def _number(value: float) -> Cell:
    """Few digits, and more of what is small: a request costs a 200,000th of a dollar."""
    return value if isinstance(value, int) else f"{value:.3g}"


def _print(target: Target, found: Findings, *, full: bool) -> None:
    say(clean(f"log {target.shown}"), "bold")
    rows: list[list[Cell]] = []
    for name, value in found.facts.items():
        if name in ("files", "objects"):
            rows += [[f"{name}: {kind}", f"{one['number']:,}, {size(one['bytes'])}"] for kind, one in value.items()]
        elif name == "last_hour":
            rows += [[f"last hour: {what}", _number(one)] for what, one in value.items()]
        elif isinstance(value, float):
            rows.append([name.replace("_", " "), _number(value)])
        elif name != "url":
            rows.append([name.replace("_", " "), value if isinstance(value, int) else str(value)])
    if rows:
        table(("what", "found"), rows)
    for note in found.notes:
        say(f"note: {clean(note)}")
    for fault in found.faults:
        say(f"fault: {clean(fault)}", "red")
    if found.faults:
        say("what to do: stop writing; restore what is named from a backup, unless the line says otherwise")
    else:
        say(f"no faults{'' if full else ' at a quick look; --full reads every event'}", "green")
