"""Copies of files on this machine, removed together: when they are not wanted any more, or the process ends."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any
from uuid import uuid4


class LocalCopies:
    """A temporary folder, made for the first copy. Thread-safe. Pickled, it is one without copies."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._remove: weakref.finalize[Any, Any] | None = None
        self._folder = Path()
        self._maker = 0  #: id of the process that made the folder

    def new_path(self, ending: str) -> Path:
        """A path for a copy: no file is there yet."""
        with self._lock:
            # A forked process has a folder of its own: that of its parent is not its to remove.
            if self._remove is None or self._maker != os.getpid():
                self._folder, self._maker = Path(tempfile.mkdtemp(prefix="foldlog-files-")), os.getpid()
                self._remove = weakref.finalize(self, _remove, str(self._folder), self._maker)
            return self._folder / f"{uuid4().hex}{ending}"

    def clear(self) -> None:
        """Remove all of them. Idempotent."""
        with self._lock:
            remove, self._remove = self._remove, None
        if remove is not None:
            remove()

    def __reduce__(self) -> tuple[type[LocalCopies], tuple[()]]:
        return LocalCopies, ()


def _remove(folder: str, maker: int) -> None:
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)
