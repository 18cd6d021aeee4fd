"""What is written: one typical event, as a foldlog event and as the plain dict a raw driver would store."""

from __future__ import annotations

import time
from typing import Any

from ..engine.events import AssetKey, AssetMaterialization, StepSucceeded
from ..engine.events.event import Event

METADATA: dict[str, Any] = {
    "rows": 123_456,
    "bytes": 98_765_432,
    "seconds": 12.75,
    "complete": True,
    "table": "warehouse.raw.orders",
    "source": "https://example.com/exports/orders/2026-11-20.parquet",
    "checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "owner": "growth@example.com",
    "comment": "full load after the nightly export; late rows are taken in by the next run",
    "previous": None,
}
DESCRIPTION = "Orders as exported by the shop, one row an order line."


def plain(number: int) -> dict[str, Any]:
    """The event as a dict: the same information."""
    return {
        "type": "ASSET_MATERIALIZATION",
        "version": 1,
        "timestamp_us": time.time_ns() // 1000,
        "step_key": "load_orders",
        "job_name": "nightly-load",
        "level": None,
        "message": "Materialized raw/orders.",
        "fact": {
            "asset_key": ["raw", "orders"],
            "partition": f"2026-11-{number % 30 + 1:02}",
            "metadata": METADATA,
            "tags": {"team": "growth", "tier": "1"},
            "code_version": "4f2a91c",
            "data_version": "8c1b7d02",
            "description": DESCRIPTION,
        },
    }


def materialization(number: int) -> Event[Any]:
    """The event as foldlog takes it."""
    return Event.now(
        AssetMaterialization(
            asset_key=AssetKey(("raw", "orders")),
            partition=f"2026-11-{number % 30 + 1:02}",
            metadata=METADATA,
            tags={"team": "growth", "tier": "1"},
            code_version="4f2a91c",
            data_version="8c1b7d02",
            description=DESCRIPTION,
        ),
        step_key="load_orders",
        job_name="nightly-load",
        message="Materialized raw/orders.",
    )


def step_success(number: int) -> Event[Any]:
    """A small event."""
    return Event.now(StepSucceeded(), step_key=f"step_{number % 20}", job_name="nightly-load")
