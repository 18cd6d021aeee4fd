"""Schedules and sensors: their state, their ticks, the run keys they have used up."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from ..events.event import Fact
from ..log.port import Receipt
from .base import LIMIT, Facade, check_limit, check_name, check_statuses, texts

if TYPE_CHECKING:
    from ..views.orchestration_records import InstigatorState, TickRecord

TICKS = "@ticks"  #: the shard of schedules, sensors and their ticks


class Schedules(Facade):
    """Schedules and sensors, as whoever turns them on and off, or watches them, sees them."""

    # -- to do --------------------------------------------------------------------------------------------------

    def start_schedule(
        self, name: str, *, code_location: str | None = None, cron: str | None = None, time_zone: str | None = None
    ) -> Receipt:
        """Turn a schedule on; no time before now is made up for. `cron`, `time_zone`: to show, as its code has them."""
        from ..events.schedule import ScheduleStarted

        return self._say(
            name, ScheduleStarted(schedule=name, code_location=code_location, cron=cron, time_zone=time_zone)
        )

    def stop_schedule(self, name: str, *, code_location: str | None = None, reason: str | None = None) -> Receipt:
        """Turn a schedule off."""
        from ..events.schedule import ScheduleStopped

        return self._say(name, ScheduleStopped(schedule=name, code_location=code_location, reason=reason))

    def reset_schedule(self, name: str, *, code_location: str | None = None) -> Receipt:
        """Let a schedule be on or off as its code says."""
        from ..events.schedule import ScheduleReset

        return self._say(name, ScheduleReset(schedule=name, code_location=code_location))

    def start_sensor(
        self,
        name: str,
        *,
        code_location: str | None = None,
        minimum_interval_us: int | None = None,
        automatic: bool = False,
    ) -> Receipt:
        """Turn a sensor on. `minimum_interval_us`: microseconds between two evaluations.

        `automatic`: by its default, not by a person.
        """
        from ..events.schedule import SensorStarted

        fact = SensorStarted(
            sensor=name, code_location=code_location, minimum_interval_us=minimum_interval_us, automatic=automatic
        )
        return self._say(name, fact)

    def stop_sensor(self, name: str, *, code_location: str | None = None, reason: str | None = None) -> Receipt:
        """Turn a sensor off. Its cursor stays."""
        from ..events.schedule import SensorStopped

        return self._say(name, SensorStopped(sensor=name, code_location=code_location, reason=reason))

    def reset_sensor(self, name: str, *, code_location: str | None = None) -> Receipt:
        """Let a sensor be on or off as its code says. Its cursor stays."""
        from ..events.schedule import SensorReset

        return self._say(name, SensorReset(sensor=name, code_location=code_location))

    def set_sensor_cursor(self, name: str, cursor: str | None, *, code_location: str | None = None) -> Receipt:
        """Move a sensor's cursor by hand; None: to the start."""
        from ..events.schedule import SensorCursorSet

        return self._say(name, SensorCursorSet(sensor=name, cursor=cursor, code_location=code_location))

    def _say(self, name: str, fact: Fact) -> Receipt:
        check_name("name", name)
        return self._tell(TICKS, fact)

    # -- to ask: states -----------------------------------------------------------------------------------------

    def get_schedule_states(
        self,
        *,
        statuses: Collection[str] | None = None,
        cursor: tuple[str | None, str] | None = None,
        limit: int = LIMIT,
    ) -> list[InstigatorState]:
        """Schedules of which something was recorded, by code location and name.

        `statuses`: RUNNING, STOPPED, DECLARED_IN_CODE. `cursor`: code location and name to go on behind.
        """
        return self._states("SCHEDULE", statuses, cursor, limit)

    def get_sensor_states(
        self,
        *,
        statuses: Collection[str] | None = None,
        cursor: tuple[str | None, str] | None = None,
        limit: int = LIMIT,
    ) -> list[InstigatorState]:
        """Sensors of which something was recorded, as `get_schedule_states` lists schedules."""
        return self._states("SENSOR", statuses, cursor, limit)

    def _states(
        self,
        instigator_type: str,
        statuses: Collection[str] | None,
        cursor: tuple[str | None, str] | None,
        limit: int,
    ) -> list[InstigatorState]:
        from ..views import instigator_queries, instigators

        check_limit(limit)
        check_statuses(statuses, instigator_queries.STATUSES)
        after = None if cursor is None else (cursor[0] or "", cursor[1])
        with self.views.asking("instigators") as (connection, tables):
            return instigator_queries.states(
                connection,
                tables[instigators.INSTIGATORS],
                instigator_type,
                statuses=statuses,
                after=after,
                limit=limit,
            )

    def get_instigator_state(self, name: str, code_location: str | None = None) -> InstigatorState | None:
        """The state of the schedule of that name, or else of the sensor; None if nothing was recorded of either."""
        from ..views import instigator_queries, instigators

        with self.views.asking("instigators") as (connection, tables):
            return instigator_queries.state(connection, tables[instigators.INSTIGATORS], name, code_location)

    # -- to ask: ticks ------------------------------------------------------------------------------------------

    def get_ticks(
        self,
        name: str | None = None,
        *,
        code_location: str | None = None,
        statuses: Collection[str] | None = None,
        before_us: int | None = None,
        after_us: int | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> list[TickRecord]:
        """Ticks that meet all conditions, the newest first.

        `name`: of a schedule or sensor; `code_location`: only where it is of that one, with a name.
        `statuses`: STARTED, REQUESTED, SUCCESS, SKIPPED, FAILURE. `before_us`, `after_us`: exclusive, microseconds.
        `cursor`: a tick's id; the answer goes on behind it, and is empty if there is no such tick.
        """
        from ..views import tick_queries, ticks

        check_limit(limit)
        check_statuses(statuses, tick_queries.STATUSES)
        query = tick_queries.TickQuery(name, code_location if name is not None else None, statuses, before_us, after_us)
        with self.views.asking("ticks") as (connection, tables):
            source = tables[ticks.TICKS]
            behind = None
            if cursor is not None:
                at = tick_queries.by_ids(connection, source, [cursor])
                if not at:
                    return []
                behind = at[0]
            return tick_queries.find(connection, source, query, behind=behind, limit=limit)

    def get_tick(self, tick_id: str) -> TickRecord | None:
        """The tick, or None."""
        found = self.get_ticks_by_ids([tick_id])
        return found[0] if found else None

    def get_ticks_by_ids(self, tick_ids: Collection[str]) -> list[TickRecord]:
        """These ticks, in this order; those that are not there are left out. At most 10,000."""
        from ..views import tick_queries, ticks

        wanted = texts("tick_ids", tick_ids)
        if not wanted:
            return []
        check_limit(len(wanted))
        with self.views.asking("ticks") as (connection, tables):
            return tick_queries.by_ids(connection, tables[ticks.TICKS], wanted)

    def get_tick_counts(
        self,
        name: str | None = None,
        *,
        code_location: str | None = None,
        before_us: int | None = None,
        after_us: int | None = None,
    ) -> dict[str, int]:
        """How many ticks there are of each status, under the conditions of `get_ticks`."""
        from ..views import tick_queries, ticks

        query = tick_queries.TickQuery(name, code_location if name is not None else None, None, before_us, after_us)
        with self.views.asking("ticks") as (connection, tables):
            return tick_queries.counts(connection, tables[ticks.TICKS], query)

    # -- to ask: run keys ---------------------------------------------------------------------------------------

    def has_run_key(
        self,
        name: str,
        run_key: str,
        *,
        scheduled_us: int | None = None,
        code_location: str | None = None,
        instigator_type: str = "SENSOR",
    ) -> bool:
        """Whether a run was ever asked for under this key: of the sensor, or of the schedule at that time.

        `instigator_type`: SENSOR or SCHEDULE. `scheduled_us`: the time of the schedule.
        """
        return self._run_key(name, run_key, scheduled_us, code_location, instigator_type) is not None

    def get_run_id_of_run_key(
        self,
        name: str,
        run_key: str,
        *,
        scheduled_us: int | None = None,
        code_location: str | None = None,
        instigator_type: str = "SENSOR",
    ) -> str | None:
        """The id that the first run under this key was given, for ever; None if there is none. See `has_run_key`."""
        found = self._run_key(name, run_key, scheduled_us, code_location, instigator_type)
        return found[0] if found else None

    def _run_key(
        self, name: str, run_key: str, scheduled_us: int | None, code_location: str | None, instigator_type: str
    ) -> tuple[str | None] | None:
        from ..views import tick_queries, ticks

        key = ticks.run_key_key(instigator_type, code_location, name, scheduled_us, run_key)
        with self.views.asking("ticks") as (connection, tables):
            return tick_queries.run_of_key(connection, tables[ticks.RUN_KEYS], key)
