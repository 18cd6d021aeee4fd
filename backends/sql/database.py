"""Connections and transactions: one bounded pool, and `run`, which every statement of a log goes through.

Promises: each transaction says its isolation level and its time limits itself, so that they hold behind a pooling proxy
and whatever the server's defaults are; a connection that died is never handed out again, and what it had not
committed is tried once more; no connection goes back to the pool inside a transaction.
Not here: what is asked (reading.py, ordering.py, writing.py, life.py, audit.py), how a server is spoken to (Dialect).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.pool import PoolProxiedConnection

from ...engine.errors import UnavailableError, UsageError
from .dialect import Dialect, Mode, Values
from .errors import NO_CONNECTION, AgainError, ConnectionLostError, OutcomeUnknownError, translated
from .forked import begin_anew_in_children
from .rows import Row

T = TypeVar("T")

AT_HAND = 2  #: connections that stay out of the pool between two uses: to check one out costs 20 us
PATIENCE_S = 30  #: how long a transaction that the server rolled back for another's sake is tried again


class Transaction:
    """An open transaction, which begins with its first statement, in the same round trip; without a mode, none: each
    statement is by itself."""

    def __init__(self, cursor: Any, dialect: Dialect, mode: Mode | None) -> None:
        self._cursor = cursor
        self._dialect = dialect
        self._before: tuple[str, ...] = tuple(dialect.begin(cursor, mode)) if mode else ()

    @property
    def begun(self) -> bool:
        return not self._before

    @property
    def cursor(self) -> Any:
        """The driver's own; the transaction has begun."""
        if self._before:
            *first, last = self._before
            self._dialect.send(self._cursor, first, last, None)
            self._before = ()
        return self._cursor

    def execute(self, sql: str, values: Values = None) -> int:
        """Run a statement; the number of rows it touched."""
        before, self._before = self._before, ()
        self._dialect.send(self._cursor, before, self._dialect.spell(sql), values)
        return int(self._cursor.rowcount)

    def all(self, sql: str, values: Values = None) -> list[Row]:
        """Run a query; its rows."""
        self.execute(sql, values)
        return list(self._cursor.fetchall())

    def one(self, sql: str, values: Values = None) -> Row | None:
        """Run a query; its first row, or None."""
        self.execute(sql, values)
        row: Row | None = self._cursor.fetchone()
        return row


class _Held(NamedTuple):
    """A connection in use, and the pool it came from."""

    raw: Any
    pooled: PoolProxiedConnection
    pool: sa.Pool
    cursor: Any


