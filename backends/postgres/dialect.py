"""PostgreSQL through psycopg2: what backends/sql leaves open.

Promises: nothing is left in a session: no prepared statement, no setting, no lock; so a proxy may hand each transaction
to another one. Not here: the statements that all servers share (backends/sql), the address (address.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final
from uuid import UUID
from zlib import crc32

import psycopg2
import psycopg2.errors
import sqlalchemy as sa
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from sqlalchemy.pool import QueuePool

from ...engine.errors import FoldlogError
from ..sql.appending import Written
from ..sql.dialect import Doing, EventRow, Mode, Moved, Span, Values
from ..sql.errors import RacedError
from ..sql.moving import check_gate, closed
from ..sql.ordering import insert
from ..sql.rows import Row
from . import errors, making
from .address import Address
from .functions import CLOCK
from .inserting import copy_appends, copy_events, copy_rows, one_event, some_events
from .reading import copy_out

POOL = 10  #: connections of one process at most
POOL_S = 30  #: how long a thread waits for one of them

# A paused process gives its locks back (idle) before those who wait for them give up (lock).
_LIMITS = "SET LOCAL idle_in_transaction_session_timeout = '10s'", "SET LOCAL lock_timeout = '20s'"

_WRITE = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MINUTE, _HOUR = "SET LOCAL statement_timeout = '60s'", "SET LOCAL statement_timeout = '1h'"
_ON, _OFF = "SET LOCAL synchronous_commit = on", "SET LOCAL synchronous_commit = off"
BEGIN: Final[dict[Mode, tuple[str, ...]]] = {
    Mode.READ: ("BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY", _MINUTE, *_LIMITS),
    Mode.SNAPSHOT: (_SNAPSHOT, _MINUTE, *_LIMITS),
    Mode.AUDIT: (_SNAPSHOT, _HOUR, *_LIMITS),
    Mode.WRITE: (_WRITE, _MINUTE, _ON, *_LIMITS),
    Mode.BULK: (_WRITE, _HOUR, _ON, *_LIMITS),
    Mode.QUICK: (_WRITE, _MINUTE, _OFF, *_LIMITS),
}

# Where a standby has to confirm, a statement_timeout during COMMIT would end the wait with a warning and a success: an
# append would be acknowledged that the standby has not got.
COMMIT = "SET LOCAL statement_timeout = 0; COMMIT"

BYTES = """
SELECT coalesce(sum(pg_catalog.pg_total_relation_size(c.oid)), 0)::bigint FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND c.relkind = 'r'
    AND c.relname IN ('log', 'gate', 'epoch', 'shard', 'event', 'news', 'timeline', 'timeline_type', 'kept')
