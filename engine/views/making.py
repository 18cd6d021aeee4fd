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

from ..errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError, UsageError
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
    """Let the stable names show this version of a view; names that only another version had are gone.

    Raises UsageError if something of a user's stands on such a name and has to go first.
    """
    here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.slot == LIVE)
    named = [
        json.loads(names or "[]") for names in connection.execute(sa.select(REGISTRY.c.people).where(here)).scalars()
    ]
    old = [name for names in named for name in names if name not in projection.people]
    hide(store, connection, old)
    for name, select in projection.people.items():
        text = f"VIEW {{prefix}}{name} AS {select}"
        if store.database.is_sqlite:
            execute(store, connection, f"DROP VIEW IF EXISTS {{prefix}}{name}")
            execute(store, connection, f"CREATE {text}")
        else:  # in place, for views of users' own may stand on it; anew only if its columns are others
            _replace(store, connection, name, text)
    connection.execute(REGISTRY.update().where(here).values(shown=0))
    connection.execute(REGISTRY.update().where(checkpoints.at(projection, LIVE)).values(shown=1))


def _replace(store: Store, connection: sa.Connection, name: str, text: str) -> None:
    try:
        with connection.begin_nested():
            execute(store, connection, f"CREATE OR REPLACE {text}")
    except sa.exc.ProgrammingError:
        hide(store, connection, [name])
        execute(store, connection, f"CREATE {text}")


def hide(store: Store, connection: sa.Connection, names: Iterable[str]) -> None:
    """Take SQL views away: they hold on to the tables. Raises UsageError if something else stands on one."""
    for name in names:
        try:
            execute(store, connection, f"DROP VIEW IF EXISTS {{prefix}}{name}")
        except sa.exc.InternalError as error:
            refused = UsageError(f"the SQL view {name} cannot be replaced: {str(error.orig).strip()}")
            refused.remedy = "Drop what depends on it, then try again; make it anew afterwards."
            raise refused from error


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


def _refuse_foreign(store: Store, connection: sa.Connection) -> None:
    """Raise CorruptLogError for a file that holds something else: views may be thrown away, what is there may not."""
    tables = set(connection.execute(sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars())
    if not tables or REGISTRY.name in tables:
        return
    shown = store.database.shown
    error = CorruptLogError(f"{shown} is no file of views: it holds {', '.join(sorted(tables)[:3])}")
    error.remedy = f"Move {shown} away, or name another file for the views; foldlog makes it anew."
    raise error


def _make(store: Store, connection: sa.Connection) -> None:
    if store.database.is_sqlite:
        _refuse_foreign(store, connection)
    else:
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
