"""The limit for questions on a server: the tables of ../raw_views.py, prepared by hand, one round trip a question.

The connections are in autocommit, so that a question is no transaction of several statements.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, Self

import psycopg2
import pymysql

from ...engine.events.event import Event
from .. import history, raw_views
from .server import Rows

POSTGRES = """
CREATE TABLE asset (asset text COLLATE "C" PRIMARY KEY, position bigint, body bytea);
CREATE TABLE part (asset text COLLATE "C", partition text COLLATE "C", position bigint, PRIMARY KEY (asset, partition));
CREATE TABLE fact (position bigint PRIMARY KEY, type text COLLATE "C", asset text COLLATE "C", body bytea);
CREATE TABLE run (id text COLLATE "C" PRIMARY KEY, number bigint, status text COLLATE "C", body bytea);
CREATE TABLE tag (key text COLLATE "C", value text COLLATE "C", number bigint, run text COLLATE "C",
    PRIMARY KEY (key, value, number));
"""
MYSQL = """
CREATE TABLE asset (asset varchar(200) PRIMARY KEY, position bigint, body longblob);
CREATE TABLE part (asset varchar(200), `partition` varchar(200), position bigint, PRIMARY KEY (asset, `partition`));
CREATE TABLE fact (position bigint PRIMARY KEY, type varchar(200), asset varchar(200), body longblob);
CREATE TABLE run (id varchar(200) PRIMARY KEY, number bigint, status varchar(20), body longblob);
CREATE TABLE tag (`key` varchar(100), value varchar(100), number bigint, run varchar(200),
    PRIMARY KEY (`key`, value, number));
"""
#: made when all is loaded, as whoever fills such tables would do
INDEXES = """
CREATE INDEX fact_type ON fact (type, position);
CREATE INDEX fact_asset ON fact (asset, type, position);
CREATE INDEX run_status ON run (status, number);
"""
TABLES = ("asset", "part", "fact", "run", "tag")


class PostgresRows:
    """psycopg2 on an open connection."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True
        self._cursor = self._connection.cursor()
        self._cursor.execute(f"SET search_path TO {schema}")

    def execute(self, query: str, terms: tuple[Any, ...] = ()) -> Any:
        self._cursor.execute(query.replace("?", "%s"), terms)
        return self._cursor

    def create(self) -> None:
        self._cursor.execute(POSTGRES)

    def load(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        text = "".join("\t".join(map(_as_text, row)) + "\n" for row in rows)
        self._cursor.copy_expert(f"COPY {table} FROM STDIN", io.StringIO(text), 1 << 20)

    def finish(self) -> None:
        self._cursor.execute(INDEXES)
        for table in TABLES:
            self._cursor.execute(f"VACUUM (ANALYZE) {table}")

    def close(self) -> None:
        self._connection.close()


def _as_text(value: Any) -> str:
    if value is None:
        return "\\N"
    return f"\\\\x{value.hex()}" if isinstance(value, bytes) else str(value)  # no name here has a tab or a backslash


class MySqlRows:
    """pymysql on an open connection."""

    def __init__(self, arguments: dict[str, Any], database: str) -> None:
        self._connection = pymysql.connect(**arguments, database=database, autocommit=True)
        self._cursor = self._connection.cursor()

    def execute(self, query: str, terms: tuple[Any, ...] = ()) -> Any:
        self._cursor.execute(query.replace("?", "%s"), terms)
        return self._cursor

    def create(self) -> None:
        for statement in MYSQL.split(";")[:-1]:
            self._cursor.execute(f"{statement} ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin")

    def load(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        places = ", ".join(["%s"] * len(rows[0])) if rows else ""
        self._cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)

    def finish(self) -> None:
        for statement in INDEXES.split(";")[:-1]:
            self._cursor.execute(statement)
        self._cursor.execute(f"ANALYZE TABLE {', '.join(TABLES)}")

    def close(self) -> None:
        self._connection.close()


class Prepared:
    """The tables, filled run by run. What is latest is known at the end, so that each of its rows is written once."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._position = 0
        self._latest: dict[str, tuple[int, bytes]] = {}
        self._parts: dict[tuple[str, str], int] = {}
        rows.create()

    def take(self, number: int, told: Iterable[Event[Any]]) -> None:
        """One run of the history."""
        run, facts = history.run_id(number), []
        for event in told:
            self._position += 1
            asset, body = raw_views.asset_of(event), raw_views.packed(event, run)
            facts.append((self._position, event.type, asset, body))
            if event.type == raw_views.MADE and asset is not None:
                self._latest[asset] = (self._position, body)
                self._parts[asset, event.fact.partition] = self._position
        self.rows.load("fact", facts)
        self.rows.load("run", [raw_views.run_row(number)])
        self.rows.load("tag", raw_views.tag_rows(number))

    def finish(self) -> Self:
        """Write what is latest, and have the server make the indexes and look at its tables."""
        self.rows.load("asset", [(asset, *found) for asset, found in self._latest.items()])
        self.rows.load("part", [(*names, position) for names, position in self._parts.items()])
        self.rows.finish()
        return self
