"""Answers for people and for scripts: tables, times, JSON.

Promises: on a terminal, tables by rich; in a pipe, plain aligned columns, whole and without colour, and rich is not
loaded. What a log holds is shown with its control characters spelled out, so that no text in it drives a terminal.
Not here: what is shown (the commands), progress (progress.py).
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import click

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_STATUS = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "STARTED": "yellow",
    "STARTING": "yellow",
    "UP_FOR_RETRY": "yellow",
    "CANCELED": "magenta",
    "CANCELING": "magenta",
    "SKIPPED": "bright_black",
}


SHORT = 16  #: characters; a column of no more is never broken into lines


class Styled(NamedTuple):
    """A cell with a colour, where there are colours."""

    text: str
    style: str


Cell = str | int | Styled | None


def clean(text: str) -> str:
    """`text` with control characters spelled out; line ends and tabs stay."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


def line(text: str) -> str:
    """`text` on one line."""
    return clean(" ".join(text.split()))


def on_terminal() -> bool:
    """Whether a person looks at what is printed."""
    return sys.stdout is not None and sys.stdout.isatty()  # None: closed by whoever called


def in_colour() -> bool:
    """Whether what is printed may have colours: see https://no-color.org."""
    return on_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def say(text: str = "", style: str | None = None, *, err: bool = False) -> None:
    """One line, in a colour if there are any."""
    if style and in_colour() and not err:
        text = click.style(text, bold=True) if style == "bold" else click.style(text, fg=style)
    click.echo(text, err=err, color=True if in_colour() else None)


def status(name: str) -> Styled:
    """A status in its colour."""
    return Styled(name, _STATUS.get(name, ""))


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str | None = None) -> None:
    """Columns under their names; a name that ends in `#` is of numbers, and set to the right."""
    names = [name.removesuffix("#") for name in columns]
    right = [name.endswith("#") for name in columns]
    if on_terminal():
        _rich_table(names, right, rows, title)
        return
    if title:
        click.echo(title)
    lines = [names, *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(row[index]) for row in lines) for index in range(len(names))]
    for row in lines:
        cells = (
            text.rjust(width) if of_numbers else text.ljust(width)
            for text, width, of_numbers in zip(row, widths, right, strict=True)
        )
        click.echo("  ".join(cells).rstrip())


def _rich_table(names: list[str], right: list[bool], rows: Sequence[Sequence[Cell]], title: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold", pad_edge=False, show_edge=False
    )
    for index, (name, of_numbers) in enumerate(zip(names, right, strict=True)):
        short = max((len(_text(row[index])) for row in rows), default=0) <= SHORT
        shown.add_column(name, justify="right" if of_numbers else "left", overflow="fold", no_wrap=short)
    for row in rows:
        shown.add_row(*(Text(_text(cell), cell.style if isinstance(cell, Styled) else "") for cell in row))
    Console(highlight=False).print(shown)


def _text(cell: Cell) -> str:
    if isinstance(cell, Styled):
        return line(cell.text)
    return "" if cell is None else f"{cell:,}" if isinstance(cell, int) else line(cell)


def local(us: int | None) -> str:
    """A moment on this machine's clock, with its zone."""
    if us is None:
        return ""
    return datetime.fromtimestamp(us / 1e6).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def when(us: int | None) -> str:
    """A moment in a table: on a terminal how long ago, if not long; else as `local`."""
    if us is None or not on_terminal():
        return local(us)
    seconds = round(time.time() - us / 1e6)
    if not 0 <= seconds < 86_400:
        return local(us)
    hours, minutes = seconds // 3600, seconds // 60
    return f"{hours} h ago" if hours else f"{minutes} min ago" if minutes else f"{seconds} s ago"


def took(us: int | None) -> str:
    """A stretch of time in a few characters."""
    if us is None:
        return ""
    if us < 1_000_000:
        return f"{us / 1000:.0f} ms" if us >= 10_000 else f"{us / 1000:.1f} ms"
    seconds = us / 1e6
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def size(count: int) -> str:
    """A number of bytes in a few characters."""
    number, unit = float(count), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if number < 1024 or unit == "TiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"


def print_json(document: Any, *, one_line: bool = False) -> None:
    """One JSON document. Numbers that JSON lacks are refused: `jsonable` (json_forms.py) spells them as text."""
    import json

    click.echo(json.dumps(document, indent=None if one_line else 2, ensure_ascii=False, allow_nan=False))
