"""The physical limit on MySQL and MariaDB: pymysql as it comes, one table with one primary key, msgpack bodies."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgpack
import pymysql

TABLE = """CREATE TABLE event (id bigint AUTO_INCREMENT PRIMARY KEY,
    run varchar(200), type varchar(200), timestamp_us bigint, body longblob) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"""
INSERT = "INSERT INTO event (run, type, timestamp_us, body) VALUES (%s, %s, %s, %s)"
PAGE = "SELECT id, run, type, timestamp_us, body FROM event WHERE id > %s ORDER BY id LIMIT 1000"
POLL_S = 0.002


class Raw:
    """An open connection. The server begins a transaction by itself with the first statement (autocommit is off)."""

    def __init__(self, arguments: dict[str, Any], database: str) -> None:
        self._connection = pymysql.connect(**arguments, database=database)
        self._cursor = self._connection.cursor()

    def create(self) -> None:
        self._cursor.execute(TABLE)

    def append_one(self, run: str, event: dict[str, Any]) -> None:
        self._cursor.execute(INSERT, (run, event["type"], event["timestamp_us"], msgpack.packb(event)))
        self._connection.commit()

    def batches(self) -> dict[str, Callable[[str, list[dict[str, Any]]], None]]:
        return {"executemany": self.execute_many}

    def execute_many(self, run: str, events: list[dict[str, Any]]) -> None:
        rows = [(run, one["type"], one["timestamp_us"], msgpack.packb(one)) for one in events]
        self._cursor.executemany(INSERT, rows)  # one INSERT of many rows, up to a megabyte
        self._connection.commit()

    def read_run(self) -> int:
        self._connection.autocommit(True)
        count = last = 0
        while True:
            self._cursor.execute(PAGE, (last,))
            rows = self._cursor.fetchall()
            if not rows:
                return count
            for row in rows:
                if msgpack.unpackb(row[4])["fact"]["metadata"]["rows"] == 123_456:
                    count += 1
            last = rows[-1][0]

    def announce(self, run: str, event: dict[str, Any]) -> int:
        """Append one event; its id."""
        self.append_one(run, event)
        return int(self._cursor.lastrowid or 0)

    def listen(self) -> None:
        self._connection.autocommit(True)

    def follow(self, after: int) -> list[int]:
        """The ids past `after`, as soon as there are some: the server tells nobody, so it is asked."""
        while True:
            self._cursor.execute(PAGE, (after,))
            if rows := self._cursor.fetchall():
                return [row[0] for row in rows]
            time.sleep(POLL_S)

    def count(self) -> int:
        self._cursor.execute("SELECT count(*) FROM event")
        found = self._cursor.fetchone()
        self._connection.rollback()
        return int(found[0]) if found else 0

    def close(self) -> None:
        self._connection.close()
