"""What the parts of the façade share: the log, the views, the writer. `Instance` puts the parts together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from ..errors import UsageError
from ..events.event import Event, Fact
from ..events.key import AssetKey, AssetLike
from ..log.log import EventLog
from ..log.port import Receipt
from ..log.writer import EventWriter

if TYPE_CHECKING:
    from ..views.views import Views

LIMIT = 1000  #: rows an answer has at most, unless asked otherwise
LIMIT_MAX = 10_000
T = TypeVar("T")


class Facade(ABC):
    """One deployment, as its parts see it."""

    @property
    @abstractmethod
    def log(self) -> EventLog:
        """The log underneath."""

    @property
    @abstractmethod
    def views(self) -> Views:
        """The views underneath; opened when first asked for."""

    def _tell(self, shard: str, fact: Fact, *, key: UUID | None = None) -> Receipt:
        """Record one fact, now, in a system shard."""
        return self.log.append(shard, [Event.now(fact)], key=key)

    @property
    @abstractmethod
    def writer(self) -> EventWriter:
        """The one group-committing writer of this process; opened when first asked for, closed with the instance."""


def check_limit(limit: int) -> None:
    """Raise UsageError for a limit that no answer may have."""
    if type(limit) is not int:
        raise UsageError(f"limit={limit!r} is no whole number; write one from 1 to {LIMIT_MAX:,}")
    if not 0 < limit <= LIMIT_MAX:
        raise UsageError(f"limit={limit} is out of range: 1 to {LIMIT_MAX:,}")


def check_statuses(statuses: Collection[str] | None, known: Collection[str]) -> None:
    """Raise UsageError for a status that there is not: the answer would be empty for ever, and not say why."""
    for status in () if statuses is None else texts("statuses", statuses):
        if status not in known:
            raise UsageError(f"there is no status {status!r}; there are {', '.join(known)}")


def check_name(argument: str, name: str) -> None:
    """Raise UsageError for a name that nobody could ask for again: an empty one, or no text."""
    if not isinstance(name, str) or not name:
        raise UsageError(f"{argument}={name!r} is no name; write a text that is not empty")


def texts(argument: str, given: Iterable[str]) -> list[str]:
    """The texts of a list. Raises UsageError for one text, which Python would take for a list of its letters."""
    found = list(_several(argument, given))
    for one in found:
        if not isinstance(one, str):
            raise UsageError(f"{argument} holds {one!r:.80}, which is no text")
    return found


def keys_of(argument: str, given: Iterable[AssetLike]) -> list[AssetKey]:
    """The keys of a list, each once. Raises UsageError for one key, in whatever form."""
    if isinstance(given, AssetKey):
        raise UsageError(f"{argument}={given!r} is one asset; write a list of keys")
    return list(dict.fromkeys(AssetKey.of(key) for key in _several(argument, given)))


def _several(argument: str, given: Iterable[T]) -> Iterable[T]:
    if isinstance(given, str):
        raise UsageError(f"{argument}={given!r} is one text; write {argument}=[{given!r}]")
    if not isinstance(given, Iterable):
        raise UsageError(f"{argument}={given!r:.80} is no list")
    return given


def at_most(found: list[T], most: int = LIMIT_MAX) -> list[T]:
    """The list. Raises UsageError if it is too long for one question."""
    if len(found) > most:
        raise UsageError(f"{len(found):,} keys are too many for one question: ask for at most {most:,}")
    return found


def tags_of(given: Mapping[str, str] | None) -> dict[str, str]:
    """Tags as a fact holds them. Raises UsageError for what is no mapping of texts to texts."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(one, str) for pair in given.items() for one in pair):
        raise UsageError(f"tags={given!r:.80} is no mapping of texts to texts; write tags={{'team': 'growth'}}")
    return dict(given)


def position_of(cursor: str | int | None) -> int | None:
    """The position that a cursor stands for. Raises UsageError for what is no cursor of an answer."""
    if cursor is None:
        return None
    if isinstance(cursor, bool) or not str(cursor).isdecimal() or int(cursor) >= 2**63:
        raise UsageError(f"cursor={cursor!r:.80} is no cursor of an earlier answer")
    return int(cursor)
