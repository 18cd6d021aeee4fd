"""Queries that walk an index in order and stop at the end of a page.

An index has its rows in order only below one value of what leads it. So a question for several values ("these two
statuses") is a UNION ALL of one query a value, which SQLite and PostgreSQL merge as they go: neither sorts, and
neither reads past the page. How other databases do that, and what else they do in their own way: dialects/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa

from .dialects import of

ARMS = 200  #: values of one statement; SQLite compiles at most 500


class HasDialect(Protocol):
    """What tells for which database SQL is written: a connection, or `Dialect` itself."""

    @property
    def dialect(self) -> sa.Dialect: ...


class Written(NamedTuple):
    """For SQL that is written before there is a connection."""

    dialect: sa.Dialect


def loose(connection: HasDialect, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """The column, so that no index is chosen by it where the database would guess."""
    return of(connection.dialect).loose(column)


def ordered(
    connection: HasDialect, arms: Sequence[sa.Select[Any]], order: Sequence[tuple[str, bool]], *, limit: Any
) -> sa.Select[Any]:
    """One page of the rows of all arms. `order`: names of columns that each arm has, and whether they ascend."""
    if len(arms) == 1:
        columns = arms[0].selected_columns
        by = [columns[name] if ascending else columns[name].desc() for name, ascending in order]
        return arms[0].order_by(*by).limit(limit)
    together = of(connection.dialect).merged(arms, order, limit).subquery("arms")
    by = [together.c[name] if ascending else together.c[name].desc() for name, ascending in order]
    return sa.select(together).order_by(*by).limit(limit)


def walk(query: sa.Select[Any], source: Any, *columns: str) -> sa.Select[Any]:
    """`query`, which begins with `source` and its index that begins with these columns, for a server that would go by
    its estimate of how many rows are left to be sorted. Others need no such hint, and see none."""
    table = getattr(source, "element", source)
    if [column.name for column in table.primary_key][: len(columns)] == list(columns):
        name = "PRIMARY"
    else:
        every = sorted(table.indexes, key=lambda index: len(index.columns))
        index = next(one for one in every if [c.name for c in one.columns][: len(columns)] == list(columns))
        name = re.sub(r"_g\d+$", "", str(index.name))  # as dialects/mysql.py names it
    return query.prefix_with("STRAIGHT_JOIN", dialect="mysql").with_hint(source, f"FORCE INDEX ({name})", "mysql")


def past(
    connection: HasDialect, columns: Sequence[sa.ColumnElement[Any]], place: Sequence[Any], *, ascending: bool = True
) -> sa.ColumnElement[bool]:
    """Past a place in the order of an index of these columns, or of an equal one and these."""
    return of(connection.dialect).behind(columns, place, ascending=ascending)


def distinct(
    connection: HasDialect,
    source: sa.Table,
    column: str,
    *where: sa.ColumnElement[bool],
    after: str | None = None,
    limit: int,
) -> sa.Select[Any]:
    """The values of an indexed column, ascending, past `after`: one look into the index for each, however many rows
    have it. `where` must fix the columns that lead the index."""
    return of(connection.dialect).distinct(source.c[column], where, after, limit)
