"""PostgreSQL as a server to measure on: two schemas in the database of the URL, dropped at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

import psycopg2
import sqlalchemy as sa

from ...backends import without_password
from ...engine.errors import UsageError
from .raw_postgres import Raw
from .raw_views import PostgresRows
from .server import POSTGRES, Place, Weight, new_names, no_answer, no_right

SETTINGS = ("fsync", "synchronous_commit", "full_page_writes", "wal_sync_method", "shared_buffers", "max_wal_size")
SIZE = """
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relkind = 'r'
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = %s"


class PostgresServer:
    """The server and database of a postgresql:// URL."""

    kind = POSTGRES

    def __init__(self, url: str) -> None:
        try:
            given = sa.make_url(f"postgresql:{url.partition(':')[2]}")
        except (sa.exc.ArgumentError, ValueError):
            raise UsageError("the PostgreSQL URL cannot be read; write postgresql://user@host:port/database") from None
        self._url = given.difference_update_query(["schema", "durability"])
        self._dsn = self._url.render_as_string(hide_password=False)
        self._shown = without_password(url)
        self.title = f"PostgreSQL {str(self._ask('SHOW server_version')[0][0]).split()[0]}"

    def settings(self) -> dict[str, str]:
        return {name: str(self._ask(f"SHOW {name}")[0][0]) for name in SETTINGS}

    @contextmanager
    def place(self) -> Iterator[Place]:
        with new_names(self._make, self._drop) as (log, raw):
            with closing(Raw(self._dsn, raw)) as first:
                first.create()
            url = self._url.update_query_dict({"schema": log}).render_as_string(hide_password=False)
            yield Place(
                self.kind, url, partial(Raw, self._dsn, raw), partial(PostgresRows, self._dsn, raw),
                partial(self._weigh, log),
            )  # fmt: skip

    def _make(self, schema: str) -> None:
        self._do(f"CREATE SCHEMA {schema}")

    def _drop(self, schema: str) -> None:
        self._do(f"DROP SCHEMA IF EXISTS {schema} CASCADE")

    def _weigh(self, schema: str) -> Weight:
        for (table,) in self._ask(TABLES, (schema,)):
            self._do(f'VACUUM (ANALYZE) {schema}."{table}"')
        return Weight(int(self._ask(SIZE, (schema,))[0][0]), "pg_total_relation_size after VACUUM")

    def _do(self, statement: str) -> None:
        with self._cursor() as cursor:
            cursor.execute(statement)

    def _ask(self, query: str, terms: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._cursor() as cursor:
            cursor.execute(query, terms)
            return list(cursor.fetchall())

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        try:
            connection = psycopg2.connect(self._dsn, connect_timeout=10)
        except psycopg2.OperationalError as error:
            raise no_answer(self._shown, str(error).strip()) from error
        with closing(connection):
            connection.autocommit = True  # VACUUM runs in no transaction
            try:
                yield connection.cursor()
            except psycopg2.errors.InsufficientPrivilege as error:
                raise no_right(self._shown, str(error).strip()) from error
