"""Schedules and sensors, switched on and off, and where they have got to. In `@ticks`; single ticks: tick.py.

All of these are kept: the state of a schedule never depends on how long ticks are kept.
"""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic

__all__ = [
    "ScheduleAdvanced",
    "ScheduleReset",
    "ScheduleStarted",
    "ScheduleStopped",
    "SensorCursorSet",
    "SensorReset",
    "SensorStarted",
    "SensorStopped",
]


class ScheduleStarted(Fact):
    """A schedule was turned on; no time before this one is made up for. Recorded by whoever turns it on."""

    KIND = Kind("SCHEDULE_STARTED", Topic.SCHEDULE, Retention.KEPT)

    schedule: str  #: name, unique within the code location
    code_location: str | None = None
    cron: str | None = None  #: the times, as they were written when it was turned on
    time_zone: str | None = None  #: IANA name; None: UTC


class ScheduleStopped(Fact):
    """A schedule was turned off. Recorded by whoever turns it off, or the daemon when its code is gone."""

    KIND = Kind("SCHEDULE_STOPPED", Topic.SCHEDULE, Retention.KEPT)

    schedule: str
    code_location: str | None = None
    reason: str | None = None


class ScheduleReset(Fact):
    """A schedule does again what its code says: on or off by default. Recorded by whoever resets it."""

    KIND = Kind("SCHEDULE_RESET", Topic.SCHEDULE, Retention.KEPT)

    schedule: str
    code_location: str | None = None


class ScheduleAdvanced(Fact):
    """All times up to this one are dealt with, tick or no tick. Recorded by the scheduler.

    Apart from ticks, so that purged ticks or an edited cron replay nothing.
    """

    KIND = Kind("SCHEDULE_ADVANCED", Topic.SCHEDULE, Retention.KEPT)

    schedule: str
    through_us: int  #: scheduled time: microseconds since 1970-01-01 UTC
    code_location: str | None = None


class SensorStarted(Fact):
    """A sensor was turned on. Recorded by whoever turns it on."""

    KIND = Kind("SENSOR_STARTED", Topic.SCHEDULE, Retention.KEPT)

    sensor: str  #: name, unique within the code location
    code_location: str | None = None
    minimum_interval_us: int | None = None  #: microseconds between two evaluations
    automatic: bool = False  #: by its default, not by a person


class SensorStopped(Fact):
    """A sensor was turned off. Recorded by whoever turns it off, or the daemon when its code is gone."""

    KIND = Kind("SENSOR_STOPPED", Topic.SCHEDULE, Retention.KEPT)

    sensor: str
    code_location: str | None = None
    reason: str | None = None


class SensorReset(Fact):
    """A sensor does again what its code says: on or off by default. Its cursor stays. Recorded by whoever resets it."""

    KIND = Kind("SENSOR_RESET", Topic.SCHEDULE, Retention.KEPT)

    sensor: str
    code_location: str | None = None


class SensorCursorSet(Fact):
    """A sensor's cursor was moved apart from a tick that asked for runs: by a person, or by a skipped tick."""

    KIND = Kind("SENSOR_CURSOR_SET", Topic.SCHEDULE, Retention.KEPT)

    sensor: str
    cursor: str | None  #: the sensor's own text; None: from the start
    code_location: str | None = None
