"""Generations of a view's tables: the one that is built beside the live one, the one it replaced, older versions.

    building   TABLE_gN: a rebuild in progress, or one that was interrupted and will be gone on with
    live       TABLE: what questions are answered from
    previous   TABLE_gN: what the last rebuild replaced, kept for a way back

Promises: each step is part of one transaction of the caller; a generation's number is never used again, so a process
that was taken for dead cannot write into another's tables.
Not here: folding (rebuild.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex

from . import checkpoints
from .checkpoints import BUILDING, LIVE, PREVIOUS, REGISTRY, Checkpoint, Lost
from .making import create, execute, hide, show
from .projection import Projection
from .statements import indexes
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
        fresh = Checkpoint(generation, 0, "", {}, None, shown=False, code=code)
        checkpoints.insert(connection, projection, fresh, slot=BUILDING)
        create(connection, self.built(projection, generation).values(), indexed=False)
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
        """Make the indexes that are missing, each in a transaction of its own: others wait for one at most. Raises
        Lost if the build has moved."""
        for table in self.built(projection, build.generation).values():
            for index in indexes(table):
                with self._store.database.write() as connection:
                    if self._held(connection, projection, BUILDING) != build:
                        raise Lost
                    connection.execute(CreateIndex(index, if_not_exists=True))

    def drop(self, connection: sa.Connection, projection: Projection, at: Checkpoint, *, slot: str) -> None:
        """Take a generation's tables and checkpoint away."""
        checkpoints.delete(connection, projection, slot, at.generation)
        for table in self.built(projection, at.generation).values():
            execute(self._store, connection, f"DROP TABLE IF EXISTS {{prefix}}{table.name}")

    def switch(self, connection: sa.Connection, projection: Projection, slot: str) -> None:
        """Put the tables of a slot in the place of the live ones, which are kept as the previous ones."""
        if slot != PREVIOUS and (old := self._held(connection, projection, PREVIOUS)) is not None:
            self.drop(connection, projection, old, slot=PREVIOUS)
        self._exchange(connection, projection, slot)

    def drop_old(self, connection: sa.Connection, projection: Projection) -> list[str]:
        """Drop the previous generation, and the tables of older versions; their names."""
        dropped: list[str] = []
        if (old := self._held(connection, projection, PREVIOUS)) is not None:
            self.drop(connection, projection, old, slot=PREVIOUS)
            dropped += [table.name for table in self.built(projection, old.generation).values()]
        older = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.version < projection.version)
        for row in connection.execute(sa.select(REGISTRY).where(older)).all():
            dropped += self._drop_tables(connection, row)
        connection.execute(REGISTRY.delete().where(older))
        return dropped

    def _drop_tables(self, connection: sa.Connection, row: Any) -> list[str]:
        names = json.loads(row.tables) if row.tables else list(json.loads(row.digests))
        if row.slot != LIVE:
            names = [f"{name}_g{row.generation}" for name in names]
        for name in names:
            execute(self._store, connection, f'DROP TABLE IF EXISTS {{prefix}}"{name}"')
        return names

    def _exchange(self, connection: sa.Connection, projection: Projection, slot: str) -> None:
        """The tables of a slot take the live name, and the live ones become the previous."""
        live, other = self._held(connection, projection, LIVE), self._held(connection, projection, slot)
        assert live is not None
        assert other is not None
        sqlite = self._store.database.is_sqlite
        if sqlite:
            if live.shown:
                hide(self._store, connection, projection.people)
            # Else SQLite looks into every SQL view there is, and refuses for one that it cannot follow.
            connection.exec_driver_sql("PRAGMA legacy_alter_table=ON")
        aside = self.built(projection, live.generation)
        for table, ready in self.built(projection, other.generation).items():
            self._rename(connection, table.name, aside[table].name)
            self._rename(connection, ready.name, table.name)
        if sqlite:
            connection.exec_driver_sql("PRAGMA legacy_alter_table=OFF")
        checkpoints.relabel(connection, projection, LIVE, "leaving")
        checkpoints.relabel(connection, projection, slot, LIVE)
        checkpoints.relabel(connection, projection, "leaving", PREVIOUS)
        if live.shown:  # else the names are a newer version's
            show(self._store, connection, projection)
        else:
            checkpoints.unshow(connection, projection)

    def _rename(self, connection: sa.Connection, name: str, to: str) -> None:
        execute(self._store, connection, f"ALTER TABLE {{prefix}}{name} RENAME TO {to}")

    def _held(self, connection: sa.Connection, projection: Projection, slot: str) -> Checkpoint | None:
        return self._store.checkpoints(connection, slot=slot, lock=True).get(projection.name)
