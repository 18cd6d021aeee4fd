"""A log into one portable file, whole or from a cursor on, while programs go on writing to it.

HEADER   {format, log_id, after, after_chain, gate, epochs}
ENTRIES  {states: {shard: state}, entries: [...]}, any number of times
SHARDS   [[shard, state, last seq, whether it holds anything], ...], all shards as they are at the end
FOOTER   {position, chain, entries, events, epochs, blake2b}
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from ...engine.errors import UnavailableError, fault
from ...engine.log.cursor import accept, chain_at
from ...engine.log.log import EventLog
from ...engine.log.port import Entry, ShardState
from .entry_form import packed, packed_epoch
from .mirror import holds, shards_of
from .place import Place, Progress, existing, quiet
from .portable import FORMAT, BlockWriter, Kind
from .transfer import States, batches

BLOCK_BYTES = 1024 * 1024  #: of bodies in a block, about; one append may have more
BLOCK_EVENTS = 5_000
SHARDS_AT_ONCE = 5_000


class Exported(NamedTuple):
    """What an export holds."""

    log_id: UUID
    after: int  #: position behind which it begins
    position: int  #: up to which it goes
    cursor: str  #: pass it as `after` for what comes next
    events: int
    bytes: int  #: of the file


def export_log(
    log: str | EventLog,
    file: str | Path | BinaryIO,
    *,
    after: str | None = None,
    compression: str = "zlib",
    progress: Progress | None = None,
) -> Exported:
    """Write a log, with everything a copy keeps, to one file: docs/format.md, "Exports".

    `log`: a URL, or an open log; it is not changed. `file`: a path, `-` for the standard output, or a stream of bytes.
        A path is there as a whole or not at all.
    `after`: a cursor, as an earlier export gave it: only what came since. The file is imported behind that one.
    `compression`: `zlib`, `lzma` (smaller, slower) or `none`.

    Raises UsageError where there is no log, HistoryDiverged for a cursor of another history, UnavailableError if the
    disk is full.
    """
    with existing(log, or_read=True) as place, writing(file) as stream:
        return _export(place, BlockWriter(stream, compression), after, progress or quiet)


def _export(place: Place, writer: BlockWriter, cursor: str | None, progress: Progress) -> Exported:
    backend = place.backend
    head = place.log.catch_up()
    after = accept(backend, cursor, head) if cursor is not None else 0
    after = whole(place, after)
    writer.block(
        Kind.HEADER,
        {
            "format": FORMAT,
            "log_id": head.log_id.bytes,
            "after": after,
            "after_chain": chain_at(backend, after, head),
            "gate": backend.gate().state.value,
            "epochs": [packed_epoch(epoch) for epoch in backend.epochs() if epoch.after_position <= after],
        },
    )
    entries = events = 0
    position, chain = after, chain_at(backend, after, head)
    progress("events", 0, head.position - after)
    for batch in batches(backend, after=after, through=head.position):
        ends = {entry.placed.receipt.shard: entry.placed.position for entry in batch.entries}
        for part in _blocks(batch.entries):
            states = _states(batch.states, part, ends)
            writer.block(Kind.ENTRIES, {"states": states, "entries": [packed(one) for one in part]})
            entries += len(part)
        events += sum(len(entry.records) for entry in batch.entries)
        position, chain = batch.entries[-1].placed.last_position, batch.entries[-1].placed.chain
        progress("events", position - after, head.position - after)
    for page in _pages(place):
        writer.block(Kind.SHARDS, page)
    epochs = [packed_epoch(epoch) for epoch in backend.epochs() if epoch.after_position <= position]
    writer.end({"position": position, "chain": chain, "entries": entries, "events": events, "epochs": epochs})
    return Exported(head.log_id, after, position, place.log.cursor(position), events, writer.written)


def whole(place: Place, after: int) -> int:
    """The end of the last receipt that lies before a position altogether: receipts are exported whole."""
    if after == 0:
        return 0
    entry = place.backend.placed(after=after - 1, limit=1)[0]
    return after if entry.last_position == after else entry.position - 1


def _blocks(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries some at a time."""
    part: list[Entry] = []
    size = events = 0
    for entry in entries:
        part.append(entry)
        size, events = size + entry.size, events + len(entry.records)
        if size >= BLOCK_BYTES or events >= BLOCK_EVENTS:
            yield part
            part, size, events = [], 0, 0
    if part:
        yield part


def _states(states: States, part: Sequence[Entry], ends: dict[str, int]) -> dict[str, str]:
    """The states that go with these entries: of purged shards from the first on, of sealed ones with the last."""
    return {
        name: states[name].value
        for entry in part
        if (name := entry.placed.receipt.shard) in states
        and (states[name] is ShardState.PURGED or ends[name] == entry.placed.position)
    }


def _pages(place: Place) -> Iterator[list[Any]]:
    shards = shards_of(place.backend)
    while page := list(islice(shards, SHARDS_AT_ONCE)):
        yield [
            [name, state.value, last, state is not ShardState.PURGED or holds(place.backend, name)]
            for name, state, last in page
        ]


@contextmanager
def writing(file: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A stream to write bytes to; a path gets its name once all is written and durable."""
    if not isinstance(file, str | Path):
        yield file
        return
    if str(file) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    if not path.parent.is_dir():
        raise fault(f"there is no folder {path.parent} to write {path.name} in", "Make it first, or name another file.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        failed = UnavailableError(f"writing {path}: {error.strerror or error}")
        failed.remedy = "Make room, or name a file where you may write, and export again; nothing was left behind."
        raise failed from error
    finally:
        temporary.unlink(missing_ok=True)
