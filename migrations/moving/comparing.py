"""Two logs side by side: is everything of the one in the other, the same?

Not here: whether either of them is sound by itself (`foldlog doctor`), and views (`foldlog verify`).
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import UUID

from ...engine.log.log import EventLog
from ...engine.log.port import Entry, Record, Shard, ShardState
from .mirror import shards_of
from .place import MovingBackend, Place, Progress, existing, quiet
from .transfer import BYTES, EVENTS


class Comparison(NamedTuple):
    """What two logs have in common. `same`: all that the other holds is in the log, as it is there."""

    log_id: UUID
    other_log_id: UUID  #: another one, where either is a fork of the other
    positions: int  #: compared: from 1 up to here
    after: int  #: events that only the log has, behind those
    lacking: int  #: events that only the other has, behind those
    shards: int  #: compared
    differences: int  #: receipts, records and shards that are not the same
    first: str | None  #: the first of them, with its place
    freed: int  #: bodies that one of them has freed since it went on alone, and the other has; no differences

    @property
    def same(self) -> bool:
        return not self.differences and not self.lacking


class _Tally:
    """What was found, and the first of it."""

    def __init__(self) -> None:
        self.differences = 0
        self.first: str | None = None
        self.freed = 0
        self.shards = 0

    def add(self, found: str) -> None:
        self.differences += 1
        self.first = self.first or found


def compare_logs(log: str | EventLog, other: str | EventLog, *, progress: Progress | None = None) -> Comparison:
    """Compare two logs, position by position: shards and their states, seqs, receipts with keys, times, digests and
    chain, whether a key answers retries, and the bytes of every record.

    `log`, `other`: URLs, or open logs. Neither is changed; what is appended meanwhile is left out. A log that goes on
    behind the end of the other may have deleted or trimmed since: that counts as `freed`. Sealed and open are alike: a
    seal is a matter of storage. Raises UsageError where there is no log.
    """
    with ExitStack() as both:
        here = both.enter_context(existing(log, or_read=True))
        there = both.enter_context(existing(other, or_read=True))
        here.log.catch_up()
        there.log.catch_up()
        return compare(here, there, progress=progress or quiet)


def compare(
    here: Place, there: Place, *, after: int = 0, freeing: bool = False, progress: Progress = quiet
) -> Comparison:
    """Compare what is past `after` up to the lesser head, and all shards. `freeing`: the other may free bodies while it
    is looked at."""
    head, head_there = here.backend.head(), there.backend.head()
    through = min(head.position, head_there.position)
    tally = _Tally()
    freeing = freeing or head.position != head_there.position
    _compare_entries(here.backend, there.backend, after, through, freeing, tally, progress)
    _compare_shards(here.backend, there.backend, freeing, tally)
    return Comparison(
        head.log_id,
        head_there.log_id,
        through,
        head.position - through,
        head_there.position - through,
        tally.shards,
        tally.differences,
        tally.first,
        tally.freed,
    )


def _compare_entries(
    here: MovingBackend,
    there: MovingBackend,
    after: int,
    through: int,
    freeing: bool,
    tally: _Tally,
    progress: Progress,
) -> None:
    with ThreadPoolExecutor(2, thread_name_prefix="foldlog-compare") as pool:
        mine, theirs = _entries(here, after, pool), _entries(there, after, pool)
        seen = 0
        progress("positions", after, through)
        while after < through:
            one, other = next(mine, None), next(theirs, None)
            if one is None or other is None:
                tally.add(f"position {after + 1}: it is missing in {(here if one is None else there).url}")
                return
            if one != other:
                found = _difference(one, other, freeing, tally) or _key_difference(here, there, one, other)
                if found is not None:
                    tally.add(found)
                if one.placed.receipt[:3] != other.placed.receipt[:3]:
                    return  # two histories from here on: every place behind differs
            after = one.placed.last_position
            seen += 1
            if seen % 1000 == 0 or after >= through:
                progress("positions", min(after, through), through)


def _entries(backend: MovingBackend, after: int, pool: ThreadPoolExecutor) -> Iterator[Entry]:
    """What a log holds past a position, one page read ahead."""
    page = pool.submit(backend.extract, after=after, limit=EVENTS, size=BYTES)
    while entries := page.result():
        page = pool.submit(backend.extract, after=entries[-1].placed.last_position, limit=EVENTS, size=BYTES)
        yield from entries


def _difference(one: Entry, other: Entry, freeing: bool, tally: _Tally) -> str | None:
    """What differs, in words; None if it is only bodies that were freed on one side."""
    receipt = one.placed.receipt
    place = f"position {one.placed.position}, shard {receipt.shard}, seq {receipt.first_seq}"
    if one.placed != other.placed:
        mine: dict[str, Any] = {"position": one.placed.position, "chain": one.placed.chain, **receipt._asdict()}
        theirs = {"position": other.placed.position, "chain": other.placed.chain, **other.placed.receipt._asdict()}
        names = [name for name in ("shard", "position", "first_seq", "last_seq") if mine[name] != theirs[name]]
        names = names or [name for name in mine if mine[name] != theirs[name]]
        said = ", ".join(f"{name} {_spell(mine[name])} is {_spell(theirs[name])} there" for name in names[:3])
        return f"{place}: {said}"
    for number, (record, theirs_) in enumerate(zip(one.records, other.records, strict=True)):
        if record == theirs_:
            continue
        if freeing and (record is None or theirs_ is None):
            tally.freed += 1
            continue
        return f"position {one.placed.position + number}, shard {receipt.shard}, seq {receipt.first_seq + number}: " + (
            _record_difference(record, theirs_)
        )
    return None


def _key_difference(here: MovingBackend, there: MovingBackend, one: Entry, other: Entry) -> str | None:
    """Whether only one of them answers a retry; of a shard that was purged on either side nobody knows."""
    if one.keyed == other.keyed:
        return None
    receipt = one.placed.receipt
    for backend in (here, there):
        shard = backend.find_shard(receipt.shard)
        if shard is not None and shard.state is ShardState.PURGED:
            return None
    return (
        f"position {one.placed.position}, shard {receipt.shard}, seq {receipt.first_seq}: its key answers retries "
        f"{'here' if one.keyed else 'there'} alone"
    )


def _record_difference(record: Record | None, other: Record | None) -> str:
    if record is None or other is None:
        return f"its body is missing {'here' if record is None else 'there'}"
    names = [name for name in record._fields if getattr(record, name) != getattr(other, name)]
    if names == ["body"]:
        return f"its bytes differ, {len(record.body):,} here and {len(other.body):,} there"
    return ", ".join(f"{name} {getattr(record, name)!r:.60} is {getattr(other, name)!r:.60} there" for name in names)


def _spell(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _compare_shards(here: MovingBackend, there: MovingBackend, freeing: bool, tally: _Tally) -> None:
    mine = shards_of(here)
    one = next(mine, None)
    for other in shards_of(there):
        while one is not None and one.name < other.name:
            if not freeing and one.ordered_seq:
                tally.add(f"shard {one.name}: it is missing in {there.url}")
            one = next(mine, None)
        if one is None or one.name != other.name:
            if other.ordered_seq and not freeing:
                tally.add(f"shard {other.name}: it is missing in {here.url}")
            continue
        tally.shards += 1
        found = _shard_difference(one, other, freeing)
        if found is not None:
            tally.add(found)
        one = next(mine, None)
    if one is not None and not freeing and one.ordered_seq:
        tally.add(f"shard {one.name}: it is missing in {there.url}")


def _shard_difference(one: Shard, other: Shard, freeing: bool) -> str | None:
    if freeing:
        return None  # the one that goes on may have appended, sealed or deleted since
    if one.ordered_seq != other.ordered_seq:
        return f"shard {one.name}: it has {one.ordered_seq} events here and {other.ordered_seq} there"
    over = (ShardState.FENCED, ShardState.PURGED)
    if one.state is not other.state and (one.state in over or other.state in over):
        return f"shard {one.name}: it is {one.state.value} here and {other.state.value} there"
    return None
