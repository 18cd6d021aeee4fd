"""Which class a stable name stands for, and how facts of older versions become facts of today.

What is on disk is a name and a version, never a class path: only the classes in this table and those registered by
the running program are ever made from bytes. Built-in classes load when their name is first met.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from ..engine import events
from ..engine.errors import CorruptLogError, UsageError
from ..engine.events.event import Event, Fact, Kind, Opaque, Retention, Topic
from .shape import Shape, shape_of

C = TypeVar("C", bound=type[Fact])
Body: TypeAlias = dict[str, Any]  #: a fact as plain values, as the msgpack package reads it
Step: TypeAlias = Callable[[Body], Body]
S = TypeVar("S", bound=Step)

#: Stable name to the class in `engine.events`. Names are never reused; a class may be renamed here at will.
BUILT_IN: Final[dict[str, str]] = {
    # asset
    "ASSET_MATERIALIZATION": "AssetMaterialization",
    "ASSET_OBSERVATION": "AssetObservation",
    "ASSET_MATERIALIZATION_PLANNED": "AssetMaterializationPlanned",
    "ASSET_FAILED_TO_MATERIALIZE": "AssetFailedToMaterialize",
    "ASSET_WIPED": "AssetWiped",
    "ASSET_FRESHNESS_CHANGED": "AssetFreshnessChanged",
    # backfill
    "BACKFILL_REQUESTED": "BackfillRequested",
    "BACKFILL_PROGRESSED": "BackfillProgressed",
    "BACKFILL_CANCELING": "BackfillCanceling",
    "BACKFILL_CANCELED": "BackfillCanceled",
    "BACKFILL_COMPLETED": "BackfillCompleted",
    "BACKFILL_FAILED": "BackfillFailed",
    # check
    "ASSET_CHECK_EVALUATION_PLANNED": "AssetCheckEvaluationPlanned",
    "ASSET_CHECK_EVALUATION": "AssetCheckEvaluation",
    # hook
    "HOOK_COMPLETED": "HookCompleted",
    "HOOK_ERRORED": "HookErrored",
    "HOOK_SKIPPED": "HookSkipped",
    # instance
    "VALUES_SET": "ValuesSet",
    "DAEMON_STARTED": "DaemonStarted",
    "DAEMON_STOPPED": "DaemonStopped",
    "DAEMON_FAILED": "DaemonFailed",
    "AUTOMATION_EVALUATED": "AutomationEvaluated",
    # log
    "LOG_MESSAGE": "LogMessage",
    "ENGINE_EVENT": "EngineEvent",
    "LOGS_CAPTURED": "LogsCaptured",
    # partition
    "PARTITIONS_ADDED": "PartitionsAdded",
    "PARTITIONS_DELETED": "PartitionsDeleted",
    # pool
    "POOL_LIMIT_SET": "PoolLimitSet",
    "POOL_DELETED": "PoolDeleted",
    "POOL_SLOT_REQUESTED": "PoolSlotRequested",
    "POOL_SLOT_CLAIMED": "PoolSlotClaimed",
    "POOL_SLOT_FREED": "PoolSlotFreed",
    # queue
    "RUN_ADMITTED": "RunAdmitted",
    "RUN_RELEASED": "RunReleased",
    "CODE_LOCATION_PAUSED": "CodeLocationPaused",
    "CODE_LOCATION_RESUMED": "CodeLocationResumed",
    # resource
    "RESOURCE_INIT_STARTED": "ResourceInitStarted",
    "RESOURCE_INIT_SUCCESS": "ResourceInitSucceeded",
    "RESOURCE_INIT_FAILURE": "ResourceInitFailed",
    # run
    "RUN_CREATED": "RunCreated",
    "RUN_ENQUEUED": "RunEnqueued",
    "RUN_DEQUEUED": "RunDequeued",
    "RUN_STARTING": "RunStarting",
    "RUN_LAUNCHED": "RunLaunched",
    "RUN_START": "RunStarted",
    "RUN_SUSPENDED": "RunSuspended",
    "RUN_RESUMED": "RunResumed",
    "RUN_SUCCESS": "RunSucceeded",
    "RUN_FAILURE": "RunFailed",
    "RUN_CANCELING": "RunCanceling",
    "RUN_CANCELED": "RunCanceled",
    "RUN_TAGS_ADDED": "RunTagsAdded",
    "RUN_TAGS_REMOVED": "RunTagsRemoved",
    # schedule
    "SCHEDULE_STARTED": "ScheduleStarted",
    "SCHEDULE_STOPPED": "ScheduleStopped",
    "SCHEDULE_RESET": "ScheduleReset",
    "SCHEDULE_ADVANCED": "ScheduleAdvanced",
    "SENSOR_STARTED": "SensorStarted",
    "SENSOR_STOPPED": "SensorStopped",
    "SENSOR_RESET": "SensorReset",
    "SENSOR_CURSOR_SET": "SensorCursorSet",
    # snapshot
    "JOB_SNAPSHOT": "JobSnapshot",
    "PLAN_SNAPSHOT": "PlanSnapshot",
    # step
    "STEP_WORKER_STARTING": "StepWorkerStarting",
    "STEP_WORKER_STARTED": "StepWorkerStarted",
    "STEP_START": "StepStarted",
    "STEP_RESTARTED": "StepRestarted",
    "STEP_SUCCESS": "StepSucceeded",
    "STEP_FAILURE": "StepFailed",
    "STEP_UP_FOR_RETRY": "StepUpForRetry",
    "STEP_SKIPPED": "StepSkipped",
    "STEP_INPUT": "StepInput",
    "STEP_OUTPUT": "StepOutput",
    "LOADED_INPUT": "LoadedInput",
    "HANDLED_OUTPUT": "HandledOutput",
    "STEP_EXPECTATION_RESULT": "StepExpectationResult",
    # tick
    "TICK_STARTED": "TickStarted",
    "TICK_REQUESTED": "TickRequested",
    "TICK_SUCCESS": "TickSucceeded",
    "TICK_SKIPPED": "TickSkipped",
    "TICK_FAILURE": "TickFailed",
    # tombstone
    "RUN_DELETED": "RunDeleted",
    "HISTORY_TRIMMED": "HistoryTrimmed",
}

_NO_TOPIC = Topic(0)
_NAME = re.compile(r"[A-Z][A-Z0-9_.:-]{0,99}")
_encoder = msgspec.msgpack.Encoder(order="deterministic")
_registered: dict[str, type[Fact]] = {}
_steps: dict[tuple[str, int], Step] = {}


class Known:
    """A kind made ready: what the codec needs to write and read facts of one class."""

    __slots__ = ("check", "cls", "decode", "flags", "name", "prefix", "shape", "version")

    def __init__(self, cls: type[Fact]) -> None:
        kind = cls.KIND
        self.cls = cls
        self.name = kind.name
        self.version = kind.version
        self.flags = kind.flags
        self.prefix = prefix_of(kind.name, kind.version)
        self.shape: Shape = shape_of(cls)
        self.check: Callable[[Any], bool] = self.shape.ok
        self.decode: Callable[[bytes], Event[Any]] = msgspec.msgpack.Decoder(Event[cls]).decode  # type: ignore[valid-type]


def prefix_of(name: str, version: int) -> bytes:
    """What stands before a fact's bytes in the digest: the head of the array [name, version, fact], and both."""
    return b"\x93" + _encoder.encode(name) + _encoder.encode(version)


