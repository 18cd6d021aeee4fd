"""Programs of the release that wrote format 1, as far as an upgrade has to live with them: their statements, frozen.

They have a log open before it is upgraded and go on appending and placing meanwhile, without a look at its format. On
SQLite, files of shards are as they were, so only placing is here.
"""

from __future__ import annotations

import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID, uuid4
from zlib import crc32

import psycopg2
import pymysql
import sqlalchemy as sa


def link(chain: bytes, shard: str, first: int, count: int, at_us: int, digest: bytes) -> bytes:
    where = struct.pack(">QIQ", first, count, at_us)
    return blake2b(chain + digest + where + shard.encode(), digest_size=16).digest()


def now_us() -> int:
    return time.time_ns() // 1000


class Program(Protocol):
    """One process of the old release, with its own connection."""

    def turn(self) -> int:
        """Append or place something; how many receipts that placed."""

    def close(self) -> None: ...


class SqlitePlacer:
    """Places receipts of a shard without a file: one that was purged, so that nobody looks for its events."""

    def __init__(self, order: Path, shard: str = "run-old") -> None:
        self._shard = shard
        self._db = sqlite3.connect(order, isolation_level=None, timeout=30)
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute("PRAGMA wal_autocheckpoint=0")

    def turn(self) -> int:
        return self.place(3)

    def place(self, number: int) -> int:
        """Place receipts of two events each, in one transaction, as a sequencer does."""
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            db.execute("INSERT OR IGNORE INTO place (name, state, ordered_seq) VALUES (?, 'purged', 0)", (self._shard,))
            (id_, seq) = db.execute("SELECT id, ordered_seq FROM place WHERE name = ?", (self._shard,)).fetchone()
            row = db.execute("SELECT position + count, chain FROM timeline ORDER BY position DESC LIMIT 1").fetchone()
            position, chain = row or (1, bytes(16))
            rows = []
            for _ in range(number):
                digest, at_us = uuid4().bytes, now_us()
                chain = link(chain, self._shard, seq + 1, 2, at_us, digest)
                rows.append((position, id_, seq + 1, 2, at_us, uuid4().bytes, digest, chain))
                position, seq = position + 2, seq + 2
            db.executemany("INSERT INTO timeline VALUES (?,?,?,?,?,?,?,?)", rows)
            db.execute("UPDATE place SET ordered_seq = ? WHERE id = ?", (seq, id_))
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise
        return number

    def close(self) -> None:
        self._db.close()


APPEND = """
WITH place AS (
    SELECT shard_id FROM foldlog.shard WHERE name = %(shard)s AND state = 0 FOR KEY SHARE
), follows AS (
    SELECT p.shard_id, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at_us FROM place p
), written AS (
    INSERT INTO foldlog.event (shard_id, seq, ts_us, topics, crc, type, body, at_us, count, key, keyed, digest)
    SELECT f.shard_id, %(first)s + r.n - 1, r.ts_us, r.topics, r.crc, r.type, r.body,
        CASE WHEN r.n = 1 THEN f.at_us END, CASE WHEN r.n = 1 THEN %(count)s::bigint END,
        CASE WHEN r.n = 1 THEN %(key)s::uuid END, CASE WHEN r.n = 1 THEN %(keyed)s::boolean END,
        CASE WHEN r.n = 1 THEN %(digest)s::bytea END
    FROM follows f, unnest(%(ts_us)s::bigint[], %(topics)s::bigint[], %(crcs)s::bigint[], %(types)s::text[],
        %(bodies)s::bytea[]) WITH ORDINALITY AS r (ts_us, topics, crc, type, body, n)
), told AS (
    INSERT INTO foldlog.news (shard_id, first_seq, at_us) SELECT shard_id, %(first)s, at_us FROM follows
)
SELECT at_us FROM follows
"""
PENDING = """
SELECT s.name, n.first_seq, e.count, e.key::text, n.at_us, e.digest
FROM (SELECT * FROM foldlog.news ORDER BY at_us, shard_id, first_seq LIMIT 50) n
JOIN foldlog.event e ON e.shard_id = n.shard_id AND e.seq = n.first_seq
JOIN foldlog.shard s ON s.shard_id = n.shard_id
ORDER BY n.at_us, s.name, n.first_seq
"""
PLACE = """
INSERT INTO foldlog.timeline (position, shard_id, first_seq, count, at_us, key, digest, chain)
SELECT %(position)s, s.shard_id, %(first)s, %(count)s, %(at_us)s, %(key)s::uuid, %(digest)s, %(chain)s
FROM foldlog.shard s JOIN foldlog.event e ON e.shard_id = s.shard_id AND e.seq = %(first)s AND e.count = %(count)s
WHERE s.name = %(shard)s
"""
NEW_ROWS = "(SELECT * FROM foldlog.timeline WHERE position > %(after)s)"
BEHIND = (
    f"""
INSERT INTO foldlog.timeline_type (type, position)
SELECT DISTINCT e.type, t.position FROM {NEW_ROWS} t
JOIN foldlog.event e ON e.shard_id = t.shard_id AND e.seq BETWEEN t.first_seq AND t.first_seq + t.count - 1
""",
    f"DELETE FROM foldlog.news n USING {NEW_ROWS} t WHERE n.shard_id = t.shard_id AND n.first_seq = t.first_seq",
    f"""
UPDATE foldlog.shard s SET ordered_seq = s.ordered_seq + t.sum
FROM (SELECT shard_id, min(first_seq) AS first, sum(count)::bigint AS sum, max(first_seq + count) AS next
      FROM {NEW_ROWS} t GROUP BY shard_id) t
WHERE s.shard_id = t.shard_id AND s.ordered_seq = t.first - 1 AND t.first + t.sum = t.next
""",
)


