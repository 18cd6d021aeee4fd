"""Reading many records from PostgreSQL: COPY in its binary form, which costs half of what rows of a SELECT do.

The server writes no hexadecimal digits of a body, and the driver makes no objects of columns: a row is taken apart
here, in two steps.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from ..sql.dialect import Values
from ..sql.rows import Row

_HEAD = 19  #: bytes before the first row: signature, flags, length of an extension
# How many columns, then the length and value of shard_id, seq, ts_us, topics, crc, and the length of the type.
_NUMBERS = struct.Struct(">h" + "iq" * 5 + "i")


def copy_out(cursor: Any, before: str, sql: str, values: Values) -> list[Row]:
    """Rows (shard_id, seq, type, ts_us, topics, crc, body) of a query of shard_id, seq, ts_us, topics, crc, type, body.

    `before`: a statement in the same round trip, or nothing.
    """
    data = BytesIO()
    query = cursor.mogrify(sql, values).decode()
    cursor.copy_expert(f"{before}COPY ({query}) TO STDOUT WITH (FORMAT binary)", data)
    return _rows(data.getvalue())


def _rows(data: bytes) -> list[Row]:
    rows: list[Row] = []
    names: dict[bytes, str] = {}
    add, unpack, length = rows.append, _NUMBERS.unpack_from, int.from_bytes
    here, step, end = _HEAD, _NUMBERS.size, len(data) - _NUMBERS.size
    while here < end:
        _, _, shard_id, _, seq, _, ts_us, _, topics, _, crc, size = unpack(data, here)
        here += step
        type = data[here : here + size]
        here += size + 4
        size = length(data[here - 4 : here], "big")
        name = names.get(type)
        if name is None:
            name = names[type] = type.decode()
        add((shard_id, seq, name, ts_us, topics, crc, data[here : here + size]))
        here += size
    return rows
