"""Runs taken out of an instance, to be looked at elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .base import LIMIT, Facade

if TYPE_CHECKING:
    from ..payload import DebugRunPayload


class Export(Facade):
    """Runs as things to carry."""

    def export_run(self, run_id: str) -> DebugRunPayload:
        """A run with all its events, to be carried elsewhere: `write(path)`, then `ephemeral(preload=...)` there.

        Raises UsageError if there is no such run, or it has more than 1,000,000 events.
        """
        from ..payload import DebugRunPayload

        return DebugRunPayload.of(self.log, run_id)

    def export_runs(self) -> Iterator[DebugRunPayload]:
        """Every run that was not deleted, by id, one after the other."""
        from ..log.names import is_system_shard
        from ..log.port import ShardState

        after = ""
        while shards := self.log.shards(after=after, limit=LIMIT):
            for shard in shards:
                if not is_system_shard(shard.name) and shard.state in (ShardState.OPEN, ShardState.SEALED):
                    yield self.export_run(shard.name)
            after = shards[-1].name
