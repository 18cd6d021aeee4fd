"""Generations of a view's tables: the one that is built beside the live one, the one it replaced, older versions.

    building   TABLE_gN: a rebuild in progress, or one that was interrupted and will be gone on with
    live       TABLE: what questions are answered from
    previous   TABLE_gN: what the last rebuild replaced, kept for a way back

Promises: each step is part of one transaction of the caller (where tables change outside of transactions: a crash at
any moment leaves what the next caller sets right, marks.py); a generation's number is never used again, so a process
that was taken for dead cannot write into another's tables.
Not here: folding (rebuild.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from . import checkpoints, marks
from .checkpoints import BUILDING, LIVE, PREVIOUS, REGISTRY, Checkpoint, Lost
from .dialects.dialect import Renamed
from .making import create, say_shown, show
from .projection import Projection
from .table import Table

if TYPE_CHECKING:
    from .store import Store


class Generations:
    """The generations of the views of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._declared: dict[tuple[str, int], dict[Table, sa.Table]] = {}

    def built(self, projection: Projection, generation: int) -> dict[Table, sa.Table]:
        """The tables of a generation that is not live."""
        key = projection.name, generation
        if key not in self._declared:
            self._declared[key] = {table: table.declare(generation, building=True) for table in projection.tables}
        return self._declared[key]

    def begin(self, connection: sa.Connection, projection: Projection, *, afresh: bool = False) -> Checkpoint:
        """Where a rebuild goes on: behind what an interrupted one of the same code has folded, else with empty tables.

        `afresh`: never behind another.
        """
        # The row of the live slot is locked first, so that two processes do not begin at once.
        generation = self.next_number(connection, projection)
        left, code = self._held(connection, projection, BUILDING), checkpoints.fingerprint(projection)
        if left is not None and left.code == code and not afresh:
            return left
        if left is not None:
            self.drop(connection, projection, left, slot=BUILDING)
        self._sweep(connection, projection)
        create(self._store, connection, self.built(projection, generation).values(), indexed=False)
        fresh = Checkpoint(generation, 0, "", {}, None, shown=False, code=code)
        checkpoints.insert(connection, projection, fresh, slot=BUILDING)
        return fresh

    def next_number(self, connection: sa.Connection, projection: Projection) -> int:
        """A number that no generation of the view has had."""
        held = [self._held(connection, projection, slot) for slot in (LIVE, BUILDING, PREVIOUS)]
        return max(at.generation for at in held if at is not None) + 1

    def drop_beside(self, connection: sa.Connection, projection: Projection) -> None:
        """Drop what is beside the live tables: it is of a history that was lost."""
        for slot in (BUILDING, PREVIOUS):
            if (at := self._held(connection, projection, slot)) is not None:
                self.drop(connection, projection, at, slot=slot)

    def finish(self, projection: Projection, build: Checkpoint) -> None:
        """Make the indexes that are missing, those of a table in a transaction of their own: others wait for these at
        most. Raises Lost if the build has moved."""
        for table in self.built(projection, build.generation).values():
            with self._store.database.write(changing=True) as connection:
                if self._held(connection, projection, BUILDING) != build:
                    raise Lost
                self._store.database.dialect.create_indexes(connection, table, late=True)

    def drop(self, connection: sa.Connection, projection: Projection, at: Checkpoint, *, slot: str) -> None:
        """Take a generation's tables and checkpoint away."""
        checkpoints.delete(connection, projection, slot, at.generation)
        for table in self.built(projection, at.generation).values():
            self._drop(connection, table.name)

    def switch(self, connection: sa.Connection, projections: Sequence[Projection], slot: str) -> None:
        """Put the tables of a slot in the place of the live ones, which are kept as the previous ones."""
        for projection in projections:
            if slot != PREVIOUS and (old := self._held(connection, projection, PREVIOUS)) is not None:
                self.drop(connection, projection, old, slot=PREVIOUS)
        self._exchange(connection, projections, slot)

    def drop_old(self, connection: sa.Connection, projection: Projection) -> list[str]:
        """Drop the previous generation, and the tables of older versions; their names."""
        dropped: list[str] = []
        if (old := self._held(connection, projection, PREVIOUS)) is not None:
            self.drop(connection, projection, old, slot=PREVIOUS)
            dropped += [table.name for table in self.built(projection, old.generation).values()]
        older = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.version < projection.version)
        for row in connection.execute(sa.select(REGISTRY).where(older)).all():
            dropped += self._drop_tables(connection, row)
            if self._store.marked:
                marks.forget(connection, projection.name, [row.version])
        connection.execute(REGISTRY.delete().where(older))
        return dropped

    def _drop_tables(self, connection: sa.Connection, row: Any) -> list[str]:
        names = json.loads(row.tables) if row.tables else list(json.loads(row.digests))
        if row.slot != LIVE:
            names = [f"{name}_g{row.generation}" for name in names]
        for name in names:
            self._drop(connection, name)
        return names

    def _drop(self, connection: sa.Connection, name: str) -> None:
        self._store.database.dialect.drop(connection, f"{self._store.database.prefix}{name}")

    def clear_away(self, connection: sa.Connection, projection: Projection) -> None:
        """Before the tables of a view are made: what a crash may have left of it, where one can leave any."""
        if not self._store.marked:
            return
        here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.version == projection.version)
        connection.execute(REGISTRY.delete().where(here))
        self._sweep(connection, projection)
        self._clear(connection, [table.name for table in projection.tables])

    def _sweep(self, connection: sa.Connection, projection: Projection) -> None:
        """Drop tables of generations of which the registry knows nothing."""
        here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.version == projection.version)
        known = set(connection.execute(sa.select(REGISTRY.c.generation).where(here)).scalars())
        database, left = self._store.database, []
        for table in projection.tables:
            for name in database.dialect.stray(connection, database.schema, table.name):
                if int(name.removeprefix(f"{table.name}_g")) not in known:
                    left.append(name)
        self._clear(connection, left)

    def _clear(self, connection: sa.Connection, names: Sequence[str]) -> None:
        database = self._store.database
        if names:
            database.dialect.clear(connection, [f"{database.prefix}{name}" for name in names])

    def _exchange(self, connection: sa.Connection, projections: Sequence[Projection], slot: str) -> None:
        """The tables of a slot take the live names, and the live ones become the previous."""
        database, names = self._store.database, []
        left: list[tuple[Projection, Checkpoint]] = []
        numbers: dict[tuple[str, int], int] = {}
        for projection in projections:
            live, other = self._held(connection, projection, LIVE), self._held(connection, projection, slot)
            assert live is not None
            assert other is not None
            aside, ready = self.built(projection, live.generation), self.built(projection, other.generation)
            names += [Renamed(table.name, aside[table].name, ready[table].name) for table in ready]
            left.append((projection, live))
            numbers[projection.name, projection.version] = other.generation
        if names and self._store.marked:
            with database.beside() as beside:
                names.append(marks.prepare(beside, numbers))
        if names:
            database.dialect.exchange(connection, database.beside(), database.prefix, names)
            if self._store.marked:
                self._drop(connection, names[-1].aside)
        for projection, live in left:
            checkpoints.relabel(connection, projection, LIVE, "leaving")
            checkpoints.relabel(connection, projection, slot, LIVE)
            checkpoints.relabel(connection, projection, "leaving", PREVIOUS)
            if not live.shown:  # the names are a newer version's
                checkpoints.unshow(connection, projection)
            elif database.dialect.shows_by_name:
                say_shown(connection, projection)
            else:
                show(self._store, connection, projection)

    def _held(self, connection: sa.Connection, projection: Projection, slot: str) -> Checkpoint | None:
        return self._store.checkpoints(connection, slot=slot, lock=True).get(projection.name)
