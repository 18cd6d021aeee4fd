"""What the functions of this package do: ask a log where it stands, run the revisions it lacks, sweep up behind them.

The log's own format is the truth, for programs look at nothing else; alembic's table follows it. A log that was made
without alembic has no such table and counts as what its format says.
"""

from __future__ import annotations

from io import StringIO

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from ..engine.errors import CorruptLogError, FoldlogError, UsageError
from . import Progress, Status, Upgraded, Waiting, checksums, registry
from .place import place_of
from .work import Work

SCRIPTS = "foldlog:migrations"  #: found by the package's name, wherever it is installed


def status(url: str) -> Status:
    place = place_of(url)
    with place.translated("looking at"), place.reading() as connection:
        return _status(Work(place, connection))


def upgrade(url: str, *, progress: Progress | None = None, waiting: Waiting | None = None) -> Upgraded:
    place = place_of(url)
    before = status(url)  # refuses what cannot be upgraded before anything is locked, let alone written
    if before.up_to_date and before.recorded is not None:
        return Upgraded(before, before, 0, ())
    told = waiting or (lambda what: None)
    with place.translated("upgrading"), place.alone(told), place.writing() as connection:
        work = Work(place, connection, progress=progress, waiting=waiting)
        now = _status(work)
        if now.recorded != now.revision:  # made without alembic, or put together by hand
            command.stamp(_config(work), now.revision, purge=True)
        chain(work)
        # Programs that were open before go on placing receipts without checksums.
        checksums.fill(work)
        registry.upgrade(place, told)
        return Upgraded(before, _status(work), work.summed, tuple(work.doubtful))


def chain(work: Work, to: str = "head") -> None:
    """Run the revisions that alembic's table does not have, up to one."""
    command.upgrade(_config(work), to)


def stamp(url: str, revision: str) -> Status:
    place = place_of(url)
    known = _scripts()
    if revision not in known:
        error = UsageError(f"there is no revision {revision!r}; there are {', '.join(known)}")
        error.remedy = "Give one of them; `foldlog migrate status` says where the log is."
        raise error
    with place.translated("stamping"), place.alone(lambda what: None), place.writing() as connection:
        work = Work(place, connection)
        now = _status(work)
        if list(known).index(revision) >= now.format:
            error = UsageError(f"{place.shown} has format {now.format}; its tables cannot be at revision {revision}")
            error.remedy = f"Run `foldlog migrate upgrade --url '{place.shown}'`."
            raise error
        command.stamp(_config(work), revision, purge=True)
        return _status(work)


def _status(work: Work) -> Status:
    place, known = work.place, _scripts()
    number = place.format(work)
    if number == 0:
        missing = UsageError(f"there is no log at {place.shown}")
        missing.remedy = "Check the URL; a new log is made in the newest format by the first program that writes to it."
        raise missing
    recorded = _recorded(work)
    if number > len(known) or (recorded is not None and recorded not in known):
        newer: FoldlogError = CorruptLogError(
            f"{place.shown} has format {number}{f', revision {recorded}' if recorded else ''}; this foldlog knows "
            f"formats up to {len(known)}"
        )
        newer.remedy = "Install a newer foldlog; an older one cannot read what a newer one has written."
        raise newer
    names = list(known)
    # A crash between the last step of a revision and the line in alembic's table leaves that line behind the format; it
    # is never ahead of it, unless somebody has put the database together by hand.
    reached = min(number, names.index(recorded) + 1 if recorded else number)
    return Status(
        url=place.shown,
        format=number,
        revision=names[reached - 1],
        recorded=recorded,
        head=names[-1],
        pending=tuple(f"{name} {known_title}" for name, known_title in list(known.items())[reached:]),
        unsummed=place.count_unsummed(work),
        views_lack=registry.lacking(place),
    )


def _recorded(work: Work) -> str | None:
    """What alembic's table says."""
    context = MigrationContext.configure(work.connection, opts={"version_table_schema": work.place.schema})
    found = context.get_current_heads()
    if len(found) > 1:
        raise CorruptLogError(
            f"{work.place.shown}: the table alembic_version has {len(found)} rows, and should have one"
        )
    return found[0] if found else None


def _scripts() -> dict[str, str]:
    """The revisions, oldest first, and what each does. The n-th makes format n."""
    scripts = ScriptDirectory.from_config(_config(None))
    found = list(scripts.walk_revisions())[::-1]
    return {script.revision: script.doc for script in found}


def _config(work: Work | None) -> Config:
    config = Config(stdout=StringIO())  # what there is to say, the caller says
    config.set_main_option("script_location", SCRIPTS)
    config.attributes["work"] = work
    return config
