"""Rows of events as a copy puts them into files of shards, and the files: made durable once a batch, not once each.

Not here: the order, and what is done when (ingest.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID
from zlib import crc32

from ...engine.errors import CorruptLogError, UnavailableError
from ...engine.log.port import Entry, Record
from .connect import connect, remedy_for, sync_log, transaction, translated
from .files import FileCache
from .home import FileKind, Home
from .schema import SEQ_BITS, SHARD_TABLES, create_file, image, sync_folder
from .shardfile import FREED, PLACE, Fence, Row, receipt_check, record_prefix

INSERT = "INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?)"
KNOW = "INSERT OR IGNORE INTO shard (number, name) VALUES (?, ?)"
SYNCING = 8  #: files made durable at a time: a file system does for many at once what it does for one
_GONE = Record(FREED, 0, 0, b"")  #: in the place of a record whose body is gone


class Batch(NamedTuple):
    """What one shard gets."""

    number: int
    shard: str
    entries: Sequence[Entry]
    sealed: bool


def rows(number: int, shard: str, entries: Sequence[Entry]) -> Iterator[Row]:
    """Rows of the table `event`."""
    base = number << SEQ_BITS
    prefixes: dict[str, int] = {}
    pack = PLACE.pack
    for (_, receipt, _), keyed, records in entries:
        seq = receipt.first_seq
        first = (records[0] or _GONE).type
        head: tuple[object, ...] = (
            receipt.size, keyed, receipt.key.bytes, receipt.digest, receipt.at_us,
            receipt_check(receipt, first, keyed),
        )  # fmt: skip
        for record in records:
            kind, ts_us, topics, body = record or _GONE
            prefix = prefixes.get(kind)
            if prefix is None:
                prefix = prefixes[kind] = record_prefix(shard, kind)
            crc = crc32(body, crc32(pack(seq, ts_us, topics), prefix))
            yield (base + seq, *head, kind, ts_us, topics, crc, body)
            head = (None, None, None, None, None, None)
            seq += 1


def insert(db: sqlite3.Connection, number: int, shard: str, entries: Sequence[Entry], *, sealed: bool) -> None:
    """Put a shard's events in, within the caller's transaction, and its fence up or down."""
    db.execute(KNOW, (number, shard))
    db.executemany(INSERT, rows(number, shard, entries))
    # Lifted as a late append does, so that a writer who has slept through it meets another mark than it knows.
    new = (
        f"(fence & ~3) | {Fence.SEALED}"
        if sealed
        else f"CASE WHEN fence & 3 THEN (fence | 3) + 1 ELSE {Fence.NONE} END"
    )
    db.execute(f"UPDATE shard SET fence = {new} WHERE number = ?", (number,))


class FileWriter:
    """Writes the files of one batch. All that was written is durable once it is left without an error."""

    def __init__(self, home: Home, log_id: UUID, files: FileCache) -> None:
        self._home = home
        self._log_id = log_id
        self._files = files
        self._pool = ThreadPoolExecutor(SYNCING, thread_name_prefix="foldlog-ingest")
        self._running: list[Future[None]] = []
        self._folders: set[Path] = set()

    def make(self, kind: FileKind, batch: Batch) -> None:
        """A new run file with its first events. A sealed one needs no WAL: it is as if it had been compacted."""
        fence = Fence.SEALED if batch.sealed else Fence.NONE
        row = ("INSERT INTO shard VALUES (0, ?, ?)", (batch.shard, int(fence)))
        events = rows(0, batch.shard, batch.entries)
        content = image(
            SHARD_TABLES, log_id=self._log_id, kind="run", statements=[row], events=events, wal=not batch.sealed
        )
        folder = kind.path.parent
        if folder not in self._folders and not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            self._folders |= {folder.parent, self._home.folder}
        self._folders.add(folder)
        self._run(lambda: _make(kind.path, content))

    def extend(self, kind: FileKind, batches: Sequence[Batch]) -> None:
        """Events of shards in a file that is there, or of system shards in theirs."""
        self._files.forget(kind)
        if not kind.path.exists():
            self._folders.add(kind.path.parent)
            _make(kind.path, image(SHARD_TABLES, log_id=self._log_id, kind=kind.kind, statements=[]))
        alone = self._home.is_run_file(kind)
        self._run(lambda: _extend(kind.path, batches, compact=alone and batches[-1].sealed))

    def _run(self, deed: Callable[[], None]) -> None:
        self._running.append(self._pool.submit(deed))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._pool as pool:
            for done in self._running:
                if error is None:
                    done.result()
            if error is None:
                with translated(f"syncing {self._home.folder}"):
                    list(pool.map(sync_folder, sorted(self._folders)))


def _make(path: Path, content: bytes) -> None:
    with translated(f"writing {path}"):
        if not create_file(path, content):
            raise CorruptLogError(f"{path} is there, and the log knows nothing of it: move it away")


def _compact(path: Path, db: sqlite3.Connection) -> None:
    """Let a sealed run be one file; not while somebody reads it: then it stays as it is, which costs a little at each
    opening and nothing else."""
    db.execute("PRAGMA busy_timeout=0")
    try:
        db.execute("PRAGMA journal_mode=DELETE").fetchall()
    except sqlite3.Error as error:
        if not isinstance(remedy_for(error, f"compacting {path}"), UnavailableError):
            raise


def _extend(path: Path, batches: Sequence[Batch], *, compact: bool) -> None:
    """One transaction in one file, durable by its end: the last to close the file syncs it, else its WAL is synced."""
    with translated(f"writing {path}"):
        with closing(connect(path, synchronous="NORMAL")) as db:
            db.execute("PRAGMA journal_mode=WAL").fetchall()  # a sealed run that goes on had none
            with transaction(db):
                for batch in batches:
                    insert(db, batch.number, batch.shard, batch.entries, sealed=batch.sealed)
            if compact:
                _compact(path, db)
        if path.with_name(path.name + "-wal").exists():
            sync_log(path)
