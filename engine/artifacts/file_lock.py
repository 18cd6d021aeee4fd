"""A lock that a file stands for, which is there only while somebody has the lock or waits for it.

Promises: one at a time is inside, of all threads and processes; who dies leaves the lock, and the file, which the next
one takes over. Not here: fairness, limits of time. A file system that knows no flock locks nothing.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WITHOUT_LOCKS = (errno.ENOTSUP, errno.ENOSYS)  #: what file systems say that know no flock


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Wait until nobody else is inside. The folder is there. Raises OSError for a file that cannot be made."""
    number = _locked(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # before the lock goes: who waits for it, sees that
        _flock(number, fcntl.LOCK_UN)  # closing is not enough while a forked process has it open, too
        os.close(number)


def _locked(path: Path) -> int:
    """The number of the open file, with the lock."""
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)  # to write: NFS locks no other
        try:
            _flock(number, fcntl.LOCK_EX)
            if _is_file(number, path):
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)  # who had the lock has removed the file: the next one is another


def _flock(number: int, operation: int) -> None:
    try:
        fcntl.flock(number, operation)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise


def _is_file(number: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.stat(path))
    except FileNotFoundError:
        return False
