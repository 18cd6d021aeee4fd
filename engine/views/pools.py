"""The view of pools: the limit of each pool, and one row a step that has or waits for a slot.

A slot is given back by POOL_SLOT_FREED, by the end of an attempt at the step, by the end of its run, and by
RUN_DELETED, whichever comes first; then the row goes. What comes later stands until one of these follows it: a claim
that is recorded after the step had ended holds its slot until the run ends, and one recorded after the run had ended
is not counted by the questions (pool_queries.py), which look at the run.

Requests and claims may go by age: each has columns of its own, and the latest of each stands; see trimming.py. The
ends of steps and runs go with their run, for which RUN_DELETED drops all rows. Most logs use no pool: while there are
no rows, an end costs no look at the database (rows.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from ..events.event import Topic
from ..events.pool import PoolDeleted, PoolLimitSet, PoolSlotClaimed, PoolSlotFreed, PoolSlotRequested
from ..events.run import RunCanceled, RunFailed, RunSucceeded
from ..events.step import StepFailed, StepSkipped, StepSucceeded, StepUpForRetry
from ..events.tombstone import HistoryTrimmed, RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, number
from .trimming import blank, trimmed_through

SHARD: Final = "@pools"
CLAIMED, WAITING = "CLAIMED", "WAITING"


class PoolRow(NamedTuple):
    """A pool that has a limit."""

    pool: str
    slots: int  #: how many steps may be at work at once
    is_default: int  #: 1: the deployment's default
    position: int
    timestamp_us: int


class SlotRow(NamedTuple):
    """A step that has a slot of a pool, or waits for one."""

    run_id: str
    step_key: str
    pool: str
    status: str = WAITING  #: CLAIMED or WAITING
    rank: int = 0  #: its priority, negated: steps are served in the order of rank and place
    place: int = 0  #: position of the request; of the claim, where no request is known
    requested_position: int | None = None  #: from here on of POOL_SLOT_REQUESTED
    requested_us: int | None = None
    priority: int | None = None
    claimed_position: int | None = None  #: from here on of POOL_SLOT_CLAIMED
    claimed_us: int | None = None


class StepPoolsRow(NamedTuple):
    """The pools in which a step has a row: its end finds them by its key, without a query of its own."""

    run_id: str
    step_key: str
    pools: str  #: JSON, in order


POOLS: Final = Table("pools_v1", PoolRow, key=1)
SLOTS: Final = Table(
    "pool_slots_v1",
    SlotRow,
    key=3,
    indexes=(
        ("pool", "status", "rank", "place", "run_id", "step_key"),
        ("requested_position",),
        ("claimed_position",),
    ),
)
STEP_POOLS: Final = Table("pool_steps_v1", StepPoolsRow, key=2)

_STEP_ENDS: Final = (StepSucceeded, StepFailed, StepUpForRetry, StepSkipped)
_RUN_ENDS: Final = (RunSucceeded, RunFailed, RunCanceled)
_DETAILS: Final = {
    "requested_position": ("requested_us", "priority"),
    "claimed_position": ("claimed_us",),
}


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if record.run_id is not None:  # limits and slots are told in system shards, ends in the run's own
        if isinstance(fact, _STEP_ENDS):
            _free_step(rows, keyed(record.run_id), keyed(record.event.step_key or ""))
        elif isinstance(fact, _RUN_ENDS):
            _free_run(rows, keyed(record.run_id))
        return
    match fact:
        case PoolLimitSet():
            row = PoolRow(
                keyed(fact.pool),
                number(fact.limit),
                int(fact.is_default),
                record.position,
                record.event.timestamp_us,
            )
            rows.put(POOLS, row)
        case PoolDeleted():
            rows.delete(POOLS, (keyed(fact.pool),))
        case RunDeleted():
            _free_run(rows, keyed(fact.run_id))
        case HistoryTrimmed():
            through = trimmed_through(record, fact, SHARD)
            if through is not None:
                put, drop = partial(_put, rows), lambda row: _drop(rows, row[:3])
                blank(rows, SLOTS, _DETAILS, through, settled=settled, put=put, drop=drop)
        case PoolSlotRequested() | PoolSlotClaimed() if record.shard == SHARD:
            _put(rows, fold_slot(rows.get(SLOTS, _key(fact)) or SlotRow(*_key(fact)), record))
        case PoolSlotFreed() if record.shard == SHARD:
            _free(rows, fact)


def fold_slot(row: SlotRow, record: Taken) -> SlotRow:
    """The row after a request or a claim."""
    fact, now = record.event.fact, record.event.timestamp_us
    if isinstance(fact, PoolSlotRequested):
        row = row._replace(requested_position=record.position, requested_us=now, priority=number(fact.priority))
    else:
        row = row._replace(claimed_position=record.position, claimed_us=now)
    return settled(row) or row


def settled(row: SlotRow) -> SlotRow | None:
    """The row with the columns that are made from the others; None when nothing is known any more."""
    place = row.requested_position if row.requested_position is not None else row.claimed_position
    if place is None:
        return None
    status = WAITING if row.claimed_position is None else CLAIMED
    return row._replace(status=status, rank=-(row.priority or 0), place=place)


def _key(fact: Any) -> tuple[str, str, str]:
    return keyed(fact.run_id), keyed(fact.step_key), keyed(fact.pool)


# -- rows that go together --------------------------------------------------------------------------------------


def _put(rows: Rows, slot: SlotRow) -> None:
    rows.put(SLOTS, slot)
    step = slot[:2]
    pools = _pools_of(rows, step)
    if slot.pool not in pools:
        _set_pools(rows, step, [*pools, slot.pool])


def _drop(rows: Rows, slot: tuple[str, str, str]) -> None:
    rows.delete(SLOTS, slot)
    step = slot[:2]
    _set_pools(rows, step, [pool for pool in _pools_of(rows, step) if pool != slot[2]])


def _pools_of(rows: Rows, step: tuple[str, str]) -> list[str]:
    row: StepPoolsRow | None = rows.get(STEP_POOLS, step)
    pools: list[str] = json.loads(row.pools) if row else []
    return pools


def _set_pools(rows: Rows, step: tuple[str, str], pools: list[str]) -> None:
    if pools:
        rows.put(STEP_POOLS, StepPoolsRow(*step, json.dumps(sorted(pools))))
    else:
        rows.delete(STEP_POOLS, step)


def _free_step(rows: Rows, run_id: str, step_key: str) -> None:
    for pool in _pools_of(rows, (run_id, step_key)):
        _drop(rows, (run_id, step_key, pool))


def _free_run(rows: Rows, run_id: str, pool: str | None = None) -> None:
    for slot in rows.select(SLOTS, run_id=run_id):
        if pool in (None, slot.pool):
            _drop(rows, slot[:3])


def _free(rows: Rows, fact: PoolSlotFreed) -> None:
    run_id = keyed(fact.run_id)
    pool = None if fact.pool is None else keyed(fact.pool)
    if fact.step_key is None:
        _free_run(rows, run_id, pool)
    elif pool is None:
        _free_step(rows, run_id, keyed(fact.step_key))
    else:
        _drop(rows, (run_id, keyed(fact.step_key), pool))


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact = record.event.fact
    if record.run_id is not None:
        if isinstance(fact, _STEP_ENDS):
            yield STEP_POOLS, (keyed(record.run_id), keyed(record.event.step_key or ""))
    elif isinstance(fact, PoolSlotRequested | PoolSlotClaimed):
        yield SLOTS, _key(fact)
        yield STEP_POOLS, _key(fact)[:2]
    elif isinstance(fact, PoolLimitSet | PoolDeleted):
        yield POOLS, (keyed(fact.pool),)


_KINDS: Final = (
    *(PoolLimitSet, PoolDeleted, PoolSlotRequested, PoolSlotClaimed, PoolSlotFreed),
    *_STEP_ENDS,
    *_RUN_ENDS,
    *(RunDeleted, HistoryTrimmed),
)
PROJECTION: Final = Projection(
    name="pools",
    version=1,
    topics=Topic.POOL,
    types=frozenset(kind.KIND.name for kind in _KINDS),
    tables=(POOLS, SLOTS, STEP_POOLS),
    keys=keys,
    fold=fold,
    people={"pools": select_all(POOLS), "pool_slots": select_all(SLOTS)},
)
