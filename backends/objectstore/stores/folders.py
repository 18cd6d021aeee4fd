"""Folders of the local store, kept open: that a name in one survives a crash costs no look at the folders above it.

Promises: a folder that `Folders` gives lies on disk with all above it. One that was removed meanwhile takes no new
name, even if another of the same name was made: its descriptor is of the removed one.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict

KEPT = 128  #: open folders; a process has 1024 descriptors where nobody allowed more


class Folder:
    """An open folder. It is closed with the last reference, so no thread closes what another one uses."""

    def __init__(self, path: str) -> None:
        self.fd = -1
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def is_removed(self) -> bool:
        """Whether it has no name any more; one of the same name may have been made since."""
        return os.fstat(self.fd).st_nlink == 0

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Folders:
    """The folders below `base`, made when they are first needed."""

    def __init__(self, base: str, *, synced: bool) -> None:
        self._base, self._synced = base, synced
        self._open: OrderedDict[str, Folder] = OrderedDict()
        self._lock = threading.Lock()

    def begin_anew(self) -> None:
        """In a forked child: its descriptors are its own, the lock may be held by a thread that it has not got."""
        self._lock = threading.Lock()

    def get(self, path: str) -> Folder:
        """The folder at a path below the base ("" is the base), made if need be."""
        with self._lock:
            if (folder := self._open.get(path)) is not None:
                self._open.move_to_end(path)
                return folder
        folder = self._made(path)
        with self._lock:
            self._open[path] = folder
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
        return folder

    def forget(self, path: str, folder: Folder) -> None:
        """It was removed: the next `get` makes it anew."""
        with self._lock:
            if self._open.get(path) is folder:
                del self._open[path]

    def close(self) -> None:
        with self._lock:
            self._open.clear()

    def _made(self, path: str) -> Folder:
        """Each folder on the way is synced in the one above it, also if another process made it, which may not have
        come to that yet."""
        above, at = self._base, self._base
        for part in path.split("/") if path else ():
            at = f"{at}/{part}"
            with contextlib.suppress(FileExistsError):
                os.mkdir(at)
            if self._synced:
                sync_folder(above)
            above = at
        return Folder(at)


def sync_folder(path: str) -> None:
    """Have the names in a folder on disk."""
    folder = Folder(path)  # held, for it closes with the last reference
    os.fsync(folder.fd)


def make_base(path: str, *, synced: bool) -> None:
    """Make a folder and those above it that are missing, durably."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder)
        if synced:
            sync_folder(os.path.dirname(folder))