"""

# OFFSET 0 keeps the planner from making a join of it, for which it would read the whole table.
RECORDS = """
SELECT e.shard_id, e.seq, e.ts_us, e.topics, e.crc, e.type, e.body
FROM unnest(%(ids)s::bigint[], %(firsts)s::bigint[], %(lasts)s::bigint[]) w (id, first, last)
CROSS JOIN LATERAL (
    SELECT * FROM foldlog.{table} WHERE shard_id = w.id AND seq BETWEEN w.first AND w.last {types} OFFSET 0
) e
"""

MAKE_SHARD = "INSERT INTO foldlog.shard (name) VALUES (%(name)s) ON CONFLICT DO NOTHING RETURNING shard_id"

SETTLE = """
DELETE FROM foldlog.news n USING unnest(%(ids)s::bigint[], %(firsts)s::bigint[]) v (id, first)
WHERE n.shard_id = v.id AND n.first_seq = v.first
"""

ADVANCE = """
UPDATE foldlog.shard s SET ordered_seq = v.after, state = CASE WHEN s.state = 1 THEN 0 ELSE s.state END
FROM unnest(%(ids)s::bigint[], %(before)s::bigint[], %(after)s::bigint[]) v (id, before, after)
WHERE s.shard_id = v.id AND s.ordered_seq = v.before
"""

FREE = """
UPDATE foldlog.event e SET type = '', ts_us = 0, body = '', crc = v.crc
FROM unnest(%(seqs)s::bigint[], %(crcs)s::bigint[]) v (seq, crc)
WHERE e.shard_id = %(id)s AND e.seq = v.seq AND e.type <> ''
"""


class PostgresDialect:
    """One log in one schema of a PostgreSQL database."""

    kind = "postgres"
    error: type[Exception] = psycopg2.Error
    elsewhere = "schema (?schema=NAME) or database"
    limits: Sequence[str] = (_MINUTE,)

    def __init__(self, address: Address) -> None:
        self.address = address
        self.shown = address.shown
        self.schema = address.schema
        self.place = f"schema {address.schema}"
        self.durable = address.durability == "full"
        self._prefix = prefix = f'"{address.schema}".'

        @lru_cache(maxsize=512)
        def spell(sql: str) -> str:
            sql = sql.replace("foldlog.", prefix).replace("$now", CLOCK)
            return (
                sql.replace("$text(", "(")
                .replace("$key", "key")
                .replace("$given(known)", _GIVEN)
                .replace("$size(e)", "octet_length(e.body)")
            )

        self.spell = spell

    # -- connections --------------------------------------------------------------------------------------------

    def engine(self) -> sa.Engine:
        return sa.create_engine(
            self.address.target,
            connect_args=self.address.secrets,
            poolclass=QueuePool,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=POOL_S,
            use_native_hstore=False,  # else each new connection asks for types that nothing here uses
            hide_parameters=True,  # facts do not belong in error messages
        )

    def ready(self, raw: Any) -> None:
        raw.autocommit = True  # BEGIN is ours: with its limits and the first statement it is one round trip

    def give_back(self, raw: Any) -> None:
        if raw.autocommit and not raw.closed:
            if raw.info.transaction_status != TRANSACTION_STATUS_IDLE:  # the driver's rollback() knows of none
                with raw.cursor() as cursor:
                    cursor.execute("ROLLBACK")
            raw.autocommit = False  # as SQLAlchemy, which shares the pool, expects it

    def is_closed(self, raw: Any) -> bool:
        return bool(raw.closed)

    def begin(self, cursor: Any, mode: Mode) -> Sequence[str]:
        return BEGIN[mode]

    def commit(self, cursor: Any, mode: Mode) -> bool:
        cursor.execute(COMMIT if mode.writes else "COMMIT")
        # A transaction that the server has given up answers COMMIT with ROLLBACK and without an error.
        return bool(cursor.statusmessage == "COMMIT")

    def roll_back(self, cursor: Any) -> None:
        cursor.execute("ROLLBACK")

    def send(self, cursor: Any, before: Sequence[str], sql: str, values: Values) -> None:
        cursor.execute(f"{'; '.join(before)}; {sql}" if before else sql, values)

    # -- errors -------------------------------------------------------------------------------------------------

    def translate(self, deed: str, error: Any, *, writing: bool = True) -> FoldlogError | None:
        if error.pgcode == errors.GATE_CLOSED:
            state, _, note = (error.diag.message_primary or "1").partition(" ")
            return closed(self.shown, int(state), note)
        return errors.translate(deed, error, writing=writing)

    def is_taken(self, error: Any) -> bool:
        return isinstance(error, psycopg2.errors.UniqueViolation)

    def sentence(self, error: Any) -> str:
        return errors.sentence(error)

    # -- the schema ---------------------------------------------------------------------------------------------

    def check_server(self, tx: Doing, *, read_only: bool) -> None:
        making.check_server(tx, f"{self.place} at {self.shown}")

    def columns_of_log(self, tx: Doing) -> set[str]:
        return making.columns_of_log(tx, self.schema)

    def is_being_made(self, tx: Doing) -> bool:
        return False  # tables and rows come in one transaction

    def create(self, tx: Doing, check: Callable[[Doing], bool], fill: Callable[[Doing], None]) -> None:
        making.create(tx, self.schema, check, fill)

    # -- statements ---------------------------------------------------------------------------------------------

    def key(self, key: UUID) -> object:
        return key.hex

    def uuid(self, value: Any) -> UUID:
        return value if isinstance(value, UUID) else UUID(value)  # by what SQLAlchemy has taught the driver, or not

    def most_alone(self) -> int:
        return ALONE

    def write_alone(self, cursor: Any, written: Sequence[Written]) -> list[int] | None:
        sql: str
        if _is_one(written):
            sql, values = one_event(written[0], self.durable).replace("foldlog.", self._prefix, 1), None
        else:
            sql, values = some_events(written, self.durable)
            sql = self.spell(sql)
        try:
            cursor.execute(sql, values)
        except psycopg2.Error as error:
            if error.pgcode != errors.OTHER_ISOLATION:
                raise
            cursor.execute(f"{_WRITE}; {sql}", values)
            answer = cursor.fetchone()[0]
            cursor.execute(COMMIT)
        else:
            answer = cursor.fetchone()[0]
        return [answer] if isinstance(answer, int) else answer

    def write(self, tx: Doing, written: Sequence[Written]) -> list[int] | None:
        if sum([one.size for one in written]) > ALONE:
            times = copy_appends(tx, written, self.spell)
            if times is not None:
                check_gate(tx, self.shown)
            return times
        row = tx.one(*some_events(written, self.durable))
        return row[0] if row else None

    def load_events(self, tx: Doing, rows: Sequence[EventRow]) -> None:
        if rows:
            copy_events(tx, rows, self.spell)

    def load(self, tx: Doing, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        if len(rows) > FEW_ROWS:
            copy_rows(tx, table, columns, rows, self.spell)
        else:
            insert(tx, table, columns, rows)

    def create_shard(self, tx: Doing, name: str) -> int:
        row = tx.one(MAKE_SHARD, {"name": name})
        if row is None:  # another was faster, and this has waited for its commit; by now it may even be purged again
            raise RacedError
        return int(row[0])

    def events(self, tx: Doing, sql: str, values: Values) -> list[Row]:
        return copy_out(tx.cursor, f"{_MINUTE}; ", self.spell(sql), values)

    def records(self, tx: Doing, table: str, spans: Sequence[Span], types: Sequence[str] | None) -> list[Row]:
        sql = RECORDS.replace("{table}", table).replace("{types}", "" if types is None else "AND type = ANY(%(types)s)")
        ids, firsts, lasts = zip(*spans, strict=True)
        return self.events(tx, sql, {"ids": list(ids), "firsts": list(firsts), "lasts": list(lasts), "types": types})

    def settle(self, tx: Doing, news: Sequence[tuple[int, int]]) -> int:
        ids, firsts = zip(*news, strict=True)
        return tx.execute(SETTLE, {"ids": list(ids), "firsts": list(firsts)})

    def advance(self, tx: Doing, moves: Sequence[Moved]) -> int:
        ids, before, after = zip(*moves, strict=True)
        return tx.execute(ADVANCE, {"ids": list(ids), "before": list(before), "after": list(after)})

    def tell(self, tx: Doing, position: int) -> None:
        # Here only: each transaction that notifies takes one lock of the whole server while it commits.
        tx.execute("SELECT pg_catalog.pg_notify(%(channel)s, %(at)s)", {"channel": self.channel, "at": str(position)})

    @property
    def channel(self) -> str:
        """Where the sequencer tells that the timeline has grown."""
        return f"foldlog_{self.schema}" if len(self.schema) < 50 else f"foldlog_{crc32(self.schema.encode()):08x}"

    def hold_off_appends(self, tx: Doing) -> None:
        tx.execute("LOCK TABLE foldlog.event IN SHARE MODE")

    def forget(self, tx: Doing, table: str, shard_id: int, below: int | None) -> None:
        end = " AND seq < %(below)s" if below is not None else ""
        tx.execute(f"DELETE FROM foldlog.{table} WHERE shard_id = %(id)s{end}", {"id": shard_id, "below": below})

    def free(self, tx: Doing, shard_id: int, crcs: Mapping[int, int]) -> None:
        tx.execute(FREE, {"id": shard_id, "seqs": list(crcs), "crcs": list(crcs.values())})

    def bytes(self, tx: Doing) -> int:
        row = tx.one(BYTES, {"schema": self.schema})
        return int(row[0]) if row else 0

    def give_back_space(self, raw: Any, tables: Sequence[str]) -> None:
        with raw.cursor() as cursor:
            for table in tables:
                cursor.execute(f'VACUUM "{self.schema}".{table}')


_GIVEN = "known.keyed AND known.key = %(key)s"

FEW_ROWS = 20  #: up to which an INSERT is as fast as COPY
ALONE = 64 * 1024  #: bytes of bodies up to which a function call is faster than COPY, measured


def _is_one(written: Sequence[Written]) -> bool:
    return len(written) == 1 and len(written[0].order.append.records) == 1
