"""The file of views on this machine, for a log that has no place of its own here: found, made, thrown away.

    $FOLDLOG_CACHE, else $XDG_CACHE_HOME/foldlog, else ~/.cache/foldlog
        <log id>-<hash of the log's URL>/views.db    and its -wal and -shm
                                         lock        shared while the file is opened, alone while it is put or removed
                                         newest      position of the newest snapshot known; only spares a look

Promises: any number of processes share the file; it is there as a whole or not at all; killed at any moment, the next
one goes on. A file that is damaged is thrown away, with a warning.
Not here: what is put there (kept_views.py), connections (database.py).
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

from ..errors import UsageError
from .sqlite_file import File, file_at

logger = logging.getLogger("foldlog.views")

VARIABLE: Final = "FOLDLOG_CACHE"
WITHOUT_LOCKS: Final = (errno.ENOTSUP, errno.ENOSYS)  #: what file systems say that know no flock

Fill = Callable[[Path], bool]  #: makes the file at a path that is free; False, and nothing is there, if it has none


def folder_of(log_id: UUID, url: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of one log. Its URL is part of the name: two copies of a log have one id and may go on differently."""
    return _root(environment) / f"{log_id.hex}-{blake2b(url.encode(), digest_size=4).hexdigest()}"


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

    def __init__(self, folder: Path, fill: Fill, *, check: Callable[[Path], None] = lambda folder: None) -> None:
        """`check` raises UsageError for a folder that no SQLite file may be shared in."""
        self._temporary: TemporaryDirectory[str] | None = None
        self._fill = fill
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            check(folder)
            _check_writable(folder)
        except (OSError, RuntimeError, UsageError) as error:  # RuntimeError: there is no home
            self._temporary = TemporaryDirectory(prefix="foldlog-views-", ignore_cleanup_errors=True)
            self.folder = Path(self._temporary.name)
            logger.warning(
                "no views can be kept in %s (%s), so they are fetched or folded anew for this process alone: "
                "set %s to a folder on a disk of this machine",
                folder,
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
        """Put a newer file in the place of this one, if there is one. Processes that have it open go over to it."""
        with self.locked(fcntl.LOCK_EX), self._filled() as fresh:
            if fresh is not None:
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
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            return os.open(self.folder / name, os.O_RDWR | os.O_CREAT, 0o666)

    def _make(self) -> None:
        with self.locked(fcntl.LOCK_EX):
            if file_at(self.path) is not None:
                return  # another was faster
            self._remove()  # the WAL of a file that is gone would be taken for the new one's
            with self._filled() as fresh:
                if fresh is None:
                    self.path.touch()  # an empty database
                else:
                    os.replace(fresh, self.path)
            passed("made")

    @contextmanager
    def _filled(self) -> Iterator[Path | None]:
        """A file with views, not in its place yet."""
        for left in self.folder.glob(".fill-*"):  # by whom was killed: who is alive has the lock, which is ours now
            left.unlink(missing_ok=True)
        fresh = self.folder / f".fill-{secrets.token_hex(8)}"
        try:
            filled = self._fill(fresh)
            passed("filled")
            yield fresh if filled else None
        finally:
            fresh.unlink(missing_ok=True)

    def _remove(self) -> None:
        # The file first: without its WAL it may be torn, while a WAL without its file is thrown away.
        for name in ("views.db", "views.db-wal", "views.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
            passed(f"removed {name}")


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
