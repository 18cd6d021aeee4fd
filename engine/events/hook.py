"""Hooks: what users asked to be done when a step succeeds or fails. In the run's shard; the step is in the envelope."""

from __future__ import annotations

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Topic

__all__ = ["HookCompleted", "HookErrored", "HookSkipped"]


class HookCompleted(Fact):
    """A hook ran. Recorded by the step's worker."""

    KIND = Kind("HOOK_COMPLETED", Topic.STEP)

    hook: str


class HookErrored(Fact):
    """A hook raised; the step's own outcome stands. Recorded by the step's worker."""

    KIND = Kind("HOOK_ERRORED", Topic.STEP)

    hook: str
    error: ErrorInfo | None = None


class HookSkipped(Fact):
    """A hook did not apply. Recorded by the step's worker."""

    KIND = Kind("HOOK_SKIPPED", Topic.STEP)

    hook: str
