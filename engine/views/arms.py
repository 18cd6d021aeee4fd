"""Queries that walk an index in order and stop at the end of a page.

An index has its rows in order only below one value of what leads it. So a question for several values ("these two
statuses") is a UNION ALL of one query a value, which SQLite and PostgreSQL merge as they go: neither sorts, and
neither reads past the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op

ARMS = 200  #: values of one statement; SQLite compiles at most 500


class HasDialect(Protocol):
    """What tells for which database SQL is written: a connection, or `Dialect` itself."""

    @property
    def dialect(self) -> sa.Dialect: ...


class Written(NamedTuple):
    """For SQL that is written before there is a connection."""

    dialect: sa.Dialect


def loose(connection: HasDialect, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The column, so that SQLite does not choose an index by it (sqlite.org/optoverview.html, section 6.3).

    SQLite keeps no statistics here and would guess. A server has them, and is left to choose.
    """
    if connection.dialect.name != "sqlite":
        return column
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


def ordered(arms: Sequence[sa.Select[Any]], order: Sequence[tuple[str, bool]], *, limit: Any) -> sa.Select[Any]:
    """One page of the rows of all arms. `order`: names of columns that each arm has, and whether they ascend."""
    if len(arms) == 1:
        columns = arms[0].selected_columns
        by = [columns[name] if ascending else columns[name].desc() for name, ascending in order]
        return arms[0].order_by(*by).limit(limit)
    together = sa.union_all(*arms).subquery("arms")
    by = [together.c[name] if ascending else together.c[name].desc() for name, ascending in order]
    return sa.select(together).order_by(*by).limit(limit)


def distinct(
    source: sa.Table, column: str, *where: sa.ColumnElement[bool], after: str | None = None, limit: int
) -> sa.Select[Any]:
    """The values of an indexed column, ascending, past `after`: one look into the index for each, however many rows
    have it. `where` must fix the columns that lead the index."""
    start = [source.c[column] > after] if after is not None else []
    least = sa.select(sa.func.min(source.c[column]).label("value")).where(*where, *start)
    values = least.cte("found", recursive=True)
    following = sa.select(sa.func.min(source.c[column])).where(*where, source.c[column] > values.c.value)
    step = sa.select(following.correlate(values).scalar_subquery()).where(values.c.value.is_not(None))
    found = values.union_all(step)
    return sa.select(found.c.value).where(found.c.value.is_not(None)).limit(limit)
