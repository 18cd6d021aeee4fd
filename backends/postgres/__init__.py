"""The log on PostgreSQL: one schema of a database, shared by any number of processes and machines.

`postgresql://user:password@host/database?schema=foldlog`. The driver is psycopg2. Works behind a proxy that pools
connections by transaction. Tables and bytes: docs/format.md.
"""

from __future__ import annotations

from ...engine.log.port import Backend
from .address import check_options, parse
from .backend import PostgresBackend

__all__ = ["PostgresBackend", "check_url", "open_url"]


def open_url(url: str, *, read_only: bool = False) -> Backend:
    """The log of a PostgreSQL URL, its schema and tables made on first use unless `read_only`.

    `postgres://` and `postgresql+psycopg2://` mean the same. `?schema=NAME` (default foldlog) chooses the schema,
    `?durability=process` lets a crash of the server take back what was acknowledged in the last second.
    Other options go to libpq. Raises UsageError for a URL that cannot be one and where `read_only` finds no log,
    CorruptLogError for another program's tables, UnavailableError if the server gives no answer.
    """
    return PostgresBackend(parse(url), read_only=read_only)


def check_url(url: str) -> None:
    """Raise UsageError for a URL that cannot be one; no server is asked."""
    check_options(parse(url))
