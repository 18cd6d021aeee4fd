"""The port on PostgreSQL: which question goes to which module, and whether it may write."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from ...engine.errors import ReadOnlyError, UsageError
from ...engine.log.port import TRIMMABLE, Append, Epoch, Head, Outcome, Placed, Receipt, Shard, Stored, Weight
from . import audit, life, ordering, reading, trim, typed
from .address import Address
from .database import Database, Mode
from .schema import prepare
from .writing import Writer


class PostgresBackend:
    """One log in one schema of a PostgreSQL database."""

    looks = 1  #: `pending` is one statement, and so one snapshot

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self.url = address.shown
        self._read_only = read_only
        self._database = Database(address)
        self._writer = Writer(self._database)
        try:
            prepare(self._database, read_only=read_only)
        except BaseException:
            self._database.close()
            raise

    def __repr__(self) -> str:
        return f"<PostgresBackend {self.url}{' (read only)' if self._read_only else ''}>"

    @property
    def engine(self) -> sa.Engine:
        """The database and its one pool, for tables beside those of the log."""
        return self._database.engine

    @property
    def schema(self) -> str:
        """The schema that holds the log's tables."""
        return self._database.address.schema

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, append: Append) -> Receipt:
        self._check_writable()
        return self._writer.append(append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        self._check_writable()
        return self._writer.append_group(appends)

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        self._check_writable()
        deed = "giving positions"
        return self._database.run(deed, lambda tx: ordering.place(tx, placed, after), mode=Mode.WRITE, repeatable=True)

    def seal(self, shard: str) -> bool:
        self._check_writable()
        return self._database.run(
            f"sealing shard {shard}", lambda tx: life.seal(tx, shard), mode=Mode.WRITE, repeatable=True
        )

    def fence(self, shard: str) -> None:
        self._check_writable()
        self._database.run(f"fencing shard {shard}", lambda tx: life.fence(tx, shard), mode=Mode.WRITE, repeatable=True)

    def purge(self, shard: str, *, keep: bool) -> None:
        self._check_writable()
        self._database.run(
            f"purging shard {shard}", lambda tx: life.purge(tx, shard, keep), mode=Mode.BULK, repeatable=True
        )

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        deed = "weighing the log"
        return self._database.run(deed, lambda tx: trim.weigh(tx, retention, through, shard), mode=Mode.AUDIT)

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        self._check_writable()
        if retention not in TRIMMABLE:
            raise UsageError(f"records of retention class {retention} go with their run, or never; not by a trim")
        freed, done = Weight(), None
        while done is None or done.more:
            done = self._database.run(
                "trimming",
                lambda tx, done=done: trim.free(tx, retention, through, shard, done),  # type: ignore[misc]
                mode=Mode.BULK,
                repeatable=True,
            )
            freed = freed.plus(done.weight)
        self._database.vacuum("event", "timeline_type")
        return freed

    def start_epoch(self, reason: str) -> Epoch:
        self._check_writable()
        deed = "starting an epoch"
        return self._database.run(deed, lambda tx: ordering.start_epoch(tx, reason), mode=Mode.WRITE)

    # -- reading ------------------------------------------------------------------------------------------------

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        return self._database.run(
            f"reading shard {shard}",
            lambda tx: reading.read_shard(tx, shard, after_seq, limit, types, newest_first),
        )

    def pending(self, *, limit: int) -> list[Receipt]:
        return self._database.run("looking for news", lambda tx: ordering.pending(tx, limit))

    def head(self) -> Head:
        return self._database.run("reading the head", ordering.head)

    def epochs(self) -> list[Epoch]:
        return self._database.run("reading the epochs", ordering.epochs)

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        if types is not None:
            return self._database.run("reading the timeline", lambda tx: typed.read(tx, after, limit, types))
        return self._database.run("reading the timeline", lambda tx: reading.read(tx, after, limit))

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        return self._database.run("reading the timeline back", lambda tx: typed.read_back(tx, before, limit, types))

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        return self._database.run("reading placed receipts", lambda tx: ordering.placed(tx, after, limit))

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        return self._database.run("listing shards", lambda tx: reading.shards(tx, after, limit))

    def find_shard(self, name: str) -> Shard | None:
        return self._database.run(f"looking for shard {name}", lambda tx: reading.find_shard(tx, name))

    def stats(self) -> dict[str, int | float | str]:
        return self._database.run("counting", lambda tx: audit.stats(tx, self.schema))

    def diagnose(self, *, full: bool) -> list[str]:
        return self._database.run("checking the log", lambda tx: audit.diagnose(tx, full), mode=Mode.AUDIT)

    def close(self) -> None:
        self._database.close()

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(f"the log {self.url} was opened with read_only=True")
