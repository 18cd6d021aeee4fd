"""The registry of projections: for each view and version how far it has got, and the digests of its tables.

One row a view, version and slot: `live` is what questions are answered from, `building` a rebuild beside it, `previous`
what the last rebuild replaced. Rows of older releases lack the columns that came later; those may be NULL.
Not here: when they move (projector.py, rebuild.py), the tables they speak of (store.py, generations.py).
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from .projection import Projection
from .rows import Digest
from .table import IN_MYSQL, in_mysql

LIVE: Final = "live"
BUILDING: Final = "building"
PREVIOUS: Final = "previous"


def short_text(characters: int) -> Any:
    """A name that tables of the views have in common."""
    return in_mysql(sa.String(characters), "text", characters)


_LONG: Final = in_mysql(sa.Text(), "text")

REGISTRY: Final = sa.Table(
    "foldlog_views",
    sa.MetaData(),
    sa.Column("name", short_text(100), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("slot", short_text(20), primary_key=True),
    sa.Column("generation", sa.BigInteger, nullable=False),  #: raised by each rebuild
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("cursor", _LONG, nullable=False),  #: log id, epoch, position, chain; empty before the first event
    sa.Column("digests", _LONG, nullable=False),  #: JSON: table -> [digest in hex, number of rows]
    sa.Column("stopped_position", sa.BigInteger),  #: of the event it could not take in
    sa.Column("stopped_type", _LONG),
    sa.Column("stopped_reason", _LONG),
    sa.Column("code", _LONG),  #: hash of the module that began to fold it
    sa.Column("tables", _LONG),  #: JSON: the names of its tables, for whoever drops a version it does not know
    sa.Column("people", _LONG),  #: JSON: the names of its SQL views, for the version that takes their place
    sa.Column("shown", sa.Integer),  #: 1: the SQL views for people show it; 0: not yet, or not any more
    **IN_MYSQL,
)
#: made once, for it is asked for every view after every page
_MOVE: Final = REGISTRY.update().where(
    REGISTRY.c.name == sa.bindparam("of"),
    REGISTRY.c.version == sa.bindparam("of_version"),
    REGISTRY.c.slot == sa.bindparam("of_slot"),
    REGISTRY.c.generation == sa.bindparam("was_generation"),
    REGISTRY.c.cursor == sa.bindparam("was_cursor"),
)
LATER: Final = ("code", "tables", "people", "shown")  #: columns that the first release did not have


class Stop(NamedTuple):
    """The event that a view could not take in, and why."""

    position: int
    type: str
    reason: str


class Checkpoint(NamedTuple):
    """Where one view stands."""

    generation: int
    position: int
    cursor: str
    digests: dict[str, Digest]
    stopped: Stop | None
    shown: bool = True
    code: str = ""


class Lost(Exception):
    """Somebody else has moved the checkpoint; what was about to be written is void."""


def read(
    connection: sa.Connection, projections: dict[str, int], *, slot: str, lock: bool = False
) -> dict[str, Checkpoint]:
    """By view, of the versions given. `lock`: and nobody moves them before this transaction ends.

    A lock takes all rows of the slot, in one order, and a transaction that needs several slots goes live, building,
    previous: two that took single rows, each in its own order, would wait for each other.
    """
    query = sa.select(REGISTRY).where(REGISTRY.c.slot == slot).order_by(REGISTRY.c.name, REGISTRY.c.version)
    if lock:
        query = query.with_for_update()
    return {row.name: checkpoint(row) for row in connection.execute(query) if projections.get(row.name) == row.version}


def of_slot(versions: Mapping[str, int], slots: Sequence[str]) -> sa.Select[Any]:
    """The rows of these slots, by their keys and in one order."""
    keys = [(name, version, slot) for name, version in sorted(versions.items()) for slot in slots]
    key = sa.tuple_(REGISTRY.c.name, REGISTRY.c.version, REGISTRY.c.slot)
    return sa.select(REGISTRY).where(key.in_(keys)).order_by(REGISTRY.c.name, REGISTRY.c.version, REGISTRY.c.slot)


def insert(connection: sa.Connection, projection: Projection, at: Checkpoint, *, slot: str) -> None:
    """A row for a view that has none in this slot."""
    connection.execute(
        REGISTRY.insert().values(
            name=projection.name,
            version=projection.version,
            slot=slot,
            tables=json.dumps([table.name for table in projection.tables]),
            people=json.dumps(list(projection.people)),
            code=at.code,
            shown=int(at.shown),
            **_place(at),
        )
    )


def move(connection: sa.Connection, projection: Projection, old: Checkpoint, new: Checkpoint, *, slot: str) -> None:
    """Set the checkpoint, if it is where it was read. Raises Lost if it is not."""
    given = {"of": projection.name, "of_version": projection.version, "of_slot": slot}
    was = {"was_generation": old.generation, "was_cursor": old.cursor}
    done = connection.execute(_MOVE, {**given, **was, **_place(new)})
    if done.rowcount != 1:
        raise Lost


def relabel(connection: sa.Connection, projection: Projection, slot: str, to: str) -> None:
    """Put the row of a slot into another one, which must be free."""
    connection.execute(REGISTRY.update().where(at(projection, slot)).values(slot=to))


def is_newest(connection: sa.Connection, projection: Projection) -> bool:
    """Whether no newer version of the view is live: else the stable names would go to and fro between releases."""
    here = sa.and_(REGISTRY.c.name == projection.name, REGISTRY.c.slot == LIVE)
    newest = connection.execute(sa.select(sa.func.max(REGISTRY.c.version)).where(here)).scalar_one()
    return bool(newest == projection.version)


def unshow(connection: sa.Connection, projection: Projection) -> None:
    """Say that the SQL views do not show this version."""
    connection.execute(REGISTRY.update().where(at(projection, LIVE)).values(shown=0))


def delete(connection: sa.Connection, projection: Projection, slot: str, generation: int) -> None:
    """Take the row of a slot away."""
    connection.execute(REGISTRY.delete().where(at(projection, slot), REGISTRY.c.generation == generation))


def at(projection: Projection, slot: str) -> sa.ColumnElement[bool]:
    """The one row of a view's version and slot."""
    columns = REGISTRY.c
    return sa.and_(columns.name == projection.name, columns.version == projection.version, columns.slot == slot)


