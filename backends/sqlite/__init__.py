"""The log on SQLite: the embedded default.

    DIR/order.db             shards, timeline, kept facts
        system.db            all system shards
        runs/ab/<run>.db     one file a run
        doorbell, writers/   where news is, and who writes (doorbell.py)

With `?layout=consolidated`, one file DIR/log.db holds it all. Tables and bytes: docs/format.md.
"""

from __future__ import annotations

import errno
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from ...engine.errors import UsageError
from ...engine.log.port import Backend
from .backend import SqliteBackend
from .home import Durability, Layout

__all__ = ["SqliteBackend", "open_url"]

NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)  #: what no folder can be
OPTIONS = {"layout": ("sharded", "consolidated"), "durability": ("full", "process")}


def open_url(url: str, *, read_only: bool = False) -> Backend:
    """The log of `sqlite:///DIR[?layout=sharded|consolidated][&durability=full|process]`.

    Three slashes and a relative folder, or four and an absolute one. Raises UsageError for any other form.
    """
    folder, options = check_url(url)
    layout: Layout | None = None
    if "layout" in options:
        layout = "consolidated" if options["layout"] == "consolidated" else "sharded"
    durability: Durability = "process" if options.get("durability") == "process" else "full"
    try:
        return SqliteBackend(Path(folder), layout=layout, durability=durability, read_only=read_only)
    except OSError as error:
        if error.errno not in NO_FOLDER:
            raise
        raise UsageError(f"{url!r}: {error.strerror}: {error.filename}") from error


def check_url(url: str) -> tuple[str, dict[str, str]]:
    """The folder and the options of a URL. Raises UsageError for one that cannot be read."""
    parts = urlsplit(url)
    if not url.startswith("sqlite:///") or parts.fragment:
        raise UsageError(f"{url!r}: write sqlite:///DIR for a relative folder, sqlite:////DIR for an absolute one")
    folder = unquote(parts.path[1:])
    if not folder:
        raise UsageError(f"{url!r} names no folder; a SQLite log is a folder, as sqlite:///./history")
    return folder, _options(url, parts.query)


def _options(url: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        allowed = OPTIONS.get(name)
        if allowed is None:
            raise UsageError(f"{url!r}: unknown option {name!r}; allowed are {', '.join(OPTIONS)}")
        if value not in allowed:
            raise UsageError(f"{url!r}: {name}={value!r} is not one of {', '.join(allowed)}")
    return options
