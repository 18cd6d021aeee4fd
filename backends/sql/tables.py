"""The tables of a log on a SQL server, format 2: docs/format.md.

    log             one row: which log this is, and the end of its timeline
    gate            one row: whether the log takes appends
    epoch           stretches of history under one order
    shard           one row a shard: its state, and how much of it has positions
    event           one row a record; the receipt of an append lives on its first row
    news            one row for each receipt that has no position yet, written with its event, deleted when placed
    timeline        one row for each placed receipt
    timeline_type   where on the timeline each type occurs: one row for each placed receipt and type in it
    kept            what outlives the purge of its shard

Declared once for all servers; a dialect says with which types, and adds what it alone needs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

FORMAT = 2
PROGRAM = "foldlog"


class Types(NamedTuple):
    """The types of one server, and the options of its tables."""

    name: Any  #: of a shard, compared by bytes
    type: Any  #: a record's type, compared by bytes
    types: Any  #: several of them
    text: Any  #: for people
    uuid: Any
    hash: Any  #: 16 bytes
    body: Any
    options: dict[str, dict[str, Any]]  #: by table; "" of all


def declare(types: Types) -> sa.MetaData:
    """All tables. Numbers are bigint throughout: the first int to overflow would stop all appends. No foreign keys: the
    locks they take are on the row of the shard, which no append has to wait for; what they check, `diagnose` does."""
    meta = sa.MetaData()

    def table(name: str, *parts: Any) -> sa.Table:
        return sa.Table(name, meta, *parts, **{**types.options.get("", {}), **types.options.get(name, {})})

    def number(name: str, **more: Any) -> sa.Column[int]:
        more.setdefault("nullable", False)
        return sa.Column(name, sa.BigInteger, autoincrement=False, **more)

    def small(name: str, **more: Any) -> sa.Column[int]:
        return sa.Column(name, sa.SmallInteger, nullable=False, autoincrement=False, **more)

    def needed(name: str, kind: Any, **more: Any) -> sa.Column[Any]:
        return sa.Column(name, kind, nullable=False, **more)

    table(
        "log",
        small("one", primary_key=True),
        needed("program", types.text),
        number("format"),
        needed("log_id", types.uuid),
        number("epoch"),
        number("position"),
        needed("chain", types.hash),
        sa.CheckConstraint("one = 1", name="log_one_check"),
    )
    table(
        "gate",
        small("one", primary_key=True),
        small("state", server_default=sa.text("0")),
        needed("note", types.text),
        sa.CheckConstraint("one = 1", name="gate_one_check"),
    )
    table(
        "epoch",
        number("number", primary_key=True),
        number("after_position"),
        needed("chain", types.hash),
        number("started_us"),
        needed("reason", types.text),
    )
    table(
        "shard",
        sa.Column("shard_id", sa.BigInteger, sa.Identity(always=True), primary_key=True, autoincrement=True),
        needed("name", types.name),
        small("state", server_default=sa.text("0")),
        number("ordered_seq", server_default=sa.text("0")),
        number("fence_seq", nullable=True),
        sa.UniqueConstraint("name", name="shard_name_key"),
        sa.CheckConstraint("state < 2 OR fence_seq IS NOT NULL", name="shard_fence_check"),
    )
    table(
        "event",
        number("shard_id", primary_key=True),
        number("seq", primary_key=True),
        number("ts_us"),
        number("topics"),
        number("crc"),
        number("at_us", nullable=True),
        number("count", nullable=True),
        sa.Column("key", types.uuid),
        sa.Column("keyed", sa.Boolean(create_constraint=False)),
        needed("type", types.type),
        sa.Column("digest", types.hash),
        needed("body", types.body),
        sa.CheckConstraint("seq > 0", name="event_seq_check"),
    )
    table(
        "news",
        number("shard_id", primary_key=True),
        number("first_seq", primary_key=True),
        number("at_us"),
        number("count", nullable=True),
        sa.Column("key", types.uuid),
        sa.Column("digest", types.hash),
        sa.Column("types", types.types),
    )
    table(
        "timeline",
        number("position", primary_key=True),
        number("shard_id"),
        number("first_seq"),
        number("count"),
        number("at_us"),
        needed("key", types.uuid),
        needed("digest", types.hash),
        needed("chain", types.hash),
        sa.Column("crc", sa.Integer, nullable=True),
        sa.UniqueConstraint("shard_id", "first_seq", name="timeline_shard_id_first_seq_key"),
        sa.CheckConstraint("count > 0", name="timeline_count_check"),
    )
    table("timeline_type", needed("type", types.type, primary_key=True), number("position", primary_key=True))
    table(
        "kept",
        number("shard_id", primary_key=True),
        number("seq", primary_key=True),
        number("ts_us"),
        number("topics"),
        number("crc"),
        needed("type", types.type),
        needed("body", types.body),
    )
    return meta
