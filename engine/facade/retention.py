"""Retention: what may go by age, and letting it go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..errors import UsageError
from .reporting import Reporting

if TYPE_CHECKING:
    from ..retention import Applied, RetentionPlan, RetentionPolicy


class RetentionUpkeep(Reporting):
    """What goes by age. Ages are counted from `now_us`: by default, this machine's clock."""

    def plan_retention(self, policy: RetentionPolicy, *, now_us: int | None = None, limit: int = 1000) -> RetentionPlan:
        """What would go, and how many events and bytes that is; changes nothing.

        `limit`: how many runs one plan takes, the earliest created first (1 to 10,000); `more` says if there are more.
        """
        from ..retention import RetentionPolicy, plan

        if not isinstance(policy, RetentionPolicy):
            raise _no_policy(policy)
        return plan(self, policy, _now(now_us), limit=limit)

    def apply_retention(
        self,
        what: RetentionPlan | RetentionPolicy,
        *,
        now_us: int | None = None,
        limit: int = 1000,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Applied:
        """Delete the runs and free the facts of a plan, or of what a policy comes to now, for good.

        Readers and writers go on. Interrupted at any moment, the next call completes what was begun. `progress`:
        called with what goes, how much of it is gone, and of how much.
        """
        from ..retention import RetentionPlan, RetentionPolicy, apply

        if not isinstance(what, RetentionPlan | RetentionPolicy):
            raise _no_policy(what)
        return apply(self, what, now_us=_now(now_us), limit=limit, progress=progress)


def _no_policy(given: object) -> UsageError:
    error = UsageError(f"{given!r:.80} is no RetentionPolicy")
    error.remedy = "A mapping becomes one by RetentionPolicy.from_mapping(...)."
    return error


def _now(now_us: int | None) -> int:
    return time.time_ns() // 1000 if now_us is None else now_us
