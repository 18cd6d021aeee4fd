"""The port on a SQL server: which question goes to which module, and whether it may write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from uuid import UUID

import sqlalchemy as sa

from ...engine.errors import ReadOnlyError, UnavailableError, UsageError
from ...engine.log.port import (
    TRIMMABLE,
    Append,
    Entry,
    Epoch,
    Gate,
    Head,
    Outcome,
    Placed,
    Receipt,
    Shard,
    ShardState,
    Stored,
    Weight,
)
from . import audit, life, moving, ordering, reading, trim, typed
from .database import Database, Transaction
from .dialect import Dialect, Mode
from .errors import OutcomeUnknownError, RacedError
from .rows import BIGGEST
from .schema import prepare
from .writing import Writer

T = TypeVar("T")

FENCE_TRIES = 100  #: a fence that loses a race against an append tries again; each time the append has ended


class SqlBackend:
    """One log in one schema of a SQL server's database."""

    looks = 1  #: `pending` is one statement, and so one snapshot

    def __init__(self, dialect: Dialect, *, read_only: bool = False) -> None:
        self.url = dialect.shown
        self._read_only = read_only
        self._dialect = dialect
        self._database = Database(dialect)
        self._writer = Writer(self._database)
        try:
            prepare(self._database, read_only=read_only)
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}{' (read only)' if self._read_only else ''}>"

    @property
    def engine(self) -> sa.Engine:
        """The database and its one pool, for tables beside those of the log."""
        return self._database.engine

    @property
    def schema(self) -> str:
        """The schema that holds the log's tables."""
        return self._dialect.schema

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, append: Append) -> Receipt:
        self._check_writable()
        return self._writer.append(append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        self._check_writable()
        return self._writer.append_group(appends) if appends else []

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        return self._change("giving positions", lambda tx: ordering.place(tx, self._dialect, placed, after))

    def seal(self, shard: str) -> bool:
        return self._change(f"sealing shard {shard}", lambda tx: life.seal(tx, self._dialect, shard))

    def fence(self, shard: str) -> None:
        for last in [False] * (FENCE_TRIES - 1) + [True]:
            try:
                return self._change(f"fencing shard {shard}", lambda tx: life.fence(tx, self._dialect, shard))
            except RacedError:
                if last:
                    raise UnavailableError(f"fencing shard {shard}: appends were faster {FENCE_TRIES} times") from None

    def purge(self, shard: str, *, keep: bool) -> None:
        deed = f"purging shard {shard}"
        self._change(deed, lambda tx: life.purge(tx, self._dialect, shard, keep), mode=Mode.BULK)

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        deed = "weighing the log"
        return self._database.run(deed, lambda tx: trim.weigh(tx, retention, through, shard), mode=Mode.AUDIT)

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        self._check_writable()
        if retention not in TRIMMABLE:
            raise UsageError(f"records of retention class {retention} go with their run, or never; not by a trim")
        freed, after = Weight(), 0
        while page := self._database.ask_in("trimming", lambda tx, after=after: trim.some_shards(tx, after, shard)):  # type: ignore[misc]
            for row in page:
                freed = freed.plus(self._trim_one(row[0], row[1], retention, min(through, BIGGEST)))
            after = page[-1][0]
        with self._database.outside("vacuuming") as raw:
            self._dialect.give_back_space(raw, ("event", "timeline_type"))
        return freed

    def _trim_one(self, id: int, name: str, retention: int, through: int) -> Weight:
        freed, done = Weight(), None
        while done is None or done.more:
            done = self._change(
                "trimming",
                lambda tx, done=done: trim.free(tx, self._dialect, (id, name), retention, through, done),  # type: ignore[misc]
                mode=Mode.BULK,
            )
            freed = freed.plus(done.weight)
        return freed

    def start_epoch(self, reason: str) -> Epoch:
        self._check_writable()
        deed = "starting an epoch"
        return self._database.run(deed, lambda tx: ordering.start_epoch(tx, self._dialect, reason), mode=Mode.WRITE)

    # -- moving -------------------------------------------------------------------------------------------------

    def gate(self) -> Gate:
        return moving.gate_of(self._database.ask("looking at the gate", moving.GATE))

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        self._check_writable()

        def change(*, repeatable: bool) -> bool:
            return self._database.run(
                "setting the gate",
                lambda tx: moving.set_gate(tx, self._dialect, gate, expected),
                mode=Mode.WRITE,
                repeatable=repeatable,
            )

        try:
            return change(repeatable=False)
        except OutcomeUnknownError:
            # Where it has landed, the second try finds another gate than was expected: this one.
            return change(repeatable=True) or self.gate() == gate

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        self._change("receiving a log", lambda tx: moving.receive(tx, self._dialect, log_id, epochs, note))

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        return moving.extract(self._database, after, limit, size)

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        deed = "putting in what was copied"
        return self._change(deed, lambda tx: moving.ingest(tx, self._dialect, entries, after, states), mode=Mode.BULK)

    # -- reading ------------------------------------------------------------------------------------------------

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        return reading.read_shard(self._database, shard, after_seq, limit, types, newest_first)

    def pending(self, *, limit: int) -> list[Receipt]:
        rows = self._database.ask("looking for news", ordering.PENDING, {"limit": limit})
        return ordering.receipts(self._dialect, rows)

    def mark(self) -> bytes | None:
        row = self._database.ask("looking for news", ordering.MARK)[0]
        return ordering.mark_of(*row)

    def head(self) -> Head:
        return ordering.head(self._dialect, self._database.ask("reading the head", ordering.HEAD))

    def epochs(self) -> list[Epoch]:
        return ordering.epochs(self._database.ask("reading the epochs", ordering.EPOCHS))

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        if types is not None:
            return typed.read(self._database, after, limit, types)
        return reading.read(self._database, after, limit)

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        return typed.read_back(self._database, before, limit, types)

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        values = {"after": min(after, BIGGEST), "limit": limit}
        rows = self._database.ask("reading placed receipts", ordering.PLACED, values)
        return ordering.placed_of(self._dialect, rows)

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        return reading.shards(self._database, after, limit)

    def find_shard(self, name: str) -> Shard | None:
        return reading.find_shard(self._database, name)

    def stats(self) -> dict[str, int | float | str]:
        return self._database.run("counting", lambda tx: audit.stats(tx, self._dialect), mode=Mode.SNAPSHOT)

    def diagnose(self, *, full: bool) -> list[str]:
        deed = "checking the log"
        return self._database.run(deed, lambda tx: audit.diagnose(tx, self._dialect, full), mode=Mode.AUDIT)

    def close(self) -> None:
        self._database.close()

    # -- both ---------------------------------------------------------------------------------------------------

    def _change(self, deed: str, work: Callable[[Transaction], T], *, mode: Mode = Mode.WRITE) -> T:
        """A change that is as good done twice as once."""
        self._check_writable()
        return self._database.run(deed, work, mode=mode, repeatable=True)

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(f"the log {self.url} was opened with read_only=True")
