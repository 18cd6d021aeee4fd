"""Take in what is on the timeline: pages of events, folded into rows, committed with the checkpoint.

Promises: after `catch_up` the views show every append acknowledged before it began; any number of processes may catch
up the same views at once; killed at any moment, nothing is lost and nothing is counted twice. An event that a view
cannot take in stops that view only, and is never skipped: the checkpoint stays before it.
Not here: a view's tables and fold (runs.py and its like), building one anew (rebuild.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

import sqlalchemy as sa

from ..errors import FoldlogError, HistoryDiverged, ViewStopped
from ..log.cursor import CHAIN_BYTES, Cursor
from ..log.log import EventLog, RawPage
from ..log.port import Head
from .checkpoints import Checkpoint, Lost, Stop, is_newest
from .database import Renewed
from .folding import deal, fold_page, no_collector, view_stopped
from .making import prepare, show
from .projection import Projection, Taken
from .rebuild import Canceled, build_first
from .store import Store

logger = logging.getLogger("foldlog.views")

TRUST_S = 1.0  #: how long a mark is taken for all there is to know; writers that died leave news without one
MANY = 100_000  #: events from which on views that hold nothing are built beside their tables, which is faster
TRIES = 3  #: files that turn out to be damaged
PAGE = 2000  #: events in one transaction: bounds the memory, and how long others wait for the write lock


class Projector:
    """Keeps the views of one store at the end of one log. Thread-safe."""

    def __init__(
        self,
        log: EventLog,
        store: Store,
        *,
        own_place: bool = False,
        page: int = PAGE,
        caught_up: Callable[[int], None] = lambda position: None,
    ) -> None:
        self._log = log
        self._store = store
        self._own_place = own_place  #: somebody chose this database; it may hold the views of another log
        self._page = page
        self._caught_up = caught_up  #: told of the position of the view that has got furthest
        self._seen: dict[str, Checkpoint] = {}  #: as this process last saw them
        self._stops: dict[str, Stop] = {}  #: what this process has tried in vain
        #: the mark it stands at, and how long that holds
        self._quiet: tuple[bytes | None, float] = (None, 0.0)

    def catch_up(self) -> None:
        """Take in all that was acknowledged before this call. What stops a view does not show here: see `check`."""
        for _ in range(TRIES):
            with suppress(Renewed):
                self._take_in()
                return
        self._take_in()

    def _take_in(self) -> None:
        self.follow_file()
        if self._store.read_only:
            return
        mark = self._log.mark()  # before the look: what is acknowledged during it is looked for the next time
        quiet, until = self._quiet
        if mark is not None and mark == quiet and time.monotonic() < until:
            return
        self._catch_up()
        # A view that is stopped may be helped over by another process, of which no mark tells.
        self._quiet = (None if self._stops else mark), time.monotonic() + TRUST_S
        self._caught_up(max((at.position for at in self._seen.values()), default=0))

    def follow_file(self) -> None:
        """Make the views anew if their file was deleted or replaced while it was open."""
        if not self._store.database.moved():
            return
        with self._store.database.renewing() as needed:
            if not needed:
                return
            prepare(self._store)
            self._seen, self._stops, self._quiet = {}, {}, (None, 0.0)
            if not self._store.read_only:
                self._catch_up()  # other threads may have done so before, and are about to ask

    def _catch_up(self) -> None:
        head = self._log.catch_up()
        if self._is_at(head, self._store.projections):
            return
        read: set[str] = set()  #: views that have read the log from where they stood, so that their history is this one
        build = head.position >= MANY
        while True:
            seen = self._seen = self._checkpoints()
            if not read and any(at.position > head.position for at in seen.values()):
                head = self._log.catch_up()  # another process went on; if not, reading the log tells what is wrong
            # Past the head as it was is enough: who runs after the head itself may never meet it while others write.
            behind = [
                p
                for p in self._going(seen)
                if not _covers(seen[p.name], head) and not (p.name in read and seen[p.name].position >= head.position)
            ]
            if not behind:
                self._show(seen)
                return
            # Views that stand at one place share the page; as a rule that is all of them.
            cursor = min((seen[p.name] for p in behind), key=lambda at: at.position).cursor
            group = [p for p in behind if seen[p.name].cursor == cursor]
            if build and not cursor:
                build = False  # what could not be built is taken in page by page
                self._build(group)
            else:
                self._step(group, cursor)
                read.update(p.name for p in group)

    def _checkpoints(self) -> dict[str, Checkpoint]:
        """Where the views stand; made anew if a newer release has dropped them as old."""
        seen = self._store.checkpoints()
        if len(seen) < len(self._store.projections):
            prepare(self._store)
            seen = self._store.checkpoints()
        return seen

    def _build(self, group: Sequence[Projection]) -> None:
        # A view that is stopped, or whose build another process has cancelled, goes on as usual.
        with suppress(ViewStopped, Canceled):
            build_first(self._log, self._store, group)

    def _show(self, seen: Mapping[str, Checkpoint]) -> None:
        """A newer version of a view that has caught up takes the stable names from the older one."""
        waiting = [p for p in self._store.projections if not seen[p.name].shown and p.name not in self._stops]
        if not waiting:
            return
        try:
            with self._store.database.write(changing=True) as connection:
                held = self._store.checkpoints(connection, lock=True)
                for projection in waiting:
                    at = held.get(projection.name)  # None: it is just being switched
                    if at is not None and not at.shown and is_newest(connection, projection):
                        show(self._store, connection, projection)
        except FoldlogError as error:  # names that people see are no reason to answer no question
            logger.warning("views %s: the SQL views stay as they are: %s", ", ".join(p.name for p in waiting), error)
        self._seen = self._store.checkpoints()

    def check(self, name: str) -> None:
        """Raise ViewStopped if a view stands before an event that it cannot take in."""
        # A reader that cannot try for itself goes by what was written down.
        stop = self._store.checkpoints()[name].stopped if self._store.read_only else self._stops.get(name)
        if stop is not None:
            raise view_stopped(name, stop)

    def retry(self, name: str | None = None) -> None:
        """Try again what a view, or any, has stopped at, with the next catch-up."""
        for one in [name] if name is not None else list(self._stops):
            self._stops.pop(one, None)
        self._quiet = None, 0.0

    # -- one page -----------------------------------------------------------------------------------------------

    def _step(self, group: Sequence[Projection], cursor: str) -> None:
        with no_collector():
            try:
                page = self._log.read_raw(after=cursor or None, limit=self._page)
            except HistoryDiverged as error:
                self._begin_again(group, cursor, error)
                return
            cuts: dict[str, Stop] = {}
            with suppress(Lost):  # another process took the page in; the checkpoints are read again
                while not self._took(group, cursor, page, cuts):
                    pass

    def _took(self, group: Sequence[Projection], cursor: str, page: RawPage, cuts: dict[str, Stop]) -> bool:
        """Take a page in, of each view in `cuts` up to where it stops. False, and nothing has happened, if one stops
        that is not there yet: what its fold had written by then is rolled back with all the rest."""
        hands = deal(self._log, group, page.stored)
        try:
            with self._store.database.write() as connection:
                # From here on nobody moves them; who read the same page waits, and then finds that they have moved.
                held = self._store.checkpoints(connection, lock=True)
                for projection in group:
                    old = held.get(projection.name)
                    if old is None or old.cursor != cursor:
                        raise Lost
                    self._take(connection, projection, old, hands[projection.name], page, cuts.get(projection.name))
        except _Halted as halted:
            cuts[halted.view] = halted.stop
            return False
        for name, stop in cuts.items():
            if name not in self._stops:
                logger.error("%s", view_stopped(name, stop))
        self._stops.update(cuts)
        return True

    def _take(
        self,
        connection: sa.Connection,
        projection: Projection,
        old: Checkpoint,
        hand: Sequence[Taken],
        page: RawPage,
        cut: Stop | None,
    ) -> None:
        rows = self._store.rows(connection, projection, old)
        stop = fold_page(
            projection, rows, hand if cut is None else [one for one in hand if one.position < cut.position]
        )
        if stop is not None:
            raise _Halted(projection.name, stop)
        rows.flush()
        position = page.cursor.position if cut is None else cut.position - 1
        reached = page.cursor if cut is None else self._log.cursor(position)
        new = old._replace(position=position, cursor=reached if position else "", digests=rows.digests, stopped=cut)
        self._store.move(connection, projection, old, new)

    def _begin_again(self, group: Sequence[Projection], cursor: str, error: HistoryDiverged) -> None:
        """The log is another one than these views were folded from, or an older copy of it."""
        if self._own_place and Cursor(cursor).parts.log_id != self._log.head().log_id:
            # Two logs that share a database by mistake would throw away each other's views without end.
            foreign = HistoryDiverged(f"the views at {self._store.database.shown} are of another log: {error}")
            foreign.remedy = "Give each log views of its own: name another file, database or schema in `views=`."
            raise foreign from error
        try:
            with self._store.database.write(changing=True) as connection:
                held = self._store.checkpoints(connection, lock=True)
                for projection in group:
                    at = held.get(projection.name)
                    if at is None:  # it is just being switched
                        raise Lost
                    if at.cursor == cursor:
                        self._store.empty(connection, projection, at)
        except Lost:
            return
        names = ", ".join(p.name for p in group)
        logger.warning(
            "views %s are folded anew from the start, for the log was restored or replaced: %s", names, error
        )

    def _going(self, seen: Mapping[str, Checkpoint]) -> Iterator[Projection]:
        """Views that are not stopped, or have been helped over it by another process."""
        for projection in self._store.projections:
            stop = self._stops.get(projection.name)
            if stop is not None and seen[projection.name].position < stop.position:
                continue
            self._stops.pop(projection.name, None)
            yield projection

    def _is_at(self, head: Head, projections: Sequence[Projection]) -> bool:
        seen = self._seen
        return bool(seen) and all(_covers(seen[p.name], head) for p in projections)


class _Halted(Exception):
    """A view cannot take in an event of a page."""

    def __init__(self, view: str, stop: Stop) -> None:
        self.view = view
        self.stop = stop


def _covers(at: Checkpoint, head: Head) -> bool:
    """Whether a view stands at this very head."""
    if at.position != head.position:
        return False
    if head.position == 0:
        return True
    parts = Cursor(at.cursor).parts
    return parts.log_id == head.log_id and parts.chain == head.chain[:CHAIN_BYTES]
