"""What a SQL server's dialect says, so that nothing else here knows which server it is.

Statements of this package name their tables `foldlog.x` and hold a few words that each dialect spells its own way:
`$now` the server's clock in microseconds, `$key` the column `key`, `$text(x)` a name as text, `$size(e)` the bytes of
the body of the row `e`, `$given(known)` whether the row `known` has the key `%(key)s` and it was the caller's. A name
as text is for people and for us: it is neither compared nor made distinct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from uuid import UUID

import sqlalchemy as sa

from ...engine.errors import FoldlogError
from ...engine.log.port import Record
from .rows import Row

if TYPE_CHECKING:
    from .appending import Written

Values = Mapping[str, object] | Sequence[object] | None


class Mode(Enum):
    """What a transaction is for. Each sets its isolation level and its limits itself, whatever the server's own."""

    READ = "read"  #: one statement sees one snapshot
    SNAPSHOT = "snapshot"  #: one snapshot for all statements; the minute of a page
    AUDIT = "audit"  #: the same, for an hour
    WRITE = "write"  #: READ COMMITTED, durable
    BULK = "bulk"  #: the same, for an hour
    QUICK = "quick"  #: READ COMMITTED, and a crash of the server may take back the last fraction of a second

    @property
    def writes(self) -> bool:
        return self in (Mode.WRITE, Mode.BULK, Mode.QUICK)


class Span(NamedTuple):
    """Seqs of one shard, both ends included."""

    shard_id: int
    first: int
    last: int


class Moved(NamedTuple):
    """How far a shard had positions, and has now."""

    shard_id: int
    before: int
    after: int


class EventRow(NamedTuple):
    """A row of `event`; on the first one of an append its receipt: at_us, count, key, keyed, digest."""

    shard_id: int
    seq: int
    record: Record
    crc: int
    receipt: tuple[int, int, UUID, bool, bytes] | None


class Doing(Protocol):
    """An open transaction."""

    def execute(self, sql: str, values: Values = None) -> int:
        """Run a statement; the number of rows it touched."""

    def all(self, sql: str, values: Values = None) -> list[Row]:
        """Run a query; its rows."""

    def one(self, sql: str, values: Values = None) -> Row | None:
        """Run a query; its first row, or None."""

    @property
    def cursor(self) -> Any:
        """The driver's own, for what has no words here; the transaction has begun."""


