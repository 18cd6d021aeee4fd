"""The log as callers see it: append events to a shard, read a shard, read the timeline.

Promises: P1 to P8 and P11 of the README, on every backend. Every read is bounded.
Not here: bytes (a codec is passed in), storage (a backend is passed in), views.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Protocol, Self
from uuid import UUID, uuid5
from weakref import WeakSet

from ..errors import CorruptLogError, ReadOnlyError, UsageError
from ..events.event import Event, Record, Retention
from .cursor import Cursor, accept, cursor_at
from .follow import Follower
from .names import INSTANCE_SHARD, check_shard_name, is_system_shard
from .port import (
    ANY,
    LIMITS,
    MAX_SEQ,
    TRIMMABLE,
    Append,
    Backend,
    CanBackup,
    CanCompact,
    CanPrompt,
    CanTell,
    Collected,
    Compacted,
    Copied,
    Expect,
    Expected,
    Head,
    Receipt,
    Shard,
    Stored,
    Weight,
)
from .prompter import Prompter
from .sequencer import Sequencer
from .writer import EventWriter

Wait = Literal["durable", "ordered"]
WAITS = ("durable", "ordered")


class Codec(Protocol):
    """Events to bytes and back; `serdes.Codec` is one."""

    def encode(self, events: Sequence[Event[Any]]) -> tuple[list[Record], bytes]: ...
    def decode(self, type: str, body: bytes, topics: int | None = None) -> Event[Any]: ...
    def version_of(self, type: str) -> int: ...


class EventRecord(NamedTuple):
    """One event and its places. `position` is None from `read_shard` while the event is not yet sequenced."""

    shard: str
    seq: int
    position: int | None
    event: Event[Any]

    @property
    def run_id(self) -> str | None:
        """The run whose shard this is; None in a system shard."""
        return None if is_system_shard(self.shard) else self.shard


class Purged(NamedTuple):
    """A range of the timeline whose events were deleted, with their runs or by age; both ends included."""

    first_position: int
    last_position: int

    @property
    def position(self) -> int:
        """Where a reader stands after it."""
        return self.last_position


class Page(NamedTuple):
    """Part of the timeline. `cursor` goes on behind it; `at_head` tells that nothing was left when it was read."""

    records: list[EventRecord | Purged]
    cursor: Cursor
    at_head: bool

    @property
    def events(self) -> list[EventRecord]:
        """The records without the purged ranges."""
        return [record for record in self.records if isinstance(record, EventRecord)]


class RawPage(NamedTuple):
    """Part of the timeline as stored: for readers that decode only what they need, or keep the bytes."""

    stored: list[Stored]
    cursor: Cursor
    at_head: bool


class ShardPage(NamedTuple):
    """Part of one shard. Pass `next_seq` as `after_seq` to go on; `at_end` tells that nothing was left."""

    records: list[EventRecord]
    next_seq: int
    at_end: bool


class Trimmed(NamedTuple):
    """What a trim has done. `freed` counts what this call has freed; none if an earlier one had done so."""

    receipt: Receipt  #: of the fact that tells of it, in `@instance`
    freed: Weight


class EventLog:
    """One log. Thread-safe; use it as a context manager, or call `close`."""

    def __init__(self, backend: Backend, codec: Codec, *, read_only: bool = False) -> None:
        self.backend = backend
        self.read_only = read_only
        self._codec = codec
        self._sequencer = Sequencer(backend)
        self._tell = backend.mark if isinstance(backend, CanTell) else None
        self._prompter: Prompter | None = None
        if isinstance(backend, CanPrompt) and not read_only:
            self._prompter = Prompter(backend, self._sequencer.catch_up)
        self._closed = False
        self._seen = 0  #: where the timeline ended when a page was read last
        self._writers: WeakSet[EventWriter] = WeakSet()

    # -- writing ------------------------------------------------------------------------------------------------

    def append(
        self,
        shard: str,
        events: Sequence[Event[Any]],
        *,
        expected: Expected = ANY,
        key: UUID | None = None,
        wait: Wait = "durable",
    ) -> Receipt:
        """Record facts in one shard, all or none. Durable on return; with `wait="ordered"` on the timeline too.

        `shard`: a run id, or a system shard (`@queue`). 1 to 200 bytes of UTF-8, no control characters.
        `events`: 1 to 10,000, at most 16 MiB encoded in all.
        `expected`: what the writer knew when it decided: ANY, NEW (the shard is empty) or the last seq it has read.
        `key`: fresh per decision, the same on its every retry; its scope is the shard. Looked at before `expected`, so
            an append that landed although its reply was lost comes back with `duplicate=True`.

        Raises ConflictError if the shard is not as expected, AppendKeyConflict if `key` recorded other facts,
        ShardPurged if the run was deleted, EncodingError if a value cannot be stored, UnavailableError if the store
        gave no answer (the append may have landed), UsageError beyond a limit. In each case but UnavailableError
        nothing was written. Durability of each backend: docs/format.md.
        """
        if wait not in WAITS:
            raise UsageError(f"wait={wait!r} is not one of {', '.join(WAITS)}")
        receipt = self.backend.append(self.prepare(shard, events, expected=expected, key=key))
        if wait != "durable":
            self._sequencer.catch_up()
        elif self._prompter is not None:
            self._prompter.appended()
        return receipt

    def appended(self) -> None:
        """Told by a writer that it has appended something: whoever follows this log elsewhere learns of it soon."""
        if self._prompter is not None:
            self._prompter.appended()

    def prepare(
        self, shard: str, events: Sequence[Event[Any]], *, expected: Expected = ANY, key: UUID | None = None
    ) -> Append:
        """Check and encode an append without sending it; the writer's half of `append`. Same errors."""
        if self._closed or self.read_only:
            self._check_open(writing=True)
        check_shard_name(shard)
        if not isinstance(events, Sequence) or not 0 < len(events) <= LIMITS.events:
            raise UsageError(
                f"shard {shard}: an append takes a list of 1 to {LIMITS.events:,} events, not {_count(events)}"
            )
        if expected is not ANY or key is not None:
            _check_terms(shard, expected, key)
        records, digest = self._codec.encode(events)
        size = len(records[0].body) if len(records) == 1 else sum([len(record.body) for record in records])
        if size > LIMITS.bytes:
            raise UsageError(f"shard {shard}: the append is {size:,} bytes encoded, the limit is {LIMITS.bytes:,}")
        return Append(shard, records, digest, expected, key)

    def writer(self, *, max_pending: int = 10_000) -> EventWriter:
        """A writer that groups the appends of this process: it commits while the previous commit is in flight."""
        self._check_open(writing=True)
        writer = EventWriter(self, max_pending=max_pending)
        self._writers.add(writer)
        return writer

    # -- reading ------------------------------------------------------------------------------------------------

    def read(self, *, after: str | None = None, limit: int = 1000, types: Collection[str] | None = None) -> Page:
        """The timeline past a cursor, oldest first; from the start without one.

        Takes in what is committed first, so the answer includes every append acknowledged before the call (with
        `read_only`, what others have sequenced). `types`: only these kinds, through an index; purged ranges are left
        out then. `limit`: 1 to 10,000 records.

        Raises HistoryDiverged if the cursor is of another history, UsageError if it is no cursor.
        """
        page = self._read(after, limit, _wanted(types))
        return Page(self._timeline_records(page.stored), page.cursor, page.at_head)

    def read_raw(self, *, after: str | None = None, limit: int = 1000) -> RawPage:
        """As `read` of all kinds, and nothing is decoded; `decode` does that. `record` is None where purged."""
        return self._read(after, limit, None)

    def decode(self, record: Record) -> Event[Any]:
        """The event that a record of `read_raw` holds."""
        return self._codec.decode(record.type, record.body, record.topics)

    def read_back(self, *, types: Collection[str], before: int | None = None, limit: int = 1000) -> list[EventRecord]:
        """Events of some kinds, the newest first, with positions below `before`; from the end of the timeline without.

        Takes in what is committed first, as `read`; through the index by kind. Deleted events are left out; a page
        shorter than `limit` is the last one. `limit`: 1 to 10,000.
        """
        _check_limit(limit)
        wanted = _wanted(types)
        if before is not None and (type(before) is not int or before < 0):
            raise UsageError(f"before={before!r} is no position")
        self.catch_up()
        stored = self.backend.read_back(before=before, limit=limit, types=wanted or frozenset())
        return [record for record in self._timeline_records(stored) if isinstance(record, EventRecord)]

    def read_at(self, position: int) -> EventRecord | None:
        """The event at a position; None if it was deleted. Raises UsageError if the timeline does not reach there."""
        head = self.catch_up()
        if type(position) is not int or not 0 < position <= head.position:
            raise UsageError(f"position {position} is not on the timeline, which ends at {head.position}")
        stored = self.backend.read(after=position - 1, limit=1, types=None)
        return next((one for one in self._timeline_records(stored) if isinstance(one, EventRecord)), None)

    def version_of(self, type: str) -> int:
        """The newest version of a kind that this process knows; 0 for a kind it does not know. A record's own version
        is the last byte of its body."""
        return self._codec.version_of(type)

    def _read(self, after: str | None, limit: int, wanted: frozenset[str] | None) -> RawPage:
        _check_limit(limit)
        head = self._head_for(after, limit, wanted)
        start = accept(self.backend, after, head) if after is not None else 0
        stored = self.backend.read(after=start, limit=limit, types=wanted)
        # Past a full page there may be more; past a short one, all up to the head as it was before the read is taken.
        full = len(stored) >= limit
        end = head.position
        if stored:
            last = _position(stored[-1])
            end = last if full or wanted is None else max(end, last)
        if end > head.position:  # another process sequenced between the two looks
            head = self.backend.head()
        at_head = end >= head.position
        return RawPage(stored, cursor_at(self.backend, end, head), at_head)

    def _head_for(self, after: str | None, limit: int, wanted: frozenset[str] | None) -> Head:
        """The head to read a page by: with all that was appended before; or as it is, if the page is full without
        that. A reader of much then asks nobody for what is pending, page after page."""
        if wanted is None and after is not None and Cursor(after).position + limit <= self._seen:
            self._check_open()
            head = self.backend.head()
            if Cursor(after).position + limit <= head.position:
                return head
        head = self.catch_up()
        self._seen = head.position
        return head

    def read_shard(
        self,
        shard: str,
        *,
        after_seq: int = 0,
        limit: int = 1000,
        types: Collection[str] | None = None,
        newest_first: bool = False,
    ) -> ShardPage:
        """One shard past `after_seq`, in seq order; an unknown shard is empty. `limit`: 1 to 10,000.

        `newest_first` goes down from `after_seq` (from the end when it is 0). Does not sequence: the position of a
        record may be None. Of a deleted run, the kept facts remain.
        """
        _check_limit(limit)
        self._check_open()
        check_shard_name(shard)
        if type(after_seq) is not int or not 0 <= after_seq <= MAX_SEQ:
            raise UsageError(f"after_seq={after_seq!r} is no seq: 0 to 2**36")
        wanted = _wanted(types)
        stored = self.backend.read_shard(
            shard, after_seq=after_seq, limit=limit, types=wanted, newest_first=newest_first
        )
        decode, new = self._codec.decode, tuple.__new__  # half the cost of EventRecord(...), once an event
        records = [
            new(EventRecord, (shard, seq, position, decode(record.type, record.body, record.topics)))
            for _, seq, position, record in stored
            if record is not None
        ]
        next_seq = stored[-1].seq if stored else after_seq
        return ShardPage(records, next_seq, len(stored) < limit)

    def follow(self, *, after: str | None = None, types: Collection[str] | None = None, page: int = 1000) -> Follower:
        """Iterate over the timeline past a cursor, waiting for more at its end; ends when it or the log is closed."""
        return Follower(self, after=after, types=types, page=page)

    def catch_up(self) -> Head:
        """Give every append acknowledged before this call its position; the head after that.

        With `read_only` nothing is sequenced: the head as others left it.
        """
        self._check_open()
        return self.backend.head() if self.read_only else self._sequencer.catch_up()

    def head(self) -> Head:
        """The end of the timeline, without sequencing first."""
        self._check_open()
        return self.backend.head()

    def mark(self) -> bytes | None:
        """What is another value as soon as an append was acknowledged since, by whichever process; None where that
        cannot be told without asking for the head. Equal marks: nobody has to look for news."""
        self._check_open()
        return self._tell() if self._tell is not None else None

    def cursor(self, position: int | None = None) -> Cursor:
        """The cursor right behind a position of the timeline; behind the head by default."""
        head = self.head()
        if position is None:
            position = head.position
        if not 0 <= position <= head.position:
            raise UsageError(f"position {position} is not on the timeline, which ends at {head.position}")
        return cursor_at(self.backend, position, head)

    def shards(self, *, after: str = "", limit: int = 1000) -> list[Shard]:
        """Shards by name past `after`, with their state; up to `limit` (1 to 10,000)."""
        _check_limit(limit)
        self._check_open()
        return self.backend.shards(after=after, limit=limit)

    def stats(self) -> dict[str, int | float | str]:
        """Counts and sizes, for people and metrics."""
        self._check_open()
        return self.backend.stats()

    # -- the end of a shard -------------------------------------------------------------------------------------

    def seal(self, shard: str) -> bool:
        """Mark a finished run: it costs no look and no open file any more. False if an append came in between.

        A late append opens it again; nothing is lost.
        """
        self._check_open(writing=True)
        check_shard_name(shard)
        self._sequencer.catch_up()
        return self.backend.seal(shard)

    def purge(self, run_id: str, tombstone: Event[Any], *, keep: bool = True) -> Receipt:
        """Delete a run for good: free its storage, refuse later appends, keep positions dense.

        `tombstone` goes on the timeline (shard `@instance`) before anything is freed, so every fold learns of it.
        `keep`: facts of `Retention.KEPT` (assets, checks, partitions) stay readable at their seq and position.
        Interrupted at any point, the same call completes it. Raises UsageError if the run was never written.
        """
        self._check_open(writing=True)
        check_shard_name(run_id)
        if is_system_shard(run_id):
            raise UsageError(f"{run_id} is a system shard; only runs can be deleted")
        if self.backend.find_shard(run_id) is None:
            raise UsageError(f"there is no run {run_id}")
        # Fence, order, tombstone, free. An event placed behind the tombstone would bring the run's rows back in every
        # live view and in no rebuilt one, so nothing may be appended once the tombstone has its position.
        self.backend.fence(run_id)
        head = self._sequencer.catch_up()
        key = uuid5(head.log_id, f"purge:{keep}:{run_id}")
        receipt = self.append(INSTANCE_SHARD, [tombstone], key=key, wait="ordered")
        self.backend.purge(run_id, keep=keep)
        return receipt

    def weigh(
        self, retention: Retention | None = None, *, through_position: int | None = None, shard: str | None = None
    ) -> dict[Retention, Weight]:
        """How many events and bytes of bodies there are, by retention class; changes nothing.

        `retention`: only that class. `through_position`: only up to there; by default up to the head.
        `shard`: only there. With a class and a position, what `trim` would free.
        """
        self._check_open()
        through = self.backend.head().position if through_position is None else through_position
        found = self.backend.weigh(retention, through=through, shard=shard)
        return {Retention(kind): found[kind] for kind in sorted(found)}

    def trim(self, retention: Retention, through_position: int, *, shard: str | None = None) -> Trimmed:
        """Free the bodies of all events of one retention class up to a position of the timeline, for good.

        `retention`: LOG or TICK. `shard`: only there; of LOG, by default everywhere. Seqs and positions stay dense, and
        what is freed reads as `Purged`. A fact, HISTORY_TRIMMED, goes on the timeline (shard `@instance`) before
        anything is freed, so every fold learns of it. Interrupted at any point, the same call completes it.
        With `shard="@pools"` all requests and claims of slots up to there go, those of slots that are held too: it is
        the caller's duty to stop before them, as `Instance.apply_retention` does.

        Raises UsageError for another class, TICK without a shard, a position past the head, or a shard that was never
        written.
        """
        from ..events.tombstone import HistoryTrimmed

        self._check_open(writing=True)
        if retention not in TRIMMABLE:
            raise UsageError(f"retention={retention!r}: only Retention.LOG and Retention.TICK may go by age")
        if shard is not None:
            check_shard_name(shard)
            if self.backend.find_shard(shard) is None:
                raise UsageError(f"there is no shard {shard}")
        elif retention == Retention.TICK:
            error = UsageError("trim(Retention.TICK) without shard= would free slots of pools that steps still hold")
            error.remedy = (
                'Name the shard, as shard="@ticks", or use Instance.apply_retention, which spares such slots.'
            )
            raise error
        head = self._sequencer.catch_up()
        if type(through_position) is not int or not 1 <= through_position <= head.position:
            raise UsageError(
                f"through_position={through_position!r} is not on the timeline, which ends at {head.position}"
            )
        fact = HistoryTrimmed(retention=int(retention), through_position=through_position, shard=shard)
        terms = f"trim:{int(retention)}:{through_position}:{'' if shard is None else f'={shard}'}"
        receipt = self.append(INSTANCE_SHARD, [Event.now(fact)], key=uuid5(head.log_id, terms), wait="ordered")
        return Trimmed(receipt, self.backend.trim(int(retention), through=through_position, shard=shard))

    def backup(
        self,
        folder: str | Path,
        *,
        beside: Collection[str] = (),
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Copied:
        """Copy the log to a folder, which must not be there or be empty, while others write, seal and delete.

        The copy holds every append acknowledged before the call, and stands at one position: it opens by itself, and
        cursors up to there are good in it. It is there as a whole or not at all. `beside`: other files of the log's
        home to copy, if they are there. Only for logs in a folder of this machine.

        Raises UsageError for a log or a folder that this cannot be done with, UnavailableError if the disk is full.
        """
        self._check_open()
        if not isinstance(self.backend, CanBackup):
            error = UsageError(f"{self.backend.url} is no folder that could be copied")
            error.remedy = "`foldlog export FILE` writes it to one file; or use the store's own means, as pg_dump."
            if self.backend.url.startswith("memory:"):
                error.remedy = "There is no copy of a log in memory; put it in a place, as sqlite:///./history."
            raise error
        self.catch_up()
        return self.backend.backup(Path(folder), beside=tuple(beside), progress=progress)

    def compact(self, *, progress: Callable[[str, int, int], None] | None = None) -> Compacted:
        """Rewrite many small objects as few large ones, which are read faster and for less; others go on meanwhile.

        What this supersedes is deleted by `collect`, a day later. Interrupted at any point, the next call goes on.
        `progress`: called with what, how much of it, and of how much. Only for logs on object storage: raises
        UsageError for others.
        """
        self._check_open(writing=True)
        backend = self._on_objects()
        self.catch_up()
        return backend.compact(progress=progress)

    def collect(
        self,
        *,
        dry_run: bool = False,
        grace_s: float | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Collected:
        """Delete objects that nobody needs any more: superseded, left by a kill, announced and never written.

        `dry_run`: delete nothing, and tell what would go. `grace_s`: how many seconds something must have been garbage,
        by the store's clock; a day by default, and at least an hour. Only for logs on object storage: raises UsageError
        for others.
        """
        self._check_open(writing=not dry_run)
        return self._on_objects().collect(dry_run=dry_run, grace_s=grace_s, progress=progress)

    def _on_objects(self) -> CanCompact:
        if isinstance(self.backend, CanCompact):
            return self.backend
        error = UsageError(f"{self.backend.url} has no objects that could be compacted or collected")
        error.remedy = (
            "Nothing needs to be done: this backend gives back by itself what is freed. Logs on s3://, gs://, az:// "
            "and file:/// are compacted and collected."
        )
        raise error

    def close(self) -> None:
        """Free every handle; its followers end, and what its writers have queued is written first. Idempotent."""
        with ExitStack() as last_first:
            last_first.callback(self.backend.close)
            last_first.callback(setattr, self, "_closed", True)
            if self._prompter is not None:
                last_first.callback(self._prompter.close)
            for writer in list(self._writers):
                last_first.callback(writer.close)  # raises what it could not write; the rest is closed all the same

    @property
    def closed(self) -> bool:
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<foldlog.EventLog {self.backend.url}{' (read only)' if self.read_only else ''}>"

    def _check_open(self, *, writing: bool = False) -> None:
        if self._closed:
            raise UsageError(f"the log {self.backend.url} is closed")
        if writing and self.read_only:
            raise ReadOnlyError(f"the log {self.backend.url} was opened with read_only=True")

    def _timeline_records(self, stored: Sequence[Stored]) -> list[EventRecord | Purged]:
        decode, new = self._codec.decode, tuple.__new__
        records: list[EventRecord | Purged] = []
        for shard, seq, position, record in stored:
            if record is not None:
                event = decode(record.type, record.body, record.topics)
                records.append(new(EventRecord, (shard, seq, position, event)))
                continue
            here = _position(Stored(shard, seq, position, record))
            last = records[-1] if records else None
            if isinstance(last, Purged) and last.last_position + 1 == here:
                records[-1] = Purged(last.first_position, here)
            else:
                records.append(Purged(here, here))
        return records


def _position(stored: Stored) -> int:
    if stored.position is None:
        raise CorruptLogError(f"shard {stored.shard}: seq {stored.seq} was read from the timeline without a position")
    return stored.position


def _wanted(types: Collection[str] | None) -> frozenset[str] | None:
    if isinstance(types, str):  # a text is a collection of letters: it would match nothing, and the cursor would move
        raise UsageError(f"types={types!r} is one text; write types=[{types!r}]")
    return None if types is None else frozenset(types)


def _check_terms(shard: str, expected: object, key: object) -> None:
    if key is not None and not isinstance(key, UUID):
        raise UsageError(f"shard {shard}: key={key!r} is no UUID; write for example key=uuid.uuid4()")
    if not isinstance(expected, Expect) and (type(expected) is not int or not 0 <= expected <= MAX_SEQ):
        raise UsageError(f"shard {shard}: expected={expected!r} is no seq; use ANY, NEW, or the last seq you read")


def _count(events: object) -> str:
    return f"{len(events):,}" if isinstance(events, Sequence) else f"a {type(events).__name__}"


def _check_limit(limit: int) -> None:
    if type(limit) is not int or not 0 < limit <= LIMITS.page:
        raise UsageError(f"limit={limit!r} is no whole number from 1 to {LIMITS.page:,}")
