"""Entries from one place to another, page by page: what a copy spends its time with.

Promises: the chain is recomputed on the way, so nothing that was damaged or left out arrives; two pages are in memory
at most, each of 32 MiB and one append; interrupted anywhere, another transfer goes on behind the destination's head.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ...engine.errors import CorruptLogError, HistoryDiverged
from ...engine.log.chain import link
from ...engine.log.cursor import chain_at
from ...engine.log.port import Entry, Head, ShardState
from .place import MovingBackend, Progress, quiet

EVENTS = 20_000  #: of a page, at most
BYTES = 32 * 1024 * 1024  #: of the bodies of a page, about

States = Mapping[str, ShardState]


class Batch(NamedTuple):
    """Entries that follow each other, and the states of their shards that go with them."""

    entries: Sequence[Entry]
    states: States


def check_prefix(source: MovingBackend, target: MovingBackend) -> None:
    """Raise HistoryDiverged unless what the target holds is the beginning of what the source holds."""
    held, head = target.head(), source.head()
    if held.position <= head.position and chain_at(source, held.position, head) == held.chain:
        return
    error = HistoryDiverged(
        f"{target.url} holds another history up to position {held.position} than {source.url}, which ends at "
        f"{head.position}"
    )
    error.remedy = "Name a destination that is empty or not there yet; what lies there is left as it is."
    raise error


def batches(source: MovingBackend, *, after: int, through: int) -> Iterator[Batch]:
    """What a log holds past one position and up to another, one page read ahead."""
    with ThreadPoolExecutor(1, thread_name_prefix="foldlog-copy") as pool:
        page = pool.submit(_batch, source, after, through)
        while (batch := page.result()).entries:
            after = batch.entries[-1].placed.last_position
            page = pool.submit(_batch, source, after, through)
            yield batch


def _batch(source: MovingBackend, after: int, through: int) -> Batch:
    while True:
        entries = source.extract(after=after, limit=EVENTS, size=BYTES)
        while entries and entries[-1].placed.last_position > through:
            entries.pop()
        states = _states(source, entries)
        if states is not None:
            return Batch(entries, states)


def _states(source: MovingBackend, entries: Sequence[Entry]) -> dict[str, ShardState] | None:
    """The states that shards have or get with these entries; None if one was purged while they were read."""
    ends = {entry.placed.receipt.shard: entry.placed.receipt.last_seq for entry in entries}
    states: dict[str, ShardState] = {}
    for name, end in ends.items():
        shard = source.find_shard(name)
        if shard is None:
            raise CorruptLogError(f"{source.url} has positions of shard {name}, and does not know it")
        if shard.state is ShardState.PURGED or (shard.state is ShardState.SEALED and shard.ordered_seq == end):
            states[name] = shard.state
    for entry in entries:
        purged = states.get(entry.placed.receipt.shard) is ShardState.PURGED
        if purged and any(record is not None and not record.kept for record in entry.records):
            return None
    return states


def put(target: MovingBackend, batch: Batch, head: Head) -> Head:
    """Put a batch in behind `head`; the head after it. Raises CorruptLogError if the chain does not hold."""
    after = _checked(target, batch.entries, head)
    if target.ingest(batch.entries, after=head, states=_fitting(target, batch)):
        return after
    return target.head()  # another copy of the same log was faster; what it put in is the same


def _fitting(target: MovingBackend, batch: Batch) -> States:
    """A shard that was purged after part of it had been copied stays as it is until all of it is there (mirror.py)."""
    first: dict[str, int] = {}
    for entry in batch.entries:
        first.setdefault(entry.placed.receipt.shard, entry.placed.receipt.first_seq)
    states = dict(batch.states)
    for name, state in batch.states.items():
        if state is ShardState.PURGED and first[name] > 1:
            here = target.find_shard(name)
            if here is not None and here.state is not ShardState.PURGED:
                del states[name]
    return states


def _checked(target: MovingBackend, entries: Sequence[Entry], head: Head) -> Head:
    position, chain = head.position, head.chain
    for (at, receipt, linked), _, records in entries:
        chain = link(chain, receipt)
        if at != position + 1 or chain != linked or len(records) != receipt.size:
            raise CorruptLogError(
                f"what is to come to {target.url} breaks off at position {position + 1}, shard {receipt.shard}, seq "
                f"{receipt.first_seq}: its chain or its positions do not hold"
            )
        position += receipt.size
    return head._replace(position=position, chain=chain)


def transfer(source: MovingBackend, target: MovingBackend, through: int, progress: Progress = quiet) -> None:
    """Copy what the target lacks, up to a position of the source. The target's gate says RECEIVING."""
    head = target.head()
    progress("events", head.position, through)
    goes_on = True
    while goes_on:
        goes_on = False
        for batch in batches(source, after=head.position, through=through):
            head = put(target, batch, head)
            progress("events", head.position, through)
            if head.position != batch.entries[-1].placed.last_position:
                goes_on = True  # another copy was faster; from where that one is
                break
