"""Waking followers: the sequencer notifies, a connection of their own listens.

Promises: nobody listens through a proxy that pools connections by transaction, where LISTEN would be left in somebody
else's session; what is missed costs a follower its usual pause, for it polls as well.
While somebody listens, the connection holds an advisory lock, shared with other listeners: writers see by it, without
a table that a killed process would leave a row in, that it is worth their while to sequence at once.
"""

from __future__ import annotations

import select
import threading
import time
from typing import Any
from zlib import crc32

import psycopg2

from ..sql.database import Database
from ..sql.forked import begin_anew_in_children
from .dialect import PostgresDialect

SPACE = 0x666F6C66  #: with the hash of a schema, the advisory lock of its listeners; any constant would do
AGAIN_S = 10.0  #: until a connection that could not listen is tried anew
ASK = "SELECT pg_catalog.pg_try_advisory_xact_lock(%(space)s, %(schema)s)"


class Waker:
    """The listeners of one process: one connection, whichever thread waits reads it. Thread-safe."""

    def __init__(self, database: Database, dialect: PostgresDialect) -> None:
        self._database = database
        self._secrets = dialect.address.secrets
        self._channel = dialect.channel
        self._number = _number(dialect.schema)
        self._heard = 0  #: notices so far
        self._mine = threading.local()  #: of them, how many this thread has been told of
        self._closed = False
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """Forked: the connection is the parent's, and the driver does not close it here."""
        self._reading = threading.Lock()
        self._news = threading.Condition()
        self._raw: Any = None
        self._not_before = 0.0

    def wait(self, timeout_us: int) -> None:
        """Sleep until the sequencer has told of news since this thread was here last, or for `timeout_us`."""
        end = time.monotonic() + timeout_us / 1e6
        while not self._told() and (left := end - time.monotonic()) > 0 and not self._closed:
            if not self._reading.acquire(blocking=False):  # another thread reads for all
                with self._news:
                    self._news.wait_for(lambda: self._heard != getattr(self._mine, "heard", 0), left)
                continue
            try:
                self._listen(left)
            finally:
                self._reading.release()

    def _told(self) -> bool:
        told = getattr(self._mine, "heard", None)
        self._mine.heard = self._heard
        return told is not None and told != self._heard

    def _listen(self, seconds: float) -> None:
        raw = self._connection()
        if raw is None:
            time.sleep(seconds)
            return
        try:
            if not raw.notifies:
                if not select.select([raw], (), (), seconds)[0]:
                    return
                raw.poll()
            if raw.notifies:
                raw.notifies.clear()
                with self._news:
                    self._heard += 1
                    self._news.notify_all()
        except (psycopg2.Error, OSError, ValueError):  # it went away; until it is back, polling has to do
            self._drop()

    def _connection(self) -> Any:
        if self._raw is None and time.monotonic() >= self._not_before:
            self._not_before = time.monotonic() + AGAIN_S
            self._raw = self._connect()
        return self._raw

    def _connect(self) -> Any:
        # Beside the pool: it is in use for as long as somebody follows.
        engine = self._database.engine
        arguments, options = engine.dialect.create_connect_args(engine.url)
        try:
            raw = psycopg2.connect(*arguments, **{**options, **self._secrets})
        except psycopg2.Error:
            return None
        try:
            raw.autocommit = True
            with raw.cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery()")
                pid, standby = cursor.fetchone()
                # A proxy gives out a number of its own; a standby refuses LISTEN.
                if pid != raw.info.backend_pid or standby:
                    raw.close()
                    return None
                lock = "SELECT pg_catalog.pg_advisory_lock_shared(%s, %s)"
                cursor.execute(lock, (SPACE, self._number))
                cursor.execute(f'LISTEN "{self._channel}"')
        except psycopg2.Error:
            raw.close()
            return None
        return raw

    def is_followed(self) -> bool:
        """Whether anybody listens, in whatever process."""
        values = {"space": SPACE, "schema": self._number}
        return not self._database.ask("looking for followers", ASK, values)[0][0]

    def _drop(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = None

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._closed = True
        with self._news:
            self._news.notify_all()
        with self._reading:  # at most until the pause of who reads ends
            self._drop()


def _number(schema: str) -> int:
    """A schema as the second half of an advisory lock: 32 bits with a sign."""
    number = crc32(schema.encode())
    return number - (1 << 32) if number >= 1 << 31 else number
