"""Connections to SQLite files: how they are opened, what their errors mean, and how a WAL is checkpointed.

Not here: tables (schema.py), what is asked of them (shardfile.py, order.py).
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from ...engine.errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError

BUSY_S = 30.0  #: how long a statement waits for a lock of another process
WAL_LIMIT = 4 * 1024 * 1024  #: a WAL is checkpointed when about this many bytes were written
# Cut back to this when it starts over. Well above the usual size: a commit that overwrites a WAL costs half of one that
# makes the file longer, so what a WAL has grown to is kept.
WAL_KEPT = 4 * WAL_LIMIT
PAGES_AT_ONCE = 1000  #: given back by one transaction

Mode = Literal["rw", "ro", "immutable"]

REMEDY: dict[int, type[FoldlogError]] = {
    sqlite3.SQLITE_BUSY: UnavailableError,
    sqlite3.SQLITE_LOCKED: UnavailableError,
    sqlite3.SQLITE_FULL: UnavailableError,
    sqlite3.SQLITE_IOERR: UnavailableError,
    sqlite3.SQLITE_CANTOPEN: UnavailableError,
    sqlite3.SQLITE_NOMEM: UnavailableError,
    sqlite3.SQLITE_PROTOCOL: UnavailableError,
    sqlite3.SQLITE_CORRUPT: CorruptLogError,
    sqlite3.SQLITE_NOTADB: CorruptLogError,
    sqlite3.SQLITE_READONLY: ReadOnlyError,
    sqlite3.SQLITE_PERM: ReadOnlyError,
}


REMEDY_OF_SYSTEM: dict[int, type[FoldlogError]] = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO), UnavailableError),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY, errno.EAGAIN), UnavailableError),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), ReadOnlyError),
}


FAILURES = (sqlite3.Error, OSError, UnicodeDecodeError)  #: what `remedy_for` knows


def remedy_for(error: Exception, deed: str) -> FoldlogError | None:
    """The foldlog error that an error of SQLite or of the system stands for, by its code; None for what must look like
    a bug of ours."""
    if isinstance(error, OSError):
        kind = REMEDY_OF_SYSTEM.get(error.errno or 0)
        return kind(f"{deed}: {error}") if kind else None
    code = getattr(error, "sqlite_errorcode", None)
    if isinstance(error, UnicodeDecodeError) or (code is None and isinstance(error, sqlite3.OperationalError)):
        return CorruptLogError(f"{deed}: {error}")  # Python's own: what is stored as text is none
    if code is None:
        return None
    kind = REMEDY.get(code & 0xFF)
    # A damaged schema or a table that is not there shows as a plain SQLITE_ERROR; a statement of ours is never wrong.
    if kind is None and code == sqlite3.SQLITE_ERROR and str(error).startswith(("no such", "unsupported file format")):
        kind = CorruptLogError
    return kind(f"{deed}: {error}") if kind else None


@contextmanager
def translated(deed: str) -> Iterator[None]:
    """Errors of SQLite and of the system as foldlog errors; the unforeseen passes unchanged."""
    try:
        yield
    except FAILURES as error:
        if (known := remedy_for(error, deed)) is None:
            raise
        raise known from error


def connect(
    path: Path,
    *,
    mode: Mode = "rw",
    synchronous: str = "FULL",
    factory: type[sqlite3.Connection] = sqlite3.Connection,
) -> sqlite3.Connection:
    """A connection in autocommit mode to a file that exists. `immutable` is for a file nobody can be writing."""
    options = "immutable=1" if mode == "immutable" else f"mode={mode}"
    with translated(f"opening {path}"):
        db = sqlite3.connect(
            f"file:{quote(str(path))}?{options}",
            uri=True,
            isolation_level=None,  # our own BEGINs: a deferred one that reads, then writes, fails at once
            timeout=BUSY_S,
            check_same_thread=False,  # every use is under the file's lock
            cached_statements=64,
            factory=factory,
        )
        try:
            if mode == "rw":
                db.execute(f"PRAGMA synchronous={synchronous}")
                # Checkpoints are ours, made while no commit can happen (see `checkpoint`).
                db.execute("PRAGMA wal_autocheckpoint=0")
                db.execute(f"PRAGMA journal_size_limit={WAL_KEPT}")
            else:
                db.execute("PRAGMA query_only=1")
                db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # the file is first touched here
        except BaseException:
            db.close()
            raise
    return db


def checkpoint(path: Path, db: sqlite3.Connection) -> None:
    """Move what the WAL holds into the file, without waiting for readers. If that cannot be done now, as on a full
    disk, it is left for later: the WAL holds what was committed, and nobody must take his commit for failed.

    Another connection holds the write lock meanwhile. SQLite before 3.51.3 can corrupt a file when a commit starts the
    WAL over during a checkpoint in another connection (sqlite.org/wal.html, "WAL-reset bug"); this way no commit can.
    """
    try:
        with closing(
            sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None, timeout=1.0)
        ) as guard:
            guard.execute("BEGIN IMMEDIATE")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            guard.execute("ROLLBACK")
    except sqlite3.Error as error:
        if not isinstance(remedy_for(error, ""), UnavailableError):
            raise
        # As busy: a writer is at work; the next one that fills the WAL tries again.


def empty_log(db: sqlite3.Connection) -> None:
    """Move the WAL into the file and cut it to nothing, so that what was deleted is in neither; without effect on a
    file in rollback-journal mode. Holds the write lock meanwhile, so no commit can start the WAL over."""
    # Not for long: writers wait while this waits for a reader. What is left in the WAL goes as that starts over.
    db.execute("PRAGMA busy_timeout=1000")
    try:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        db.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")


def give_back(db: sqlite3.Connection) -> None:
    """Give free pages back to the system, so that the file gets shorter; its inode stays. Some pages at a time where
    the file allows it, for writers wait meanwhile."""
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    (step_by_step,) = db.execute("PRAGMA auto_vacuum").fetchone()
    if free and not step_by_step:
        db.execute("VACUUM")
    while step_by_step and free:
        db.execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})").fetchall()
        before, (free,) = free, db.execute("PRAGMA freelist_count").fetchone()
        if free >= before:
            break
    empty_log(db)


def sync_log(path: Path) -> None:
    """Make durable what was committed to a file with less than `durability=full`: its WAL, and the WAL's name."""
    for target in (path.with_name(path.name + "-wal"), path.parent):
        with suppress(FileNotFoundError):  # no WAL: a checkpoint has moved it into the file, and synced that
            handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """BEGIN IMMEDIATE to COMMIT, or to ROLLBACK on any error. A deferred BEGIN that reads first and then writes fails
    at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
