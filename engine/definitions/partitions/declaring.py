"""What a definition of windows of time is declared with: its dates, its numbers, and the form of its keys."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from ...errors import fault
from .base import YEARS, key_fault
from .zone import moment_of, offset_text, wall_at

_DIRECTIVES: Final = "YymdHMSjGVu%"  #: those that neither a locale nor a time zone changes


def whole_number(owner: str, name: str, value: object, allowed: range, remedy: str) -> None:
    """Refuse what is not one of the numbers allowed; a bool is none."""
    if type(value) is not int or value not in allowed:
        said = f"is not a whole number from {allowed[0]} to {allowed[-1]}"
        raise fault(f"{owner}: {name}={value!r:.80} {said}", remedy)


def check_fmt(owner: str, fmt: str | None) -> None:
    """Refuse a form of keys that would differ between machines, or make a text that cannot be a key."""
    reason = key_fault(fmt)
    if reason is None:
        strange = [found for found in re.findall("%(.?)", str(fmt)) if not found or found not in _DIRECTIVES]
        reason = f"holds %{strange[0]}" if strange else None
    if reason:
        raise fault(f"{owner}: fmt={fmt!r:.80} {reason}", f"Use text and {' '.join(f'%{one}' for one in _DIRECTIVES)}.")


def date_moment(owner: str, name: str, given: object, zone: ZoneInfo) -> datetime:
    """The moment that a date, a datetime or an ISO 8601 text means; without an offset, by the clock of the zone."""
    when = _from_iso(given) if isinstance(given, str) else given
    if isinstance(when, date) and not isinstance(when, datetime):
        when = datetime(when.year, when.month, when.day)
    if not isinstance(when, datetime) or when.year not in YEARS:
        raise fault(
            f"{owner}: {name}={given!r:.80} is not a date of the years {YEARS[0]} to {YEARS[-1]}",
            "Give '2026-01-05', '2026-01-05T14:00', a date or a datetime.",
        )
    return moment_of(when, zone) if when.tzinfo is None else when.astimezone(UTC)


def canonical(when: datetime, zone: ZoneInfo) -> str:
    """One text for one moment; local time, so that a later tz database moves it with the windows."""
    wall = wall_at(when, zone)
    precise = "minutes" if wall.replace(second=0, microsecond=0) == wall else "auto"
    return wall.isoformat(timespec=precise) + (offset_text(wall, zone) if wall.fold else "")


def short(text: object) -> str:
    """A canonical text for people: a midnight is said by its day."""
    return str(text).removesuffix("T00:00")


def _from_iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
