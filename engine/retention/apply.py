"""Let go what a policy or a plan names.

Promises: killed at any moment, the next `apply` completes what was begun before it goes on; readers and writers go on
meanwhile. Each run and each trim is done by itself, so a pass that is stopped has done what it has done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from ..errors import ReadOnlyError
from ..events.event import Event
from ..events.tombstone import HistoryTrimmed, RunDeleted
from ..log.log import EventLog, EventRecord
from ..log.names import INSTANCE_SHARD
from ..log.port import TRIMMABLE, Receipt, ShardState
from .plan import RUNS, RetentionPlan, plan
from .policy import RetentionPolicy
from .pools import Deployment

RECENT = 100  #: deletions looked back at: one that was cut short is among the last

Progress = Callable[[str, int, int], None]  #: what goes, how much of it is gone, of how much


class Applied(NamedTuple):
    """What has gone."""

    runs: int
    events: int  #: whose bodies are gone
    bytes: int
    more: bool  #: whether more runs may go: apply again
    completed: int  #: deletions and trims that an earlier process had begun, and this one has ended


class Deleting(Deployment, Protocol):
    """What is asked of an instance."""

    def delete_run(self, run_id: str, *, keep_assets: bool = True, reason: str | None = None) -> Receipt: ...


def apply(
    instance: Deleting,
    what: RetentionPlan | RetentionPolicy,
    *,
    now_us: int,
    limit: int = RUNS,
    progress: Progress | None = None,
) -> Applied:
    """Delete the runs and free the facts of a plan, or of what a policy comes to at `now_us`.

    Runs that were deleted since a plan was made are passed over. Raises ReadOnlyError if the log was opened so, and
    what `EventLog.purge` and `EventLog.trim` raise; what went before stays gone.
    """
    if instance.log.read_only:
        raise ReadOnlyError("the log was opened with read_only=True; nothing can be let go")
    instance.log.catch_up()
    completed = complete(instance.log)
    todo = what if isinstance(what, RetentionPlan) else plan(instance, what, now_us, limit=limit)
    runs = events = size = 0
    for done, run in enumerate(todo.runs):
        if progress:
            progress("runs", done, len(todo.runs))
        shard = instance.log.backend.find_shard(run.run_id)
        if shard is None or shard.state is ShardState.PURGED:
            continue
        instance.delete_run(run.run_id, keep_assets=todo.keep_assets)
        runs, events, size = runs + 1, events + run.events, size + run.bytes
    for done, trim in enumerate(todo.trims):
        if progress:
            progress("facts", done, len(todo.trims))
        freed = instance.log.trim(trim.retention, trim.through_position, shard=trim.shard).freed
        events, size = events + freed.events, size + freed.bytes
    if progress:
        progress("runs", len(todo.runs), len(todo.runs))
        progress("facts", len(todo.trims), len(todo.trims))
    return Applied(runs, events, size, todo.more, completed)


def complete(log: EventLog) -> int:
    """End what an earlier process has begun: deletions that stopped at the fence or behind the tombstone, and the last
    trim. How many there were; of the trim that cannot be told, so it counts when it has freed something."""
    ended = 0
    deleted = _latest(log, RunDeleted.KIND.name, RECENT)
    for number, record in enumerate(deleted):
        fact = record.event.fact
        if not isinstance(fact, RunDeleted):
            continue
        shard = log.backend.find_shard(fact.run_id)
        begun = shard is not None and shard.state is ShardState.FENCED
        if begun or (number == 0 and shard is not None):  # of the last one, the file may be left
            log.purge(fact.run_id, Event.now(fact), keep=fact.keep_assets)
        ended += begun
    for record in _latest(log, HistoryTrimmed.KIND.name, 1):
        fact = record.event.fact
        # In an order that was made anew, its position may be another event's: then nobody knows what it meant.
        if not isinstance(fact, HistoryTrimmed) or fact.retention not in TRIMMABLE:
            continue
        if fact.through_position < (record.position or 0):
            # The fact is told, and every fold has obeyed it, so it needs no leave any more: only the freeing is left.
            again = log.backend.trim(fact.retention, through=fact.through_position, shard=fact.shard)
            ended += again.events > 0
    return ended


def _latest(log: EventLog, type: str, limit: int) -> list[EventRecord]:
    return log.read_shard(INSTANCE_SHARD, newest_first=True, limit=limit, types=[type]).records
