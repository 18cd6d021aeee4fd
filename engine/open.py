"""Open a log by URL: the one place where a backend and the codec are put together."""

from __future__ import annotations

from ..backends import open_backend
from ..serdes import Codec
from .log.log import EventLog


def open_log(url: str, *, read_only: bool = False) -> EventLog:
    """The log at a URL, created on first use.

    `memory://` · `sqlite:///DIR` (`?layout=consolidated`, `?durability=process`) · `postgresql://…`.
    `read_only`: answers as of what others have sequenced, and needs no right to write.

    Raises UsageError for a URL no backend knows, CorruptLogError for a store that is damaged or of another program,
    UnavailableError if a server gives no answer.
    """
    return EventLog(open_backend(url, read_only=read_only), Codec(), read_only=read_only)
