"""Appends to SQLite files: one statement for one event, and what must stand around it.

The order every crash relies on: the shard's row is in the order file (intent), then the event is in its file, then the
bell is rung, then the caller is told.
Not here: the statement itself (shardfile.py), reading (read.py), seals and purges (ending.py).
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count as counter
from pathlib import Path
from uuid import UUID

from ...engine.errors import (
    AppendKeyConflict,
    ConflictError,
    CorruptLogError,
    FoldlogError,
    ShardPurged,
    UnavailableError,
)
from ...engine.log.port import ANY, NEW, Append, Expected, Outcome, Receipt, ShardState
from .connect import FAILURES, remedy_for, transaction, translated
from .doorbell import Doorbell, Writers
from .files import FileCache
from .home import FileKind, Home
from .order import OrderFile, Place
from .schema import SHARD_TABLES, create_file, image, sync_names
from .shardfile import Fence, ShardFile, Taken
from .unknown import check_unknown

UNKNOWN = -1
KEYS_AT_ONCE = 100
_new = tuple.__new__
SEALED_MARK = -1  #: a mark no file has: the append that names it looks at the fence first
KNOWN_SHARDS = 10_000  #: shards whose end a process remembers


@dataclass(slots=True)
class Writable:
    """What this process knows of a shard it writes. The end is a guess that the primary key checks."""

    name: str
    number: int
    slot: int  #: in the doorbell; UNKNOWN while the shard is sealed
    kind: FileKind
    file: ShardFile
    next_seq: int  #: 0: look first
    last_us: int
    mark: int  #: the shard's fence as it stood when `slot` was looked up (shardfile.Fence)


class Appender:
    """The writing half of the backend. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache, bell: Doorbell, writers: Writers) -> None:
        self._home = home
        self._order = order
        self._files = files
        self._bell = bell
        self._writers = writers
        self._shards: dict[str, Writable] = {}
        self._lock = threading.Lock()
        # Keys of appends without one: unique by 8 random bytes and a counter, cheaper than a uuid4 each. Made some at
        # a time: one alone, made on a processor whose caches a commit has emptied, costs five times as much.
        self._key_blocks = counter(int.from_bytes(secrets.token_bytes(8), "big") << 64, KEYS_AT_ONCE)
        self._keys: list[UUID] = []

    def append(self, append: Append) -> Receipt:
        """One append in its own transaction, acknowledged by returning."""
        shard = self._shards.get(append.shard) or self._open(append.shard, append.expected)
        while True:
            with shard.file.lock:
                file = shard.file
                if not file.closed:
                    try:
                        return self._append(file, shard, append)
                    except FAILURES as error:
                        if (known := remedy_for(error, f"writing {file.path}")) is None:
                            raise
                        raise known from error
            shard = self._reopened(shard, append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        """Many appends, those to one file in one commit; a refused one leaves the others untouched."""
        outcomes: dict[int, Outcome] = {}
        by_file: dict[Path, list[tuple[int, Writable]]] = {}
        for index, append in enumerate(appends):
            try:
                shard = self._shards.get(append.shard) or self._open(append.shard, append.expected)
                if shard.file.closed:
                    shard = self._reopened(shard, append)
                by_file.setdefault(shard.kind.path, []).append((index, shard))
            except FoldlogError as error:
                outcomes[index] = error
        for members in by_file.values():
            if len(members) == 1:
                outcomes[members[0][0]] = _outcome(self.append, appends[members[0][0]])
            else:
                outcomes.update(self._append_to_file(appends, members))
        return [outcomes[index] for index in range(len(appends))]

    def forget(self, shard: str) -> None:
        """Look at the shard's row again before the next append."""
        self._shards.pop(shard, None)

    def _reopened(self, shard: Writable, append: Append) -> Writable:
        """The shard again, after its file was closed to spare handles, or because the shard ended."""
        self.forget(shard.name)
        again = self._open(shard.name, append.expected)
        if again.next_seq < shard.next_seq:
            self.forget(shard.name)
            raise CorruptLogError(
                f"{shard.kind.path}: shard {shard.name} ends at seq {again.next_seq - 1}, this process has written seq "
                f"{shard.next_seq - 1}: an older copy of the file was put there"
            )
        return again

    def _append(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        file.used = True
        while True:
            try:
                receipt = self._record(file, shard, append)
            except _Sealed:
                self._lift_seal(file, shard)
            except ConflictError:
                raise
            except BaseException:
                # Whether it landed is not known; an exception may also have come between the commit and here. The
                # event may be in the file, so the bell is rung for it.
                shard.next_seq = 0
                self._ring(shard)
                raise
            else:
                self._ring(shard)
                if not file.settle():
                    raise self._lost(file, shard)
                return receipt

    def _append_to_file(self, appends: Sequence[Append], members: list[tuple[int, Writable]]) -> dict[int, Outcome]:
        outcomes: dict[int, Outcome] = {}
        kind = members[0][1].kind
        try:
            with self._files.use(kind) as file:
                for _, shard in members:
                    if shard.file is not file:  # closed since, to spare handles
                        shard.file, shard.next_seq = file, 0
                try:
                    with transaction(file.db):
                        for index, shard in members:
                            outcomes[index] = _outcome(self._record_apart, file, shard, appends[index])
                finally:
                    for _, shard in members:
                        self._ring(shard)
                if not file.settle():
                    raise self._lost(file, members[0][1])
        except BaseException as error:  # the commit failed: no append of the group was acknowledged
            for _, shard in members:
                shard.next_seq = 0  # also after Ctrl-C: what was rolled back must not be counted
            if isinstance(error, FileNotFoundError):  # the file is gone with its run: each append finds out by itself
                return {index: _outcome(self.append, appends[index]) for index, _ in members}
            if not isinstance(error, FoldlogError):
                raise
            return {index: error for index, _ in members}
        # A sealed shard is opened again outside the group's transaction, for that takes one of the order.
        for index, outcome in outcomes.items():
            if isinstance(outcome, _Sealed):
                outcomes[index] = _outcome(self.append, appends[index])
        return outcomes

    def _record_apart(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        """One append within the group's transaction; refused, it leaves no trace in it."""
        file.db.execute("SAVEPOINT one")
        try:
            return self._record(file, shard, append)
        except BaseException:
            file.db.execute("ROLLBACK TO one")
            shard.next_seq = 0
            raise
        finally:
            file.db.execute("RELEASE one")

    def _record(self, file: ShardFile, shard: Writable, append: Append) -> Receipt:
        """Write an append at the shard's end: key, then expected, then the primary key as the judge of races."""
        name, records, digest, expected, key = append
        taken = 0
        while True:
            if key is not None and (known := file.find_key(shard.number, name, key)):
                self._refuse_if_purged(file, shard)
                if known.digest != digest:
                    raise AppendKeyConflict(f"shard {name}: key {key} recorded other facts at seq {known.first_seq}")
                return known._replace(duplicate=True)
            seq = shard.next_seq or self._look(file, shard)
            if expected is not ANY and seq - 1 != (0 if expected is NEW else expected):
                seq = self._look(file, shard)  # the guess may be old: look before refusing
                if seq - 1 != (0 if expected is NEW else expected):
                    raise ConflictError(f"shard {name} is at seq {seq - 1}, the writer expected {_spell(expected)}")
            if seq <= taken:  # said to be taken, and not there: no other writer, but a damaged page
                raise CorruptLogError(f"{file.path} is damaged: shard {name} ends before seq {taken}, and holds it")
            at_us = max(shard.last_us + 1, self._bell.now_us())
            keyed = key is not None
            given = key if key is not None else self._fresh_key()
            count = len(records)
            # As Receipt(...), at half the price; this and what it calls is most of what an append costs beside SQLite.
            receipt = _new(Receipt, (name, seq, seq + count - 1, given, at_us, digest, False))
            try:
                if count == 1:
                    done = file.insert_one(shard.number, receipt, records[0], keyed=keyed, mark=shard.mark)
                else:
                    done = file.insert(shard.number, receipt, records, keyed=keyed, mark=shard.mark)
            except Taken:
                shard.next_seq, taken = 0, seq
                continue
            if not done:
                mark = shard.mark
                self._look_at_fence(file, shard)
                if shard.mark == mark:
                    raise CorruptLogError(
                        f"{file.path} is damaged: nothing forbids an append to {name}, and none goes in"
                    )
                continue
            shard.next_seq, shard.last_us = seq + count, at_us
            return receipt

    def _fresh_key(self) -> UUID:
        try:
            return self._keys.pop()
        except IndexError:
            start = next(self._key_blocks)
            self._keys += [UUID(int=start + number) for number in range(1, KEYS_AT_ONCE)]
            return UUID(int=start)

    def _ring(self, shard: Writable) -> None:
        if shard.slot == UNKNOWN:  # sealed when this process found it; still so, or opened again by another
            place = self._order.find(shard.name)
            if place is None or place.slot is None:
                return  # what is sealed has its positions
            shard.slot = place.slot
        self._bell.ring(shard.slot)

    def _look(self, file: ShardFile, shard: Writable) -> int:
        end = file.end(shard.number)
        shard.next_seq, shard.last_us = end.seq + 1, end.at_us
        return shard.next_seq

    def _look_at_fence(self, file: ShardFile, shard: Writable) -> None:
        """Why an append was not let in; returns if it may try again."""
        shard.next_seq = 0
        mark = self._refuse_if_purged(file, shard)  # before the slot: the slot is changed first (`_lift_seal`)
        place = self._order.find(shard.name)
        if Fence(mark & 3) is not Fence.NONE or place is None or place.slot is None:
            raise _Sealed
        shard.mark, shard.slot = mark, place.slot

    def _refuse_if_purged(self, file: ShardFile, shard: Writable) -> int:
        """The shard's mark. Raises ShardPurged if it was deleted."""
        mark = file.mark(shard.number, shard.name)
        if Fence(mark & 3) is Fence.PURGED:
            self.forget(shard.name)
            raise ShardPurged(f"shard {shard.name} was deleted")
        return mark

    def _lost(self, file: ShardFile, shard: Writable) -> CorruptLogError:
        if self._home.layout == "sharded":
            self._files.forget(shard.kind)
        self.forget(shard.name)
        return CorruptLogError(f"{file.path} was removed or replaced while it was open; the append may be lost with it")

    def _lift_seal(self, file: ShardFile, shard: Writable) -> None:
        """Open a sealed shard again: in the order first, or nobody would look into it."""
        while True:
            self._order.open_shard(shard.name)
            if self._home.is_run_file(shard.kind):
                file.db.execute("PRAGMA journal_mode=WAL").fetchall()
            with self._order.writing():
                self._order.check_gate()
                now = self._order.find(shard.name)
                if now is None or now.state is not ShardState.OPEN:
                    continue  # sealed again in between
                if Fence(file.mark(shard.number, shard.name) & 3) is not Fence.PURGED:
                    file.lift_fence(shard.number)
                shard.mark, shard.slot = file.mark(shard.number, shard.name), _slot(now)
                return

    def _open(self, name: str, expected: Expected) -> Writable:
        """Get a shard ready for its first append by this process."""
        with self._lock, translated(f"opening shard {name}"):
            if known := self._shards.get(name):
                return known
            self._order.check_gate()
            place = self._order.find(name)
            if place is not None and place.state in (ShardState.FENCED, ShardState.PURGED):
                raise ShardPurged(f"shard {name} was deleted")
            if place is None and expected is not ANY and expected is not NEW and expected != 0:
                raise ConflictError(f"shard {name} is empty, the writer expected {_spell(expected)}")
            self._writers.join()
            if place is None:
                check_unknown(self._home, self._order, self._files, name)
                place = self._order.open_shard(name)
            kind = self._home.file_of(name)
            number = self._home.number_in_file(name, place.id)
            self._make_file(place, kind, number)
            try:
                with self._files.use(kind) as file:
                    mark = file.mark(number, name)
                    end = file.end(number)
            except FileNotFoundError as error:
                raise UnavailableError(f"{kind.path} was removed as it was opened") from error
            place = self._order.find(name) or place  # after the mark, as in `_look_at_fence`
            if place.slot is None or Fence(mark & 3) is not Fence.NONE:
                # Also if the file has lost its fence with the power: opened in the order first. A fence that went up
                # since the row was read must be met, not taken for the shard's mark.
                mark = SEALED_MARK
            if end.seq < place.ordered_seq:
                # Others may have appended, and sequenced it, between the two looks: what is on the timeline was in the
                # file before, so a look that begins now tells.
                with self._files.use(kind) as file:
                    end = file.end(number)
            if end.seq < place.ordered_seq:
                raise CorruptLogError(
                    f"{kind.path}: shard {name} ends at seq {end.seq}, but {place.ordered_seq} events of it are on the "
                    "timeline: an older copy of the file was put there, or the file was damaged"
                )
            if len(self._shards) >= KNOWN_SHARDS:
                self._shards.clear()
            shard = Writable(name, number, _slot(place), kind, file, end.seq + 1, end.at_us, mark)
            self._shards[name] = shard
            return shard

    def _make_file(self, place: Place, kind: FileKind, number: int) -> None:
        """See that the shard's file is there and knows the shard."""
        row = ("INSERT OR IGNORE INTO shard (number, name) VALUES (?, ?)", (number, place.name))
        if not kind.path.exists():
            if place.ordered_seq:
                raise CorruptLogError(f"{kind.path} is missing, yet events of shard {place.name} are on the timeline")
            content = image(SHARD_TABLES, log_id=self._order.log_id, kind=kind.kind, statements=[row])
            create_file(kind.path, content)
        if not place.ordered_seq and self._home.layout == "sharded":
            # Also if another process made it: it may not have come to this yet, or was killed before.
            sync_names(kind.path, top=self._home.folder)
        if not self._home.is_run_file(kind):
            with self._files.use(kind) as file:
                file.db.execute(*row)


class _Sealed(Exception):
    """The shard is sealed: lift the fence and try again. Never leaves the backend."""


def _slot(place: Place) -> int:
    return UNKNOWN if place.slot is None else place.slot


def _outcome(deed: Callable[..., Receipt], *arguments: object) -> Outcome:
    try:
        return deed(*arguments)
    except (FoldlogError, _Sealed) as error:
        return error


def _spell(expected: Expected) -> str:
    return "it empty" if expected is NEW else f"seq {expected}"