class Database:
    """The database of one log. Thread-safe."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self.engine = dialect.engine()
        self._lock = threading.Lock()
        self._at_hand: deque[_Held] = deque()  #: ready for the next use; taken and put back at the right end
        self._closed = False
        # However a connection comes back: where an interrupt had it forgotten, the garbage collector brings it.
        sa.event.listen(self.engine, "reset", lambda raw, _record, _state: dialect.give_back(raw))
        begin_anew_in_children(self)

    def run(
        self, deed: str, work: Callable[[Transaction], T], *, mode: Mode = Mode.READ, repeatable: bool = False
    ) -> T:
        """The answer of `work` in a transaction of its own, committed. `work` may be called more than once.

        `repeatable`: doing it twice is as good as once, so it is done again where the answer to COMMIT is lost.
        Raises OutcomeUnknownError if that answer was lost, UnavailableError if the connection was lost before.
        """
        return self._tried(deed, lambda deed: self._once(deed, work, mode), repeatable=repeatable)

    def alone(self, deed: str, work: Callable[[Any], T], *, writing: bool = False) -> T:
        """The answer of `work`, called with a cursor, outside a transaction: each statement commits by itself.

        Raises OutcomeUnknownError if the connection was lost and `writing`.
        """
        return self._tried(deed, lambda deed: self._alone(deed, work, writing), repeatable=not writing)

    def ask(self, deed: str, sql: str, values: Values = None) -> list[Row]:
        """The rows of one query, which is a snapshot by itself, in one round trip."""

        def work(cursor: Any) -> list[Row]:
            self.dialect.send(cursor, self.dialect.limits, self.dialect.spell(sql), values)
            return list(cursor.fetchall())

        return self.alone(deed, work)

    def ask_in(self, deed: str, work: Callable[[Transaction], T]) -> T:
        """The answer of `work`, each of whose statements is a snapshot by itself."""
        return self.alone(deed, lambda cursor: work(Transaction(cursor, self.dialect, None)))

    def _tried(self, deed: str, once: Callable[[str], T], *, repeatable: bool) -> T:
        deed = f"{deed} at {self.dialect.shown}"
        end, lost = time.monotonic() + PATIENCE_S, False
        while True:
            try:
                return once(deed)
            except AgainError:
                if time.monotonic() > end:
                    raise
            except ConnectionLostError:
                # After a restart of the server every connection at hand is dead, and dropped by now: the second try
                # gets a new one.
                if lost:
                    raise
                lost = True
            except OutcomeUnknownError:
                if not repeatable or lost:
                    raise
                lost = True

    def _once(self, deed: str, work: Callable[[Transaction], T], mode: Mode) -> T:
        committing = False
        held = self._take(deed)
        try:
            tx = Transaction(held.cursor, self.dialect, mode)
            answer = work(tx)
            if tx.begun:
                committing = mode.writes
                if not self.dialect.commit(held.cursor, mode):
                    raise UnavailableError(f"{deed}: the server rolled the transaction back")
        except BaseException as error:
            lost = self._clear(held)
            if not isinstance(error, self.dialect.error):
                raise
            raise self._meaning(deed, error, lost=lost, unknown=committing, writing=mode.writes) from error
        self._put_back(held)
        return answer

    def _alone(self, deed: str, work: Callable[[Any], T], writing: bool) -> T:
        held = self._take(deed)
        try:
            answer = work(held.cursor)
        except BaseException as error:
            lost = self._clear(held)
            if not isinstance(error, self.dialect.error) or (not lost and self.dialect.is_taken(error)):
                raise
            raise self._meaning(deed, error, lost=lost, unknown=writing, writing=writing) from error
        self._put_back(held)
        return answer

    def _meaning(self, deed: str, error: Exception, *, lost: bool, unknown: bool, writing: bool) -> Exception:
        if lost and unknown:
            return OutcomeUnknownError(f"{deed}: the connection was lost during the commit")
        if lost:
            return ConnectionLostError(f"{deed}: the connection was lost: {self.dialect.sentence(error)}")
        return self.dialect.translate(deed, error, writing=writing) or error

    # -- connections --------------------------------------------------------------------------------------------

    def begin_anew(self) -> None:
        """Forked: the parent goes on using these connections, so they are not ours to close."""
        self._lock = threading.Lock()
        _forget(self._at_hand)
        self.engine.dispose(close=False)

    def _take(self, deed: str) -> _Held:
        if self._closed:
            raise UsageError(f"{deed}: the log is closed")
        try:
            return self._at_hand.pop()
        except IndexError:
            return self._check_out(deed)

    def _check_out(self, deed: str) -> _Held:
        pool = self.engine.pool
        pooled = self._connect(deed)
        raw = pooled.driver_connection
        with self.translated(deed):
            try:
                self.dialect.ready(raw)
                return _Held(raw, pooled, pool, raw.cursor())  # type: ignore[union-attr]
            except BaseException:
                pooled.invalidate()
                pooled.close()
                raise

    def _connect(self, deed: str) -> PoolProxiedConnection:
        try:
            with self.translated(deed):
                return self.engine.raw_connection()
        except UnavailableError as error:
            if not error.has_own_remedy:
                error.remedy = NO_CONNECTION
            raise

    def _put_back(self, held: _Held) -> None:
        if len(self._at_hand) < AT_HAND and held.pool is self.engine.pool and not self._closed:
            self._at_hand.append(held)
            if self._closed:  # meanwhile
                self._let_go()
            return
        self._check_in(held)

    def _check_in(self, held: _Held) -> None:
        try:
            if not self.dialect.is_closed(held.raw):
                held.cursor.close()
        except self.dialect.error:  # it died while it lay there
            held.pooled.invalidate()
        if held.pool is not self.engine.pool:  # closed meanwhile; in the old pool it would stay open until collected
            held.pooled.invalidate()
        held.pooled.close()

    def _clear(self, held: _Held) -> bool:
        """End a failed transaction; whether the connection is gone."""
        if not self.dialect.is_closed(held.raw):
            try:
                self.dialect.roll_back(held.cursor)
            except self.dialect.error:
                if not self.dialect.is_closed(held.raw):
                    held.raw.close()
            else:
                self._put_back(held)
                return False
        held.pooled.invalidate()
        held.pooled.close()
        self._renew(held.pool)
        return True

    def _renew(self, pool: sa.Pool) -> None:
        """Drop every idle connection of a pool in which one was found dead."""
        with self._lock:
            if self.engine.pool is pool and not self._closed:  # else another thread has just done it
                self._let_go()
                self.engine.dispose()

    def _let_go(self) -> None:
        while self._at_hand:
            try:
                held = self._at_hand.pop()
            except IndexError:  # another thread took it
                return
            self._check_in(held)

    @contextmanager
    def outside(self, deed: str) -> Iterator[Any]:
        """A connection for what runs in no transaction; errors as foldlog errors."""
        held = self._take(deed)
        with self.translated(deed):
            try:
                yield held.raw
            except BaseException:
                self._clear(held)
                raise
        self._put_back(held)

    def translated(self, deed: str) -> AbstractContextManager[None]:
        """Errors of the driver, and of the pool around it, as foldlog errors; the unforeseen passes unchanged."""
        return translated(deed, self.dialect.error, self.dialect.translate)

    def close(self) -> None:
        """Close the pool. Idempotent."""
        with self._lock:
            self._closed = True
            self._let_go()
            self.engine.dispose()


def _forget(held: deque[_Held]) -> None:
    """Leave connections to the process that they belong to: neither closed nor given back."""
    for one in held:
        one.pooled.detach()
        _FOREIGN.append(one)
    held.clear()


_FOREIGN: list[_Held] = []  #: of a process that this one was forked from; collected, they would be closed
