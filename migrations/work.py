"""What the steps of a revision work with: statements, short transactions, and patience for what others hold.

A step commits by itself and can be done again. Statements name tables `foldlog.x`; the place puts its schema there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from ..engine.errors import UnavailableError
from . import Progress, Waiting
from .place import Place

PATIENCE_S = 300.0  #: for tables that others hold; a step is tried again until then
PAUSES_S = (0.05, 2.0)  #: between two tries: writers go on meanwhile


class Work:
    """One upgrade on its way."""

    def __init__(
        self,
        place: Place,
        connection: sa.Connection,
        *,
        progress: Progress | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        self.place = place
        self.connection = connection
        self.progress: Progress = progress or (lambda what, done, total: None)
        self._waiting: Waiting = waiting or (lambda what: None)
        self.summed = 0  #: placed receipts that got a checksum
        self.doubtful: list[int] = []  #: positions of those that do not fit the chain, as last found

    def execute(self, sql: str, **values: object) -> int:
        """Run a statement; the number of rows it touched."""
        return self._run(sql, values).rowcount

    def all(self, sql: str, **values: object) -> list[Any]:
        """Run a query; its rows."""
        return list(self._run(sql, values))

    def one(self, sql: str, **values: object) -> Any:
        """Run a query; the first column of its first row, or None."""
        return self._run(sql, values).scalar()

    def _run(self, sql: str, values: dict[str, object]) -> sa.CursorResult[Any]:
        return self.connection.execute(sa.text(sql.replace("foldlog.", self.place.prefix)), values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, durable at its end. It gives up a lock it cannot have within seconds: while a change of a
        table waits for a long reader, everybody else waits behind it."""
        for statement in self.place.begin:
            self.connection.exec_driver_sql(statement)
        try:
            yield
            self.connection.exec_driver_sql("COMMIT")
        except BaseException:
            if not self.connection.invalidated:
                self.connection.exec_driver_sql("ROLLBACK")
            raise

    def step(self, name: str, step: Callable[[Work], None]) -> None:
        """Do a step in a transaction of its own, again and again while others hold what it needs."""

        def whole() -> None:
            with self.transaction():
                step(self)

        self.patiently(name, whole)
        self.done(name)

    def patiently(self, name: str, whole: Callable[[], None]) -> None:
        """Call `whole`, and again after a pause when it was refused a lock. Raises UnavailableError after minutes."""
        end = time.monotonic() + PATIENCE_S
        pause, longest = PAUSES_S
        told = False
        while True:
            try:
                return whole()
            except sa.exc.DBAPIError as error:
                if not self.place.is_busy(error):
                    raise
                if time.monotonic() > end:
                    refused = UnavailableError(f"{self.place.shown}: {name}: others hold the tables: {error.orig}")
                    refused.remedy = "End long transactions on the log's tables, then run the same command again."
                    raise refused from error
            if not told:
                self._waiting(f"{name}: others hold the tables; trying again")
                told = True
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, longest)

    def done(self, name: str) -> None:
        """Called after each step; here so that a test can end the process at every one of them."""

    # -- has it been done? --------------------------------------------------------------------------------------

    def has_table(self, name: str) -> bool:
        return sa.inspect(self.connection).has_table(name, schema=self.place.schema)

    def columns(self, table: str) -> set[str]:
        """The names of a table's columns, as they are now."""
        found = sa.inspect(self.connection).get_columns(table, schema=self.place.schema)
        return {column["name"] for column in found}

    def add_columns(self, table: str, columns: dict[str, str]) -> None:
        """Add the columns (name: type) that a table lacks; nullable and without a default, which rewrites no row."""
        there = self.columns(table)
        lacking = [f"ADD COLUMN {name} {kind}" for name, kind in columns.items() if name.strip('"`') not in there]
        for change in lacking:
            self.execute(f"ALTER TABLE foldlog.{table} {change}")
