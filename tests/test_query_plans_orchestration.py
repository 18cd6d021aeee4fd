"""Each question is answered out of an index: no table is read through, and nothing is sorted on the way.

`plans` records the statements of a question and has SQLite explain each. A question is a line in a dict of questions,
with what the plan must name: every condition it has, in the index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from test_orchestration_views import has, some_ticks, submit, tell, wants

from foldlog import Instance, events


class Plan:
    """One statement, and how SQLite answers it."""

    def __init__(self, statement: str, steps: list[str]) -> None:
        self.statement = statement
        self.steps = steps

    def faults(self) -> list[str]:
        """What reads more than it hands out. A walk along an index, in order and up to a limit, does not."""
        walk = " WHERE " not in self.statement and "ORDER BY" in self.statement and "LIMIT" in self.statement
        return [
            step
            for step in self.steps
            if "TEMP B-TREE FOR ORDER BY" in step or (re.match(r"SCAN (?!CONSTANT)", step) and not walk)
        ]

    def __repr__(self) -> str:
        return "\n  ".join([re.sub(r"\s+", " ", self.statement), *self.steps])


def plans(instance: Instance, ask: Callable[[Instance], Any]) -> list[Plan]:
    """How the questions to the views that `ask` asks are answered; catching up and checkpoints are left out."""
    instance.views.projector.catch_up()
    engine = instance.views.store.database.engine
    seen: list[tuple[str, Any]] = []

    def listen(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT") and "foldlog_views" not in statement:
            seen.append((" ".join(statement.split()), parameters))

    def answer(db: Any, text: str, values: Any) -> list[Any]:  # what is asked in the driver's own words
        listen(None, None, text, values, None, None)
        return list(db.execute(text, values).fetchall())

    sa.event.listen(engine, "before_cursor_execute", listen)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(instance.views.store.database, "answer", answer)
            ask(instance)
    finally:
        sa.event.remove(engine, "before_cursor_execute", listen)
    with instance.views.store.database.read() as connection:
        driver: Any = connection.connection.driver_connection
        return [
            Plan(statement, [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)])
            for statement, parameters in seen
        ]


@pytest.fixture(scope="module")
def orchestrated() -> Iterator[Instance]:
    """An instance with rows in every table of orchestration."""
    with Instance.ephemeral() as instance:
        for name in ("s", "other"):
            some_ticks(instance, 100, name)
        instance.add_dynamic_partitions("d", [f"p{n}" for n in range(300)])
        instance.add_dynamic_partitions("e", [f"p{n}" for n in range(300)])
        tell(instance, "@pools", *(wants("r1", f"s{n}", n % 5) for n in range(200)))
        tell(instance, "@pools", *(has("r2", f"s{n}") for n in range(200)))
        for number in range(60):
            submit(instance, f"r{number}", {"dagster/priority": str(number % 3)})
            instance.start_schedule(f"n{number}", code_location=f"loc{number % 4}")
            instance.start_sensor(f"n{number}")
            instance.set_pool_limit(f"pool{number}", number)
            instance.request_backfill([f"p{n}" for n in range(9)], backfill_id=f"b{number}")
            run_ids = tuple(f"r{number}-{n}" for n in range(9))
            tell(instance, "@instance", events.BackfillProgressed(backfill_id=f"b{number}", run_ids=run_ids))
            instance.set_values({f"v{number}": "x"})
            instance.add_job_snapshot(f"job{number}", {})
            tell(instance, "@queue", events.CodeLocationPaused(code_location=f"loc{number}"))
        yield instance


ORCHESTRATION: dict[str, tuple[Callable[[Instance], Any], list[str]]] = {
    "dynamic partitions": (lambda i: i.get_dynamic_partitions("d"), ["(partitions_def=?)"]),
    "dynamic partitions, backwards": (
        lambda i: i.get_paginated_dynamic_partitions("d", limit=9, ascending=False),
        ["(partitions_def=?)"],
    ),
    "dynamic partitions, the next page": (
        lambda i: i.get_paginated_dynamic_partitions("d", limit=9, cursor="1:4"),
        ["(partitions_def=? AND (position,item)>(?,?))"],
    ),
    "existing dynamic partitions": (
        lambda i: i.get_existing_dynamic_partitions("d", ["p1", "p7"]),
        ["(partitions_def=? AND partition=?)"],
    ),
    "states": (lambda i: i.get_schedule_states(), ["(instigator_type=?)"]),
    "states, the next page": (
        lambda i: i.get_sensor_states(cursor=("", "n3")),
        ["(instigator_type=? AND (code_location,name)>(?,?))"],
    ),
    "states by status": (
        lambda i: i.get_schedule_states(statuses=["RUNNING", "STOPPED"]),
        ["(instigator_type=? AND status=?)"],
    ),
    "states by status, the next page": (
        lambda i: i.get_schedule_states(statuses=["RUNNING"], cursor=("loc1", "n5")),
        ["(instigator_type=? AND status=? AND (code_location,name)>(?,?))"],
    ),
    "one state": (
        lambda i: i.get_instigator_state("n5", "loc1"),
        ["(code_location=? AND name=? AND instigator_type=?)"],
    ),
    "ticks": (lambda i: i.get_ticks(), ["timestamp_us_position"]),
    "ticks, the next page": (lambda i: i.get_ticks(cursor="s40"), ["((timestamp_us,position)<(?,?))"]),
    "ticks of one": (lambda i: i.get_ticks("s"), ["(name=?)"]),
    "ticks of one in a location": (lambda i: i.get_ticks("s", code_location="loc"), ["(name=? AND code_location=?)"]),
    "ticks of one by statuses": (
        lambda i: i.get_ticks("s", statuses=["SKIPPED", "FAILURE"]),
        ["(name=? AND status=?)"],
    ),
    "ticks of one in a location by statuses and time": (
        lambda i: i.get_ticks("s", code_location="loc", statuses=["SKIPPED", "FAILURE"], before_us=10**17, after_us=5),
        ["(name=? AND code_location=? AND status=? AND timestamp_us>? AND timestamp_us<?)"],
    ),
    "ticks of one in a time": (
        lambda i: i.get_ticks("s", before_us=10**17, after_us=5),
        ["(name=? AND timestamp_us>? AND timestamp_us<?)"],
    ),
    "ticks by status": (lambda i: i.get_ticks(statuses=["STARTED"]), ["(status=?)"]),
    "ticks by ids": (lambda i: i.get_ticks_by_ids(["s1", "s2", "s3"]), ["(tick_id=?)"]),
    "counts of ticks": (lambda i: i.get_tick_counts(), ["COVERING INDEX", "(status=?)"]),
    "counts of ticks of one in a time": (
        lambda i: i.get_tick_counts("s", after_us=5),
        ["COVERING INDEX", "(name=? AND status=? AND timestamp_us>?)"],
    ),
    "a run key": (lambda i: i.has_run_key("s", "k4", code_location="loc"), ["scheduled=? AND run_key=?"]),
    "pools": (lambda i: i.get_pools(), []),
    "pools, the next page": (lambda i: i.get_pools(cursor="pool3"), ["(pool>?)"]),
    "one pool": (lambda i: i.get_pool("db"), ["(pool=?)"]),
    "waiting steps": (lambda i: i.get_waiting_steps("db"), ["(pool=? AND status=?)", "(run_id=?"]),
    "waiting steps, the next page": (
        lambda i: i.get_waiting_steps("db", cursor=("r1", "s7")),
        ["(pool=? AND status=? AND (rank,place)>(?,?))"],
    ),
    "claimed slots": (lambda i: i.get_claimed_slots("db"), ["(pool=? AND status=?)"]),
    "queued runs": (lambda i: i.get_queued_runs(), ["(state=?)"]),
    "queued runs, the next page": (
        lambda i: i.get_queued_runs(cursor="r7"),
        ["(state=? AND (rank,place)>(?,?))"],
    ),
    "the queue": (lambda i: i.get_queue_status(), ["COVERING INDEX", "(state=?)"]),
    "one backfill": (lambda i: i.get_backfill("b3"), ["(backfill_id=?)"]),
    "backfills": (lambda i: i.get_backfills(), ["position"]),
    "backfills, the next page": (lambda i: i.get_backfills(cursor="b9"), ["(position<?)"]),
    "backfills by statuses": (
        lambda i: i.get_backfills(statuses=["REQUESTED", "FAILED"], cursor="b9"),
        ["(status=? AND position<?)"],
    ),
    "counts of backfills": (lambda i: i.get_backfills_count(), ["COVERING INDEX", "(status=?)"]),
    "partitions of a backfill": (
        lambda i: i.get_backfill_partitions("b3", cursor="p2"),
        ["(backfill_id=? AND (position,item)>(?,?))"],
    ),
    "runs of a backfill": (lambda i: i.get_backfill_run_ids("b3"), ["(backfill_id=?)"]),
    "a snapshot": (lambda i: i.has_job_snapshot("x"), ["(kind=? AND snapshot_id=?)"]),
    "values": (lambda i: i.get_values(["v1", "v2"]), ["(name=?)"]),
}


@pytest.mark.parametrize("question", ORCHESTRATION)
def test_a_question_of_orchestration_reads_what_it_answers_with(orchestrated: Instance, question: str) -> None:
    ask, named = ORCHESTRATION[question]
    found = plans(orchestrated, ask)
    assert found, "nothing was asked"
    for plan in found:
        assert not plan.faults(), plan
    steps = " ".join(step for plan in found for step in plan.steps)
    for text in named:
        assert text in steps, found


def test_a_bad_plan_is_seen(orchestrated: Instance) -> None:
    def ask(instance: Instance) -> None:
        with instance.views.asking("ticks") as (connection, _):
            connection.execute(sa.text("SELECT tick_id FROM ticks_v1 WHERE run_ids = 'x'"))
            connection.execute(sa.text("SELECT tick_id FROM ticks_v1 WHERE name = 's' ORDER BY attempt"))

    read_through, sorted_ = plans(orchestrated, ask)
    assert read_through.faults()
    assert sorted_.faults()
