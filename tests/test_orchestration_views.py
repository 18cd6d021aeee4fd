"""Views of orchestration: what each means, and what one may ask. That they can be rebuilt: test_views_histories.py."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_views_histories import Trimmed, built, dump, trim

from foldlog import AppendKeyConflict, AssetKey, Event, Instance, UsageError, events
from foldlog.engine.facade import snapshots

START_US = 1_700_000_000_000_000


@pytest.fixture(params=["memory", "sqlite", "postgres", "views-in-mysql", "objects", "s3"])
def instance(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Instance]:
    views = None
    match request.param:
        case "memory":
            url = "memory://"
        case "views-in-mysql":
            url, views = "memory://", request.getfixturevalue("mysql_url")
        case "postgres":
            url = request.getfixturevalue("postgres_url")
        case "objects":
            url = f"file://{tmp_path}/h?durability=process"
        case "s3":
            bucket = request.getfixturevalue("s3_bucket")
            monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(bucket.options))
            url = f"{bucket.url}/h"
        case _:
            url = f"sqlite:///{tmp_path}/h?durability=process"
    with Instance.from_url(url, views=views) as instance:
        yield instance


@pytest.fixture
def memory() -> Iterator[Instance]:
    with Instance.ephemeral() as instance:
        yield instance


def tell(instance: Instance, shard: str, *facts: Any, at_us: int = START_US, step_key: str | None = None) -> None:
    instance.log.append(shard, [Event(fact, at_us + n, step_key=step_key) for n, fact in enumerate(facts)])


def check_after_a_trim(instance: Instance) -> None:
    """Rows are those of a view that never saw what was trimmed."""
    instance.get_values(["x"])
    live = dump(instance.views.store)
    again = built(Trimmed(instance.log), page=7)
    assert {name: rows for name, rows in live.items() if not name.endswith("checkpoint")} == {
        name: rows for name, rows in again.items() if not name.endswith("checkpoint")
    }


# -- dynamic partitions -----------------------------------------------------------------------------------------


def test_dynamic_partitions_keep_the_order_in_which_they_were_added(instance: Instance) -> None:
    instance.add_dynamic_partitions("colours", ["red", "blue", "red"])
    instance.add_dynamic_partitions("colours", ["ünï", "blue"])
    instance.add_dynamic_partitions("others", ["blue"])
    assert instance.get_dynamic_partitions("colours") == ["red", "blue", "ünï"]
    instance.delete_dynamic_partition("colours", "red")
    instance.delete_dynamic_partition("colours", "never there")
    assert instance.get_dynamic_partitions("colours") == ["blue", "ünï"]
    instance.add_dynamic_partitions("colours", ["red"])
    assert instance.get_dynamic_partitions("colours") == ["blue", "ünï", "red"]
    assert instance.has_dynamic_partition("colours", "red")
    assert not instance.has_dynamic_partition("others", "red")
    assert instance.get_dynamic_partitions("unknown") == []
    assert instance.verify().ok


def test_pages_of_dynamic_partitions_say_exactly_whether_there_is_more(instance: Instance) -> None:
    instance.add_dynamic_partitions("days", [f"d{n}" for n in range(6)])
    seen: list[str] = []
    cursor = None
    for more in (True, True, False):
        page = instance.get_paginated_dynamic_partitions("days", limit=2, cursor=cursor)
        seen += page.keys
        cursor = page.cursor
        assert page.has_more is more
    assert seen == [f"d{n}" for n in range(6)]
    assert instance.get_dynamic_partitions("days", cursor=cursor) == []
    back = instance.get_paginated_dynamic_partitions("days", limit=4, ascending=False)
    assert back.keys == ("d5", "d4", "d3", "d2")
    back = instance.get_paginated_dynamic_partitions("days", limit=4, ascending=False, cursor=back.cursor)
    assert (back.keys, back.has_more) == (("d1", "d0"), False)
    instance.delete_dynamic_partition("days", "d3")  # where a page ended: the next one goes on at its place
    assert instance.get_dynamic_partitions("days", limit=9, cursor="1:3") == ["d4", "d5"]
    assert instance.get_paginated_dynamic_partitions("none", limit=1).cursor is None


def test_many_dynamic_partitions_are_looked_up_in_chunks(memory: Instance) -> None:
    names = [f"p{n}" for n in range(2500)]
    memory.add_dynamic_partitions("many", names)
    assert memory.log.catch_up().position == 3
    assert memory.get_existing_dynamic_partitions("many", [*names, "no", "p7"]) == set(names)
    assert memory.get_existing_dynamic_partitions("many", []) == set()


def test_adding_again_records_nothing_and_a_retry_brings_nothing_back(memory: Instance) -> None:
    from uuid import uuid4

    key = uuid4()
    memory.add_dynamic_partitions("d", ["a", "b"], key=key)
    memory.add_dynamic_partitions("d", ["b", "a"])
    assert memory.log.catch_up().position == 1
    memory.delete_dynamic_partition("d", "a")
    memory.add_dynamic_partitions("d", ["a", "b"], key=key)  # the reply had been lost
    assert memory.get_dynamic_partitions("d") == ["b"]


@pytest.mark.parametrize("key", ["", "x\x00y", "ü" * 251])
def test_a_partition_key_that_no_view_can_hold_is_refused(memory: Instance, key: str) -> None:
    with pytest.raises(UsageError, match="partitions d: key"):
        memory.add_dynamic_partitions("d", ["good", key])
    assert memory.log.catch_up().position == 0


def test_wrong_arguments_are_told_apart_from_empty_answers(memory: Instance) -> None:
    with pytest.raises(UsageError, match="one text"):
        memory.add_dynamic_partitions("d", "abc")
    with pytest.raises(UsageError, match="not the cursor"):
        memory.get_dynamic_partitions("d", cursor="d3")
    with pytest.raises(UsageError, match="no status 'DONE'"):
        memory.get_ticks(statuses=["DONE"])
    with pytest.raises(UsageError, match="no status"):
        memory.get_backfills(statuses=["SUCCESS"])
    with pytest.raises(UsageError, match="no status"):
        memory.get_schedule_states(statuses=["ON"])
    with pytest.raises(UsageError, match="0 to 1,000"):
        memory.set_pool_limit("p", 1001)
    with pytest.raises(UsageError, match="nothing to set"):
        memory.set_values({})
    with pytest.raises(UsageError, match="limit"):
        memory.get_ticks(limit=0)
    assert memory.get_ticks(statuses=[]) == memory.get_backfills(statuses=[]) == []


# -- schedules and sensors --------------------------------------------------------------------------------------


def test_a_schedule_is_on_off_or_as_its_code_says(instance: Instance) -> None:
    instance.start_schedule("nightly", code_location="etl", cron="0 2 * * *", time_zone="Europe/Berlin")
    state = instance.get_instigator_state("nightly", "etl")
    assert state is not None
    assert (state.status, state.cron, state.time_zone) == ("RUNNING", "0 2 * * *", "Europe/Berlin")
    assert state.advanced_us is None
    tell(
        instance,
        "@ticks",
        events.ScheduleAdvanced(schedule="nightly", code_location="etl", through_us=50),
        events.ScheduleAdvanced(schedule="nightly", code_location="etl", through_us=40),
    )
    instance.stop_schedule("nightly", code_location="etl", reason="maintenance")
    state = instance.get_instigator_state("nightly", "etl")
    assert state is not None
    assert (state.status, state.stop_reason, state.advanced_us) == ("STOPPED", "maintenance", 50)
    instance.reset_schedule("nightly", code_location="etl")
    state = instance.get_instigator_state("nightly", "etl")
    assert state is not None
    assert (state.status, state.stop_reason, state.cron) == ("DECLARED_IN_CODE", None, "0 2 * * *")
    assert instance.get_instigator_state("nightly") is None  # of no code location there is none
    assert instance.get_sensor_states() == []


def test_the_cursor_of_a_sensor_outlives_resets_and_skips(instance: Instance) -> None:
    def cursor() -> str | None:
        state = instance.get_instigator_state("s")
        assert state is not None
        return state.cursor

    long = "é\x00" * 3000  # the sensor's own text: handed back to the last character
    instance.start_sensor("s", minimum_interval_us=30_000_000, automatic=True)
    assert cursor() is None
    instance.set_sensor_cursor("s", long)
    assert cursor() == long
    instance.reset_sensor("s")
    instance.stop_sensor("s")
    assert cursor() == long
    runs = (events.RunRequested(run_id="r1", run_key="k1"), events.RunRequested(run_id="r2"))
    tell(
        instance,
        "@ticks",
        events.TickRequested(tick_id="t1", instigator="s", runs=runs, cursor="1"),
        events.TickSucceeded(tick_id="t1", instigator="s", run_ids=("r1", "r2"), run_keys=("k1",)),
        events.TickRequested(tick_id="t2", instigator="s"),
    )
    assert cursor() == "1"
    tell(instance, "@ticks", events.TickFailed(tick_id="t3", instigator="s", failure_count=2))
    assert cursor() == "1"  # a tick that fails moves it only if it says so
    state = instance.get_instigator_state("s")
    assert state is not None
    assert (state.last_tick_id, state.last_tick_status, state.failure_count) == ("t3", "FAILURE", 2)
    assert (state.last_run_key, state.status, state.automatic) == ("k1", "STOPPED", True)
    tell(instance, "@ticks", events.TickFailed(tick_id="t4", instigator="s", cursor="2"))
    assert cursor() == "2"
    instance.set_sensor_cursor("s", None)
    assert cursor() is None


def test_states_come_in_pages_by_location_and_name(instance: Instance) -> None:
    for name, location in (("b", None), ("a", "loc"), ("c", None), ("a", None)):
        instance.start_schedule(name, code_location=location)
    instance.stop_schedule("c")
    instance.start_sensor("z")
    places = [(state.code_location, state.name) for state in instance.get_schedule_states()]
    assert places == [(None, "a"), (None, "b"), (None, "c"), ("loc", "a")]
    assert [(s.code_location, s.name) for s in instance.get_schedule_states(cursor=(None, "b"))] == places[2:]
    assert [s.name for s in instance.get_schedule_states(statuses=["STOPPED"])] == ["c"]
    found = instance.get_schedule_states(statuses=["STOPPED", "RUNNING"], limit=3)
    assert [(s.code_location, s.name) for s in found] == places[:3]
    assert [s.name for s in instance.get_sensor_states(statuses=["RUNNING", "DECLARED_IN_CODE"])] == ["z"]


def test_an_automation_sensor_is_a_sensor(memory: Instance) -> None:
    memory.start_sensor("auto")
    tell(
        memory,
        "@ticks",
        events.TickRequested(tick_id="t", instigator="auto", instigator_type="AUTOMATION", cursor="c"),
    )
    (state,) = memory.get_sensor_states()
    assert (state.status, state.cursor, state.last_tick_id) == ("RUNNING", "c", "t")


# -- ticks ------------------------------------------------------------------------------------------------------


def some_ticks(instance: Instance, count: int = 8, name: str = "s") -> None:
    """Of each four: one that made runs, one that found nothing, one that failed, one that is under way."""
    for number in range(count):
        tick: dict[str, Any] = {"tick_id": f"{name}{number}", "instigator": name, "code_location": "loc"}
        facts: list[Any] = [events.TickStarted(**tick, scheduled_us=number)]
        match number % 4:
            case 0:
                runs = (events.RunRequested(run_id=f"r{number}", run_key=f"k{number}"),)
                facts.append(events.TickRequested(**tick, runs=runs, cursor=str(number)))
                facts.append(events.TickSucceeded(**tick, run_ids=(f"r{number}",), run_keys=(f"k{number}",)))
            case 1:
                facts.append(events.TickSkipped(**tick, reason="nothing new"))
            case 2:
                error = events.ErrorInfo(class_name="ValueError", message="bad row")
                facts.append(events.TickFailed(**tick, failure_count=3, error=error))
        tell(instance, "@ticks", *facts, at_us=START_US + 1000 * number)


def test_a_tick_is_one_row_from_its_start_to_its_outcome(instance: Instance) -> None:
    some_ticks(instance, 4)
    made, skipped, failed, under_way = (instance.get_tick(f"s{n}") for n in range(4))
    assert made is not None
    assert (made.status, made.run_ids, made.run_keys, made.cursor) == ("SUCCESS", ("r0",), ("k0",), "0")
    assert (made.started_us, made.requested_us, made.ended_us) == (START_US, START_US + 1, START_US + 2)
    assert (made.scheduled_us, made.attempt, made.timestamp_us) == (0, 1, START_US)
    assert skipped is not None
    assert (skipped.status, skipped.skip_reason, skipped.run_ids) == ("SKIPPED", "nothing new", ())
    assert failed is not None
    assert (failed.status, failed.failure_count, failed.error_class) == ("FAILURE", 3, "ValueError")
    assert under_way is not None
    assert (under_way.status, under_way.ended_us) == ("STARTED", None)
    assert instance.get_tick("none") is None
    assert [tick.tick_id for tick in instance.get_ticks_by_ids(["s2", "none", "s0"])] == ["s2", "s0"]
    tell(instance, "@ticks", events.TickStarted(tick_id="s2", instigator="s", code_location="loc", attempt=2))
    again = instance.get_tick("s2")
    assert again is not None
    assert (again.status, again.attempt, again.failure_count) == ("STARTED", 2, 3)


def test_reserved_runs_show_until_the_tick_has_made_them(memory: Instance) -> None:
    runs = (events.RunRequested(run_id="r1", run_key="k"), events.RunRequested(run_id="r2"))
    tell(memory, "@ticks", events.TickRequested(tick_id="t", instigator="s", runs=runs))
    tick = memory.get_tick("t")
    assert tick is not None
    assert (tick.status, tick.run_ids, tick.run_keys) == ("REQUESTED", ("r1", "r2"), ("k",))


def test_ticks_are_chosen_by_all_conditions_at_once(instance: Instance) -> None:
    some_ticks(instance, 8)
    some_ticks(instance, 4, "other")

    def ids(**conditions: Any) -> list[str]:
        return [tick.tick_id for tick in instance.get_ticks(**conditions)]

    assert ids(name="s", limit=3) == ["s7", "s6", "s5"]
    assert ids(name="s", limit=3, cursor="s5") == ["s4", "s3", "s2"]
    assert ids(name="s", cursor="no such tick") == []
    assert ids(name="s", code_location="elsewhere") == []
    assert ids(name="s", code_location="loc", statuses=["SKIPPED"]) == ["s5", "s1"]
    assert ids(name="s", statuses=["FAILURE", "SUCCESS"], limit=3) == ["s6", "s4", "s2"]
    assert ids(name="s", after_us=START_US + 2000, before_us=START_US + 5000) == ["s4", "s3"]
    assert ids(statuses=["STARTED"]) == ["s7", "other3", "s3"]  # at one time: the later by position first
    assert len(ids()) == 12
    assert instance.get_tick_counts() == {"FAILURE": 3, "SKIPPED": 3, "STARTED": 3, "SUCCESS": 3}
    assert instance.get_tick_counts("other") == {"FAILURE": 1, "SKIPPED": 1, "STARTED": 1, "SUCCESS": 1}
    assert instance.get_tick_counts("s", after_us=START_US + 4000) == {"FAILURE": 1, "SKIPPED": 1, "STARTED": 1}
    assert instance.verify().ok


def test_a_run_key_belongs_to_the_first_run_for_ever(instance: Instance) -> None:
    def ask(tick_id: str, run_id: str, **more: Any) -> events.TickRequested:
        runs = (events.RunRequested(run_id=run_id, run_key="k"),)
        return events.TickRequested(tick_id=tick_id, instigator="n", runs=runs, **more)

    tell(instance, "r1", events.RunCreated(job_name="job"))
    tell(instance, "@ticks", ask("t1", "r1"), ask("t2", "r2"))
    at = {"instigator_type": "SCHEDULE"}
    tell(instance, "@ticks", ask("t3", "r3", scheduled_us=5, **at), ask("t4", "r4", scheduled_us=6, **at))
    tell(instance, "@ticks", events.TickSucceeded(tick_id="t5", instigator="n", run_keys=("used",)))
    instance.delete_run("r1")
    trim(instance, through=instance.log.catch_up().position)
    assert instance.get_run_id_of_run_key("n", "k") == "r1"
    assert instance.get_run_id_of_run_key("n", "k", instigator_type="SCHEDULE", scheduled_us=5) == "r3"
    assert instance.get_run_id_of_run_key("n", "k", instigator_type="SCHEDULE", scheduled_us=6) == "r4"
    assert not instance.has_run_key("n", "k", instigator_type="SCHEDULE", scheduled_us=7)
    assert not instance.has_run_key("n", "other")
    assert not instance.has_run_key("n", "k", code_location="loc")
    assert instance.has_run_key("n", "used")
    assert instance.get_run_id_of_run_key("n", "used") is None
    assert instance.verify().ok


def test_trimmed_ticks_are_gone_or_keep_what_is_kept(instance: Instance) -> None:
    some_ticks(instance, 8)
    trim(instance, through=instance.log.catch_up().position)
    assert [tick.tick_id for tick in instance.get_ticks("s")] == ["s6", "s4", "s2", "s0"]
    tick = instance.get_tick("s0")
    assert tick is not None
    assert (tick.status, tick.started_us, tick.attempt, tick.scheduled_us) == ("SUCCESS", None, None, None)
    assert tick.timestamp_us == START_US + 1  # of what is still known of it
    check_after_a_trim(instance)
    assert instance.get_instigator_state("s", "loc").cursor == "4"  # type: ignore[union-attr]


def test_a_trim_of_another_class_or_shard_or_place_leaves_ticks_alone(memory: Instance) -> None:
    some_ticks(memory, 4)
    before = memory.get_ticks()
    trim(memory, through=10**6, retention=events.Retention.LOG)
    trim(memory, through=10**6, shard="@pools")
    trim(memory, through=0)
    assert memory.get_ticks() == before
    trim(memory, through=10**6, shard="@ticks")
    some_ticks(memory, 4)  # what comes after a trim stays, whatever position it names
    assert [tick.status for tick in memory.get_ticks()] == [tick.status for tick in before]
    check_after_a_trim(memory)


def test_a_trim_takes_thousands_of_ticks(memory: Instance) -> None:
    for chunk in range(3):
        facts = [events.TickSkipped(tick_id=f"t{chunk}-{n}", instigator="s", reason="nothing new") for n in range(700)]
        tell(memory, "@ticks", *facts)
    assert memory.get_tick_counts() == {"SKIPPED": 2100}
    trim(memory, through=2099)
    assert [tick.tick_id for tick in memory.get_ticks()] == ["t2-699"]
    check_after_a_trim(memory)


# -- pools ------------------------------------------------------------------------------------------------------


def wants(run_id: str, step_key: str, priority: int = 0, pool: str = "db") -> events.PoolSlotRequested:
    return events.PoolSlotRequested(pool=pool, run_id=run_id, step_key=step_key, priority=priority)


def has(run_id: str, step_key: str, pool: str = "db") -> events.PoolSlotClaimed:
    return events.PoolSlotClaimed(pool=pool, run_id=run_id, step_key=step_key)


def claimed(instance: Instance, pool: str = "db") -> list[str]:
    return [f"{slot.run_id}.{slot.step_key}" for slot in instance.get_claimed_slots(pool)]


def waiting(instance: Instance, pool: str = "db") -> list[str]:
    return [f"{slot.run_id}.{slot.step_key}" for slot in instance.get_waiting_steps(pool)]


def test_steps_are_served_by_priority_and_then_in_turn(instance: Instance) -> None:
    instance.set_pool_limit("db", 2)
    tell(instance, "@pools", wants("r", "a"), wants("r", "b", 5), wants("r", "c", 5), wants("r", "d", -1))
    assert waiting(instance) == ["r.b", "r.c", "r.a", "r.d"]
    assert [s.step_key for s in instance.get_waiting_steps("db", cursor=("r", "c"))] == ["a", "d"]
    assert instance.get_waiting_steps("db", cursor=("r", "nobody")) == []
    tell(instance, "@pools", has("r", "b"), has("r", "b"), has("r", "c"))
    pool = instance.get_pool("db")
    assert pool is not None
    assert (pool.limit, pool.claimed, pool.waiting, pool.free) == (2, 2, 2, 0)
    assert claimed(instance) == ["r.b", "r.c"]
    assert instance.get_claimed_slots("db", limit=1)[0].priority == 5
    instance.set_pool_limit("db", 1, is_default=True)
    instance.set_pool_limit("api", 0)
    assert [(p.pool, p.limit, p.is_default, p.free) for p in instance.get_pools()] == [
        ("api", 0, False, 0),
        ("db", 1, True, 0),
    ]
    assert [p.pool for p in instance.get_pools(cursor="api", limit=1)] == ["db"]
    instance.delete_pool("db")
    pool = instance.get_pool("db")
    assert pool is not None
    assert (pool.limit, pool.claimed, pool.free) == (None, 2, None)
    assert [p.pool for p in instance.get_pools()] == ["api"]
    assert instance.get_pool("unknown") is None
    assert instance.verify().ok


ENDS: dict[str, tuple[str, list[Any], str | None, list[str]]] = {
    "the step succeeds": ("r1", [events.StepSucceeded()], "a", ["r1.b", "r2.a"]),
    "the step fails": ("r1", [events.StepFailed()], "a", ["r1.b", "r2.a"]),
    "the step is to be tried again": ("r1", [events.StepUpForRetry()], "a", ["r1.b", "r2.a"]),
    "the step is skipped": ("r1", [events.StepSkipped()], "a", ["r1.b", "r2.a"]),
    "another step ends": ("r1", [events.StepSucceeded()], "z", ["r1.a", "r1.b", "r2.a"]),
    "the run succeeds": ("r1", [events.RunSucceeded()], None, ["r2.a"]),
    "the run fails": ("r1", [events.RunFailed()], None, ["r2.a"]),
    "the run is canceled": ("r1", [events.RunCanceled()], None, ["r2.a"]),
    "one step is freed": ("@pools", [events.PoolSlotFreed(run_id="r1", step_key="b")], None, ["r1.a", "r2.a"]),
    "one step of another pool is freed": (
        "@pools",
        [events.PoolSlotFreed(run_id="r1", step_key="b", pool="other")],
        None,
        ["r1.a", "r1.b", "r2.a"],
    ),
    "the run is freed": ("@pools", [events.PoolSlotFreed(run_id="r1")], None, ["r2.a"]),
    "the run is freed of the pool": ("@pools", [events.PoolSlotFreed(run_id="r1", pool="db")], None, ["r2.a"]),
}


@pytest.mark.parametrize("case", ENDS)
def test_a_slot_is_given_back_when(memory: Instance, case: str) -> None:
    shard, facts, step_key, left = ENDS[case]
    for run_id in ("r1", "r2"):
        tell(memory, run_id, events.RunCreated(job_name="job"), events.RunStarted())
    tell(memory, "@pools", has("r1", "a"), has("r1", "b"), has("r2", "a"))
    tell(memory, shard, *facts, step_key=step_key)
    assert claimed(memory) == left
    assert memory.verify().ok


def test_a_step_may_have_slots_of_several_pools(memory: Instance) -> None:
    tell(memory, "@pools", has("r", "a", "db"), has("r", "a", "api"), wants("r", "a", pool="gpu"))
    assert (claimed(memory, "db"), claimed(memory, "api"), waiting(memory, "gpu")) == (["r.a"], ["r.a"], ["r.a"])
    memory.free_slots_for_step("r", "a", pool="api")
    assert (claimed(memory, "db"), claimed(memory, "api"), waiting(memory, "gpu")) == (["r.a"], [], ["r.a"])
    tell(memory, "r", events.StepSucceeded(), step_key="a")
    assert (claimed(memory, "db"), waiting(memory, "gpu")) == ([], [])
    tell(memory, "@pools", has("r", "a", "db"), has("r", "b", "db"), has("r", "b", "api"))
    memory.free_slots_for_run("r", pool="db")
    assert (claimed(memory, "db"), claimed(memory, "api")) == ([], ["r.b"])
    memory.free_slots_for_run("r")
    assert claimed(memory, "api") == []


def test_a_worker_that_comes_too_late_holds_no_slot(instance: Instance) -> None:
    instance.set_pool_limit("db", 1)
    tell(instance, "r", events.RunCreated(job_name="job"), events.RunStarted())
    tell(instance, "r", events.StepFailed(), step_key="a")
    tell(instance, "@pools", has("r", "a"))
    assert claimed(instance) == ["r.a"]  # the end came first: what comes later stands until the run ends
    tell(instance, "r", events.RunFailed())
    assert claimed(instance) == []
    tell(instance, "@pools", has("r", "b"), wants("r", "c"))
    pool = instance.get_pool("db")
    assert pool is not None
    assert (pool.claimed, pool.waiting, pool.free) == (0, 0, 1)
    assert (claimed(instance), waiting(instance)) == ([], [])
    instance.delete_run("r")
    assert instance.verify().ok


def test_a_deleted_run_leaves_no_slot(instance: Instance) -> None:
    tell(instance, "r", events.RunCreated(job_name="job"))
    tell(instance, "r", events.StepSucceeded(), step_key="a")
    tell(instance, "@pools", has("r", "a"), has("other", "a"), wants("r", "b"))
    instance.delete_run("r")  # with the end of the step: a view built now sees the claims alone
    assert (claimed(instance), waiting(instance)) == (["other.a"], [])
    assert instance.verify().ok


def test_trimmed_claims_are_gone_and_a_later_one_has_no_priority(memory: Instance) -> None:
    tell(memory, "@pools", wants("r", "a", 7), has("r", "b"), wants("r", "b", 3))
    memory.set_pool_limit("db", 4)
    at = memory.log.catch_up().position
    tell(memory, "@pools", has("r", "a"), wants("r", "c", 1))
    trim(memory, through=at)
    assert [(s.step_key, s.priority, s.requested_us) for s in memory.get_claimed_slots("db")] == [("a", 0, None)]
    assert waiting(memory) == ["r.c"]
    assert memory.get_pool("db").limit == 4  # type: ignore[union-attr]
    check_after_a_trim(memory)


def test_a_log_without_pools_costs_no_look_at_their_tables(memory: Instance) -> None:
    for number in range(3):
        ends = [Event(events.StepSucceeded(), START_US, step_key=f"s{n}") for n in range(300)]
        memory.log.append(f"r{number}", [Event(events.RunCreated(job_name="job"), START_US), *ends])
    with memory.views.store.database.read() as connection:
        driver: Any = connection.connection.driver_connection
    seen: list[str] = []
    driver.set_trace_callback(seen.append)
    memory.views.projector.catch_up()
    driver.set_trace_callback(None)
    assert any("INTO steps_v2" in statement for statement in seen), "nothing was folded"
    looks = [statement for statement in seen if "pool_" in statement and "foldlog_views" not in statement]
    assert looks == ["SELECT 1 FROM pool_steps_v1 LIMIT 1"]


def test_a_row_that_was_put_into_an_empty_table_is_found_and_not_run_into(memory: Instance) -> None:
    memory.get_values(["a"])
    with memory.views.store.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO program_values_v1 VALUES ('a', x'31', 1, 1), ('b', x'31', 1, 1)")
    memory.set_values({"a": "2"})
    assert memory.get_values(["a", "b"]) == {"a": "2", "b": "1"}
    assert any("name='b'" in problem for problem in memory.verify("values").problems())
    memory.rebuild("values")
    assert memory.get_values(["a", "b"]) == {"a": "2"}


# -- the queue --------------------------------------------------------------------------------------------------


def submit(instance: Instance, run_id: str, tags: dict[str, str] | None = None, **more: Any) -> None:
    created = events.RunCreated(job_name=f"job-{run_id}", tags=tags or {}, **more)
    tell(instance, run_id, created, events.RunEnqueued())


def queued(instance: Instance, **more: Any) -> list[str]:
    return [run.run_id for run in instance.get_queued_runs(**more)]


def counts(instance: Instance) -> tuple[int, int, int]:
    status = instance.get_queue_status()
    return status.queued, status.admitted, status.in_progress


def test_runs_wait_by_priority_and_then_in_turn(instance: Instance) -> None:
    submit(instance, "r1")
    submit(instance, "r2", {"dagster/priority": "3"}, code_location="loc", pools={"db": 2}, root_pools={"db": 1})
    submit(instance, "r3", {"foldlog/priority": "-1", "dagster/priority": "9"})
    submit(instance, "r4", {"dagster/priority": "urgent"})
    submit(instance, "r5", {"dagster/priority": " 3 "})
    assert queued(instance) == ["r2", "r5", "r1", "r4", "r3"]
    assert queued(instance, limit=2) == ["r2", "r5"]
    assert queued(instance, limit=2, cursor="r5") == ["r1", "r4"]
    assert queued(instance, cursor="nobody") == []
    run = instance.get_queued_runs(limit=1)[0]
    assert (run.job_name, run.code_location, run.priority) == ("job-r2", "loc", 3)
    assert (run.pools, run.root_pools, run.enqueued_us, run.attempts) == ({"db": 2}, {"db": 1}, START_US + 1, 0)
    tell(instance, "r1", events.RunTagsAdded(tags={"foldlog/priority": "10"}))
    tell(instance, "r3", events.RunTagsRemoved(keys=("foldlog/priority",)))
    assert queued(instance) == ["r1", "r3", "r2", "r5", "r4"]
    assert instance.verify().ok


def test_a_run_that_is_put_back_keeps_its_place(instance: Instance) -> None:
    for run_id in ("r1", "r2"):
        submit(instance, run_id)
    assert (queued(instance), counts(instance)) == (["r1", "r2"], (2, 0, 0))
    tell(instance, "@queue", events.RunAdmitted(run_id="r1"))
    assert (queued(instance), counts(instance)) == (["r2"], (1, 1, 0))
    tell(instance, "r1", events.RunDequeued(), events.RunStarting())
    assert (queued(instance), counts(instance)) == (["r2"], (1, 0, 1))
    tell(instance, "@queue", events.RunReleased(run_id="r1", reason="code cannot be reached"))
    assert counts(instance) == (1, 0, 0)
    tell(instance, "r1", events.RunEnqueued(reason="code cannot be reached"))
    assert (queued(instance), counts(instance)) == (["r1", "r2"], (2, 0, 0))
    assert instance.get_queued_runs(limit=1)[0].attempts == 1
    tell(instance, "@queue", events.RunAdmitted(run_id="r1", attempt=2))
    tell(instance, "r1", events.RunDequeued(), events.RunStarting(), events.RunStarted())
    assert counts(instance) == (1, 0, 1)
    tell(instance, "r1", events.RunSucceeded())
    tell(instance, "@queue", events.RunAdmitted(run_id="r1", attempt=3))
    assert counts(instance) == (1, 0, 0)  # a run that has ended takes no place, whoever lets it in
    assert instance.verify().ok


def test_a_run_that_is_to_stop_does_not_wait(memory: Instance) -> None:
    submit(memory, "r1")
    tell(memory, "r1", events.RunCanceling(), events.RunEnqueued())
    assert counts(memory) == (0, 0, 1)
    tell(memory, "r1", events.RunCanceled(), events.RunStarting())
    assert counts(memory) == (0, 0, 0)


def test_a_suspended_run_takes_no_place(memory: Instance) -> None:
    submit(memory, "r1")
    tell(memory, "r1", events.RunStarted(), events.RunSuspended())
    assert counts(memory) == (0, 0, 0)
    tell(memory, "r1", events.RunResumed())
    assert counts(memory) == (0, 0, 1)


def test_an_admission_under_an_old_token_is_void(instance: Instance) -> None:
    for run_id in ("r1", "r2", "r3"):
        submit(instance, run_id)
    tell(instance, "@queue", events.RunAdmitted(run_id="r1", token=7))
    tell(instance, "@queue", events.RunAdmitted(run_id="r2", token=6))
    assert (queued(instance), counts(instance)) == (["r2", "r3"], (2, 1, 0))
    tell(instance, "@queue", events.RunAdmitted(run_id="r2", token=7), events.RunAdmitted(run_id="r3"))
    assert counts(instance) == (0, 3, 0)


def test_an_admission_of_a_run_that_is_gone_takes_no_place(instance: Instance) -> None:
    submit(instance, "r1")
    tell(instance, "@queue", events.RunAdmitted(run_id="r1"))
    instance.delete_run("r1")
    assert counts(instance) == (0, 0, 0)
    tell(instance, "@queue", events.RunAdmitted(run_id="r1"), events.RunAdmitted(run_id="never"))
    assert counts(instance) == (0, 0, 0)
    assert instance.verify().ok


def test_paused_locations_are_told(instance: Instance) -> None:
    pause = events.CodeLocationPaused(code_location="b", until_us=5, reason="down")
    tell(instance, "@queue", pause, events.CodeLocationPaused(code_location="a"))
    paused = instance.get_queue_status().paused
    assert [(one.code_location, one.until_us, one.reason) for one in paused] == [("a", None, None), ("b", 5, "down")]
    tell(instance, "@queue", events.CodeLocationResumed(code_location="a"))
    assert [one.code_location for one in instance.get_queue_status().paused] == ["b"]


# -- backfills --------------------------------------------------------------------------------------------------


def test_a_backfill_is_told_from_request_to_end(instance: Instance) -> None:
    backfill_id = instance.request_backfill(
        ["p1", "p2", "p3", "p1"],
        asset_selection=["raw/orders"],
        tags={"team": "growth"},
        title="June again",
        user="anna",
        from_failure=True,
    )
    backfill = instance.get_backfill(backfill_id)
    assert backfill is not None
    assert (backfill.status, backfill.partitions, backfill.requested_partitions) == ("REQUESTED", 3, 0)
    assert (backfill.asset_selection, backfill.tags) == ((AssetKey.of("raw/orders"),), {"team": "growth"})
    assert (backfill.title, backfill.user, backfill.from_failure) == ("June again", "anna", True)
    progress = events.BackfillProgressed(
        backfill_id=backfill_id, run_ids=("r1", "r2"), partitions=("p1", "p3", "p1"), cursor="at p3"
    )
    tell(instance, "@instance", progress, progress)
    backfill = instance.get_backfill(backfill_id)
    assert backfill is not None
    assert (backfill.status, backfill.requested_partitions, backfill.runs) == ("IN_PROGRESS", 2, 2)
    assert backfill.cursor == "at p3"
    found = instance.get_backfill_partitions(backfill_id)
    assert [(p.partition, p.requested) for p in found] == [("p1", True), ("p2", False), ("p3", True)]
    assert [p.partition for p in instance.get_backfill_partitions(backfill_id, limit=1, cursor="p1")] == ["p2"]
    assert instance.get_backfill_run_ids(backfill_id, limit=1) == ["r1"]
    assert instance.get_backfill_run_ids(backfill_id, cursor="r1") == ["r2"]
    assert instance.get_backfill_run_ids(backfill_id, cursor="none") == []
    done = events.BackfillCompleted(backfill_id=backfill_id, failed_partitions=("p3",))
    tell(instance, "@instance", done, events.BackfillCanceled(backfill_id=backfill_id))
    backfill = instance.get_backfill(backfill_id)
    assert backfill is not None
    assert (backfill.status, backfill.is_finished, backfill.failed_partitions) == ("COMPLETED", True, 1)
    assert backfill.ended_us == START_US
    assert instance.cancel_backfill(backfill_id) is None
    assert instance.get_backfill("none") is None
    assert instance.verify().ok


def test_a_canceled_backfill_stays_so(memory: Instance) -> None:
    name = memory.request_backfill(["p1"], job_name="job")
    assert memory.cancel_backfill(name) is not None
    tell(memory, "@instance", events.BackfillProgressed(backfill_id=name, partitions=("p1",)))
    backfill = memory.get_backfill(name)
    assert backfill is not None
    assert (backfill.status, backfill.requested_partitions) == ("CANCELING", 1)
    error = events.ErrorInfo(class_name="E", message="m")
    tell(
        memory,
        "@instance",
        events.BackfillCanceled(backfill_id=name),
        events.BackfillFailed(backfill_id=name, error=error),
    )
    backfill = memory.get_backfill(name)
    assert backfill is not None
    assert (backfill.status, backfill.error_class) == ("CANCELED", None)
    with pytest.raises(UsageError, match="no backfill 'none'"):
        memory.cancel_backfill("none")


def test_a_backfill_of_one_id_is_asked_for_once(instance: Instance) -> None:
    for _ in range(2):
        assert instance.request_backfill(["p1"], backfill_id="b1") == "b1"
    assert instance.get_backfills_count() == 1
    with pytest.raises(AppendKeyConflict):
        instance.request_backfill(["p2"], backfill_id="b1")


def test_backfills_are_listed_newest_first_by_status(instance: Instance) -> None:
    names = [instance.request_backfill(["p"], backfill_id=f"b{n}") for n in range(5)]
    tell(instance, "@instance", events.BackfillCompleted(backfill_id="b1"))
    tell(instance, "@instance", events.BackfillFailed(backfill_id="b3"))

    def ids(**more: Any) -> list[str]:
        return [backfill.backfill_id for backfill in instance.get_backfills(**more)]

    assert ids() == names[::-1]
    assert ids(limit=2, cursor="b3") == ["b2", "b1"]
    assert ids(statuses=["FAILED", "COMPLETED"]) == ["b3", "b1"]
    assert ids(statuses=["REQUESTED"], limit=2) == ["b4", "b2"]
    assert ids(cursor="none") == []
    assert instance.get_backfills_count(statuses=["REQUESTED", "FAILED"]) == 4


# -- snapshots and values ---------------------------------------------------------------------------------------


def test_a_snapshot_is_kept_once_per_content(instance: Instance) -> None:
    document = {"steps": [{"key": "a", "after": []}], "big": "x" * 5000, "share": 0.5}
    first = instance.add_job_snapshot("job", document)
    assert instance.add_job_snapshot("job", dict(reversed(document.items()))) == first
    assert instance.log.catch_up().position == 1
    assert instance.add_job_snapshot("other", document) != first
    assert instance.add_job_snapshot("job", document | {"share": 1}) != instance.add_job_snapshot(
        "job", document | {"share": 1.0}
    )
    plan = instance.add_plan_snapshot({"steps": []}, job_snapshot_id=first)
    found = instance.get_job_snapshot(first)
    assert found is not None
    assert (found.document, found.job_name, found.position) == (document, "job", 1)
    found = instance.get_plan_snapshot(plan)
    assert found is not None
    assert (found.document, found.job_snapshot_id) == ({"steps": []}, first)
    assert instance.has_job_snapshot(first)
    assert not instance.has_job_snapshot(plan)
    assert not instance.has_plan_snapshot(first)
    assert instance.get_job_snapshot("none") is None
    with pytest.raises(UsageError, match="no plain value"):
        instance.add_job_snapshot("job", {"a": object()})
    assert instance.verify().ok


def test_a_short_snapshot_needs_no_views(tmp_path: Path) -> None:
    """A process that executes runs is spared to open them."""
    for _ in range(2):
        with Instance.from_url(f"sqlite:///{tmp_path}/h") as instance:
            plan = instance.add_plan_snapshot({"steps": []}, job_snapshot_id=instance.add_job_snapshot("job", {"a": 1}))
            assert not (tmp_path / "h" / "views.db").exists()
    with Instance.from_url(f"sqlite:///{tmp_path}/h") as instance:
        assert instance.log.catch_up().position == 2
        assert instance.has_plan_snapshot(plan)


def test_a_long_snapshot_is_not_sent_again(memory: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"a": "x" * snapshots.LONG}
    kept = memory.add_job_snapshot("job", document)
    monkeypatch.setattr(memory, "_tell", None)
    assert memory.add_job_snapshot("job", document) == kept


def test_two_that_add_a_snapshot_at_once_record_it_once(memory: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_place", lambda *_: None)  # both have looked, and neither has found it
    for document in ({"a": 1}, {"a": "x" * snapshots.LONG}):
        assert memory.add_plan_snapshot(document) == memory.add_plan_snapshot(document)
    assert memory.log.catch_up().position == 2


def test_values_are_whole_and_the_last_one_stands(instance: Instance) -> None:
    long = "\x00é" * 5000
    instance.set_values({"a": "1", "b": long, "c": ""})
    instance.set_values({"a": "2", "c": None})
    assert instance.get_values(["a", "b", "c", "d"]) == {"a": "2", "b": long}
    assert instance.get_values([]) == {}
    assert instance.verify().ok


# -- answers are bounded ----------------------------------------------------------------------------------------


def test_no_question_fetches_more_than_its_page(memory: Instance) -> None:
    some_ticks(memory, 40)
    memory.add_dynamic_partitions("d", [f"p{n}" for n in range(40)])
    tell(memory, "@pools", *(wants("r", f"s{n}", n) for n in range(40)), *(has("r", f"t{n}") for n in range(40)))
    for number in range(40):
        submit(memory, f"r{number}")
        memory.start_schedule(f"n{number:02}")
        memory.set_pool_limit(f"pool{number:02}", 1)
        memory.request_backfill([f"p{n}" for n in range(40)], backfill_id=f"b{number}")
    run_ids = tuple(f"r{n}" for n in range(40))
    tell(memory, "@instance", events.BackfillProgressed(backfill_id="b0", run_ids=run_ids))
    memory.get_values(["x"])  # all is taken in
    asks = [
        lambda: memory.get_ticks(limit=5),
        lambda: memory.get_ticks("s", limit=5, statuses=["SUCCESS", "SKIPPED", "FAILURE"]),
        lambda: memory.get_dynamic_partitions("d", limit=5),
        lambda: memory.get_waiting_steps("db", limit=5),
        lambda: memory.get_claimed_slots("db", limit=5),
        lambda: memory.get_pools(limit=5),
        lambda: memory.get_queued_runs(limit=5),
        lambda: memory.get_schedule_states(limit=5),
        lambda: memory.get_schedule_states(limit=5, statuses=["RUNNING", "STOPPED"]),
        lambda: memory.get_backfills(limit=5),
        lambda: memory.get_backfills(limit=5, statuses=["REQUESTED", "IN_PROGRESS"]),
        lambda: memory.get_backfill_partitions("b0", limit=5),
        lambda: memory.get_backfill_run_ids("b0", limit=5),
    ]
    with memory.views.store.database.read() as connection:
        driver: Any = connection.connection.driver_connection
    for number, ask in enumerate(asks):
        delivered = []

        def count(cursor: sqlite3.Cursor, row: Any, delivered: list[Any] = delivered) -> Any:
            if "foldlog_views" not in str(cursor.description) and len(row) != 10:  # not the checkpoints
                delivered.append(row)
            return row

        driver.row_factory = count
        try:
            assert len(ask()) == 5, number
        finally:
            driver.row_factory = None
        # has_more of partitions looks for one row behind the page
        assert 5 <= len(delivered) <= 6, number
