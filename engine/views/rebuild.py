"""Fold views anew from the start of the log, beside the live ones, and switch at once.

Promises: readers and writers go on with the live tables until the switch, which is one transaction; killed or
cancelled (an exception out of `progress`) before it, nothing has changed. Memory does not grow with the log.
Not here: the fold of a page (projector.py), the tables (store.py).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..errors import FoldlogError, UnavailableError
from ..log.log import EventLog
from .projection import Projection
from .projector import deal, fold_page, view_stopped
from .rows import AtHand
from .store import BUILDING, LIVE, Checkpoint, Lost, Store

PAGE = 10_000  #: events in one transaction: the most a read gives

Progress = Callable[[str, int, int], None]  #: view, position reached, position of the head


class Builder:
    """Folds pages into tables that are nobody else's."""

    def __init__(
        self,
        log: EventLog,
        store: Store,
        checkpoints: Mapping[str, Checkpoint],
        *,
        slot: str,
        page: int | None = None,
    ) -> None:
        self._log = log
        self._store = store
        self._slot = slot
        self._page = page or PAGE
        self._projections = [p for p in store.projections if p.name in checkpoints]
        self._at_hand = AtHand() if all(not at.cursor for at in checkpoints.values()) else None
        self.at = dict(checkpoints)  #: all of them at one place

    @property
    def position(self) -> int:
        return next(iter(self.at.values())).position

    def step(self, *, up_to: int | None = None) -> bool:
        """Fold the next page; whether there is more. `up_to`: no event past that position."""
        limit = self._page if up_to is None else min(self._page, up_to - self.position)
        if limit <= 0:
            return False
        old = self.at
        # A page of all types holds one record a position, so that `limit` ends it exactly.
        with _no_collector():
            page = self._log.read_raw(after=next(iter(old.values())).cursor or None, limit=limit)
        if page.cursor.position == self.position:
            return False
        hands = deal(self._log, self._projections, page.stored)
        new = {}
        with _no_collector(), self._store.database.write() as connection:
            for projection in self._projections:
                before = old[projection.name]
                rows = self._store.rows(connection, projection, before, slot=self._slot, at_hand=self._at_hand)
                stop = fold_page(projection, rows, hands[projection.name])
                if stop is not None:
                    raise view_stopped(projection.name, stop)
                rows.flush()
                after = Checkpoint(before.generation, page.cursor.position, page.cursor, rows.digests, None)
                self._store.move(connection, projection, before, after, slot=self._slot)
                new[projection.name] = after
        self.at = new
        return not page.at_head and self.position != up_to


@contextmanager
def _no_collector() -> Iterator[None]:
    """Without the collector of cycles for one page. A page is tens of thousands of tuples and no cycle; looking through
    them time and again takes a tenth of a rebuild."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def rebuild(log: EventLog, store: Store, projections: Sequence[Projection], *, progress: Progress | None) -> int:
    """Build these views and switch to them; the position that was reached.

    Raises ViewStopped if a fold cannot take in an event, UnavailableError if another rebuild took over.
    """
    with store.database.write() as connection:
        builds = {p.name: store.start_build(connection, p) for p in projections}
    builder = Builder(log, store, builds, slot=BUILDING)
    name = projections[0].name if len(projections) == 1 else "all"
    finished = False
    try:
        while True:
            more = builder.step()
            if progress is not None:
                progress(name, builder.position, max(log.head().position, builder.position))
            if more:
                continue
            if not finished:
                for projection in projections:
                    store.finish_build(projection, builder.at[projection.name])
                finished = True  # and what came meanwhile is taken in
            elif _switched(store, projections, builder):
                return builder.position
    except Lost:
        raise UnavailableError(f"another rebuild of view {name} has begun; this one was given up") from None
    except BaseException:
        _give_up(store, projections, builds)
        raise


def _switched(store: Store, projections: Sequence[Projection], builder: Builder) -> bool:
    """Put the built tables in place, unless the live ones have moved on meanwhile."""
    with store.database.write() as connection:
        live = store.checkpoints(connection, slot=LIVE, lock=True)
        if any(live[p.name].position > builder.position for p in projections):
            return False
        for projection in projections:
            store.switch(connection, projection, live[projection.name], builder.at[projection.name])
    return True


def _give_up(store: Store, projections: Sequence[Projection], builds: Mapping[str, Checkpoint]) -> None:
    try:
        with store.database.write() as connection:
            for projection in projections:
                store.drop_build(connection, projection, builds[projection.name])
    except FoldlogError:
        pass  # the next rebuild drops them
