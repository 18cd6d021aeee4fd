"""File descriptors 1 and 2 of this process, sent into files for a while.

They belong to the process, not to a thread: captures form a stack, and the latest that is still open takes all. One
may end before another that began later (two threads); what is left of the stack stays in force.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

STREAMS = (1, 2)

_lock = threading.RLock()
_open: list[tuple[int, int]] = []  #: descriptors of the files of each capture, the latest last
_before: list[int] = []  #: copies of 1 and 2 as they were before the first


@contextmanager
def redirected(out_path: str, err_path: str) -> Iterator[None]:
    """Append what is written to 1 and 2 to these files while inside. They are made if they are not there."""
    with _lock:
        for stream in STREAMS:
            _fill(stream)
        files = _files(out_path, err_path)
        _flush()
        if not _open:
            _before[:] = [os.dup(stream) for stream in STREAMS]
        _open.append(files)
        _point_at(files)
    try:
        yield
    finally:
        with _lock:
            _flush()
            _open.remove(files)
            if _open:
                _point_at(_open[-1])
            else:
                _point_at((_before[0], _before[1]))
                for descriptor in _before:
                    os.close(descriptor)
                _before.clear()
            for descriptor in files:
                os.close(descriptor)


def _files(out_path: str, err_path: str) -> tuple[int, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    out = os.open(out_path, flags, 0o666)
    try:
        return out, os.open(err_path, flags, 0o666)
    except OSError:
        os.close(out)
        raise


def _fill(stream: int) -> None:
    """Open a stream that is closed, as a daemon's may be: else the next file to be opened is given its number."""
    try:
        os.fstat(stream)
    except OSError:
        opened = os.open(os.devnull, os.O_WRONLY)
        if opened != stream:
            os.dup2(opened, stream)
            os.close(opened)


def _point_at(files: tuple[int, int]) -> None:
    for stream, file in zip(STREAMS, files, strict=True):
        os.dup2(file, stream)


def _flush() -> None:
    """What is still in a buffer was printed on this side of the switch."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(ValueError, OSError):  # closed, or its reader is gone: nothing of it can be kept
                stream.flush()
    ctypes.CDLL(None).fflush(None)  # libraries in C have buffers of their own, long when they write to a file
