"""The view of asset checks: one row an evaluation, planned or done. A row depends on its own event only.

Not here: questions (check_queries.py), and what a wipe of the asset hides (assets.py knows the wipes).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from ..events.check import AssetCheckEvaluation, AssetCheckEvaluationPlanned
from ..events.event import Topic
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, plain_json, words


class CheckRow(NamedTuple):
    """One evaluation of a check."""

    position: int
    asset_key: str
    check_name: str
    partition: str | None
    status: str  #: PLANNED, PASSED or FAILED
    severity: str | None
    blocking: int
    run_id: str | None
    step_key: str | None
    shard: str
    seq: int
    timestamp_us: int
    metadata: str | None  #: JSON
    body: bytes  #: the event as stored


CHECKS: Final = Table(
    "asset_checks_v2",
    CheckRow,
    key=1,
    indexes=(("run_id", "asset_key", "check_name"),),
    also_short=("partition",),
    late=(("asset_key", "check_name", "status", "position"), ("asset_key", "position"), ("status", "position")),
    wide=True,
)
PLANNED, PASSED, FAILED = "PLANNED", "PASSED", "FAILED"


def fold(rows: Rows, record: Taken) -> None:
    fact: Any = record.event.fact
    if isinstance(fact, RunDeleted):
        if record.run_id is None and not fact.keep_assets:
            rows.clear(CHECKS, run_id=keyed(fact.run_id))
        return
    status = PLANNED
    if isinstance(fact, AssetCheckEvaluation):
        status = PASSED if fact.passed else FAILED
    rows.add(
        CHECKS,
        CheckRow(
            position=record.position,
            asset_key=keyed(fact.asset_key.to_text()),
            check_name=keyed(fact.check_name),
            partition=None if fact.partition is None else keyed(fact.partition),
            status=status,
            severity=words(getattr(fact, "severity", None)),
            blocking=int(getattr(fact, "blocking", False)),
            run_id=record.run_id,
            step_key=words(record.event.step_key),
            shard=record.shard,
            seq=record.seq,
            timestamp_us=record.event.timestamp_us,
            metadata=plain_json(getattr(fact, "metadata", {})),
            body=record.body,
        ),
    )


def keys(record: Taken) -> tuple[tuple[Table, Key], ...]:
    return ()  # every row is new


PROJECTION: Final = Projection(
    name="checks",
    version=2,
    topics=Topic.ASSET,
    types=frozenset(kind.KIND.name for kind in (AssetCheckEvaluation, AssetCheckEvaluationPlanned, RunDeleted)),
    tables=(CHECKS,),
    keys=keys,
    fold=fold,
    people={"asset_checks": select_all(CHECKS, but=("body",))},
)
