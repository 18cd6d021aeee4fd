"""The statements that move many rows of one table at once.

As text for the driver, made once: SQLAlchemy's expressions over lists of keys were a third of the time of a rebuild.
Everything else goes through expressions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from .table import Key, Row, Table

CHUNK: Final = 400  #: rows or keys in one statement; a server or SQLite takes at least 32,767 values


class Statements:
    """One table as one database has it."""

    def __init__(self, table: Table, declared: sa.Table, dialect: sa.Dialect, prefix: str) -> None:
        self.table = declared
        self._sqlite = dialect.name == "sqlite"
        self._mark = "?" if dialect.paramstyle == "qmark" else "%s"
        self._name = f"{prefix}{declared.name}"
        self._row = self._marks(len(table.columns))
        self._key = self._marks(table.key)
        columns = [dialect.identifier_preparer.quote(name) for name in table.columns]
        keys = columns[: table.key]
        self._keys = f"({', '.join(keys)})"
        self._at = " AND ".join(f"{name} = {self._mark}" for name in keys)
        self._select = f"SELECT {', '.join(columns)} FROM {self._name} WHERE "
        self._insert = f"INSERT INTO {self._name} ({', '.join(columns)}) VALUES "
        self._delete = f"DELETE FROM {self._name} WHERE "

    def select(self, connection: sa.Connection, keys: Sequence[Key]) -> Iterator[Sequence[Any]]:
        """The rows at these keys, in no order."""
        if self._sqlite:
            # SQLite reads the whole table for a list of row values, and a statement costs it next to nothing.
            driver = _driver(connection)
            found = (driver.execute(self._select + self._at, key).fetchone() for key in keys)
            yield from (row for row in found if row is not None)
            return
        for some in _chunks(keys):
            yield from connection.exec_driver_sql(self._select + self._is_one_of(len(some)), _flat(some)).all()

    def is_empty(self, connection: sa.Connection) -> bool:
        """Whether the table has no row at all."""
        return connection.exec_driver_sql(f"SELECT 1 FROM {self._name} LIMIT 1").first() is None

    def create_indexes(self, connection: sa.Connection) -> None:
        """Make the indexes in which folds look, where they are missing."""
        for index in indexes(self.table):
            if not index.info["late"]:
                connection.execute(CreateIndex(index, if_not_exists=True))

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """New rows."""
        if self._sqlite:
            _driver(connection).executemany(self._insert + self._row, rows)
            return
        for some in _chunks(rows):  # `executemany` of a server's driver sends one row at a time
            connection.exec_driver_sql(self._insert + ", ".join([self._row] * len(some)), _flat(some))

    def delete(self, connection: sa.Connection, keys: Sequence[Key]) -> None:
        """Drop the rows at these keys."""
        if self._sqlite:
            if keys:
                _driver(connection).executemany(self._delete + self._at, keys)
            return
        for some in _chunks(keys):
            connection.exec_driver_sql(self._delete + self._is_one_of(len(some)), _flat(some))

    def _is_one_of(self, count: int) -> str:
        return f"{self._keys} IN ({', '.join([self._key] * count)})"

    def _marks(self, count: int) -> str:
        return f"({', '.join([self._mark] * count)})"


def indexes(table: sa.Table) -> list[sa.Index]:
    """Those of a table, in the same order in every process."""
    return sorted(table.indexes, key=lambda index: str(index.name))


def _driver(connection: sa.Connection) -> Any:
    """SQLite's own connection: through SQLAlchemy, rows are looked at once more each."""
    return connection.connection.driver_connection


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def _flat(rows: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(chain.from_iterable(rows))
