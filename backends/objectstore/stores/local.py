"""Objects as files below a folder: one machine, or a shared file system that has hard links.

Promises: what the port says. An object is written without a name, synced, and then linked to its name: two links to one
name cannot both succeed, and no reader sees a part of it. `durability=process` leaves out the syncs: a crash of the
machine may take the last objects, and may leave one with other bytes than were written. Deletions are not synced either
way: a crash of the machine may bring the last ones back.

A name with `#` in it is none of an object: a file on its way, or what a crash left of one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence

from ...sql.forked import begin_anew_in_children
from .address import Durability
from .files_failing import GONE, translated
from .folders import Folder, Folders
from .names import check_name, check_object, check_prefix, is_part
from .port import Found

ABANDONED_S = 24 * 3600  #: a file on its way for longer was left by a crash
TRIES = 100  #: at a folder that is removed each time it was made
#: where the file system or the kernel has no nameless files, or /proc does not lead to them
NO_NAMELESS = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.EXDEV)


class LocalObjects:
    """Files below `folder`, which is there already."""

    def __init__(self, folder: str, *, url: str, durability: Durability = "full") -> None:
        self.url = url
        self._folder = folder
        self._synced = durability == "full"
        self._folders = Folders(folder, synced=self._synced)
        self._nameless = hasattr(os, "O_TMPFILE") and os.path.isdir("/proc/self/fd")
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        self._folders.begin_anew()

    def create(self, name: str, data: bytes) -> bool:
        check_object(name, data)
        with translated("create", self.url, name):
            return self._in_folder(name, lambda folder, last: self._create(folder, last, data))

    def put(self, name: str, data: bytes) -> None:
        check_object(name, data)
        with translated("write", self.url, name):
            self._in_folder(name, lambda folder, last: self._replace(folder, last, data))

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        check_name(name)
        with translated("read", self.url, name):
            try:
                fd = os.open(f"{self._folder}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            except GONE:
                return None
            try:
                size = os.fstat(fd).st_size
                return _read(fd, start, size if end is None else min(end, size))
            except IsADirectoryError:
                return None
            finally:
                os.close(fd)

    def list(self, prefix: str) -> list[Found]:
        check_prefix(prefix)
        with translated("list", self.url, prefix):
            return sorted(self._below(prefix))

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(name)
        for name in names:
            with translated("delete", self.url, name):
                with contextlib.suppress(*GONE):
                    os.unlink(f"{self._folder}/{name}")
                    self._prune(name.rpartition("/")[0])

    def close(self) -> None:
        self._folders.close()

    def _in_folder(self, name: str, deed: Callable[[Folder, str], bool]) -> bool:
        """Do something in the folder of a name; again, if a delete that emptied the folder took it away meanwhile."""
        path, _, last = name.rpartition("/")
        for _ in range(TRIES):
            folder = None
            try:
                folder = self._folders.get(path)
                return deed(folder, last)
            except OSError as error:
                if folder is None:  # a folder above it was removed between two steps, or there is none at all
                    if not isinstance(error, FileNotFoundError) or not os.path.isdir(self._folder):
                        raise
                elif isinstance(error, FileNotFoundError) or folder.is_removed:
                    self._folders.forget(path, folder)
                else:
                    raise
        raise TimeoutError(f"its folder was removed {TRIES} times while a file was made in it")

    def _create(self, folder: Folder, last: str, data: bytes) -> bool:
        try:
            if self._nameless:
                self._link_nameless(folder, last, data)
            else:
                with self._temporary(folder, data) as temporary:
                    os.link(temporary, last, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        except FileExistsError:
            made = False
        else:
            made = True
        if self._synced:  # also a name that was there: it may be this caller's own, whose sync failed
            os.fsync(folder.fd)
        return made

    def _link_nameless(self, folder: Folder, last: str, data: bytes) -> None:
        """A fifth faster than by a temporary name, and a crash leaves nothing."""
        try:
            fd = os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder.fd)
            try:
                self._fill(fd, data)
                # src_dir_fd is of no use to an absolute path, but has Python call linkat, which can follow this link
                os.link(f"/proc/self/fd/{fd}", last, src_dir_fd=folder.fd, dst_dir_fd=folder.fd, follow_symlinks=True)
            finally:
                os.close(fd)
        except OSError as error:
            if error.errno in NO_NAMELESS and not folder.is_removed:
                self._nameless = False
                raise FileNotFoundError(errno.ENOENT, "no nameless files here; once more with a name") from None
            raise

    def _replace(self, folder: Folder, last: str, data: bytes) -> bool:
        with self._temporary(folder, data) as temporary:
            os.rename(temporary, last, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        if self._synced:
            os.fsync(folder.fd)
        return True

    @contextlib.contextmanager
    def _temporary(self, folder: Folder, data: bytes) -> Iterator[str]:
        """A whole file under a name that no listing shows, gone in the end."""
        name = f"#{os.getpid()}-{secrets.token_hex(8)}"
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder.fd)
        try:
            try:
                self._fill(fd, data)
            finally:
                os.close(fd)
            yield name
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder.fd)

    def _fill(self, fd: int, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            view = view[os.write(fd, view) :]
        if self._synced:
            os.fsync(fd)

    def _below(self, prefix: str) -> Iterator[Found]:
        try:
            entries = os.scandir(f"{self._folder}/{prefix}")
        except GONE:
            return
        with entries:
            for entry in entries:
                if not is_part(entry.name):
                    _collect(entry)
                elif entry.is_dir(follow_symlinks=False):
                    yield from self._below(f"{prefix}{entry.name}/")
                else:
                    with contextlib.suppress(FileNotFoundError):  # deleted while listed
                        stat = entry.stat()
                        yield Found(f"{prefix}{entry.name}", stat.st_size, stat.st_mtime_ns // 1000)

    def _prune(self, path: str) -> None:
        """Remove folders that are empty now; who is about to make a name in one makes it anew."""
        while path:
            try:
                os.rmdir(f"{self._folder}/{path}")
            except OSError:  # not empty, or gone, or a place where others make the folders
                return
            path = path.rpartition("/")[0]


def _read(fd: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:
        part = os.pread(fd, end - start, start)
        if not part:
            break
        parts.append(part)
        start += len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _collect(entry: os.DirEntry[str]) -> None:
    """Remove what a crash left of a file on its way. A writer that was only slow finds it gone, and writes again."""
    if entry.name.startswith("#"):
        with contextlib.suppress(OSError):  # gone, or not ours to remove: it does no harm
            if entry.stat().st_mtime < time.time() - ABANDONED_S:
                os.unlink(entry.path)
