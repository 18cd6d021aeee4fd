"""What servers share: many keys or rows in one statement, and transactions by SQLAlchemy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, Final

import sqlalchemy as sa

from .dialect import Dialect, Shape, Value

CHUNK: Final = 400  #: rows or keys in one statement; a server takes at least 32,767 values


class Server(Dialect):
    """A dialect of a database with a server."""

    in_process = False
    one_by_one = False

    def select(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> Iterator[Sequence[Any]]:
        for some in chunks(keys):
            yield from connection.exec_driver_sql(shape.select + _is_one_of(shape, len(some)), flat(some)).all()

    def insert(self, connection: sa.Connection, shape: Shape, rows: Sequence[Value]) -> None:
        for some in chunks(rows):  # `executemany` of a server's driver sends one row at a time
            connection.exec_driver_sql(shape.insert + ", ".join([shape.row] * len(some)), flat(some))

    def delete(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> None:
        for some in chunks(keys):
            connection.exec_driver_sql(shape.delete + _is_one_of(shape, len(some)), flat(some))


def _is_one_of(shape: Shape, count: int) -> str:
    return f"{shape.keys} IN ({', '.join([shape.of_key] * count)})"


def chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Items by `CHUNK`."""
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]


def flat(rows: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """The values of all rows, for the driver."""
    return tuple(chain.from_iterable(rows))
