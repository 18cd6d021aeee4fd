"""How records get into PostgreSQL: a function call for one or some, COPY for many.

COPY in its binary form (postgresql.org/docs/current/sql-copy.html, "Binary Format"): no text is made of a body, and
the server reads none.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from io import BytesIO

from ..sql.appending import Written
from ..sql.dialect import Doing, EventRow, Values
from ..sql.ordering import insert
from ..sql.rows import Row

_LISTS = ["bigint", "bigint", "bigint", "bigint", "bigint", "bigint", "uuid", "boolean", "bytea", "text"]
_RECORD = ["bigint", "bigint", "bigint", "bigint", "bigint", "text", "bytea"]
CALL = f"SELECT foldlog.append_2(%s, {', '.join(f'%s::{kind}[]' for kind in _LISTS + _RECORD)})"

# No row if a shard does not end with the receipt that the writer thinks is its last.
CLOCK = """
SELECT $now WHERE NOT EXISTS (
    SELECT FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[]) l (shard_id, seq, count, at_us)
    WHERE l.seq > 0 AND NOT EXISTS (
        SELECT FROM foldlog.event e WHERE e.shard_id = l.shard_id AND e.seq = l.seq AND e.count = l.count
        AND e.at_us = l.at_us
    )
)
"""

COPY = """
COPY foldlog.event (shard_id, seq, ts_us, topics, crc, at_us, count, key, keyed, digest, type, body)
FROM STDIN WITH (FORMAT binary)
"""
_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END = struct.pack(">h", -1)
_NUMBERS = ">h" + "iq" * 5
_FIRST = struct.Struct(_NUMBERS + "iq" * 2 + "i16s" + "i?" + "i16s" + "i").pack
_NEXT = struct.Struct(_NUMBERS + "iiiii" + "i").pack
_LENGTH = struct.Struct(">i").pack

Statement = tuple[str, Values]


def one_event(one: Written, durable: bool) -> str:
    """The call that appends one event, put together here: handed to the driver, each value costs as much as all do so.

    Text is in the form E'...', which means the same whatever `standard_conforming_strings` says.
    """
    append, behind = one.order.append, one.behind
    type, ts_us, topics, body = append.records[0]
    first, length, at_us = (behind.first_seq, behind.length, behind.at_us) if behind.sure else (0, 0, behind.at_us)
    type = type.replace("\\", "\\\\").replace("'", "''")
    return (
        f"SELECT foldlog.append_one_2({durable},{one.shard_id},{one.first_seq},{first},{length},{at_us},"
        f"'{one.order.key.hex}',{append.key is not None},E'\\\\x{append.digest.hex()}',{ts_us},{topics},{one.crcs[0]},"
        f"E'{type}',E'\\\\x{body.hex()}')"
    )


def some_events(written: Sequence[Written], durable: bool) -> Statement:
    """The call that appends any number of events."""
    appends = [one.order.append for one in written]
    sizes = [len(append.records) for append in appends]
    records = [record for append in appends for record in append.records]
    shards = [one.shard_id for one in written]
    return CALL, (
        durable,
        shards,
        [one.first_seq for one in written],
        sizes,
        *_lasts(written),
        [one.order.key.hex for one in written],
        [append.key is not None for append in appends],
        [append.digest for append in appends],
        [one.kinds for one in written],
        [shard for shard, size in zip(shards, sizes, strict=True) for _ in range(size)],
        [one.first_seq + n for one, size in zip(written, sizes, strict=True) for n in range(size)],
        [record.ts_us for record in records],
        [record.topics for record in records],
        [crc for one in written for crc in one.crcs],
        [record.type for record in records],
        [record.body for record in records],
    )


def copy_appends(tx: Doing, written: Sequence[Written], spell: Callable[[str], str]) -> list[int] | None:
    """Append by COPY; the times of the receipts, or None if a shard does not end where its writer thinks."""
    row = tx.one(CLOCK, [[one.shard_id for one in written], *_lasts(written)])
    if row is None:
        return None
    times = [max(row[0], one.behind.at_us + 1) + n for n, one in enumerate(written)]
    copy_events(tx, [row for one, at_us in zip(written, times, strict=True) for row in _rows(one, at_us)], spell)
    insert(tx, "news", NEWS, [_news(one, at_us) for one, at_us in zip(written, times, strict=True)])
    return times


def copy_events(tx: Doing, rows: Sequence[EventRow], spell: Callable[[str], str]) -> None:
    """Rows of `event` by COPY."""
    names = {type: type.encode() for type in {row.record.type for row in rows}}
    parts = [_HEADER]
    for shard_id, seq, (type, ts_us, topics, body), crc, receipt in rows:
        name = names[type]
        numbers = (12, 8, shard_id, 8, seq, 8, ts_us, 8, topics, 8, crc)
        if receipt is None:
            parts.append(_NEXT(*numbers, -1, -1, -1, -1, -1, len(name)))
        else:
            at_us, count, key, keyed, digest = receipt
            parts.append(_FIRST(*numbers, 8, at_us, 8, count, 16, key.bytes, 1, keyed, 16, digest, len(name)))
        parts += (name, _LENGTH(len(body)), body)
    parts.append(_END)
    tx.cursor.copy_expert(spell(COPY), BytesIO(b"".join(parts)), 1 << 20)


def copy_rows(tx: Doing, table: str, columns: Sequence[str], rows: Sequence[Row], spell: Callable[[str], str]) -> None:
    """Rows of any table by COPY, as text."""
    text = "".join(["\t".join([_text(value) for value in row]) + "\n" for row in rows])
    sql = spell(f"COPY foldlog.{table} ({', '.join(columns)}) FROM STDIN")
    tx.cursor.copy_expert(sql, BytesIO(text.encode()), 1 << 20)


def _text(value: object) -> str:
    """A value in COPY's text form."""
    if isinstance(value, int):
        return str(value)
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return str(value).replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


NEWS = ["shard_id", "first_seq", "at_us", "count", "key", "digest", "types"]


def _news(one: Written, at_us: int) -> tuple[object, ...]:
    append = one.order.append
    return one.shard_id, one.first_seq, at_us, len(append.records), one.order.key.hex, append.digest, one.kinds


def _lasts(written: Sequence[Written]) -> tuple[list[int], list[int], list[int]]:
    """The receipts that the shards must end with: seq, count and time; seq 0 is not looked for."""
    behind = [one.behind for one in written]
    return (
        [end.first_seq if end.sure else 0 for end in behind],
        [end.length for end in behind],
        [end.at_us for end in behind],
    )


def _rows(one: Written, at_us: int) -> list[EventRow]:
    append, shard_id, new = one.order.append, one.shard_id, tuple.__new__
    receipt = (at_us, len(append.records), one.order.key, append.key is not None, append.digest)
    rows = [
        new(EventRow, (shard_id, seq, record, crc, None))
        for seq, (record, crc) in enumerate(zip(append.records, one.crcs, strict=True), one.first_seq)
    ]
    rows[0] = rows[0]._replace(receipt=receipt)
    return rows
