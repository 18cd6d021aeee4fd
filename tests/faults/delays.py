"""Slow transactions on purpose, in the process or the database of a test, without touching the backends.

SQLite: `slow_sqlite` makes connections that wait between an append's time stamp, its INSERT and its COMMIT, and roll
some back. PostgreSQL and MySQL: `slow_postgres` and `slow_mysql` do the same in triggers on the event table. All note
when a transaction began and when it came to its COMMIT (MySQL: its last wait before that); times are microseconds since
1970, by the one clock of the machine.
"""

from __future__ import annotations

import random
import re
import sqlite3
import threading
import time
from contextlib import closing
from typing import Any

import psycopg2
from servers import mysql

from foldlog.backends.objectstore.stores.local import LocalObjects

HELD_S = 0.02  #: how long a transaction is held open at most
ROLLED_BACK = 0.1  #: the share of appends that are rolled back

OBJECT_S = 0.01  #: how long a file of a log on objects takes longer, at most

noted = threading.local()  #: `begun` and `closing` of this thread's last append (SQLite)


def now_us() -> int:
    return time.time_ns() // 1000


def slow_objects(seed: int) -> None:
    """Each file of a log on objects takes its time before it is made, and after it: an append is done once both of its
    files are there."""
    really, dice = LocalObjects.create, random.Random(seed)

    def create(self: LocalObjects, name: str, data: bytes) -> bool:
        time.sleep(dice.choice([0, dice.random() * OBJECT_S]))
        made = really(self, name, data)
        time.sleep(dice.choice([0, dice.random() * OBJECT_S]))
        return made

    LocalObjects.create = create  # type: ignore[method-assign]


class SlowConnection(sqlite3.Connection):
    """Holds the transactions of appends open, and fails some of them."""

    dice = random.Random()
    rolled_back = ROLLED_BACK
    look_s = 0.0  #: how long a SELECT waits at most

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        word = sql.lstrip().split(None, 1)[0].upper()
        if word == "INSERT" and "INTO event" in sql and not self.in_transaction:
            return self._append(sql, *args)
        if word == "SELECT" and self.look_s and self.dice.random() < 0.3:
            time.sleep(self.dice.random() * self.look_s)
        return super().execute(sql, *args)

    def _append(self, sql: str, *args: Any) -> sqlite3.Cursor:
        noted.begun = now_us()
        time.sleep(self.dice.choice([0, self.dice.random() * HELD_S]))
        super().execute("BEGIN IMMEDIATE")
        try:
            cursor = super().execute(sql, *args)
            time.sleep(self.dice.random() * HELD_S / 4)
            if self.dice.random() < self.rolled_back:
                error = sqlite3.OperationalError("injected: rolled back")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[misc]
                raise error
            noted.closing = now_us()
            super().execute("COMMIT")
        except BaseException:
            if self.in_transaction:
                super().execute("ROLLBACK")
            raise
        return cursor


def slow_sqlite(seed: int, *, rolled_back: float = ROLLED_BACK, look_s: float = 0.0) -> None:
    """From now on every SQLite connection of this process is a slow one."""
    kind = type("Slow", (SlowConnection,), {"rolled_back": rolled_back, "look_s": look_s, "dice": random.Random(seed)})
    connect = sqlite3.connect

    def slow(*args: Any, factory: type[sqlite3.Connection] = sqlite3.Connection, **options: Any) -> sqlite3.Connection:
        return connect(*args, factory=kind if factory is sqlite3.Connection else factory, **options)

    sqlite3.connect = slow  # type: ignore[assignment]


