"""One file of shards: a run file (one shard, number 0), system.db, or log.db (many).

Promises: an append is one transaction in this file and touches nothing else; the primary key (shard number, seq)
decides races; a fence in the same statement stops writers that have had the file open since before a seal or a purge.
Not here: positions (order.py), which file a shard lives in (home.py), when to open and close (backend.py).
"""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

from ...engine.errors import CorruptLogError
from ...engine.log.port import RETENTION_MASK, Receipt, Record
from .connect import WAL_LIMIT, checkpoint, empty_log, give_back, transaction
from .schema import SEQ_BITS, SEQ_MASK

PLACE = struct.Struct("<QQH")  # seq, ts_us, topics
_MARK = struct.Struct("<QQIB")  # first seq, at_us, count, keyed

INSERT_MORE = "INSERT INTO event (id, type, ts_us, topics, crc, body) VALUES (?,?,?,?,?,?)"
# The fence is tested by the statement that inserts, so no append slips in behind a seal or a purge.
INSERT_UNFENCED = "INSERT INTO event SELECT ?,?,?,?,?,?,?,?,?,?,?,? WHERE (SELECT fence FROM shard WHERE number=?) = ?"
COLUMNS = "id, type, ts_us, topics, crc, body"
RECEIPT_COLUMNS = "id, count, keyed, key, digest, at_us, receipt_crc, type"
FREED = ""  #: the type of a record whose body was freed by a trim; no other has an empty one


Row = tuple[Any, ...]  #: as SQLite gives it; what a damaged file gives is checked, not believed


class Fence(IntEnum):
    """What stops an append to a shard: the two low bits of `shard.fence`.

    The bits above count how often a seal was lifted. An append names the whole number it knows, for a writer that has
    slept through a seal and its lifting knows an old slot of the doorbell, and would ring where nobody listens.
    """

    NONE = 0
    SEALED = 1  #: finished; the fence is lifted for a late append
    PURGED = 2  #: deleted, for ever
    MOVED = (
        3  #: the whole home is closed to appends (gatekeeper.py); lifted by whoever meets it once that is open again
    )


class Taken(Exception):
    """Another writer has recorded that seq or key first. Never leaves the backend."""


class End(NamedTuple):
    """Where a shard ends: its last seq and the time of its last receipt (0 and 0 when empty)."""

    seq: int
    at_us: int


class Found(NamedTuple):
    """A receipt as read from the file, and the types of its events."""

    receipt: Receipt
    types: frozenset[str]
    freed: bool = False  #: whether a trim has freed some of its events, whose types nobody knows any more


