"""MySQL and MariaDB as a server to measure on: two databases beside that of the URL, dropped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import pymysql
import sqlalchemy as sa

from ...backends import without_password
from ...engine.errors import UsageError
from .raw_mysql import Raw
from .raw_views import MySqlRows
from .server import MYSQL, Place, Weight, new_names, no_answer, no_right

SETTINGS = (
    "innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "innodb_flush_method", "innodb_doublewrite",
    "innodb_buffer_pool_size",
)  # fmt: skip
SIZE = """
SELECT coalesce(sum(data_length + index_length), 0), coalesce(sum(data_free), 0)
FROM information_schema.tables WHERE table_schema = %s
"""
NO_RIGHT = (1044, 1142, 1227)  #: numbers of errors
TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s AND table_type = 'BASE TABLE'"


class MySqlServer:
    """The server of a mysql:// URL, whose user may create databases named foldlog_bench_…."""

    kind = MYSQL

    def __init__(self, url: str) -> None:
        try:
            self._url = sa.make_url(f"mysql:{url.partition(':')[2]}")
        except (sa.exc.ArgumentError, ValueError):
            raise UsageError("the MySQL URL cannot be read; write mysql://user@host:port/database") from None
        self._shown = without_password(url)
        given = {
            "host": self._url.host, "port": self._url.port, "user": self._url.username,
            "password": self._url.password, "unix_socket": self._url.query.get("unix_socket"),
        }  # fmt: skip
        self._arguments: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        version = str(self._ask("SELECT version()")[0][0])
        self.title = f"{'MariaDB' if 'mariadb' in version.lower() else 'MySQL'} {version.split('-')[0]}"

    def settings(self) -> dict[str, str]:
        found = dict(self._ask("SHOW GLOBAL VARIABLES"))
        return {name: str(found[name]) for name in SETTINGS if name in found}

    @contextmanager
    def place(self) -> Iterator[Place]:
        with new_names(self._make, self._drop) as (log, raw):
            self._make(log)  # foldlog makes its tables there, and no database
            with closing(Raw(self._arguments, raw)) as first:
                first.create()
            url = self._url.set(database=log).render_as_string(hide_password=False)
            yield Place(
                self.kind, url, partial(Raw, self._arguments, raw), partial(MySqlRows, self._arguments, raw),
                partial(self._weigh, log),
            )  # fmt: skip

    def _make(self, database: str) -> None:
        self._ask(f"CREATE DATABASE {database} CHARACTER SET utf8mb4")

    def _drop(self, database: str) -> None:
        self._ask(f"DROP DATABASE IF EXISTS {database}")

    def _weigh(self, database: str) -> Weight:
        for (table,) in self._ask(TABLES, (database,)):
            self._ask(f"ANALYZE TABLE {database}.`{table}`")
        held, free = self._ask(SIZE, (database,))[0]
        return Weight(int(held), f"information_schema after ANALYZE; {int(free) // 1024:,} KiB more are reserved")

    def _ask(self, query: str, terms: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            connection = pymysql.connect(**self._arguments, autocommit=True, connect_timeout=10)
        except pymysql.err.OperationalError as error:
            raise no_answer(self._shown, str(error.args[-1])) from error
        with closing(connection), connection.cursor() as cursor:
            try:
                cursor.execute(query, terms)
            except pymysql.err.OperationalError as error:
                if error.args[0] not in NO_RIGHT:
                    raise
                raise no_right(self._shown, str(error.args[-1])) from error
            return list(cursor.fetchall())
