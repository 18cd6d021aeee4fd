"""Ticks: each evaluation of a schedule, a sensor or automation. In `@ticks`.

Outcomes that did something (TICK_REQUESTED, TICK_SUCCESS, TICK_FAILURE) are kept; that a tick began, or found nothing
to do, may go by age. So a view writes from TICK_STARTED and TICK_SKIPPED only rows of that tick; a skipped tick that
moves the cursor is appended together with SENSOR_CURSOR_SET.
"""

from __future__ import annotations

import msgspec

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Retention, Topic
from .key import AssetKey

__all__ = ["RunRequested", "TickFailed", "TickRequested", "TickSkipped", "TickStarted", "TickSucceeded"]


class RunRequested(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A run that a tick asks for, under the id it will have: asking again creates no second one."""

    run_id: str
    run_key: str | None = None  #: unique for ever within the sensor, or within one time of a schedule
    job_name: str | None = None
    partition: str | None = None
    tags: dict[str, str] = {}
    asset_selection: tuple[AssetKey, ...] | None = None


class TickStarted(Fact):
    """An evaluation began. Recorded by the daemon before user code runs."""

    KIND = Kind("TICK_STARTED", Topic.SCHEDULE, Retention.TICK)

    tick_id: str
    instigator: str  #: name of the schedule, the sensor or the automation sensor
    instigator_type: str = "SENSOR"  #: `SCHEDULE`, `SENSOR` or `AUTOMATION`
    code_location: str | None = None
    scheduled_us: int | None = None  #: the time that is evaluated: microseconds since 1970-01-01 UTC; None: a sensor
    attempt: int = 1  #: 1 for the first try


class TickRequested(Fact):
    """User code answered: these runs, and the cursor after them. Recorded by the daemon before it creates any run.

    One fact holds all of it, so a daemon that dies goes on where this one says.
    """

    KIND = Kind("TICK_REQUESTED", Topic.SCHEDULE, Retention.KEPT)

    tick_id: str
    instigator: str
    instigator_type: str = "SENSOR"
    code_location: str | None = None
    scheduled_us: int | None = None
    runs: tuple[RunRequested, ...] = ()
    cursor: str | None = None  #: None: not moved


class TickSucceeded(Fact):
    """All that the tick asked for is there. Recorded by the daemon."""

    KIND = Kind("TICK_SUCCESS", Topic.SCHEDULE, Retention.KEPT)

    tick_id: str
    instigator: str
    instigator_type: str = "SENSOR"
    code_location: str | None = None
    scheduled_us: int | None = None
    run_ids: tuple[str, ...] = ()  #: runs created, or found under their run key
    run_keys: tuple[str, ...] = ()  #: run keys now used up


class TickSkipped(Fact):
    """The evaluation found nothing to do. Recorded by the daemon."""

    KIND = Kind("TICK_SKIPPED", Topic.SCHEDULE, Retention.TICK)

    tick_id: str
    instigator: str
    instigator_type: str = "SENSOR"
    code_location: str | None = None
    scheduled_us: int | None = None
    reason: str | None = None  #: as user code put it


class TickFailed(Fact):
    """The evaluation raised, or ran out of time. Recorded by the daemon."""

    KIND = Kind("TICK_FAILURE", Topic.SCHEDULE, Retention.KEPT)

    tick_id: str
    instigator: str
    instigator_type: str = "SENSOR"
    code_location: str | None = None
    scheduled_us: int | None = None
    failure_count: int = 1  #: failures of this tick that count; code that cannot be reached does not
    error: ErrorInfo | None = None
    cursor: str | None = None  #: moved in spite of the failure (sensors of run status); None: not moved
