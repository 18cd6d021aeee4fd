"""The workloads on objects, by the names `foldlog bench objects NAME` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..contest import Outcome
from . import appending, idling, local, opening, reading, scaling

Workload = Callable[[Path, int], Iterator[Outcome]]

WORKLOADS: dict[str, Workload] = {
    "append": appending.appends,
    "puts": appending.puts,
    "scale": scaling.scale,
    "open": opening.opening,
    "read": reading.reading,
    "idle": idling.idle,
    "local": local.local,
}
