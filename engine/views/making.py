"""Make the tables of the views, and the SQL views that show them to people under stable names.

Promises: two processes may do so at once; a newer version of a view gets tables of its own beside the older, whose
processes go on, and its SQL views take the stable names only when it has caught up (`show`).
Not here: what the tables hold (store.py), rebuilding them (generations.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable

from ..errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError
from . import checkpoints, marks
from .checkpoints import LATER, LIVE, REGISTRY, Checkpoint
from .projection import Projection

if TYPE_CHECKING:
    from .store import Store

_TRIES = 10
_COLUMN = re.compile(r"\{(text|name):([a-z_.]+)\}")


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
            with store.database.write(changing=True) as connection:
                _make(store, connection)
            return
        except UnavailableError:  # another process is at it, or is switching the file to WAL
            if attempt == _TRIES - 1:
                raise
            time.sleep(0.05 * (attempt + 1))


def create(store: Store, connection: sa.Connection, tables: Iterable[sa.Table], *, indexed: bool) -> None:
    """Tables, with their indexes or without those that may come later."""
    for table in tables:
        store.database.dialect.create(connection, table, late=not indexed)


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
        store.database.dialect.show(connection, f"{store.database.prefix}{name}", _select(store, connection, select))
    say_shown(connection, projection)


def say_shown(connection: sa.Connection, projection: Projection) -> None:
    """Note down that the stable names show this version of a view, and no other."""
    here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.slot == LIVE)
    connection.execute(REGISTRY.update().where(here).values(shown=0))
    connection.execute(REGISTRY.update().where(checkpoints.at(projection, LIVE)).values(shown=1))


def _select(store: Store, connection: sa.Connection, text: str) -> str:
    dialect = store.database.dialect

    def column(found: re.Match[str]) -> str:
        kind, name = found.groups()
        return dialect.readable(connection, name) if kind == "text" else dialect.quoted(name)

    return _COLUMN.sub(column, text).replace("{prefix}", store.database.prefix)


def hide(store: Store, connection: sa.Connection, names: Iterable[str]) -> None:
    """Take SQL views away: they hold on to the tables. Raises UsageError if something else stands on one."""
    for name in names:
        store.database.dialect.hide(connection, f"{store.database.prefix}{name}")


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
    tables = sa.inspect(connection).get_table_names()
    if not tables or REGISTRY.name in tables:
        return
    shown = store.database.shown
    error = CorruptLogError(f"{shown} is no file of views: it holds {', '.join(sorted(tables)[:3])}")
    error.remedy = f"Move {shown} away, or name another file for the views; foldlog makes it anew."
    raise error


def _make(store: Store, connection: sa.Connection) -> None:
    if store.database.schema is None:  # a file is the views' own, a database is not
        _refuse_foreign(store, connection)
    dialect = store.database.dialect
    dialect.make_alone(connection)
    connection.execute(CreateTable(REGISTRY, if_not_exists=True))
    if store.marked:
        marks.make(connection)
    _add_later_columns(store, connection)
    found = store.checkpoints(connection)
    of_others = set(connection.execute(sa.select(REGISTRY.c.name).where(REGISTRY.c.slot == LIVE)).scalars())
    for projection in store.projections:
        if projection.name not in found:
            store.generations.clear_away(connection, projection)
            create(store, connection, store.tables_of(projection).values(), indexed=not store.database.scratch)
            if store.marked:
                marks.put(connection, projection, 1)
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
