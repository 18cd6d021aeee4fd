"""Schedulers turn schedules on and off. What a tick does is the daemon's; the state is in the log, in `@ticks`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

from ..config.fields import Field, integer
from ..events.event import Event, Fact
from ..events.schedule import ScheduleReset, ScheduleStarted, ScheduleStopped
from ..log.port import Receipt
from .part import InstancePart

TICKS = "@ticks"


class Scheduler(InstancePart, ABC):
    """Turns schedules on and off. A schedule is named within its code location."""

    @abstractmethod
    def start_schedule(
        self, schedule: str, *, code_location: str | None = None, cron: str | None = None, time_zone: str | None = None
    ) -> Receipt:
        """Turn it on; no time before now is made up for. `cron`, `time_zone`: as they are now, for the record."""

    @abstractmethod
    def stop_schedule(self, schedule: str, *, code_location: str | None = None, reason: str | None = None) -> Receipt:
        """Turn it off."""

    @abstractmethod
    def reset_schedule(self, schedule: str, *, code_location: str | None = None) -> Receipt:
        """Let it do again what its code says: on or off by default."""

    @abstractmethod
    def debug_info(self) -> str:
        """For people: what it works by."""

    @abstractmethod
    def get_logs_path(self, schedule: str) -> Path:
        """The folder on this machine where what the schedule's code prints is kept."""


class DaemonScheduler(Scheduler):
    """Records what is wanted; the daemon, wherever it runs, reads it from the log.

    `max_catchup_runs`: missed times of a partitioned schedule that are made up for, the last ones.
    `max_tick_retries`: further tries of a tick that failed.
    """

    def __init__(self, max_catchup_runs: int = 5, max_tick_retries: int = 0) -> None:
        self.max_catchup_runs = max_catchup_runs
        self.max_tick_retries = max_tick_retries

    @classmethod
    def config_schema(cls) -> Mapping[str, Field]:
        return {"max_catchup_runs": integer(default=5, minimum=0), "max_tick_retries": integer(default=0, minimum=0)}

    def start_schedule(
        self, schedule: str, *, code_location: str | None = None, cron: str | None = None, time_zone: str | None = None
    ) -> Receipt:
        return self._record(
            ScheduleStarted(schedule=schedule, code_location=code_location, cron=cron, time_zone=time_zone)
        )

    def stop_schedule(self, schedule: str, *, code_location: str | None = None, reason: str | None = None) -> Receipt:
        return self._record(ScheduleStopped(schedule=schedule, code_location=code_location, reason=reason))

    def reset_schedule(self, schedule: str, *, code_location: str | None = None) -> Receipt:
        return self._record(ScheduleReset(schedule=schedule, code_location=code_location))

    def debug_info(self) -> str:
        url = self.instance.log.backend.url
        return f"max_catchup_runs {self.max_catchup_runs}, max_tick_retries {self.max_tick_retries}; {TICKS} of {url}"

    def get_logs_path(self, schedule: str) -> Path:
        return self.instance.local_artifact_storage.schedule_folder(schedule)

    def _record(self, fact: Fact) -> Receipt:
        return self.instance.log.append(TICKS, [Event.now(fact)])