def fingerprint(projection: Projection) -> str:
    """A hash of the code that folds a view: half-built tables of other code are not gone on with.

    Covers the module of the fold, and those beside it that every fold may use.
    """
    sources = [_source(name) for name in (projection.fold.__module__, *_USED_BY_FOLDS)]
    code = projection.fold.__code__.co_code.hex()  # where a program ships no sources
    return blake2b(f"{projection.version}{code}{''.join(sources)}".encode(), digest_size=8).hexdigest()


_USED_BY_FOLDS: Final = tuple(f"{__package__}.{name}" for name in ("table", "trimming", "instigators", "rows"))


def _source(name: str) -> str:
    module = sys.modules.get(name)
    try:
        return inspect.getsource(module) if module else ""
    except (OSError, TypeError):
        return ""


def _place(at: Checkpoint) -> dict[str, Any]:
    stop = at.stopped or (None, None, None)
    return {
        "generation": at.generation,
        "position": at.position,
        "cursor": at.cursor,
        "digests": json.dumps({name: [digest.hex(), digest.rows] for name, digest in sorted(at.digests.items())}),
        "stopped_position": stop[0],
        "stopped_type": stop[1],
        "stopped_reason": stop[2],
    }


def checkpoint(row: Any) -> Checkpoint:
    """The checkpoint that a row of the registry has."""
    digests = {name: Digest(int(total, 16), count) for name, (total, count) in json.loads(row.digests).items()}
    stopped = None
    if row.stopped_position is not None:
        stopped = Stop(row.stopped_position, row.stopped_type or "", row.stopped_reason or "")
    shown = row.shown is None or bool(row.shown)
    return Checkpoint(row.generation, row.position, row.cursor, digests, stopped, shown, row.code or "")
