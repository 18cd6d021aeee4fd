"""Concurrency pools: how many steps may be at work at once. In `@pools`.

Limits are kept. Claims may go by age once their step is done; the end of a step or run frees its slots as well, so a
slot is free when POOL_SLOT_FREED, the end of the attempt or the end of the run says so.
"""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic

__all__ = ["PoolDeleted", "PoolLimitSet", "PoolSlotClaimed", "PoolSlotFreed", "PoolSlotRequested"]


class PoolLimitSet(Fact):
    """A pool has this many slots from now on. Recorded by whoever sets it; work in excess is not stopped."""

    KIND = Kind("POOL_LIMIT_SET", Topic.POOL, Retention.KEPT)

    pool: str
    limit: int  #: slots, 0 to 1000
    is_default: bool = False  #: the deployment's default, which a later change of it replaces


class PoolDeleted(Fact):
    """A pool has no limit of its own any more. Recorded by whoever deletes it."""

    KIND = Kind("POOL_DELETED", Topic.POOL, Retention.KEPT)

    pool: str


class PoolSlotRequested(Fact):
    """A step waits for a slot. Recorded by the run's worker, once per step."""

    KIND = Kind("POOL_SLOT_REQUESTED", Topic.POOL, Retention.TICK)

    pool: str
    run_id: str
    step_key: str
    priority: int = 0  #: the run's and the step's together; greater goes first


class PoolSlotClaimed(Fact):
    """A step has a slot. Recorded by the run's worker; a second claim of the same step takes no second slot."""

    KIND = Kind("POOL_SLOT_CLAIMED", Topic.POOL, Retention.TICK)

    pool: str
    run_id: str
    step_key: str


class PoolSlotFreed(Fact):
    """A step, or a whole run, gives back what it had or waited for. Recorded by its worker, or by a person."""

    KIND = Kind("POOL_SLOT_FREED", Topic.POOL, Retention.TICK)

    run_id: str
    step_key: str | None = None  #: None: all steps of the run
    pool: str | None = None  #: None: all pools
