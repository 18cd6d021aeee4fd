"""SQLite: a file or memory, one writer at a time; tables change inside a transaction.

Not here: opening files (../sqlite_file.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

from ...errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError
from .dialect import Dialect, Renamed, Shape, Value

_KINDS: Final[dict[int, type[FoldlogError]]] = {
    sqlite3.SQLITE_BUSY: UnavailableError,
    sqlite3.SQLITE_LOCKED: UnavailableError,
    sqlite3.SQLITE_FULL: UnavailableError,
    sqlite3.SQLITE_IOERR: UnavailableError,
    sqlite3.SQLITE_CANTOPEN: UnavailableError,
    sqlite3.SQLITE_CORRUPT: CorruptLogError,
    sqlite3.SQLITE_NOTADB: CorruptLogError,
    sqlite3.SQLITE_READONLY: ReadOnlyError,
}


class SQLite(Dialect):
    in_process = True
    one_by_one = True
    changes_with_rows = True
    shows_by_name = True

    def engine(self, target: sa.URL) -> sa.Engine:
        raise NotImplementedError("files are opened by path")

    def make_schema(self, connection: sa.Connection, schema: str) -> None:
        raise NotImplementedError("a file has no schemas")

    def prefix(self, schema: str | None) -> str:
        return f'"{schema}".' if schema else ""

    @contextmanager
    def reading(self, connection: sa.Connection, tables: Sequence[str]) -> Iterator[sa.Connection]:
        connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            connection.rollback()

    @contextmanager
    def writing(self, connection: sa.Connection, *, alone: str | None) -> Iterator[sa.Connection]:
        # A deferred BEGIN that reads first and then writes fails at once if another process has written.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.commit()
        except BaseException:
            connection.rollback()
            raise

    def is_again(self, error: BaseException) -> bool:
        return False

    def kind_of(self, error: BaseException) -> type[FoldlogError] | None:
        if not isinstance(error, sqlite3.Error):
            return None
        return _KINDS.get(getattr(error, "sqlite_errorcode", -1) & 0xFF)

    # -- many rows ----------------------------------------------------------------------------------------------------

    def select(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> Iterator[Sequence[Any]]:
        # It reads the whole table for a list of row values, and a statement costs it next to nothing.
        driver, text = _driver(connection), shape.select + shape.at
        found = (driver.execute(text, key).fetchone() for key in keys)
        return (row for row in found if row is not None)

    def insert(self, connection: sa.Connection, shape: Shape, rows: Sequence[Value]) -> None:
        _driver(connection).executemany(shape.insert + shape.row, rows)

    def delete(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> None:
        if keys:
            _driver(connection).executemany(shape.delete + shape.at, keys)

    # -- tables -------------------------------------------------------------------------------------------------------

    def make_alone(self, connection: sa.Connection) -> None:
        pass  # it has the write lock

    def create(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        connection.execute(CreateTable(table, if_not_exists=True))
        if not late:
            self.create_indexes(connection, table, late=True)

    def create_indexes(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        create_indexes(connection, table, late=late)

    def drop(self, connection: sa.Connection, name: str) -> None:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")

    def stray(self, connection: sa.Connection, schema: str | None, name: str) -> list[str]:
        return []

    def impatient(self, connection: sa.Connection) -> None:
        pass  # it has the write lock, and readers do not mind

    def exchange(
        self,
        connection: sa.Connection,
        beside: AbstractContextManager[sa.Connection],
        prefix: str,
        names: Sequence[Renamed],
    ) -> None:
        # Else SQLite looks into every SQL view there is, and refuses for one that it cannot follow.
        connection.exec_driver_sql("PRAGMA legacy_alter_table=ON")
        rename_each(connection, prefix, names)
        connection.exec_driver_sql("PRAGMA legacy_alter_table=OFF")

    # -- SQL views ----------------------------------------------------------------------------------------------------

    def readable(self, connection: sa.Connection, column: str) -> str:
        return column

    def quoted(self, column: str) -> str:
        return column

    def show(self, connection: sa.Connection, name: str, select: str) -> None:
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE VIEW {name} AS {select}")

    # -- questions ----------------------------------------------------------------------------------------------------

    def loose(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        # It keeps no statistics here and would guess (sqlite.org/optoverview.html, section 6.3).
        return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def create_indexes(connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
    """The indexes of a table that are missing, where IF NOT EXISTS is understood."""
    for index in sorted(table.indexes, key=lambda index: str(index.name)):  # the same order in every process
        if late or not index.info["late"]:
            connection.execute(CreateIndex(index, if_not_exists=True))


def rename_each(connection: sa.Connection, prefix: str, names: Sequence[Renamed]) -> None:
    """One after the other, where a transaction makes it one deed."""
    for one in names:
        connection.exec_driver_sql(f"ALTER TABLE {prefix}{one.live} RENAME TO {one.aside}")
        connection.exec_driver_sql(f"ALTER TABLE {prefix}{one.ready} RENAME TO {one.live}")


def _driver(connection: sa.Connection) -> Any:
    """SQLite's own connection: through SQLAlchemy, rows are looked at once more each."""
    return connection.connection.driver_connection


DIALECT: Final = SQLite()
