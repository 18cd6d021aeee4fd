"""The order file: which shards there are, the timeline, kept facts, epochs. Always with synchronous=FULL.

Promises: positions are dense and final; `place` is a compare-and-set on the head; a shard's row is here before its
first event is anywhere (the intent), so no event can be in a file nobody would look into.
Not here: events (shardfile.py); only those kept after a purge.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from ...engine.errors import CorruptLogError, ShardPurged
from ...engine.log.port import GENESIS, Entry, Epoch, GateState, Head, Placed, Receipt, Record, ShardState
from .at_rest import AtRest, connect_for_reading, steady
from .connect import WAL_LIMIT, checkpoint, transaction, translated
from .gate import refuse_unless_open, stored
from .shardfile import record_check

PLACE = "id, name, state, slot, bell, ordered_seq"
_NUMBERS = struct.Struct(">QQIQ")
STATES = {state.value: state for state in ShardState}

# The index of types first, then each receipt by its position; a receipt that the index names and the timeline lacks
# must show.
_TYPED = (
    "SELECT i.position, t.shard, t.first_seq, t.count FROM timeline_type i "
    "LEFT JOIN timeline t ON t.position = i.position WHERE i.type = ? AND i.position"
)
TYPED = f"{_TYPED} >= coalesce((SELECT max(position) FROM timeline WHERE position <= ?), 0) ORDER BY i.position LIMIT ?"
TYPED_BACK = f"{_TYPED} < ? ORDER BY i.position DESC LIMIT ?"


class Place(NamedTuple):
    """A shard's row in the order."""

    id: int
    name: str
    state: ShardState
    slot: int | None  #: in the doorbell; None unless open
    bell: int  #: the token at the last look that left nothing pending
    ordered_seq: int


class Span(NamedTuple):
    """A placed receipt without its proofs: what reading needs."""

    position: int
    shard_id: int
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple's method of this name


