"""Which views there are. A new view is a module like runs.py and a line here."""

from __future__ import annotations

from typing import Final

from . import (
    assets,
    backfills,
    checks,
    instigators,
    partitions,
    pools,
    queue,
    rare,
    runs,
    snapshots,
    steps,
    ticks,
    values,
)
from .projection import Projection

PROJECTIONS: Final[tuple[Projection, ...]] = (
    runs.PROJECTION,
    steps.PROJECTION,
    assets.PROJECTION,
    checks.PROJECTION,
    partitions.PROJECTION,
    instigators.PROJECTION,
    ticks.PROJECTION,
    pools.PROJECTION,
    queue.PROJECTION,
    rare.PROJECTION,
    backfills.PROJECTION,
    snapshots.PROJECTION,
    values.PROJECTION,
)
