"""What a fold does when details of system shards go by age (HISTORY_TRIMMED).

Two rules make the rows after it those of a view that never saw the details. Facts that may go by age are taken from one
shard only, so that a trim takes all of them up to a position or none. And what they say is kept in columns of its own,
with the position of the latest such fact: what is trimmed is blanked, and what is left was never mixed with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ..events.event import Retention
from ..events.tombstone import HistoryTrimmed
from .projection import Taken
from .rows import Rows
from .table import Row, Table

CHUNK: Final = 1000  #: rows that are held at once


def trimmed_through(record: Taken, fact: HistoryTrimmed, shard: str) -> int | None:
    """The position up to which the details in `shard` are gone; None if they are not concerned."""
    if record.run_id is not None or fact.retention != Retention.TICK or fact.shard not in (None, shard):
        return None
    return min(fact.through_position, record.position)  # what came later was there to stay


def blank(
    rows: Rows,
    table: Table,
    columns: Mapping[str, Sequence[str]],
    through: int,
    *,
    settled: Callable[[Any], Row | None],
    put: Callable[[Any], None],
    drop: Callable[[Any], None],
) -> None:
    """Take from all rows what details up to `through` told, a bounded number of rows at a time.

    `columns`: the position of a kind of detail, which an index begins with, and all that this kind told.
    `settled`: the row with what is made from its columns made anew; None if nothing else is known of it.
    """
    for position, told in columns.items():
        nothing = dict.fromkeys((position, *told))
        while found := rows.select(table, order=(position,), below={position: through + 1}, limit=CHUNK):
            for row in found:
                left = settled(row._replace(**nothing))
                if left is None:
                    drop(row)
                else:
                    put(left)
