"""A MySQL or MariaDB database. The server commits every change of a table by itself: what a step has begun, it finds
done or not done when it is called again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b

import sqlalchemy as sa

from ..backends.mysql.address import parse
from ..backends.mysql.dialect import MysqlDialect
from ..backends.sql.rows import signed
from . import Waiting
from .on_server import ServerPlace
from .place import Place, Row
from .work import Work

#: lock wait timeout (of a table's definition, too), deadlock, MariaDB: changed since the snapshot
BUSY = (1205, 1213, 1020)


def place_of(url: str) -> Place:
    """The database of a URL."""
    return MysqlPlace(MysqlDialect(parse(url)))


class MysqlPlace(ServerPlace):
    """One database."""

    kind = "mysql"
    schema: str | None = None  #: that of the connection
    prefix = ""
    # While a change of a table waits for a long reader, everybody else waits behind it. READ COMMITTED takes no locks
    # on gaps, in which others append.
    begin: Sequence[str] = (
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        "SET SESSION lock_wait_timeout = 1, innodb_lock_wait_timeout = 2",
        "START TRANSACTION READ WRITE",
    )
    begin_reading: Sequence[str] = ("START TRANSACTION READ ONLY",)

    @contextmanager
    def alone(self, waiting: Waiting) -> Iterator[None]:
        # A lock of the session, on a connection of its own: transactions have none.
        name = f"foldlog:{blake2b(self.dialect.schema.encode(), digest_size=16).hexdigest()}"
        with self.writing() as connection:

            def take() -> bool:
                return bool(connection.exec_driver_sql("SELECT GET_LOCK(%s, 0)", (name,)).scalar())

            self.taken_in_turn(take, waiting)
            try:
                yield
            finally:
                if not connection.invalidated:
                    connection.exec_driver_sql("SELECT RELEASE_LOCK(%s)", (name,))

    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]:
        sql = (
            "SELECT t.position, s.name, t.first_seq, t.count, t.at_us, t.`key`, t.digest, t.chain "
            # By the key: else it may begin with the shards, and sort the whole timeline for every page.
            "FROM timeline t FORCE INDEX (PRIMARY) STRAIGHT_JOIN shard s ON s.shard_id = t.shard_id "
            "WHERE t.crc IS NULL AND t.position > :after ORDER BY t.position LIMIT :limit"
        )
        return [
            Row(position, bytes(shard).decode(), first, count, at_us, key, digest, chain)
            for position, shard, first, count, at_us, key, digest, chain in work.all(sql, after=after, limit=limit)
        ]

    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None:
        # Straight: the optimizer may else go through the whole timeline and look each row up in the list.
        work.execute(
            "UPDATE JSON_TABLE(:sums, '$[*]' COLUMNS (position BIGINT PATH '$[0]', crc BIGINT PATH '$[1]')) v "
            "STRAIGHT_JOIN timeline t ON t.position = v.position SET t.crc = v.crc WHERE t.crc IS NULL",
            sums=json.dumps([(position, signed(crc)) for position, crc in sums]),
        )

    def is_busy(self, error: sa.exc.DBAPIError) -> bool:
        found: tuple[object, ...] = getattr(error.orig, "args", ())
        return bool(found) and found[0] in BUSY
