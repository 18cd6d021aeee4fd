"""Bring a log made by an older release to the tables of this one, while programs go on writing to it.

    status(url)      which format a log has, and what an upgrade would do; never writes
    upgrade(url)     do it; killed anywhere, the same call completes it
    stamp(url, ...)  correct what alembic's table says, where a database was put together by hand

Promises: importing this loads neither alembic nor sqlalchemy, and opening a log loads nothing of this.
Not here: the tables of a new log (backends/), the tables of views, which the projector makes anew when they change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Status", "Upgraded", "stamp", "status", "upgrade"]

Progress = Callable[[str, int, int], None]  #: what is being done, how much of it is, of how much
Waiting = Callable[[str], None]  #: told what is waited for, once for each thing


class Status(NamedTuple):
    """Where a log is in the chain of revisions."""

    url: str  #: without its password
    format: int  #: what the log itself says, which is what programs look at
    revision: str  #: the tables' revision, as that format and alembic's table tell it
    recorded: str | None  #: what alembic's table says; None where there is none yet
    head: str  #: the newest revision that this release knows
    pending: tuple[str, ...]  #: what an upgrade would do first, a line each: "0002 what it does"
    unsummed: int  #: placed receipts without a checksum, which an upgrade gives them
    views_lack: (
        tuple[str, ...] | None
    )  #: columns of the views' registry to add; None where the log has no views beside it

    @property
    def up_to_date(self) -> bool:
        """Whether an upgrade would find nothing to do."""
        settled = self.revision == self.recorded == self.head or (self.recorded is None and not self.pending)
        return settled and not self.unsummed and not self.views_lack


class Upgraded(NamedTuple):
    """What an upgrade has done."""

    before: Status
    after: Status
    summed: int  #: placed receipts that got a checksum
    doubtful: tuple[int, ...]  #: positions of receipts that do not fit the hash chain, and got none: the first hundred


def status(url: str) -> Status:
    """Which format a log has and what an upgrade would do. Never writes, and needs no right to.

    Raises UsageError where there is no log, CorruptLogError for a log of a newer release or another program's tables.
    """
    from . import running

    return running.status(url)


def upgrade(url: str, *, progress: Progress | None = None, waiting: Waiting | None = None) -> Upgraded:
    """Bring a log to the newest tables. Programs that have it open go on reading and writing meanwhile.

    Does nothing where nothing is to be done. Killed anywhere, the same call completes it; of several at once, one does
    the work and the others wait. `progress`: what, how much of it, of how much. `waiting`: told what is waited for.

    Raises UsageError where there is no log, ReadOnlyError without the right to change tables, UnavailableError if the
    store gives no answer or others hold the tables for minutes, CorruptLogError for a log of a newer release.
    """
    from . import running

    return running.upgrade(url, progress=progress, waiting=waiting)


def stamp(url: str, revision: str) -> Status:
    """Have alembic's table say another revision; no other table changes. An upgrade then begins behind that one.

    Only to a revision that the log's format has reached: an older one has an upgrade look at each of its steps again,
    which is harmless. Raises UsageError for another one.
    """
    from . import running

    return running.stamp(url, revision)
