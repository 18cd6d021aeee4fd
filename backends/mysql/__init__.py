"""The log on MySQL 8 or MariaDB 10.6 and newer: one database, shared by any number of processes and machines.

`mysql://user:password@host/database`. The driver is pymysql. Tables and bytes: docs/format.md.
"""

from __future__ import annotations

from ...engine.log.port import Backend
from .address import parse
from .backend import MysqlBackend

__all__ = ["MysqlBackend", "check_url", "open_url"]


def open_url(url: str, *, read_only: bool = False) -> Backend:
    """The log of a MySQL or MariaDB URL, its tables made on first use unless `read_only`.

    `mariadb://`, `mysql+pymysql://` and `mariadb+pymysql://` mean the same. The database must be there. Options:
    `unix_socket`, `connect_timeout`, `ssl_mode`, `ssl_ca`, `ssl_cert`, `ssl_key`, and `durability=process` for a server
    that does not sync each commit. Raises UsageError for a URL that cannot be one, for a server that is too old or may
    lose commits, and where `read_only` finds no log; CorruptLogError for another program's tables; UnavailableError if
    the server gives no answer.
    """
    return MysqlBackend(parse(url), read_only=read_only)


def check_url(url: str) -> None:
    """Raise UsageError for a URL that cannot be one; no server is asked."""
    parse(url)
