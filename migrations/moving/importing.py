"""A log out of a portable file, into any backend; resumed where it was interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import UUID

from ...engine.errors import ConflictError, CorruptLogError, FoldlogError, HistoryDiverged, fault
from ...engine.log.log import EventLog
from ...engine.log.port import OPEN_GATE, Entry, Epoch, Gate, GateState, Head, ShardState
from .entry_form import STATES, unpacked, unpacked_epoch
from .mirror import mirror_trims
from .place import Place, Progress, advised, opened, quiet
from .portable import Block, BlockReader, Kind
from .transfer import Batch, put

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


class Imported(NamedTuple):
    """What an import has come to."""

    destination: str  #: URL without its password
    log_id: UUID
    epoch: int
    position: int  #: up to which the log goes
    imported: int  #: events put in by this call
    open: bool  #: whether it takes appends now


def import_log(
    file: str | Path | BinaryIO,
    destination: str | EventLog,
    *,
    fork: bool = False,
    more: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Make a log from a file that `export_log` has written, with its id, positions, keys and times.

    `file`: a path, `-` for the standard input, or a stream of bytes. `destination`: a URL or an open log, empty, not
        there yet, or one that an earlier part of the same log was imported to with `more`.
    `fork`: under another log id: cursors of the exported log are refused.
    `more`: leave the log closed, for exports of what came since.
    An epoch starts, so that cursors of a log that went on at its old place are refused here.

    Killed at any moment, the same call goes on. Raises CorruptLogError for a file that is damaged, with the place;
    what was put in before it stays closed. Raises ConflictError or HistoryDiverged for a destination that holds
    anything else.
    """
    with reading(file) as (stream, name):
        reader = BlockReader(stream, name)
        blocks = iter(reader)
        first = next(blocks)  # before a place is made for it: the file may be none
        with opened(destination) as there:
            return _Import(reader, there, fork, progress or quiet).run(chain([first], blocks), more)


