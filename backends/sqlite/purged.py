"""What is left of shards that were purged, and telling a purge from damage.

Not here: the purge itself (ending.py).
"""

from __future__ import annotations

from ...engine.errors import CorruptLogError
from ...engine.log.port import Record, ShardState
from .home import Home
from .order import OrderFile, Place
from .shardfile import checked


def unless_purged(home: Home, order: OrderFile, place: Place, error: Exception) -> None:
    """Return if the shard was purged while it was being read; else the error stands."""
    now = order.find(place.name)
    if now is not None and now.state is ShardState.PURGED:
        return
    if isinstance(error, FileNotFoundError):
        path = home.file_of(place.name).path
        raise CorruptLogError(f"{path} is missing, yet events of shard {place.name} were recorded") from error
    raise error


def kept_records(
    order: OrderFile, place: Place, first: int, last: int, types: frozenset[str] | None = None
) -> list[tuple[int, Record]]:
    """What is kept of a purged shard between two seqs, in order, with its seqs; of some types alone if so wanted."""
    rows = order.kept(place.id, first, last)
    return [(row[0], checked(order.path, place.name, row)) for row in rows if types is None or row[1] in types]