by_name: dict[str, Known] = {}  #: kinds met so far; filled by `find` and `find_class`
by_class: dict[type, Known] = {}


def find(name: str) -> Known | None:
    """The kind of that name, loaded if need be; None if this process knows none."""
    known = by_name.get(name)
    if known is None:
        cls = _registered.get(name)
        if cls is None:
            if name not in BUILT_IN:
                return None
            cls = getattr(events, BUILT_IN[name])
        known = by_name[name] = by_class[cls] = Known(cls)
    return known


def find_class(cls: type) -> Known:
    """The kind of facts of `cls`. Raises UsageError if the class is not one of the table's."""
    known = by_class.get(cls)
    if known is None:
        kind = getattr(cls, "KIND", None)
        known = find(kind.name) if isinstance(kind, Kind) else None
        if known is None or known.cls is not cls:
            raise UsageError(
                f'{cls.__module__}.{cls.__qualname__} is not registered; decorate it: @foldlog.register("NAME")'
            )
    return known


def register(
    name: str, *, version: int = 1, topics: Topic = _NO_TOPIC, retention: Retention = Retention.RUN
) -> Callable[[C], C]:
    """Decorate a subclass of `Fact` so that events may carry it, under `name` and `version` on disk.

    `name`: capitals, digits, `_ . : -`, at most 100; not a built-in name, nor another class's.
    `version`: 1 to 127; raise it when a field's meaning, name, type or default changes, and add an `upcast`.
    `topics`: what views it concerns; a process that does not know the kind stops views of these topics only.
    `retention`: what a purge does with it. Topics and retention are stored beside each record as it is written.

    Raises UsageError if one of these does not hold, or the class has a field that cannot be stored.
    """

    if not isinstance(name, str):
        raise UsageError('give the kind a name: @foldlog.register("MY_EVENT")')

    def decorate(cls: C) -> C:
        _refuse(name, version, cls)
        cls.KIND = Kind(name, int(topics), int(retention), version)
        try:
            known = Known(cls)
        except TypeError as error:
            raise UsageError(f"{name}: {cls.__qualname__} has a field that cannot be stored: {error}") from error
        _registered[name] = cls
        by_name[name] = by_class[cls] = known
        return cls

    return decorate


