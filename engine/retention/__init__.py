"""Retention: what may go by age, what would go, and letting it go.

    policy.py   which runs, log messages and ticks may go, after how many days
    plan.py     what that comes to now; changes nothing
    apply.py    lets it go: may be stopped at any moment, and goes on where it was stopped

Not here: how bodies are freed and runs deleted (`EventLog.trim`, `EventLog.purge`).
"""

from __future__ import annotations

from .apply import Applied, apply
from .plan import PlannedRun, PlannedTrim, RetentionPlan, plan
from .policy import AgeRule, RetentionPolicy, RunRule

__all__ = [
    "AgeRule",
    "Applied",
    "PlannedRun",
    "PlannedTrim",
    "RetentionPlan",
    "RetentionPolicy",
    "RunRule",
    "apply",
    "plan",
]
