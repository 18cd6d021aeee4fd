"""What is kept of each view beside its rows: how far it has got, and the digests of its tables.

Promises: rows and checkpoint move in one transaction, and only from where they were read: who comes second changes
nothing. The tables are made once; after that an open database costs one query.
Not here: which events come next, what they do (projector.py), connections (database.py).
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from ..errors import FoldlogError, ReadOnlyError, UnavailableError
from .database import Database
from .projection import Projection
from .rows import AtHand, Digest, Rows
from .statements import Statements
from .table import Table

LIVE = "live"
BUILDING = "building"

_CHECKPOINTS = sa.Table(
    "foldlog_views",
    sa.MetaData(),
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slot", sa.String(20), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),  #: raised by each rebuild
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("cursor", sa.Text, nullable=False),  #: log id, epoch, position, chain; empty before the first event
    sa.Column("digests", sa.Text, nullable=False),  #: JSON: table -> [digest in hex, number of rows]
    sa.Column("stopped_position", sa.BigInteger),  #: of the event it could not take in
    sa.Column("stopped_type", sa.Text),
    sa.Column("stopped_reason", sa.Text),
)


class Checkpoint(NamedTuple):
    """Where one view stands."""

    generation: int
    position: int
    cursor: str
    digests: dict[str, Digest]
    stopped: Stop | None


class Stop(NamedTuple):
    """The event that a view could not take in, and why."""

    position: int
    type: str
    reason: str


class Lost(Exception):
    """Somebody else has moved the checkpoint; what was about to be written is void."""


class Store:
    """The checkpoints and tables of the given projections in one database."""

    def __init__(self, database: Database, projections: Sequence[Projection], *, read_only: bool = False) -> None:
        self.database = database
        self.projections = projections
        self.read_only = read_only
        self._made: dict[sa.Table, Statements] = {}
        self._declared: dict[tuple[str, int], dict[Table, sa.Table]] = {}
        self._live = {p.name: {table: table.declare(1) for table in p.tables} for p in projections}
        self._all = {table: declared for tables in self._live.values() for table, declared in tables.items()}
        self._prepare()

    def close(self) -> None:
        self.database.close()

    @property
    def tables(self) -> dict[Table, sa.Table]:
        """The live tables, to query."""
        return self._all

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """One snapshot of checkpoints and live tables."""
        with self.database.read() as connection:
            if not self.database.is_sqlite:
                # A switch in the middle would show the new tables with only what was in them as the snapshot began.
                names = ", ".join(f"{self.database.prefix}{table.name}" for table in self._all.values())
                connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
            yield connection

    # -- checkpoints --------------------------------------------------------------------------------------------

    def checkpoints(
        self, connection: sa.Connection | None = None, *, slot: str = LIVE, lock: bool = False
    ) -> dict[str, Checkpoint]:
        """By view, as one snapshot shows them. `lock`: and nobody moves them before this transaction ends."""
        if connection is None:
            with self.database.read() as connection:
                return self.checkpoints(connection, slot=slot)
        query = sa.select(_CHECKPOINTS).where(_CHECKPOINTS.c.slot == slot).order_by(_CHECKPOINTS.c.name)
        if lock:
            query = query.with_for_update()
        versions = {p.name: p.version for p in self.projections}
        return {
            row.name: _checkpoint(row) for row in connection.execute(query) if versions.get(row.name) == row.version
        }

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
        declared = self._live[projection.name] if slot == LIVE else self.built(projection, at.generation)
        statements = {table: self._statements(table, one) for table, one in declared.items()}
        return Rows(connection, statements, at.digests, at_hand)

    def _statements(self, table: Table, declared: sa.Table) -> Statements:
        if declared not in self._made:
            self._made[declared] = Statements(table, declared, self.database.engine.dialect, self.database.prefix)
        return self._made[declared]

    def move(
        self, connection: sa.Connection, projection: Projection, old: Checkpoint, new: Checkpoint, *, slot: str = LIVE
    ) -> None:
        """Set the checkpoint, if it is where it was read. Raises Lost if it is not."""
        stop = new.stopped or (None, None, None)
        done = connection.execute(
            _CHECKPOINTS.update()
            .where(_named(projection, slot))
            .where(_CHECKPOINTS.c.generation == old.generation)
            .where(_CHECKPOINTS.c.cursor == old.cursor)
            .values(
                generation=new.generation,
                position=new.position,
                cursor=new.cursor,
                digests=_digests_text(new.digests),
                stopped_position=stop[0],
                stopped_type=stop[1],
                stopped_reason=stop[2],
            )
        )
        if done.rowcount != 1:
            raise Lost

    # -- tables -------------------------------------------------------------------------------------------------

    def built(self, projection: Projection, generation: int) -> dict[Table, sa.Table]:
        """The tables that a rebuild of that generation fills."""
        key = projection.name, generation
        if key not in self._declared:
            self._declared[key] = {table: table.declare(generation, building=True) for table in projection.tables}
        return self._declared[key]

    def start_build(self, connection: sa.Connection, projection: Projection) -> Checkpoint:
        """Empty tables beside the live ones; those of a rebuild that was given up are dropped."""
        live = self.checkpoints(connection, lock=True)[projection.name]
        left = self.checkpoints(connection, slot=BUILDING).get(projection.name)
        if left is not None:
            self.drop_build(connection, projection, left)
        # Always another generation, so that a rebuild that was taken for given up cannot write into this one.
        generation = max(live.generation, left.generation if left else 0) + 1
        fresh = Checkpoint(generation, 0, "", {}, None)
        self._insert(connection, projection, fresh, slot=BUILDING)
        _create(connection, self.built(projection, generation).values(), late=False)
        return fresh

    def finish_build(self, projection: Projection, build: Checkpoint) -> None:
        """Make the indexes that no fold needed, each in a transaction of its own: others wait for one at most."""
        for table in self.built(projection, build.generation).values():
            for index in _indexes(table):
                if index.info["late"]:
                    with self.database.write() as connection:
                        if self.checkpoints(connection, slot=BUILDING).get(projection.name) != build:
                            raise Lost
                        connection.execute(CreateIndex(index, if_not_exists=True))

    def drop_build(self, connection: sa.Connection, projection: Projection, build: Checkpoint) -> None:
        """Take a rebuild's tables and checkpoint away."""
        connection.execute(
            _CHECKPOINTS.delete().where(_named(projection, BUILDING), _CHECKPOINTS.c.generation == build.generation)
        )
        for table in self.built(projection, build.generation).values():
            self._sql(connection, f"DROP TABLE IF EXISTS {{prefix}}{table.name}")

    def switch(self, connection: sa.Connection, projection: Projection, old: Checkpoint, build: Checkpoint) -> None:
        """Put the built tables in the place of the live ones."""
        self.move(connection, projection, old, build)
        connection.execute(_CHECKPOINTS.delete().where(_named(projection, BUILDING)))
        self._drop_people(connection, projection)  # they hold on to the tables
        for table, built in self.built(projection, build.generation).items():
            self._sql(connection, f"DROP TABLE {{prefix}}{table.name}")
            self._sql(connection, f"ALTER TABLE {{prefix}}{built.name} RENAME TO {table.name}")
        self._create_people(connection, projection)

    def empty(self, connection: sa.Connection, projection: Projection, old: Checkpoint) -> None:
        """Take every row out of the live tables, and begin again before the first event."""
        for table in self._live[projection.name].values():
            connection.execute(table.delete())
        self.move(connection, projection, old, Checkpoint(old.generation + 1, 0, "", {}, None))

    # -- making them --------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Make what is not there. Two processes may do so at once."""
        if self._is_complete():
            return
        if self.read_only:
            error = ReadOnlyError(f"nothing was projected into {self.database.shown} by this release yet")
            error.remedy = "Open the instance for writing once, or give views='memory://' to fold views of your own."
            raise error
        for attempt in range(10):
            try:
                with self.database.write() as connection:
                    self._make(connection)
                return
            except UnavailableError:  # another process is at it, or is switching the file to WAL
                if attempt == 9:
                    raise
                time.sleep(0.05 * (attempt + 1))

    def _is_complete(self) -> bool:
        try:
            found = self.checkpoints()
        except FoldlogError as error:
            if self.read_only and isinstance(error, UnavailableError):
                return False  # there is no file
            raise
        except sa.exc.DBAPIError:  # there is no table
            return False
        return len(found) == len(self.projections)

    def _make(self, connection: sa.Connection) -> None:
        if not self.database.is_sqlite:
            # CREATE TABLE IF NOT EXISTS of two sessions can clash in the catalog.
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7310859841)")
        connection.execute(CreateTable(_CHECKPOINTS, if_not_exists=True))
        found = self.checkpoints(connection)
        for projection in self.projections:
            if projection.name not in found:
                _create(connection, self._live[projection.name].values())
                self._drop_people(connection, projection)  # of an older version
                self._create_people(connection, projection)
                self._insert(connection, projection, Checkpoint(1, 0, "", {}, None), slot=LIVE)

    def _insert(self, connection: sa.Connection, projection: Projection, at: Checkpoint, *, slot: str) -> None:
        connection.execute(
            _CHECKPOINTS.insert().values(
                name=projection.name,
                version=projection.version,
                slot=slot,
                generation=at.generation,
                position=at.position,
                cursor=at.cursor,
                digests=_digests_text(at.digests),
            )
        )

    def _create_people(self, connection: sa.Connection, projection: Projection) -> None:
        for name, select in projection.people.items():
            self._sql(connection, f"CREATE VIEW {{prefix}}{name} AS {select}")

    def _drop_people(self, connection: sa.Connection, projection: Projection) -> None:
        for name in projection.people:
            self._sql(connection, f"DROP VIEW IF EXISTS {{prefix}}{name}")

    def _sql(self, connection: sa.Connection, text: str) -> None:
        connection.execute(sa.text(text.replace("{prefix}", self.database.prefix)))


def _create(connection: sa.Connection, tables: Iterable[sa.Table], *, late: bool = True) -> None:
    for table in tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        for index in _indexes(table):
            if late or not index.info["late"]:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _indexes(table: sa.Table) -> list[sa.Index]:
    return sorted(table.indexes, key=lambda index: str(index.name))


def _named(projection: Projection, slot: str) -> sa.ColumnElement[bool]:
    columns = _CHECKPOINTS.c
    return sa.and_(columns.name == projection.name, columns.version == projection.version, columns.slot == slot)


def _checkpoint(row: Any) -> Checkpoint:
    digests = {name: Digest(int(total, 16), count) for name, (total, count) in json.loads(row.digests).items()}
    stopped = None
    if row.stopped_position is not None:
        stopped = Stop(row.stopped_position, row.stopped_type or "", row.stopped_reason or "")
    return Checkpoint(row.generation, row.position, row.cursor, digests, stopped)


def _digests_text(digests: dict[str, Digest]) -> str:
    return json.dumps({name: [digest.hex(), digest.rows] for name, digest in sorted(digests.items())})
