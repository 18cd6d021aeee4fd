"""Open a log by URL: the one place where a backend and the codec are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..backends import open_backend
from ..serdes import Codec
from .errors import UsageError
from .log.log import EventLog

if TYPE_CHECKING:
    from .config.configuration import Configuration
    from .config.storage import Storage


def open_log(url: str, *, read_only: bool = False) -> EventLog:
    """The log at a URL, created on first use.

    `memory://` · `sqlite:///DIR` (`?layout=consolidated`, `?durability=process`) · `postgresql://…`.
    `read_only`: answers as of what others have sequenced, and needs no right to write.

    Raises UsageError for a URL no backend knows, CorruptLogError for a store that is damaged or of another program,
    UnavailableError if a server gives no answer.
    """
    return EventLog(open_backend(url, read_only=read_only), Codec(), read_only=read_only)


def open_storage(configuration: Configuration, storage: Storage, *, read_only: bool = False) -> EventLog:
    """The log of a configuration: by URL, or by a class. Raises what `open_log` raises, with the place in the file."""
    if storage.data is not None:
        from .config.storage import LogStorage

        made = storage.data.rehydrate(LogStorage, context=configuration.context, role="storage")
        return EventLog(made.open_backend(read_only=read_only), Codec(), read_only=read_only)
    try:
        return open_log(storage.url or "", read_only=read_only)
    except UsageError as error:
        place = configuration.place.at("storage")
        if type(error) is UsageError and place.where:
            raise place.fault(str(error), error.remedy) from error
        raise
