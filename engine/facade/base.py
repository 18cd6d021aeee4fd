"""What the parts of the façade share: the log, the views, the writer. `Instance` puts the parts together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

from ..errors import UsageError
from ..events.event import Event, Fact
from ..log.log import EventLog
from ..log.port import Receipt
from ..log.writer import EventWriter

if TYPE_CHECKING:
    from ..views.views import Views

LIMIT = 1000  #: rows an answer has at most, unless asked otherwise
LIMIT_MAX = 10_000


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

    @abstractmethod
    def _shared_writer(self) -> EventWriter:
        """The one group-committing writer of this process; opened when first asked for."""


def check_limit(limit: int) -> None:
    """Raise UsageError for a limit that no answer may have."""
    if not 0 < limit <= LIMIT_MAX:
        raise UsageError(f"limit={limit} is out of range: 1 to {LIMIT_MAX:,}")


def check_statuses(statuses: Collection[str] | None, known: Collection[str]) -> None:
    """Raise UsageError for a status that there is not: the answer would be empty for ever, and not say why."""
    for status in statuses or ():
        if status not in known:
            raise UsageError(f"there is no status {status!r}; there are {', '.join(known)}")
