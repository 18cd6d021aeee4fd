"""The limit for questions: tables made by hand for just these questions, and sqlite3 on an open connection.

Each body is the msgpack dict that a program without foldlog would store; an answer unpacks every body it gives.
What keeps such tables up to date while events arrive is not counted. The questions are asked of servers, too, through
a cursor that takes them as sqlite3 does: servers/raw_views.py.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgpack
import msgspec

from ..engine.events.event import Event
from . import history
from .history import Shape

SCHEMA = """
CREATE TABLE asset (asset TEXT PRIMARY KEY, position INTEGER, body BLOB) WITHOUT ROWID;
CREATE TABLE part (asset TEXT, partition TEXT, position INTEGER, PRIMARY KEY (asset, partition)) WITHOUT ROWID;
CREATE TABLE fact (position INTEGER PRIMARY KEY, type TEXT, asset TEXT, body BLOB);
CREATE INDEX fact_type ON fact (type, position);
CREATE INDEX fact_asset ON fact (asset, type, position);
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


def _take(db: sqlite3.Connection, position: int, event: Event[Any], run: str) -> None:
    asset, body = asset_of(event), packed(event, run)
    db.execute("INSERT INTO fact VALUES (?, ?, ?, ?)", (position, event.type, asset, body))
    if event.type == MADE:
        db.execute("INSERT OR REPLACE INTO asset VALUES (?, ?, ?)", (asset, position, body))
        db.execute("INSERT OR REPLACE INTO part VALUES (?, ?, ?)", (asset, event.fact.partition, position))


def asset_of(event: Event[Any]) -> str | None:
    """The asset that an event is about."""
    key = getattr(event.fact, "asset_key", None)
    return None if key is None else str(key.to_text())


def packed(event: Event[Any], run: str) -> bytes:
    """One event, as it would be stored."""
    plain = {
        "run_id": run,
        "type": event.type,
        "timestamp_us": event.timestamp_us,
        "step_key": event.step_key,
        "job_name": event.job_name,
        "fact": msgspec.to_builtins(event.fact),
    }
    return bytes(msgpack.packb(plain))


def _take_run(db: sqlite3.Connection, number: int) -> None:
    db.execute("INSERT INTO run VALUES (?, ?, ?, ?)", run_row(number))
    db.executemany("INSERT INTO tag VALUES (?, ?, ?, ?)", tag_rows(number))


def run_row(number: int) -> tuple[str, int, str, bytes]:
    """A row of `run`."""
    run = history.run_id(number)
    status = "FAILURE" if history.fails(number) else "SUCCESS"
    known = {
        "run_id": run,
        "job_name": f"job-{number % history.JOBS}",
        "status": status,
        "tags": history.tags(number),
    }
    times = dict.fromkeys(RUN_TIMES, history.START_US + number * 10_000_000)
    return run, number, status, bytes(msgpack.packb({**dict.fromkeys(RUN_FIELDS), **known, **times}))


def tag_rows(number: int) -> list[tuple[str, str, int, str]]:
    """The rows of `tag` for one run."""
    return [(key, value, number, history.run_id(number)) for key, value in history.tags(number).items()]


def latest_materialization(db: Any, asset: str) -> Any:
    (body,) = db.execute("SELECT body FROM asset WHERE asset = ?", (asset,)).fetchone()
    return msgpack.unpackb(body)


def materializations(db: Any, asset: str, limit: int) -> list[Any]:
    query = "SELECT body FROM fact WHERE asset = ? AND type = ? ORDER BY position DESC LIMIT ?"
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (asset, MADE, limit)).fetchall()]


def asset_records(db: Any, limit: int) -> list[Any]:
    query = "SELECT asset, position, body FROM asset ORDER BY asset LIMIT ?"
    return [(asset, position, msgpack.unpackb(body)) for asset, position, body in db.execute(query, (limit,))]


def partitions(db: Any, asset: str) -> list[str]:
    return [
        name
        for (name,) in db.execute("SELECT part.partition FROM part WHERE asset = ? ORDER BY part.partition", (asset,))
    ]


def position_by_partition(db: Any, asset: str) -> dict[str, int]:
    return dict(db.execute("SELECT part.partition, position FROM part WHERE asset = ?", (asset,)).fetchall())


def runs_by_status_and_tag(db: Any, status: str, key: str, value: str, limit: int) -> list[Any]:
    query = """SELECT run.body FROM tag CROSS JOIN run WHERE run.id = tag.run
      AND tag.key = ? AND tag.value = ? AND run.status = ? ORDER BY tag.number DESC LIMIT ?"""
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (key, value, status, limit)).fetchall()]


def runs(db: Any, limit: int) -> list[Any]:
    query = "SELECT body FROM run ORDER BY id DESC LIMIT ?"
    return [msgpack.unpackb(body) for (body,) in db.execute(query, (limit,)).fetchall()]


def events_of_type(db: Any, name: str, limit: int) -> list[Any]:
    query = "SELECT position, body FROM fact WHERE type = ? ORDER BY position DESC LIMIT ?"
    return [(position, msgpack.unpackb(body)) for position, body in db.execute(query, (name, limit)).fetchall()]
