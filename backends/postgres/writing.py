"""Appending: tries, commits, and what became of a commit whose answer was lost.

Promises: a batch is recorded whole or not at all, and once; appends of different shards never wait for each other; an
append of a group is refused alone.
Not here: the statements of one append, and who wins a race (appending.py); positions (ordering.py).
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TypeVar

import psycopg2

from ...engine.errors import ConflictError, UnavailableError, UsageError
from ...engine.log.port import Append, Outcome, Receipt
from .appending import Order, RacedError, Tail, fits, insert, landed, look, tail_of
from .database import Database, Mode, Transaction
from .errors import OutcomeUnknownError, translate

T = TypeVar("T")

TAILS = 10_000  #: shards whose end a process remembers
PATIENCE_S = 30  #: how long an append runs after the end of a shard that others append to


class Writer:
    """The appends of one process. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mode = Mode.WRITE if database.address.durability == "full" else Mode.QUICK
        self._tails: OrderedDict[str, Tail] = OrderedDict()
        self._lock = threading.Lock()

    def append(self, append: Append) -> Receipt:
        order = Order.of(append)
        deed = f"appending to shard {append.shard}"
        for _ in _tries(deed):
            try:
                return self._commit(deed, [order], lambda tx: self._write(tx, order, {}))
            except RacedError:
                self._forget(append.shard)
        raise AssertionError("_tries ends by raising")

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        orders = [Order.of(append) for append in appends]
        # By shard: two groups that lock the same shards in different orders would wait for each other.
        turns = sorted(range(len(orders)), key=lambda index: orders[index].append.shard)

        def work(tx: Transaction) -> list[Outcome]:
            ends: dict[str, Tail] = {}
            answers = {index: self._guarded(tx, orders[index], ends) for index in turns}
            return [answers[index] for index in range(len(orders))]

        return self._commit(f"appending to {len(orders)} shards at once", orders, work) if orders else []

    def _commit(self, deed: str, orders: list[Order], work: Callable[[Transaction], T]) -> T:
        """Commit what `work` writes; where the answer is lost, look what became of it."""
        for last in (False, False, True):
            try:
                answer = self._database.run(deed, work, mode=self._mode)
            except OutcomeUnknownError:
                for order in orders:
                    if order.written:
                        order.tried.add((order.written.first_seq, order.written.at_us))
                if last:
                    raise
                continue
            for order in orders:
                if order.written:
                    self._remember(order.written)
            return answer
        raise AssertionError("the last try returns or raises")

    def _guarded(self, tx: Transaction, order: Order, ends: dict[str, Tail]) -> Outcome:
        """One append of a group, behind a savepoint: refused alone, it leaves the others as they are."""
        shard = order.append.shard
        deed = f"appending to shard {shard}"
        for _ in _tries(deed):
            tx.execute("SAVEPOINT one")
            try:
                receipt = self._write(tx, order, ends)
            except (ConflictError, UsageError, RacedError, psycopg2.DataError) as refused:
                tx.execute("ROLLBACK TO SAVEPOINT one")
                ends.pop(shard, None)
                self._forget(shard)
                if isinstance(refused, psycopg2.Error):
                    return translate(deed, refused) or refused
                if not isinstance(refused, RacedError):
                    return refused
            else:
                tx.execute("RELEASE SAVEPOINT one")
                return receipt
        raise AssertionError("_tries ends by raising")

    def _write(self, tx: Transaction, order: Order, ends: dict[str, Tail]) -> Receipt:
        """Write one append in an open transaction. `ends`: of the shards this transaction has written to."""
        order.written = None
        append = order.append
        if order.tried and (before := landed(tx, order)):
            return before
        tail = ends.get(append.shard) or self._tails.get(append.shard)
        if tail is None or append.key is not None or order.tried or not fits(append, tail):
            found = look(tx, append)
            if isinstance(found, Receipt):
                return found
            tail = found
        order.written = insert(tx, order, tail)
        ends[append.shard] = tail_of(order.written)
        return order.written

    def _remember(self, receipt: Receipt) -> None:
        with self._lock:
            self._tails[receipt.shard] = tail_of(receipt)
            self._tails.move_to_end(receipt.shard)
            if len(self._tails) > TAILS:
                self._tails.popitem(last=False)

    def _forget(self, shard: str) -> None:
        with self._lock:
            self._tails.pop(shard, None)


def _tries(deed: str) -> Iterator[int]:
    """Counts tries; raises UnavailableError when others have been faster for too long."""
    end = time.monotonic() + PATIENCE_S
    for turn in count():
        yield turn
        if time.monotonic() > end:
            raise UnavailableError(f"{deed}: other writers were faster {turn + 1} times in {PATIENCE_S} s")
