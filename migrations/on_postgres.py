"""A schema of a PostgreSQL database. Works behind a proxy that pools connections by transaction: nothing is kept in a
session, each transaction says its own limits.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from ..backends.postgres.address import Address, parse
from ..backends.postgres.errors import translated
from ..engine.errors import CorruptLogError
from . import Waiting
from .place import Place, Row
from .work import Work

LOCK = 0x666F6C65  #: with a hash of the schema's name, the advisory lock of whoever upgrades; any constant would do
BUSY = ("55P03", "40P01")  #: lock_not_available, deadlock_detected


def place_of(url: str) -> Place:
    """The schema of a URL."""
    return PostgresPlace(parse(url))


class PostgresPlace:
    """One schema."""

    kind = "postgresql"
    # A batch must not hold its rows for long, and no table's lock is waited for longer than a writer can bear: all
    # others wait behind a change of a table that waits itself.
    begin: Sequence[str] = (
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        "SET LOCAL lock_timeout = '1s'",
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL idle_in_transaction_session_timeout = '60s'",
        "SET LOCAL synchronous_commit = on",
    )

    def __init__(self, address: Address) -> None:
        self._address = address
        self.schema: str | None = address.schema
        self.prefix = f'"{address.schema}".'
        self.shown = address.shown

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self._connection("AUTOCOMMIT") as connection:
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield connection
            connection.exec_driver_sql("ROLLBACK")

    def writing(self) -> AbstractContextManager[sa.Connection]:
        return self._connection("AUTOCOMMIT")

    @contextmanager
    def _connection(self, isolation: str) -> Iterator[sa.Connection]:
        with self.translated("opening"):
            engine = sa.create_engine(
                self._address.target,
                connect_args=self._address.secrets,
                poolclass=NullPool,
                isolation_level=isolation,
                use_native_hstore=False,
                hide_parameters=True,
            )
            with engine.connect() as connection:
                yield connection

    @contextmanager
    def registry(self, *, write: bool) -> Iterator[sa.Connection | None]:
        with self.writing() if write else self.reading() as connection:
            yield connection

    @contextmanager
    def alone(self, waiting: Waiting) -> Iterator[None]:
        # On a connection of its own, in a transaction that stays open: an advisory lock of a session would go to
        # whoever gets the connection next from a pooling proxy.
        sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(%(lock)s, pg_catalog.hashtext(%(schema)s))"
        values = {"lock": LOCK, "schema": self._address.schema}
        told = False
        with self.writing() as connection:
            while True:
                connection.exec_driver_sql("BEGIN READ ONLY")
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                if connection.exec_driver_sql(sql, values).scalar():
                    break
                connection.exec_driver_sql("ROLLBACK")
                if not told:
                    waiting(f"{self.shown}: another process upgrades the log; waiting for it")
                    told = True
                time.sleep(0.1)
            try:
                yield
            finally:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")

    def format(self, work: Work) -> int:
        if not work.has_table("log"):
            return 0
        if not {"program", "format"} <= work.columns("log"):
            raise CorruptLogError(f"{self.shown}: the table `log` in schema {self.schema} is not foldlog's")
        found = work.all("SELECT program, format FROM foldlog.log")
        if len(found) != 1 or found[0][0] != "foldlog":
            raise CorruptLogError(f"{self.shown}: the table `log` in schema {self.schema} is not foldlog's")
        return int(found[0][1])

    def set_format(self, work: Work, number: int) -> None:
        work.execute("UPDATE foldlog.log SET format = :number WHERE one = 1", number=number)

    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]:
        sql = (
            "SELECT t.position, s.name, t.first_seq, t.count, t.at_us, pg_catalog.uuid_send(t.key), t.digest, t.chain "
            "FROM foldlog.timeline t JOIN foldlog.shard s ON s.shard_id = t.shard_id "
            "WHERE t.crc IS NULL AND t.position > :after ORDER BY t.position LIMIT :limit"
        )
        return [
            Row(position, shard, first, count, at_us, bytes(key), bytes(digest), bytes(chain))
            for position, shard, first, count, at_us, key, digest, chain in work.all(sql, after=after, limit=limit)
        ]

    def count_unsummed(self, work: Work) -> int:
        where = "WHERE crc IS NULL" if "crc" in work.columns("timeline") else ""
        return int(work.one(f"SELECT count(*) FROM foldlog.timeline {where}"))

    def chain_before(self, work: Work, position: int) -> bytes | None:
        sql = (
            "SELECT chain FROM (SELECT position, count, chain FROM foldlog.timeline WHERE position < :position "
            "ORDER BY position DESC LIMIT 1) last WHERE position + count = :position"
        )
        if position == 1:
            return bytes(16)
        found = work.one(sql, position=position)
        return None if found is None else bytes(found)

    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None:
        work.execute(
            "UPDATE foldlog.timeline t SET crc = v.crc FROM unnest(CAST(:positions AS bigint[]), "
            "CAST(:sums AS bigint[])) v (position, crc) WHERE t.position = v.position AND t.crc IS NULL",
            positions=[position for position, _ in sums],
            sums=[crc for _, crc in sums],
        )

    def end(self, work: Work) -> int:
        return int(work.one("SELECT position FROM foldlog.log WHERE one = 1"))

    def is_busy(self, error: sa.exc.DBAPIError) -> bool:
        return getattr(error.orig, "pgcode", None) in BUSY

    def translated(self, deed: str) -> AbstractContextManager[None]:
        return translated(f"{deed} the log at {self.shown}")
