"""Resources made ready for a process. In the run's shard; the step, if it is a step's process, is in the envelope."""

from __future__ import annotations

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Topic

__all__ = ["ResourceInitFailed", "ResourceInitStarted", "ResourceInitSucceeded"]


class ResourceInitStarted(Fact):
    """A process began to make resources ready. Recorded by that process."""

    KIND = Kind("RESOURCE_INIT_STARTED", Topic.STEP)

    resource_keys: tuple[str, ...]


class ResourceInitSucceeded(Fact):
    """They are ready. Recorded by the same process."""

    KIND = Kind("RESOURCE_INIT_SUCCESS", Topic.STEP)

    resource_keys: tuple[str, ...]
    durations_us: dict[str, int] = {}  #: resource to microseconds, by the process's monotonic clock


class ResourceInitFailed(Fact):
    """One of them could not be made ready. Recorded by the same process."""

    KIND = Kind("RESOURCE_INIT_FAILURE", Topic.STEP)

    resource_keys: tuple[str, ...]
    error: ErrorInfo | None = None
