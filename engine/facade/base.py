"""What the parts of the façade share: the log, the views, the writer. `Instance` puts the parts together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..log.log import EventLog
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

    @abstractmethod
    def _shared_writer(self) -> EventWriter:
        """The one group-committing writer of this process; opened when first asked for."""


def check_limit(limit: int) -> None:
    """Raise UsageError for a limit that no answer may have."""
    if not 0 < limit <= LIMIT_MAX:
        raise UsageError(f"limit={limit} is out of range: 1 to {LIMIT_MAX:,}")