class Dialect(Protocol):
    """One kind of server, and the address of one log there."""

    kind: str  #: as `stats` gives it: postgres, mysql
    shown: str  #: the URL without a password
    schema: str  #: the schema or database that holds the tables
    place: str  #: the same in words, for messages
    elsewhere: str  #: how to choose another one, for messages
    durable: bool  #: whether an append waits for the disk

    # -- connections --------------------------------------------------------------------------------------------

    def engine(self) -> sa.Engine:
        """A new engine with a bounded pool."""

    def ready(self, raw: Any) -> None:
        """Make a connection from the pool fit for `execute`: each statement by itself, unless a transaction begins."""

    def give_back(self, raw: Any) -> None:
        """Make it fit for others who share the pool, whatever an interrupt has left of a transaction. Theirs stay."""

    def is_closed(self, raw: Any) -> bool: ...

    def begin(self, cursor: Any, mode: Mode) -> Sequence[str]:
        """The statements that begin a transaction, sent together with the first one of it."""

    limits: Sequence[str]  #: statements that bound how long one by itself may take, sent before it

    def commit(self, cursor: Any, mode: Mode) -> bool:
        """Commit; False if the server rolled back instead."""

    def roll_back(self, cursor: Any) -> None:
        """End a transaction, if there is one. Raises the driver's error where an answer was broken off, and the next
        statement would take it for its own."""

    def send(self, cursor: Any, before: Sequence[str], sql: str, values: Values) -> None:
        """Run a statement, those `before` it in the same round trip; the answer is the last one's."""

    def spell(self, sql: str) -> str:
        """A statement in the server's words. Remembered."""

    # -- errors -------------------------------------------------------------------------------------------------

    error: type[Exception]  #: what all errors of the driver derive from

    def translate(self, deed: str, error: Any, *, writing: bool = True) -> FoldlogError | None:
        """The foldlog error a driver error stands for; None for what must look like a bug of ours."""

    def is_taken(self, error: Any) -> bool:
        """Whether a unique key refused a row."""

    def sentence(self, error: Any) -> str:
        """The server's sentence alone: what follows it may quote the statement, and with it the facts."""

    # -- the schema ---------------------------------------------------------------------------------------------

    def check_server(self, tx: Doing, *, read_only: bool) -> None:
        """Raise UsageError for a server that cannot hold a log."""

    def columns_of_log(self, tx: Doing) -> set[str]:
        """The columns of the table `log`; empty if there is none."""

    def is_being_made(self, tx: Doing) -> bool:
        """Whether another process is at it just now, or died on the way."""

    def create(self, tx: Doing, check: Callable[[Doing], bool], fill: Callable[[Doing], None]) -> None:
        """Make the schema if need be, and in it all tables, one process at a time; then call `fill` for their rows.
        Nothing if `check` finds that another process was faster. The row of `log` comes last."""

    # -- statements ---------------------------------------------------------------------------------------------

    def key(self, key: UUID) -> object:
        """A key as a value of a statement."""

    def uuid(self, value: Any) -> UUID:
        """A key or log id from a row."""

    def write_alone(self, cursor: Any, written: Sequence[Written]) -> list[int] | None:
        """Append in one round trip and commit: the times of the receipts; None if a shard does not end where its
        writer thinks. Raises the driver's error if another append took a seq (`is_taken`)."""

    def write(self, tx: Doing, written: Sequence[Written]) -> list[int] | None:
        """The same in an open transaction: any number of records, the fastest way the server has."""

    def most_alone(self) -> int:
        """Bytes of bodies that `write_alone` takes at most."""

    def load_events(self, tx: Doing, rows: Sequence[EventRow]) -> None:
        """Insert many rows of `event`, the fastest way the server has."""

    def load(self, tx: Doing, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Insert many rows of another table."""

    def create_shard(self, tx: Doing, name: str) -> int:
        """Make a shard; its number. Raises RacedError where it is there, having waited for who was making it."""

    def events(self, tx: Doing, sql: str, values: Values) -> list[Row]:
        """Rows (shard_id, seq, type, ts_us, topics, crc, body), bodies whole, of a query that has the columns shard_id,
        seq, ts_us, topics, crc, type, body in this order."""

    def records(self, tx: Doing, table: str, spans: Sequence[Span], types: Sequence[str] | None) -> list[Row]:
        """Rows (shard_id, seq, type, ts_us, topics, crc, body) of `event` or `kept` in some spans, in any order."""

    def settle(self, tx: Doing, news: Sequence[tuple[int, int]]) -> int:
        """Delete rows of `news` by (shard_id, first_seq), waiting for no append; how many there were."""

    def advance(self, tx: Doing, moves: Sequence[Moved]) -> int:
        """Note how far shards have positions, where they stand as thought; a sealed one is open again. How many."""

    def tell(self, tx: Doing, position: int) -> None:
        """Wake those who wait for the timeline to grow, when this transaction commits."""

    def hold_off_appends(self, tx: Doing) -> None:
        """Wait for all appends under way, and let none begin before this transaction ends."""

    def forget(self, tx: Doing, table: str, shard_id: int, below: int | None) -> None:
        """Delete the rows of `event` or `kept` of a shard, those below a seq, with all that belongs to them."""

    def free(self, tx: Doing, shard_id: int, crcs: Mapping[int, int]) -> None:
        """Free the bodies of records of a shard, by seq, with the checksums that they have then."""

    def bytes(self, tx: Doing) -> int:
        """What the tables take on the disk."""

    def give_back_space(self, raw: Any, tables: Sequence[str]) -> None:
        """Have the server reuse what deleted rows held."""
