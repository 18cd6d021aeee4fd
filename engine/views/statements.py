"""The statements that move many rows of one table at once.

As text for the driver, made once: SQLAlchemy's expressions over lists of keys were a third of the time of a rebuild.
Everything else goes through expressions.
Not here: how a database takes many rows (dialects/).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from .dialects import of
from .dialects.dialect import Shape
from .table import Key, Row, Table


class Statements:
    """One table as one database has it."""

    def __init__(self, table: Table, declared: sa.Table, dialect: sa.Dialect, prefix: str) -> None:
        self.table = declared
        self._dialect = of(dialect)
        self._shape = _shape(table, f"{prefix}{declared.name}", dialect)

    @property
    def one_by_one(self) -> bool:
        """Looking keys up one after the other costs no more than many at once."""
        return self._dialect.one_by_one

    def select(self, connection: sa.Connection, keys: Sequence[Key]) -> Iterator[Sequence[Any]]:
        """The rows at these keys, in no order."""
        return self._dialect.select(connection, self._shape, keys)

    def is_empty(self, connection: sa.Connection) -> bool:
        """Whether the table has no row at all."""
        return connection.exec_driver_sql(f"SELECT 1 FROM {self._shape.name} LIMIT 1").first() is None

    def create_indexes(self, connection: sa.Connection) -> None:
        """Make the indexes in which folds look, where they are missing."""
        if self._dialect.changes_with_rows:  # else they were made with the table
            self._dialect.create_indexes(connection, self.table, late=False)

    def insert(self, connection: sa.Connection, rows: Sequence[Row]) -> None:
        """New rows."""
        self._dialect.insert(connection, self._shape, rows)

    def delete(self, connection: sa.Connection, keys: Sequence[Key]) -> None:
        """Drop the rows at these keys."""
        self._dialect.delete(connection, self._shape, keys)


def _shape(table: Table, name: str, dialect: sa.Dialect) -> Shape:
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    columns = tuple(dialect.identifier_preparer.quote(one) for one in table.columns)
    keys = columns[: table.key]
    return Shape(
        name=name,
        columns=columns,
        key=table.key,
        mark=mark,
        row=f"({', '.join([mark] * len(columns))})",
        of_key=f"({', '.join([mark] * len(keys))})",
        keys=f"({', '.join(keys)})",
        at=" AND ".join(f"{one} = {mark}" for one in keys),
        select=f"SELECT {', '.join(columns)} FROM {name} WHERE ",
        insert=f"INSERT INTO {name} ({', '.join(columns)}) VALUES ",
        delete=f"DELETE FROM {name} WHERE ",
    )
