"""What the operating system says of files, told as an error of foldlog, by its code."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ....engine.errors import ReadOnlyError, UnavailableError, UsageError, fault

GONE = (FileNotFoundError, NotADirectoryError)  #: no such object

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_NO_LINKS = (errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_REPEAT = "an object that has landed is not written twice."


@contextmanager
def translated(deed: str, url: str, name: str) -> Iterator[None]:
    """`deed` is what was tried, as a verb. UsageError if no repetition mends it, ReadOnlyError if this
    process may not write there, else UnavailableError."""
    try:
        yield
    except OSError as error:
        raise _told(f"{url}: cannot {deed} {name or 'objects'}: {error.strerror or error}", deed, error) from error


def _told(problem: str, deed: str, error: OSError) -> UsageError | UnavailableError:
    # A file system without hard links says EPERM; a folder that one may not write in says EACCES, and before that.
    if error.errno in _NO_LINKS or (error.errno == errno.EPERM and deed == "create"):
        return fault(
            f"{problem}; the file system makes no hard links here",
            "Keep the log on a file system that has hard links (ext4, xfs, btrfs, apfs, nfs), or in sqlite:///.",
        )
    if error.errno in _REFUSED:
        told = (UsageError if deed in ("read", "list") else ReadOnlyError)(problem)
        told.remedy = "Let this process read and write below the folder, or open the log read-only."
        return told
    if isinstance(error, (NotADirectoryError, IsADirectoryError)):
        return fault(problem, "Keep nothing but the log in its folder: a file is in the place of a folder.")
    silent = UnavailableError(problem)
    if error.errno in _FULL:
        silent.remedy = f"Make room on the disk, then repeat the call: {_REPEAT}"
    else:
        silent.remedy = f"Check the disk and that the folder is mounted, then repeat the call: {_REPEAT}"
    return silent
