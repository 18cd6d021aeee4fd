"""Questions about the steps of a run. The view itself: steps.py."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from .records import RunStats, StepAttempt, StepRecord
from .runs import RUNS, RunRow
from .steps import ATTEMPTS, STEPS, AttemptRow, StepRow
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]


def steps(
    connection: sa.Connection, tables: Tables, run_id: str, *, step_keys: Collection[str] | None = None, limit: int
) -> list[StepRecord]:
    """Up to `limit` steps of a run, in the order in which they were first heard of."""
    source = tables[STEPS]
    query = sa.select(source).where(source.c.run_id == keyed(run_id))
    if step_keys is not None:
        query = query.where(source.c.step_key.in_([keyed(one) for one in step_keys]))
    found = connection.execute(query.order_by(source.c.first_position).limit(limit))
    return [step_record(StepRow._make(row)) for row in found]


def attempts(
    connection: sa.Connection, tables: Tables, run_id: str, *, step_key: str | None = None, limit: int
) -> list[StepAttempt]:
    """Up to `limit` attempts at the steps of a run, by step and number."""
    source = tables[ATTEMPTS]
    query = sa.select(source).where(source.c.run_id == keyed(run_id))
    if step_key is not None:
        query = query.where(source.c.step_key == keyed(step_key))
    rows = connection.execute(query.order_by(source.c.run_id, source.c.step_key, source.c.attempt).limit(limit))
    return [StepAttempt(**AttemptRow._make(row)._asdict()) for row in rows]


def stats(connection: sa.Connection, tables: Tables, events: sa.Table, run_id: str) -> RunStats | None:
    """The counts and times of a run, or None. `events`: the table of the events of assets."""
    runs = tables[RUNS]
    row = connection.execute(sa.select(runs).where(runs.c.run_id == keyed(run_id))).first()
    if row is None:
        return None
    run = RunRow._make(row)
    source = tables[STEPS]
    ended = [sa.func.sum(sa.case((source.c.status == status, 1), else_=0)) for status in ("SUCCESS", "FAILURE")]
    counts: sa.Select[Any] = sa.select(*ended, sa.func.sum(source.c.expectations)).where(source.c.run_id == run.run_id)
    succeeded, failed, expectations = connection.execute(counts).one()
    made = sa.select(sa.func.count()).where(
        events.c.run_id == run.run_id, events.c.type == "ASSET_MATERIALIZATION", events.c.item == 0
    )
    return RunStats(
        run_id=run.run_id,
        steps_succeeded=int(succeeded or 0),
        steps_failed=int(failed or 0),
        materializations=connection.execute(made).scalar_one(),
        expectations=int(expectations or 0),
        enqueued_us=run.enqueued_us,
        launched_us=run.starting_us,
        started_us=run.started_us,
        ended_us=run.ended_us,
    )


def step_record(row: StepRow) -> StepRecord:
    """A row as users see it."""
    return StepRecord(
        run_id=row.run_id,
        step_key=row.step_key,
        status=row.status,
        attempts=row.attempts,
        started_us=row.started_us,
        ended_us=row.ended_us,
        error_class=row.error_class,
        error_message=row.error_message,
        expectations=row.expectations,
        expectations_met=row.expectations_met,
    )
