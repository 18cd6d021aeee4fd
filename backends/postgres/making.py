"""Making the tables and functions of a log on PostgreSQL, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ...engine.errors import UsageError
from ..sql.dialect import Doing
from .functions import FUNCTIONS
from .tables import METADATA

SERVER = 130_000  #: the oldest server this was made for, as server_version_num
TURN = 0x666F6C64  #: the advisory lock under which tables are made; any constant would do

# The catalogs may be read by everyone: a role without rights on the schema learns that it is there, too.
COLUMNS = """
SELECT a.attname FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = 'log' AND a.attnum > 0 AND NOT a.attisdropped
"""


def check_server(tx: Doing, place: str) -> None:
    """Raise UsageError for a server or a database that cannot hold a log."""
    row = tx.one("SELECT current_setting('server_version_num')::int, pg_catalog.getdatabaseencoding()")
    if row is None or row[0] < SERVER or row[1] != "UTF8":
        needed = f"PostgreSQL {SERVER // 10_000} or newer and a database in UTF8"
        raise UsageError(f"{place}: a log needs {needed}")


def columns_of_log(tx: Doing, schema: str) -> set[str]:
    """The columns of the table `log`; empty if there is none."""
    return {name for (name,) in tx.all(COLUMNS, {"schema": schema})}


def create(tx: Doing, schema: str, check: Callable[[Doing], bool], fill: Callable[[Doing], None]) -> None:
    """Make all, and call `fill` for the first rows; nothing if `check` finds that another process was faster."""
    # IF NOT EXISTS alone races: two processes that both find nothing both create, and one fails on a catalog's index.
    # The lock is a statement of its own: what the other has made is seen by statements that begin after it.
    tx.execute("SELECT pg_catalog.pg_advisory_xact_lock(%(turn)s)", {"turn": TURN})
    if check(tx):
        return
    # Asked first, because CREATE SCHEMA IF NOT EXISTS needs the right to create one even where it exists.
    if tx.one("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %(schema)s", {"schema": schema}) is None:
        tx.execute(f'CREATE SCHEMA "{schema}"')
    for statement in (*_tables(schema), *FUNCTIONS):
        tx.execute(statement)
    fill(tx)


@lru_cache(maxsize=8)
def _tables(schema: str) -> tuple[str, ...]:
    """The statements that make the tables."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    made = []
    for table in METADATA.sorted_tables:
        moved = table.to_metadata(sa.MetaData(), schema=schema)
        made.append(str(CreateTable(moved).compile(dialect=dialect)))
        made += [str(CreateIndex(index).compile(dialect=dialect)) for index in moved.indexes]
    return tuple(made)
