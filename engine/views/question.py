"""A question whose SQL is made once: SQLAlchemy writes it, the driver executes it.

For questions that are asked thousands of times a second: building and looking up an expression takes ten times as long
as SQLite takes to answer. All others are expressions, executed as such.
Not here: connections (database.py), catching up first (views.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import sqlalchemy as sa

from .table import Table

Tables: TypeAlias = Mapping[Table, sa.Table]


class Question:
    """A SELECT over the tables of views, with `sa.bindparam("name")` for what differs from call to call.

    `view`: whose it is. `build`: the expression, from the tables of a store. No list of values may be a parameter.
    """

    __slots__ = ("build", "view")

    def __init__(self, view: str, build: Callable[[Tables], sa.Select[Any]]) -> None:
        self.view = view
        self.build = build


class Prepared(NamedTuple):
    """A question in the words of one database."""

    text: str
    names: tuple[str, ...] | None  #: parameters in the order of their marks; None where the driver takes names
    constants: Mapping[str, Any]  #: parameters that the expression itself has given

    def values(self, given: Mapping[str, Any]) -> Any:
        """The parameters as the driver takes them."""
        if self.names is None:
            return {**self.constants, **given}
        if not self.constants:
            return tuple([given[name] for name in self.names])
        every = {**self.constants, **given}
        return tuple([every[name] for name in self.names])


def prepare(question: Question, tables: Tables, dialect: sa.Dialect, schema: str | None) -> Prepared:
    """Write a question's SQL."""
    compiled = question.build(tables).compile(
        dialect=dialect,
        schema_translate_map={None: schema} if schema else None,
        render_schema_translate=bool(schema),
    )
    names = tuple(compiled.positiontup) if compiled.positional and compiled.positiontup is not None else None
    if compiled.positional and names is None:
        names = ()
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), names, constants)
