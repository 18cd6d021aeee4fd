"""The view of asset checks: one row an evaluation, planned or done. A row depends on its own event only."""

from __future__ import annotations

import json
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.check import AssetCheckEvaluation, AssetCheckEvaluationPlanned
from ..events.event import Topic
from ..events.key import AssetKey
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .records import CheckRecord
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
    timestamp_us: int
    metadata: str | None  #: JSON


CHECKS: Final = Table(
    "asset_checks_v1", CheckRow, key=1, indexes=(("asset_key", "check_name", "position"), ("run_id",))
)


def fold(rows: Rows, record: Taken) -> None:
    fact: Any = record.event.fact
    if isinstance(fact, RunDeleted):
        if not fact.keep_assets:
            for row in rows.select(CHECKS, run_id=keyed(fact.run_id)):
                rows.delete(CHECKS, row[:1])
        return
    status = "PLANNED"
    if isinstance(fact, AssetCheckEvaluation):
        status = "PASSED" if fact.passed else "FAILED"
    rows.add(
        CHECKS,
        CheckRow(
            position=record.position,
            asset_key=keyed(fact.asset_key.to_text()),
            check_name=keyed(fact.check_name),
            partition=words(fact.partition),
            status=status,
            severity=words(getattr(fact, "severity", None)),
            blocking=int(getattr(fact, "blocking", False)),
            run_id=None if record.run_id is None else keyed(record.run_id),
            step_key=words(record.event.step_key),
            timestamp_us=record.event.timestamp_us,
            metadata=plain_json(getattr(fact, "metadata", {})),
        ),
    )


def keys(record: Taken) -> tuple[tuple[Table, Key], ...]:
    return ()  # every row is new


PROJECTION: Final = Projection(
    name="checks",
    version=1,
    topics=Topic.ASSET,
    types=frozenset(kind.KIND.name for kind in (AssetCheckEvaluation, AssetCheckEvaluationPlanned, RunDeleted)),
    tables=(CHECKS,),
    keys=keys,
    fold=fold,
    people={"asset_checks": select_all(CHECKS)},
)


def of_asset(
    connection: sa.Connection, checks: sa.Table, key: AssetKey, *, check_name: str | None, limit: int
) -> list[CheckRecord]:
    """Up to `limit` evaluations of the checks of an asset, the newest first."""
    query = sa.select(checks).where(checks.c.asset_key == keyed(key.to_text()))
    if check_name is not None:
        query = query.where(checks.c.check_name == keyed(check_name))
    rows = (CheckRow._make(row) for row in connection.execute(query.order_by(checks.c.position.desc()).limit(limit)))
    return [
        CheckRecord(
            asset_key=key,
            check_name=row.check_name,
            status=row.status,
            severity=row.severity,
            partition=row.partition,
            position=row.position,
            run_id=row.run_id,
            timestamp_us=row.timestamp_us,
            metadata=json.loads(row.metadata) if row.metadata else {},
        )
        for row in rows
    ]
