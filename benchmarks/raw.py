"""The physical limit: Python's sqlite3 on an open connection, one table, WAL with synchronous=FULL, msgpack bodies."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgpack

SCHEMA = "CREATE TABLE event (id INTEGER PRIMARY KEY, run TEXT, type TEXT, timestamp_us INTEGER, body BLOB)"
INSERT = "INSERT INTO event (run, type, timestamp_us, body) VALUES (?, ?, ?, ?)"


def open_raw(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute(SCHEMA)
    return db


def append_one(db: sqlite3.Connection, run: str, event: dict[str, Any]) -> None:
    db.execute(INSERT, (run, event["type"], event["timestamp_us"], msgpack.packb(event)))


def append_batch(db: sqlite3.Connection, run: str, events: list[dict[str, Any]]) -> None:
    db.execute("BEGIN")
    db.executemany(INSERT, [(run, one["type"], one["timestamp_us"], msgpack.packb(one)) for one in events])
    db.execute("COMMIT")


def append_rows(db: sqlite3.Connection, rows: list[tuple[str, str, int, bytes]]) -> None:
    """One append of events that are bytes already."""
    db.execute("BEGIN")
    db.executemany(INSERT, rows)
    db.execute("COMMIT")


def read_run(db: sqlite3.Connection, run: str) -> int:
    """Read a run in pages of 1000 and touch each event; the rows counted."""
    count = last = 0
    while rows := db.execute(
        "SELECT id, run, type, timestamp_us, body FROM event WHERE id > ? ORDER BY id LIMIT 1000", (last,)
    ).fetchall():
        for row in rows:
            if msgpack.unpackb(row[4])["fact"]["metadata"]["rows"] == 123_456:
                count += 1
        last = rows[-1][0]
    return count
