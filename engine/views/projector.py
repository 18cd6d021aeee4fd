"""Take in what is on the timeline: pages of events, folded into rows, committed with the checkpoint.

Promises: after `catch_up` the views show every append acknowledged before it began; any number of processes may catch
up the same views at once; killed at any moment, nothing is lost and nothing is counted twice. An event that a view
cannot take in stops that view only, and is never skipped: the checkpoint stays before it.
Not here: a view's tables and fold (runs.py and its like), building one anew (rebuild.py).
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from ..errors import CorruptLogError, FoldlogError, HistoryDiverged, UnavailableError, ViewStopped
from ..events.event import Opaque
from ..log.cursor import CHAIN_BYTES, Cursor
from ..log.log import EventLog, RawPage
from ..log.names import is_system_shard
from ..log.port import Head, Stored
from .checkpoints import Checkpoint, Lost, Stop
from .making import prepare, show
from .projection import Projection, Taken
from .rows import Rows
from .store import Store

logger = logging.getLogger("foldlog.views")

UNKNOWN = "this process does not know"
TRUST_S = 1.0  #: how long a mark is taken for all there is to know; writers that died leave news without one
MANY = 100_000  #: events from which on views that hold nothing are built beside their tables, which is faster
PAGE = 2000  #: events in one transaction: bounds the memory, and how long others wait for the write lock


class Projector:
    """Keeps the views of one store at the end of one log. Thread-safe."""

    def __init__(self, log: EventLog, store: Store, *, own_place: bool = False, page: int = PAGE) -> None:
        self._log = log
        self._store = store
        self._own_place = own_place  #: somebody chose this database; it may hold the views of another log
        self._page = page
        self._seen: dict[str, Checkpoint] = {}  #: as this process last saw them
        self._stops: dict[str, Stop] = {}  #: what this process has tried in vain
        self._quiet: tuple[bytes | None, float] = (
            None,
            0.0,
        )  #: the mark it stands at, and how long that holds

    def catch_up(self) -> None:
        """Take in all that was acknowledged before this call. What stops a view does not show here: see `check`."""
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
            seen = self._seen = self._store.checkpoints()
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

    def _build(self, group: Sequence[Projection]) -> None:
        from .rebuild import build_first

        # A view that is stopped, or whose build another process has cancelled, goes on as usual.
        with suppress(ViewStopped, UnavailableError):
            build_first(self._log, self._store, group)

    def _show(self, seen: Mapping[str, Checkpoint]) -> None:
        """A newer version of a view that has caught up takes the stable names from the older one."""
        waiting = [p for p in self._store.projections if not seen[p.name].shown and p.name not in self._stops]
        if not waiting:
            return
        with self._store.database.write() as connection:
            held = self._store.checkpoints(connection, lock=True)
            for projection in waiting:
                if not held[projection.name].shown:
                    show(self._store, connection, projection)
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
            with suppress(Lost):  # another process took the page in; the checkpoints are read again
                self._take(group, cursor, page)

    def _take(self, group: Sequence[Projection], cursor: str, page: RawPage) -> None:
        stops = {}
        hands = deal(self._log, group, page.stored)
        with self._store.database.write() as connection:
            # From here on nobody moves them; who read the same page waits, and then finds that they have moved.
            held = self._store.checkpoints(connection, lock=True)
            for projection in group:
                old = held.get(projection.name)
                if old is None or old.cursor != cursor:
                    raise Lost
                rows = self._store.rows(connection, projection, old)
                stop = fold_page(projection, rows, hands[projection.name])
                reached, position = page.cursor, page.cursor.position
                if stop is not None:
                    stops[projection.name] = stop
                    rows = self._store.rows(connection, projection, old)
                    fold_page(projection, rows, [r for r in hands[projection.name] if r.position < stop.position])
                    position = stop.position - 1
                    reached = self._log.cursor(position)
                rows.flush()
                new = old._replace(
                    position=position, cursor=reached if position else "", digests=rows.digests, stopped=stop
                )
                self._store.move(connection, projection, old, new)
        for name, stop in stops.items():
            if name not in self._stops:
                logger.error("%s", view_stopped(name, stop))
        self._stops.update(stops)

    def _begin_again(self, group: Sequence[Projection], cursor: str, error: HistoryDiverged) -> None:
        """The log is another one than these views were folded from, or an older copy of it."""
        if self._own_place and Cursor(cursor).parts.log_id != self._log.head().log_id:
            # Two logs that share a database by mistake would throw away each other's views without end.
            raise HistoryDiverged(f"the views at {self._store.database.shown} are of another log: {error}") from error
        try:
            with self._store.database.write() as connection:
                held = self._store.checkpoints(connection, lock=True)
                for projection in group:
                    if held[projection.name].cursor == cursor:
                        self._store.empty(connection, projection, held[projection.name])
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


@contextmanager
def no_collector() -> Iterator[None]:
    """Without the collector of cycles for one page. A page is tens of thousands of tuples and no cycle; looking through
    them time and again takes a tenth of a rebuild."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def deal(log: EventLog, projections: Sequence[Projection], stored: Iterable[Stored]) -> dict[str, list[Taken]]:
    """What of a page concerns each view, in order; kinds nobody here knows among it.

    What no view takes in is not decoded: log lines and the chatter of steps are most of a log.
    """
    hands: dict[str, list[Taken]] = {projection.name: [] for projection in projections}
    routes: dict[str, tuple[int, list[list[Taken]]]] = {}
    decode, new = log.decode, tuple.__new__  # half the cost of Taken(...)
    runs: dict[str, str | None] = {}
    begun: set[str] = set()
    for shard, seq, position, record in stored:
        if seq == 1 and not is_system_shard(shard):
            begun.add(shard)
        if record is None:
            continue
        name, _, topics, body = record
        if name not in routes:
            routes[name] = log.version_of(name), [hands[p.name] for p in projections if name in p.types]
        version, wanting = routes[name]
        if not body or body[-1] > version:
            wanting = [hands[p.name] for p in projections if topics & p.topics or name in p.types]
        if not wanting:
            continue
        if position is None:
            raise CorruptLogError(f"an event of shard {shard} was read from the timeline without a position")
        if shard not in runs:
            runs[shard] = None if is_system_shard(shard) else shard
        taken = new(Taken, (shard, seq, position, decode(record), body, runs[shard], shard in begun))
        for hand in wanting:
            hand.append(taken)
    return hands


