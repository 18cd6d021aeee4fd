"""How far `@pools` may be trimmed: not past a slot that is still claimed or waited for.

A claim that went while its step holds the slot would free the slot in every view that is folded anew.
"""

from __future__ import annotations

from typing import Protocol

from ..log.log import EventLog
from ..log.port import ShardState
from ..views import pool_queries
from ..views.views import Views

POOLS = "@pools"
PAGE = 1000


class Deployment(Protocol):
    """What is asked of an instance."""

    @property
    def log(self) -> EventLog: ...
    @property
    def views(self) -> Views: ...


def trim_limit(instance: Deployment, through: int) -> int:
    """The last position up to `through` before which no fact of `@pools` is needed any more."""
    views = instance.views
    views.projector.catch_up()
    # With a read-only instance the views may lag behind: of what they have not seen, nobody knows what is held.
    through = min(through, views.store.checkpoints()["pools"].position)
    with views.asking("pools", "runs") as (connection, tables):
        for column in ("requested_position", "claimed_position"):
            after = 0
            while page := pool_queries.asked(connection, tables, column, after=after, through=through, limit=PAGE):
                held = (at for at, run_id, known in page if known or not _is_deleted(instance.log, run_id))
                after = page[-1][0]
                through = min(through, next(held, through + 1) - 1)
    return through


def _is_deleted(log: EventLog, run_id: str) -> bool:
    """Of a run that no view knows: else nothing of its life was told yet."""
    shard = log.backend.find_shard(run_id)
    return shard is not None and shard.state in (ShardState.FENCED, ShardState.PURGED)
