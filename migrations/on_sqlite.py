"""A SQLite home: its order.db, or log.db of the consolidated layout. Run files and system.db are not touched.

Connections are those of backends/sqlite/connect.py, so that durability, time limits and checkpoints are as when the log
itself writes. While one upgrades, the home is locked as while it is made or copied.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from ..backends.sqlite import check_url
from ..backends.sqlite.at_rest import connect_for_reading
from ..backends.sqlite.connect import FAILURES, checkpoint, connect, remedy_for
from ..backends.sqlite.home import Home, find_layout
from ..backends.sqlite.schema import APPLICATION_ID
from ..engine.errors import CorruptLogError, ReadOnlyError, UsageError
from . import Waiting
from .place import Place, Row
from .work import Work

UNSUMMED = """
FROM timeline t JOIN place p ON p.id = t.shard LEFT JOIN timeline_crc c ON c.position = t.position
WHERE c.position IS NULL
"""


def place_of(url: str) -> Place:
    """The home of a URL. Raises UsageError where there is none."""
    folder, options = check_url(url)
    return SqlitePlace(Path(folder).absolute(), options.get("layout"))


class SqlitePlace:
    """One home."""

    kind = "sqlite"
    schema: str | None = None
    prefix = ""
    begin: Sequence[str] = ("BEGIN IMMEDIATE",)

    def __init__(self, folder: Path, wanted: str | None) -> None:
        layout, exists = find_layout(folder, "consolidated" if wanted == "consolidated" else None)
        if not exists:
            raise UsageError(f"there is no log at {folder}")
        self._home = Home(folder, layout)
        self.shown = f"sqlite:///{folder}" + ("?layout=consolidated" if layout == "consolidated" else "")

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._connection(lambda: connect_for_reading(self._home.order)) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        path = self._home.order
        if not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK | os.X_OK):
            raise ReadOnlyError(f"this process may not write {path}")
        with self._connection(lambda: connect(path)) as connection:
            yield connection
            raw: Any = connection.connection.driver_connection
            checkpoint(path, raw)

    @contextmanager
    def _connection(self, opened: Any) -> Iterator[sa.Connection]:
        with self.translated("opening"):
            engine = sa.create_engine("sqlite://", creator=opened, poolclass=NullPool)
            with engine.connect() as connection:
                yield connection

    @contextmanager
    def registry(self, *, write: bool) -> Iterator[sa.Connection | None]:
        path = self._home.folder / "views.db"
        if not path.exists():
            yield None
            return
        with self._connection(lambda: connect(path) if write else connect_for_reading(path)) as connection:
            yield connection

    @contextmanager
    def alone(self, waiting: Waiting) -> Iterator[None]:
        handle = os.open(self._home.folder, os.O_RDONLY | os.O_CLOEXEC)
        told = False
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        waiting(f"{self.shown}: another process upgrades, copies or trims the log; waiting for it")
                        told = True
                    time.sleep(0.05)
            yield
        finally:
            os.close(handle)

    def format(self, work: Work) -> int:
        if work.one("PRAGMA application_id") != APPLICATION_ID:
            raise CorruptLogError(f"{self._home.order} is not a foldlog file; it belongs to another program")
        return int(work.one("PRAGMA user_version"))

    def set_format(self, work: Work, number: int) -> None:
        work.execute(f"PRAGMA user_version={int(number)}")

    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]:
        columns = "t.position, p.name, t.first_seq, t.count, t.at_us, t.key, t.digest, t.chain"
        sql = f"SELECT {columns} {UNSUMMED} AND t.position > :after ORDER BY t.position LIMIT :limit"
        return [Row(*row) for row in work.all(sql, after=after, limit=limit)]

    def count_unsummed(self, work: Work) -> int:
        if not work.has_table("timeline_crc"):
            return int(work.one("SELECT count(*) FROM timeline"))
        return int(work.one(f"SELECT count(*) {UNSUMMED}"))

    def chain_before(self, work: Work, position: int) -> bytes | None:
        sql = (
            "SELECT chain FROM timeline WHERE position + count = :position AND position = "
            "(SELECT max(position) FROM timeline WHERE position < :position)"
        )
        return bytes(16) if position == 1 else work.one(sql, position=position)

    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None:
        raw: Any = work.connection.connection.driver_connection
        raw.executemany("INSERT OR IGNORE INTO timeline_crc VALUES (?,?)", sums)

    def uuid(self, value: UUID) -> object:
        return value.bytes

    def end(self, work: Work) -> int:
        return int(work.one("SELECT coalesce(max(position), 0) FROM timeline"))

    def is_busy(self, error: sa.exc.DBAPIError) -> bool:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    @contextmanager
    def translated(self, deed: str) -> Iterator[None]:
        deed = f"{deed} {self._home.order}"
        try:
            yield
        except sa.exc.DBAPIError as error:
            known = remedy_for(error.orig, deed) if isinstance(error.orig, FAILURES) else None
            if known is None:
                raise
            raise known from error
        except FAILURES as error:
            known = remedy_for(error, deed)
            if known is None:
                raise
            raise known from error
