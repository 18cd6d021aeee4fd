"""A run as a thing to carry: its events, byte for byte, in a file or in memory.

To look at a run of another deployment without access to it: `instance.export_run(run_id).write("run.foldlog")` there,
`Instance.ephemeral(preload=[DebugRunPayload.read_file("run.foldlog")])` here. Receipts and positions are not carried:
copying a whole log is another matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import msgpack

from ..serdes import Codec
from .errors import CorruptLogError, UsageError
from .events.event import Event, Record
from .log.log import EventLog
from .log.names import is_system_shard
from .log.port import NEW, ShardState

FORMAT: Final = 1
MAGIC: Final = "foldlog run"
MAX_EVENTS: Final = 1_000_000
PAGE: Final = 1000
BATCH_BYTES: Final = 8 * 1024 * 1024  #: half of what one append may hold


class DebugRunPayload(NamedTuple):
    """One run: its id and its records, oldest first. At most 1,000,000 events."""

    run_id: str
    records: tuple[Record, ...]

    @classmethod
    def of(cls, log: EventLog, run_id: str) -> Self:
        """The run as it is now. Raises UsageError if there is no such run, it was deleted, or it is too long."""
        shard = None if is_system_shard(run_id) else log.backend.find_shard(run_id)
        if shard is None or shard.state in (ShardState.FENCED, ShardState.PURGED):
            raise UsageError(f"there is no run {run_id}{', it was deleted' if shard else ''}")
        records: list[Record] = []
        seq, codec = 0, Codec()
        while True:
            page = log.read_shard(run_id, after_seq=seq, limit=PAGE)
            if page.records:
                records += codec.encode([record.event for record in page.records])[0]
            if page.at_end:
                return cls(run_id, tuple(records))
            if len(records) > MAX_EVENTS:
                raise UsageError(f"run {run_id} has more than {MAX_EVENTS:,} events; copy the log instead")
            seq = page.next_seq

    def events(self) -> list[Event[Any]]:
        """The events, decoded."""
        codec = Codec()
        return [codec.decode(record.type, record.body, record.topics) for record in self.records]

    def load_into(self, log: EventLog) -> None:
        """Append the run to a log that has none of that id; else raises ConflictError."""
        expected: Any = NEW
        for batch in self._batches():
            expected = log.append(self.run_id, batch, expected=expected).last_seq

    def _batches(self) -> Iterator[list[Event[Any]]]:
        batch: list[Event[Any]] = []
        size = 0
        for event, record in zip(self.events(), self.records, strict=True):
            if batch and (len(batch) >= PAGE or size + len(record.body) > BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(event)
            size += len(record.body)
        if batch:
            yield batch

    def to_bytes(self) -> bytes:
        """As a file holds it: one msgpack array, [magic, format, run_id, [[type, ts_us, topics, body], ...]]."""
        packed: bytes = msgpack.packb([MAGIC, FORMAT, self.run_id, [list(record) for record in self.records]])
        return packed

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The inverse of `to_bytes`. Raises CorruptLogError for bytes that are none, UsageError for a newer format."""
        try:
            magic, written, run_id, records = msgpack.unpackb(data)
            if magic != MAGIC or not isinstance(run_id, str):
                raise ValueError("it is something else")
            if written == FORMAT:
                found = tuple(
                    Record(str(kind), int(ts_us), int(topics), bytes(body)) for kind, ts_us, topics, body in records
                )
                return cls(run_id, found)
        except (msgpack.UnpackException, ValueError, TypeError) as error:
            raise CorruptLogError(f"these {len(data):,} bytes are no exported run: {error}") from error
        raise UsageError(f"the exported run is of format {written!r}, this release reads {FORMAT}: use a newer one")

    def write(self, path: str | Path) -> None:
        """Write it to a file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def read_file(cls, path: str | Path) -> Self:
        """Read what `write` wrote. Raises as `from_bytes`; OSError if the file cannot be read."""
        return cls.from_bytes(Path(path).read_bytes())

    def __repr__(self) -> str:
        return f"<DebugRunPayload {self.run_id}, {len(self.records)} events>"
