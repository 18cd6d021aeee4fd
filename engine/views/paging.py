"""Queries that several questions share: one page out of an index that has the order.

Not here: what a question is about (the modules beside this one, and their `*_queries`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa

CHUNK: Final = 1000  #: keys in one statement

T = TypeVar("T")


def any_of(
    query_of: Callable[[str], sa.Select[Any]], values: Collection[str], *, order: Sequence[tuple[str, bool]], limit: int
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """One page of all rows that have one of `values`, each value read from its index in order, and merged.

    `query_of`: the rows that have one value. `order`: columns, and whether each goes down. `column IN (...)` instead
    would fetch all that match and sort them, on SQLite whatever the index.
    """
    queries = [query_of(value) for value in sorted(set(values))] or [query_of("").where(sa.false())]
    if len(queries) == 1:
        query: Any = queries[0]
    else:
        query = sa.union_all(*queries)
    columns = query.selected_columns
    by = [columns[name].desc() if down else columns[name].asc() for name, down in order]
    return query.order_by(*by).limit(limit)  # type: ignore[no-any-return]


def behind(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Sequence[sa.ColumnElement[Any]],
    where: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[Any] | None:
    """`query` from behind the row that `where` names, in ascending `order`; None if there is no such row."""
    at = connection.execute(sa.select(*order).where(*where)).first()
    return None if at is None else query.where(sa.tuple_(*order) > sa.tuple_(*map(sa.literal, at)))


def chunks(items: Collection[T]) -> Iterator[list[T]]:
    """`items` in lists that one statement can hold, each item once, in their order."""
    once = list(dict.fromkeys(items))
    for start in range(0, len(once), CHUNK):
        yield once[start : start + CHUNK]
