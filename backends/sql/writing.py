"""Appending: tries, commits, and what became of a commit whose answer was lost.

Promises: a batch is recorded whole or not at all, and once; appends of different shards never wait for each other; an
append of a group is refused alone. An append to a shard whose end this process knows is one round trip.
Not here: what is written (appending.py), the statements (the dialect), positions (ordering.py).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import islice, repeat

from ...engine.errors import ConflictError, LogMoved, UnavailableError, UsageError
from ...engine.log.port import Append, Outcome, Receipt
from .appending import End, Order, Written, check_fits, check_records, end_of, fits, landed, look, written
from .database import Database, Transaction
from .dialect import Mode, Values
from .errors import OutcomeUnknownError, RacedError
from .forked import begin_anew_in_children
from .rows import Row

ENDS = 10_000  #: shards whose end a process remembers
PATIENCE_S = 30  #: how long an append runs after the end of a shard that others append to
TRIES = 3  #: of a commit whose answer was lost


class Writer:
    """The appends of one process. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._dialect = database.dialect
        self._ends: dict[str, End] = {}
        self._most_alone = database.dialect.most_alone()
        self.begin_anew()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        self._lock = threading.Lock()

    def append(self, append: Append) -> Receipt:
        return self._append(Order.of(append))

    def _append(self, order: Order) -> Receipt:
        append, lost = order.append, 0
        check_records(append)
        end_s: float | None = None
        while True:
            end = self._place(order)
            if isinstance(end, Receipt):
                return end
            try:
                return self._commit([(order, end)])[0]
            except RacedError:
                self._forget(append.shard)
                end_s = end_s or time.monotonic() + PATIENCE_S
                if time.monotonic() > end_s:
                    raise UnavailableError(
                        f"appending to shard {append.shard}: other writers were faster for {PATIENCE_S} s"
                    ) from None
            except OutcomeUnknownError:
                self._forget(append.shard)
                lost += 1
                if lost == TRIES:
                    raise

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        """All in one commit, if each can be. Else one after the other: an append that lost a race must not fail those
        beside it."""
        orders = [Order.of(append) for append in appends]
        for again in range(TRIES):
            try:
                return self._together(orders)
            except RacedError:
                break
            except OutcomeUnknownError:
                if again == TRIES - 1:
                    raise
        return [self._outcome(order) for order in orders]

    def _together(self, orders: Sequence[Order]) -> list[Outcome]:
        keys = [(order.append.shard, order.append.key) for order in orders if order.append.key]
        if len(set(keys)) < len(keys):
            raise RacedError  # the second append under a key has to see the first
        ends: dict[str, End] = {}
        outcomes: list[Outcome | None] = [None] * len(orders)
        going: list[tuple[Order, End]] = []
        for index, order in enumerate(orders):
            try:
                check_records(order.append)
                end = self._place(order, ends)
            except (ConflictError, UsageError) as refused:
                outcomes[index] = refused
                continue
            if isinstance(end, Receipt):
                outcomes[index] = end
            else:
                going.append((order, end))
                after = End(end.shard_id, end.last_seq + 1, len(order.append.records), end.at_us, sure=False)
                ends[order.append.shard] = after
        receipts: Iterator[Outcome]
        try:
            receipts = iter(self._commit(going) if going else ())
        except LogMoved as refused:
            receipts = repeat(refused)
        except (RacedError, OutcomeUnknownError):
            for order, _ in going:
                self._forget(order.append.shard)
            raise
        return [next(receipts) if outcome is None else outcome for outcome in outcomes]

    def _outcome(self, order: Order) -> Outcome:
        """One of a group by itself; what was tried together may still land."""
        try:
            return self._append(order)
        except (ConflictError, UsageError, LogMoved) as refused:
            return refused

    def _place(self, order: Order, group: dict[str, End] | None = None) -> End | Receipt:
        """Where the append goes, or the receipt it has already. `group`: ends of the shards that its group goes to."""
        append = order.append
        if before := self._landed(order):
            return before
        ahead = group.get(append.shard) if group else None
        end = ahead or self._ends.get(append.shard)
        if end is None or append.key is not None or order.tried or not (ahead or fits(append, end)):
            found = look(self._ask, self._dialect, append)
            # Once more: what lands behind the look takes the next seq, and this append is refused; what landed just
            # before it would be taken for another's, and recorded twice.
            if before := self._landed(order):
                return before
            if isinstance(found, Receipt):
                return found
            end = ahead or found
        check_fits(append, end)
        return end

    def _landed(self, order: Order) -> Receipt | None:
        return landed(self._ask, self._dialect, order) if order.tried else None

    def _ask(self, sql: str, values: Values) -> list[Row]:
        return self._database.ask("looking where a shard ends", sql, values)

    # -- commits ------------------------------------------------------------------------------------------------

    def _commit(self, going: Sequence[tuple[Order, End]]) -> list[Receipt]:
        """Write appends in one commit. Raises RacedError where another writer was faster."""
        deed = f"appending to shard {going[0][0].append.shard}"
        if len(going) > 1:
            deed += f" and {len(going) - 1} times more"
        try:
            batch = _known(going)
            if batch is not None and sum([one.size for one in batch]) <= self._most_alone:
                return self._remember(batch, self._alone(deed, batch))
            mode = Mode.WRITE if self._dialect.durable else Mode.QUICK
            batch, times = self._database.run(deed, lambda tx: self._write(tx, going, batch), mode=mode)
        except OutcomeUnknownError:
            for order, end in going:
                order.tried.add(end.last_seq + 1)
            raise
        return self._remember(batch, times)

    def _alone(self, deed: str, batch: list[Written]) -> list[int]:
        turn = _in_turn(batch)
        try:
            times = self._database.alone(deed, lambda cursor: self._dialect.write_alone(cursor, turn), writing=True)
        except self._dialect.error as error:
            raise self._raced(error) from error
        return _in_order(batch, times)

    def _write(
        self, tx: Transaction, going: Sequence[tuple[Order, End]], batch: list[Written] | None = None
    ) -> tuple[list[Written], list[int]]:
        """Write appends in an open transaction. Without a `batch`, shards that are new are made first."""
        batch = batch or self._numbered(tx, going)
        try:
            times = self._dialect.write(tx, _in_turn(batch))
        except self._dialect.error as error:
            raise self._raced(error) from error
        return batch, _in_order(batch, times)

    def _numbered(self, tx: Transaction, going: Sequence[tuple[Order, End]]) -> list[Written]:
        new = {order.append.shard for order, end in going if end.shard_id is None}
        made = {shard: self._dialect.create_shard(tx, shard) for shard in sorted(new)}
        return [
            written(order, end, end.shard_id if end.shard_id is not None else made[order.append.shard])
            for order, end in going
        ]

    def _raced(self, error: Exception) -> Exception:
        return RacedError() if self._dialect.is_taken(error) else error

    # -- what is remembered -------------------------------------------------------------------------------------

    def _remember(self, batch: Sequence[Written], times: Sequence[int]) -> list[Receipt]:
        receipts = [one.receipt(at_us) for one, at_us in zip(batch, times, strict=True)]
        ends = self._ends
        with self._lock:
            for one, receipt in zip(batch, receipts, strict=True):
                ends[receipt.shard] = end_of(receipt, one.shard_id)
            if len(ends) > ENDS:  # the shards that were written to first are the likeliest to have ended
                for shard in list(islice(ends, len(ends) - ENDS // 2)):
                    del ends[shard]
        return receipts

    def _forget(self, shard: str) -> None:
        with self._lock:
            self._ends.pop(shard, None)


def _known(going: Sequence[tuple[Order, End]]) -> list[Written] | None:
    """What is to be written, if the numbers of all shards are known."""
    batch = []
    for order, end in going:
        if end.shard_id is None:
            return None
        batch.append(written(order, end, end.shard_id))
    return batch


def _in_turn(batch: list[Written]) -> list[Written]:
    """By shard and seq: two groups that write the same shards in different orders would wait for each other."""
    return batch if len(batch) == 1 else sorted(batch, key=_where)


def _in_order(batch: list[Written], times: Sequence[int] | None) -> list[int]:
    """The times of a batch that was written in turn. Raises RacedError if it was not."""
    if times is None:
        raise RacedError
    if len(batch) == 1:
        return list(times)
    by_place = dict(zip(map(_where, _in_turn(batch)), times, strict=True))
    return [by_place[_where(one)] for one in batch]


def _where(one: Written) -> tuple[int, int]:
    return one.shard_id, one.first_seq
