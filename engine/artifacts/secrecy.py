"""Credentials of a store: where they come from, and that no message shows them."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from ..config.place import without
from ..errors import FoldlogError, UnavailableError, UsageError

VARIABLE = "FOLDLOG_STORAGE_OPTIONS"
OPEN_KEYS = ("url", "endpoint", "region", "protocol", "project", "account_name")  #: whose values may be shown
#: the package for a kind of URL, as pip installs it
PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "foldlog[s3]"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
}
#: what no repetition mends
LASTING = (PermissionError, FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


def options_for(given: Mapping[str, Any] | None, *, is_local: bool) -> dict[str, Any]:
    """What fsspec is told: what was given, else what the environment says. Raises UsageError if that is no JSON."""
    if given is not None:
        return dict(given)
    text = "" if is_local else os.environ.get(VARIABLE, "")
    if not text:
        return {}
    try:
        options = json.loads(text)
    except ValueError:
        options = None
    if not isinstance(options, dict):  # which is not shown: there may be credentials in it
        error = UsageError(f"the environment variable {VARIABLE} is no JSON object")
        error.remedy = f"""Write it as {VARIABLE}='{{"key": "...", "secret": "..."}}', or unset it."""
        raise error
    return options


def shown_url(base: str) -> str:
    """A path or a URL as it may be shown: its password replaced."""
    return without(base, _password(base))


class Secrecy:
    """The texts that no message about a store may show: a password in its URL, and the texts of its options."""

    def __init__(self, base: str, options: Mapping[str, Any]) -> None:
        self._base = shown_url(base)
        # What stands in the URL anyway is no secret, and masking it would hide the place.
        self._hidden = [*_password(base), *(one for one in _texts(options) if one not in self._base)]

    def shown(self, text: str) -> str:
        """The text without them."""
        return without(text, self._hidden)

    @contextmanager
    def translated(self, problem: str, *untold: type[Exception]) -> Iterator[None]:
        """Whatever a store raises inside is told as an error of foldlog: UsageError if no repetition mends it, else
        UnavailableError. `untold`: errors that are none of the store's, and pass as they are."""
        try:
            yield
        except (FoldlogError, MemoryError):
            raise
        except untold:
            raise
        except Exception as error:  # each store has errors of its own
            raise self._told(problem, error) from self._cause(error)

    def _told(self, problem: str, error: Exception) -> FoldlogError:
        if package := self._missing(error):
            told: FoldlogError = UsageError(f"{problem}: {self._base}: the package for such URLs is not installed")
            told.remedy = f"Install it: pip install '{package}'"
            return told
        text = self.shown(f"{problem}: {self._base}: {type(error).__name__}: {error}")
        if isinstance(error, ImportError | ValueError):
            told = UsageError(text)
            told.remedy = "Correct the URL, or install the package for such URLs (foldlog[s3] for s3://)."
            return told
        told = (UsageError if isinstance(error, LASTING) else UnavailableError)(text)
        told.remedy = (
            "Check that the place exists and has room, that this process may read and write there, and the storage "
            "options; then run the step again."
        )
        return told

    def _cause(self, error: Exception) -> Exception | None:
        """The error itself, unless its traceback would show what is hidden, or has no more to say."""
        if self._missing(error):
            return None
        whole = "".join(traceback.format_exception(error))
        return error if self.shown(whole) == whole else None

    def _missing(self, error: Exception) -> str | None:
        """The package that is to be installed, if that is what the error is about."""
        return PACKAGES.get(self._base.partition("://")[0]) if isinstance(error, ImportError) else None


def _texts(options: Any) -> Iterator[str]:
    """Every text in the options, but what is under a key whose value may be shown."""
    if isinstance(options, Mapping):
        for key, value in options.items():
            if not (isinstance(value, str) and any(part in str(key).lower() for part in OPEN_KEYS)):
                yield from _texts(value)
            else:
                yield from _password(value)
    elif isinstance(options, list | tuple):
        for value in options:
            yield from _texts(value)
    elif isinstance(options, str) and options:
        yield options


def _password(url: str) -> list[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return []
    return [password] if password else []
