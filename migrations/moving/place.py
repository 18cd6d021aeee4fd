"""The two ends of a move: a log by URL, opened here and closed again, or one that the caller has open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, Protocol

from ...backends import without_password
from ...engine.errors import FoldlogError, ReadOnlyError, UsageError, fault
from ...engine.log.log import EventLog
from ...engine.log.port import Backend, CanMove
from ...engine.open import open_log

Progress = Callable[[str, int, int], None]  #: what is being done, how much of it, of how much
Told = Callable[[str], None]  #: a step that was completed, in a few words


def quiet(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


def untold(step: str) -> None:
    """Steps that nobody is told of."""


class MovingBackend(Backend, CanMove, Protocol):
    """A backend between which logs move."""


class Place(NamedTuple):
    """One end of a move."""

    log: EventLog
    backend: MovingBackend

    @property
    def url(self) -> str:
        return self.backend.url


@contextmanager
def opened(at: str | EventLog, *, read_only: bool = False, or_read: bool = False) -> Iterator[Place]:
    """A log that can move, made if it is not there and not `read_only`. `or_read`: for reading, if that is all this
    user may do."""
    if isinstance(at, EventLog):
        yield Place(at, _moving(at))
        return
    if at.partition(":")[0].lower() == "memory":
        raise fault(f"{at}: a log in memory lives in one process", "Hand the open log itself to the library function.")
    try:
        log = open_log(at, read_only=read_only)
    except ReadOnlyError:
        if not or_read:
            raise
        log = open_log(at, read_only=True)
    with log:
        yield Place(log, _moving(log))


@contextmanager
def existing(at: str | EventLog, *, read_only: bool = False, or_read: bool = False) -> Iterator[Place]:
    """As `opened`, of a log that must be there: looking for it makes none."""
    if isinstance(at, str):
        try:
            open_log(at, read_only=True).close()
        except UsageError as error:
            if not error.has_own_remedy:
                error.remedy = f"Check the URL {without_password(at)}; `foldlog --help` says how one is written."
            raise
    with opened(at, read_only=read_only, or_read=or_read) as place:
        yield place


def _moving(log: EventLog) -> MovingBackend:
    backend = log.backend
    if not isinstance(backend, CanMove):
        raise fault(
            f"{backend.url}: this backend moves no logs",
            "Use one that does: foldlog's own all do; of another, ask its author for `CanMove` of foldlog's port.",
        )
    return backend


def advised(error: FoldlogError, remedy: str) -> FoldlogError:
    """The error with a remedy of its own."""
    error.remedy = remedy
    return error
