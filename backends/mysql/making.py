"""How the tables come to be on a server where each DDL statement commits by itself.

Promises: one process at a time makes them, under a lock of the server that ends with its connection; who was killed in
between is followed by one who completes it. The rows come last, in one transaction: tables without them are no log yet.
Tables of another program are never written to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import blake2b
from typing import TYPE_CHECKING

import pymysql
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from ...engine.errors import UnavailableError, UsageError
from ..sql.dialect import Doing
from ..sql.schema import not_ours
from .connection import version
from .tables import METADATA

if TYPE_CHECKING:
    from .dialect import MysqlDialect

MARIADB, MYSQL = (10, 6, 0), (8, 0, 16)  #: the oldest servers this was made for
TURN_S = 50  #: how long to wait for another process that makes the tables

SERVER = "SELECT version(), @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog"

COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = %(schema)s AND table_name IN %(names)s
"""

Rows = Callable[[Doing], None]


def check_server(tx: Doing, dialect: MysqlDialect, *, read_only: bool) -> None:
    """Raise UsageError for a server that cannot hold a log."""
    text, flush, binlog, sync = tx.all(SERVER)[0]
    where = f"{dialect.place} at {dialect.shown}"
    if version(text) < (MARIADB if "MariaDB" in text else MYSQL):
        raise UsageError(f"{where}: a log needs MariaDB 10.6, MySQL 8.0.16, or newer; this is {text}")
    if read_only or not dialect.durable:
        return
    lax = [f"innodb_flush_log_at_trx_commit = {flush}"] if flush != 1 else []
    lax += [f"sync_binlog = {sync}"] if binlog and sync != 1 else []
    if lax:
        error = UsageError(f"{where}: the server may lose the last commits when it loses power: {', '.join(lax)}")
        error.remedy = "Set that to 1 on the server, or open the log with ?durability=process if that is enough."
        raise error


def columns(tx: Doing, schema: str, names: Sequence[str]) -> dict[str, set[str]]:
    """The columns of tables that are there."""
    found: dict[str, set[str]] = {}
    for table, column in tx.all(COLUMNS, {"schema": schema, "names": tuple(names)}):
        found.setdefault(table, set()).add(column)
    return found


def is_being_made(tx: Doing, schema: str) -> bool:
    """Whether a log without rows is one that has none yet."""
    if not _are_ours(columns(tx, schema, list(METADATA.tables))):
        return False
    return tx.one("SELECT 1 FROM foldlog.epoch LIMIT 1") is None


def _are_ours(found: dict[str, set[str]]) -> bool:
    return all(names == set(METADATA.tables[table].columns.keys()) for table, names in found.items())


def create(tx: Doing, dialect: MysqlDialect, check: Callable[[Doing], bool], fill: Rows) -> None:
    """Make the tables that are missing, then their rows. Leaves a transaction open, with nothing in it."""
    with _turn(tx, dialect):
        if not check(tx):
            found = columns(tx, dialect.schema, list(METADATA.tables))
            for name in found:
                if not _are_ours({name: found[name]}):
                    raise not_ours(name, dialect)
            for statement in statements():
                tx.execute(statement)
            tx.execute("START TRANSACTION READ WRITE")
            fill(tx)
            tx.execute("COMMIT")
    tx.execute("START TRANSACTION READ WRITE")


@contextmanager
def _turn(tx: Doing, dialect: MysqlDialect) -> Iterator[None]:
    name = f"foldlog {blake2b(dialect.schema.encode(), digest_size=16).hexdigest()}"
    row = tx.one("SELECT GET_LOCK(%(name)s, %(wait)s)", {"name": name, "wait": TURN_S})
    if row is None or row[0] != 1:
        raise UnavailableError(
            f"{dialect.place} at {dialect.shown}: another process has been making the tables for long"
        )
    try:
        yield
    except BaseException as error:
        if not isinstance(error, pymysql.Error):
            tx.execute("DO RELEASE_LOCK(%(name)s)", {"name": name})
        else:
            tx.cursor.connection.close()  # and with it goes the lock, whatever state the session is in
        raise
    tx.execute("DO RELEASE_LOCK(%(name)s)", {"name": name})


@cache
def statements() -> tuple[str, ...]:
    """The statements that make the tables, that of `log` last."""
    dialect = mysql.dialect()
    tables = sorted(METADATA.sorted_tables, key=lambda table: table.name == "log")
    made = []
    for table in tables:
        moved = table.to_metadata(sa.MetaData(), schema="foldlog")
        made.append(str(CreateTable(moved, if_not_exists=True).compile(dialect=dialect)).replace("%", "%%"))
    return tuple(made)
