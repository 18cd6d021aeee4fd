"""Hours, days, weeks and months by the clock of a time zone.

Days, weeks and months start at the first moment at which the clock shows their time or later: a day of 23 or 25 hours
is one window, a day whose midnight is skipped starts behind the gap, and a day that a zone left out is no window.
Hours start whenever the clock shows their minute: a skipped hour is no window, a repeated one is two.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from .windows import Period, TimeWindowPartitionsDefinition
from .zone import MICROSECOND, change_between, first_moment, wall_at

_HOUR: Final = timedelta(hours=1)
_MIDNIGHT: Final = datetime(1, 1, 1)


@dataclass(frozen=True)
class HourlyPartitionsDefinition(TimeWindowPartitionsDefinition):
    """A partition for each hour, from `minute_offset` past the hour. Keys: `2026-01-05-14:00`.

    The second pass of a repeated hour has its offset from UTC behind the key: `2026-11-01-01:00-05:00`. Where clocks
    are changed by half an hour, the window with the change in it is half an hour longer.
    """

    KIND: ClassVar[str] = "hourly"
    UNIT: ClassVar[str] = "hour"
    FMT: ClassVar[str] = "%Y-%m-%d-%H:%M"

    def _holding(self, moment: datetime) -> Period:
        return self._from(self._start(moment))

    def _following(self, period: Period) -> Period:
        return self._from(period.end)

    def _from(self, start: datetime) -> Period:
        return Period(wall_at(start, self._zone), start, self._first_start(start + MICROSECOND))

    def _named(self, wall: datetime) -> Period:
        return self._holding(wall.replace(tzinfo=self._zone).astimezone(UTC))

    def _start(self, moment: datetime) -> datetime:
        """The last moment, not after this one, at which the clock shows the minute."""
        start = moment - self._past_the_hour(moment)
        if self._offset(start) == self._offset(moment):
            return start
        return self._start(change_between(start, moment, self._zone) - MICROSECOND)

    def _first_start(self, moment: datetime) -> datetime:
        """The first moment, not before this one, at which the clock shows the minute."""
        start = moment + (-self._past_the_hour(moment)) % _HOUR
        if self._offset(start) == self._offset(moment):
            return start
        return self._first_start(change_between(moment, start, self._zone))

    def _past_the_hour(self, moment: datetime) -> timedelta:
        return (wall_at(moment, self._zone) - _MIDNIGHT - timedelta(minutes=self.minute_offset)) % _HOUR

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self._zone).utcoffset()


@dataclass(frozen=True)
class _CalendarPartitionsDefinition(TimeWindowPartitionsDefinition):
    """Windows of whole days, numbered without a gap; `hour_offset` and `minute_offset` say when a day starts."""

    _: KW_ONLY
    hour_offset: int = 0

    @abstractmethod
    def _number(self, day: int) -> int:
        """The number of the window that has this day, counted from 0001-01-01, which is 1."""

    @abstractmethod
    def _first_day(self, number: int) -> int:
        """The first day of a window."""

    @classmethod
    def _numbers(cls) -> dict[str, range]:
        return super()._numbers() | {"hour_offset": range(24)}

    def _holding(self, moment: datetime) -> Period:
        number = self._number((wall_at(moment, self._zone) - self._into_the_day).toordinal())
        start, end = self._start(number), self._start(number + 1)
        while end <= moment:  # the clock has been put back over the end, and shows the day before once more
            number += 1
            start, end = end, self._start(number + 1)
        return Period(self._wall(number), start, end)

    def _named(self, wall: datetime) -> Period:
        return self._holding(self._start(self._number(wall.toordinal())))

    def _start(self, number: int) -> datetime:
        return first_moment(self._wall(number), self._zone)

    def _wall(self, number: int) -> datetime:
        return datetime.fromordinal(self._first_day(number)) + self._into_the_day

    @property
    def _into_the_day(self) -> timedelta:
        return timedelta(hours=self.hour_offset, minutes=self.minute_offset)


@dataclass(frozen=True)
class DailyPartitionsDefinition(_CalendarPartitionsDefinition):
    """A partition for each day, from `hour_offset`:`minute_offset` to the same time of the next. Keys: `2026-01-05`."""

    KIND: ClassVar[str] = "daily"
    UNIT: ClassVar[str] = "day"

    def _number(self, day: int) -> int:
        return day

    def _first_day(self, number: int) -> int:
        return number


@dataclass(frozen=True)
class WeeklyPartitionsDefinition(_CalendarPartitionsDefinition):
    """A partition for each week, named by its first day. `day_offset`: that day, 0 is Sunday, 6 Saturday."""

    _: KW_ONLY
    day_offset: int = 0

    KIND: ClassVar[str] = "weekly"
    UNIT: ClassVar[str] = "week"

    @classmethod
    def _numbers(cls) -> dict[str, range]:
        return super()._numbers() | {"day_offset": range(7)}

    def _number(self, day: int) -> int:
        return (day - self.day_offset) // 7

    def _first_day(self, number: int) -> int:
        return number * 7 + self.day_offset  # day 0 would be a Sunday


@dataclass(frozen=True)
class MonthlyPartitionsDefinition(_CalendarPartitionsDefinition):
    """A partition for each month, named by its first day: `2026-01-01`. `day_offset`: that day, 1 to 28."""

    _: KW_ONLY
    day_offset: int = 1

    KIND: ClassVar[str] = "monthly"
    UNIT: ClassVar[str] = "month"

    @classmethod
    def _numbers(cls) -> dict[str, range]:
        return super()._numbers() | {"day_offset": range(1, 29)}  # what every month has

    def _number(self, day: int) -> int:
        return _month(day - self.day_offset + 1)

    def _named(self, wall: datetime) -> Period:
        return self._holding(self._start(_month(wall.toordinal())))  # by the month alone, for keys such as 2026-01

    def _first_day(self, number: int) -> int:
        return datetime(number // 12, number % 12 + 1, self.day_offset).toordinal()


def _month(day: int) -> int:
    when = datetime.fromordinal(day)
    return when.year * 12 + when.month - 1
