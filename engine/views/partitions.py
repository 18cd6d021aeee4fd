"""The view of dynamic partitions: one row a key of a definition, in the order in which keys were added.

Promises: a key that is added again keeps its place; one that was deleted and comes back goes to the end. All from kept
facts, so no purge changes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.event import Topic
from ..events.partition import PartitionsAdded, PartitionsDeleted
from .arms import past
from .orchestration_records import DynamicPartitionsPage
from .paging import chunks
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed


class DynamicPartitionRow(NamedTuple):
    """A key of a definition, and its place."""

    partitions_def: str
    partition: str
    position: int  #: of the event that added it
    item: int  #: its place in that event
    timestamp_us: int


DYNAMIC_PARTITIONS: Final = Table(
    "dynamic_partitions_v1", DynamicPartitionRow, key=2, indexes=(("partitions_def", "position", "item"),)
)


def fold(rows: Rows, record: Taken) -> None:
    if record.run_id is not None:  # what is in a run's shard may go with the run
        return
    fact: Any = record.event.fact
    name = keyed(fact.partitions_def)
    for item, partition in enumerate(fact.keys):
        key = (name, keyed(partition))
        if isinstance(fact, PartitionsDeleted):
            rows.delete(DYNAMIC_PARTITIONS, key)
        elif rows.get(DYNAMIC_PARTITIONS, key) is None:
            rows.put(DYNAMIC_PARTITIONS, DynamicPartitionRow(*key, record.position, item, record.event.timestamp_us))


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact: Any = record.event.fact
    for partition in fact.keys:
        yield DYNAMIC_PARTITIONS, (keyed(fact.partitions_def), keyed(partition))


PROJECTION: Final = Projection(
    name="dynamic_partitions",
    version=1,
    topics=Topic.PARTITION,
    types=frozenset((PartitionsAdded.KIND.name, PartitionsDeleted.KIND.name)),
    tables=(DYNAMIC_PARTITIONS,),
    keys=keys,
    fold=fold,
    people={"dynamic_partitions": select_all(DYNAMIC_PARTITIONS)},
)


# -- questions --------------------------------------------------------------------------------------------------


def page(
    connection: sa.Connection,
    source: sa.Table,
    name: str,
    *,
    behind: tuple[int, int] | None,
    ascending: bool,
    limit: int,
) -> DynamicPartitionsPage:
    """Up to `limit` keys of a definition in the order they were added (or the other way), behind a place."""
    columns = (source.c.partition, source.c.position, source.c.item)
    order = [column if ascending else column.desc() for column in columns[1:]]

    def query(place: tuple[int, int] | None) -> sa.Select[Any]:
        wanted = sa.select(*columns).where(source.c.partitions_def == keyed(name)).order_by(*order)
        if place is None:
            return wanted
        return wanted.where(past(connection, columns[1:], [sa.literal(one) for one in place], ascending=ascending))

    found = list(connection.execute(query(behind).limit(limit)))
    last = (found[-1].position, found[-1].item) if found else behind
    more = len(found) == limit and connection.execute(query(last).limit(1)).first() is not None
    cursor = None if last is None else f"{last[0]}:{last[1]}"
    return DynamicPartitionsPage(keys=tuple(row.partition for row in found), cursor=cursor, has_more=more)


def existing(connection: sa.Connection, source: sa.Table, name: str, partitions: Collection[str]) -> set[str]:
    """Those of `partitions` that the definition has."""
    found: set[str] = set()
    for some in chunks(partitions):
        query = sa.select(source.c.partition).where(
            source.c.partitions_def == keyed(name), source.c.partition.in_([keyed(one) for one in some])
        )
        there = set(connection.execute(query).scalars())
        found.update(one for one in some if keyed(one) in there)
    return found
