"""The limit for questions: tables made by hand for just these questions, and sqlite3 on an open connection.

Each body is the msgpack dict that a program without foldlog would store; an answer unpacks every body it gives.
What keeps such tables up to date while events arrive is not counted.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from . import history
from .history import Shape

SCHEMA = """
CREATE TABLE asset (asset TEXT PRIMARY KEY, position INTEGER, body BLOB) WITHOUT ROWID;
CREATE TABLE part (asset TEXT, partition TEXT, position INTEGER, PRIMARY KEY (asset, partition)) WITHOUT ROWID;
CREATE TABLE event (position INTEGER PRIMARY KEY, type TEXT, asset TEXT, body BLOB);
CREATE INDEX event_type ON event (type, position);
CREATE INDEX event_asset ON event (asset, type, position);
CREATE TABLE run (id TEXT PRIMARY KEY, number INTEGER, status TEXT, body BLOB) WITHOUT ROWID;
CREATE INDEX run_status ON run (status, number);
CREATE TABLE tag (key TEXT, value TEXT, number INTEGER, run TEXT, PRIMARY KEY (key, value, number)) WITHOUT ROWID;
"""
#: what a program without foldlog would keep of a run to answer as much of it
RUN_TIMES = ("created_us", "updated_us", "enqueued_us", "launched_us", "started_us", "ended_us")
RUN_FIELDS = (
    "storage_id", "parent_run_id", "root_run_id", "run_config", "asset_selection", "asset_check_selection",
    "op_selection", "step_keys", "job_snapshot_id", "plan_snapshot_id", "code_location", "repository", "pools",
    "failure_reason", "failure_class", "failure_message", "ended_position", "last_position",
)  # fmt: skip
MADE = "ASSET_MATERIALIZATION"


def fill(path: Path, shape: Shape) -> sqlite3.Connection:
    """The tables, as they would stand after this history."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.executescript(SCHEMA)
    position = 0
    for number in range(shape.runs):
        db.execute("BEGIN")
        for event in history.run_events(number, shape):
            position += 1
            _take(db, position, event, history.run_id(number))
        _take_run(db, number)
        db.execute("COMMIT")
    return db


def _take(db: sqlite3.Connection, position: int, event: Any, run: str) -> None:
    body = msgpack.packb(
        {
            "run_id": run,
            "type": event.type,
            "timestamp_us": event.timestamp_us,
            "step_key": event.step_key,
            "job_name": event.job_name,
            "fact": msgspec.to_builtins(event.fact),
        }
    )
    key = getattr(event.fact, "asset_key", None)
    asset = None if key is None else key.to_text()
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?)", (position, event.type, asset, body))
    if event.type == MADE:
        db.execute("INSERT OR REPLACE INTO asset VALUES (?, ?, ?)", (asset, position, body))
        db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", (asset, event.fact.partition, position))


def _take_run(db: sqlite3.Connection, number: int) -> None:
    run, tags = history.run_id(number), history.tags(number)
    status = "FAILURE" if history.fails(number) else "SUCCESS"
    known = {"run_id": run, "job_name": f"job-{number % history.JOBS}", "status": status, "tags": tags}
    times = dict.fromkeys(RUN_TIMES, history.START_US + number * 10_000_000)
    body = msgpack.packb({**dict.fromkeys(RUN_FIELDS), **known, **times})
    db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", (run, number, status, body))
    db.executemany("INSERT INTO tag VALUES (?, ?, ?, ?)", [(key, value, number, run) for key, value in tags.items()])


def latest_materialization(db: sqlite3.Connection, asset: str) -> Any:
    (body,) = db.execute("SELECT body FROM asset WHERE asset = ?", (asset,)).fetchone()
    return msgpack.unpackb(body)


def materializations(db: sqlite3.Connection, asset: str, limit: int) -> list[Any]:
    query = "SELECT body FROM event WHERE asset = ? AND type = ? ORDER BY position DESC LIMIT ?"
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (asset, MADE, limit)).fetchall()]


def asset_records(db: sqlite3.Connection, limit: int) -> list[Any]:
    query = "SELECT asset, position, body FROM asset ORDER BY asset LIMIT ?"
    return [(asset, position, msgpack.unpackb(body)) for asset, position, body in db.execute(query, (limit,))]


def partitions(db: sqlite3.Connection, asset: str) -> list[str]:
    return [name for (name,) in db.execute("SELECT partition FROM part WHERE asset = ? ORDER BY partition", (asset,))]


def position_by_partition(db: sqlite3.Connection, asset: str) -> dict[str, int]:
    return dict(db.execute("SELECT partition, position FROM part WHERE asset = ?", (asset,)).fetchall())


def runs_by_status_and_tag(db: sqlite3.Connection, status: str, key: str, value: str, limit: int) -> list[Any]:
    query = """SELECT run.body FROM tag CROSS JOIN run ON run.id = tag.run
      WHERE tag.key = ? AND tag.value = ? AND run.status = ? ORDER BY tag.number DESC LIMIT ?"""
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (key, value, status, limit)).fetchall()]


def runs(db: sqlite3.Connection, limit: int) -> list[Any]:
    query = "SELECT body FROM run ORDER BY id DESC LIMIT ?"
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (limit,)).fetchall()]


def events_of_type(db: sqlite3.Connection, name: str, limit: int) -> list[Any]:
    query = "SELECT position, body FROM event WHERE type = ? ORDER BY position DESC LIMIT ?"
    return [(position, msgpack.unpackb(body)) for position, body in db.execute(query, (name, limit)).fetchall()]
