"""Backends: each keeps shards and the timeline on one kind of storage. They know bytes, no orchestration.

`open_backend` finds one by URL. Third parties add theirs through the entry-point group `foldlog.backends`, by the
URL's scheme, and prove it with `foldlog.testing`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module

from ..engine.errors import UsageError
from ..engine.log.port import Backend

#: scheme -> module beside this one, which has `open_url(url, *, read_only) -> Backend` and `check_url(url)`
SCHEMES = {
    "memory": "memory",
    "sqlite": "sqlite",
    "postgresql": "postgres",
    "postgres": "postgres",
    "postgresql+psycopg2": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
    "mysql+pymysql": "mysql",
    "mariadb+pymysql": "mysql",
    **dict.fromkeys(("file", "s3", "gs", "gcs", "az", "abfs", "abfss"), "objectstore"),
}
ENTRY_POINTS = "foldlog.backends"

Opener = Callable[..., Backend]


def open_backend(url: str, *, read_only: bool = False) -> Backend:
    """The backend of a URL, its storage created on first use unless `read_only`. Raises UsageError for a URL that
    cannot be one."""
    scheme = _scheme(url)
    return _opener(scheme)(url, read_only=read_only)


def check_url(url: str) -> None:
    """Raise UsageError for a URL that no backend knows, or foldlog's own could not open; nothing is opened."""
    scheme = _scheme(url)
    _opener(scheme)
    if module := SCHEMES.get(scheme):
        import_module(f".{module}", __name__).check_url(url)


def _scheme(url: str) -> str:
    if not isinstance(url, str):
        raise UsageError(f"{url!r} is no URL; write for example 'sqlite:///./history'")
    scheme, colon, _ = url.partition(":")
    if not colon or not scheme:
        raise UsageError(f"{url!r} is no URL; write for example sqlite:///./history")
    return scheme.lower()


def _opener(scheme: str) -> Opener:
    if module := SCHEMES.get(scheme):
        opener: Opener = import_module(f".{module}", __name__).open_url
        return opener
    from importlib.metadata import entry_points  # a tenth of what opening a log costs, and rarely needed

    for entry in entry_points(group=ENTRY_POINTS, name=scheme):
        opener = entry.load()
        return opener
    known = ", ".join(sorted({*SCHEMES, *(entry.name for entry in entry_points(group=ENTRY_POINTS))}))
    raise UsageError(f"no backend for {scheme}:// URLs; known are {known}")


def without_password(url: str) -> str:
    """The URL as it may be shown: what may be a password replaced, also one that was not escaped as it should be."""
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&](?:ssl)?password)=[^&]*", r"\1=***", shown)
