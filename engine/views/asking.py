"""Connections to a server that are kept for single SELECTs: to check one out of the pool, set it up and give it back
costs more than the answer.

Promises: a connection on which a statement failed is never used again; one that died is noticed by the next question,
which then gets another one.
"""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import Any, NamedTuple

import sqlalchemy as sa

from .dialects.dialect import Dialect

KEPT = 2  #: connections; more threads than that get theirs from the pool


class _Kept(NamedTuple):
    """A connection in autocommit, and what gives it back."""

    cursor: Any
    connection: sa.Connection
    ends: ExitStack


class Asking:
    """The kept connections of one database. Thread-safe."""

    def __init__(self, engine: sa.Engine, dialect: Dialect) -> None:
        self._engine = engine
        self._dialect = dialect
        self._kept: deque[_Kept] = deque()
        self._closed = False

    def ask(self, text: str, values: Any) -> list[Any]:
        """The rows of one SELECT in the driver's own words. Raises sqlalchemy.exc.DBAPIError."""
        try:
            return self._once(text, values)
        except sa.exc.DBAPIError as error:
            if not error.connection_invalidated:
                raise
        self.drop()  # after a restart of the server all of them are dead
        return self._once(text, values)

    def _once(self, text: str, values: Any) -> list[Any]:
        one = self._take()
        try:
            one.cursor.execute(text, values)
            rows = list(one.cursor.fetchall())
        except BaseException as error:
            self._give_up(one, error, text)
            raise
        if len(self._kept) < KEPT and not self._closed:
            self._kept.append(one)
            if self._closed:  # meanwhile
                self.drop()
        else:
            one.ends.close()
        return rows

    def _take(self) -> _Kept:
        try:
            return self._kept.pop()
        except IndexError:
            pass
        with ExitStack() as ends:
            connection = ends.enter_context(self._engine.connect())
            ends.enter_context(self._dialect.lent(connection))
            connection = self._dialect.single(connection)
            cursor = connection.connection.cursor()
            ends.callback(cursor.close)
            return _Kept(cursor, connection, ends.pop_all())

    def _give_up(self, one: _Kept, error: BaseException, text: str) -> None:
        """End with a connection on which a statement failed. Raises the error of a driver as SQLAlchemy does."""
        dialect = self._engine.dialect
        driver: Any = dialect.loaded_dbapi
        known = isinstance(error, driver.Error)
        failed: Any = error
        lost = known and dialect.is_disconnect(failed, one.connection.connection.dbapi_connection, one.cursor)
        one.connection.invalidate(error if isinstance(error, Exception) else None)
        one.ends.close()
        if known:
            raise sa.exc.DBAPIError(text, None, error, hide_parameters=True, connection_invalidated=lost) from error

    def drop(self) -> None:
        """Give all back to the pool."""
        while self._kept:
            try:
                one = self._kept.pop()
            except IndexError:  # another thread took it
                return
            one.ends.close()

    def close(self) -> None:
        """Give all back, and keep none from now on. Idempotent."""
        self._closed = True
        self.drop()
