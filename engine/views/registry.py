"""Which views there are. A new view is a module like runs.py and a line here."""

from __future__ import annotations

from typing import Final

from . import assets, checks, runs, steps
from .projection import Projection

PROJECTIONS: Final[tuple[Projection, ...]] = (
    runs.PROJECTION,
    steps.PROJECTION,
    assets.PROJECTION,
    checks.PROJECTION,
)
