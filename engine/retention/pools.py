"""How far `@pools` may be trimmed: not past a slot that is still claimed or waited for.

A claim that went while its step holds the slot would free the slot in every view that is folded anew. So the facts of
the shard are folded here, a page at a time; what ends of steps and runs have freed, the views know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from ..events.pool import PoolSlotClaimed, PoolSlotFreed, PoolSlotRequested
from ..log.log import EventLog, EventRecord
from ..log.port import ShardState
from ..views import run_queries, step_queries
from ..views.filters import RunsFilter
from ..views.steps import STEPS
from ..views.views import Views

POOLS = "@pools"
PAGE = 1000
MANY = 10_000  #: runs looked after at a time; where more hold slots at once, less is trimmed than might be
CHUNK = 500  #: runs the views are asked about at once
_KINDS = tuple(kind.KIND.name for kind in (PoolSlotRequested, PoolSlotClaimed, PoolSlotFreed))


class Deployment(Protocol):
    """What is asked of an instance."""

    @property
    def log(self) -> EventLog: ...
    @property
    def views(self) -> Views: ...


class Slot(NamedTuple):
    """A slot that a step of some run has, or waits for."""

    step_key: str
    pool: str


Held = dict[str, dict[Slot, tuple[int, int]]]  #: run id -> slot -> the first and the last position that asks for it


def trim_limit(instance: Deployment, through: int) -> int:
    """The last position up to `through` before which no fact of `@pools` is needed any more."""
    held: Held = {}
    for record in _facts(instance.log):
        position, fact = record.position or 0, record.event.fact
        if isinstance(fact, PoolSlotFreed):
            _free(held, fact)
        elif isinstance(fact, PoolSlotRequested | PoolSlotClaimed) and position <= through:
            of_run = held.setdefault(fact.run_id, {})
            slot = Slot(fact.step_key, fact.pool)
            of_run[slot] = of_run.get(slot, (position, position))[0], position
            if len(held) >= MANY:
                held = _still_held(instance, held)
                if len(held) > MANY // 2:
                    break  # what frees them later is not seen then: too little is trimmed, never too much
    positions = [first for slots in _still_held(instance, held).values() for first, _ in slots.values()]
    return min([through, *(first - 1 for first in positions)])


def _free(held: Held, fact: PoolSlotFreed) -> None:
    slots = held.get(fact.run_id, {})
    for slot in list(slots):
        if fact.step_key in (None, slot.step_key) and fact.pool in (None, slot.pool):
            del slots[slot]
    if not slots:
        held.pop(fact.run_id, None)


def _facts(log: EventLog) -> Iterator[EventRecord]:
    after = 0
    while True:
        page = log.read_shard(POOLS, after_seq=after, limit=PAGE, types=_KINDS)
        yield from page.records
        if page.at_end:
            return
        after = page.next_seq


def _still_held(instance: Deployment, held: Held) -> Held:
    """Those that no end of a run or of an attempt has freed since."""
    kept: Held = {}
    run_ids = sorted(held)
    for start in range(0, len(run_ids), CHUNK):
        chunk = run_ids[start : start + CHUNK]
        with instance.views.answering("runs") as ask:
            found = run_queries.find(ask, instance.log, RunsFilter(run_ids=chunk), limit=CHUNK)
        with instance.views.asking("steps") as (connection, tables):
            over = {record.run.run_id: record.run.is_finished for record in found}
            for run_id in chunk:
                if over[run_id] if run_id in over else _is_deleted(instance.log, run_id):
                    continue
                keys = {slot.step_key for slot in held[run_id]}
                ends = step_queries.ends_of(connection, tables[STEPS], run_id, keys)
                slots = {slot: at for slot, at in held[run_id].items() if ends.get(slot.step_key, 0) <= at[1]}
                if slots:
                    kept[run_id] = slots
    return kept


def _is_deleted(log: EventLog, run_id: str) -> bool:
    """Of a run that no view knows: else nothing of its life was told yet."""
    shard = log.backend.find_shard(run_id)
    return shard is not None and shard.state in (ShardState.FENCED, ShardState.PURGED)
