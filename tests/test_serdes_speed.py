"""What encoding and decoding cost, in times of a plain msgpack dict with the same content. Run with `-m benchmark`."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from foldlog.engine.events import (
    AssetKey,
    AssetMaterialization,
    Event,
    Fact,
    JsonMetadata,
    StepSucceeded,
    TimestampMetadata,
    UrlMetadata,
)
from foldlog.serdes import Codec

AT = 1_795_219_200_000_000
MESSAGE = "Materialized value analytics public orders_daily."
SCALARS = {
    "rows": 123_456,
    "null_rows": 17,
    "quality": 0.9931,
    "size_bytes": 91_823_912,
    "table": "analytics.public.orders_daily",
    "fresh": True,
    "note": "loaded from the landing zone, no drift",
}
COLUMNS = ["order_id", "customer_id", "amount", "currency", "placed_at"]
URL = "https://metabase.example.com/dashboard/123?day=2026-11-20"
REST = {
    "partition": "2026-11-20",
    "tags": {"team": "growth", "partition": "2026-11-20"},
    "code_version": "git-4f1c2a9",
    "data_version": "b8d1e0c2f1a94a5b8d1e0c2f1a94a5aa",
}
MATERIALIZATION = AssetMaterialization(
    asset_key=AssetKey(("analytics", "public", "orders_daily")),
    metadata={
        **SCALARS,
        "dashboard": UrlMetadata(URL),
        "columns": JsonMetadata(COLUMNS),
        "loaded": TimestampMetadata(AT),
    },
    **REST,  # type: ignore[arg-type]
)
PLAIN_MATERIALIZATION = {
    "asset_key": ["analytics", "public", "orders_daily"],
    "metadata": {
        **SCALARS,
        "dashboard": {"type": "url", "url": URL},
        "columns": {"type": "json", "value": COLUMNS},
        "loaded": {"type": "timestamp", "timestamp_us": AT},
    },
    **REST,
}


def cost(call: Callable[[], Any]) -> float:
    """Seconds a call, the best of several rounds."""
    return min(timeit.repeat(call, number=5000, repeat=9)) / 5000


@pytest.mark.benchmark
@pytest.mark.parametrize(
    ("fact", "plain", "encode_limit"),
    [
        (MATERIALIZATION, PLAIN_MATERIALIZATION, 3.0),
        (StepSucceeded(attempt=2, duration_us=1_234_567), {"attempt": 2, "duration_us": 1_234_567}, 3.0),
    ],
    ids=["materialization", "step"],
)
def test_cost_of_one_event(fact: Fact, plain: dict[str, Any], encode_limit: float) -> None:
    codec, event = Codec(), Event(fact, AT, "orders_daily", "nightly", 20, MESSAGE)
    whole = {
        "type": event.type,
        "version": 1,
        "fact": plain,
        "timestamp_us": AT,
        "step_key": "orders_daily",
        "job_name": "nightly",
        "level": 20,
        "message": MESSAGE,
    }
    packed = msgpack.packb(whole)
    (record,), _ = codec.encode([event])
    assert codec.decode(record.type, record.body) == event
    encode, decode = cost(lambda: codec.encode([event])), cost(lambda: codec.decode(record.type, record.body))
    pack, unpack = cost(lambda: msgpack.packb(whole)), cost(lambda: msgpack.unpackb(packed))
    many = [event] * 1000
    each = min(timeit.repeat(lambda: codec.encode(many), number=5, repeat=9)) / 5000
    print(
        f"\n{event.type}: {len(record.body)} bytes (dict {len(packed)}); encode, check and digest {encode / pack:.2f}x,"
        f" in a batch {each / pack:.2f}x of {pack * 1e6:.2f} us; decode {decode / unpack:.2f}x of {unpack * 1e6:.2f} us"
    )
    assert decode / unpack < 0.8
    assert encode / pack < encode_limit
