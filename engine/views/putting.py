"""Put the views of this machine back beside the log, now and then, so that the next machine begins with them.

Promises: a snapshot is one moment of all views; it never delays an answer; a failure is logged and nothing more. At
most one process of a machine is at it. Killed at any moment, it leaves nothing that the next one does not clear away.
Not here: names of snapshots (kept_views.py), their bytes (snapshot_file.py).
"""

from __future__ import annotations

import fcntl
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from ..errors import ViewStopped
from ..log.cursor import accept
from ..log.log import EventLog
from .cache import Cache, passed
from .checkpoints import Checkpoint
from .database import Database
from .kept_views import KeptViews
from .sqlite_file import connect_to, uri_of
from .store import Store

logger = logging.getLogger("foldlog.views")

EVERY: Final = 20_000  #: events between two snapshots, at least; and a tenth of the log, if that is more
CLOSING_S: Final = 10.0  #: how long `close` waits
AGAIN_S: Final = 300.0  #: after a failure


def due_after(newest: int) -> int:
    """The position from which on another snapshot is worth it."""
    return max(newest + EVERY, newest * 10 // 9)


class Putter:
    """Puts snapshots of one cache back. Thread-safe."""

    def __init__(self, log: EventLog, store: Store, cache: Cache, kept: KeptViews) -> None:
        self._log = log
        self._store = store
        self._cache = cache
        self._kept = kept
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._newest: int | None = None  #: position of the newest snapshot, as far as is known
        self._afresh = False  #: what was put before has to go: it may hold what a rebuild has mended
        self._not_before = 0.0
        self._closed = False
        self._given_up = False  #: `close` waits no longer
        self._copying: sqlite3.Connection | None = None

    def caught_up(self, position: int) -> None:
        """Told after a catch-up: begins to put back, beside whatever goes on, if that is due."""
        if self._is_due(position):
            self._newest = self._cache.newest()  # another process of this machine may have put one
            if self._is_due(position) and time.monotonic() >= self._not_before:
                self._begin()

    def _is_due(self, position: int) -> bool:
        newest = self._newest
        # Before it, if an older copy of the log was put back.
        return self._afresh or newest is None or position < newest or position >= due_after(newest)

    def rebuilt(self) -> None:
        """Told after a rebuild."""
        self._afresh = True
        self._begin()

    def put_back(self, *, drop_older: bool) -> int:
        """Put a snapshot back now; its position. Raises ViewStopped if a view has taken in nothing, and whatever the
        store raises."""
        self._afresh = self._afresh or drop_older
        with self._cache.locked(fcntl.LOCK_EX, "putting"):
            return self._put()

    def close(self) -> None:
        """Let what is under way come to its end, for a while. Idempotent."""
        self._closed = True
        with self._lock:
            thread = self._thread
        if thread is None:
            return
        thread.join(CLOSING_S)
        self._given_up = True
        if thread.is_alive() and (copying := self._copying) is not None:
            with suppress(sqlite3.ProgrammingError):  # it is closed by now
                copying.interrupt()

    # -- in the background ------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        with self._lock:
            if self._closed or (self._thread is not None and self._thread.is_alive()):
                return
            # A daemon: a process that ends waits for it in `close`, and no longer.
            thread = threading.Thread(target=self._in_background, name="foldlog-put-back", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending: no reason to give no answer
                self._not_before = time.monotonic() + AGAIN_S
                logger.warning("the views of %s are not put back now: %s", self._log.backend.url, error)
            else:
                self._thread = thread

    def _in_background(self) -> None:
        try:
            with self._cache.locked(fcntl.LOCK_EX | fcntl.LOCK_NB, "putting"):
                newest = self._newest = self._kept.newest()
                self._cache.remember(newest)
                self._afresh = self._afresh and newest > 0
                if self._afresh or self._position() >= due_after(newest):
                    self._put(due=True)
        except BlockingIOError:
            self._not_before = time.monotonic() + AGAIN_S  # another process of this machine is at it
        except Exception as error:
            self._not_before = time.monotonic() + AGAIN_S
            if not self._given_up:
                logger.warning("the views of %s could not be put back: %s", self._log.backend.url, error)

    def _position(self) -> int:
        return max(at.position for at in self._store.checkpoints().values())

    # -- one snapshot -----------------------------------------------------------------------------------------------

    def _put(self, *, due: bool = False) -> int:
        """`due`: only if nobody else has put one meanwhile."""
        afresh = self._afresh
        with self._copied() as path:
            at = self._prepared(path)
            passed("copied")
            newest = self._kept.newest() if due and not afresh else 0
            if not due or afresh or at.position >= due_after(newest):
                stem = self._kept.put(path, at, given_up=lambda: due and self._given_up)
                if stem is None:
                    return newest
                passed("kept")
                self._kept.drop_old(but=stem, others=afresh)
                passed("dropped")
                newest = at.position
        if afresh:
            self._afresh = False
        self._newest = newest
        self._cache.remember(newest)
        return newest

    @contextmanager
    def _copied(self) -> Iterator[Path]:
        """A copy of the file of views, as of one moment."""
        for left in self._cache.folder.glob(".put-*"):  # by whom was killed: who is alive has the lock, which is ours
            left.unlink(missing_ok=True)
        path = self._cache.folder / f".put-{secrets.token_hex(8)}"
        try:
            with self._cache.opening() as file:
                db = connect_to(uri_of(self._cache.path, "rw"))
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # it opens the WAL, too
            with closing(db):
                self._copying = db
                try:
                    db.execute("VACUUM INTO ?", (str(path),))
                except sqlite3.DatabaseError as error:
                    if getattr(error, "sqlite_errorcode", -1) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                        self._cache.damaged(file, str(error))
                    raise
                finally:
                    self._copying = None
            yield path
        finally:
            path.unlink(missing_ok=True)

    def _prepared(self, path: Path) -> Checkpoint:
        """Take out of the copy what is not live; the checkpoint of the view that has got furthest."""
        projections = self._store.projections
        store = Store(Database.in_file(path, scratch=True), projections)
        try:
            with store.database.write(changing=True) as connection:
                held = store.checkpoints(connection)
                self._check({at.cursor for at in held.values()})
                for projection in projections:
                    store.generations.drop_beside(connection, projection)
        finally:
            store.close()
        with closing(connect_to(uri_of(path, "rw"))) as db:
            db.execute("PRAGMA journal_mode=OFF")
            if db.execute("PRAGMA freelist_count").fetchone()[0]:
                db.execute("VACUUM")
        return max(held.values(), key=lambda at: at.position)

    def _check(self, cursors: Iterable[str]) -> None:
        """Raise HistoryDiverged or ViewStopped unless all views are of this log."""
        head = self._log.backend.head()
        for cursor in cursors:
            if not cursor:
                raise ViewStopped("a view has taken in nothing yet")
            accept(self._log.backend, cursor, head)
