"""Moments as people write them on a command line."""

from __future__ import annotations

import re
import time
from datetime import datetime
from typing import Any

import click

_AGO = re.compile(r"(\d{1,9})\s*(s|min|h|d)")
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
ALLOWED = "2026-11-20, 2026-11-20T10:30 (in the zone of this machine, unless it names one), or 3h for three hours ago"


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic in newer releases of click only
    """Microseconds since 1970-01-01 UTC."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if ago := _AGO.fullmatch(value):
            return time.time_ns() // 1000 - int(ago[1]) * _SECONDS[ago[2]] * 1_000_000
        try:
            return round(datetime.fromisoformat(value).timestamp() * 1_000_000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is no moment; write {ALLOWED}", param, ctx)
