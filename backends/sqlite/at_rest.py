"""Reading files that lie still, in a folder where this process may create nothing.

SQLite needs a -shm file beside a database in WAL mode even to read it. Where none is and none can be made, nobody has
the file open (who has, has made one), so it may be read as it lies; with what a killed process left in the WAL, as a
copy. That holds until somebody opens it: so each use asks before and after whether the files are as they were.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from ...engine.errors import CorruptLogError, ReadOnlyError, UnavailableError
from .connect import connect

State = tuple[tuple[int, int, int] | None, ...]

_ANY_USE = nullcontext()  # of a connection that sees what others write; one for all, for a read makes several uses


class AtRest(sqlite3.Connection):
    """A connection to a file that lay still when it was opened, or to a copy of it."""

    path: Path
    state: State
    copy: tempfile.TemporaryDirectory[str] | None = None

    def moved(self) -> bool:
        """Whether the file may be another one now, or somebody has it open."""
        return _state(self.path) != self.state

    def close(self) -> None:
        super().close()
        if self.copy is not None:
            self.copy.cleanup()


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """A connection that never writes, also in a folder where nothing can be created."""
    try:
        return connect(path, mode="ro")
    except (UnavailableError, ReadOnlyError):
        state = _state(path)
        if state[0] is None or state[2] is not None:  # not there, or open somewhere
            raise
    db = _copied(path) if state[1] else connect(path, mode="immutable", factory=AtRest)
    assert isinstance(db, AtRest)
    db.path, db.state = path, state
    if db.moved():
        db.close()
        raise UnavailableError(f"{path} was opened by another process in this moment")
    return db


def steady(db: sqlite3.Connection) -> AbstractContextManager[None]:
    """A use of a connection; what was read counts only if the file lay still meanwhile.

    Raises UnavailableError if it did not: the next use finds it open elsewhere, and reads it as usual.
    """
    return _steady(db) if isinstance(db, AtRest) else _ANY_USE


@contextmanager
def _steady(db: AtRest) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, CorruptLogError) as error:
        if db.moved():
            raise UnavailableError(f"{db.path} was written while it was read: read again") from error
        raise
    if db.moved():
        raise UnavailableError(f"{db.path} was written while it was read: read again")


def _state(path: Path) -> State:
    """What would change if somebody opened or wrote the file: it, its WAL, its shared memory."""
    return tuple(_stat(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-shm"))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _copied(path: Path) -> AtRest:
    """A file and its WAL, copied to where the WAL can be read. Opened raw, which is safe: nobody has locks on them."""
    folder = tempfile.TemporaryDirectory(prefix="foldlog-")
    try:
        copy = Path(folder.name) / path.name
        for suffix in ("", "-wal"):
            shutil.copyfile(path.with_name(path.name + suffix), copy.with_name(copy.name + suffix))
        db: Any = connect(copy, factory=AtRest)
        db.execute("PRAGMA query_only=1")
    except BaseException:
        folder.cleanup()
        raise
    db.copy = folder
    assert isinstance(db, AtRest)
    return db
