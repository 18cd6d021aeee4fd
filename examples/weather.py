"""What a weather pipeline computes: pure functions over the days of one station.

Rows come from a file of daily measurements (README.md says which), and leave as days, months and records.
Not here: files, foldlog (pipeline.py), drawing (picture.py).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from hashlib import blake2b
from itertools import groupby
from typing import NamedTuple

COLUMNS = ("date", "precipitation", "temp_max", "temp_min", "wind", "weather")


class Day(NamedTuple):
    """One day at the station."""

    date: date
    rain_mm: float
    high_c: float
    low_c: float
    wind_ms: float
    sky: str  #: one word: sun, fog, drizzle, rain, snow


class Month(NamedTuple):
    """The days of one month in a few numbers."""

    month: str  #: as `2012-01`
    days: int
    high_c: float  #: of the hottest day
    mean_high_c: float
    mean_low_c: float
    low_c: float  #: of the coldest day
    rain_mm: float  #: in all
    wet_days: int


class RecordDay(NamedTuple):
    """A day that stands out, and by what."""

    record: str
    date: date
    value: float
    unit: str


class MalformedRow(ValueError):
    """A line of the file is not a day; the message says which line and which field."""


def read_days(lines: Iterable[str]) -> list[Day]:
    """The days of a file, in its order. Raises MalformedRow at the first line that is none."""
    reader = csv.reader(lines)
    header = next(reader, [])
    if tuple(header) != COLUMNS:
        raise MalformedRow(f"line 1: the columns are {header}, not {list(COLUMNS)}")
    return [_day(reader.line_num, fields) for fields in reader]


def _day(line: int, fields: list[str]) -> Day:
    if len(fields) != len(COLUMNS):
        raise MalformedRow(f"line {line}: {len(fields)} fields instead of {len(COLUMNS)}: {fields}")
    when, *numbers, sky = fields
    rain, high, low, wind = (_number(line, name, text) for name, text in zip(COLUMNS[1:], numbers, strict=False))
    try:
        return Day(date.fromisoformat(when.replace("/", "-")), rain, high, low, wind, sky)
    except ValueError as error:
        raise MalformedRow(f"line {line}: {when!r} is no date") from error


def _number(line: int, name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise MalformedRow(f"line {line}: {name} is {text!r}, which is no number") from error


def of_year(days: Iterable[Day], year: int) -> list[Day]:
    """The days of one year."""
    return [day for day in days if day.date.year == year]


def missing_days(days: Sequence[Day]) -> list[date]:
    """The days between the first and the last, both of whole years, that the file has not."""
    if not days:
        return []
    there = {day.date for day in days}
    first, last = date(min(there).year, 1, 1), date(max(there).year, 12, 31)
    return [day for n in range((last - first).days + 1) if (day := first + timedelta(n)) not in there]


def upside_down(days: Iterable[Day]) -> list[Day]:
    """The days whose lowest temperature is above the highest."""
    return [day for day in days if day.low_c > day.high_c]


def clean(days: Iterable[Day]) -> list[Day]:
    """The days in order, each once, the word for the sky in line with the rain gauge."""
    return [day._replace(sky=_sky(day)) for day in sorted(set(days))]


def _sky(day: Day) -> str:
    """The gauge is right: rain on a day of `sun` was rain, and `rain` it did not notice was drizzle.

    Of the days that the station itself calls drizzle, all but one have nothing in the gauge.
    """
    if day.sky == "sun" and day.rain_mm > 0:
        return "rain"
    if day.sky == "rain" and day.rain_mm == 0:
        return "drizzle"
    return day.sky


def months(days: Sequence[Day]) -> list[Month]:
    """One summary for each month there is, of days in order."""
    return [_month(name, list(group)) for name, group in groupby(days, lambda day: f"{day.date:%Y-%m}")]


def _month(name: str, days: Sequence[Day]) -> Month:
    return Month(
        month=name,
        days=len(days),
        high_c=max(day.high_c for day in days),
        mean_high_c=round(sum(day.high_c for day in days) / len(days), 1),
        mean_low_c=round(sum(day.low_c for day in days) / len(days), 1),
        low_c=min(day.low_c for day in days),
        rain_mm=round(sum(day.rain_mm for day in days), 1),
        wet_days=sum(day.rain_mm > 0 for day in days),
    )


RECORDS: tuple[tuple[str, str, Callable[[Day], float]], ...] = (
    ("hottest day", "°C", lambda day: day.high_c),
    ("coldest night", "°C", lambda day: -day.low_c),
    ("warmest night", "°C", lambda day: day.low_c),
    ("coldest day", "°C", lambda day: -day.high_c),
    ("wettest day", "mm", lambda day: day.rain_mm),
    ("windiest day", "m/s", lambda day: day.wind_ms),
    ("widest range", "°C", lambda day: round(day.high_c - day.low_c, 1)),
)
_LOWEST = ("coldest night", "coldest day")  #: sought as the highest of the negative


def record_days(days: Sequence[Day]) -> list[RecordDay]:
    """The day that holds each record; the earliest of equals."""
    found = []
    for name, unit, value in RECORDS:
        best = max(days, key=lambda day: (value(day), -day.date.toordinal()))
        found.append(RecordDay(name, best.date, -value(best) if name in _LOWEST else value(best), unit))
    return found


def data_version(rows: Iterable[NamedTuple]) -> str:
    """A short name for exactly these rows: the same rows have the same one, on every machine."""
    digest = blake2b(digest_size=6)
    for row in rows:
        digest.update(repr(tuple(str(value) for value in row)).encode())
    return digest.hexdigest()
