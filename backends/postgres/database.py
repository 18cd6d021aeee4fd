"""Connections and transactions: one bounded pool, and `run`, which every statement of this backend goes through.

Promises: each transaction says its isolation level and its time limits itself, so that they hold behind a pooling proxy
and whatever the server's defaults are; a connection that died is never handed out again, and a transaction that had
not sent its COMMIT is then tried once more; no connection goes back to the pool inside a transaction.
Not here: what is asked (reading.py, ordering.py, writing.py, life.py, audit.py).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, TypeVar, cast

import psycopg2
import psycopg2.extensions
import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection, QueuePool

from ...engine.errors import UnavailableError, UsageError
from .address import Address
from .errors import ConnectionLostError, OutcomeUnknownError, sentence, translate, translated

T = TypeVar("T")
Row = tuple[Any, ...]

POOL = 10  #: connections of one process at most
POOL_S = 30  #: how long a thread waits for one of them

# A paused process gives its locks back (idle) before those who wait for them give up (lock).
LIMITS = "SET LOCAL idle_in_transaction_session_timeout = '10s'; SET LOCAL lock_timeout = '20s'"

# Where a standby has to confirm, a statement_timeout during COMMIT would end the wait with a warning and a success: an
# append would be acknowledged that the standby has not got.
COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"


class Mode(Enum):
    """What a transaction may do. Each level is spelled out: a database may have another default."""

    READ = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL statement_timeout = '60s'"
    AUDIT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '1h'"  # one snapshot
    WRITE = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '60s'; "
        "SET LOCAL synchronous_commit = on"
    )
    BULK = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '1h'; "
        "SET LOCAL synchronous_commit = on"
    )
    QUICK = (  # durability=process: a crash of the server may take back the last fraction of a second
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '60s'; "
        "SET LOCAL synchronous_commit = off"
    )

    @property
    def writes(self) -> bool:
        return self not in (Mode.READ, Mode.AUDIT)


class Transaction:
    """One transaction that has begun. Statements name their tables `foldlog.x`; the schema of the URL is put there."""

    def __init__(self, cursor: psycopg2.extensions.cursor, schema: str) -> None:
        self._cursor = cursor
        self._prefix: Final = f'"{schema}".'

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> int:
        """Run a statement; the number of rows it touched."""
        self._cursor.execute(sql.replace("foldlog.", self._prefix), values)
        return self._cursor.rowcount

    def all(self, sql: str, values: Mapping[str, object] | None = None) -> list[Row]:
        """Run a query; its rows."""
        self.execute(sql, values)
        return self._cursor.fetchall()

    def one(self, sql: str, values: Mapping[str, object] | None = None) -> Row | None:
        """Run a query; its first row, or None."""
        self.execute(sql, values)
        return self._cursor.fetchone()


class Database:
    """The database of one log. Thread-safe."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self.engine = sa.create_engine(
            address.target,
            connect_args=address.secrets,
            poolclass=QueuePool,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=POOL_S,
            use_native_hstore=False,  # else each new connection asks for types that nothing here uses
            hide_parameters=True,  # facts do not belong in error messages
        )

    def run(
        self, deed: str, work: Callable[[Transaction], T], *, mode: Mode = Mode.READ, repeatable: bool = False
    ) -> T:
        """The answer of `work` in a transaction of its own, committed. `work` may be called more than once.

        `repeatable`: doing it twice is as good as once, so it is done again where the answer to COMMIT is lost.
        Raises OutcomeUnknownError if that answer was lost, UnavailableError if the connection was lost before.
        """
        deed = f"{deed} at {self.address.shown}"
        try:
            return self._once(deed, work, mode)
        except ConnectionLostError:
            # After a restart of the server every pooled connection is dead. `_renew` has dropped them all, so that the
            # second try gets a new one: tests/test_postgres.py::test_a_restart_of_the_server_is_not_noticed
            return self._once(deed, work, mode)
        except OutcomeUnknownError:
            if not repeatable:
                raise
            return self._once(deed, work, mode)

    def _once(self, deed: str, work: Callable[[Transaction], T], mode: Mode) -> T:
        if self._closed:
            raise UsageError(f"{deed}: the log is closed")
        if (
            self._pid != os.getpid()
        ):  # forked: the parent goes on using these connections, so they are not ours to close
            self._pid = os.getpid()
            self.engine.dispose(close=False)
        pool = self.engine.pool
        with translated(deed):
            pooled = self.engine.raw_connection()
        raw = cast(psycopg2.extensions.connection, pooled.driver_connection)
        committing = False
        try:
            raw.autocommit = True  # BEGIN is ours: with its limits it is one round trip, not two
            with raw.cursor() as cursor:
                cursor.execute(f"{mode.value}; {LIMITS}")
                answer = work(Transaction(cursor, self.address.schema))
                committing = mode.writes
                cursor.execute(COMMIT if mode.writes else "COMMIT")
                if cursor.statusmessage != "COMMIT":
                    # A transaction that the server has given up answers COMMIT with ROLLBACK and without an error.
                    raise UnavailableError(f"{deed}: the server rolled the transaction back")
            return answer
        except BaseException as error:
            lost = self._clear(raw, pooled, pool)
            if not isinstance(error, psycopg2.Error):
                raise
            if lost and committing:
                raise OutcomeUnknownError(f"{deed}: the connection was lost during the commit") from error
            if lost:
                raise ConnectionLostError(f"{deed}: the connection was lost: {sentence(error)}") from error
            if (known := translate(deed, error, writing=mode.writes)) is None:
                raise
            raise known from error
        finally:
            if not raw.closed:
                raw.autocommit = False  # as SQLAlchemy, which shares the pool, expects it
            pooled.close()

    def vacuum(self, *tables: str) -> None:
        """Have the server take back what deleted and changed rows held; it lets readers and writers go on."""
        deed = f"vacuuming {', '.join(tables)} at {self.address.shown}"
        with translated(deed), self.engine.connect() as connection:
            raw = cast(psycopg2.extensions.connection, connection.connection.driver_connection)
            raw.autocommit = True  # VACUUM runs in no transaction
            try:
                with raw.cursor() as cursor:
                    for table in tables:
                        cursor.execute(f'VACUUM "{self.address.schema}".{table}')
            finally:
                if not raw.closed:
                    raw.autocommit = False

    def _clear(self, raw: psycopg2.extensions.connection, pooled: PoolProxiedConnection, pool: sa.Pool) -> bool:
        """End a failed transaction; whether the connection is gone."""
        if not raw.closed:
            try:
                with raw.cursor() as cursor:
                    cursor.execute("ROLLBACK")
                return False
            except psycopg2.Error:
                raw.close()
        pooled.invalidate()
        self._renew(pool)
        return True

    def _renew(self, pool: sa.Pool) -> None:
        """Drop every idle connection of a pool in which one was found dead."""
        with self._lock:
            if self.engine.pool is pool and not self._closed:  # else another thread has just done it
                self.engine.dispose()

    def close(self) -> None:
        """Close the pool. Idempotent."""
        with self._lock:
            self._closed = True
            self.engine.dispose()