class ShardFile:
    """An open file of shards. Callers hold `lock` around every use; the connection is shared by all threads."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: threading.RLock | None = None) -> None:
        self.path = path
        self.lock = lock or threading.RLock()
        self.db = db
        self.closed = False
        self.used = True  #: since the cache last passed it over (files.py)
        self._name = str(path)
        self._inode = os.stat(path).st_ino
        self._unchecked = 0  #: bytes written since the last checkpoint, about
        self._prefixes: dict[tuple[str, str], int] = {}

    # -- appending ----------------------------------------------------------------------------------------------

    def insert_one(self, number: int, receipt: Receipt, record: Record, *, keyed: bool, mark: int) -> bool:
        """Record an append of one event; False if the fence is not as `mark` says. Durable on return unless in a
        transaction.

        Raises Taken if the seq or the key is taken. The path of nearly all appends: one statement, nothing else.
        """
        kind, ts_us, topics, body = record
        shard, seq, _, uuid, at_us, digest, _ = receipt
        key = uuid.int.to_bytes(16, "big")
        prefix = self._prefixes.get((shard, kind)) or self._prefix(shard, kind)
        crc = crc32(body, crc32(PLACE.pack(seq, ts_us, topics), prefix))
        check = crc32(digest, crc32(key, crc32(_MARK.pack(seq, at_us, 1, keyed), prefix)))
        row = (
            number << SEQ_BITS | seq, 1, keyed, key, digest, at_us, check, kind, ts_us, topics, crc, body, number, mark
        )  # fmt: skip
        self._unchecked += len(body) + 4096
        try:
            return self.db.execute(INSERT_UNFENCED, row).rowcount == 1
        except sqlite3.IntegrityError as error:
            raise _taken(error) from error

    def insert(self, number: int, receipt: Receipt, records: Sequence[Record], *, keyed: bool, mark: int) -> bool:
        """Record an append of many events, as `insert_one` does of one."""
        base = number << SEQ_BITS
        shard, first_seq, _, key, at_us, digest, _ = receipt
        prefixes, pack = self._prefixes, PLACE.pack
        rows = []
        for seq, (kind, ts_us, topics, body) in enumerate(records, start=first_seq):
            prefix = prefixes.get((shard, kind)) or self._prefix(shard, kind)
            crc = crc32(body, crc32(pack(seq, ts_us, topics), prefix))
            rows.append((base + seq, kind, ts_us, topics, crc, body))
        id_, *columns = rows[0]
        check = receipt_check(receipt, records[0].type, keyed)
        first = (id_, len(rows), keyed, key.bytes, digest, at_us, check, *columns, number, mark)
        self._unchecked += sum([len(record[3]) for record in records]) + 4096
        try:
            with nullcontext() if self.db.in_transaction else transaction(self.db):
                if self.db.execute(INSERT_UNFENCED, first).rowcount != 1:
                    return False
                self.db.executemany(INSERT_MORE, rows[1:])
                return True
        except sqlite3.IntegrityError as error:
            raise _taken(error) from error

    def _prefix(self, shard: str, kind: str) -> int:
        if len(self._prefixes) > 10_000:
            self._prefixes.clear()
        prefix = self._prefixes[shard, kind] = record_prefix(shard, kind)
        return prefix

    def settle(self) -> bool:
        """What comes between a commit and its acknowledgement; False if the file has lost its name to another, or to
        none: what was written to it is gone with it."""
        try:
            in_place = os.stat(self._name).st_ino == self._inode
        except FileNotFoundError:
            in_place = False
        self.wrote(0)
        return in_place

    def end(self, number: int) -> End:
        """Where a shard ends now."""
        low, high = number << SEQ_BITS, (number + 1) << SEQ_BITS
        row = self.db.execute(
            "SELECT id, count, at_us FROM event WHERE id > ? AND id < ? AND count IS NOT NULL ORDER BY id DESC LIMIT 1",
            (low, high),
        ).fetchone()
        return End((row[0] & SEQ_MASK) + row[1] - 1, row[2]) if row else End(0, 0)

    def find_key(self, number: int, shard: str, key: UUID) -> Receipt | None:
        """The receipt a caller's key recorded in a shard."""
        rows = self.db.execute(
            f"SELECT {RECEIPT_COLUMNS} FROM event WHERE keyed AND key = ? AND id >> 36 = ?", (key.bytes, number)
        ).fetchall()
        return self.receipt(shard, rows[0]) if rows else None

    # -- reading ------------------------------------------------------------------------------------------------

    def records(self, number: int, shard: str, first: int, last: int) -> list[Record | None]:
        """The records with seqs `first` to `last`, all of them, None where freed. Raises CorruptLogError if one is
        missing or altered."""
        base = number << SEQ_BITS
        rows = self.db.execute(
            f"SELECT {COLUMNS} FROM event WHERE id BETWEEN ? AND ? ORDER BY id", (base + first, base + last)
        ).fetchall()
        if len(rows) != last - first + 1 or (rows and (rows[0][0] != base + first or rows[-1][0] != base + last)):
            raise CorruptLogError(f"{self.path}: shard {shard} lacks events between seq {first} and {last}")
        return self._checked(shard, rows)

    def scan(
        self, number: int, shard: str, *, after: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[tuple[int, Record]]:
        """Up to `limit` (seq, record) past `after`, or below it from the end when `newest_first`; no freed ones."""
        low, high = number << SEQ_BITS, (number + 1) << SEQ_BITS
        if newest_first:
            high = low + after if after else high
        else:
            low += after
        rows = self._between(low, high, types, limit, newest_first)
        seqs = [row[0] & SEQ_MASK for row in rows]
        if types is None and seqs:
            first, last = (seqs[-1], seqs[0]) if newest_first else (after + 1, seqs[-1])
            # Where they are not dense, some were freed, and are there without their bodies.
            if last - first + 1 != len(seqs) and not self.holds(number, first, last):
                raise CorruptLogError(f"{self.path}: shard {shard} lacks events between seq {first} and {last}")
        return [(seq, one) for seq, one in zip(seqs, self._checked(shard, rows), strict=True) if one is not None]

    def between(
        self, number: int, shard: str, first: int, last: int, *, types: frozenset[str], limit: int, newest_first: bool
    ) -> list[tuple[int, Record]]:
        """Up to `limit` (seq, record) of some types with seqs `first` to `last`; no freed ones. Raises CorruptLogError
        if one of them was altered; one that is missing does not show."""
        base = number << SEQ_BITS
        rows = self._between(base + first - 1, base + last + 1, types, limit, newest_first)
        found = zip(rows, self._checked(shard, rows), strict=True)
        return [(row[0] & SEQ_MASK, record) for row, record in found if record is not None]

    def _between(self, low: int, high: int, types: frozenset[str] | None, limit: int, newest_first: bool) -> list[Row]:
        """Rows of COLUMNS with ids between two, both left out; no freed ones."""
        wanted = "" if types is None else f"type IN ({','.join('?' * len(types))}) AND "
        order = "DESC" if newest_first else "ASC"
        return self.db.execute(
            f"SELECT {COLUMNS} FROM event WHERE id > ? AND id < ? AND {wanted}type <> '' ORDER BY id {order} LIMIT ?",
            (low, high, *sorted(types or ()), limit),
        ).fetchall()

    def holds(self, number: int, first: int, last: int) -> bool:
        """Whether the events with seqs `first` to `last` are all there, those included whose bodies were freed."""
        base = number << SEQ_BITS
        sql = "SELECT count(*) FROM event WHERE id BETWEEN ? AND ?"
        (count,) = self.db.execute(sql, (base + first, base + last)).fetchone()
        return bool(count == max(0, last - first + 1))

    def _checked(self, shard: str, rows: list[tuple[int, str, int, int, int, bytes]]) -> list[Record | None]:
        """The records of rows whose checksums hold, None where freed. Raises CorruptLogError at the first that does
        not.

        Flat, for it runs once an event: a call of a function each would cost a tenth of reading it.
        """
        prefixes: dict[str, int] = {}
        pack, new = PLACE.pack, tuple.__new__
        records: list[Record | None] = []
        for row in rows:
            id_, kind, ts_us, topics, crc, body = row
            prefix = prefixes.get(kind)
            if prefix is None:
                prefix = prefixes[kind] = record_prefix(shard, kind)
            try:
                if crc != crc32(body, crc32(pack(id_ & SEQ_MASK, ts_us, topics), prefix)):
                    raise damaged(self.path, shard, row)
            except (struct.error, TypeError) as error:  # a flipped bit may change a value's type
                raise damaged(self.path, shard, row) from error
            records.append(new(Record, (kind, ts_us, topics, body)) if kind else None)
        return records

    def receipts(self, number: int, shard: str, *, after_seq: int, chunk: int) -> list[Found]:
        """The next receipts past `after_seq` in order, those that begin within `chunk` events."""
        base = number << SEQ_BITS
        rows = self.db.execute(
            f"SELECT {RECEIPT_COLUMNS} FROM event WHERE id > ? AND id < ? ORDER BY id LIMIT ?",
            (base + after_seq, base + SEQ_MASK, chunk),
        ).fetchall()
        if not rows:
            return []
        # An append is one transaction, so what is missing of the last receipt is there, just past the page.
        return list(self._group(shard, rows + self._rest(rows), after_seq))

    def _rest(self, rows: list[Row]) -> list[Row]:
        start = next((row for row in reversed(rows) if row[1] is not None), None)
        if start is None:
            return []
        last = start[0] + start[1] - 1
        return self.db.execute(
            f"SELECT {RECEIPT_COLUMNS} FROM event WHERE id > ? AND id <= ? ORDER BY id", (rows[-1][0], last)
        ).fetchall()

    def _group(self, shard: str, rows: list[Row], after_seq: int) -> Iterator[Found]:
        index = 0
        expected = after_seq + 1
        while index < len(rows):
            receipt = self.receipt(shard, rows[index])
            members = rows[index : index + receipt.size]
            here = receipt.first_seq == expected and len(members) == receipt.size
            if not here or members[-1][0] & SEQ_MASK != receipt.last_seq:
                raise CorruptLogError(f"{self.path}: shard {shard} lacks events at seq {expected}")
            kinds = frozenset(row[7] for row in members)
            yield Found(receipt, kinds - {FREED}, True) if FREED in kinds else Found(receipt, kinds)
            expected += receipt.size
            index += receipt.size

    def receipt(self, shard: str, row: Row) -> Receipt:
        """The receipt in a row of RECEIPT_COLUMNS. Raises CorruptLogError if its checksum does not hold."""
        id_, count, keyed, key, digest, at_us, check, kind = row
        seq = id_ & SEQ_MASK
        try:
            receipt = Receipt(shard, seq, seq + count - 1, UUID(bytes=key), at_us, digest)
            good = check == receipt_check(receipt, kind, bool(keyed))
        except (TypeError, ValueError, struct.error):
            good = False
        if not good:
            raise CorruptLogError(f"{self.path}: the receipt at seq {seq} of shard {shard} was altered or damaged")
        return receipt

    # -- fences and the end of a shard --------------------------------------------------------------------------

    def knows(self, number: int) -> bool:
        """Whether the file has heard of the shard of that number."""
        return self.db.execute("SELECT 1 FROM shard WHERE number = ?", (number,)).fetchone() is not None

    def mark(self, number: int, shard: str) -> int:
        """The fence of a shard and how often it was lifted. Raises CorruptLogError if the file holds another shard."""
        row = self.db.execute("SELECT name, fence FROM shard WHERE number = ?", (number,)).fetchone()
        if row is None or row[0] != shard or type(row[1]) is not int:
            found = "no such shard" if row is None else f"shard {row[0]!r}"
            raise CorruptLogError(
                f"{self.path} holds {found} under number {number}, where the order says {shard}: a file of this home "
                "was put back from an older copy"
            )
        return int(row[1])

    def set_fence(self, number: int, fence: Fence) -> bool:
        """Put up a fence, durably; False if the file does not know the shard."""
        return (
            self.db.execute("UPDATE shard SET fence = (fence & ~3) | ? WHERE number = ?", (fence, number)).rowcount == 1
        )

    def lift_fence(self, number: int) -> None:
        """Let appends in again, after all who know the old mark have looked where the shard's slot is now."""
        self.db.execute("UPDATE shard SET fence = (fence | 3) + 1 WHERE number = ?", (number,))

    def kept(self, number: int, shard: str) -> tuple[list[tuple[int, Record, int]], set[str]]:
        """What outlives a purge, as (seq, record, checksum), and the types of the shard's events: FREED among them if
        there are some whose types nobody knows any more."""
        low, high = number << SEQ_BITS, (number + 1) << SEQ_BITS
        kinds = self.db.execute("SELECT DISTINCT type FROM event WHERE id > ? AND id < ?", (low, high)).fetchall()
        rows = self.db.execute(
            f"SELECT {COLUMNS} FROM event WHERE id > ? AND id < ? AND topics & {RETENTION_MASK} = {RETENTION_MASK} "
            "ORDER BY id",
            (low, high),
        ).fetchall()
        records = self._checked(shard, rows)
        kept = [
            (row[0] & SEQ_MASK, record, row[4]) for row, record in zip(rows, records, strict=True) if record is not None
        ]
        return kept, {kind for (kind,) in kinds}

    def erase(self, number: int) -> None:
        """Delete a fenced shard's events and give their pages back; what they held is overwritten."""
        low, high = number << SEQ_BITS, (number + 1) << SEQ_BITS
        self.db.execute("PRAGMA secure_delete=ON")
        self.db.execute("DELETE FROM event WHERE id > ? AND id < ?", (low, high))
        self.db.execute("PRAGMA incremental_vacuum").fetchall()
        self.db.execute("PRAGMA secure_delete=OFF")
        empty_log(self.db)

    def shrink(self) -> None:
        """Give the free pages of the file back to the system."""
        give_back(self.db)

    def wrote(self, size: int) -> None:
        """Note bytes written other than by an append; the WAL is moved into the file when they are many."""
        self._unchecked += size
        if self._unchecked > WAL_LIMIT:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Move the WAL into the file."""
        self._unchecked = 0
        checkpoint(self.path, self.db)

    def close(self) -> None:
        self.closed = True
        self.db.close()


def checked(path: Path, shard: str, row: tuple[int, str, int, int, int, bytes]) -> Record:
    """The record of a row (id or seq, type, ts_us, topics, crc, body) if its checksum holds."""
    id_, kind, ts_us, topics, crc, body = row
    try:
        good = crc == crc32(body, crc32(PLACE.pack(id_ & SEQ_MASK, ts_us, topics), record_prefix(shard, kind)))
    except (struct.error, TypeError, AttributeError):  # a flipped bit may change a value's type
        good = False
    if not good:
        raise damaged(path, shard, row)
    return Record(kind, ts_us, topics, body)


def record_check(shard: str, seq: int, record: Record) -> int:
    """The checksum of a record at its place."""
    prefix = record_prefix(shard, record.type)
    return crc32(record.body, crc32(PLACE.pack(seq, record.ts_us, record.topics), prefix))


def damaged(path: Path, shard: str, row: tuple[int, str, int, int, int, bytes]) -> CorruptLogError:
    """The error for an event whose checksum does not hold."""
    return CorruptLogError(f"{path}: the event at seq {row[0] & SEQ_MASK} of shard {shard} was altered or damaged")


def record_prefix(shard: str, kind: str) -> int:
    """The start of a record's checksum: it binds the bytes to their shard and type."""
    return crc32(f"{shard}\0{kind}\0".encode()) or 1  # never 0, so that a missing memo entry is told apart


def receipt_check(receipt: Receipt, kind: str, keyed: bool) -> int:
    """The checksum of the receipt columns; `kind` is the type of the first event."""
    mark = _MARK.pack(receipt.first_seq, receipt.at_us, receipt.size, keyed)
    return crc32(receipt.digest, crc32(receipt.key.bytes, crc32(mark, record_prefix(receipt.shard, kind))))


def _taken(error: sqlite3.IntegrityError) -> Exception:
    if error.sqlite_errorcode in (sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE):
        return Taken()
    return error
