"""Which generation of a view is live, where names of tables change outside of a transaction.

A view's mark is a table of one row, with the number of its generation. It is made, renamed and dropped with the view's
tables, so the mark under the live name tells whose tables have the live names, at any moment and after any crash. What
the registry says of it is set right by whoever takes its rows next (`heal`); until then it is read as the mark says.
A transaction that has looked at the mark keeps the names where they are until its end.
Not here: databases whose transactions rename tables; there the registry is right at all times, and there are no marks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from .checkpoints import BUILDING, LIVE, PREVIOUS, REGISTRY, Checkpoint, checkpoint, of_slot
from .projection import Projection
from .table import Table

SLOTS: Final = (LIVE, BUILDING, PREVIOUS)  #: in the order in which their rows are locked
_LEAVING: Final = "leaving"


class MarkRow(NamedTuple):
    """The number of a generation."""

    one: int  #: 1
    generation: int


@lru_cache(256)
def _of(name: str, version: int) -> Table:
    return Table(f"{name}_v{version}_mark", MarkRow, key=1)


def mark_of(projection: Projection) -> Table:
    """The table that is a view's mark."""
    return _of(projection.name, projection.version)


def set_mark(connection: sa.Connection, declared: sa.Table, generation: int) -> None:
    """Write the number into a mark."""
    connection.execute(declared.delete())
    connection.execute(declared.insert().values(one=1, generation=generation))


def read(
    connection: sa.Connection, projections: Sequence[Projection], marks: Mapping[Table, sa.Table], *, slot: str
) -> dict[str, Checkpoint]:
    """The checkpoints of a slot, as the marks say. A view without a mark is left out: it is just being made, or is to
    be made."""
    every = _rows(connection, {p.name: p.version for p in projections}, SLOTS)
    return _labelled(every, _marked(connection, projections, marks), slot)


def take(
    connection: sa.Connection,
    looking: sa.Connection,
    projections: Sequence[Projection],
    marks: Mapping[Table, sa.Table],
    *,
    slot: str,
) -> dict[str, Checkpoint]:
    """The same, and nobody moves them before the transaction ends. `looking`: the connection that looks at the marks."""
    versions = {p.name: p.version for p in projections}
    rows = _rows(connection, versions, (slot,), lock=True)
    live = _marked(looking, projections, marks)
    wrong = [row.name for row in rows if row.name in live and (row.generation == live[row.name]) != (slot == LIVE)]
    if wrong:
        for name in wrong:
            heal(connection, name, versions[name], live[name])
        rows = _rows(connection, versions, (slot,), lock=True)
    return {row.name: checkpoint(row) for row in rows if row.name in live}


def heal(connection: sa.Connection, name: str, version: int, generation: int) -> None:
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


def _marked(
    connection: sa.Connection, projections: Sequence[Projection], marks: Mapping[Table, sa.Table]
) -> dict[str, int]:
    """The generation by the mark of each view that has one."""
    try:
        return dict(_ask(connection, projections, marks))
    except sa.exc.ProgrammingError:  # one is not there
        found: dict[str, int] = {}
        there = set(sa.inspect(connection).get_table_names(schema=_schema(connection)))
        with_mark = [p for p in projections if mark_of(p).name in there]
        if with_mark:
            found.update(_ask(connection, with_mark, marks))
        return found


def _ask(
    connection: sa.Connection, projections: Sequence[Projection], marks: Mapping[Table, sa.Table]
) -> Iterable[tuple[str, int]]:
    each = []
    for projection in projections:
        mark = marks[mark_of(projection)]
        each.append(sa.select(sa.literal_column(f"'{projection.name}'").label("view"), mark.c.generation))
    return [(row.view, row.generation) for row in connection.execute(sa.union_all(*each))]


def _schema(connection: sa.Connection) -> str | None:
    names = connection.get_execution_options().get("schema_translate_map") or {}
    return names.get(None)