class _Import:
    def __init__(self, reader: BlockReader, target: Place, fork: bool, progress: Progress) -> None:
        self._reader = reader
        self._target = target
        self._fork = fork
        self._progress = progress
        self._log_id = target.backend.head().log_id
        self._note = ""
        self._head = target.backend.head()
        self._before = 0

    def run(self, blocks: Iterable[Block], more: bool) -> Imported:
        header = None
        for block in blocks:
            try:
                if block.kind is Kind.HEADER:
                    header = block.content
                    self._begin(header)
                elif header is None:
                    raise ValueError("it comes before the header")
                elif block.kind is Kind.ENTRIES:
                    self._put(block)
                elif block.kind is Kind.SHARDS:
                    self._end_shards(block.content, more)
                else:
                    self._finish(block, more)
            except FoldlogError:
                raise  # some of them are ValueErrors
            except MALFORMED as error:
                raise self._reader.malformed(block, error) from error
        head = self._target.backend.head()
        is_open = self._target.backend.gate().state is GateState.OPEN
        imported = head.position - self._before
        return Imported(self._target.url, head.log_id, head.epoch, head.position, imported, is_open)

    def _begin(self, header: dict[str, Any]) -> None:
        """See that the destination is ours to fill, and ends where the file begins, or further."""
        backend = self._target.backend
        log_id = UUID(bytes=header["log_id"])
        after, linked = header["after"], header["after_chain"]
        epochs = [unpacked_epoch(form) for form in header["epochs"]]
        if not self._fork:
            self._log_id = log_id
        gate = backend.gate()
        if gate.state is GateState.OPEN:
            if after:
                raise fault(
                    f"{self._reader.name} begins behind position {after:,}, and {self._target.url} is empty or open",
                    "Import the exports before it first, with --more.",
                )
            note = f"an export of log {log_id} is being imported there"
            self._receive(self._log_id, epochs, note)
            gate = backend.gate()
        self._note = gate.note
        self._head = backend.head()
        self._before = self._head.position
        if gate.state is not GateState.RECEIVING or str(log_id) not in self._note or self._head.log_id != self._log_id:
            raise fault(f"{self._target.url} is another log, or has moved: {self._note}", "Name an empty place.")
        if self._head.position < after:
            raise fault(
                f"{self._reader.name} begins behind position {after:,}, {self._target.url} ends at "
                f"{self._head.position:,}",
                "Import the exports in between first, with --more.",
            )
        if self._head.position == after and self._head.chain != linked:
            raise self._diverged(after)
        self._progress("events", self._head.position, 0)

    def _receive(self, log_id: UUID, epochs: list[Epoch], note: str) -> None:
        try:
            self._target.backend.receive(log_id, epochs, note=note)
        except ConflictError as error:
            raise advised(error, "Name a destination that is empty or not there yet.") from None

    def _put(self, block: Block) -> None:
        entries = [unpacked(form) for form in block.content["entries"]]
        states = {name: STATES[state] for name, state in block.content["states"].items()}
        new = [entry for entry in entries if entry.placed.position > self._head.position]
        self._check_seam(entries, new)
        if not new:
            return
        names = {entry.placed.receipt.shard for entry in new}
        batch = Batch(new, {name: state for name, state in states.items() if name in names})
        self._head = put(self._target.backend, batch, self._head)
        if self._head.position != new[-1].placed.last_position:
            raise ConflictError(f"another import or copy puts events into {self._target.url} at the same time")
        self._progress("events", self._head.position, 0)

    def _check_seam(self, entries: list[Entry], new: list[Entry]) -> None:
        """Where the destination ends within a block: that it holds what the block says up to there."""
        old = entries[: len(entries) - len(new)]
        if old and old[-1].placed.last_position == self._head.position and old[-1].placed.chain != self._head.chain:
            raise self._diverged(self._head.position)

    def _diverged(self, position: int) -> HistoryDiverged:
        error = HistoryDiverged(f"{self._target.url} holds another history up to {position:,} than {self._reader.name}")
        error.remedy = "Name a destination that is empty or not there yet; what lies there is left as it is."
        return error

    def _end_shards(self, page: list[list[Any]], more: bool) -> None:
        """Shards that ended after their events were exported."""
        backend = self._target.backend
        for name, value, last_seq, keeps in page:
            state, here = STATES[value], backend.find_shard(name)
            if here is None or here.ordered_seq != last_seq or here.state in (state, ShardState.PURGED):
                continue
            if state is ShardState.SEALED:
                backend.seal(name)
            elif state is ShardState.PURGED:
                backend.fence(name)
                backend.purge(name, keep=keeps)
            elif state is ShardState.FENCED and not more:  # what it still had pending may come with the next part
                backend.fence(name)

    def _finish(self, block: Block, more: bool) -> None:
        footer = block.content
        backend = self._target.backend
        head: Head = backend.head()
        if (head.position, head.chain) != (footer["position"], footer["chain"]):
            raise CorruptLogError(
                f"{self._target.url} ends at position {head.position:,}, {self._reader.name} at {footer['position']:,}"
            )
        mirror_trims(self._target)
        epochs = [unpacked_epoch(form) for form in footer["epochs"]]
        if not more:
            now_us = time.time_ns() // 1000
            reason = f"{'forked' if self._fork else 'imported'} from an export up to position {head.position}"
            epochs.append(Epoch(epochs[-1].number + 1, head.position, head.chain, now_us, reason))
        self._receive(self._log_id, epochs, self._note)
        if not more and not backend.set_gate(OPEN_GATE, expected=Gate(GateState.RECEIVING, self._note)):
            raise ConflictError(f"the gate of {self._target.url} was changed in this moment: {backend.gate()}")


@contextmanager
def reading(file: str | Path | BinaryIO) -> Iterator[tuple[BinaryIO, str]]:
    """A stream to read bytes from, and what to call it."""
    if not isinstance(file, str | Path):
        yield file, getattr(file, "name", None) or "the stream"
    elif str(file) == "-":
        yield sys.stdin.buffer, "the standard input"
    else:
        try:
            with open(file, "rb") as stream:
                yield stream, str(file)
        except FileNotFoundError as error:
            raise fault(f"there is no file {file}", "Name a file that `foldlog export` has written.") from error
