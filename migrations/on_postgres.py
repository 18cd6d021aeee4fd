"""A schema of a PostgreSQL database. Works behind a proxy that pools connections by transaction: nothing is kept in a
session, each transaction says its own limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa

from ..backends.postgres.address import parse
from ..backends.postgres.dialect import PostgresDialect
from ..backends.sql.rows import signed
from . import Waiting
from .on_server import ServerPlace
from .place import Place, Row
from .work import Work

# Of a column just added the server knows nothing, takes rows without a value for rare, and would read and sort the
# whole timeline for every page.
BY_KEY = "SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"

LOCK = 0x666F6C65  #: with a hash of the schema's name, the advisory lock of whoever upgrades; any constant would do
BUSY = ("55P03", "40P01")  #: lock_not_available, deadlock_detected


def place_of(url: str) -> Place:
    """The schema of a URL."""
    return PostgresPlace(PostgresDialect(parse(url)))


class PostgresPlace(ServerPlace):
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
    begin_reading: Sequence[str] = ("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",)

    def __init__(self, dialect: PostgresDialect) -> None:
        super().__init__(dialect)
        self.schema = dialect.schema
        self.prefix = f'"{dialect.schema}".'

    @contextmanager
    def alone(self, waiting: Waiting) -> Iterator[None]:
        # On a connection of its own, in a transaction that stays open: an advisory lock of a session would go to
        # whoever gets the connection next from a pooling proxy.
        sql = "SELECT pg_catalog.pg_try_advisory_xact_lock(%(lock)s, pg_catalog.hashtext(%(schema)s))"
        with self.writing() as connection:

            def take() -> bool:
                connection.exec_driver_sql("BEGIN READ ONLY")
                connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
                if connection.exec_driver_sql(sql, {"lock": LOCK, "schema": self.schema}).scalar():
                    return True
                connection.exec_driver_sql("ROLLBACK")
                return False

            self.taken_in_turn(take, waiting)
            try:
                yield
            finally:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")

    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]:
        sql = (
            "SELECT t.position, s.name, t.first_seq, t.count, t.at_us, pg_catalog.uuid_send(t.key), t.digest, t.chain "
            "FROM foldlog.timeline t JOIN foldlog.shard s ON s.shard_id = t.shard_id "
            "WHERE t.crc IS NULL AND t.position > :after ORDER BY t.position LIMIT :limit"
        )
        with work.transaction():
            work.connection.exec_driver_sql(BY_KEY)
            rows = work.all(sql, after=after, limit=limit)
        return [
            Row(position, shard, first, count, at_us, bytes(key), bytes(digest), bytes(chain))
            for position, shard, first, count, at_us, key, digest, chain in rows
        ]

    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None:
        work.execute(
            "UPDATE foldlog.timeline t SET crc = v.crc FROM unnest(CAST(:positions AS bigint[]), "
            "CAST(:sums AS bigint[])) v (position, crc) WHERE t.position = v.position AND t.crc IS NULL",
            positions=[position for position, _ in sums],
            sums=[signed(crc) for _, crc in sums],
        )

    def is_busy(self, error: sa.exc.DBAPIError) -> bool:
        return getattr(error.orig, "pgcode", None) in BUSY
