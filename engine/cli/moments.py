"""A moment on the command line: how long ago, or when by this machine's clock."""

from __future__ import annotations

import re
import time
from datetime import datetime

import click

_AGO = re.compile(r"(\d{1,9})\s*(s|min|h|d)")
_UNIT_S = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def moment(_: click.Context, __: click.Parameter, given: str | None) -> int | None:
    """Microseconds since 1970-01-01 UTC of `90s`, `30min`, `2h`, `3d` ago, or of a date or time as ISO 8601 has it."""
    if given is None:
        return None
    if ago := _AGO.fullmatch(given):
        return time.time_ns() // 1000 - int(ago[1]) * _UNIT_S[ago[2]] * 1_000_000
    try:  # without a zone it is of this machine's
        return round(datetime.fromisoformat(given).timestamp() * 1_000_000)
    except (ValueError, OverflowError, OSError) as error:
        raise click.BadParameter(
            f"{given!r} is neither so long ago, as 90s, 30min, 2h or 3d, nor a time, as 2026-11-20T06:00"
        ) from error
