"""The database that the views live in: connections, and transactions that read one snapshot or write alone.

    views.db beside a SQLite log · the log's own database on a server · a cache on this machine (cache.py) · memory ·
    whatever `views=URL` names

Promises: a writing transaction on SQLite holds the write lock from its first statement, so that two processes wait for
each other instead of failing; a damaged file or a store that gives no answer raises a foldlog error; all connections
are of one file, also where the file is deleted or replaced meanwhile (`moved`, `renewing`).
Not here: what is kept there (store.py), opening SQLite files (sqlite_file.py).
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.pool import QueuePool, StaticPool

from ..errors import CorruptLogError, FoldlogError, UnavailableError, UsageError
from .asking import Asking
from .dialects import of
from .sqlite_file import File, connect_to, file_at, has_grown, open_for_reading, open_for_writing, tidy

_TRIES = 5
_CHANGING = "foldlog_changing"
_NO_ANSWER = "Ask again. If it stays so, check host, port, user, password and database, and that the server runs."


class Keeper(Protocol):
    """Makes the file, where that is not simply an empty one, and throws it away when it is damaged."""

    def opening(self) -> AbstractContextManager[File]:
        """The file is there, and stays that one while it is being opened."""

    def damaged(self, file: File | None, problem: str) -> None:
        """Throw this file away."""


class Renewed(UnavailableError):
    """The file was damaged, and its keeper has thrown it away: who asks again has another."""

    remedy = "Ask again: they are made anew."


class Database:
    """One database, with a bounded pool. Thread-safe."""

    def __init__(
        self,
        engine: sa.Engine,
        *,
        shown: str,
        schema: str | None = None,
        path: Path | None = None,
        connect: Callable[[], sqlite3.Connection] | None = None,
        scratch: bool = False,
        keeper: Keeper | None = None,
    ) -> None:
        self.engine = engine.execution_options(schema_translate_map={None: schema}) if schema else engine
        self.dialect = of(engine.dialect)
        self.shown = shown  #: for messages: where it is, without credentials
        self.schema = schema
        self.path = path  #: of the SQLite file, if it is one
        self.scratch = scratch  #: nobody asks it questions
        self._keeper = keeper
        # One connection for all threads: they must take turns.
        self._turn = threading.RLock() if isinstance(engine.pool, StaticPool) else nullcontext()
        # Held while a connection is taken, and while a file is made anew: nobody reads it before it is whole.
        self._gate = threading.RLock() if path else nullcontext()
        self._own = True
        self._connect = connect or (lambda: connect_to(":memory:"))
        self._idle: deque[sqlite3.Connection] = deque()  #: for `fetch`
        self._asking = Asking(engine, self.dialect)
        self._closed = False
        self._pid = os.getpid()
        self._file: File | None = None  #: which file the connections are of
        self._half_made = False  #: since it was last made anew

    @classmethod
    def in_memory(cls) -> Database:
        """A database that lives as long as this object."""
        engine = sa.create_engine("sqlite://", creator=lambda: connect_to(":memory:"), poolclass=StaticPool)
        return cls(engine, shown="memory")

    @classmethod
    def in_file(cls, path: Path, *, read_only: bool = False, scratch: bool = False) -> Database:
        """A SQLite file, made if need be. `scratch`: nobody else opens it, and it need not outlive a crash."""

        shown, path = str(path), path.absolute()  # the program may change its folder

        def connect() -> sqlite3.Connection:
            db = open_for_reading(path) if read_only else open_for_writing(path, scratch=scratch)
            database._check_file(db)
            return db

        database = cls(_sqlite(connect), shown=shown, path=path, connect=connect, scratch=scratch)
        return database

    @classmethod
    def in_cache(cls, path: Path, keeper: Keeper) -> Database:
        """A SQLite file that somebody makes and throws away."""

        def connect() -> sqlite3.Connection:
            try:
                with keeper.opening() as file:
                    if database._file is None:
                        database._file = file  # before it is opened: a damaged one may not let itself be
                    db = open_for_writing(path, make=False)
                    database._check_file(db)
            except OSError as error:
                raise UnavailableError(f"the views at {path} cannot be opened: {error}") from error
            return db

        database = cls(_sqlite(connect), shown=str(path), path=path, connect=connect, keeper=keeper)
        return database

    @classmethod
    def borrowed(cls, engine: sa.Engine, *, schema: str, shown: str) -> Database:
        """The database of a log, through the log's own pool, which `close` leaves alone."""
        database = cls(engine, shown=shown, schema=schema)
        database._own = False
        return database

    @classmethod
    def on_server(cls, target: sa.URL, *, schema: str, shown: str) -> Database:
        """A schema in a database of its own pool; the schema is made if need be."""
        dialect = of(target.get_dialect()())
        database = cls(dialect.engine(target), shown=shown, schema=schema)
        with database.write() as connection:
            dialect.make_schema(connection, schema)
        return database

    @property
    def prefix(self) -> str:
        """What stands before a table's name in SQL text."""
        return self.dialect.prefix(self.schema)

    @contextmanager
    def read(self, tables: Sequence[str] = ()) -> Iterator[sa.Connection]:
        """One snapshot, for any number of queries. `tables`: whose names stay where they are until its end."""
        with self._turn, self._translated(), self._connection() as connection:
            with self.dialect.reading(connection, tables) as reading:
                yield reading

    @contextmanager
    def write(self, *, changing: bool = False) -> Iterator[sa.Connection]:
        """A transaction, committed at the end of the block, rolled back by an exception. `changing`: it makes, drops
        or renames tables, and nobody else does so meanwhile."""
        alone = (self.schema or "") if changing else None
        with self._turn, self._translated(), self._connection() as connection:
            with self.dialect.writing(connection, alone=alone) as writing:
                writing.info[_CHANGING] = changing
                yield writing
        if self.path is not None and has_grown(self.path):
            with self._keeper.opening() if self._keeper else nullcontext():
                tidy(self.path, only=self._file)

    def is_changing(self, connection: sa.Connection) -> bool:
        """Whether a transaction of `write` is one that changes tables."""
        return bool(connection.info.get(_CHANGING))

    @contextmanager
    def beside(self) -> Iterator[sa.Connection]:
        """A second connection, for one who has a transaction; without one of its own."""
        with self._translated(), self._connection() as connection:
            yield connection

    def fetch(self, text: str, values: Any) -> list[Any]:
        """All rows of one SELECT in the driver's own words: a statement is a snapshot by itself."""
        if self.dialect.in_process:
            # On a connection that is kept for this: checking one out, beginning and ending cost more than the answer.
            with self._kept() as db:
                return self.answer(db, text, values)
        for _ in range(_TRIES):
            with self._translated():
                self._check_open()
                try:
                    return self._asking.ask(text, values)
                except sa.exc.DBAPIError as error:
                    if error.orig is None or not self.dialect.is_again(error.orig):
                        raise
        raise UnavailableError(f"the tables of the views at {self.shown} were changed during each of {_TRIES} attempts")

    @contextmanager
    def snapshot(self, tables: Sequence[str] = ()) -> Iterator[Callable[[str, Any], list[Any]]]:
        """One snapshot, for any number of SELECTs in the driver's own words. `tables`: as of `read`."""
        if not self.dialect.in_process:
            with self.read(tables) as connection:
                yield lambda text, values: list(connection.exec_driver_sql(text, values))
            return
        with self._kept() as db:
            db.execute("BEGIN")
            try:
                yield lambda text, values: self.answer(db, text, values)
            finally:
                if db.in_transaction:  # some errors end it, and would be hidden by one that says so
                    db.execute("ROLLBACK")

    def answer(self, db: sqlite3.Connection, text: str, values: Any) -> list[Any]:
        """The one place where `fetch` and `snapshot` execute a statement on SQLite; tests listen here."""
        return db.execute(text, values).fetchall()

    def moved(self) -> bool:
        """Whether the file is another one than the connections are of, or is gone: `renewing`. Always False on a
        server and in memory."""
        return self.path is not None and (self._half_made or file_at(self.path) != self._file)

    @contextmanager
    def renewing(self) -> Iterator[bool]:
        """Go over to the file that is at the path now. False if another thread has done so.

        The caller fills it before the block ends; other threads get no connection until then. Left by an exception, the
        file stays `moved`.
        """
        self._check_open()
        with self._gate:
            if not self.moved():
                yield False
                return
            self._half_made = True
            self._drop()
            self._file = None
            yield True
            self._half_made = False

    def close(self) -> None:
        """Close every connection that is its own; one that is in use, when it comes back. Idempotent."""
        self._closed = True
        self._drop()

    def _drop(self) -> None:
        """Let go of all connections; those in use are closed when they come back."""
        if os.getpid() != self._pid:  # they are the parent's, who goes on using them
            _of_parents.append((self._idle, self._asking, self.engine.pool))
            self._idle = deque()
            if self._own:
                self.engine.dispose(close=False)
            return
        # Another deque, so that who comes back finds that it is not the one he took his from.
        idle, self._idle = self._idle, deque()
        self._close_all(idle)
        if self._closed:
            self._asking.close()
        if self._own:
            self.engine.dispose()

    def _close_all(self, idle: deque[sqlite3.Connection]) -> None:
        with suppress(IndexError):  # another thread may be at it too
            while True:
                db = idle.pop()
                if self.path is not None:
                    db.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError(f"the views at {self.shown} are closed")
        if os.getpid() != self._pid:
            raise UsageError(f"the views at {self.shown} were opened before this process was forked: open them here")

    def _check_file(self, db: sqlite3.Connection) -> None:
        """A connection was opened by name: it must be of the same file as the others."""
        assert self.path is not None
        file = file_at(self.path)
        if self._file is None:
            self._file = file
        if file is None or file != self._file:
            db.close()
            raise _replaced(self.shown)

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        self._check_open()  # before the gate, which a thread may have held that a forked child has not
        with self._gate:
            pool = self.engine.pool
            connection = self.engine.connect()
        with connection:
            try:
                with self.dialect.lent(connection):
                    yield connection
            finally:
                gone = self.engine.pool is not pool or (self._closed and self._own)
                if gone and not connection.closed and not connection.invalidated:
                    connection.detach()  # its pool is gone, and would never close it

    @contextmanager
    def _kept(self) -> Iterator[sqlite3.Connection]:
        with self._turn:
            self._check_open()
            with self._gate:
                idle = self._idle
                db = idle.pop() if idle else self._opened()
            try:
                yield db
            except BaseException as error:
                if self.path is not None:
                    db.close()
                if isinstance(error, sqlite3.Error) and (known := self._remedy(error)) is not None:
                    raise known from error
                raise
            idle.append(db)
            if self._closed or idle is not self._idle:  # dropped, perhaps just before this one came back
                self._close_all(idle)

    def _opened(self) -> sqlite3.Connection:
        """A connection for `fetch`; in memory the only one there is."""
        with self._translated():
            if self.path is not None:
                return self._connect()
            with self._turn, self.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert isinstance(driver, sqlite3.Connection)
                return driver

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            if (known := self._remedy(error)) is None:
                raise
            raise known from error

    def _remedy(self, error: BaseException) -> FoldlogError | None:
        origin = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if getattr(origin, "sqlite_errorcode", -1) == sqlite3.SQLITE_READONLY_DBMOVED:
            return _replaced(self.shown)
        kind = None if origin is None else self.dialect.kind_of(origin)
        if kind is None and isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
            kind = UnavailableError
        if kind is None:
            return None
        if kind is CorruptLogError and self._keeper is not None:
            self._keeper.damaged(self._file, _sentence(origin))
            return Renewed(f"the views at {self.shown} were damaged: {_sentence(origin)}")
        known = kind(f"the views at {self.shown}: {_sentence(origin)}")
        if kind is CorruptLogError:
            known.remedy = f"Delete {self.shown}: views hold nothing of their own, and are made again from the log."
        elif kind is UnavailableError and not self.dialect.in_process:
            known.remedy = _NO_ANSWER
        elif kind is UsageError:
            known.remedy = "Check user, password and database in the URL of the views, and the rights of that user."
        return known


_of_parents: list[Any] = []  #: connections that a forked child neither uses nor closes, nor lets the collector close


def _sentence(error: BaseException | None) -> str:
    """What a driver says: pymysql's errors are a number and a sentence."""
    given = error.args if error is not None else ()
    return str(given[1] if len(given) == 2 and isinstance(given[0], int) else error).strip()


def _replaced(shown: str) -> UnavailableError:
    error = UnavailableError(f"the views at {shown} were deleted or replaced a moment ago")
    error.remedy = "Ask again: they are made anew from the log."
    return error


def _sqlite(creator: Any) -> sa.Engine:
    return sa.create_engine("sqlite://", creator=creator, poolclass=QueuePool, pool_size=5, max_overflow=20)
