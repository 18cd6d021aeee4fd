"""The port on SQLite files: what an append, a look, a placement and a read do, file by file.

Promises: those of engine/log/port.py, in both layouts and between any number of processes on one machine.
Order of things, which every crash relies on:
  append   the shard's row is in the order (intent), then the event is in its file, then the bell is rung, then the
           caller is told
  seal     within a transaction of the order: the fence in the file, then the state
  purge    fenced in the file, ordered, kept facts and state in the order, then the file goes
Locks within a process are taken in this order: look, file, order.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from ...engine.errors import (
    AppendKeyConflict,
    ConflictError,
    CorruptLogError,
    FoldlogError,
    ReadOnlyError,
    ShardPurged,
    UsageError,
)
from ...engine.log.port import (
    ANY,
    GENESIS,
    NEW,
    Append,
    Epoch,
    Expected,
    Head,
    Outcome,
    Placed,
    Receipt,
    Record,
    Shard,
    ShardState,
    Stored,
)
from .connect import connect, connect_for_reading, transaction, translated
from .doorbell import Doorbell, Writers, wall_us
from .files import FileCache
from .home import SYNCHRONOUS, Durability, FileKind, Home, Layout, find_layout, refuse_network_folder
from .look import Lookout, ring_for_the_dead
from .order import OrderFile, Place, Span
from .schema import ORDER_TABLES, SHARD_TABLES, check_file, create_file, image
from .shardfile import Fence, ShardFile, Taken, checked, record_prefix

GONE = (ShardState.FENCED, ShardState.PURGED)


@dataclass(slots=True)
class Writable:
    """What this process knows of a shard it writes. The end is a guess that the primary key checks."""

    name: str
    number: int
    slot: int
    kind: FileKind
    next_seq: int | None = None  #: None: look first
    last_us: int = 0


class SqliteBackend:
    """One home. Thread-safe; any number of processes may have the same home open."""

    looks = 2  #: many files cannot be read in one snapshot

    def __init__(
        self,
        folder: Path,
        *,
        layout: Layout | None = None,
        durability: Durability = "full",
        read_only: bool = False,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        found, exists = find_layout(folder, layout)
        self.home = Home(folder, found)
        self.url = f"sqlite:///{folder}" + ("?layout=consolidated" if found == "consolidated" else "")
        self.read_only = read_only
        self._synchronous = SYNCHRONOUS[durability]
        if not exists:
            if read_only:
                raise UsageError(f"there is no log at {folder}; open it for writing once to create it")
            refuse_network_folder(folder)
            _create_home(self.home, wall)
        self.order, self._shared = self._open_order()
        self.files = FileCache(self._open_file)
        self._writable: dict[str, Writable] = {}
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # Keys of appends without one: unique by 8 random bytes and a counter, cheaper than a uuid4 each.
        self._key_prefix = secrets.token_bytes(8)
        self._key_count = 0
        self._bell: Doorbell | None = None
        self._writers = Writers(self.home.writers)
        self._lookout: Lookout | None = None
        if not read_only:
            self._bell = Doorbell(self.home.doorbell, last_us=self.order.last_us, slots=self._slots, wall=wall)
            ring_for_the_dead(self.order, self._bell, self._writers)
            self._lookout = Lookout(self.home, self.order, self.files, self._bell, self._writers)
        # A script that ends without closing must not look like a writer that was killed.
        self._finalizer = weakref.finalize(self, _release, self._pid, self._writers, self._bell, self.files, self.order)

    # -- appending ----------------------------------------------------------------------------------------------

    def append(self, append: Append) -> Receipt:
        self._guard(writing=True)
        shard = self._writable.get(append.shard) or self._open_writable(append.shard, append.expected)
        with self.files.use(shard.kind) as file:
            return self._append(file, shard, append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        self._guard(writing=True)
        outcomes: list[Outcome | None] = [None] * len(appends)
        by_file: dict[Path, list[tuple[int, Writable]]] = {}
        for index, append in enumerate(appends):
            try:
                shard = self._writable.get(append.shard) or self._open_writable(append.shard, append.expected)
                by_file.setdefault(shard.kind.path, []).append((index, shard))
            except FoldlogError as error:
                outcomes[index] = error
        for members in by_file.values():
            for (index, _), outcome in zip(members, self._append_to_file(appends, members), strict=True):
                outcomes[index] = outcome
        return [outcome for outcome in outcomes if outcome is not None]

    def _append_to_file(self, appends: Sequence[Append], members: list[tuple[int, Writable]]) -> list[Outcome]:
        """Appends to one file in one commit; a refused one leaves no trace among the others."""
        if len(members) == 1:
            index, shard = members[0]
            with self.files.use(shard.kind) as file:
                return [_outcome(self._append, file, shard, appends[index])]
        outcomes: list[Outcome] = []
        try:
            with self.files.use(members[0][1].kind) as file:
                with transaction(file.db):
                    for index, shard in members:
                        outcomes.append(_outcome(self._append_with_savepoint, file, shard, appends[index]))
                self._settle_commit(file, [shard for _, shard in members])
        except (FoldlogError, sqlite3.Error) as error:  # the commit failed: no append of the group was acknowledged
            for _, shard in members:
                shard.next_seq = None
            return [error] * len(members)
        # A sealed shard is opened again outside the group's transaction, for that takes one of the order.
        return [
            _outcome(self.append, appends[index]) if isinstance(outcome, _Sealed) else outcome
            for (index, _), outcome in zip(members, outcomes, strict=True)
        ]

    def _append_with_savepoint(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        file.db.execute("SAVEPOINT one")
        try:
            receipt = self._record(file, shard, append)
        except BaseException:
            file.db.execute("ROLLBACK TO one")
            raise
        finally:
            file.db.execute("RELEASE one")
        return receipt

    def _append(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        """One append in its own transaction, acknowledged by returning."""
        while True:
            try:
                receipt = self._record(file, shard, append)
            except _Sealed:
                self._lift_seal(file, shard)
            except BaseException:
                shard.next_seq = None  # whether it landed is not known
                raise
            else:
                self._settle_commit(file, [shard])
                return receipt
            finally:
                # Also when an exception came between the commit and here, for the event may be in the file.
                self._ring(shard)

    def _settle_commit(self, file: ShardFile, shards: list[Writable]) -> None:
        """What comes between a commit and its acknowledgement."""
        for shard in shards:
            self._ring(shard)
        # Committed to a file that no longer has its name, an event is gone with the file: never acknowledge that.
        if file.moved():
            self.files.forget(shards[0].kind)
            for shard in shards:
                self._writable.pop(shard.name, None)
            raise CorruptLogError(f"{file.path} was removed or replaced while it was open; the append is not recorded")

    def _ring(self, shard: Writable) -> None:
        if self._bell is not None:
            self._bell.ring(shard.slot)

    def _record(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        """Write an append at the shard's end: key, then expected, then the primary key as the judge of races."""
        name, records, digest, expected, key = append
        while True:
            if key is not None and (known := file.find_key(shard.number, name, key)):
                if known.digest != digest:
                    raise AppendKeyConflict(f"shard {name}: key {key} recorded other facts at seq {known.first_seq}")
                return known._replace(duplicate=True)
            fresh = shard.next_seq is None
            if shard.next_seq is None:
                end = file.end(shard.number)
                shard.next_seq, shard.last_us = end.seq + 1, end.at_us
            seq = shard.next_seq
            if expected is not ANY and seq - 1 != (0 if expected is NEW else expected):
                if not fresh:  # the guess may be old: look before refusing
                    shard.next_seq = None
                    continue
                raise ConflictError(f"shard {name} is at seq {seq - 1}, the writer expected {_spell(expected)}")
            at_us = max(shard.last_us + 1, self._now_us())
            receipt = Receipt(name, seq, seq + len(records) - 1, key or self._new_key(), at_us, digest)
            try:
                if file.insert(shard.number, receipt, records, keyed=key is not None):
                    shard.next_seq, shard.last_us = receipt.last_seq + 1, at_us
                    return receipt
            except Taken:
                shard.next_seq = None
                continue
            shard.next_seq = None
            if file.fence(shard.number) is Fence.PURGED:
                self._writable.pop(name, None)
                raise ShardPurged(f"shard {name} was deleted")
            raise _Sealed

    def _lift_seal(self, file: ShardFile, shard: Writable) -> None:
        """Open a sealed shard again: in the order first, or nobody would look into it."""
        while True:
            place = self.order.open_shard(shard.name)
            with self.order.writing():
                now = self.order.find(shard.name)
                if now is None or now.state is not ShardState.OPEN:
                    continue  # sealed again in between
                file.db.execute("PRAGMA journal_mode=WAL") if self.home.layout == "sharded" else None
                if file.fence(shard.number) is Fence.SEALED:
                    file.set_fence(shard.number, Fence.NONE)
                shard.slot = place.slot if place.slot is not None else shard.slot
                return

    def _open_writable(self, name: str, expected: Expected) -> Writable:
        """Get a shard ready for its first append by this process."""
        with self._lock:
            if known := self._writable.get(name):
                return known
            self._writers.join()
            place = self.order.find(name)
            if place is not None and place.state in GONE:
                raise ShardPurged(f"shard {name} was deleted")
            if place is None and expected is not ANY and expected is not NEW and expected != 0:
                raise ConflictError(f"shard {name} is empty, the writer expected {_spell(expected)}")
            if place is None or place.slot is None:
                place = self.order.open_shard(name)
            kind = self.home.file_of(name)
            number = self.home.number_in_file(name, place.id)
            self._make_file(place, kind, number)
            with self.files.use(kind) as file:
                end = file.end(number)
            if end.seq < place.ordered_seq:
                raise CorruptLogError(
                    f"{kind.path}: shard {name} ends at seq {end.seq}, but {place.ordered_seq} events of it are on the "
                    "timeline: an older copy of the file was put there, or the file was damaged"
                )
            shard = Writable(name, number, _slot(place), kind, end.seq + 1, end.at_us)
            if len(self._writable) >= 10_000:
                self._writable.clear()
            self._writable[name] = shard
            return shard

    def _make_file(self, place: Place, kind: FileKind, number: int) -> None:
        """See that the shard's file is there and knows the shard."""
        row = ("INSERT OR IGNORE INTO shard (number, name) VALUES (?, ?)", (number, place.name))
        if not kind.path.exists():
            if place.ordered_seq:
                raise CorruptLogError(f"{kind.path} is missing, yet events of shard {place.name} are on the timeline")
            statements: list[tuple[str, tuple[object, ...]]] = [row]
            content = image(SHARD_TABLES, log_id=self.order.log_id, kind=kind.kind, statements=statements)
            if create_file(kind.path, content):
                return
        if kind.kind != "run":
            with self.files.use(kind) as file:
                file.db.execute(*row)

    def _new_key(self) -> UUID:
        self._key_count += 1
        return UUID(bytes=self._key_prefix + self._key_count.to_bytes(8, "big"))

    def _now_us(self) -> int:
        return self._doorbell.now_us()

    @property
    def _doorbell(self) -> Doorbell:
        if self._bell is None:
            raise ReadOnlyError(f"{self.url} was opened for reading")
        return self._bell

    def _slots(self) -> list[int]:
        return [place.slot for place in self.order.open_shards() if place.slot is not None]

    # -- the timeline -------------------------------------------------------------------------------------------

    def pending(self, *, limit: int) -> list[Receipt]:
        self._guard()
        return self._lookout.look(limit=limit) if self._lookout else []

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        self._guard(writing=True)
        if self._lookout is None or not placed:
            return self.order.head() == after
        types = {(e.receipt.shard, e.receipt.first_seq): self._lookout.types(e.receipt) for e in placed}
        settled = self._lookout.settled_by(placed)
        if not self.order.place(placed, after=after, types=types, settled=settled):
            return False
        self._lookout.placed(placed, settled)
        return True

    def head(self) -> Head:
        self._guard()
        return self.order.head()

    def epochs(self) -> list[Epoch]:
        return self.order.epochs()

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        return self.order.placed(after=after, limit=limit)

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        self._guard()
        if types is None:
            spans = self.order.spans(after=after, limit=limit)
        else:
            spans = self.order.typed_spans(after=after, limit=limit, types=types)
        return self._events(spans, after=after, limit=limit, types=types)

    def _events(self, spans: list[Span], *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        """The events of placed receipts in order: each shard's part is read at once, then dealt out."""
        places = self.order.names({span.shard_id for span in spans})
        held = self._held(spans, places, types)
        found: list[Stored] = []
        for position, shard_id, first_seq, count in spans:
            name = places[shard_id].name
            records = held[shard_id]
            skip = max(0, after + 1 - position)
            for offset in range(skip, count):
                record = records.get(first_seq + offset)
                if types is None or record is not None:
                    found.append(Stored(name, first_seq + offset, position + offset, record))
                    if len(found) == limit:
                        return found
        return found

    def _held(
        self, spans: list[Span], places: dict[int, Place], types: frozenset[str] | None
    ) -> dict[int, dict[int, Record]]:
        """The records of the spans, by shard id and seq; purged ones are not there."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for _, shard_id, first, count in spans:
            of_shard = ranges.setdefault(shard_id, [])
            if of_shard and of_shard[-1][1] + 1 == first:  # neighbours are read at once
                of_shard[-1] = (of_shard[-1][0], first + count - 1)
            else:
                of_shard.append((first, first + count - 1))
        return {
            shard_id: {
                seq: record
                for first, last in of_shard
                for seq, record in self._range(places[shard_id], first, last)
                if types is None or record.type in types
            }
            for shard_id, of_shard in ranges.items()
        }

    def _range(self, place: Place, first: int, last: int) -> list[tuple[int, Record]]:
        """A shard's records with seqs `first` to `last`; of a purged one, the kept among them."""
        if place.state is not ShardState.PURGED:
            number = self.home.number_in_file(place.name, place.id)
            try:
                with self.files.use(self.home.file_of(place.name)) as file:
                    return list(enumerate(file.records(number, place.name, first, last), start=first))
            except (FileNotFoundError, CorruptLogError) as error:
                self._unless_purged(place, error)
        return self._kept(place, first, last)

    def _unless_purged(self, place: Place, error: Exception) -> None:
        """Return if the shard was purged while it was being read; else the error stands."""
        now = self.order.find(place.name)
        if now is None or now.state is not ShardState.PURGED:
            if isinstance(error, FileNotFoundError):
                path = self.home.file_of(place.name).path
                raise CorruptLogError(f"{path} is missing, yet events of shard {place.name} were recorded") from error
            raise error

    def _kept(self, place: Place, first: int, last: int) -> list[tuple[int, Record]]:
        path, name = self.order.path, place.name
        rows = self.order.kept(place.id, first, last)
        return [(row[0], checked(path, name, row, record_prefix(name, row[1]))) for row in rows]

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        self._guard()
        place = self.order.find(shard)
        if place is None:
            return []
        found = self._scan(place, after_seq, limit, types, newest_first)
        if not found:
            return []
        seqs = (found[0][0], found[-1][0])
        spans = self.order.spans_of(place.id, min(seqs), max(seqs))
        positions = _Positions(reversed(spans) if newest_first else iter(spans), newest_first)
        return [Stored(shard, seq, positions.of(seq), record) for seq, record in found]

    def _scan(
        self, place: Place, after: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[tuple[int, Record]]:
        if place.state is not ShardState.PURGED:
            number = self.home.number_in_file(place.name, place.id)
            try:
                with self.files.use(self.home.file_of(place.name)) as file:
                    return file.scan(
                        number, place.name, after=after, limit=limit, types=types, newest_first=newest_first
                    )
            except FileNotFoundError as error:
                if not place.ordered_seq:
                    return []  # announced, not yet written
                self._unless_purged(place, error)
        first, last = (1, after - 1 if after else place.ordered_seq) if newest_first else (after + 1, place.ordered_seq)
        kept = [(seq, record) for seq, record in self._kept(place, first, last) if not types or record.type in types]
        return (kept[::-1] if newest_first else kept)[:limit]

    # -- shards -------------------------------------------------------------------------------------------------

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        self._guard()
        found: list[Shard] = []
        while len(found) < limit:
            page = self.order.page(after=after, limit=limit)
            found += [Shard(p.name, p.state, p.ordered_seq) for p in page if self._written(p)]
            if len(page) < limit:
                break
            after = page[-1].name
        return found[:limit]

    def find_shard(self, name: str) -> Shard | None:
        self._guard()
        place = self.order.find(name)
        return Shard(name, place.state, place.ordered_seq) if place and self._written(place) else None

    def _written(self, place: Place) -> bool:
        """Whether a shard holds anything; a row without events is the trace of a writer that got no further."""
        if place.ordered_seq or place.state is not ShardState.OPEN:
            return True
        try:
            with self.files.use(self.home.file_of(place.name)) as file:
                return file.end(self.home.number_in_file(place.name, place.id)).seq > 0
        except FileNotFoundError:
            return False

    def seal(self, shard: str) -> bool:
        self._guard(writing=True)
        with self._ending(shard) as (place, file, number):
            if place is None or file is None or place.state in GONE:
                return False
            # Within a transaction of the file: no append may come between the look at its end and the fence.
            with nullcontext() if file.db.in_transaction else transaction(file.db):
                if file.end(number).seq != place.ordered_seq:
                    return False
                file.set_fence(number, Fence.SEALED)
            self.order.set_state(place, ShardState.SEALED)
        if self.home.layout == "sharded" and not shard.startswith("@"):
            self._compact(self.home.file_of(shard))
        return True

    def _compact(self, kind: FileKind) -> None:
        """Let a sealed run be one file, readable without a WAL; not while another process has it open."""
        with self.files.use(kind) as file:
            file.checkpoint()
            file.db.execute("PRAGMA busy_timeout=0")
            try:
                file.db.execute("PRAGMA journal_mode=DELETE").fetchall()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                # Somebody reads it; it stays as it is, which costs a little at each opening and nothing else.
        self.files.forget(kind)

    def fence(self, shard: str) -> None:
        self._guard(writing=True)
        with self._ending(shard) as (place, file, number):
            if place is not None and place.state is not ShardState.PURGED:
                if file is not None:
                    file.set_fence(number, Fence.PURGED)
                if place.slot is None:  # it was sealed, and is looked into until it is purged
                    place = self.order.give_slot(place)
                self.order.set_state(place, ShardState.FENCED)
        self._writable.pop(shard, None)

    def purge(self, shard: str, *, keep: bool) -> None:
        self._guard(writing=True)
        with self._ending(shard) as (place, file, number):
            if place is None or place.state not in GONE:
                raise ConflictError(f"shard {shard} must be fenced before it is purged")
            if place.state is ShardState.FENCED:
                if file is not None and file.end(number).seq != place.ordered_seq:
                    raise ConflictError(f"shard {shard} has events without a position; sequence them first")
                kept, types = file.kept(number, shard) if file is not None else ([], set())
                self.order.keep(place, kept if keep else [], types)
                self.order.set_state(place, ShardState.PURGED)
            elif not keep:
                types = {row[1] for row in self.order.kept(place.id, 0, place.ordered_seq)}
                self.order.keep(place, [], types)
        self._free(shard)

    def _free(self, shard: str) -> None:
        """Give back a purged shard's storage. Those who have its file open still meet the fence in it."""
        kind = self.home.file_of(shard)
        place = self.order.find(shard)
        try:
            with self.files.use(kind) as file:
                if place is not None:
                    file.erase(self.home.number_in_file(shard, place.id))
        except FileNotFoundError:
            return
        if kind.kind == "run":
            self.files.forget(kind)
            for suffix in ("", "-wal", "-shm"):
                kind.path.with_name(kind.path.name + suffix).unlink(missing_ok=True)

    @contextmanager
    def _ending(self, shard: str) -> Iterator[tuple[Place | None, ShardFile | None, int]]:
        """The shard's row and file within a transaction of the order, for what changes both."""
        kind = self.home.file_of(shard)
        with self.files.use(kind) if kind.path.exists() else nullcontext() as file, self.order.writing():
            place = self.order.find(shard)
            yield place, file, self.home.number_in_file(shard, place.id) if place else 0

    # -- the rest -----------------------------------------------------------------------------------------------

    def start_epoch(self, reason: str) -> Epoch:
        self._guard(writing=True)
        return self.order.start_epoch(now_us=self._now_us(), reason=reason)

    def diagnose(self, *, full: bool) -> list[str]:
        from .repair import diagnose

        return diagnose(self, full=full)

    def stats(self) -> dict[str, int | float | str]:
        self._guard()
        head = self.order.head()
        return {
            "backend": f"sqlite {self.home.layout}",
            "sqlite": sqlite3.sqlite_version,
            "head": head.position,
            "epoch": head.epoch,
            **self.order.counts(),
            "pending": len(self.pending(limit=1000)),
            "open_files": len(self.files),
        }

    def close(self) -> None:
        self._finalizer()

    def _guard(self, *, writing: bool = False) -> None:
        if os.getpid() != self._pid:
            raise UsageError(f"{self.url} was opened before this process was forked; open the log in the child")
        if not self._finalizer.alive:
            raise UsageError(f"{self.url} is closed")
        if writing and self.read_only:
            raise ReadOnlyError(f"{self.url} was opened for reading")

    # -- opening ------------------------------------------------------------------------------------------------

    def _open_order(self) -> tuple[OrderFile, ShardFile | None]:
        """The order file; in the consolidated layout also as the file of all shards, on the same connection."""
        path = self.home.order
        db = connect_for_reading(path) if self.read_only else connect(path)
        try:
            with translated(f"opening {path}"):
                log_id = check_file(path, db, kind=self.home.order_kind, log_id=None)
                if self.home.layout == "consolidated" and not self.read_only:
                    db.execute(f"PRAGMA synchronous={self._synchronous}")
        except BaseException:
            db.close()
            raise
        order = OrderFile(path, db, log_id)
        return order, ShardFile(path, db, order.lock) if self.home.layout == "consolidated" else None

    def _open_file(self, kind: FileKind) -> ShardFile:
        if self._shared is not None:
            return self._shared
        if not kind.path.exists():
            raise FileNotFoundError(kind.path)
        read_only = self.read_only
        db = connect_for_reading(kind.path) if read_only else connect(kind.path, synchronous=self._synchronous)
        try:
            with translated(f"opening {kind.path}"):
                check_file(kind.path, db, kind=kind.kind, log_id=self.order.log_id)
            return ShardFile(kind.path, db)
        except BaseException:
            db.close()
            raise


class _Sealed(Exception):
    """The shard is sealed: lift the fence and try again. Never leaves the backend."""


class _Positions:
    """Positions of ascending (or descending) seqs, from the spans that hold them."""

    def __init__(self, spans: Iterator[Span], descending: bool) -> None:
        self._spans = spans
        self._descending = descending
        self._span: Span | None = next(spans, None)

    def of(self, seq: int) -> int | None:
        span = self._span
        while span is not None and (
            seq < span.first_seq if self._descending else seq >= span.first_seq + span.count
        ):
            span = self._span = next(self._spans, None)
        if span is None or not span.first_seq <= seq < span.first_seq + span.count:
            return None
        return span.position + seq - span.first_seq


def _create_home(home: Home, wall: Callable[[], int]) -> None:
    """The file that makes a folder a home; whoever is first makes it."""
    home.folder.mkdir(parents=True, exist_ok=True)
    epoch = ("INSERT INTO epoch VALUES (1, 0, ?, ?, 'created')", (GENESIS, wall()))
    tables = ORDER_TABLES + (SHARD_TABLES if home.layout == "consolidated" else "")
    create_file(home.order, image(tables, log_id=uuid4(), kind=home.order_kind, statements=[epoch]))


def _release(pid: int, writers: Writers, bell: Doorbell | None, files: FileCache, order: OrderFile) -> None:
    if os.getpid() != pid:  # a forked child must not drop its parent's locks
        return
    files.close()
    order.close()
    writers.leave()
    if bell is not None:
        bell.close()


def _outcome(deed: Callable[..., Receipt], *arguments: object) -> Outcome:
    try:
        return deed(*arguments)
    except (FoldlogError, _Sealed) as error:
        return error


def _slot(place: Place) -> int:
    if place.slot is None:
        raise CorruptLogError(f"the open shard {place.name} has no slot in the order")
    return place.slot


def _spell(expected: Expected) -> str:
    return "it empty" if expected is NEW else f"seq {expected}"
