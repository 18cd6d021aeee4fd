"""Queries that several questions share: one page out of an index that has the order.

Not here: what a question is about (the modules beside this one, and their `*_queries`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from .arms import HasDialect, ordered, past

CHUNK: Final = 1000  #: keys in one statement

T = TypeVar("T")


def any_of(
    connection: HasDialect,
    query_of: Callable[[str], sa.Select[Any]],
    values: Collection[str],
    *,
    order: Sequence[tuple[str, bool]],
    limit: int,
) -> sa.Select[Any]:
    """One page of all rows that have one of `values`, each value read from its index in order, and merged.

    `query_of`: the rows that have one value. `order`: columns, and whether each goes down. `column IN (...)` instead
    would fetch all that match and sort them, on SQLite whatever the index.
    """
    queries = [query_of(value) for value in sorted(set(values))] or [query_of("").where(sa.false())]
    return ordered(connection, queries, [(name, not down) for name, down in order], limit=limit)


def behind(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Sequence[sa.ColumnElement[Any]],
    where: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[Any] | None:
    """`query` from behind the row that `where` names, in ascending `order`; None if there is no such row."""
    at = connection.execute(sa.select(*order).where(*where)).first()
    return None if at is None else query.where(past(connection, order, [sa.literal(one) for one in at]))


def chunks(items: Collection[T]) -> Iterator[list[T]]:
    """`items` in lists that one statement can hold, each item once, in their order."""
    once = list(dict.fromkeys(items))
    for start in range(0, len(once), CHUNK):
        yield once[start : start + CHUNK]
