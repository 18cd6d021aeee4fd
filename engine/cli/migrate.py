"""`foldlog migrate`: which format a log has, and bringing it to the newest one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ..errors import UsageError
from .main import FOUND, OK
from .opening import NO_LOG
from .options import Target, examples, json_option, log_option
from .progress import progress
from .show import clean, line, print_json, say

if TYPE_CHECKING:
    from ...migrations import Status, Upgraded


@click.group(
    "migrate",
    epilog=examples(
        "foldlog migrate status",
        "foldlog migrate upgrade --url postgresql://user@host/name",
    ),
)
def command() -> None:
    """Bring a log of an older release to the newest format.

    Programs may go on reading and writing meanwhile. `status` never writes; `upgrade` does what is to be done, and
    killed at any moment, the next one completes it; `stamp` corrects alembic's note where a database was put together
    by hand. Events are never rewritten: they are read in every format there ever was.
    """


@command.command("status", epilog=examples("foldlog migrate status", "foldlog migrate status --json | jq .pending"))
@json_option("One JSON document")
@log_option
def status_command(target: Target, as_json: bool) -> int:
    """Show which format a log has, and what an upgrade would do.

    Never writes, and needs no right to. Exit code 3: there is something to do.
    """
    from ... import migrations

    with _asking():
        found = migrations.status(target.url)
    if as_json:
        print_json(_form(found))
    else:
        _print(found, target)
    return OK if found.up_to_date else FOUND


@command.command(
    "upgrade", epilog=examples("foldlog migrate upgrade", "foldlog migrate upgrade --json | jq .after.format")
)
@json_option("One JSON document")
@log_option
def upgrade_command(target: Target, as_json: bool) -> int:
    """Bring a log to the newest format, while programs go on.

    Does nothing where nothing is to be done. Programs of older releases that have the log open go on as well, and
    cannot open it any more; once the last has ended, run this again for what they have written. Exit code 3: some
    receipts do not fit the hash chain.
    """
    from ... import migrations

    with _asking(), progress("writing", unit="events") as report:
        done = migrations.upgrade(target.url, progress=report, waiting=lambda what: say(line(what), err=True))
    if as_json:
        form = {"summed": done.summed, "doubtful": list(done.doubtful)}
        print_json({"before": _form(done.before), "after": _form(done.after), **form})
    else:
        _tell(done)
    return FOUND if done.doubtful else OK


@command.command(
    "stamp", epilog=examples("foldlog migrate stamp 0001", "foldlog migrate stamp 0002 --json | jq .recorded")
)
@click.argument("revision")
@json_option("One JSON document")
@log_option
def stamp_command(target: Target, revision: str, as_json: bool) -> int:
    """Write a revision into alembic's table, and change no other.

    For a database that was put together by hand. REVISION is one that the log's format has reached: with an older one,
    the next upgrade looks at each step behind it again, which does no harm.
    """
    from ... import migrations

    with _asking():
        found = migrations.stamp(target.url, revision)
    if as_json:
        print_json(_form(found))
    else:
        _print(found, target)
    return OK


@contextmanager
def _asking() -> Iterator[None]:
    """Where there is no log, or no such URL, say how one is written."""
    try:
        yield
    except UsageError as error:
        if not error.has_own_remedy:
            error.remedy = NO_LOG
        raise


def _form(found: Status) -> dict[str, Any]:
    return {**found._asdict(), "up_to_date": found.up_to_date}


def _print(found: Status, target: Target) -> None:
    say(clean(f"log       {target.shown}"))
    say(f"format    {found.format}")
    say(clean(f"revision  {found.revision} of {found.head}"))
    if found.recorded is not None and found.recorded != found.revision:
        say(clean(f"recorded  {found.recorded}"))
    for words in _to_do(found):
        say(clean(f"to do     {words}"))
    say("nothing to do" if found.up_to_date else "what to do: `foldlog migrate upgrade`, while programs go on")


def _to_do(found: Status) -> Iterator[str]:
    yield from found.pending
    if found.unsummed:
        yield f"checksums of {found.unsummed:,} receipts"
    if found.views_lack:
        yield f"columns of the views' registry: {', '.join(found.views_lack)}"
    if found.recorded not in (None, found.revision):
        yield "alembic's table"


def _tell(done: Upgraded) -> None:
    before, after = done.before, done.after
    if before.up_to_date and not done.summed:  # at most alembic's note was added
        say(f"nothing to do: format {after.format}, revision {after.revision}")
    else:
        say(f"format {before.format} to {after.format}, revision {before.revision} to {after.revision}")
        say(f"{done.summed:,} receipts were given checksums")
    if done.doubtful:
        shown = ", ".join(f"{position:,}" for position in done.doubtful[:10])
        say(f"receipts that do not fit the hash chain, at positions {shown}{' ...' if len(done.doubtful) > 10 else ''}")
        say("what to do: `foldlog doctor --full`; they were damaged before, and are left as they were")
