"""Which generation of a view is live, where names of tables change outside of a transaction.

A small table has the number of the live generation of each view. A switch prepares another and renames it together
with the tables of the views, in one deed. So that table tells whose tables have the live names, at any moment and after
any crash. What the registry says of it is set right by whoever takes its rows next (`_heal`); until then it is read as
the marks say. A transaction that has looked at the marks keeps the names where they are until its end.
Not here: databases whose transactions rename tables; there the registry is right at all times, and there are no marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.schema import CreateTable, DropTable

from .checkpoints import BUILDING, LIVE, PREVIOUS, REGISTRY, Checkpoint, checkpoint, of_slot, short_text
from .dialects.dialect import Renamed
from .projection import Projection
from .table import IN_MYSQL

SLOTS: Final = (LIVE, BUILDING, PREVIOUS)  #: in the order in which their rows are locked
_LEAVING: Final = "leaving"


def _declared(name: str) -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        sa.Column("name", short_text(100), primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        **IN_MYSQL,
    )


MARKS: Final = _declared("foldlog_live")
_NEXT, _OLD = _declared("foldlog_live_next"), _declared("foldlog_live_old")


def make(connection: sa.Connection) -> None:
    """The table of the marks, if it is not there."""
    connection.execute(CreateTable(MARKS, if_not_exists=True))


def put(connection: sa.Connection, projection: Projection, generation: int) -> None:
    """Say which generation of a view is live."""
    forget(connection, projection.name, [projection.version])
    values = {"name": projection.name, "version": projection.version, "generation": generation}
    connection.execute(MARKS.insert().values(**values))


def forget(connection: sa.Connection, name: str, versions: Iterable[int]) -> None:
    """These versions of a view have no tables any more."""
    connection.execute(MARKS.delete().where(MARKS.c.name == name, MARKS.c.version.in_(list(versions))))


def prepare(connection: sa.Connection, generations: Mapping[tuple[str, int], int]) -> Renamed:
    """The marks as they are to be, and how they take the name; whoever does this is alone in changing tables."""
    for left in (_NEXT, _OLD):
        connection.execute(DropTable(left, if_exists=True))
    connection.execute(CreateTable(_NEXT))
    marked = {(row.name, row.version): row.generation for row in connection.execute(sa.select(MARKS))}
    rows = [
        {"name": name, "version": version, "generation": generation}
        for (name, version), generation in (marked | dict(generations)).items()
    ]
    connection.execute(_NEXT.insert(), rows)
    connection.commit()
    return Renamed(MARKS.name, _OLD.name, _NEXT.name)


def read(connection: sa.Connection, versions: Mapping[str, int], *, slot: str) -> dict[str, Checkpoint]:
    """The checkpoints of a slot, as the marks say. A view without a mark is left out: it is to be made."""
    return _labelled(_rows(connection, versions, SLOTS), _marked(connection, versions), slot)


def take(
    connection: sa.Connection, looking: sa.Connection, versions: Mapping[str, int], *, slot: str
) -> dict[str, Checkpoint]:
    """The same, and nobody moves them before the transaction ends. `looking`: who looks at the marks."""
    rows = _rows(connection, versions, (slot,), lock=True)
    live = _marked(looking, versions)
    wrong = [row.name for row in rows if row.name in live and (row.generation == live[row.name]) != (slot == LIVE)]
    if wrong:
        for name in wrong:
            _heal(connection, name, versions[name], live[name])
        rows = _rows(connection, versions, (slot,), lock=True)
    return {row.name: checkpoint(row) for row in rows if row.name in live}


def _heal(connection: sa.Connection, name: str, version: int, generation: int) -> None:
    """Let the registry say that this generation is live: a switch ended before it did so itself."""
    rows = {row.slot: row for slot in SLOTS for row in _rows(connection, {name: version}, (slot,), lock=True)}
    right = next((slot for slot, row in rows.items() if row.generation == generation), None)
    if right in (None, LIVE):
        return
    here = sa.and_(REGISTRY.c.name == name, REGISTRY.c.version == version)
    if right != PREVIOUS:  # what the switch has let go; its tables go with the next rebuild
        connection.execute(REGISTRY.delete().where(here, REGISTRY.c.slot == PREVIOUS))
    shown = rows[LIVE].shown if LIVE in rows else 0
    for old, new in ((LIVE, _LEAVING), (right, LIVE), (_LEAVING, PREVIOUS)):
        connection.execute(REGISTRY.update().where(here, REGISTRY.c.slot == old).values(slot=new))
    for slot, value in ((LIVE, shown), (PREVIOUS, 0)):
        connection.execute(REGISTRY.update().where(here, REGISTRY.c.slot == slot).values(shown=value))


def _labelled(every: Iterable[Any], live: Mapping[str, int], slot: str) -> dict[str, Checkpoint]:
    by_name: dict[str, dict[str, Any]] = {}
    for row in every:
        if row.name in live:
            by_name.setdefault(row.name, {})[row.slot] = row
    found = {}
    for name, slots in by_name.items():
        right = next((one for one, row in slots.items() if row.generation == live[name]), None)
        if right is None:
            continue
        if right != LIVE:
            shown = slots[LIVE].shown if LIVE in slots else 0
            left = slots.pop(LIVE, None)
            slots[LIVE] = slots.pop(right)
            slots.pop(PREVIOUS, None)
            if left is not None:
                slots[PREVIOUS] = left
            if slot == LIVE:
                found[name] = checkpoint(slots[LIVE])._replace(shown=bool(shown))
                continue
        if slot in slots:
            found[name] = checkpoint(slots[slot])
    return found


def _rows(
    connection: sa.Connection, versions: Mapping[str, int], slots: Sequence[str], *, lock: bool = False
) -> Sequence[Any]:
    query = of_slot(versions, slots)
    if lock:
        # By the key alone: a row that is passed over would be locked, or waited for, too.
        query = query.with_hint(REGISTRY, "FORCE INDEX (PRIMARY)").with_for_update()
    return connection.execute(query).all()


def _marked(connection: sa.Connection, versions: Mapping[str, int]) -> dict[str, int]:
    """The generation of each view that has a mark."""
    every = connection.execute(sa.select(MARKS)).all()
    return {row.name: row.generation for row in every if versions.get(row.name) == row.version}
