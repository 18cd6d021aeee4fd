"""All views of one log behind one object: keep them up, ask the database, rebuild, verify.

Promises: `asking(name)` gives one snapshot that shows every append acknowledged before the call (with a read-only
store: what others have projected), or raises ViewStopped if that view cannot get there.
Not here: the questions themselves (runs.py and its like), the façade for users (engine/instance.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..errors import ReadOnlyError, UsageError
from ..log.log import EventLog
from .database import Database, Renewed
from .projection import Projection
from .projector import TRIES, Projector
from .question import Ask, Question
from .registry import PROJECTIONS
from .store import Store
from .table import Table

Progress = Callable[[str, int, int], None]  #: view, position reached, position of the head


class ViewStatus(NamedTuple):
    """Where one view stands."""

    name: str
    version: int
    position: int
    lag: int  #: events on the timeline that it has not taken in
    rows: int
    stopped: str | None  #: the event it could not take in, and why


class Views:
    """The views of one log in one database. Thread-safe."""

    def __init__(
        self,
        log: EventLog,
        database: Database,
        *,
        read_only: bool = False,
        own_place: bool = False,
        projections: Sequence[Projection] = PROJECTIONS,
        caught_up: Callable[[int], None] = lambda position: None,
    ) -> None:
        """`caught_up` is told, after each catch-up, how far the views are."""
        self.log = log
        self.store = _opened(database, projections, read_only=read_only)
        self.projector = Projector(log, self.store, own_place=own_place, caught_up=caught_up)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.store.projections)

    @property
    def position(self) -> int:
        """The position up to which every view answers."""
        self.projector.follow_file()
        return min(at.position for at in self.store.checkpoints().values())

    @contextmanager
    def asking(self, *names: str) -> Iterator[tuple[sa.Connection, Mapping[Table, sa.Table]]]:
        """A snapshot to query, and the tables in it."""
        self.projector.catch_up()
        for name in names:
            self.projector.check(name)
        with self.store.reading() as connection:
            yield connection, self.store.tables

    def ask(self, question: Question, **given: Any) -> Sequence[Any]:
        """The rows that answer a question, which show every append acknowledged before the call. Raises ViewStopped if
        its view cannot get there."""
        for _ in range(TRIES):
            with suppress(Renewed):
                return self._ask(question, given)
        return self._ask(question, given)

    def _ask(self, question: Question, given: Mapping[str, Any]) -> Sequence[Any]:
        self.projector.catch_up()
        self.projector.check(question.view)
        return self.store.fetch(question, given)

    @contextmanager
    def answering(self, *names: str) -> Iterator[Ask]:
        """A snapshot to put questions to, as `asking` is for expressions."""
        self.projector.catch_up()
        for name in names:
            self.projector.check(name)
        with self.store.asking() as ask:
            yield ask

    def status(self) -> list[ViewStatus]:
        """Where each view stands, without catching up first."""
        self.projector.follow_file()
        head = self.log.head().position
        found = []
        held = self.store.checkpoints()
        for projection in self.store.projections:
            at = held[projection.name]
            stopped = (
                f"position {at.stopped.position}, a {at.stopped.type}: {at.stopped.reason}" if at.stopped else None
            )
            count = sum(digest.rows for digest in at.digests.values())
            lag = max(0, head - at.position)
            found.append(ViewStatus(projection.name, projection.version, at.position, lag, count, stopped))
        return found

    def rebuild(self, view: str | None = None, *, progress: Progress | None = None, afresh: bool = False) -> int:
        """Fold a view, or all, anew from the start, beside the live tables, and switch at once; see rebuild.py.

        The position that was reached. Readers and writers go on meanwhile. Interrupted (also by an exception out of
        `progress`), the next call goes on from there, unless `afresh`. What was replaced is kept: `roll_back`.
        Raises ViewStopped if a fold cannot take in an event; the live tables of that view stay then.
        """
        from .rebuild import rebuild

        self._check_writing("rebuilt")
        reached = rebuild(self.log, self.store, self.named(view), progress=progress, afresh=afresh)
        self.projector.retry(view)
        self._rebuilt()
        return reached

    def put_back(self, *, drop_older: bool = False) -> int:
        """Catch up, and keep a snapshot of the views beside the log, for machines that have none; its position.
        `drop_older`: and no other.

        Raises UsageError where the views are not in a cache of this machine, ReadOnlyError for a reader, ViewStopped if
        a view has taken in nothing.
        """
        error = UsageError(f"the views at {self.store.database.shown} are in no cache, and are not put back anywhere")
        error.remedy = "Nothing needs to be done: only logs on object storage have their views in a cache."
        raise error

    def _rebuilt(self) -> None:
        """Told after a rebuild, or after its way back."""

    def cancel_rebuild(self, view: str | None = None) -> list[str]:
        """Drop what interrupted rebuilds have left; the views that had any."""
        from .rebuild import cancel

        self._check_writing("changed")
        return cancel(self.store, self.named(view))

    def roll_back(self, view: str) -> int:
        """Put back the tables that the last rebuild of a view has replaced, once they have caught up; the position.

        Raises UsageError if there are none.
        """
        from .rebuild import roll_back

        self._check_writing("rolled back")
        (projection,) = self.named(view)
        reached = roll_back(self.log, self.store, projection)
        self._rebuilt()
        return reached

    def drop_old(self, view: str | None = None) -> list[str]:
        """Drop the tables that rebuilds have replaced, and those of older versions; their names.

        There is no way back to them then, and processes of an older release that are still at work make theirs anew.
        """
        self._check_writing("dropped")
        self.projector.catch_up()  # and the stable names show this version
        held = self.store.checkpoints()
        if hidden := [p.name for p in self.named(view) if not held[p.name].shown]:
            error = UsageError(f"the SQL views of {', '.join(hidden)} show another version; its tables are in use")
            error.remedy = "`foldlog status` tells whether a view has stopped; a newer release drops by itself."
            raise error
        with self.store.database.write(changing=True) as connection:
            return [name for p in self.named(view) for name in self.store.generations.drop_old(connection, p)]

    def retry(self, view: str | None = None) -> list[ViewStatus]:
        """Try again what a view, or any, has stopped at; where each stands after that."""
        wanted = {projection.name for projection in self.named(view)}
        self.projector.retry(view)
        self.projector.catch_up()
        return [one for one in self.status() if one.name in wanted]

    def _check_writing(self, deed: str) -> None:
        if self.store.read_only:
            raise ReadOnlyError(f"the instance was opened with read_only=True; its views cannot be {deed}")
        self.projector.follow_file()

    def named(self, view: str | None) -> list[Projection]:
        """The projection of a view, or all. Raises UsageError for a name that is none."""
        if view is None:
            return list(self.store.projections)
        chosen = [p for p in self.store.projections if p.name == view]
        if not chosen:
            raise UsageError(f"there is no view {view!r}; there are {', '.join(self.names)}")
        return chosen

    def close(self) -> None:
        """Free every connection. Idempotent."""
        self.store.close()


def _opened(database: Database, projections: Sequence[Projection], *, read_only: bool) -> Store:
    """The tables in a database; in another file of it, where this one turns out to be damaged."""
    for _ in range(TRIES):
        with suppress(Renewed):
            return Store(database, projections, read_only=read_only)
        with database.renewing():
            pass  # the next try fills it, and nobody else has it yet
    return Store(database, projections, read_only=read_only)
