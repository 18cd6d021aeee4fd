"""Partitions that are windows of time, one behind the other without a gap, by the clock of a time zone.

Here: which windows there are at a moment, their keys, and the way back from a key. Where each window starts is told by
the cadences (cadences.py), by two answers: the window that holds a moment, and the one that a clock's time names.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from typing import Any, ClassVar, Final, NamedTuple
from zoneinfo import ZoneInfo

from ...errors import fault
from .base import YEARS, DynamicKeys, PartitionsDefinition, backwards, extent, in_utc, moment
from .declaring import canonical, check_fmt, date_moment, short, whole_number
from .zone import MICROSECOND, offset_text, zone_named

_OFFSET: Final = re.compile(r"[+-]\d\d:\d\d(:\d\d)?$")
_SAMPLES: Final = tuple(timedelta(hours=hours) for hours in (0, 1, 13, 24, 32 * 24, 45 * 24, 400 * 24))
_FARTHEST: Final = range(-10_000, 10_001)  #: windows that `end_offset` may add or take away


class TimeWindow(NamedTuple):
    """From `start`, included, to `end`, not included; both aware, in the zone of the definition."""

    start: datetime
    end: datetime

    @property
    def duration(self) -> timedelta:
        """The time that really passes. `end - start` is what the clocks show, which differs when they are changed."""
        return self.end.astimezone(UTC) - self.start.astimezone(UTC)


class Period(NamedTuple):
    """One window as the cadences see it."""

    wall: datetime  #: what the clock shows at its start, or would if that time were not skipped; names the window
    start: datetime  #: UTC
    end: datetime  #: UTC, later than `start`


@dataclass(frozen=True)
class TimeWindowPartitionsDefinition(PartitionsDefinition):
    """Windows of time, the first one starting at `start_date` or as soon as possible after it.

    A partition exists once its window has ended: `end_offset=1` adds the window under way, -1 takes the last one away.
    No window ends after `end_date`. Both are an ISO 8601 text, a text of form `fmt`, a date, or a datetime; without
    offset they are local time. `fmt`: of the keys, for strftime; may hold %Y %y %m %d %H %M %S %j %G %V %u.

    Raises UsageError for an unknown zone, dates that leave no window, a `fmt` that gives two windows one key.
    """

    start_date: str | date | datetime
    end_date: str | date | datetime | None = None
    _: KW_ONLY
    minute_offset: int = 0
    timezone: str = "UTC"
    fmt: str | None = None
    end_offset: int = 0
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _first: Period = field(init=False, repr=False, compare=False)
    _until: datetime | None = field(init=False, repr=False, compare=False)

    KIND: ClassVar[str]  #: the word for it in documents and descriptions
    UNIT: ClassVar[str]  #: the word for one window
    FMT: ClassVar[str] = "%Y-%m-%d"

    @abstractmethod
    def _holding(self, moment: datetime) -> Period:
        """The window that holds a moment of UTC, whether or not it is a partition."""

    @abstractmethod
    def _named(self, wall: datetime) -> Period:
        """The window that a wall names; where it names none, one near by, which has another key."""

    def __post_init__(self) -> None:
        put = object.__setattr__
        put(self, "_zone", zone_named(self.timezone, self._owner))
        put(self, "fmt", self.FMT if self.fmt is None else self.fmt)
        self._check()
        start = self._date("start_date")
        put(self, "_until", None if self.end_date is None else self._date("end_date"))
        first = self._holding(start)
        put(self, "_first", first if first.start == start else self._holding(first.end))
        self._check_dates(start)
        self._check_round_trip()

    # -- keys

    def get_partition_keys(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> list[str]:
        """The keys of all windows that have ended at `now`, shifted by `end_offset`; the oldest first."""
        last = self._last(moment(now))
        return [] if last is None else [self._key(period) for period in self._between(self._first, last)]

    def has_partition_key(self, key: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> bool:
        """Whether the key names a window that has ended. The key is parsed; nothing is listed."""
        period = self._parsed(key)
        last = self._last(moment(now))
        return period is not None and last is not None and self._first.start <= period.start <= last.start

    def get_first_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The key of the oldest window; None while it has not ended."""
        return None if self._last(moment(now)) is None else self._key(self._first)

    def get_last_partition_key(self, *, now: datetime | None = None, dynamic: DynamicKeys | None = None) -> str | None:
        """The key of the latest window that has ended; None while there is none."""
        last = self._last(moment(now))
        return None if last is None else self._key(last)

    def get_partition_keys_in_range(
        self, start: str, end: str, *, now: datetime | None = None, dynamic: DynamicKeys | None = None
    ) -> list[str]:
        """The keys from `start` to `end`, both included; only these are listed."""
        now = moment(now)
        for key in (start, end):
            self.check_key(key, name_of_thing=self.describe(), now=now)
        first, last = self._partition(start), self._partition(end)
        if first.start > last.start:
            raise backwards(self, start, end)
        return [self._key(period) for period in self._between(first, last)]

    def why_not(self, key: str, *, now: datetime, dynamic: DynamicKeys | None) -> str:
        """What there is; and the form of a key, the key that was meant, or when the window ends."""
        there = extent(self.get_partition_keys(now=now))
        near = self._near(key)
        if near is None:
            return f"{there}; keys look like {self._key(self._first)!r}"
        if self._key(near) != key:
            known = self.has_partition_key(self._key(near), now=now)
            return f"{there}" + (f"; did you mean {self._key(near)!r}?" if known else "")
        if near.start >= self._first.start and (self._until is None or near.end <= self._until):
            shift = f", end_offset is {self.end_offset}" if self.end_offset else ""
            return f"{there}; its window ends at {near.end.astimezone(self._zone).isoformat()}{shift}"
        return there

    # -- windows

    def time_window_for_partition_key(self, key: str) -> TimeWindow:
        """The window of a partition, ended or not. Raises UsageError if there is never such a partition."""
        period = self._partition(key)
        return TimeWindow(period.start.astimezone(self._zone), period.end.astimezone(self._zone))

    def partition_key_for(self, moment: datetime) -> str:
        """The key of the window that holds an aware datetime, ended or not. Raises UsageError outside of all."""
        period = self._holding(in_utc(moment, "moment"))
        if not self._is_partition(period):
            raise fault(
                f"{self.describe()}: no window holds {moment.isoformat()}", "Give a moment from its start to its end."
            )
        return self._key(period)

    def keys_overlapping(self, start: datetime, end: datetime, *, now: datetime) -> list[str]:
        """The keys of those partitions at `now` that share some time with the window from `start` to `end`."""
        last = self._last(in_utc(now, "now"))
        if last is None:
            return []
        first = self._holding(max(in_utc(start, "start"), self._first.start))
        until = in_utc(end, "end")
        overlapping = takewhile(lambda period: period.start < until, self._between(first, last))
        return [self._key(period) for period in overlapping]

    def shifted(self, when: datetime, windows: int) -> datetime:
        """The start of a window, moved by a number of windows; `when` must be such a start."""
        period = self._moved(self._holding(in_utc(when, "when")), windows)
        return period.start

    # -- for people and snapshots

    def to_document(self) -> dict[str, Any]:
        """`{"type": "daily", "start_date": "2026-01-05T00:00", "end_date": None, ...}`, all fields spelled out."""
        fields = ("start_date", "end_date", *self._numbers(), "timezone", "fmt", "end_offset")
        return {"type": self.KIND} | {name: getattr(self, name) for name in fields}

    def describe(self) -> str:
        """`daily partitions from 2026-01-05, Europe/London`."""
        text = f"{self.KIND} partitions from {short(self.start_date)}"
        if self._until is not None:
            text += f" to {self._key(self._moved(self._holding(self._until), -1))}"  # the last key that there will be
        return f"{text}, {self.timezone}"

    # -- inside

    @property
    def _owner(self) -> str:
        return type(self).__name__

    @classmethod
    def _numbers(cls) -> dict[str, range]:
        """The offsets within a window, and what each may be."""
        return {"minute_offset": range(60)}

    def _key(self, period: Period) -> str:
        key = period.wall.strftime(self.fmt or self.FMT)
        # Plain for the first pass of a repeated hour: sorted as texts, the two keys are then in order of time too.
        return key + offset_text(period.wall, self._zone) if period.wall.fold else key

    def _parsed(self, key: str) -> Period | None:
        """The window of this very key."""
        near = self._near(key)
        return near if near is not None and self._key(near) == key else None

    def _near(self, key: str) -> Period | None:
        """The window of a key, or the one that its time falls into; None for a text of another form."""
        suffix = _OFFSET.search(key)
        for text, fold in ((key, 0), (key[: suffix.start()], 1)) if suffix else ((key, 0),):
            wall = self._read(text)
            if wall is not None:
                return self._named(wall.replace(fold=fold))
        return None

    def _read(self, text: str) -> datetime | None:
        try:
            wall = datetime.strptime(text, self.fmt or self.FMT)
        except ValueError:
            return None
        return wall if wall.year in YEARS else None

    def _partition(self, key: str) -> Period:
        period = self._parsed(key)
        if period is None or not self._is_partition(period):
            raise fault(
                f"{self.describe()}: never has a partition {key!r:.80}; keys look like {self._key(self._first)!r}",
                "Give a key that its partitions have.",
            )
        return period

    def _is_partition(self, period: Period) -> bool:
        return period.start >= self._first.start and (self._until is None or period.end <= self._until)

    def _last(self, now: datetime) -> Period | None:
        """The latest partition at `now`."""
        last = self._moved(self._holding(now), self.end_offset - 1)
        if self._until is not None and last.end > self._until:
            last = self._moved(self._holding(self._until), -1)
        return last if last.start >= self._first.start else None

    def _moved(self, period: Period, windows: int) -> Period:
        for _ in range(abs(windows)):
            period = self._holding(period.end if windows > 0 else period.start - MICROSECOND)
        return period

    def _between(self, first: Period, last: Period) -> Iterator[Period]:
        period = first
        while period.start <= last.start:
            yield period
            period = self._following(period)

    def _following(self, period: Period) -> Period:
        return self._holding(period.end)

    # -- checks of the definition

    def _check(self) -> None:
        for name, allowed in self._numbers().items():
            whole_number(self._owner, name, getattr(self, name), allowed, "Correct the offset.")
        whole_number(self._owner, "end_offset", self.end_offset, _FARTHEST, "Give 1 to add the window under way.")
        check_fmt(self._owner, self.fmt)

    def _date(self, name: str) -> datetime:
        """The moment that an argument means; the argument is put into its one form."""
        given = getattr(self, name)
        read = self._read(given) if isinstance(given, str) else None
        when = date_moment(self._owner, name, given if read is None else read, self._zone)
        object.__setattr__(self, name, canonical(when, self._zone))
        return when

    def _check_dates(self, start: datetime) -> None:
        if self._until is None:
            return
        said = f"{self._owner}: start_date={short(self.start_date)}, end_date={short(self.end_date)}: "
        if start >= self._until:
            raise fault(f"{said}it ends before it starts", "Give an end_date after the start_date, or none.")
        if self._first.end > self._until:
            raise fault(f"{said}no whole {self.UNIT} lies between them", "Give dates that are farther apart.")

    def _check_round_trip(self) -> None:
        for sample in _SAMPLES:
            period = self._holding(self._first.start + sample)
            if period.wall.year in YEARS and self._parsed(self._key(period)) != period:
                raise fault(
                    f"{self._owner}: fmt={self.fmt!r}: the key {self._key(period)!r} does not lead back to its window",
                    f"Give a fmt that tells every {self.UNIT} from the others, such as {self.FMT!r}.",
                )