class PostgresProgram:
    """Appends to a run of its own and sequences, for all."""

    def __init__(self, url: str, shard: str = "run-old") -> None:
        self._shard = shard
        self._seq = 0
        self._db = psycopg2.connect(url)
        self._db.autocommit = True
        with self._db.cursor() as cursor:
            cursor.execute("INSERT INTO foldlog.shard (name) VALUES (%s) ON CONFLICT DO NOTHING", (shard,))

    @property
    def acknowledged(self) -> int:
        """Events of the appends that were answered."""
        return self._seq

    def turn(self) -> int:
        self.append(2)
        return self.place()

    def append(self, number: int) -> None:
        first = self._seq + 1
        with self._db.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '20s'")
            cursor.execute(APPEND, _append(self._shard, first, number))
            assert cursor.fetchone() is not None
            cursor.execute("COMMIT")
        self._seq += number

    def place(self) -> int:
        """One pass of the sequencer."""
        with self._db.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '20s'")
            cursor.execute("SELECT position, chain FROM foldlog.log WHERE one = 1 FOR UPDATE")
            position, chain = _row(cursor)
            after, chain = position, bytes(chain)
            cursor.execute(PENDING)
            waiting = cursor.fetchall()
            for shard, first, count, key, at_us, digest in waiting:
                chain = link(chain, shard, first, count, at_us, bytes(digest))
                cursor.execute(
                    PLACE,
                    {"position": position + 1, "first": first, "count": count, "at_us": at_us, "key": key,
                     "digest": bytes(digest), "chain": chain, "shard": shard},
                )  # fmt: skip
                position += count
            for statement in BEHIND:
                cursor.execute(statement, {"after": after})
            cursor.execute(
                "UPDATE foldlog.log SET position = %s, chain = %s WHERE one = 1 AND position = %s",
                (position, chain, after),
            )
            cursor.execute("COMMIT")
        return len(waiting)

    def close(self) -> None:
        self._db.close()