def _refuse(name: str, version: int, cls: type) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Fact) and not issubclass(cls, Opaque)):
        raise UsageError(f"{name}: {cls!r} is no subclass of Fact")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a kind: capitals, digits and _ . : - only, at most 100")
    if not 1 <= version <= 127:
        raise UsageError(f"{name}: version {version} is not from 1 to 127")
    if name in BUILT_IN:
        raise UsageError(f"{name} is a built-in kind; choose another name, with a prefix of your own")
    if "KIND" in cls.__dict__ and cls.__dict__["KIND"].name != name:
        raise UsageError(f"{cls.__qualname__} is registered already, as {cls.__dict__['KIND'].name}")
    other = _registered.get(name)
    # The same class once more is a module loaded again, not a clash.
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise UsageError(f"{name} is taken by {other.__module__}.{other.__qualname__}")


def upcast(name: str, *, from_version: int) -> Callable[[S], S]:
    """Decorate a function that turns a fact of `from_version`, as plain values, into one of the next version.

    It gets a dict of its own, as read from msgpack (structs of the array form are lists), and returns a dict. It must
    be pure, and stays for ever: bytes of every version stay readable.

    Raises UsageError if that step is there already.
    """

    def decorate(step: S) -> S:
        other = _steps.get((name, from_version))
        if other is not None and (other.__module__, other.__qualname__) != (step.__module__, step.__qualname__):
            raise UsageError(f"{name}: the step from version {from_version} is there already: {other.__qualname__}")
        _steps[name, from_version] = step
        return step

    return decorate


def lift(known: Known, body: Body, version: int) -> Body:
    """`body` as the newest version has it, step by step.

    Raises UsageError if a step is missing, CorruptLogError if one raises: it met what its version never wrote.
    """
    for older in range(version, known.version):
        step = _steps.get((known.name, older))
        if step is None:
            raise UsageError(f"{known.name}: no upcast from version {older}; decorate one: @foldlog.upcast")
        try:
            body = dict(step(body))
        except Exception as error:  # code of users; whatever it raises, the record is what cannot be read
            raise CorruptLogError(
                f"{known.name}: the upcast from version {older} failed: {type(error).__name__}: {error}"
            ) from error
    return body
