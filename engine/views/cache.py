"""The file of views on this machine, for a log that has no place of its own here: found, made, thrown away.

    $FOLDLOG_CACHE, else $XDG_CACHE_HOME/foldlog, else ~/.cache/foldlog
        <log id>-<hash of the log's URL>/<hash of the views' versions>/
            views.db    and its -wal and -shm
            lock        shared while the file is opened, alone while it is put or removed
            putting     alone while a snapshot is made (putting.py)
            newest      position of the newest snapshot known; only spares a look

Promises: any number of processes share the file; it is there as a whole or not at all; killed at any moment, the next
one goes on. A file that is damaged is thrown away, with a warning; so is what no release has written to for a month.
Not here: what is put there (kept_views.py), connections (database.py).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

from ..errors import UsageError
from .sqlite_file import File, file_at, open_for_writing

logger = logging.getLogger("foldlog.views")

VARIABLE: Final = "FOLDLOG_CACHE"
UNUSED_S: Final = 30 * 24 * 3600  #: how long the file of another release is left alone
WITHOUT_LOCKS: Final = (errno.ENOTSUP, errno.ENOSYS)  #: what file systems say that know no flock

Fill = Callable[[Path], bool]  #: makes a file of views at a path; False, and nothing is there, if it has none


def folder_of(log_id: UUID, url: str, views: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of one log and these views. The URL is part of the name, for two copies of a log have one id and may
    go on differently; and so are the versions of the views, for then another release begins with a snapshot of its own.

    Raises RuntimeError if it would be in a home that there is not.
    """
    return _root(environment) / f"{log_id.hex}-{blake2b(url.encode(), digest_size=4).hexdigest()}" / views


def _root(environment: Mapping[str, str]) -> Path:
    if given := environment.get(VARIABLE):
        return Path(given).expanduser().absolute()
    base = environment.get("XDG_CACHE_HOME", "")
    # A relative one is to be ignored, says the specification.
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "foldlog"


def passed(step: str) -> None:
    """Called between the steps that another process may see; tests kill here."""


class Cache:
    """The file of views of one log. Thread-safe."""

    def __init__(
        self, log_id: UUID, url: str, views: str, fill: Fill, *, check: Callable[[Path], None] = lambda folder: None
    ) -> None:
        """`check` raises UsageError for a folder that no SQLite file may be shared in. Raises OSError if not even a
        temporary folder can be made."""
        self._temporary: TemporaryDirectory[str] | None = None
        self._fill = fill
        try:
            self.folder = folder_of(log_id, url, views)
            self._make_folder()
            check(self.folder)
            _check_writable(self.folder)
        except (OSError, RuntimeError, UsageError) as error:
            self._temporary = TemporaryDirectory(prefix="foldlog-views-", ignore_cleanup_errors=True)
            self.folder = Path(self._temporary.name)
            logger.warning(
                "the views of %s are fetched or folded anew for this process alone (%s): "
                "set %s to a folder on a disk of this machine",
                url,
                error,
                VARIABLE,
            )
        self.path = self.folder / "views.db"

    @contextmanager
    def opening(self) -> Iterator[File]:
        """The file is there, made if need be, and is not replaced before the block ends: SQLite opens file and WAL one
        after the other, by name, and must not get them of two files."""
        while True:
            with self.locked(fcntl.LOCK_SH):
                if (file := file_at(self.path)) is not None:
                    yield file
                    return
            self._make()

    def damaged(self, file: File | None, problem: str) -> None:
        """Throw the file away, if it is still that one."""
        with self.locked(fcntl.LOCK_EX):
            if file is None or file_at(self.path) != file:
                return
            logger.warning("the views at %s are damaged, and are made anew: %s", self.path, problem)
            self._remove()

    def replace(self) -> None:
        """Put the newest views there are in the place of this file. Processes that have it open go over to them."""
        with self.locked(fcntl.LOCK_EX), self._filled() as (fresh, has_views):
            if has_views:
                self._remove()
                os.replace(fresh, self.path)

    def newest(self) -> int:
        """The position of the newest snapshot that a process of this machine knew of; 0 if none did."""
        with suppress(OSError, ValueError):
            return int((self.folder / "newest").read_text())
        return 0

    def remember(self, newest: int) -> None:
        """Note it down for the next process."""
        with suppress(OSError):  # it only spares a look
            (self.folder / "newest").write_text(str(newest))

    def close(self) -> None:
        """Remove what is temporary. Idempotent."""
        if self._temporary is not None:
            self._temporary.cleanup()

    @contextmanager
    def locked(self, how: int, name: str = "lock") -> Iterator[None]:
        """Hold a lock of this folder, shared or alone. Raises BlockingIOError with LOCK_NB if others have it."""
        number = self._lock_file(name)
        try:
            _flock(number, how)
            try:
                yield
            finally:
                _flock(number, fcntl.LOCK_UN)  # closing is not enough while a forked process has it open, too
        finally:
            os.close(number)

    def _lock_file(self, name: str) -> int:
        try:
            return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # somebody has emptied the caches meanwhile
            self._make_folder()
            return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _make(self) -> None:
        with self.locked(fcntl.LOCK_EX):
            if file_at(self.path) is not None:
                return  # another was faster
            self._remove()  # the WAL of a file that is gone would be taken for the new one's
            with self._filled() as (fresh, _):
                os.replace(fresh, self.path)
            passed("made")
        if self._temporary is None:
            _sweep(self.folder)

    @contextmanager
    def _filled(self) -> Iterator[tuple[Path, bool]]:
        """A file that is not in its place yet, and whether there are views in it."""
        for left in self.folder.glob(".fill-*"):  # by whom was killed: who is alive has the lock, which is ours now
            left.unlink(missing_ok=True)
        fresh = self.folder / f".fill-{secrets.token_hex(8)}"
        try:
            has_views = self._fill(fresh)
            # Now: it needs the file for itself, and fails where several open it at once.
            open_for_writing(fresh).close()
            passed("filled")
            yield fresh, has_views
        finally:
            fresh.unlink(missing_ok=True)

    def _remove(self) -> None:
        # The file first: without its WAL it may be torn, while a WAL without its file is thrown away.
        for name in ("views.db", "views.db-wal", "views.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
            passed(f"removed {name}")


def _sweep(mine: Path) -> None:
    """Drop the files of releases that are at work no more. One that is at work all the same finds out."""
    for folder in mine.parent.iterdir():
        with suppress(OSError):  # another process is at it, or it is no folder of ours
            newest = max((path.stat().st_mtime for path in folder.glob("views.db*")), default=time.time())
            if folder != mine and time.time() - newest > UNUSED_S:
                shutil.rmtree(folder)


def _check_writable(folder: Path) -> None:
    """Raise OSError for a folder of another user's, or one that a file system does not let write."""
    probe = folder / f".probe-{secrets.token_hex(8)}"
    probe.touch(exist_ok=False)
    probe.unlink(missing_ok=True)
    path = folder / "views.db"
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, "this process may not write to it", str(path))


def _flock(number: int, how: int) -> None:
    try:
        fcntl.flock(number, how)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
