"""The tables and checkpoints of the projections in one database.

Promises: rows and checkpoint move in one transaction, and only from where they were read: who comes second changes
nothing. The tables are made once; after that an open database costs one query.
Not here: which events come next, what they do (projector.py), connections (database.py), making the tables
(making.py), other generations of them (generations.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from . import checkpoints, marks
from .checkpoints import BUILDING, LIVE, PREVIOUS, Checkpoint, Lost, Stop
from .database import Database
from .generations import Generations
from .lazily import Lazily
from .making import prepare
from .projection import Projection
from .question import Ask, Prepared, Question, prepare as prepare_question
from .rows import AtHand, Rows
from .statements import Statements
from .table import Table

__all__ = ["BUILDING", "LIVE", "PREVIOUS", "Checkpoint", "Lost", "Stop", "Store"]


class Store:
    """The checkpoints and tables of the given projections in one database."""

    def __init__(self, database: Database, projections: Sequence[Projection], *, read_only: bool = False) -> None:
        self.database = database
        self.projections = projections
        self.read_only = read_only
        self._made: dict[sa.Table, Statements] = {}
        # Questions of many forms are dropped and made anew; what was made for them goes with them.
        self._prepared: WeakKeyDictionary[Question, Prepared] = WeakKeyDictionary()
        self._versions = {p.name: p.version for p in projections}
        self._live = Lazily((table for p in projections for table in p.tables), lambda table: table.declare(1))
        self.marked = not database.dialect.changes_with_rows  #: `marks` tell which generation is live
        self.generations = Generations(self)
        prepare(self)

    def close(self) -> None:
        self.database.close()

    @property
    def tables(self) -> Mapping[Table, sa.Table]:
        """The live tables, to query."""
        return self._live

    def tables_of(self, projection: Projection) -> dict[Table, sa.Table]:
        """The live tables of one view."""
        return {table: self._live[table] for table in projection.tables}

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of checkpoints and live tables."""
        with self.database.read(self._names) as connection:
            yield connection

    @cached_property
    def _names(self) -> tuple[str, ...]:
        """A switch in the middle would show the new tables with only what was in them as the snapshot began."""
        names = [table.name for table in self._live] + ([marks.MARKS.name] if self.marked else [])
        return tuple(f"{self.database.prefix}{name}" for name in names)

    def checkpoints(
        self, connection: sa.Connection | None = None, *, slot: str = LIVE, lock: bool = False
    ) -> dict[str, Checkpoint]:
        """By view, as one snapshot shows them. `lock`: and nobody moves them before this transaction ends."""
        if connection is None:
            with self.database.read() as connection:
                return self.checkpoints(connection, slot=slot)
        if not self.marked:
            return checkpoints.read(connection, self._versions, slot=slot, lock=lock)
        if not lock:
            return marks.read(connection, self._versions, slot=slot)
        if not self.database.is_changing(connection):
            return marks.take(connection, connection, self._versions, slot=slot)
        # Who has looked at a mark cannot rename it: a transaction that may want to lets another connection look.
        with self.database.beside() as beside:
            return marks.take(connection, beside, self._versions, slot=slot)

    def fetch(self, question: Question, given: Mapping[str, Any]) -> Sequence[Any]:
        """The rows that answer a question, in a snapshot of its own."""
        prepared = self._prepare(question)
        return self.database.fetch(prepared.text, prepared.values(given))

    @contextmanager
    def asking(self) -> Iterator[Ask]:
        """One snapshot for any number of questions."""
        with self.database.snapshot(self._names) as fetch:

            def ask(question: Question, **given: Any) -> Sequence[Any]:
                prepared = self._prepare(question)
                return fetch(prepared.text, prepared.values(given))

            yield ask

    def _prepare(self, question: Question) -> Prepared:
        prepared = self._prepared.get(question)
        if prepared is None:
            dialect, schema = self.database.engine.dialect, self.database.schema
            prepared = self._prepared[question] = prepare_question(question, self._live, dialect, schema)
        return prepared

    def move(
        self, connection: sa.Connection, projection: Projection, old: Checkpoint, new: Checkpoint, *, slot: str = LIVE
    ) -> None:
        """Set the checkpoint, if it is where it was read. Raises Lost if it is not."""
        checkpoints.move(connection, projection, old, new, slot=slot)

    def rows(
        self,
        connection: sa.Connection,
        projection: Projection,
        at: Checkpoint,
        *,
        slot: str = LIVE,
        at_hand: AtHand | None = None,
    ) -> Rows:
        """The tables of a view, for folding. `at_hand`: of a writer who is alone with them since they were empty."""
        declared = self._live if slot == LIVE else self.generations.built(projection, at.generation)
        statements = Lazily(projection.tables, lambda table: self._statements(table, declared[table]))
        indexed = slot != BUILDING and not self.database.scratch
        return Rows(connection, statements, at.digests, at_hand, indexed=indexed)

    def _statements(self, table: Table, declared: sa.Table) -> Statements:
        if declared not in self._made:
            self._made[declared] = Statements(table, declared, self.database.engine.dialect, self.database.prefix)
        return self._made[declared]

    def empty(self, connection: sa.Connection, projection: Projection, old: Checkpoint) -> None:
        """Take every row out of the live tables, and begin again before the first event."""
        for table in self.tables_of(projection).values():
            connection.execute(table.delete())
        generation = self.generations.next_number(connection, projection)
        if self.marked:
            marks.put(connection, projection, generation)
        self.generations.drop_beside(connection, projection)
        self.move(connection, projection, old, Checkpoint(generation, 0, "", {}, None))
