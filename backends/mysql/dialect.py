"""MySQL and MariaDB through pymysql: what backends/sql leaves open.

Not here: the statements that all servers share (backends/sql), the address (address.py), the settings of a session
(connection.py), how records get in (inserting.py), long bodies (pieces.py), making the tables (making.py).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final
from uuid import UUID

import pymysql
import sqlalchemy as sa
from pymysql.constants import SERVER_STATUS
from sqlalchemy.pool import QueuePool

from ...engine.errors import FoldlogError
from ..sql.appending import Written
from ..sql.database import Transaction
from ..sql.dialect import Doing, EventRow, Mode, Moved, Span, Values
from ..sql.errors import RacedError
from ..sql.moving import check_gate
from ..sql.rows import FREED, Row
from . import errors, inserting, making, pieces
from .address import Address
from .connection import LogConnection, context_of
from .inserting import BODY, CLOCK
from .tables import METADATA

POOL = 10  #: connections of one process at most
POOL_S = 30  #: how long a thread waits for one of them

SPANS = 200  #: spans of records that one statement names
EVERYTHING = 2**62

_WRITE = "START TRANSACTION READ WRITE"
_SNAPSHOT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ",
    "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
)
BEGIN: Final[dict[Mode, tuple[str, ...]]] = {
    Mode.READ: ("START TRANSACTION READ ONLY",),
    Mode.SNAPSHOT: _SNAPSHOT,
    Mode.AUDIT: _SNAPSHOT,
    Mode.WRITE: (_WRITE,),
    Mode.BULK: (_WRITE,),
    Mode.QUICK: (_WRITE,),
}
LONG = (Mode.AUDIT, Mode.BULK)  #: a statement may take an hour

BYTES = """
SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables
WHERE table_schema = %(schema)s AND table_name IN %(names)s
"""

RECORDS = """
SELECT shard_id, seq, $text(type), ts_us, topics, crc, body FROM foldlog.{table} FORCE INDEX (PRIMARY)
WHERE ({where}) {types}
"""

# Rows are found by their keys alone, one after the other: a scan would wait for appends under way.
_PAIRS = "JSON_TABLE(%(rows)s, '$[*]' COLUMNS (a BIGINT PATH '$[0]', b BIGINT PATH '$[1]', c BIGINT PATH '$[2]')) v"

SETTLE = f"""
DELETE n FROM {_PAIRS} STRAIGHT_JOIN foldlog.news n FORCE INDEX (PRIMARY) ON n.shard_id = v.a AND n.first_seq = v.b
"""

ADVANCE = f"""
UPDATE {_PAIRS} STRAIGHT_JOIN foldlog.shard s FORCE INDEX (PRIMARY) ON s.shard_id = v.a
SET s.ordered_seq = v.c, s.state = CASE WHEN s.state = 1 THEN 0 ELSE s.state END WHERE s.ordered_seq = v.b
"""

FREE = f"""
UPDATE {_PAIRS} STRAIGHT_JOIN foldlog.event e FORCE INDEX (PRIMARY) ON e.shard_id = %(id)s AND e.seq = v.a
SET e.type = '', e.ts_us = 0, e.body = '', e.crc = v.b WHERE e.type <> ''
"""
FREE_PIECES = f"""
DELETE p FROM {_PAIRS} STRAIGHT_JOIN foldlog.piece p FORCE INDEX (PRIMARY) ON p.shard_id = %(id)s AND p.seq = v.a
"""

SIZE = (
    "(length({row}.body) + CASE WHEN length({row}.body) < {most} THEN 0 ELSE coalesce((SELECT sum(length(p.data)) "
    "FROM foldlog.piece p WHERE p.shard_id = {row}.shard_id AND p.seq = {row}.seq), 0) END)"
)


class MysqlDialect:
    """One log in one database of a MySQL or MariaDB server."""

    kind = "mysql"
    error: type[Exception] = pymysql.Error
    elsewhere = "database"
    limits: Sequence[str] = ()  # a session has its own

    def __init__(self, address: Address) -> None:
        self.address = address
        self.shown = address.shown
        self.schema = address.database
        self.place = f"database {address.database}"
        self.durable = address.durability == "full"
        self._context = context_of(address)
        self._prefix = f"`{address.database.replace('`', '``')}`."
        self._texts = inserting.texts(self._prefix)
        prefix = self._prefix.replace("%", "%%")

        @lru_cache(maxsize=512)
        def spell(sql: str) -> str:
            for row in ("e", "k"):
                sql = sql.replace(f"$size({row})", SIZE.format(row=row, most=BODY))
            sql = sql.replace("foldlog.", prefix).replace("$now", CLOCK).replace("$key", "`key`")
            return _as_text(sql).replace("$given(known)", "known.given_key = %(key)s")

        self._spell = spell

    def spell(self, sql: str) -> str:
        return self._spell(sql)

    # -- connections --------------------------------------------------------------------------------------------

    def engine(self) -> sa.Engine:
        return sa.create_engine(
            "mysql+pymysql://",
            creator=lambda: LogConnection(self.address, self._context),
            poolclass=QueuePool,
            pool_size=POOL,
            max_overflow=0,
            pool_timeout=POOL_S,
            hide_parameters=True,  # facts do not belong in error messages
        )

    def ready(self, raw: Any) -> None:
        raw.lend_to_log()

    def give_back(self, raw: Any) -> None:
        raw.lend_to_others()

    def is_closed(self, raw: Any) -> bool:
        return not raw.open

    def begin(self, cursor: Any, mode: Mode) -> Sequence[str]:
        cursor.connection.lend_to_log(long=mode in LONG)
        return BEGIN[mode]

    def commit(self, cursor: Any, mode: Mode) -> bool:
        connection = cursor.connection
        # A transaction that the server has given up is none: statements behind its end have committed by themselves.
        open = connection.server_status & SERVER_STATUS.SERVER_STATUS_IN_TRANS
        cursor.execute("COMMIT")
        connection.lend_to_log()
        return bool(open)

    def roll_back(self, cursor: Any) -> None:
        cursor.execute("ROLLBACK")
        cursor.connection.lend_to_log()

    def send(self, cursor: Any, before: Sequence[str], sql: str, values: Values) -> None:
        text = cursor.mogrify(sql, () if values is None else values)
        cursor.execute(f"{'; '.join(before)}; {text}" if before else text)
        while cursor.nextset():
            pass

    # -- errors -------------------------------------------------------------------------------------------------

    def translate(self, deed: str, error: Any, *, writing: bool = True) -> FoldlogError | None:
        return errors.translate(deed, error, writing=writing)

    def is_taken(self, error: Any) -> bool:
        return errors.number(error) == errors.TAKEN

    def sentence(self, error: Any) -> str:
        return errors.sentence(error)

    # -- the schema ---------------------------------------------------------------------------------------------

    def check_server(self, tx: Doing, *, read_only: bool) -> None:
        making.check_server(tx, self, read_only=read_only)

    def columns_of_log(self, tx: Doing) -> set[str]:
        return making.columns(tx, self.schema, ("log",)).get("log", set())

    def is_being_made(self, tx: Doing) -> bool:
        return making.is_being_made(tx, self.schema)

    def create(self, tx: Doing, check: Callable[[Doing], bool], fill: Callable[[Doing], None]) -> None:
        making.create(tx, self, check, fill)

    # -- statements ---------------------------------------------------------------------------------------------

    def key(self, key: UUID) -> object:
        return key.bytes

    def uuid(self, value: Any) -> UUID:
        return UUID(bytes=bytes(value))

    def most_alone(self) -> int:
        return EVERYTHING  # in several packets, if it must be

    def write_alone(self, cursor: Any, written: Sequence[Written]) -> list[int] | None:
        connection: LogConnection = cursor.connection
        try:
            if _is_short(written):
                packet = inserting.one_event(self._texts, self._prefix, written[0])
                return [connection.several(packet, 4)[1]]
            statements = inserting.batch(self._texts, self._prefix, written, connection.room)
            return _batch(connection, chain([inserting.BEGIN], statements, [inserting.COMMIT]), written)
        except pymysql.Error as error:
            if errors.number(error) != errors.NULL_REFUSED:
                raise
            self.roll_back(cursor)
            check_gate(Transaction(cursor, self, None), self.shown)
            return None

    def write(self, tx: Doing, written: Sequence[Written]) -> list[int] | None:
        connection: LogConnection = tx.cursor.connection
        try:
            return _batch(connection, inserting.batch(self._texts, self._prefix, written, connection.room), written)
        except pymysql.Error as error:
            if errors.number(error) != errors.NULL_REFUSED:
                raise
            check_gate(tx, self.shown)
            return None

    def load_events(self, tx: Doing, rows: Sequence[EventRow]) -> None:
        room = tx.cursor.connection.room
        self._load(tx, inserting.events(self._texts, inserting.lines(rows), room))

    def load(self, tx: Doing, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        room = tx.cursor.connection.room
        if table == "kept":
            rows, long = inserting.cut_off(columns, rows)
            self._load(tx, inserting.pieces(self._texts, long, room))
        head = self.spell(f"INSERT INTO foldlog.{table} ({', '.join(columns)}) VALUES ") % ()
        self._load(tx, inserting.some_rows(head, rows, room))

    def _load(self, tx: Doing, statements: Iterable[str]) -> None:
        connection: LogConnection = tx.cursor.connection
        for packet in inserting.packets(statements, connection.room):
            connection.several(packet)

    def create_shard(self, tx: Doing, name: str) -> int:
        try:
            tx.execute("INSERT INTO foldlog.shard (name) VALUES (%(name)s)", {"name": name})
        except pymysql.Error as error:
            if self.is_taken(error):  # another was faster; this has waited for its commit
                raise RacedError from error
            raise
        return int(tx.cursor.lastrowid)

    def records(self, tx: Doing, table: str, spans: Sequence[Span], types: Sequence[str] | None) -> list[Row]:
        sql = RECORDS.replace("{table}", table)
        sql = sql.replace("{types}", "" if types is None else "AND type IN %(types)s")
        found: list[Row] = []
        for start in range(0, len(spans), SPANS):
            where = " OR ".join([_within(span) for span in spans[start : start + SPANS]])
            found += tx.all(sql.replace("{where}", where), {"types": tuple(types or ())})
        return pieces.whole(tx, found)

    def events(self, tx: Doing, sql: str, values: Values) -> list[Row]:
        rows = [(id, seq, type, *numbers, body) for id, seq, *numbers, type, body in tx.all(sql, values)]
        return [row for row in pieces.whole(tx, rows) if row[2] != FREED]

    def settle(self, tx: Doing, news: Sequence[tuple[int, int]]) -> int:
        return tx.execute(SETTLE, {"rows": json.dumps(news)})

    def advance(self, tx: Doing, moves: Sequence[Moved]) -> int:
        return tx.execute(ADVANCE, {"rows": json.dumps(moves)})

    def tell(self, tx: Doing, position: int) -> None:
        """Nobody: this server has no way to wake a client. Readers poll."""

    def hold_off_appends(self, tx: Doing) -> None:
        tx.all("SELECT state FROM foldlog.gate WHERE one = 1 FOR UPDATE")

    def forget(self, tx: Doing, table: str, shard_id: int, below: int | None) -> None:
        values = {"id": shard_id, "below": below}
        end = " AND seq < %(below)s" if below is not None else ""
        tx.execute(f"DELETE FROM foldlog.{table} WHERE shard_id = %(id)s{end}", values)
        tx.execute(pieces.FORGET, values)

    def free(self, tx: Doing, shard_id: int, crcs: Mapping[int, int]) -> None:
        values = {"id": shard_id, "rows": json.dumps(list(crcs.items()))}
        tx.execute(FREE, values)
        tx.execute(FREE_PIECES, values)

    def bytes(self, tx: Doing) -> int:
        row = tx.one(BYTES, {"schema": self.schema, "names": tuple(METADATA.tables)})
        return int(row[0]) if row else 0

    def give_back_space(self, raw: Any, tables: Sequence[str]) -> None:
        """Nothing: the server reuses the room of deleted rows by itself."""


def _batch(connection: LogConnection, statements: Iterable[str], written: Sequence[Written]) -> list[int]:
    now = 0
    for packet in inserting.packets(statements, connection.room):
        answers = connection.several(packet)
        now = now or next(filter(None, answers), 0)
    return inserting.times(now, written)


def _is_short(written: Sequence[Written]) -> bool:
    """One record that is one row."""
    if len(written) != 1:
        return False
    records = written[0].order.append.records
    return len(records) == 1 and len(records[0].body) <= BODY


def _within(span: Span) -> str:
    return f"(shard_id = {span.shard_id} AND seq BETWEEN {span.first} AND {span.last})"


_TEXT = re.compile(r"\$text\(([^()]*)\)")


def _as_text(sql: str) -> str:
    return _TEXT.sub(r"CONVERT(\1 USING utf8mb4)", sql)
