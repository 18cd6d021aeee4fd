"""What became of a transaction whose connection was lost; the rest of a server's errors its dialect translates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ...engine.errors import FoldlogError, UnavailableError

NO_CONNECTION = (
    "Check host, port, user, password and database in the URL, that the server runs, and that the database is there."
)


class OutcomeUnknownError(UnavailableError):
    """The connection was lost while a commit was under way. Its next move is the backend's: look whether it landed."""


class ConnectionLostError(UnavailableError):
    """The connection was lost before anything was committed: nothing was written, and trying again is safe."""


class AgainError(UnavailableError):
    """The server rolled the transaction back to let another one pass (a deadlock): trying again is safe."""


class RacedError(Exception):
    """Another append took the seq, or the shard changed its state: look again."""


@contextmanager
def translated(
    deed: str, driver: type[Exception], translate: Callable[[str, Any], FoldlogError | None]
) -> Iterator[None]:
    """Errors of a driver, and of the pool around it, as foldlog errors; the unforeseen passes unchanged."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise UnavailableError(f"{deed}: every pooled connection stayed in use") from error
    except sa.exc.DBAPIError as error:
        if isinstance(error.orig, driver) and (known := translate(deed, error.orig)):
            if isinstance(known, UnavailableError):
                known.remedy = NO_CONNECTION
            raise known from error
        raise
    except driver as error:
        if (known := translate(deed, error)) is None:
            raise
        raise known from error
