"""Credentials of a store: where they come from, and that no message shows them.

For whatever opens a store by fsspec: the log on object storage, and values of steps.
"""

from __future__ import annotations

import json
import os
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .errors import UsageError

SHORTEST = 4  #: letters of a text that is taken for a secret
VARIABLE = "FOLDLOG_STORAGE_OPTIONS"
MASK = "***"
OPEN_KEYS = ("url", "endpoint", "region", "protocol", "project", "account_name")  #: whose values may be shown
#: within a connection string of Azure, which may be shown in parts
CONNECTION_SECRET = re.compile(r"(?:AccountKey|SharedAccessSignature)=([^;]+)", re.IGNORECASE)
#: the package for a kind of URL, as pip installs it
PACKAGES = {
    **dict.fromkeys(("s3", "s3a"), "foldlog[s3]"),
    **dict.fromkeys(("gs", "gcs"), "foldlog[gcs]"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "foldlog[azure]"),
}


def without(text: str, secrets: Iterable[str]) -> str:
    """The text with each of the secrets replaced."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text


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
        self.base = shown_url(base)
        # What stands in the URL anyway is no secret, and masking it would hide the place. Nor is a text of few letters:
        # masked wherever they occur, they would take the words apart.
        texts = [one for one in _texts(options) if one not in self.base and len(one) >= SHORTEST]
        self._hidden = [*_password(base), *texts]

    def shown(self, text: str) -> str:
        """The text without them."""
        return without(text, self._hidden)

    def cause(self, error: Exception) -> Exception | None:
        """The error itself, unless its traceback would show what is hidden."""
        whole = "".join(traceback.format_exception(error))
        return error if self.shown(whole) == whole else None


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
        yield from (match[1] for match in CONNECTION_SECRET.finditer(options))


def _password(url: str) -> list[str]:
    try:
        password = urlsplit(url).password
    except ValueError:
        return []
    return [password] if password else []
