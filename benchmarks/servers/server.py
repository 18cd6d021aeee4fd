"""A server to measure on, and a place of one's own there: for one log, and for the raw tables beside it."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, Protocol

from ...engine.errors import UnavailableError, UsageError, fault

POSTGRES, MYSQL = "postgresql", "mysql"  #: the kinds of servers

Event = dict[str, Any]  #: as a program without foldlog would store it


class Raw(Protocol):
    """The least work, on an open connection: raw_postgres.Raw and raw_mysql.Raw."""

    def append_one(self, run: str, event: Event) -> None:
        """One event, durable."""

    def batches(self) -> dict[str, Callable[[str, list[Event]], None]]:
        """The ways to store many at once, durable; the fastest one counts."""

    def read_run(self) -> int:
        """Read the events in pages of 1000 and touch each; how many were as they should be."""

    def announce(self, run: str, event: Event) -> int:
        """Append one event and tell who listens, if the server can; its number."""

    def listen(self) -> None:
        """Be told from now on."""

    def follow(self, after: int) -> list[int]:
        """The numbers past `after`, as soon as there are some."""

    def count(self) -> int:
        """How many events are stored."""

    def close(self) -> None: ...


class Rows(Protocol):
    """A cursor outside of transactions that is asked as a connection of sqlite3 is."""

    def execute(self, query: str, terms: tuple[Any, ...] = ()) -> Any:
        """Ask with `?` for the terms; the cursor, with its rows."""

    def create(self) -> None:
        """Make the tables."""

    def load(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        """Put many rows into a table."""

    def finish(self) -> None:
        """Make the indexes, and have the server count what is there."""

    def close(self) -> None: ...


class Weight(NamedTuple):
    """What a log takes on disk."""

    bytes: int  #: tables and indexes
    how: str  #: how that was found out


class Place(NamedTuple):
    """Where one workload works. All of it may be handed to another process but `weigh`."""

    kind: str
    log_url: str
    open_raw: Callable[[], Raw]  #: a connection to an empty table
    open_rows: Callable[[], Rows]  #: a connection beside that table, for others made by hand
    weigh: Callable[[], Weight]

    @property
    def quick_url(self) -> str:
        """The log's URL for what is only filled, not timed."""
        return f"{self.log_url}{'&' if '?' in self.log_url else '?'}durability=process"


class Server(Protocol):
    """One server. Raises UnavailableError where it gives no answer."""

    kind: str
    title: str  #: which program and version

    def settings(self) -> dict[str, str]:
        """Those that its figures depend on."""

    def place(self) -> AbstractContextManager[Place]:
        """A new place, dropped at the end."""


def server_at(url: str) -> Server:
    """The server of a URL. Raises UsageError for one that is none."""
    scheme = url.partition(":")[0].lower()
    if scheme in ("postgresql", "postgres", "postgresql+psycopg2"):
        from .postgres import PostgresServer

        return PostgresServer(url)
    if scheme in ("mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql"):
        from .mysql import MySqlServer

        return MySqlServer(url)
    raise UsageError(f"no server to measure: write postgresql://… or mysql://…, not {scheme}://…")


def no_answer(shown: str, reason: str) -> UnavailableError:
    """The error of a server that cannot be measured: it is not there, or lets us not in."""
    error = UnavailableError(f"{shown} gives no answer: {reason}")
    error.remedy = "Check host, port, user, password and database in the URL, and that the server runs."
    return error


def no_right(shown: str, reason: str) -> UsageError:
    """The error of a user who may not make what is measured."""
    return fault(
        f"{shown}: {reason}",
        "Name a user who may make schemas (PostgreSQL: CREATE ON DATABASE) or databases (MySQL: "
        "ALL ON `foldlog\\_bench\\_%`.*).",
    )


@contextmanager
def new_names(make: Callable[[str], None], drop: Callable[[str], None]) -> Iterator[tuple[str, str]]:
    """Names of two empty spaces that nobody else has: one for the log, one for the raw tables."""
    name = f"foldlog_bench_{secrets.token_hex(5)}"
    log, raw = name, f"{name}_raw"
    make(raw)
    try:
        yield log, raw
    finally:
        drop(log)
        drop(raw)
