"""What may go, and after how many days: the rules, and how they are read from a configuration.

    RetentionPolicy.from_mapping({"runs": {"after_days": 90, "statuses": ["SUCCESS"]}, "ticks": {"after_days": 7}})

Not here: where a configuration comes from; what a policy comes to (plan.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import UsageError
from ..events.run import RunStatus

DAY_US: Final = 86_400_000_000
MAX_DAYS: Final = 36_500
FINISHED: Final = tuple(status for status in RunStatus if status.is_finished)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeRule:
    """Facts of one class go when they were recorded more than so many days ago, by the store's clock."""

    after_days: float  #: 0 to 36,500

    def __post_init__(self) -> None:
        _check_days(self.after_days, "after_days")

    def cutoff_us(self, now_us: int) -> int:
        """What is older than this may go."""
        return now_us - round(self.after_days * DAY_US)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRule(AgeRule):
    """Runs are deleted when they ended more than so many days ago, by the clock of whoever ended them."""

    statuses: tuple[RunStatus, ...] | None = None  #: only runs that ended so; None: however they ended
    keep_assets: bool = True  #: what they did to assets stays

    def __post_init__(self) -> None:
        _check_days(self.after_days, "after_days")
        if self.statuses is not None:
            object.__setattr__(self, "statuses", tuple(_status(one, "statuses") for one in self.statuses))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """What may go by age. What has no rule stays."""

    runs: RunRule | None = None  #: finished runs, as a whole
    log_messages: AgeRule | None = None  #: facts of `Retention.LOG`: log lines, notes of the engine, captured output
    ticks: AgeRule | None = None  #: facts of `Retention.TICK` in system shards: ticks that did nothing, slots, daemons

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], *, where: str = "retention") -> RetentionPolicy:
        """The policy that a configuration spells.

        Keys: `runs` (`after_days`, `statuses`, `keep_assets`), `log_messages` and `ticks` (`after_days`); all may be
        left out. Raises UsageError that names the key (below `where`), its value, and what is allowed.
        """
        parts = _keys(mapping, where, ("runs", "log_messages", "ticks"))
        return cls(
            runs=_run_rule(parts["runs"], f"{where}.runs") if "runs" in parts else None,
            log_messages=_age_rule(parts["log_messages"], f"{where}.log_messages") if "log_messages" in parts else None,
            ticks=_age_rule(parts["ticks"], f"{where}.ticks") if "ticks" in parts else None,
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing may ever go."""
        return self.runs is None and self.log_messages is None and self.ticks is None


def _age_rule(value: object, where: str) -> AgeRule:
    return AgeRule(after_days=_days(_keys(value, where, ("after_days",)), where))


def _run_rule(value: object, where: str) -> RunRule:
    parts = _keys(value, where, ("after_days", "statuses", "keep_assets"))
    keep = parts.get("keep_assets", True)
    if not isinstance(keep, bool):
        raise UsageError(f"{where}.keep_assets: {keep!r} is not allowed; write true or false")
    statuses = parts.get("statuses")
    if statuses is not None:
        if isinstance(statuses, str) or not isinstance(statuses, list | tuple) or not statuses:
            raise UsageError(f"{where}.statuses: {statuses!r} is not allowed; write a list of some of {_names()}")
        statuses = tuple(_status(one, f"{where}.statuses") for one in statuses)
    return RunRule(after_days=_days(parts, where), statuses=statuses, keep_assets=keep)


def _keys(value: object, where: str, allowed: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: {value!r} is not allowed; write a mapping with the keys {', '.join(allowed)}")
    for key in value:
        if key not in allowed:
            raise UsageError(
                f"{where}: the key {key!r} is not known (value {value[key]!r}); allowed: {', '.join(allowed)}"
            )
    return value


def _days(parts: Mapping[str, Any], where: str) -> float:
    if "after_days" not in parts:
        raise UsageError(f"{where}.after_days is missing; write a number of days from 0 to {MAX_DAYS:,}")
    days = parts["after_days"]
    _check_days(days, f"{where}.after_days")
    return float(days) if isinstance(days, float) else int(days)


def _check_days(days: object, where: str) -> None:
    good = isinstance(days, int | float) and not isinstance(days, bool) and math.isfinite(days)
    if not good or not 0 <= days <= MAX_DAYS:  # type: ignore[operator]
        raise UsageError(f"{where}: {days!r} is not allowed; write a number of days from 0 to {MAX_DAYS:,}")


def _status(value: object, where: str) -> RunStatus:
    if value not in FINISHED:
        raise UsageError(f"{where}: {value!r} is not allowed; only runs that have ended may go: {_names()}")
    return RunStatus(str(value))


def _names() -> str:
    return ", ".join(str(status.value) for status in FINISHED)
