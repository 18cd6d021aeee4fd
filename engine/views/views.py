"""All views of one log behind one object: keep them up, ask the database, rebuild, verify.

Promises: `asking(name)` gives one snapshot that shows every append acknowledged before the call (with a read-only
store: what others have projected), or raises ViewStopped if that view cannot get there.
Not here: the questions themselves (runs.py and its like), the façade for users (engine/instance.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import sqlalchemy as sa

from ..errors import ReadOnlyError, UsageError
from ..log.log import EventLog
from .database import Database
from .projection import Projection
from .projector import Projector
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
    ) -> None:
        self.log = log
        self.store = Store(database, projections, read_only=read_only)
        self.projector = Projector(log, self.store, own_place=own_place)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(p.name for p in self.store.projections)

    @property
    def position(self) -> int:
        """The position up to which every view answers."""
        return min(at.position for at in self.store.checkpoints().values())

    @contextmanager
    def asking(self, *names: str) -> Iterator[tuple[sa.Connection, Mapping[Table, sa.Table]]]:
        """A snapshot to query, and the tables in it."""
        self.projector.catch_up()
        for name in names:
            self.projector.check(name)
        with self.store.reading() as connection:
            yield connection, self.store.tables

    def status(self) -> list[ViewStatus]:
        """Where each view stands, without catching up first."""
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

    def rebuild(self, view: str | None = None, *, progress: Progress | None = None) -> int:
        """Fold a view, or all, anew from the start, beside the live tables, and switch at once; see rebuild.py.

        The position that was reached. Readers and writers go on meanwhile. Raises ViewStopped if the fold cannot take
        in an event; the live tables stay then.
        """
        from .rebuild import rebuild

        if self.store.read_only:
            raise ReadOnlyError("the instance was opened with read_only=True; its views cannot be rebuilt")
        reached = rebuild(self.log, self.store, self.named(view), progress=progress)
        self.projector.retry()
        return reached

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
