"""Whole events out of the bytes that a view keeps of them: no file of the log is opened for an answer."""

from __future__ import annotations

from ..events.event import Record, Retention
from ..log.log import EventLog, EventRecord


def whole(log: EventLog, *, shard: str, seq: int, position: int, type: str, body: bytes) -> EventRecord:
    """The event as the log itself would give it."""
    return EventRecord(shard, seq, position, log.decode(Record(type, 0, int(Retention.KEPT), bytes(body))))
