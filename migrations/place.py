"""Where a log lies, as far as migrations need to know: one module a kind of database beside this one.

on_sqlite.py    a home's order.db or log.db
on_postgres.py  a schema of a PostgreSQL database
on_mysql.py     a MySQL or MariaDB database
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

import sqlalchemy as sa

from ..engine.errors import UsageError
from . import Waiting

if TYPE_CHECKING:
    from .work import Work

PLACES = {
    "sqlite": "on_sqlite",
    "postgresql": "on_postgres",
    "postgres": "on_postgres",
    "postgresql+psycopg2": "on_postgres",
    "mysql": "on_mysql",
    "mysql+pymysql": "on_mysql",
    "mariadb": "on_mysql",
    "mariadb+pymysql": "on_mysql",
}


class Row(NamedTuple):
    """A placed receipt as the timeline's table has it."""

    position: int
    shard: str
    first_seq: int
    count: int  # type: ignore[assignment]  # hides tuple's method of this name
    at_us: int
    key: bytes
    digest: bytes
    chain: bytes


class Place(Protocol):
    """The database of one log. What is done there is in versions/ and checksums.py; how, here."""

    shown: str  #: the URL without its password
    kind: str  #: sqlite, postgresql or mysql: which texts of a revision are for this place
    schema: str | None  #: of the log's tables
    prefix: str  #: what stands before their names
    begin: Sequence[str]  #: statements that begin a transaction

    def reading(self) -> AbstractContextManager[sa.Connection]:
        """A connection that never writes."""

    def writing(self) -> AbstractContextManager[sa.Connection]:
        """A connection that commits each statement, unless a transaction was begun."""

    def registry(self, *, write: bool) -> AbstractContextManager[sa.Connection | None]:
        """A connection to where views beside the log have their registry; None if there is nothing."""

    def alone(self, waiting: Waiting) -> AbstractContextManager[None]:
        """One upgrade at a time."""

    def format(self, work: Work) -> int:
        """The format that the log says it has, 0 if there is none. Raises CorruptLogError for what is no log."""

    def set_format(self, work: Work, number: int) -> None:
        """Have the log say another format."""

    def unsummed(self, work: Work, after: int, limit: int) -> list[Row]:
        """Up to `limit` placed receipts past a position that have no checksum, in order."""

    def count_unsummed(self, work: Work) -> int:
        """How many there are."""

    def chain_before(self, work: Work, position: int) -> bytes | None:
        """The chain of the receipt that ends right before a position; None if none does."""

    def put_sums(self, work: Work, sums: Sequence[tuple[int, int]]) -> None:
        """Give receipts at positions their checksums; one that has one keeps it."""

    def uuid(self, value: UUID) -> object:
        """A uuid as a value of a statement."""

    def end(self, work: Work) -> int:
        """The last position given."""

    def is_busy(self, error: sa.exc.DBAPIError) -> bool:
        """Whether others hold what a statement needs, so that it is worth trying again."""

    def translated(self, deed: str) -> AbstractContextManager[None]:
        """Errors of the driver as foldlog errors."""


def place_of(url: str) -> Place:
    """The place a URL names; nothing is opened. Raises UsageError for a URL of no log that has a format."""
    from ..backends import check_url

    check_url(url)
    scheme = url.partition(":")[0].lower()
    if scheme not in PLACES:
        error = UsageError(f"{scheme}: there is nothing to upgrade in such a log")
        error.remedy = "Give the URL of a log on SQLite, PostgreSQL, MySQL or MariaDB."
        raise error
    module: Any = import_module(f".{PLACES[scheme]}", __package__)
    place: Place = module.place_of(url)
    return place
