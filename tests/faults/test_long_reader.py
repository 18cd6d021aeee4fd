"""A reader that keeps a transaction open (P1, P7): nobody waits for it, and its WAL is cut back once it ends."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from story import LAYOUTS, line, url_of

from foldlog.backends.sqlite.connect import WAL_KEPT, WAL_LIMIT
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

COMMITS = 3000
AFTER = 2 * WAL_LIMIT // 8_000  #: each pass is counted as 8 kB of the order's WAL, which is less than it is


def wal_bytes(home: Path) -> int:
    return max(path.stat().st_size for path in home.rglob("*.db-wal"))


def write(log: EventLog, commits: int, every: int = 3) -> float:
    """Append and sequence; the longest that any of it took."""
    slowest = 0.0
    big = line("x" * 10_000)
    for number in range(commits):
        start = time.perf_counter()
        log.append("run-1", [big])
        if number % every == 0:
            log.catch_up()
        slowest = max(slowest, time.perf_counter() - start)
    return slowest


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nobody_waits_for_a_reader(scratch: Path, layout: str) -> None:
    """P7: 3000 commits while one reader stays in its snapshot; after it, the WAL goes back to its usual size."""
    home = scratch / "home"
    with open_log(url_of(home, layout)) as log:
        log.append("run-1", [line("first")], wait="ordered")
        readers = []
        for path in [*home.glob("*.db"), *home.rglob("run-1.db")]:
            reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            readers.append(reader)
        slowest = write(log, COMMITS)
        assert slowest < 5, f"a writer waited {slowest:.1f} s"
        grown = wal_bytes(home)
        assert grown > 2 * WAL_KEPT, "the reader should have kept the WAL from starting over"
        assert all(reader.execute("SELECT count(*) FROM sqlite_master").fetchone() for reader in readers)
        for reader in readers:
            reader.close()
        write(log, AFTER, every=1)
        assert wal_bytes(home) <= WAL_KEPT + WAL_LIMIT, f"the WAL stays at {wal_bytes(home):,} bytes, of {grown:,}"
        head = log.catch_up().position
        assert head == 1 + COMMITS + AFTER


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wal_does_not_grow_without_readers(scratch: Path, layout: str) -> None:
    """The same without one: bounded all the time, also beside another process that has the log open and is idle."""
    home = scratch / "home"
    with open_log(url_of(home, layout)) as log, open_log(url_of(home, layout)) as idle:
        idle.append("run-1", [line("first")], wait="ordered")
        for _ in range(5):
            write(log, 200)
            assert wal_bytes(home) <= 2 * WAL_LIMIT + 1_000_000
