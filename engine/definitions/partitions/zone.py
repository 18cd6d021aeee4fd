"""Local time: when a clock on the wall shows what, in a zone whose clocks are put forward and back.

Moments are datetimes in UTC; a wall is a datetime without zone, and its `fold` says which pass of a repeated time.
Arithmetic is in UTC throughout: Python compares and subtracts two datetimes of one zone by their walls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from ...config.place import meant
from ...errors import fault

SECOND: Final = timedelta(seconds=1)
MICROSECOND: Final = timedelta(microseconds=1)


def zone_named(name: object, owner: str) -> ZoneInfo:
    """The time zone by its name in the tz database. `owner` is who asks, for the message."""
    try:
        if isinstance(name, str) and name:
            return ZoneInfo(name)
        unknown = ""
    except (ZoneInfoNotFoundError, ValueError, OSError):  # no file; a path out of the folder; a folder
        unknown = meant(str(name), available_timezones())
    raise fault(
        f"{owner}: timezone={name!r:.80} is no time zone{unknown}",
        "Give a name of the tz database, such as 'UTC' or 'Europe/London'.",
    )


def wall_at(moment: datetime, zone: ZoneInfo) -> datetime:
    """What the clock shows at a moment; `fold` is 1 in the second pass."""
    return moment.astimezone(zone).replace(tzinfo=None)


def first_moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock shows `wall` or later.

    So a repeated time means its first pass, and one that is skipped the moment of the change. The later wall never
    comes before the earlier one.
    """
    moment = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_at(moment, zone) == wall:
        return moment
    before = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)  # by the offset behind the gap, hence before it
    return change_between(before, moment, zone)


def moment_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment at which the clock shows `wall`, in the pass that its `fold` says; of a skipped time, the change."""
    moment = wall.replace(tzinfo=zone).astimezone(UTC)
    return moment if wall_at(moment, zone) == wall else first_moment(wall, zone)


def change_between(low: datetime, high: datetime, zone: ZoneInfo) -> datetime:
    """The first moment past `low` with another offset; `high` must have one. Zones change at whole seconds."""
    low = low.replace(microsecond=0)
    offset = low.astimezone(zone).utcoffset()
    same, other = 0, -((low - high) // SECOND)
    while other - same > 1:
        middle = (same + other) // 2
        if (low + middle * SECOND).astimezone(zone).utcoffset() == offset:
            same = middle
        else:
            other = middle
    return low + other * SECOND


def offset_text(wall: datetime, zone: ZoneInfo) -> str:
    """The offset from UTC at a wall, as ISO 8601 writes it: `-05:00`."""
    return wall.replace(tzinfo=zone).isoformat()[len(wall.isoformat()) :]
