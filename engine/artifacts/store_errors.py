"""What a store of values or files raises, told as an error of foldlog."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import FoldlogError, UnavailableError, UsageError
from ..secrecy import PACKAGES, Secrecy

#: what no repetition mends
LASTING = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


@contextmanager
def translated(problem: str, secrecy: Secrecy, *untold: type[Exception]) -> Iterator[None]:
    """Whatever a store raises inside is told as an error of foldlog: UsageError if no repetition mends it, else
    UnavailableError. `untold`: errors that are none of the store's, and pass as they are."""
    try:
        yield
    except (FoldlogError, MemoryError):
        raise
    except untold:
        raise
    except Exception as error:  # each store has errors of its own
        if package := _missing(error, secrecy.base):  # whose traceback has no more to say
            told: FoldlogError = UsageError(f"{problem}: {secrecy.base}: the package for such URLs is not installed")
            told.remedy = f"Install it: pip install '{package}'"
            raise told from None
        raise _told(problem, error, secrecy) from secrecy.cause(error)


def _told(problem: str, error: Exception, secrecy: Secrecy) -> FoldlogError:
    text = secrecy.shown(f"{problem}: {secrecy.base}: {type(error).__name__}: {error}")
    if isinstance(error, ImportError | ValueError):
        told: FoldlogError = UsageError(text)
        told.remedy = "Correct the URL, or install the package for such URLs (foldlog[s3] for s3://)."
        return told
    told = (UsageError if isinstance(error, LASTING) else UnavailableError)(text)
    told.remedy = (
        "Check that the place exists and has room, that this process may read and write there, and the storage "
        "options; then run the step again."
    )
    return told


def _missing(error: Exception, base: str) -> str | None:
    """The package that is to be installed, if that is what the error is about."""
    return PACKAGES.get(base.partition("://")[0]) if isinstance(error, ImportError) else None
