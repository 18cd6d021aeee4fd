"""What is asked of a dialect. One object serves all databases of its kind: it keeps nothing.

Not here: connections and pools (../database.py), which tables there are (../store.py).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple

import sqlalchemy as sa

from ...errors import FoldlogError


class Shape(NamedTuple):
    """The words about one table that statements over many rows are put together from."""

    name: str  #: with the schema, quoted as need be
    columns: tuple[str, ...]  #: quoted
    key: int  #: how many of them are the key
    mark: str  #: of a parameter
    row: str  #: the marks of a row, in brackets
    of_key: str  #: the marks of a key, in brackets
    keys: str  #: the columns of the key, in brackets
    at: str  #: the condition that names one row
    select: str  #: up to the condition
    insert: str  #: up to the rows
    delete: str  #: up to the condition


class Renamed(NamedTuple):
    """A table that gives its name to another."""

    live: str  #: the name that both have in turn
    aside: str  #: what the one that leaves is called from then on
    ready: str  #: what the other was called


Value = tuple[Any, ...]


class Dialect(ABC):
    """How one kind of database is talked to."""

    in_process: ClassVar[bool]  #: a connection is the driver's own, and taking one from a pool costs more than asking
    one_by_one: ClassVar[bool]  #: a statement for each row costs no more than one for many
    #: whether making, dropping and renaming tables is part of the transaction; if not, it happens at once and commits
    changes_with_rows: ClassVar[bool]
    shows_by_name: ClassVar[bool]  #: an SQL view finds its tables by name, so that it shows whichever has the name

    # -- connections and transactions -------------------------------------------------------------------------------

    @abstractmethod
    def engine(self, target: sa.URL) -> sa.Engine:
        """A bounded pool of its own."""

    @abstractmethod
    def make_schema(self, connection: sa.Connection, schema: str) -> None:
        """Make the schema if need be."""

    @abstractmethod
    def prefix(self, schema: str | None) -> str:
        """What stands before a table's name in SQL text."""

    def lent(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Around whatever is done with a connection, which may be another's: text comes out as text."""
        return nullcontext()

    @abstractmethod
    def reading(self, connection: sa.Connection, tables: Sequence[str]) -> AbstractContextManager[sa.Connection]:
        """One snapshot. `tables`: nobody takes one of these away or renames it from before the snapshot to its end:
        who did so in between would show the new one with only what was in it as the snapshot began."""

    @abstractmethod
    def writing(self, connection: sa.Connection, *, alone: str | None) -> AbstractContextManager[sa.Connection]:
        """A transaction, committed at the end of the block. `alone`: it changes tables, and nobody else does so under
        this name meanwhile."""

    def single(self, connection: sa.Connection) -> sa.Connection:
        """The connection, for one SELECT that is a snapshot by itself."""
        return connection

    @abstractmethod
    def is_again(self, error: BaseException) -> bool:
        """Whether a reader who has met this has only to ask again."""

    @abstractmethod
    def kind_of(self, error: BaseException) -> type[FoldlogError] | None:
        """What an error of the driver means; None: nothing that is known."""

    # -- many rows ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def select(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> Iterator[Sequence[Any]]:
        """The rows at these keys, in no order."""

    @abstractmethod
    def insert(self, connection: sa.Connection, shape: Shape, rows: Sequence[Value]) -> None:
        """New rows, whatever their size."""

    @abstractmethod
    def delete(self, connection: sa.Connection, shape: Shape, keys: Sequence[Value]) -> None:
        """Drop the rows at these keys."""

    # -- tables -------------------------------------------------------------------------------------------------------

    @abstractmethod
    def make_alone(self, connection: sa.Connection) -> None:
        """Before tables are made: nobody else makes them until the transaction ends."""

    def type_of(self, written: sa.Dialect, kind: str, most: int | None) -> str:
        """How a column of `text` (of at most that many bytes, if given) or `bytes` is declared, where SQLAlchemy has
        no type that is right."""
        raise NotImplementedError(f"SQLAlchemy's own types are right for {written.name}")

    @abstractmethod
    def create(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        """A table that may be there already, with its indexes. `late`: those that a rebuild makes at its end may be
        left out."""

    @abstractmethod
    def create_indexes(self, connection: sa.Connection, table: sa.Table, *, late: bool) -> None:
        """The indexes that are missing. `late`: also those in which no fold looks."""

    @abstractmethod
    def drop(self, connection: sa.Connection, name: str) -> None:
        """A table with its rows, if it is there; after the commit, if the transaction would not survive it."""

    def clear(self, connection: sa.Connection, names: Sequence[str]) -> None:
        """Drop tables that a crash has left; at once."""
        raise NotImplementedError("a crash leaves no tables where they change with the rows")

    @abstractmethod
    def stray(self, connection: sa.Connection, schema: str | None, name: str) -> list[str]:
        """Tables of other generations that a crash may have left, by name; none where none can be left."""

    @abstractmethod
    def impatient(self, connection: sa.Connection) -> None:
        """Before a switch: who waits for a table makes all later readers wait too, so give up soon."""

    @abstractmethod
    def exchange(
        self,
        connection: sa.Connection,
        beside: AbstractContextManager[sa.Connection],
        prefix: str,
        names: Sequence[Renamed],
    ) -> None:
        """Give names to other tables, all at once. `beside`: a second connection, if one is needed."""

    # -- SQL views ----------------------------------------------------------------------------------------------------

    @abstractmethod
    def readable(self, connection: sa.Connection, column: str) -> str:
        """A column of text in the SELECT of an SQL view for people."""

    @abstractmethod
    def quoted(self, column: str) -> str:
        """A column, perhaps with the name of its table before it, in the SELECT of an SQL view."""

    @abstractmethod
    def show(self, connection: sa.Connection, name: str, select: str) -> None:
        """Make an SQL view, or let it show something else."""

    def hide(self, connection: sa.Connection, name: str) -> None:
        """Take an SQL view away. Raises UsageError if something of a user's stands on it."""
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {name}")

    # -- questions ----------------------------------------------------------------------------------------------------

    def loose(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """The column, so that no index is chosen by it, where the database would guess. A server has statistics."""
        return column

    def merged(self, arms: Sequence[Any], order: Sequence[tuple[str, bool]], limit: Any) -> sa.CompoundSelect[Any]:
        """The rows of all arms, so that none is read past its first `limit` in `order`: names and whether they
        ascend."""
        return sa.union_all(*arms)

    def behind(
        self, columns: Sequence[sa.ColumnElement[Any]], place: Sequence[Any], *, ascending: bool
    ) -> sa.ColumnElement[bool]:
        """Past a place in the order of an index."""
        here, there = sa.tuple_(*columns), sa.tuple_(*place)
        return here > there if ascending else here < there

    def distinct(
        self, column: sa.ColumnElement[Any], where: Sequence[sa.ColumnElement[bool]], after: str | None, limit: int
    ) -> sa.Select[Any]:
        """The values of an indexed column, ascending, past `after`: one look into the index for each, however many rows
        have it. `where` must fix the columns that lead the index."""
        start = [column > after] if after is not None else []
        least = sa.select(sa.func.min(column).label("value")).where(*where, *start)
        values = least.cte("found", recursive=True)
        following = sa.select(sa.func.min(column)).where(*where, column > values.c.value)
        step = sa.select(following.correlate(values).scalar_subquery()).where(values.c.value.is_not(None))
        found = values.union_all(step)
        return sa.select(found.c.value).where(found.c.value.is_not(None)).limit(limit)
