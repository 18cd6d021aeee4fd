"""Draws the months as an SVG: the range of temperature above, the rain below. No library is needed.

A thin line runs from the coldest to the hottest day of a month, a bar from the mean low to the mean high.
Not here: the numbers (weather.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from .weather import Month, RecordDay

WIDTH, HEIGHT = 1200, 640
LEFT, RIGHT = 64, 1176  #: the x of the first and behind the last month
TEMPERATURE = (108, 408)  #: the y of the top and the foot of the upper panel
RAIN = (448, 588)  #: and of the lower
COLOURS = ((49, 104, 176), (226, 178, 92), (207, 72, 44))  #: of the coldest, a mild and the hottest month
COLDEST_C, HOTTEST_C = 3, 20  #: mean temperatures that have the first and the last of these
INK, GREY, PALE, BLUE = "#222222", "#555555", "#e4e4e4", "#5b8fc7"


class Scale:
    """Values to y, from the foot of a panel (`low`) to its top (`high`)."""

    def __init__(self, panel: tuple[int, int], low: float, high: float, step: int) -> None:
        self.top, self.foot = panel
        self.low = (low // step) * step
        self.high = max(-(-high // step) * step, self.low + step)  # a panel has a height, also where all is equal
        self.step = step

    def y(self, value: float) -> float:
        return round(self.foot - (value - self.low) / (self.high - self.low) * (self.foot - self.top), 1)

    def ticks(self) -> list[int]:
        return list(range(int(self.low), int(self.high) + 1, self.step))


def draw(months: Sequence[Month], records: Sequence[RecordDay], *, place: str) -> str:
    """The SVG, as text. `months` without gaps; `records` that name a month in it are marked."""
    if not months:
        raise ValueError("there is no month to draw")
    heat = Scale(TEMPERATURE, min(m.low_c for m in months), max(m.high_c for m in months), 10)
    rain = Scale(RAIN, 0, max(m.rain_mm for m in months), 100)
    slot = (RIGHT - LEFT) / len(months)
    title = escape(f"{place}, {months[0].month} to {months[-1].month}: temperature and rain by month")
    lines = [
        # Attributes, not a style sheet: what shows pictures inside other documents often knows no CSS.
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="Helvetica Neue, Helvetica, Arial, sans-serif">',
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 44, title, size=22, colour=INK, bold=True),
        _text(LEFT, 68, "Bar: mean low to mean high. Line: coldest to hottest day. Below: rain."),
        *_grid(heat, "°C"),
        *_grid(rain, "mm"),
        *_years(months, slot),
    ]
    for index, month in enumerate(months):
        lines += _month(month, LEFT + index * slot, slot, heat, rain)
    places = {month.month: LEFT + (index + 0.5) * slot for index, month in enumerate(months)}
    lines += [line for record in records for line in _mark(record, places, heat)]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 13, colour: str = GREY, bold: bool = False
) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{weight}>{text}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{colour}" stroke-width="{width}"/>'


def _bar(x: float, top: float, width: float, foot: float, colour: str) -> str:
    height = round(foot - top, 1)
    return f'<rect x="{x}" y="{top}" width="{width}" height="{height}" rx="2" fill="{colour}"/>'


def _grid(scale: Scale, unit: str) -> Iterator[str]:
    for value in scale.ticks():
        y = scale.y(value)
        yield _line(LEFT, y, RIGHT, y, "#9a9a9a" if value == 0 else PALE)
        yield _text(LEFT - 8, y + 4, f"{value} {unit}" if value == scale.high else str(value), anchor="end")


def _years(months: Sequence[Month], slot: float) -> Iterator[str]:
    for index, month in enumerate(months):
        year, number = month.month.split("-")
        x = round(LEFT + index * slot, 1)
        if number == "01" and index:
            yield _line(x, TEMPERATURE[0], x, RAIN[1], PALE)
        if number == "07":  # its left edge is the middle of the year
            yield _text(x, RAIN[1] + 30, year, anchor="middle", size=15, bold=True)


def _month(month: Month, x: float, slot: float, heat: Scale, rain: Scale) -> Iterator[str]:
    middle, width = round(x + slot / 2, 1), round(slot * 0.56, 1)
    left = round(middle - width / 2, 1)
    colour = _colour((month.mean_high_c + month.mean_low_c) / 2)
    tip = escape(
        f"{month.month}: {month.low_c} to {month.high_c} °C, mean {month.mean_low_c} to {month.mean_high_c} °C, "
        f"{month.rain_mm} mm on {month.wet_days} of {month.days} days"
    )
    yield f"<g><title>{tip}</title>"
    yield _line(middle, heat.y(month.high_c), middle, heat.y(month.low_c), colour, 1.6)
    yield _bar(left, heat.y(month.mean_high_c), width, heat.y(month.mean_low_c), colour)
    yield _bar(left, rain.y(month.rain_mm), width, rain.foot, BLUE) + "</g>"


def _colour(celsius: float) -> str:
    """Of a month of that mean temperature: between two neighbours of COLOURS."""
    share = min(max((celsius - COLDEST_C) / (HOTTEST_C - COLDEST_C), 0), 1) * 2
    low, high = COLOURS[:2] if share < 1 else COLOURS[1:]
    red, green, blue = (round(a + (b - a) * (share % 1 if share < 2 else 1)) for a, b in zip(low, high, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _mark(record: RecordDay, places: dict[str, float], heat: Scale) -> Iterator[str]:
    """A note at the end of the line of the month that holds a record of temperature."""
    month = f"{record.date:%Y-%m}"
    if record.unit != "°C" or month not in places or record.record not in ("hottest day", "coldest night"):
        return
    x, y = round(places[month], 1), heat.y(record.value)
    above = record.record == "hottest day"
    yield f'<circle cx="{x}" cy="{y}" r="3" fill="{INK}"/>'
    text = f"{record.value} °C, {record.date}"
    yield _text(x, round(y - 9 if above else y + 18, 1), text, anchor="middle", size=12, colour=INK)
