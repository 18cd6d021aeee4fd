"""What `foldlog doctor` mends when it is told to: the order of a SQLite log that is lost, or older than the files."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import UsageError
from .forms import jsonable
from .main import OK
from .opening import existing_log
from .options import Target
from .progress import progress
from .show import clean, print_json, say


def rebuild_order(target: Target, *, as_json: bool) -> int:
    """Make order.db anew from the files, give every event a position, and seal again what was sealed."""
    from ...backends.sqlite import repair
    from ..open import open_log

    folder = _folder(target)
    with progress("reading") as report:
        made = repair.rebuild_order(folder, **({"progress": report} if report else {}))
    with open_log(target.url) as log:
        head = log.catch_up().position
        for name in made.sealed:
            log.seal(name)
    if as_json:
        print_json(jsonable({**made._asdict(), "sealed": len(made.sealed), "head": head}))
        return OK
    say(f"made order.db anew: {made.shards:,} shards, {head:,} events, epoch {made.epoch}")
    for note in made.notes:
        say(f"note: {clean(note)}")
    say("what to do: `foldlog doctor --full`, then `foldlog verify`")
    return OK


def adopt(target: Target, *, as_json: bool) -> int:
    """Let order.db know the files it does not, and give their events positions."""
    from ...backends.sqlite import SqliteBackend, repair

    _folder(target)
    with existing_log(target, write=True) as log:
        if not isinstance(log.backend, SqliteBackend):
            raise _only_sqlite(target)
        with progress("reading") as report:
            names = repair.adopt(log.backend, **({"progress": report} if report else {}))
        head = log.catch_up()
    if as_json:
        print_json({"adopted": names, "epoch": head.epoch, "head": head.position})
        return OK
    for name in names:
        say(f"adopted {clean(name)}")
    say(f"{len(names):,} shards adopted; {head.position:,} events, epoch {head.epoch}")
    return OK


def _folder(target: Target) -> Path:
    parts = urlsplit(target.url)
    if parts.scheme != "sqlite":
        raise _only_sqlite(target)
    folder = Path(unquote(parts.path[1:]))
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}")
    return folder


def _only_sqlite(target: Target) -> UsageError:
    error = UsageError(f"{target.shown}: only the order of a SQLite log can be mended")
    error.remedy = "Elsewhere, restore the database, or the objects, from a backup."
    return error
