"""Make the tables of the views, and the SQL views that show them to people under stable names.

Promises: two processes may do so at once; a newer version of a view gets tables of its own beside the older, whose
processes go on, and its SQL views take the stable names only when it has caught up (`show`).
Not here: what the tables hold (store.py), rebuilding them (generations.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from ..errors import FoldlogError, ReadOnlyError, UnavailableError
from . import checkpoints
from .checkpoints import LATER, LIVE, REGISTRY, Checkpoint
from .projection import Projection
from .statements import indexes

if TYPE_CHECKING:
    from .store import Store

_TRIES = 10


def prepare(store: Store) -> None:
    """Make what is not there. Two processes may do so at once."""
    if _is_complete(store):
        return
    if store.read_only:
        error = ReadOnlyError(f"nothing was projected into {store.database.shown} by this release yet")
        error.remedy = "Open the instance for writing once, or give views='memory://' to fold views of your own."
        raise error
    for attempt in range(_TRIES):
        try:
            with store.database.write() as connection:
                _make(store, connection)
            return
        except UnavailableError:  # another process is at it, or is switching the file to WAL
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def create(connection: sa.Connection, tables: Iterable[sa.Table], *, indexed: bool) -> None:
    """Tables, with their indexes or without."""
    for table in tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in indexes(table) if indexed else ():
            connection.execute(CreateIndex(index, if_not_exists=True))


def show(store: Store, connection: sa.Connection, projection: Projection) -> None:
    """Let the stable names show this version of a view; names that only another version had are gone."""
    here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.slot == LIVE)
    for names in connection.execute(sa.select(REGISTRY.c.people).where(here)).scalars().all():
        hide(store, connection, json.loads(names or "[]"))
    hide(store, connection, projection.people)
    for name, select in projection.people.items():
        execute(store, connection, f"CREATE VIEW {{prefix}}{name} AS {select}")
    connection.execute(REGISTRY.update().where(here).values(shown=0))
    connection.execute(REGISTRY.update().where(checkpoints.at(projection, LIVE)).values(shown=1))


def hide(store: Store, connection: sa.Connection, names: Iterable[str]) -> None:
    """Take SQL views away: they hold on to the tables."""
    for name in names:
        execute(store, connection, f"DROP VIEW IF EXISTS {{prefix}}{name}")


def execute(store: Store, connection: sa.Connection, text: str) -> None:
    """Run SQL text; `{prefix}` is what stands before a table's name."""
    connection.execute(sa.text(text.replace("{prefix}", store.database.prefix)))


def _is_complete(store: Store) -> bool:
    try:
        found = store.checkpoints()
    except FoldlogError as error:
        if store.read_only and isinstance(error, UnavailableError):
            return False  # there is no file
        raise
    except sa.exc.DBAPIError:  # there is no table, or it is of an older release
        return False
    return len(found) == len(store.projections)


def _make(store: Store, connection: sa.Connection) -> None:
    if not store.database.is_sqlite:
        # CREATE TABLE IF NOT EXISTS of two sessions can clash in the catalog.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7310859841)")
    connection.execute(CreateTable(REGISTRY, if_not_exists=True))
    _add_later_columns(store, connection)
    found = store.checkpoints(connection)
    of_others = set(connection.execute(sa.select(REGISTRY.c.name).where(REGISTRY.c.slot == LIVE)).scalars())
    for projection in store.projections:
        if projection.name not in found:
            create(connection, store.tables_of(projection).values(), indexed=not store.database.scratch)
            code = checkpoints.fingerprint(projection)
            beside = projection.name in of_others  # another version, which people see until this one has caught up
            at = Checkpoint(1, 0, "", {}, None, shown=not beside, code=code)
            checkpoints.insert(connection, projection, at, slot=LIVE)
            if not beside:
                show(store, connection, projection)


def _add_later_columns(store: Store, connection: sa.Connection) -> None:
    """The registry of the first release had fewer columns; its processes name those they use, and go on."""
    has = {column["name"] for column in sa.inspect(connection).get_columns(REGISTRY.name, schema=store.database.schema)}
    for name in LATER:
        if name not in has:
            kind = REGISTRY.c[name].type.compile(connection.dialect)
            execute(store, connection, f"ALTER TABLE {{prefix}}{REGISTRY.name} ADD COLUMN {name} {kind}")
