"""The shard files this process has open: a bounded number, the least used closed first.

Too many open files is how a folder of run files fails; opening a file for each append is how it gets slow.
"""

from __future__ import annotations

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ...engine.errors import UsageError
from .at_rest import AtRest, steady
from .connect import translated
from .home import FileKind
from .shardfile import ShardFile

OPEN_FILES = 128  #: each holds three descriptors: the file, its WAL and its shared memory


class FileCache:
    """Open shard files by path. `open_file` opens one; it raises FileNotFoundError if there is none.

    A file may be closed under whoever holds a reference to it; who has its lock and sees `closed` false may use it.
    """

    def __init__(self, open_file: Callable[[FileKind], ShardFile], *, capacity: int = OPEN_FILES) -> None:
        self._open_file = open_file
        self._capacity = capacity
        self._lock = threading.Lock()
        self._files: OrderedDict[str, ShardFile] = OrderedDict()
        self._closed = False

    @contextmanager
    def use(self, kind: FileKind) -> Iterator[ShardFile]:
        """The file, locked for this thread; errors translated."""
        while True:
            file = self.get(kind)
            with file.lock, translated(f"using {kind.path}"), steady(file.db):
                if not file.closed:
                    yield file
                    return

    def get(self, kind: FileKind) -> ShardFile:
        """The file, not locked."""
        name = str(kind.path)
        with self._lock:
            if self._closed:
                raise UsageError(f"{kind.path}: the log is closed, or was opened before this process was forked")
            file = self._files.get(name)
            if file is None or file.closed or (isinstance(file.db, AtRest) and file.db.moved()):
                file = self._files[name] = self._open_file(kind)
            file.used = True
            surplus = self._surplus(name)
        for old in surplus:
            _close(old)
        return file

    def forget(self, kind: FileKind) -> None:
        """Close the file if it is open: it is about to be removed, or was."""
        with self._lock:
            file = self._files.pop(str(kind.path), None)
        if file is not None:
            _close(file)

    def give_up(self) -> None:
        """Let nobody use the files, without touching them: they are another process's."""
        self._closed = True
        for file in self._files.values():
            file.closed = True

    def close(self) -> None:
        with self._lock:
            self._closed = True
            files = list(self._files.values())
            self._files.clear()
        for file in files:
            _close(file)

    def __len__(self) -> int:
        return len(self._files)

    def _surplus(self, newest: str) -> list[ShardFile]:
        """Files to close: the oldest first, but each that was used since it was last passed over gets another turn.

        Appends mark a file as used without coming by here, which a plain list of the least recently used would need.
        """
        closing = []
        for _ in range(2 * len(self._files)):
            if len(self._files) <= self._capacity:
                break
            name, file = next(iter(self._files.items()))
            if name == newest or file.used:
                file.used = False
                self._files.move_to_end(name)
            else:
                closing.append(self._files.pop(name))
        return closing


def _close(file: ShardFile) -> None:
    # The last connection to close checkpoints the WAL. If that fails, as on a full disk, nothing is lost: it stays.
    with file.lock:
        try:
            file.close()
        except sqlite3.Error:
            return
