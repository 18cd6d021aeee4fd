"""Copies of SQLite files that are in use, and the folder they go to: there as a whole, or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from glob import escape
from pathlib import Path

from ...engine.errors import FoldlogError, ReadOnlyError, UnavailableError, UsageError
from .at_rest import connect_for_reading, steady
from .connect import connect, translated
from .schema import sync_folder

PAGES = 2000  #: copied between two calls of `progress`
TAKEN = "Name a folder that is not there yet, or an empty one."
NO_ROOM = "Make room, or name a folder on another disk; nothing was left there."


def copy_file(
    source: Path, target: Path, *, read_only: bool, progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Copy one file as it stands at one moment; writers go on. Durable on return but for its name.

    Raises FileNotFoundError if it is not there (any more).
    """
    if not source.exists():
        raise FileNotFoundError(source)
    target.unlink(missing_ok=True)
    try:
        _copy(source, target, read_only, progress)
    except FoldlogError as error:
        if not source.exists():
            raise FileNotFoundError(source) from error
        raise


def _copy(source: Path, target: Path, read_only: bool, progress: Callable[[int, int], None]) -> None:
    with translated(f"copying {source} to {target}"):
        with closing(connect_for_reading(source) if read_only else connect(source)) as db, steady(db):
            # In a transaction of its own the source is one snapshot: else each commit of others would start the copy
            # over, and a busy file would never be done.
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
            with closing(sqlite3.connect(target, isolation_level=None)) as copy:
                copy.execute("PRAGMA synchronous=OFF")  # synced below, at once
                copy.execute("PRAGMA journal_mode=OFF")
                db.backup(copy, pages=PAGES, progress=lambda status, left, total: progress(total - left, total))
            db.execute("ROLLBACK")


def sync_tree(folder: Path) -> int:
    """Make a folder durable with all in it; its bytes."""
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with translated(f"syncing {path}"):
                handle = os.open(os.path.join(path, name), os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(handle)
                    size += os.fstat(handle).st_size
                finally:
                    os.close(handle)
        sync_folder(Path(path))
    return size


def room_for(home: Path, folder: Path) -> None:
    """Raise UsageError if a copy may not be put there, UnavailableError if it would not fit."""
    if folder.exists() and not folder.is_dir():
        raise _refused(f"{folder} is a file")
    if folder.exists() and any(folder.iterdir()):
        raise _refused(f"{folder} is not empty")
    real, target = home.resolve(), folder.resolve()
    if target.is_relative_to(real) or real.is_relative_to(target):
        raise _refused(f"{folder} and {home}, which is to be copied, lie within one another")
    needed = sum(_size(path) for pattern in ("*.db*", "runs/??/*.db*") for path in home.glob(pattern))
    above = next(one for one in folder.parents if one.exists())
    if (free := shutil.disk_usage(above).free) < needed:
        error = UnavailableError(f"{above} has {free:,} bytes left, a copy of {home} needs about {needed:,}")
        error.remedy = NO_ROOM
        raise error


def _refused(text: str) -> UsageError:
    error = UsageError(text)
    error.remedy = TAKEN
    return error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


@contextmanager
def new_folder(home: Path, folder: Path) -> Iterator[Path]:
    """A folder under another name beside `folder`, which takes its name at the end; on an error it is removed."""
    above = folder.parent
    try:
        with translated(f"making {folder}"):
            above.mkdir(parents=True, exist_ok=True)
            _clear(folder)
            place = above / f".{folder.name}.{secrets.token_hex(6)}.tmp"
            place.mkdir()
            shutil.copymode(home, place)
        handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # by this, who comes later tells it from one that was left behind
            yield place
            with translated(f"naming {folder}"):
                os.rename(place, folder)  # takes the place of an empty folder, and of nothing else
                sync_folder(above)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise _refused(f"{folder}: {error.strerror}") from error
        raise
    except UnavailableError as error:
        if _is_full(error):
            error.remedy = NO_ROOM
        raise
    except ReadOnlyError as error:
        error.remedy = "Name a folder where this user may write, or give it the right to."
        raise


def _is_full(error: FoldlogError) -> bool:
    cause = error.__cause__
    if isinstance(cause, OSError):
        return cause.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(cause, sqlite3.Error) and getattr(cause, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _clear(folder: Path) -> None:
    """Remove what copies to this folder have left that were killed."""
    for left in folder.parent.glob(f".{escape(folder.name)}.*.tmp"):
        try:
            handle = os.open(left, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left)
        except BlockingIOError:
            pass  # somebody is at work there
        finally:
            os.close(handle)