class MysqlProgram:
    """The same for MySQL: no release wrote format 1 there, and it might have written it so."""

    def __init__(self, url: str, shard: str = "run-old") -> None:
        self._shard = shard
        self._seq = 0
        self._db = mysql_connection(url)
        with self._db.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
            cursor.execute("INSERT IGNORE INTO shard (name) VALUES (%s)", (shard,))
            cursor.execute("SELECT shard_id FROM shard WHERE name = %s", (shard,))
            (self._id,) = _row(cursor)

    def turn(self) -> int:
        try:
            self.append(2)
            return self.place()
        except pymysql.err.OperationalError as error:
            if error.args[0] not in (1205, 1213, 1020):  # a lock, a deadlock: again in the next turn, as a program does
                raise
            self._db.rollback()
            return 0

    def append(self, number: int) -> None:
        first = self._seq + 1
        values = _append(self._shard, first, number)
        receipt = (now_us(), number, uuid4().bytes, False, values["digest"])
        with self._db.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            for n in range(number):
                cursor.execute(
                    "INSERT INTO event (shard_id, seq, ts_us, topics, crc, type, body, at_us, count, `key`, keyed, "
                    "digest) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (self._id, first + n, *(values[name][n] for name in ("ts_us", "topics", "crcs", "types", "bodies")),
                     *(receipt if n == 0 else [None] * 5)),
                )  # fmt: skip
            cursor.execute(
                "INSERT INTO news (shard_id, first_seq, at_us) VALUES (%s, %s, %s)", (self._id, first, receipt[0])
            )
            cursor.execute("COMMIT")
        self._seq += number

    def place(self) -> int:
        """One pass of the sequencer."""
        with self._db.cursor() as cursor:
            cursor.execute("START TRANSACTION")
            cursor.execute("SELECT position, chain FROM log WHERE one = 1 FOR UPDATE")
            position, chain = _row(cursor)
            cursor.execute(
                "SELECT s.shard_id, s.name, n.first_seq, e.count, e.`key`, n.at_us, e.digest, e.type FROM news n "
                "JOIN event e ON e.shard_id = n.shard_id AND e.seq = n.first_seq "
                "JOIN shard s ON s.shard_id = n.shard_id ORDER BY n.at_us, n.shard_id, n.first_seq LIMIT 50"
            )
            waiting = cursor.fetchall()
            for id_, shard, first, count, key, at_us, digest, kind in waiting:
                chain = link(chain, shard.decode(), first, count, at_us, digest)
                cursor.execute(
                    "INSERT INTO timeline (position, shard_id, first_seq, count, at_us, `key`, digest, chain) "
                    "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    (position + 1, id_, first, count, at_us, key, digest, chain),
                )
                cursor.execute("INSERT INTO timeline_type (type, position) VALUES (%s, %s)", (kind, position + 1))
                cursor.execute("DELETE FROM news WHERE shard_id = %s AND first_seq = %s", (id_, first))
                cursor.execute(
                    "UPDATE shard SET ordered_seq = ordered_seq + %s WHERE shard_id = %s AND ordered_seq = %s",
                    (count, id_, first - 1),
                )
                position += count
            cursor.execute("UPDATE log SET position = %s, chain = %s WHERE one = 1", (position, chain))
            cursor.execute("COMMIT")
        return len(waiting)

    def close(self) -> None:
        self._db.close()


def mysql_connection(url: str) -> pymysql.Connection[Any]:
    """A plain connection to the database of a URL; each statement commits by itself."""
    parts = sa.make_url(url)
    options = {"unix_socket": parts.query["unix_socket"]} if "unix_socket" in parts.query else {}
    return pymysql.connect(
        host=parts.host or "localhost",
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.database,
        charset="utf8mb4",
        autocommit=True,
        **options,  # type: ignore[arg-type]
    )


def _append(shard: str, first: int, number: int) -> dict[str, Any]:
    """The values of an append of log messages."""
    bodies = [b"\x93\x81\xa4text\xa3old" for _ in range(number)]
    ts_us, kind, topics = now_us(), "OLD_NEWS", 1
    return {
        "shard": shard,
        "first": first,
        "count": number,
        "key": str(uuid4()),
        "keyed": False,
        "digest": UUID(int=first).bytes,
        "ts_us": [ts_us] * number,
        "topics": [topics] * number,
        "types": [kind] * number,
        "bodies": bodies,
        "crcs": [_crc(shard, first + n, ts_us, topics, kind, body) for n, body in enumerate(bodies)],
    }


def _crc(shard: str, seq: int, ts_us: int, topics: int, kind: str, body: bytes) -> int:
    return crc32(body, crc32(f"{shard}\0{seq}\0{kind}\0{ts_us}\0{topics}".encode()))


def _row(cursor: Any) -> tuple[Any, ...]:
    row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None
    return row


@contextmanager
def at_work(*makers: Callable[[], Program]) -> Iterator[list[int]]:
    """Old programs that go on, a thread each, until the block ends; what they have placed. Raises what stopped one."""
    placed = [0] * len(makers)
    stop, begun = threading.Event(), threading.Barrier(len(makers) + 1)
    errors: list[BaseException] = []

    def run(number: int, make: Callable[[], Program]) -> None:
        try:
            with closing(make()) as program:
                program.turn()
                begun.wait(30)
                while not stop.is_set():
                    placed[number] += program.turn()
                    time.sleep(0.001)
        except BaseException as error:
            errors.append(error)
            begun.abort()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(makers)]
    for thread in threads:
        thread.start()
    try:
        begun.wait(30)
        yield placed
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        if errors:
            raise errors[0]
