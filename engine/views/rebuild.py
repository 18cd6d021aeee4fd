"""Fold views anew from the start of the log, beside the live ones, and switch at once.

Promises: readers and writers go on with the live tables until the switch, which is one transaction. Interrupted or
killed before it, nothing has changed for them, and the next rebuild goes on where this one stood. Any number of
processes may rebuild at once: they take turns. What a fold cannot take in ends the rebuild of its view alone.
Memory does not grow with the log.
Not here: the fold of a page (folding.py), the tables (store.py, generations.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from ..errors import HistoryDiverged, UnavailableError, UsageError, ViewStopped
from ..log.log import EventLog, RawPage
from .checkpoints import BUILDING, LIVE, PREVIOUS, Checkpoint, Lost
from .folding import deal, fold_page, no_collector, view_stopped
from .projection import Projection
from .rows import AtHand
from .store import Store

PATIENCE_S = 600.0  #: how long a switch waits for those who read a server's tables
PAGE = 10_000  #: events in one transaction: the most a read gives

Progress = Callable[[str, int, int], None]  #: view, position reached, position of the head


class Canceled(UnavailableError):
    """Another process has cancelled the rebuild, or begun it afresh."""


class Builder:
    """Folds pages into tables beside the live ones, the views that are behind first, until all stand at one place."""

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
        self.slot = slot  #: where the tables are
        self._page = page or PAGE
        self._projections = [p for p in store.projections if p.name in checkpoints]
        # Alone with tables that are empty, as far as one can know; who is not alone is told so by the checkpoints.
        self._at_hand = AtHand() if all(not at.cursor for at in checkpoints.values()) else None
        self.at = dict(checkpoints)
        self.stopped: list[ViewStopped] = []  #: what ended the build of a view

    @property
    def position(self) -> int:
        """All views that are being built have taken in what is up to here."""
        return min((at.position for at in self.at.values()), default=0)

    @property
    def building(self) -> list[Projection]:
        """The views that are being built."""
        return [p for p in self._projections if p.name in self.at]

    def is_live(self, live: Checkpoint, at: Checkpoint) -> bool:
        """Whether what was built has been put in place, by whoever; a later rebuild may have replaced it since."""
        return live.generation == at.generation or (self.slot == BUILDING and live.generation > at.generation)

    def step(self, *, up_to: int | None = None) -> bool:
        """Fold the next page; whether there is more. `up_to`: no event past that position.

        Raises Lost if another process has moved a checkpoint meanwhile.
        """
        with no_collector():
            return self._step(up_to)

    def _step(self, up_to: int | None) -> bool:
        if not self.at:
            return False
        cursor = min(self.at.values(), key=lambda at: at.position).cursor
        group = [p for p in self.building if self.at[p.name].cursor == cursor]
        ahead = [at.position for at in self.at.values() if at.cursor != cursor]
        bounds = [end - self.position for end in (up_to, *ahead) if end is not None]
        limit = min(self._page, *bounds) if bounds else self._page
        if limit <= 0:
            return False
        # A page of all types holds one record a position, so that `limit` ends it exactly.
        page = self._log.read_raw(after=cursor or None, limit=limit)
        if page.cursor.position == self.position:
            return False
        try:
            self.at.update(self._take(group, page))
        except _Failed as failed:
            self._at_hand = None  # it has what was rolled back
            self._give_up(failed)
            return True
        except BaseException:
            self._at_hand = None
            raise
        return not page.at_head and self.position != up_to

    def _take(self, group: Sequence[Projection], page: RawPage) -> dict[str, Checkpoint]:
        hands = deal(self._log, group, page.stored)
        new = {}
        with self._store.database.write() as connection:
            held = self._store.checkpoints(connection, slot=self.slot, lock=True)
            for projection in group:
                before = self.at[projection.name]
                if held.get(projection.name) != before:  # the tables may have been switched or dropped
                    raise Lost
                rows = self._store.rows(connection, projection, before, slot=self.slot, at_hand=self._at_hand)
                stop = fold_page(projection, rows, hands[projection.name])
                if stop is not None:
                    raise _Failed(view_stopped(projection.name, stop), projection)
                rows.flush()
                after = before._replace(position=page.cursor.position, cursor=page.cursor, digests=rows.digests)
                self._store.move(connection, projection, before, after, slot=self.slot)
                new[projection.name] = after
        return new

    def _give_up(self, failed: _Failed) -> None:
        """Go on without a view whose fold has failed."""
        self.stopped.append(failed.error)
        at = self.at.pop(failed.projection.name)
        if self.slot == PREVIOUS:
            return  # kept, for code that can take the event in
        with self._store.database.write(changing=True) as connection:
            self._store.generations.drop(connection, failed.projection, at, slot=self.slot)


class _Failed(Exception):
    def __init__(self, error: ViewStopped, projection: Projection) -> None:
        self.error = error
        self.projection = projection


def rebuild(
    log: EventLog, store: Store, projections: Sequence[Projection], *, progress: Progress | None, afresh: bool = False
) -> int:
    """Build these views and switch to them; the position that was reached.

    `afresh`: not from where an interrupted rebuild stands. Raises ViewStopped, after the switch of the others, if a
    fold cannot take in an event; UnavailableError if another process has cancelled the rebuild.
    """
    try:
        builder = _begin(log, store, projections, afresh)
        reached = _build(builder, log, store, projections, progress)
    except HistoryDiverged:  # what an interrupted rebuild left is of another history
        builder = _begin(log, store, projections, True)
        reached = _build(builder, log, store, projections, progress)
    if builder.stopped:
        raise builder.stopped[0]
    return reached


def build_first(log: EventLog, store: Store, projections: Sequence[Projection]) -> None:
    """Build views that hold nothing yet; there is nothing to go back to. Raises as `rebuild`."""
    try:
        rebuild(log, store, projections, progress=None)
    finally:
        with store.database.write(changing=True) as connection:
            kept = store.checkpoints(connection, slot=PREVIOUS, lock=True)
            for projection in projections:
                if projection.name in kept and not kept[projection.name].cursor:
                    store.generations.drop(connection, projection, kept[projection.name], slot=PREVIOUS)


def roll_back(log: EventLog, store: Store, projection: Projection) -> int:
    """Let the tables that the last rebuild has replaced catch up, then put them in the place of the live ones; the
    position that was reached. Raises UsageError if none are kept, ViewStopped if they cannot catch up."""
    kept = store.checkpoints(slot=PREVIOUS)
    if projection.name not in kept:
        raise UsageError(f"there is no earlier generation of view {projection.name} to go back to")
    builder = Builder(log, store, {projection.name: kept[projection.name]}, slot=PREVIOUS)
    # Who has asked a view once never sees it go back: what is put in place stands no earlier than what was there.
    reached = _build(builder, log, store, [projection], None)
    if builder.stopped:
        raise builder.stopped[0]
    return reached


def cancel(store: Store, projections: Sequence[Projection]) -> list[str]:
    """Drop what interrupted rebuilds have left; the views that had any."""
    with store.database.write(changing=True) as connection:
        left = store.checkpoints(connection, slot=BUILDING, lock=True)
        for projection in projections:
            if projection.name in left:
                store.generations.drop(connection, projection, left[projection.name], slot=BUILDING)
    return [p.name for p in projections if p.name in left]


def _begin(log: EventLog, store: Store, projections: Sequence[Projection], afresh: bool) -> Builder:
    with store.database.write(changing=True) as connection:
        builds = {p.name: store.generations.begin(connection, p, afresh=afresh) for p in projections}
    return Builder(log, store, builds, slot=BUILDING)


def _build(
    builder: Builder, log: EventLog, store: Store, projections: Sequence[Projection], progress: Progress | None
) -> int:
    name = projections[0].name if len(projections) == 1 else "all"
    finished = builder.slot != BUILDING
    while True:
        try:
            more = builder.step()
            if progress is not None:
                progress(name, builder.position, max(log.head().position, builder.position))
            if more:
                continue
            if not finished:
                for projection in builder.building:
                    store.generations.finish(projection, builder.at[projection.name])
                finished = True  # and what came meanwhile is taken in
            elif _switched(store, builder, log):
                return builder.position
        except Lost:
            if _done_by_another(store, builder):
                return min(store.checkpoints()[p.name].position for p in projections)


def _done_by_another(store: Store, builder: Builder) -> bool:
    """Another process builds the same: go on where it stands. True if it has switched already."""
    with store.database.read() as connection:
        built, live = (store.checkpoints(connection, slot=slot) for slot in (builder.slot, LIVE))
    for name, at in builder.at.items():
        there = built.get(name)
        if there is not None and there.generation == at.generation:
            builder.at[name] = there
        elif not builder.is_live(live[name], at):
            raise Canceled(f"the rebuild of view {name} was cancelled, or begun afresh, by another process")
    return all(builder.is_live(live[name], at) for name, at in builder.at.items())


def _switched(store: Store, builder: Builder, log: EventLog) -> bool:
    """Put the built tables in place, unless the live ones have moved on meanwhile. Raises Lost if another process has
    moved the built ones."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return _switch(store, builder, log)
        except UnavailableError:
            # A server's tables are being read, and who waits for them makes all later readers wait too: let them pass.
            if store.database.dialect.in_process or time.monotonic() > end:
                raise
        time.sleep(0.2)


def _switch(store: Store, builder: Builder, log: EventLog) -> bool:
    with store.database.write(changing=True) as connection:
        store.database.dialect.impatient(connection)
        live = store.checkpoints(connection, slot=LIVE, lock=True)
        built = store.checkpoints(connection, slot=builder.slot, lock=True)
        if any(built.get(p.name) != builder.at[p.name] for p in builder.building):
            raise Lost
        if any(_is_ahead(log, live[p.name], builder.position) for p in builder.building):
            return False
        store.generations.switch(connection, builder.building, builder.slot)
    return True


def _is_ahead(log: EventLog, live: Checkpoint, position: int) -> bool:
    """Whether live tables know more than the built ones; what they know of a history that was lost is no more."""
    if live.position <= position:
        return False
    try:
        log.read_raw(after=live.cursor, limit=1)
    except HistoryDiverged:
        return False
    return True