def fold_page(projection: Projection, rows: Rows, records: Sequence[Taken]) -> Stop | None:
    """Fold the records that concern a view. Where it cannot go on, if so: `rows` is void then."""
    rows.fetch(projection, (record for record in records if type(record.event.fact) is not Opaque))
    fold = projection.fold
    for record in records:
        fact = record.event.fact
        if type(fact) is Opaque:
            known = "a newer version of it" if fact.name in projection.types else "that kind"
            return Stop(record.position, fact.name, f"{UNKNOWN} {known} (version {fact.version})")
        rows.fresh = record.fresh
        try:
            fold(rows, record)
        except FoldlogError:
            raise  # the database, not the fold
        except Exception as error:
            if _is_of_database(error):
                raise
            logger.debug("view %s at position %s", projection.name, record.position, exc_info=True)
            return Stop(record.position, record.event.type, f"{type(error).__name__}: {error}")
    return None


def view_stopped(name: str, stop: Stop) -> ViewStopped:
    """The error that says where a view stands and what to do."""
    error = ViewStopped(f"view {name} stopped before position {stop.position}, a {stop.type}: {stop.reason}")
    if stop.reason.startswith(UNKNOWN):
        error.remedy = (
            "Upgrade foldlog here, or register the kind (`foldlog --import MODULE` does); "
            "the view then goes on by itself."
        )
    else:
        error.remedy = (
            f"Correct the fold of view {name}, then `foldlog retry --view {name}` goes on from there; "
            f"`foldlog rebuild --view {name}` folds anew what it had taken in before."
        )
    return error


def _covers(at: Checkpoint, head: Head) -> bool:
    """Whether a view stands at this very head."""
    if at.position != head.position:
        return False
    if head.position == 0:
        return True
    parts = Cursor(at.cursor).parts
    return parts.log_id == head.log_id and parts.chain == head.chain[:CHAIN_BYTES]


def _is_of_database(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in ("sqlalchemy", "sqlite3", "psycopg2")
