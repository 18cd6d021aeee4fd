"""The view of rare events: failures of steps, hooks and resources, whole, so that they are found across all runs.

The log finds events of a type through its own index, a run at a time; that is right for what each run says hundreds of
times. A type of which a few among thousands of runs have one each would open a file for every answer.
Kinds beyond these are answered by the log: engine/facade/events.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from ..events.event import Fact, Topic
from ..events.hook import HookErrored
from ..events.resource import ResourceInitFailed
from ..events.step import StepFailed, StepSkipped, StepUpForRetry
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, words


class RareRow(NamedTuple):
    """One event of a run, whole. It goes with its run."""

    position: int
    run_id: str  #: or the name of the shard, for one of no run
    seq: int
    type: str
    job_name: str
    step_key: str | None
    timestamp_us: int
    body: bytes


RARE: Final = Table(
    "rare_events_v1",
    RareRow,
    key=1,
    indexes=(("run_id", "position"),),
    late=(("type", "position"), ("type", "job_name", "position")),
    wide=True,
)
_KINDS: Final[tuple[type[Fact], ...]] = (StepFailed, StepUpForRetry, StepSkipped, HookErrored, ResourceInitFailed)
TYPES: Final = frozenset(kind.KIND.name for kind in _KINDS)  #: the types whose events are here


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        if record.run_id is None:
            rows.clear(RARE, run_id=keyed(fact.run_id))
        return
    event = record.event
    job, step = keyed(event.job_name or ""), words(event.step_key)
    shard, kind = keyed(record.shard), fact.KIND.name
    rows.add(RARE, RareRow(record.position, shard, record.seq, kind, job, step, event.timestamp_us, record.body))


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    return iter(())  # every row is new


PROJECTION: Final = Projection(
    name="rare",
    version=1,
    topics=Topic(0),  # an index of kinds that are known: those of the future are in none
    types=frozenset((*TYPES, RunDeleted.KIND.name)),
    tables=(RARE,),
    keys=keys,
    fold=fold,
    people={"rare_events": select_all(RARE, but=("body",))},
)
