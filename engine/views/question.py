"""A question whose SQL is made once: SQLAlchemy writes it, the driver executes it.

For questions that are asked often: building an expression and looking it up takes ten times as long as SQLite takes to
answer. A question of many forms (filters that may be given or not) has a `Question` for each form, made when it is
first asked and kept; what differs from call to call are parameters.
Not here: connections (database.py), catching up first (views.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import sqlalchemy as sa

from .table import Table

Tables: TypeAlias = Mapping[Table, sa.Table]


class Ask(Protocol):
    """Ask a question in one snapshot with others: `ask(question, key="x")` gives the rows."""

    def __call__(self, question: Question, **given: Any) -> Sequence[Any]: ...


class Question:
    """A SELECT over the tables of views, with `given("name")` for what differs from call to call.

    `view`: whose it is. `build`: the expression, from the tables of a store and the dialect of its database.
    """

    __slots__ = ("__weakref__", "build", "view")

    def __init__(self, view: str, build: Callable[[Tables, sa.Dialect], sa.Select[Any]]) -> None:
        self.view = view
        self.build = build


def given(name: str) -> Any:
    """A parameter of a question."""
    return sa.bindparam(name)


def several(name: str, count: int) -> list[Any]:
    """`count` parameters of a question; `spread` gives them their values."""
    return [sa.bindparam(f"{name}_{number}") for number in range(count)]


def spread(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """The values of `several`."""
    return {f"{name}_{number}": value for number, value in enumerate(values)}


_SIZES = (1, 5, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)


def padded(values: Sequence[Any]) -> list[Any]:
    """Values for a condition `IN`, the last repeated up to one of a few sizes, so that there are few forms. At most
    10,000; of none there is none."""
    if not values:
        return []
    size = next(size for size in _SIZES if size >= len(values))
    return [*values, *[values[-1]] * (size - len(values))]


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
    compiled = question.build(tables, dialect).compile(
        dialect=dialect,
        schema_translate_map={None: schema} if schema else None,
        render_schema_translate=bool(schema),
        compile_kwargs={"render_postcompile": True},
    )
    names = tuple(compiled.positiontup or ()) if compiled.positional else None
    constants = {name: value for name, value in compiled.params.items() if value is not None}
    return Prepared(str(compiled), names, constants)
