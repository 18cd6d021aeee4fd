"""The views' registry, where views lie beside the log: the columns that releases have added to it.

The projector makes the registry in its newest form and adds what it lacks before it writes, for views may lie in any
database, also in one that no command is told of. Here an upgrade does the same ahead of time, so that a program without
the right to change tables finds all in place. Which columns there are is kept here once more, and a test compares.
"""

from __future__ import annotations

import sqlalchemy as sa

from . import Waiting
from .place import Place
from .work import Work

TABLE = "foldlog_views"
#: column -> type, of those that the first release did not have; the types are the same in every database
LATER = {"code": "TEXT", "tables": "TEXT", "people": "TEXT", "shown": "INTEGER"}


def lacking(place: Place) -> tuple[str, ...] | None:
    """The columns to add; None if there are no views beside the log."""
    with place.registry(write=False) as connection:
        return None if connection is None else _lacking(place, connection)


def upgrade(place: Place, waiting: Waiting) -> None:
    """Add the columns that are lacking."""
    with place.registry(write=True) as connection:
        if connection is not None and (names := _lacking(place, connection)):
            columns = {name: LATER[name] for name in names}
            work = Work(place, connection, waiting=waiting)
            work.step("the views' registry", lambda work: work.add_columns(TABLE, columns))


def _lacking(place: Place, connection: sa.Connection) -> tuple[str, ...] | None:
    see = sa.inspect(connection)
    schema = place.schema
    if not see.has_table(TABLE, schema=schema):
        return None
    there = {column["name"] for column in see.get_columns(TABLE, schema=schema)}
    return tuple(name for name in LATER if name not in there)
