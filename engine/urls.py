"""Relative URLs: which folder one means, however the process was started and wherever it goes."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

SQLITE = "sqlite:///"
RELATIVE_FILES = ("file:///./", "file:///../")


def absolute(url: str, base: Path, *, quoted: bool = True) -> str:
    """A URL of SQLite or of files with its folder made absolute, seen from `base`; any other URL as it is.

    `quoted`: the path of the URL is percent-encoded, as that of a log is, and that of a file of views is not.
    """
    if url.startswith(RELATIVE_FILES):
        return f"file://{quote(str(base.absolute()))}/{url.removeprefix('file:///').removeprefix('./')}"
    if not url.startswith(SQLITE):
        return url
    path, mark, options = url[len(SQLITE) :].partition("?") if quoted else (url[len(SQLITE) :], "", "")
    if not path or path.startswith("/"):
        return url
    folder = str(base.absolute())
    return f"{SQLITE}{quote(folder) if quoted else folder}/{path.removeprefix('./')}{mark}{options}"
