"""What places on servers share: connections by way of the backend's dialect, and the questions that are the same SQL.

Not here: what a server spells its own way (on_postgres.py, on_mysql.py).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa

from ..backends.sql.errors import NO_CONNECTION
from ..backends.sql.schema import not_ours
from ..backends.sql.tables import PROGRAM
from ..engine.errors import UnavailableError
from . import Waiting
from .place import Row
from .work import Work

if TYPE_CHECKING:
    from ..backends.sql.dialect import Dialect

GENESIS = bytes(16)  #: the chain before the first receipt


class ServerPlace(ABC):
    """A schema or a database of a server."""

    kind: str
    schema: str | None
    prefix: str
    begin: Sequence[str]
    begin_reading: Sequence[str]  #: statements that begin a transaction that cannot write

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.shown = dialect.shown

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        with self.writing() as connection:
            for statement in self.begin_reading:
                connection.exec_driver_sql(statement)
            yield connection
            connection.exec_driver_sql("ROLLBACK")

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        with self.translated("opening"):
            engine = self.dialect.engine().execution_options(isolation_level="AUTOCOMMIT")
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()

    def registry(self, *, write: bool) -> AbstractContextManager[sa.Connection | None]:
        return self.writing() if write else self.reading()

    @contextmanager
    def translated(self, deed: str) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            deed = f"{deed} the log at {self.shown}"
            known = self.dialect.translate(deed, error.orig) if isinstance(error.orig, self.dialect.error) else None
            if known is None:
                raise
            if isinstance(known, UnavailableError):
                known.remedy = f"{NO_CONNECTION} Then repeat the command: it goes on."
            raise known from error

    def taken_in_turn(self, take: Callable[[], bool], waiting: Waiting) -> None:
        """Wait until a lock is ours; `take` waits no longer than a moment."""
        told = False
        while not take():
            if not told:
                waiting(f"{self.shown}: another process upgrades the log; waiting for it")
                told = True
            time.sleep(0.1)

    def format(self, work: Work) -> int:
        if not work.has_table("log"):
            return 0
        known = {"program", "format"} <= work.columns("log")
        found = work.all("SELECT program, format FROM foldlog.log") if known else []
        if len(found) != 1 or found[0][0] != PROGRAM:
            raise not_ours("log", self.dialect)
        return int(found[0][1])

    def set_format(self, work: Work, number: int) -> None:
        work.execute("UPDATE foldlog.log SET format = :number WHERE one = 1", number=number)

    def count_unsummed(self, work: Work) -> int:
        where = "WHERE crc IS NULL" if "crc" in work.columns("timeline") else ""
        return int(work.one(f"SELECT count(*) FROM foldlog.timeline {where}"))

    def chain_before(self, work: Work, position: int) -> bytes | None:
        if position == 1:
            return GENESIS
        sql = (
            "SELECT position + count, chain FROM foldlog.timeline WHERE position < :position "
            "ORDER BY position DESC LIMIT 1"
        )
        return next((bytes(chain) for end, chain in work.all(sql, position=position) if end == position), None)

    def uuid(self, value: UUID) -> object:
        return self.dialect.key(value)

    def end(self, work: Work) -> int:
        return int(work.one("SELECT position FROM foldlog.log WHERE one = 1"))

    @abstractmethod
    def alone(self, waiting: Waiting) -> AbstractContextManager[None]: ...

    @abstractmethod
    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]: ...

    @abstractmethod
    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None: ...

    @abstractmethod
    def is_busy(self, error: sa.exc.DBAPIError) -> bool: ...
