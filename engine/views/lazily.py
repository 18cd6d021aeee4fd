"""What is made of a table when it is first asked for: most programs ask about few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

from .table import Table

T = TypeVar("T")


class Lazily(Mapping[Table, T]):
    """A mapping over `tables` whose values `make` makes."""

    def __init__(self, tables: Iterable[Table], make: Callable[[Table], T]) -> None:
        self._make = make
        self._made: dict[Table, T | None] = dict.fromkeys(tables)

    def __getitem__(self, table: Table) -> T:
        made = self._made[table]
        if made is None:  # two threads may both make it; either will do
            made = self._made[table] = self._make(table)
        return made

    def __iter__(self) -> Iterator[Table]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)
