"""Concurrency pools: limits, and who has or waits for a slot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import UsageError
from ..log.port import Receipt
from .base import LIMIT, Facade, check_limit, check_name

if TYPE_CHECKING:
    from ..views.orchestration_records import PoolRecord, SlotRecord

POOLS = "@pools"  #: the shard of pools
SLOTS_MAX = 1000


class Pools(Facade):
    """How many steps may be at work at once, and which are."""

    def set_pool_limit(self, pool: str, limit: int, *, is_default: bool = False) -> Receipt:
        """Give a pool this many slots from now on; work in excess is not stopped.

        `limit`: 0 to 1,000. `is_default`: it is the deployment's default.
        """
        from ..events.pool import PoolLimitSet

        check_name("pool", pool)
        if type(limit) is not int or not 0 <= limit <= SLOTS_MAX:
            raise UsageError(f"pool {pool}: limit={limit!r} is no whole number from 0 to {SLOTS_MAX:,}")
        return self._tell(POOLS, PoolLimitSet(pool=pool, limit=limit, is_default=is_default))

    def delete_pool(self, pool: str) -> Receipt:
        """Take a pool's limit away. Steps that have slots of it keep them."""
        from ..events.pool import PoolDeleted

        check_name("pool", pool)
        return self._tell(POOLS, PoolDeleted(pool=pool))

    def free_slots_for_run(self, run_id: str, *, pool: str | None = None) -> Receipt:
        """Take back what all steps of a run have or wait for, of one pool or of all."""
        from ..events.pool import PoolSlotFreed

        return self._tell(POOLS, PoolSlotFreed(run_id=run_id, pool=pool))

    def free_slots_for_step(self, run_id: str, step_key: str, *, pool: str | None = None) -> Receipt:
        """Take back what a step has or waits for, of one pool or of all."""
        from ..events.pool import PoolSlotFreed

        return self._tell(POOLS, PoolSlotFreed(run_id=run_id, step_key=step_key, pool=pool))

    def get_pools(self, *, cursor: str | None = None, limit: int = LIMIT) -> list[PoolRecord]:
        """The pools that have a limit, by name. `cursor`: a name; the answer goes on behind it."""
        from ..views import pool_queries

        check_limit(limit)
        with self.views.asking("pools", "runs") as (connection, tables):
            return pool_queries.pools(connection, tables, after=cursor, limit=limit)

    def get_pool(self, pool: str) -> PoolRecord | None:
        """The pool, and how many steps have or want a slot; None if it has no limit and nobody uses it."""
        from ..views import pool_queries

        with self.views.asking("pools", "runs") as (connection, tables):
            return pool_queries.pool(connection, tables, pool)

    def get_claimed_slots(
        self, pool: str, *, cursor: tuple[str, str] | None = None, limit: int = LIMIT
    ) -> list[SlotRecord]:
        """The steps that have a slot of the pool, the greatest priority first, then by when they asked.

        `cursor`: run id and step key to go on behind; empty if that step has no slot any more.
        """
        return self._slots(pool, False, cursor, limit)

    def get_waiting_steps(
        self, pool: str, *, cursor: tuple[str, str] | None = None, limit: int = LIMIT
    ) -> list[SlotRecord]:
        """The steps that wait for a slot of the pool, in the order in which they are to have one."""
        return self._slots(pool, True, cursor, limit)

    def _slots(self, pool: str, waiting: bool, cursor: tuple[str, str] | None, limit: int) -> list[SlotRecord]:
        from ..views import pool_queries

        check_limit(limit)
        with self.views.asking("pools", "runs") as (connection, tables):
            return pool_queries.slots(connection, tables, pool, waiting=waiting, after=cursor, limit=limit)
