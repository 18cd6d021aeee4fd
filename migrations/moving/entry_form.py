"""An entry as a list that msgpack knows, and back. Part of the export format: docs/format.md."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from ...engine.log.port import Entry, Epoch, Placed, Receipt, Record, ShardState

STATES = {state.value: state for state in ShardState}


def packed(entry: Entry) -> list[Any]:
    """[position, shard, first seq, count, key, at_us, digest, chain, keyed, records]"""
    (position, receipt, chain), keyed, records = entry
    return [
        position,
        receipt.shard,
        receipt.first_seq,
        receipt.size,
        receipt.key.bytes,
        receipt.at_us,
        receipt.digest,
        chain,
        keyed,
        [None if record is None else list(record) for record in records],
    ]


def unpacked(form: list[Any]) -> Entry:
    """The entry of a list. Raises ValueError or TypeError for one that is none."""
    position, shard, first, count, key, at_us, digest, chain, keyed, records = form
    numbers = (position, first, count, at_us)
    if any(type(number) is not int or number < 0 for number in numbers) or type(shard) is not str:
        raise ValueError("a receipt has no number or no shard")
    if type(digest) is not bytes or type(chain) is not bytes or len(records) != count or count < 1:
        raise ValueError(f"a receipt at position {position} is not whole")
    receipt = Receipt(shard, first, first + count - 1, UUID(bytes=key), at_us, digest)
    return Entry(Placed(position, receipt, chain), bool(keyed), [_record(record) for record in records])


def _record(form: list[Any] | None) -> Record | None:
    if form is None:
        return None
    kind, ts_us, topics, body = form
    if (
        type(kind) is not str
        or not kind
        or type(ts_us) is not int
        or type(topics) is not int
        or type(body) is not bytes
    ):
        raise ValueError("a record is not whole")
    return Record(kind, ts_us, topics, body)


def packed_epoch(epoch: Epoch) -> list[Any]:
    """[number, after position, chain, started, reason]"""
    return list(epoch)


def unpacked_epoch(form: list[Any]) -> Epoch:
    number, after, chain, started_us, reason = form
    if (
        not type(number) is type(after) is type(started_us) is int
        or type(chain) is not bytes
        or type(reason) is not str
    ):
        raise ValueError("an epoch is not whole")
    return Epoch(number, after, chain, started_us, reason)
