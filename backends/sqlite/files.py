"""The shard files this process has open: a bounded number, the least used closed first.

Too many open files is how a folder of run files fails; opening a file for each append is how it gets slow.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .connect import translated
from .home import FileKind
from .shardfile import ShardFile

OPEN_FILES = 128  #: each holds three descriptors: the file, its WAL and its shared memory


class FileCache:
    """Open shard files by path. `open_file` opens one; it raises FileNotFoundError if there is none."""

    def __init__(self, open_file: Callable[[FileKind], ShardFile], *, capacity: int = OPEN_FILES) -> None:
        self._open_file = open_file
        self._capacity = capacity
        self._lock = threading.Lock()
        self._files: OrderedDict[str, ShardFile] = OrderedDict()
        self._users: dict[str, int] = {}

    @contextmanager
    def use(self, kind: FileKind) -> Iterator[ShardFile]:
        """The file, locked for this thread and safe from being closed meanwhile; errors translated."""
        name = str(kind.path)
        with self._lock:
            self._users[name] = self._users.get(name, 0) + 1
        try:
            file = self._get(name, kind)
            with file.lock, translated(f"using {kind.path}"):
                yield file
        finally:
            with self._lock:
                self._users[name] -= 1
                if not self._users[name]:
                    del self._users[name]

    def forget(self, kind: FileKind) -> None:
        """Close the file if it is open: it is about to be removed, or was."""
        with self._lock:
            file = self._files.pop(str(kind.path), None)
        if file is not None:
            with file.lock:
                file.close()

    def close(self) -> None:
        with self._lock:
            files = list(self._files.values())
            self._files.clear()
        for file in files:
            with file.lock:
                file.close()

    def __len__(self) -> int:
        return len(self._files)

    def _get(self, name: str, kind: FileKind) -> ShardFile:
        with self._lock:
            if (file := self._files.get(name)) is not None:
                self._files.move_to_end(name)
                return file
            idle = [known for known in self._files if known not in self._users]
            surplus = idle[: max(0, len(self._files) + 1 - self._capacity)]
            closing = [self._files.pop(known) for known in surplus]
            file = self._files[name] = self._open_file(kind)
        for old in closing:
            _close(old)
        return file


def _close(file: ShardFile) -> None:
    # The last connection to close checkpoints the WAL; that this fails, as on a full disk, loses nothing: the WAL stays.
    try:
        file.close()
    except sqlite3.Error:
        return
