"""Tables of the SQLite backend and how files come to be. Described in docs/format.md.

Two kinds of tables: those of shards (in run files, system.db and log.db) and those of the order (in order.db and
log.db). A file is built in memory and appears under its name whole, so no process ever sees half a schema.
Each kind of file has a format of its own: run files are never rewritten, and are read for ever.
Not here: how a file of an older format gets to this one (foldlog.migrations).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote
from uuid import UUID

from ...engine.errors import CorruptLogError, FoldlogError, UsageError

#: of each kind of file: what this release writes, and all it reads
FORMATS = {"run": 1, "system": 1, "order": 2, "log": 2}
APPLICATION_ID = 0x666F6C64  # "fold": tells our files from another program's
SEQ_BITS = 36  #: event.id is shard number << 36 | seq
SEQ_MASK = (1 << SEQ_BITS) - 1

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"
META = "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID"

# `count` to `receipt_crc` stand on the first event of an append and make it the receipt: a row of its own would cost
# a second b-tree write per append. `body` is last, so that scans of the other columns never touch overflow pages.
# `timeline_crc` is no column of `timeline`: programs of format 1, which have the home open while it is upgraded, give
# that table eight values without naming its columns, and would fail at every pass.
SHARD_TABLES = """
CREATE TABLE shard (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, fence INTEGER NOT NULL DEFAULT 0);
CREATE TABLE event (
  id INTEGER PRIMARY KEY,
  count INTEGER, keyed INTEGER, key BLOB, digest BLOB, at_us INTEGER, receipt_crc INTEGER,
  type TEXT NOT NULL, ts_us INTEGER NOT NULL, topics INTEGER NOT NULL, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE UNIQUE INDEX event_key ON event (key, id >> 36) WHERE keyed;
"""

ORDER_TABLES = """
CREATE TABLE place (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
  slot INTEGER UNIQUE, bell INTEGER NOT NULL DEFAULT 0, ordered_seq INTEGER NOT NULL DEFAULT 0);
CREATE TABLE free_slot (slot INTEGER PRIMARY KEY);
CREATE TABLE timeline (
  position INTEGER PRIMARY KEY, shard INTEGER NOT NULL, first_seq INTEGER NOT NULL, count INTEGER NOT NULL,
  at_us INTEGER NOT NULL, key BLOB NOT NULL, digest BLOB NOT NULL, chain BLOB NOT NULL);
CREATE UNIQUE INDEX timeline_shard ON timeline (shard, first_seq);
CREATE TABLE timeline_crc (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL);
CREATE TABLE type (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE timeline_type (type INTEGER, position INTEGER, PRIMARY KEY (type, position)) WITHOUT ROWID;
CREATE TABLE kept (
  shard INTEGER, seq INTEGER, type TEXT NOT NULL, ts_us INTEGER NOT NULL, topics INTEGER NOT NULL,
  crc INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY (shard, seq)) WITHOUT ROWID;
CREATE TABLE epoch (
  number INTEGER PRIMARY KEY, after_position INTEGER NOT NULL, chain BLOB NOT NULL,
  started_us INTEGER NOT NULL, reason TEXT NOT NULL);
"""


def image(
    tables: str,
    *,
    log_id: UUID,
    kind: str,
    statements: list[tuple[str, tuple[object, ...]]],
    events: Iterable[tuple[object, ...]] = (),
    wal: bool = True,
) -> bytes:
    """The bytes of a new database file, in WAL mode unless it is at rest, with its tables and first rows."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.deserialize(_tables(tables, log_id, kind))
        db.execute("BEGIN")
        for statement, values in statements:
            db.execute(statement, values)
        if events:
            db.executemany("INSERT INTO event VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", events)
        db.execute("COMMIT")
        raw = bytearray(db.serialize())
    if wal:
        raw[18:20] = b"\x02\x02"  # file format versions: 2 is WAL (sqlite.org/fileformat2.html, the database header)
    return bytes(raw)


@lru_cache(maxsize=8)
def _tables(tables: str, log_id: UUID, kind: str) -> bytes:
    """A database file with no row but those of `meta`; remembered, for a copy makes thousands."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={FORMATS[kind]}")
        db.execute("BEGIN")
        db.execute(META)
        for statement in filter(str.strip, tables.split(";")):
            db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("log_id", log_id.bytes), ("kind", kind)])
        db.execute("COMMIT")
        return db.serialize()


@lru_cache
def _schema(kind: str) -> frozenset[tuple[str, str, str, str | None]]:
    """What SQLite notes of the tables of a kind of file."""
    tables = {"order": ORDER_TABLES, "log": ORDER_TABLES + SHARD_TABLES}.get(kind, SHARD_TABLES)
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(f"{META};{tables}")
        return frozenset(db.execute(SCHEMA).fetchall())


def create_file(path: Path, content: bytes) -> bool:
    """Put a new file under its name, whole; False if another process was faster. Its bytes are durable, its name is
    once `sync_names` was called, which whoever finds the file new must do as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, never replaces a file that a writer may have open
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def sync_names(path: Path, *, top: Path) -> None:
    """Make the name of a file durable, and those of the folders it is in, up to one in `top`."""
    while path != top and path != path.parent:
        path = path.parent
        sync_folder(path)


def alone_in(folder: Path) -> AbstractContextManager[None]:
    """One process at a time, while a home is made, mended or copied."""
    return _locked(folder, fcntl.LOCK_EX)


def together_in(folder: Path) -> AbstractContextManager[None]:
    """Any number of processes, while none is `alone_in` the folder."""
    return _locked(folder, fcntl.LOCK_SH)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, how)
        yield
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _other_format(path: Path, version: int, known: int) -> FoldlogError:
    if not 0 < version < known:
        error: FoldlogError = CorruptLogError(f"{path} has format {version}, this release reads format {known}")
        error.remedy = "Install a newer foldlog; an older one cannot read what a newer one has written."
        return error
    layout = "?layout=consolidated" if path.name == "log.db" else ""
    error = UsageError(f"{path} has format {version}, of an older release; this one reads and writes format {known}")
    error.remedy = (
        f"Run `foldlog migrate upgrade --url 'sqlite:///{quote(str(path.parent))}{layout}'`; it takes a moment."
    )
    return error


def check_file(path: Path, db: sqlite3.Connection, *, kind: str, log_id: UUID | None) -> UUID:
    """The log id in a file. Raises CorruptLogError if it is no file of this kind and log, or of a newer format,
    UsageError for an older format, which `foldlog migrate upgrade` brings to this one."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if application_id != APPLICATION_ID:
        raise CorruptLogError(f"{path} is not a foldlog file; it belongs to another program")
    if version != FORMATS[kind]:
        raise _other_format(path, version, FORMATS[kind])
    if not _schema(kind) <= set(db.execute(SCHEMA).fetchall()):  # SQLite would take a damaged one at its word
        raise CorruptLogError(f"{path} is no {kind!r} file, or the description of its tables is damaged")
    meta = dict(db.execute("SELECT name, value FROM meta").fetchall())
    if meta.get("kind") != kind:
        raise CorruptLogError(f"{path} is a {meta.get('kind')!r} file where a {kind!r} file belongs")
    try:
        found = UUID(bytes=meta["log_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptLogError(f"{path} does not say which log it belongs to") from error
    if log_id is not None and found != log_id:
        raise CorruptLogError(f"{path} belongs to log {found}, not to {log_id}: a file of another home was put here")
    return found