TRIGGERS = """
CREATE TABLE {schema}.probe (shard_id bigint, seq bigint, begun bigint, closing bigint);
CREATE FUNCTION {schema}.hold() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE begun bigint := extract(epoch FROM clock_timestamp()) * 1000000;
BEGIN
    PERFORM pg_sleep(random() * {held_s});
    IF random() < {rolled_back} THEN
        RAISE EXCEPTION 'injected: rolled back' USING ERRCODE = '53100';
    END IF;
    INSERT INTO {schema}.probe VALUES (NEW.{shard}, NEW.{seq}, begun, NULL);
    RETURN NEW;
END $$;
CREATE FUNCTION {schema}.close() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE {schema}.probe SET closing = extract(epoch FROM clock_timestamp()) * 1000000
    WHERE shard_id = NEW.{shard} AND seq = NEW.{seq};
    RETURN NULL;
END $$;
CREATE TRIGGER hold BEFORE INSERT ON {schema}.{table} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {schema}.hold();
CREATE CONSTRAINT TRIGGER close AFTER INSERT ON {schema}.{table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION {schema}.close();
"""


def slow_postgres(
    url: str,
    *,
    schema: str = "foldlog",
    table: str = "event",
    shard: str = "shard_id",
    seq: str = "seq",
    when: str = "NEW.count IS NOT NULL",
    rolled_back: float = ROLLED_BACK,
) -> None:
    """From now on inserts of an append's first row into the table are slow, and some fail."""
    names = {"schema": schema, "table": table, "shard": shard, "seq": seq, "when": when}
    with psycopg2.connect(url) as db, db.cursor() as cursor:
        cursor.execute(TRIGGERS.format(**names, held_s=HELD_S, rolled_back=rolled_back))
    db.close()


def probe_postgres(url: str, *, schema: str = "foldlog") -> dict[tuple[str, int], tuple[int, int]]:
    """When the transaction of each append began, and when it came to its COMMIT, by shard and first seq."""
    with psycopg2.connect(url) as db, db.cursor() as cursor:
        cursor.execute(
            f"SELECT s.name, p.seq, p.begun, p.closing FROM {schema}.probe p JOIN {schema}.shard s USING (shard_id)"
        )
        found = {(name, seq): (begun, closing) for name, seq, begun, closing in cursor.fetchall()}
    db.close()
    return found


# 1021 is "disk full": nothing a transaction could be tried again for.
MYSQL_TRIGGERS = """
CREATE TABLE probe (shard_id bigint, seq bigint, begun bigint, closing bigint);
CREATE TRIGGER hold_before BEFORE INSERT ON {table} FOR EACH ROW BEGIN IF {when} THEN
    SET @begun = UNIX_TIMESTAMP(SYSDATE(6)) * 1000000;
    DO SLEEP(RAND() * {held_s});
    IF RAND() < {rolled_back} THEN
        SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1021, MESSAGE_TEXT = 'injected: rolled back';
    END IF;
END IF; END;
CREATE TRIGGER hold_after AFTER INSERT ON {table} FOR EACH ROW BEGIN IF {when} THEN
    DO SLEEP(RAND() * {held_s} / 4);
    INSERT INTO probe VALUES ({shard}, {seq}, @begun, UNIX_TIMESTAMP(SYSDATE(6)) * 1000000);
END IF; END
"""


def slow_mysql(
    url: str,
    *,
    table: str = "event",
    shard: str = "NEW.shard_id",
    seq: str = "NEW.seq",
    when: str = "NEW.count IS NOT NULL",
    rolled_back: float = ROLLED_BACK,
) -> None:
    """As `slow_postgres`."""
    names = {"table": table, "shard": shard, "seq": seq, "when": when, "held_s": HELD_S, "rolled_back": rolled_back}
    with closing(mysql.connect(url)) as db, db.cursor() as cursor:
        for statement in re.split(r";\n(?=CREATE)", MYSQL_TRIGGERS.format(**names).strip()):
            cursor.execute(statement)


def probe_mysql(url: str) -> dict[tuple[str, int], tuple[int, int]]:
    """As `probe_postgres`."""
    with closing(mysql.connect(url)) as db, db.cursor() as cursor:
        cursor.execute("SELECT s.name, p.seq, p.begun, p.closing FROM probe p JOIN shard s USING (shard_id)")
        return {(bytes(name).decode(), seq): (begun, ended) for name, seq, begun, ended in cursor.fetchall()}


SLOW = {"postgres": slow_postgres, "mysql": slow_mysql}  #: by the kind of server
PROBE = {"postgres": probe_postgres, "mysql": probe_mysql}
