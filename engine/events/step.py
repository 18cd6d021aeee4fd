"""The life of a step. Recorded in the run's shard; the step's key is in the envelope (`Event.step_key`)."""

from __future__ import annotations

import msgspec

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Topic
from .metadata import MetadataValue

__all__ = [
    "HandledOutput",
    "LoadedInput",
    "StepExpectationResult",
    "StepFailed",
    "StepInput",
    "StepOutput",
    "StepRestarted",
    "StepSkipped",
    "StepStarted",
    "StepSucceeded",
    "StepUpForRetry",
    "StepWorkerStarted",
    "StepWorkerStarting",
    "TypeCheck",
]

_END = Topic.STEP | Topic.POOL  # the end of an attempt frees its slots


class TypeCheck(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the type of an input or output said of a value."""

    success: bool
    description: str | None = None
    metadata: dict[str, MetadataValue] = {}


class StepWorkerStarting(Fact):
    """A process for the step is being asked for. Recorded by the run's worker."""

    KIND = Kind("STEP_WORKER_STARTING", Topic.STEP)

    metadata: dict[str, MetadataValue] = {}


class StepWorkerStarted(Fact):
    """A process for the step is there. Recorded by that process."""

    KIND = Kind("STEP_WORKER_STARTED", Topic.STEP)

    host: str | None = None
    process_id: int | None = None
    metadata: dict[str, MetadataValue] = {}


class StepStarted(Fact):
    """A worker began the first attempt at a step. Recorded by that worker. Later attempts: `StepRestarted`."""

    KIND = Kind("STEP_START", Topic.STEP)

    attempt: int = 1  #: 1 for the first try


class StepRestarted(Fact):
    """A worker began another attempt at a step. Recorded by that worker."""

    KIND = Kind("STEP_RESTARTED", Topic.STEP)

    attempt: int  #: 2 for the second try


class StepSucceeded(Fact):
    """An attempt did its work. Recorded by its worker."""

    KIND = Kind("STEP_SUCCESS", _END)

    attempt: int = 1
    duration_us: int | None = None  #: microseconds, by the worker's monotonic clock


class StepFailed(Fact):
    """The step will not be tried again in this run. Recorded by its worker, or the run's worker if that is lost."""

    KIND = Kind("STEP_FAILURE", _END)

    attempt: int = 1
    error: ErrorInfo | None = None
    source: str | None = None  #: `USER_CODE`, `FRAMEWORK`, `INTERRUPT` or another word of its recorder
    metadata: dict[str, MetadataValue] = {}
    duration_us: int | None = None  #: microseconds, by the worker's monotonic clock


class StepUpForRetry(Fact):
    """An attempt failed, and another will be made. Recorded by its worker."""

    KIND = Kind("STEP_UP_FOR_RETRY", _END)

    attempt: int = 1  #: the one that failed
    wait_us: int = 0  #: microseconds to wait before the next attempt
    error: ErrorInfo | None = None
    metadata: dict[str, MetadataValue] = {}


class StepSkipped(Fact):
    """The step was not executed, for what it needs was not made. Recorded by the run's worker."""

    KIND = Kind("STEP_SKIPPED", Topic.STEP)

    reason: str | None = None


class StepInput(Fact):
    """A value was bound to an input. Recorded by the step's worker."""

    KIND = Kind("STEP_INPUT", Topic.STEP)

    input_name: str
    type_check: TypeCheck | None = None


class StepOutput(Fact):
    """The step yielded an output. Recorded by its worker."""

    KIND = Kind("STEP_OUTPUT", Topic.STEP)

    output_name: str
    mapping_key: str | None = None  #: of a dynamic output
    type_check: TypeCheck | None = None
    metadata: dict[str, MetadataValue] = {}
    version: str | None = None  #: of the value, where steps are memoized


class LoadedInput(Fact):
    """An IO manager loaded an input. Recorded by the step's worker."""

    KIND = Kind("LOADED_INPUT", Topic.STEP)

    input_name: str
    manager_key: str  #: the resource that is the IO manager
    upstream_step_key: str | None = None
    upstream_output_name: str | None = None
    metadata: dict[str, MetadataValue] = {}


class HandledOutput(Fact):
    """An IO manager stored an output. Recorded by the step's worker."""

    KIND = Kind("HANDLED_OUTPUT", Topic.STEP)

    output_name: str
    manager_key: str  #: the resource that is the IO manager
    mapping_key: str | None = None
    metadata: dict[str, MetadataValue] = {}


class StepExpectationResult(Fact):
    """User code said whether an expectation holds. Recorded by the step's worker."""

    KIND = Kind("STEP_EXPECTATION_RESULT", Topic.STEP)

    success: bool
    label: str | None = None
    description: str | None = None
    metadata: dict[str, MetadataValue] = {}
