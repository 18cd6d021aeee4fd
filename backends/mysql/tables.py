"""The tables of a log as MySQL and MariaDB have them.

Names are bytes (VARBINARY): every collation of text takes some two names for one, if only by the blanks at their ends.
A long body goes on in `piece`: a statement must fit a packet, and so must its escaped form (pieces.py).
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ..sql.tables import Types, declare

_TEXT = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
_UUID = sa.BINARY(16)
_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_row_format": "DYNAMIC",
    "mysql_default_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
}

METADATA = declare(
    Types(
        name=sa.VARBINARY(200),
        type=sa.VARBINARY(1000),
        types=mysql.LONGBLOB(),
        text=_TEXT,
        uuid=_UUID,
        hash=sa.BINARY(16),
        body=mysql.LONGBLOB(),
        options={"": _OPTIONS},
    )
)

_event = METADATA.tables["event"]
_event.append_column(sa.Column("given_key", _UUID))
_event.append_constraint(sa.UniqueConstraint("shard_id", "given_key", name="event_key"))
_event.append_constraint(
    sa.CheckConstraint(
        "(at_us IS NULL) + (`count` IS NULL) + (`key` IS NULL) + (keyed IS NULL) + (digest IS NULL) IN (0, 5)",
        name="event_check",
    )
)

sa.Table(
    "piece",
    METADATA,
    sa.Column("shard_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("part", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("data", mysql.LONGBLOB(), nullable=False),
    **_OPTIONS,
)
