"""The view of values: small texts that programs keep under names, such as how far they have read. The last stands."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.event import Topic
from ..events.instance import ValuesSet
from .paging import chunks
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, text_of, whole


class ValueRow(NamedTuple):
    """A value under its name."""

    name: str
    value: bytes  #: UTF-8; whole, for the program reads it back
    position: int
    timestamp_us: int


VALUES: Final = Table("program_values_v1", ValueRow, key=1)


def fold(rows: Rows, record: Taken) -> None:
    if record.run_id is not None:  # what is in a run's shard may go with the run
        return
    fact: ValuesSet = record.event.fact
    for name, value in fact.values.items():
        data = whole(value)
        if data is None:
            rows.delete(VALUES, (keyed(name),))
        else:
            rows.put(VALUES, ValueRow(keyed(name), data, record.position, record.event.timestamp_us))


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact: ValuesSet = record.event.fact
    for name in fact.values:
        yield VALUES, (keyed(name),)


PROJECTION: Final = Projection(
    name="values",
    version=1,
    topics=Topic.SCHEDULE,
    types=frozenset((ValuesSet.KIND.name,)),
    tables=(VALUES,),
    keys=keys,
    fold=fold,
    people={"program_values": select_all(VALUES)},  # `values` is a word of SQL
)


def of_names(connection: sa.Connection, source: sa.Table, names: Collection[str]) -> dict[str, str]:
    """The values under these names; those without one are left out."""
    found: dict[str, Any] = {}
    for some in chunks(names):
        query = sa.select(source.c.name, source.c.value).where(source.c.name.in_([keyed(name) for name in some]))
        there = {name: text_of(value) for name, value in connection.execute(query)}
        found.update((name, there[keyed(name)]) for name in some if keyed(name) in there)
    return found
