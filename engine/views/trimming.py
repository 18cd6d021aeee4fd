"""What a fold does when details of system shards go by age (HISTORY_TRIMMED).

Two rules make the rows after it those of a view that never saw the details. Facts that may go by age are taken from one
shard only, so that a trim takes all of them up to a position or none. And what they say is kept in columns of its own,
with the position of the latest such fact: what is trimmed is blanked, and what is left was never mixed with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..events.event import Retention
from ..events.tombstone import HistoryTrimmed
from .projection import Taken
from .rows import Rows
from .table import Table

CHUNK: Final = 1000  #: rows that are held at once


def trimmed_through(record: Taken, fact: HistoryTrimmed, shard: str) -> int | None:
    """The position up to which the details in `shard` are gone; None if they are not concerned."""
    if record.run_id is not None or fact.retention != Retention.TICK or fact.shard not in (None, shard):
        return None
    return min(fact.through_position, record.position)  # what came later was there to stay


def each_below(rows: Rows, table: Table, column: str, through: int, change: Callable[[Any], None]) -> None:
    """Hand over all rows whose `column` is at most `through`, a bounded number at a time.

    `change` must take the row out of this set. An index begins with the column.
    """
    while found := rows.select(table, order=(column,), below={column: through + 1}, limit=CHUNK):
        for row in found:
            change(row)