class OrderFile:
    """The open order file of one process. Thread-safe."""

    def __init__(self, path: Path, db: sqlite3.Connection, log_id: UUID) -> None:
        self.path = path
        self.lock = threading.RLock()  #: in the consolidated layout the shard file has the same one
        self.db = db
        self.log_id = log_id
        self._types: dict[str, int] = {}
        self._written = 0
        self._name = str(path)
        self._inode = os.stat(path).st_ino

    # -- shards -------------------------------------------------------------------------------------------------

    def find(self, name: str) -> Place | None:
        with self._reading():
            row = self.db.execute(f"SELECT {PLACE} FROM place WHERE name = ?", (name,)).fetchone()
        return _place(row) if row else None

    def known(self, name: str) -> Place:
        """The row of a shard that must be there."""
        place = self.find(name)
        if place is None:
            raise CorruptLogError(f"{self.path} is damaged: it does not know {name}")
        return place

    def names(self, ids: Iterable[int]) -> dict[int, Place]:
        with self._reading():
            rows = {id_: self.db.execute(f"SELECT {PLACE} FROM place WHERE id = ?", (id_,)).fetchone() for id_ in ids}
        if None in rows.values():
            raise CorruptLogError(f"{self.path} is damaged: it has positions of shards that it does not know")
        return {id_: _place(row) for id_, row in rows.items()}

    def in_slot(self, slot: int) -> Place | None:
        with self._reading():
            row = self.db.execute(f"SELECT {PLACE} FROM place WHERE slot = ?", (slot,)).fetchone()
        return _place(row) if row else None

    def open_shards(self) -> list[Place]:
        """All shards that may get news: as many as runs are open, not as many as ever were."""
        with self._reading():
            rows = self.db.execute(f"SELECT {PLACE} FROM place WHERE slot IS NOT NULL").fetchall()
        return [_place(row) for row in rows]

    def page(self, *, after: str, limit: int) -> list[Place]:
        with self._reading():
            rows = self.db.execute(
                f"SELECT {PLACE} FROM place WHERE name > ? ORDER BY name LIMIT ?", (after, limit)
            ).fetchall()
        places = [_place(row) for row in rows]
        for place in places:
            if place.name <= after:  # a damaged index: who goes on behind the last name would go in a circle
                raise CorruptLogError(f"{self.path} is damaged: its names are not in order near {place.name!r}")
            after = place.name
        return places

    def open_shard(self, name: str) -> Place:
        """The row of a shard that is about to be written: made if it is new, opened again if it is sealed.

        Durable before the first event is. Raises ShardPurged for a deleted one.
        """
        known = self.find(name)
        if known is not None and known.state is ShardState.OPEN:
            return known
        with self.writing():
            row = self.db.execute(f"SELECT {PLACE} FROM place WHERE name = ?", (name,)).fetchone()
            known = _place(row) if row else None
            if known is not None and known.state in (ShardState.FENCED, ShardState.PURGED):
                raise ShardPurged(f"shard {name} was deleted")
            self.check_gate()
            if known is None:
                sql = "INSERT INTO place (name, state, slot) VALUES (?, 'open', ?)"
                self.db.execute(sql, (name, self._take_slot()))
            elif known.state is not ShardState.OPEN:
                sql = "UPDATE place SET state = 'open', slot = ?, bell = 0 WHERE id = ?"
                self.db.execute(sql, (self._take_slot(), known.id))
            return _place(self.db.execute(f"SELECT {PLACE} FROM place WHERE name = ?", (name,)).fetchone())

    def check_gate(self) -> None:
        """Raise LogMoved if nobody may append here."""
        with self._reading() as db:
            refuse_unless_open(db, str(self.path.parent), self.log_id)

    def receiving(self) -> bool:
        """Whether a copy is being put here, so that nothing may get a position but by it."""
        with self._reading() as db:
            return stored(db)[0] == GateState.RECEIVING.value

    def _take_slot(self) -> int:
        free: tuple[int | None] = self.db.execute("SELECT min(slot) FROM free_slot").fetchone()
        if free[0] is not None:
            self.db.execute("DELETE FROM free_slot WHERE slot = ?", free)
            return free[0]
        (used,) = self.db.execute("SELECT coalesce(max(slot), -1) FROM place").fetchone()
        return int(used) + 1

    def give_slot(self, place: Place) -> Place:
        """A slot for a shard that has none. Within `writing()`."""
        slot = self._take_slot()
        self.db.execute("UPDATE place SET slot = ?, bell = 0 WHERE id = ?", (slot, place.id))
        return place._replace(slot=slot)

    def set_state(self, place: Place, state: ShardState) -> None:
        """Give a shard another state; only an open or fenced one has a slot. Within `writing()`."""
        keeps_slot = state in (ShardState.OPEN, ShardState.FENCED)
        if place.slot is not None and not keeps_slot:
            self.db.execute("INSERT OR IGNORE INTO free_slot VALUES (?)", (place.slot,))
        self.db.execute(
            "UPDATE place SET state = ?, slot = CASE WHEN ? THEN slot END WHERE id = ?",
            (state.value, keeps_slot, place.id),
        )

    # -- the timeline -------------------------------------------------------------------------------------------

    def head(self) -> Head:
        with self._reading():
            self._check_in_place()
            return self._head()

    def _check_in_place(self) -> None:
        """Raises CorruptLogError if the file has lost its name: positions given in it would be this process's alone."""
        try:
            in_place = os.stat(self._name).st_ino == self._inode
        except FileNotFoundError:
            in_place = False
        if not in_place:
            raise CorruptLogError(f"{self.path} was removed or replaced while it was open: close the log, open it anew")

    def _head(self) -> Head:
        row = self.db.execute(
            "SELECT position + count - 1, chain FROM timeline ORDER BY position DESC LIMIT 1"
        ).fetchone()
        (epoch,) = self.db.execute("SELECT max(number) FROM epoch").fetchone()
        position, chain = row or (0, GENESIS)
        if not (type(position) is int and type(chain) is bytes and type(epoch) is int):
            raise CorruptLogError(f"{self.path} is damaged: its last receipt is not whole")
        return Head(self.log_id, epoch, position, chain)

    def last_us(self) -> int:
        """The greatest time of any placed receipt, about: of the last thousand."""
        with self._reading():
            (last,) = self.db.execute(
                "SELECT max(at_us) FROM (SELECT at_us FROM timeline ORDER BY position DESC LIMIT 1000)"
            ).fetchone()
        return last if type(last) is int else 0

    def place(
        self,
        placed: Sequence[Placed],
        *,
        after: Head,
        types: Mapping[tuple[str, int], frozenset[str]],
        settled: Mapping[str, int],
    ) -> bool:
        """Put receipts behind `after`; False, and no trace, if the head is elsewhere. Durable on return.

        `types` of each receipt by (shard, first seq); `settled`: the bell of shards that have nothing more pending.
        """
        with self.writing() as db:
            if self._head() != after:
                return False
            ends = {entry.receipt.shard: entry.receipt.last_seq for entry in placed}
            ids = {name: id_ for name in ends for (id_,) in db.execute("SELECT id FROM place WHERE name = ?", (name,))}
            if len(ids) < len(ends):
                raise CorruptLogError(
                    f"{self.path} is damaged: it does not know {sorted(ends.keys() - ids.keys())[:3]}"
                )
            self.insert(placed, ids, types)
            db.executemany(
                "UPDATE place SET ordered_seq = ?, bell = coalesce(?, bell) WHERE id = ?",
                [(last, settled.get(name), ids[name]) for name, last in ends.items()],
            )
        self.grown(len(placed))
        return True

    def insert(
        self, placed: Sequence[Placed], ids: Mapping[str, int], types: Mapping[tuple[str, int], frozenset[str]]
    ) -> None:
        """Receipts as rows of the timeline, with their checksums and types. Within `writing()`."""
        kinds = self._type_ids({kind for kinds in types.values() for kind in kinds})
        self.db.executemany(
            "INSERT INTO timeline VALUES (?,?,?,?,?,?,?,?)",
            [
                (
                    position,
                    ids[r.shard],
                    r.first_seq,
                    r.last_seq - r.first_seq + 1,
                    r.at_us,
                    r.key.bytes,
                    r.digest,
                    chain,
                )
                for position, r, chain in placed
            ],
        )
        self.db.executemany(
            "INSERT INTO timeline_crc VALUES (?,?)", [(entry.position, checksum(entry)) for entry in placed]
        )
        self.db.executemany(
            "INSERT INTO timeline_type VALUES (?,?)",
            [(kinds[kind], entry[0]) for entry in placed for kind in types[entry[1].shard, entry[1].first_seq]],
        )

    def grown(self, receipts: int) -> None:
        """Note that receipts were put in; the WAL is moved into the file when they are many."""
        self._written += 300 * receipts + 8192
        if self._written > WAL_LIMIT:
            self._written = 0
            with self.lock, translated(f"checkpointing {self.path}"):
                checkpoint(self.path, self.db)

    def _type_ids(self, names: set[str]) -> dict[str, int]:
        for name in sorted(names - self._types.keys()):
            self.db.execute("INSERT OR IGNORE INTO type (name) VALUES (?)", (name,))
        # Not cached before the commit: an id given in a transaction that fails would be given again to another name.
        return {
            name: self.db.execute("SELECT id FROM type WHERE name = ?", (name,)).fetchone()[0] for name in sorted(names)
        }

    def spans(self, *, after: int, limit: int) -> list[Span]:
        """Placed receipts that end past `after`, oldest first, as many as hold `limit` events."""
        with self._reading():
            rows = self.db.execute(
                "SELECT position, shard, first_seq, count FROM timeline WHERE position >= "
                "coalesce((SELECT max(position) FROM timeline WHERE position <= ?), 0) ORDER BY position LIMIT ?",
                (after + 1, limit + 1),
            ).fetchall()
        spans: list[Span] = []
        room = limit
        expected = rows[0][0] if rows else 0
        for row in rows:
            span = Span(*row)
            if span.position != expected or (not spans and span.position > after + 1):
                raise CorruptLogError(f"{self.path} is damaged: position {min(expected, after + 1)} is missing")
            expected = span.position + span.count
            if expected - 1 > after:
                spans.append(span)
                room -= span.position + span.count - max(span.position, after + 1)
                if room <= 0:
                    break
        return spans

    def typed_spans(self, *, after: int, limit: int, types: frozenset[str]) -> list[Span]:
        """Placed receipts past `after` that hold an event of one of the types, oldest first, up to `limit`.

        Some may hold none: of the first, which may begin before `after`, the matches may all lie before it too.
        """
        # Each type's positions in order, cut to the page: the work does not grow with what lies between.
        found = self._of_types(TYPED, types, after + 1, limit + 1)
        return [found[at] for at in sorted(found) if at + found[at].count - 1 > after][:limit]

    def typed_spans_back(self, *, before: int, limit: int, types: frozenset[str]) -> list[Span]:
        """Placed receipts that begin below `before` and hold an event of one of the types, the newest first, up to
        `limit`. Of the first, the matches may all lie at `before` or above."""
        found = self._of_types(TYPED_BACK, types, before, limit)
        return [found[at] for at in sorted(found, reverse=True)[:limit]]

    def _of_types(self, sql: str, types: frozenset[str], edge: int, limit: int) -> dict[int, Span]:
        """Of each type, up to `limit` receipts that hold it, by position."""
        found: dict[int, Span] = {}
        with self._reading():
            for id_ in filter(None, [self._type_id(name) for name in sorted(types)]):
                for row in self.db.execute(sql, (id_, edge, limit)).fetchall():
                    if not type(row[1]) is type(row[2]) is type(row[3]) is int:
                        raise CorruptLogError(f"{self.path} is damaged: its receipt at position {row[0]} is not whole")
                    found[row[0]] = Span(*row)
        return found

    def _type_id(self, name: str) -> int | None:
        id_ = self._types.get(name)
        if id_ is None:
            row = self.db.execute("SELECT id FROM type WHERE name = ?", (name,)).fetchone()
            if row is not None:
                id_ = self._types[name] = row[0]
        return id_

    def spans_of(self, shard_id: int, first_seq: int, last_seq: int) -> list[Span]:
        """The placed receipts that hold seqs of one shard, in order."""
        with self._reading():
            rows = self.db.execute(
                "SELECT position, shard, first_seq, count FROM timeline WHERE shard = ? AND first_seq <= ? AND "
                "first_seq >= coalesce((SELECT max(first_seq) FROM timeline WHERE shard = ? AND first_seq <= ?), 0) "
                "ORDER BY first_seq",
                (shard_id, last_seq, shard_id, first_seq),
            ).fetchall()
        if any(None in row for row in rows):  # an index that is damaged alone leads to rows it does not belong to
            raise CorruptLogError(f"{self.path} is damaged: a receipt of shard number {shard_id} lacks a number")
        return [Span(*row) for row in rows]

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        with self._reading():
            rows = self.db.execute(
                "SELECT t.position, name, first_seq, count, key, at_us, digest, chain, crc FROM timeline t "
                "JOIN place ON place.id = shard LEFT JOIN timeline_crc c ON c.position = t.position "
                "WHERE t.position >= coalesce((SELECT max(position) FROM timeline WHERE position <= ?), 0) "
                "ORDER BY t.position LIMIT ?",
                (after + 1, limit + 1),
            ).fetchall()
        placed = (self._checked(*row) for row in rows)
        return [entry for entry in placed if entry.last_position > after][:limit]

    def _checked(
        self,
        position: int,
        name: str,
        first: int,
        count: int,
        key: bytes,
        at_us: int,
        digest: bytes,
        chain: bytes,
        crc: int,
    ) -> Placed:
        """A row of the timeline if its checksum holds. Programs of format 1 gave none: a row without one is taken."""
        try:
            entry = Placed(position, Receipt(name, first, first + count - 1, UUID(bytes=key), at_us, digest), chain)
            good = crc is None or crc == checksum(entry)
        except (TypeError, ValueError, AttributeError, struct.error):  # a column is not of its type, or out of range
            good = False
        if not good:
            raise CorruptLogError(f"{self.path} is damaged: its receipt at position {position} is not what was written")
        return entry

    # -- what outlives a purge ----------------------------------------------------------------------------------

    def keep(self, place: Place, kept: Sequence[tuple[int, Record, int]], types: Iterable[str]) -> None:
        """Hold a purged shard's kept records (seq, record, checksum), and let its other events leave the type index.

        `types` are those of the shard's events as far as known. Within `writing()`.
        """
        db = self.db
        db.execute("DELETE FROM kept WHERE shard = ?", (place.id,))
        db.executemany(
            "INSERT INTO kept VALUES (?,?,?,?,?,?,?)",
            [(place.id, seq, r.type, r.ts_us, r.topics, crc, r.body) for seq, r, crc in kept],
        )
        positions = db.execute("SELECT position FROM timeline WHERE shard = ?", (place.id,)).fetchall()
        ids = self._type_ids(set(types))
        for name in sorted(set(types)):
            db.executemany(
                "DELETE FROM timeline_type WHERE type = ? AND position = ?", [(ids[name], p) for (p,) in positions]
            )
        db.executemany(
            "INSERT OR IGNORE INTO timeline_type VALUES (?,?)",
            [(ids[record.type], self._span_start(place.id, seq)) for seq, record, _ in kept],
        )

    def keep_more(self, place: Place, entries: Iterable[Entry]) -> None:
        """Hold the kept records of a shard that came here purged. Within `writing()`."""
        self.db.executemany(
            "INSERT INTO kept VALUES (?,?,?,?,?,?,?)",
            [
                (place.id, seq, r.type, r.ts_us, r.topics, record_check(place.name, seq, r), r.body)
                for entry in entries
                for seq, r in enumerate(entry.records, start=entry.placed.receipt.first_seq)
                if r is not None
            ],
        )

    def _span_start(self, shard_id: int, seq: int) -> int:
        sql = "SELECT position FROM timeline WHERE shard = ? AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1"
        (position,) = self.db.execute(sql, (shard_id, seq)).fetchone()
        return int(position)

    def all_types(self) -> set[str]:
        """The types of all events there ever were."""
        with self._reading():
            return {name for (name,) in self.db.execute("SELECT name FROM type").fetchall()}

    def kept(self, shard_id: int, first_seq: int, last_seq: int) -> list[tuple[int, str, int, int, int, bytes]]:
        """What is kept of a purged shard: (seq, type, ts_us, topics, crc, body)."""
        with self._reading():
            return self.db.execute(
                "SELECT seq, type, ts_us, topics, crc, body FROM kept WHERE shard = ? AND seq BETWEEN ? AND ? "
                "ORDER BY seq",
                (shard_id, first_seq, last_seq),
            ).fetchall()

    # -- epochs -------------------------------------------------------------------------------------------------

    def epochs(self) -> list[Epoch]:
        with self._reading():
            rows = self.db.execute("SELECT * FROM epoch ORDER BY number").fetchall()
        return [Epoch(number, after, bytes(chain), started, reason) for number, after, chain, started, reason in rows]

    def start_epoch(self, *, now_us: int, reason: str) -> Epoch:
        with self.writing() as db:
            head = self._head()
            epoch = Epoch(head.epoch + 1, head.position, head.chain, now_us, reason)
            db.execute("INSERT INTO epoch VALUES (?,?,?,?,?)", epoch)
        return epoch

    def relax(self) -> None:
        """Note that a process writes here with durability=process. Before its first append, so that who places it
        knows."""
        if not self.relaxed():
            with self.writing() as db:
                db.execute("INSERT OR IGNORE INTO meta VALUES ('relaxed', 1)")

    def relaxed(self) -> bool:
        """Whether run files may hold appends that are not durable yet."""
        with self._reading() as db:
            return db.execute("SELECT 1 FROM meta WHERE name = 'relaxed'").fetchone() is not None

    def counts(self) -> dict[str, int | float | str]:
        with self._reading():
            (shards,) = self.db.execute("SELECT count(*) FROM place").fetchone()
            (opened,) = self.db.execute("SELECT count(*) FROM place WHERE slot IS NOT NULL").fetchone()
        return {"shards": shards, "open_shards": opened}

    def close(self) -> None:
        with self.lock:
            self.db.close()

    # -- one at a time ------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing, durable at its end; the write lock of the file is held meanwhile."""
        with self.lock, translated(f"writing {self.path}"):
            try:
                with transaction(self.db):
                    yield self.db
            except sqlite3.IntegrityError as error:  # two processes cannot do that: all is done under the write lock
                raise CorruptLogError(f"{self.path} is damaged: {error}") from error
            self._check_in_place()

    def reading(self) -> AbstractContextManager[sqlite3.Connection]:
        """The connection, to ask it; for what else is in this file."""
        return self._reading()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self.lock, translated(f"reading {self.path}"):
            if isinstance(self.db, AtRest) and self.db.moved():
                self.db.close()
                self.db = connect_for_reading(self.path)
            with steady(self.db):
                yield self.db


def checksum(entry: Placed) -> int:
    """CRC-32 of a row of the timeline, over all that it says."""
    position, receipt, chain = entry
    numbers = _NUMBERS.pack(position, receipt.first_seq, receipt.size, receipt.at_us)
    return crc32(numbers + receipt.key.bytes + receipt.digest + chain + receipt.shard.encode())


def _place(row: tuple[int, str, str, int | None, int, int]) -> Place:
    id_, name, state, slot, bell, ordered_seq = row
    if state not in STATES or not type(id_) is type(bell) is type(ordered_seq) is int or type(name) is not str:
        raise CorruptLogError(f"the order is damaged: its row of shard {name!r} is not whole")
    return Place(id_, name, STATES[state], slot, bell, ordered_seq)
