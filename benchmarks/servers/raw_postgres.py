"""The physical limit on PostgreSQL: psycopg2 as it comes, one table with one primary key, msgpack bodies."""

from __future__ import annotations

import io
import select
import struct
from collections.abc import Callable
from typing import Any

import msgpack
import psycopg2

TABLE = """CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text, type text, timestamp_us bigint, body bytea)"""
INSERT = "INSERT INTO event (run, type, timestamp_us, body) VALUES (%s, %s, %s, %s)"
COPY = "COPY event (run, type, timestamp_us, body) FROM STDIN"
PAGE = "SELECT id, run, type, timestamp_us, body FROM event WHERE id > %s ORDER BY id LIMIT 1000"
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
CHUNK = 1 << 20  #: bytes that COPY is given at a time


class Raw:
    """An open connection. BEGIN goes out with the first statement of a transaction, as psycopg2 does it."""

    def __init__(self, dsn: str, schema: str) -> None:
        self._connection = psycopg2.connect(dsn)
        self._cursor = self._connection.cursor()
        self._cursor.execute(f"SET search_path TO {schema}")
        self._connection.commit()

    def create(self) -> None:
        self._cursor.execute(TABLE)
        self._connection.commit()

    def append_one(self, run: str, event: dict[str, Any]) -> None:
        self._cursor.execute(INSERT, (run, event["type"], event["timestamp_us"], msgpack.packb(event)))
        self._connection.commit()

    def batches(self) -> dict[str, Callable[[str, list[dict[str, Any]]], None]]:
        return {"COPY as text": self.copy_text, "COPY as binary": self.copy_binary}

    def copy_text(self, run: str, events: list[dict[str, Any]]) -> None:
        lines = [f"{run}\t{one['type']}\t{one['timestamp_us']}\t\\\\x{msgpack.packb(one).hex()}\n" for one in events]
        self._cursor.copy_expert(COPY, io.StringIO("".join(lines)), CHUNK)
        self._connection.commit()

    def copy_binary(self, run: str, events: list[dict[str, Any]]) -> None:
        parts, run_bytes = [HEADER], run.encode()
        for one in events:
            type, body = one["type"].encode(), msgpack.packb(one)
            form = f">hi{len(run_bytes)}si{len(type)}siqi"
            parts.append(
                struct.pack(form, 4, len(run_bytes), run_bytes, len(type), type, 8, one["timestamp_us"], len(body))
            )
            parts.append(body)
        parts.append(TRAILER)
        self._cursor.copy_expert(f"{COPY} (FORMAT binary)", io.BytesIO(b"".join(parts)), CHUNK)
        self._connection.commit()

    def read_run(self) -> int:
        self._connection.autocommit = True
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
        """Append one event and tell who listens; its id."""
        self._cursor.execute(
            f"{INSERT} RETURNING id", (run, event["type"], event["timestamp_us"], msgpack.packb(event))
        )
        found = self._cursor.fetchone()
        self._cursor.execute("NOTIFY event")
        self._connection.commit()
        return int(found[0]) if found else 0

    def listen(self) -> None:
        self._connection.autocommit = True
        self._cursor.execute("LISTEN event")

    def follow(self, after: int) -> list[int]:
        """The ids past `after`, as soon as there are some."""
        while True:
            self._cursor.execute(PAGE, (after,))
            if rows := self._cursor.fetchall():
                return [row[0] for row in rows]
            select.select([self._connection], [], [])
            self._connection.poll()

    def count(self) -> int:
        self._cursor.execute("SELECT count(*) FROM event")
        found = self._cursor.fetchone()
        self._connection.rollback()
        return int(found[0]) if found else 0

    def close(self) -> None:
        self._connection.close()
