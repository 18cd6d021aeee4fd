"""Readers beside slow transactions (P5): two followers see one order, nothing skipped, nothing twice.

The hole: a transaction takes a number, another takes the next one and commits first, a reader passes it and never
comes back. The tests prove that this happened, and the control, a reader with a cursor on a number taken inside the
transaction, falls into it under the same harness.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import delays
import psycopg2
import pymysql
import pytest
from served import KINDS
from servers import mysql

import foldlog
from foldlog.engine.errors import UnavailableError
from foldlog.engine.events.event import Event
from foldlog.engine.events.log import LogMessage

SPAWN = multiprocessing.get_context("spawn")
WRITERS, READERS = 4, 2
SECONDS = 1.5
END = "end"


class Told(NamedTuple):
    """One acknowledged append, as its writer saw it."""

    shard: str
    first_seq: int
    texts: tuple[str, ...]
    begun: int  #: its transaction began, or its number was taken
    closing: int  #: it came to its COMMIT
    acknowledged: int


# -- foldlog's part, run in children -------------------------------------------------------------------------------


def write(url: str, name: int, gate: Any, done: Any, pipe: Any) -> None:
    """Append to a run of its own and to one of all, until told to stop."""
    dice = random.Random(name)
    log = foldlog.open_log(url)
    if url.startswith("sqlite"):
        log.close()
        delays.slow_sqlite(name)
        log = foldlog.open_log(url)
    if is_objects := url.startswith("file"):
        delays.slow_objects(name)
    told: list[Told] = []
    pipe.send("ready")
    gate.wait()
    for number in itertools.count():
        if done.is_set():
            break
        texts = tuple(f"{name}:{number}:{part}" for part in range(dice.choice([1, 1, 1, 3])))
        events = [Event.now(LogMessage(text=text)) for text in texts]
        shard, key = dice.choice([f"run-{name}", f"run-{name}", "run-all"]), uuid4()
        for _ in range(dice.choice([1, 50])):  # give up at once, or retry under the same key
            delays.noted.begun = delays.noted.closing = delays.now_us()
            try:
                receipt = log.append(shard, events, key=key)
            except UnavailableError:
                continue
            noted = delays.noted
            if is_objects:  # its last file came just now
                noted.closing = delays.now_us()
            told.append(Told(shard, receipt.first_seq, texts, noted.begun, noted.closing, delays.now_us()))
            break
    log.close()
    pipe.send(told)


def follow(url: str, name: int, gate: Any, done: Any, pipe: Any) -> None:
    """One reader iterates, the other turns pages; up to the event that says the end, and whatever is behind it."""
    log = foldlog.open_log(url)
    seen: list[tuple[int | None, str, int, str]] = []

    def take(record: Any) -> bool:
        seen.append((record.position, record.shard, record.seq, record.event.fact.text))
        return bool(seen[-1][3] == END)

    pipe.send("ready")
    gate.wait()
    if name % 2:
        with log.follow(page=7) as follower:
            next(filter(take, follower))
            after = follower.cursor
    else:
        page = log.read(limit=5)
        while not sum([take(record) for record in page.records]):  # takes the whole page
            page = log.read(after=page.cursor, limit=5)
        after = page.cursor
    for record in log.read(after=after).records:
        take(record)
    log.close()
    pipe.send(seen)


# -- the harness ---------------------------------------------------------------------------------------------------


def run(
    url: str,
    *,
    writer: Callable[..., None] = write,
    reader: Callable[..., None] = follow,
    end: Callable[[], None] = lambda: None,
    seconds: float = SECONDS,
) -> tuple[list[Told], list[Any]]:
    """Writers and readers at once; what was acknowledged, and what each reader saw."""
    gate, done = SPAWN.Event(), SPAWN.Event()
    jobs = []
    for target, name in [(writer, n) for n in range(WRITERS)] + [(reader, n) for n in range(READERS)]:
        here, there = SPAWN.Pipe(duplex=False)
        child = SPAWN.Process(target=target, args=(url, name, gate, done, there), daemon=True)
        child.start()
        there.close()
        jobs.append((child, here))
    for _, here in jobs:
        assert here.recv() == "ready"
    gate.set()
    time.sleep(seconds)
    done.set()
    answers = [here.recv() for _, here in jobs[:WRITERS]]
    end()
    answers += [here.recv() for _, here in jobs[WRITERS:]]
    for child, _ in jobs:
        child.join(30)
        assert child.exitcode == 0
    return [told for part in answers[:WRITERS] for told in part], answers[WRITERS:]


def overtaken(appends: list[Told]) -> int:
    """How many transactions began before another, and were still open when that one had been acknowledged."""
    by_begin = sorted(appends, key=lambda told: told.begun)
    least = float("inf")  # the earliest acknowledgement among those that began later
    found = 0
    for told in reversed(by_begin):
        found += least < told.closing
        least = min(least, told.acknowledged)
    return found


# -- foldlog -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["sqlite", "sqlite-consolidated", "objects", *KINDS])
def test_readers_skip_nothing(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """P5: both see the same, each event once, at dense positions: all that was acknowledged, and nothing else."""
    if store in KINDS:
        url = request.getfixturevalue(f"{store}_url")
    else:
        url = f"sqlite:///{tmp_path}/log" + ("?layout=consolidated" if store == "sqlite-consolidated" else "")
        url = f"file://{tmp_path}/log" if store == "objects" else url
    with foldlog.open_log(url) as log:
        if store in KINDS:
            delays.SLOW[store](url)
        appends, (first, second) = run(url, end=lambda: say_end(log))
    if store in KINDS:
        times = delays.PROBE[store](url)
        appends = [told._replace(begun=times[told[:2]][0], closing=times[told[:2]][1]) for told in appends]
    assert overtaken(appends) > 2, "the delays did not do what this test is about"
    assert first == second
    assert [position for position, *_ in first] == list(range(1, len(first) + 1))
    wanted = [(told.shard, told.first_seq + part, text) for told in appends for part, text in enumerate(told.texts)] + [
        ("run-end", 1, END)
    ]
    assert sorted(event for _, *event in first) == sorted(map(list, wanted))
    assert first[-1][3] == END, "everything else was acknowledged before it began"


def say_end(log: foldlog.EventLog) -> None:
    """All writers are done; on a server this append, too, may be rolled back."""
    key = uuid4()
    for _ in range(50):
        try:
            log.append("run-end", [Event.now(LogMessage(text=END))], key=key)
            return
        except UnavailableError:
            continue
    raise AssertionError("50 appends in a row were rolled back")


# -- the control: a cursor on a number that is taken inside the transaction -----------------------------------------


def write_naive(url: str, name: int, gate: Any, done: Any, pipe: Any) -> None:
    told = []
    with closing(naive(url, name)) as store:
        pipe.send("ready")
        gate.wait()
        for number in itertools.count():
            if done.is_set():
                break
            begun = delays.now_us()
            if store.append(f"{name}:{number}"):
                told.append(Told("", 0, (f"{name}:{number}",), begun, begun, delays.now_us()))
    pipe.send(told)


def follow_naive(url: str, name: int, gate: Any, done: Any, pipe: Any) -> None:
    seen: list[str] = []
    cursor = 0
    with closing(naive(url, -1 - name)) as store:
        pipe.send("ready")
        gate.wait()
        last = False
        while True:
            if found := store.read(cursor):
                cursor = found[-1][0]
                seen += [text for _, text in found]
            if last:
                break
            last = done.is_set()  # then once more
            time.sleep(0.05 if last else 0.001)
    pipe.send(seen)


class NaiveServer:
    """One table with an auto-increment."""

    def __init__(self, url: str) -> None:
        if url.startswith("mysql"):  # where a plain SELECT would keep the snapshot of the first one
            self.db: Any = mysql.connect(url)
        else:
            self.db = psycopg2.connect(url, options="-csearch_path=naive")
            self.db.autocommit = True

    def append(self, text: str) -> bool:
        try:
            self.db.cursor().execute("INSERT INTO event (text) VALUES (%s)", (text,))
        except (psycopg2.OperationalError, pymysql.err.OperationalError):
            return False  # rolled back by the trigger
        return True

    def read(self, after: int) -> list[tuple[int, str]]:
        cursor = self.db.cursor()
        cursor.execute("SELECT id, text FROM event WHERE id > %s ORDER BY id", (after,))
        return list(cursor.fetchall())

    def close(self) -> None:
        self.db.close()


class NaiveFiles:
    """A SQLite file for each run, merged by the time stamp of the events. (In one file, one transaction writes at a
    time, and the numbers it takes are committed in order.)"""

    def __init__(self, folder: str, name: int) -> None:
        self.folder = Path(folder)
        self.readers: dict[Path, sqlite3.Connection] = {}
        if name >= 0:
            delays.slow_sqlite(name)
            self.db = sqlite3.connect(self.folder / f"{name}.db", isolation_level=None)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, text TEXT)")

    def append(self, text: str) -> bool:
        try:
            self.db.execute("INSERT INTO event VALUES (?, ?)", (delays.now_us(), text))
        except sqlite3.OperationalError:
            return False
        return True

    def read(self, after: int) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        for path in self.folder.glob("*.db"):
            if path not in self.readers:
                self.readers[path] = sqlite3.connect(path)
            found += self.readers[path].execute("SELECT id, text FROM event WHERE id > ?", (after,)).fetchall()
        return sorted(found)

    def close(self) -> None:
        for db in self.readers.values():
            db.close()


def naive(url: str, name: int) -> NaiveServer | NaiveFiles:
    return NaiveServer(url) if "://" in url else NaiveFiles(url, name)


def naive_on_postgres(url: str) -> None:
    with psycopg2.connect(url) as db:
        db.cursor().execute("CREATE SCHEMA naive; CREATE TABLE naive.event (id bigserial PRIMARY KEY, text text)")
    db.close()
    delays.slow_postgres(url, schema="naive", shard="id", seq="id", when="true")


def naive_on_mysql(url: str) -> None:
    with closing(mysql.connect(url)) as db:
        db.cursor().execute("CREATE TABLE event (id bigint AUTO_INCREMENT PRIMARY KEY, text text)")
    # Its triggers wait before the row has its number and after; a number taken is what makes the hole.
    delays.slow_mysql(url, shard="0", seq="NEW.id", when="true")


NAIVE = {"postgres": naive_on_postgres, "mysql": naive_on_mysql}


@pytest.mark.parametrize("store", ["sqlite", *NAIVE])
def test_control_a_naive_cursor_skips(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """The harness would notice: the same delays, a cursor on an id or a stamp, and events are never read."""
    url = str(tmp_path)
    if store in NAIVE:
        url = request.getfixturevalue(f"{store}_url")
        NAIVE[store](url)
    appends, readers = run(url, writer=write_naive, reader=follow_naive, seconds=1.0)
    written = {text for told in appends for text in told.texts}
    assert len(written) > 10
    for seen in readers:
        assert set(seen) <= written
        assert written - set(seen), "the naive reader skipped nothing: the harness is too gentle"
