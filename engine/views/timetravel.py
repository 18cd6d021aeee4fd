"""One run as it stood at a position of the timeline, folded from its shard alone.

Promises: the same folds as the views, so that the answer for the head is what the views say; pages of the shard are
read one at a time, none past the position.
Not here: views of more than one run as of a position.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..errors import UsageError
from ..log.log import EventLog
from ..log.port import ShardState
from . import runs, steps
from .projection import Taken
from .records import RunAt
from .rows import Rows
from .run_queries import run_record
from .step_queries import step_record
from .table import Key, Row, Table, keyed

PAGE = 1000


class _Held(Rows):
    """Rows that live in this process only; there is no database below them."""

    def __init__(self, tables: tuple[Table, ...]) -> None:
        self._held: dict[Table, dict[Key, Row]] = {table: {} for table in tables}

    def get(self, table: Table, key: Key) -> Any:
        return self._held[table].get(key)

    def put(self, table: Table, row: Row) -> None:
        self._held[table][row[: table.key]] = row

    add = put

    def delete(self, table: Table, key: Key) -> None:
        self._held[table].pop(key, None)

    def all(self, table: Table) -> list[Any]:
        """Every row, in order of the key."""
        return [row for _, row in sorted(self._held[table].items())]


def run_at(log: EventLog, run_id: str, position: int) -> RunAt:
    """The run as of a position. Raises UsageError if it was not there."""
    head = log.catch_up().position
    if type(position) is not int or not 0 < position <= head:
        raise UsageError(f"position {position!r} is not on the timeline, which ends at {head}")
    shard = log.backend.find_shard(run_id)
    if shard is None:
        raise UsageError(f"there is no run {run_id}")
    if shard.state in (ShardState.PURGED, ShardState.FENCED):
        raise UsageError(f"run {run_id} was deleted; its past went with it")
    rows = _Held((*runs.PROJECTION.tables, *steps.PROJECTION.tables))
    for projection, taken in _taken(log, run_id, position):
        projection.fold(rows, taken)
    row = rows._held[runs.RUNS].get((keyed(run_id),))
    if row is None:
        raise UsageError(f"run {run_id} had told nothing of itself at position {position}")
    tags = {tag.key: tag.value for tag in rows.all(runs.TAGS)}
    births = rows.all(runs.BIRTHS)
    record = run_record(runs.RunRow._make(row), tags, log, births[0].body if births else None)
    told = sorted(rows.all(steps.STEPS), key=lambda step: step.first_position)
    return RunAt(position=position, record=record, steps=[step_record(step) for step in told])


def _taken(log: EventLog, run_id: str, position: int) -> Iterator[tuple[Any, Taken]]:
    """What concerns runs and steps up to a position, in order, each with the projection that takes it in."""
    by_type = {name: one for one in (steps.PROJECTION, runs.PROJECTION) for name in one.types}
    wanted = frozenset(by_type)
    seq = 0
    while True:
        page = log.backend.read_shard(run_id, after_seq=seq, limit=PAGE, types=wanted, newest_first=False)
        for _, seq, at, record in page:
            if at is None or at > position:
                return
            if record is not None:
                yield by_type[record.type], Taken(run_id, seq, at, log.decode(record), record.body, run_id)
        if len(page) < PAGE:
            return
