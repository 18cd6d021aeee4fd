"""SQLite files of views: how they are opened, which one a path names, and moving a grown WAL into its file.

Not here: pools and transactions (database.py).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

File: TypeAlias = tuple[int, int]  #: device and inode

BUSY_S: Final = 30.0  #: how long a statement waits for another process
WAL_LIMIT: Final = 4 * 1024 * 1024  #: bytes of a WAL that make it worth moving into the file


def file_at(path: Path) -> File | None:
    """Which file a path names; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def uri_of(path: Path, mode: str) -> str:
    """What SQLite opens. `mode`: rwc (made if need be), rw, ro, or immutable: nobody writes, a WAL is not read."""
    option = "immutable=1" if mode == "immutable" else f"mode={mode}"
    return f"file:{quote(str(path))}?{option}"


def connect_to(where: str, *, timeout: float = BUSY_S) -> sqlite3.Connection:
    """A connection without transactions of the driver's making."""
    return sqlite3.connect(
        where, uri=where.startswith("file:"), isolation_level=None, timeout=timeout, check_same_thread=False
    )


def open_for_writing(path: Path, *, scratch: bool = False, make: bool = True) -> sqlite3.Connection:
    """A connection that writes, to a file that is made if need be, unless `make` is False. `scratch`: it need not
    outlive a crash."""
    db = connect_to(uri_of(path, "rwc" if make else "rw"))
    if scratch:
        db.execute("PRAGMA journal_mode=OFF")
        db.execute("PRAGMA synchronous=OFF")
        return db
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode=WAL")
    # A power cut may take back the last commits, rows and checkpoint alike; they are folded once more then.
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    # A WAL that starts over is cut back. It would keep its size, and `tidy` would find it grown after every commit.
    db.execute(f"PRAGMA journal_size_limit={WAL_LIMIT // 2}")
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that never writes. A WAL file needs its -shm even to be read; where that cannot be made and there
    is no WAL, nobody can be writing, and the file may be read as it lies."""
    try:
        db = connect_to(uri_of(path, "ro"))
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        if not path.exists() or path.with_name(path.name + "-wal").exists():
            raise
        db = connect_to(uri_of(path, "immutable"))
    db.execute("PRAGMA query_only=1")
    return db


def has_grown(path: Path) -> bool:
    """Whether the WAL of a file is worth moving into it."""
    try:
        return path.with_name(path.name + "-wal").stat().st_size >= WAL_LIMIT
    except OSError:
        return False  # the next commit tries again


def tidy(path: Path, *, only: File | None) -> None:
    """Move the WAL of a file into it; only if it is that file still.

    While another connection holds the write lock: SQLite before 3.51.3 can corrupt a file when a commit starts the
    WAL over during a checkpoint (sqlite.org/wal.html, "WAL-reset bug"). So automatic checkpoints are off.
    """
    try:
        guard, mover = connect_to(uri_of(path, "rw"), timeout=0.0), connect_to(uri_of(path, "rw"))
    except sqlite3.Error:
        return  # the next commit tries again
    try:
        guard.execute("BEGIN IMMEDIATE")
        if file_at(path) == only:  # else the guard may be of another file
            mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        guard.execute("ROLLBACK")
    except sqlite3.Error:
        pass  # somebody is writing; as above
    finally:
        guard.close()
        mover.close()
