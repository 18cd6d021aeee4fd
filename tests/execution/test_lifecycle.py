"""The life of a run: which events it leaves, in which order and append, and what the views make of them."""

from __future__ import annotations

import gc
import os
import socket
import threading
import weakref
from typing import Any

import pytest
from watching import appends_of, fact, facts, notes, run, story

import foldlog
from foldlog import (
    AssetCheckResult,
    AssetKey,
    Instance,
    RunStatus,
    asset,
    asset_check,
    execute_job,
    job,
    materialize,
    op,
)
from foldlog.engine.log.port import ShardState


@op
def extract(context) -> int:
    context.log.info("extracting")
    return 2


@op
def double(rows: int) -> int:
    return rows * 2


@job(tags={"team": "growth"}, description="a small one")
def small():
    double(extract())


WHOLE = [
    "RUN_CREATED",
    "RUN_START",
    "ENGINE_EVENT",
    "RESOURCE_INIT_STARTED",
    "RESOURCE_INIT_SUCCESS",
    "STEP_START extract",
    "LOG_MESSAGE extract",
    "STEP_OUTPUT extract",
    "HANDLED_OUTPUT extract",
    "STEP_SUCCESS extract",
    "STEP_START double",
    "LOADED_INPUT double",
    "STEP_INPUT double",
    "STEP_OUTPUT double",
    "HANDLED_OUTPUT double",
    "STEP_SUCCESS double",
    "ENGINE_EVENT",
    "RUN_SUCCESS",
]


def test_a_small_job_leaves_these_events_in_this_order(instance: Instance) -> None:
    result = run(small, instance, run_id="the-run", tags={"by": "hand"})
    assert result.success
    assert result.run_id == "the-run"
    assert story(result, without=frozenset()) == WHOLE
    assert [one.seq for one in result.events()] == list(range(1, len(WHOLE) + 1))
    times = [one.event.timestamp_us for one in result.events()]
    assert times == sorted(times)
    assert result.output_for_node("double") == 4

    started = fact(result, "RUN_START")
    assert (started.host, started.process_id) == (socket.gethostname(), os.getpid())
    assert notes(result) == [f"executing 2 steps in process {os.getpid()}", "all steps are done"]
    loaded = fact(result, "LOADED_INPUT", "double")
    assert (loaded.input_name, loaded.manager_key) == ("rows", "io_manager")
    assert (loaded.upstream_step_key, loaded.upstream_output_name) == ("extract", "result")
    assert fact(result, "STEP_INPUT", "double").type_check.success
    output = fact(result, "STEP_OUTPUT", "double")
    assert (output.output_name, output.mapping_key, output.type_check.success) == ("result", None, True)
    handled = fact(result, "HANDLED_OUTPUT", "double")
    assert (handled.output_name, handled.manager_key) == ("result", "io_manager")
    ended = fact(result, "STEP_SUCCESS", "double")
    assert ended.attempt == 1
    assert ended.duration_us is not None
    assert 0 <= ended.duration_us < 60_000_000
    ready = fact(result, "RESOURCE_INIT_SUCCESS")
    assert ready.resource_keys == ("io_manager",)
    assert set(ready.durations_us) == {"io_manager"}


def test_the_views_show_the_run(instance: Instance) -> None:
    result = run(small, instance, tags={"by": "hand"}, run_config={"ops": {"extract": {}}})
    record = instance.get_run_record_by_id(result.run_id)
    assert record is not None
    assert record.run.status is RunStatus.SUCCESS is result.status
    assert record.run.job_name == "small"
    assert record.run.tags == {"team": "growth", "by": "hand"}
    assert record.run.run_config == {"ops": {"extract": {}}}
    assert record.run.step_keys is None
    assert record.started_us is not None
    assert record.ended_us is not None
    assert record.created_us <= record.started_us <= record.ended_us
    steps = instance.get_run_steps(result.run_id)
    assert [(one.step_key, one.status, one.attempts) for one in steps] == [
        ("extract", "SUCCESS", 1),
        ("double", "SUCCESS", 1),
    ]
    assert all(one.duration_us is not None and one.duration_us >= 0 for one in steps)
    stats = instance.get_run_stats(result.run_id)
    assert stats is not None
    assert (stats.steps_succeeded, stats.steps_failed, stats.materializations) == (2, 0, 0)


def test_snapshots_of_job_and_plan_are_found_by_their_ids(instance: Instance) -> None:
    first, second = run(small, instance), run(small, instance)
    one, two = instance.get_run_by_id(first.run_id), instance.get_run_by_id(second.run_id)
    assert one is not None
    assert two is not None
    assert (one.job_snapshot_id, one.plan_snapshot_id) == (two.job_snapshot_id, two.plan_snapshot_id)
    assert one.job_snapshot_id is not None
    assert one.plan_snapshot_id is not None
    snapshot = instance.get_job_snapshot(one.job_snapshot_id)
    assert snapshot is not None
    assert snapshot.job_name == "small"
    assert snapshot.document["description"] == "a small one"
    plan = instance.get_plan_snapshot(one.plan_snapshot_id)
    assert plan is not None
    assert plan.job_snapshot_id == one.job_snapshot_id
    assert plan.document["order"] == ["extract", "double"]
    assert plan.document["steps"]["double"]["inputs"] == {"rows": ["extract.result"]}


def test_a_second_run_of_an_id_is_refused_and_leaves_no_trace(instance: Instance) -> None:
    result = run(small, instance, run_id="once")
    before = story(result)
    with pytest.raises(foldlog.ConflictError, match="run once exists already"):
        execute_job(small, instance=instance, run_id="once")
    assert story(result) == before


def test_the_shard_of_a_run_is_sealed_at_its_end(instance: Instance) -> None:
    result = run(small, instance)
    found = instance.log.backend.find_shard(result.run_id)
    assert found is not None
    assert found.state is ShardState.SEALED


@pytest.mark.parametrize("wrong", ["", "a/b", "@queue", "x" * 300, 5, "..", " a"])
def test_what_is_no_run_id_is_refused(wrong: Any, memory: Instance) -> None:
    before = memory.get_runs_count()
    with pytest.raises(foldlog.UsageError, match=r"^run id "):
        execute_job(small, instance=memory, run_id=wrong)
    with pytest.raises(foldlog.UsageError, match=r"^run id "), memory.run("small", run_id=wrong):
        pass
    assert memory.get_runs_count() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"instance": "postgresql://me:secret@host/db"}, "instance is a str, no Instance"),
        ({"run_config": [1]}, "the run config is .1., no mapping"),
        ({"run_config": {"ops": 5}}, "ops: 5 was given; wanted a mapping"),
        ({"run_config": {"op": {}}}, "no such section.*did you mean 'ops'"),
        ({"run_config": {"ops": {"extract": {"conf": {}}}}}, "there is no key 'conf' here"),
        ({"run_config": {"ops": {"double": {"inputs": {"rows": 1}}}}}, "another step gives this input"),
        ({"tags": {"a": 1}}, "tag"),
        ({"op_selection": []}, "empty list"),
        ({"op_selection": "nope"}, "no op 'nope'"),
        ({"resources": {"a b": 1}}, "resource 'a b'"),
        ({"partition_key": "x"}, "has no partitions"),
        ({"asset_selection": "x"}, "makes no assets"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_recorded(wrong: Any, message: str, memory: Instance) -> None:
    before = memory.get_runs_count()
    with pytest.raises(foldlog.UsageError, match=message) as caught:
        execute_job(small, **{"instance": memory, **wrong})
    assert "secret" not in str(caught.value)
    assert memory.get_runs_count() == before


@asset(code_version="1", group_name="raw", metadata={"owner": "growth"}, tags={"tier": "1"})
def orders(context) -> list[int]:
    context.log.info("reading")
    return [1, 2, 3]


@asset_check(asset=orders)
def not_empty(orders: list[int]) -> AssetCheckResult:
    return AssetCheckResult(passed=bool(orders), metadata={"rows": len(orders)})


@asset
def total(orders: list[int]) -> int:
    return sum(orders)


ASSETS = [
    "RUN_CREATED",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_CHECK_EVALUATION_PLANNED",
    "RUN_START",
    "RESOURCE_INIT_STARTED",
    "RESOURCE_INIT_SUCCESS",
    "STEP_START orders",
    "LOG_MESSAGE orders",
    "STEP_OUTPUT orders",
    "ASSET_MATERIALIZATION orders",
    "HANDLED_OUTPUT orders",
    "STEP_SUCCESS orders",
    "STEP_START total",
    "LOADED_INPUT total",
    "STEP_INPUT total",
    "STEP_OUTPUT total",
    "ASSET_MATERIALIZATION total",
    "HANDLED_OUTPUT total",
    "STEP_SUCCESS total",
    "STEP_START orders__not_empty",
    "LOADED_INPUT orders__not_empty",
    "STEP_INPUT orders__not_empty",
    "ASSET_CHECK_EVALUATION orders__not_empty",
    "STEP_SUCCESS orders__not_empty",
    "RUN_SUCCESS",
]


def test_assets_are_planned_in_the_append_that_creates_the_run(instance: Instance) -> None:
    result = materialize([orders, total, not_empty], instance=instance)
    assert story(result) == ASSETS
    receipts = appends_of(instance, result.run_id)
    assert receipts[0] == (1, 4)
    planned = [one.asset_key for one in facts(result, "ASSET_MATERIALIZATION_PLANNED")]
    assert planned == [AssetKey("orders"), AssetKey("total")]
    check = fact(result, "ASSET_CHECK_EVALUATION_PLANNED")
    assert (check.asset_key, check.check_name) == (AssetKey("orders"), "not_empty")
    run_ = instance.get_run_by_id(result.run_id)
    assert run_ is not None
    assert run_.asset_selection == (AssetKey("orders"), AssetKey("total"))


def test_a_run_without_an_instance_leaves_no_thread_and_no_instance() -> None:
    @op
    def one() -> int:
        return 1

    @job
    def small():
        one()

    before = threading.active_count()
    result = foldlog.execute_job(small)
    assert threading.active_count() == before
    assert result.output_for_node("one") == 1, "what it made is still there"
    assert [record.event.type for record in result.events()][-1] == "RUN_SUCCESS"
    gone = weakref.ref(result.instance)
    del result
    gc.collect()
    assert gone() is None


def test_steps_may_be_selected_by_their_ops(memory: Instance) -> None:
    @op
    def one() -> int:
        return 1

    @op
    def two() -> int:
        return 2

    @job
    def small():
        one()
        two()

    assert list(run(small, memory, op_selection=[two]).step_outcomes) == ["two"]
    assert list(run(small, memory, op_selection=one).step_outcomes) == ["one"]


def test_a_url_is_no_instance() -> None:
    @op
    def one() -> int:
        return 1

    @job
    def small():
        one()

    for call in (
        lambda: foldlog.execute_job(small, instance="sqlite:///history"),  # type: ignore[arg-type]
        lambda: foldlog.reexecute_job(small, "r", instance="sqlite:///history"),  # type: ignore[arg-type]
    ):
        with pytest.raises(foldlog.UsageError, match="instance is a str, no Instance") as caught:
            call()
        assert caught.value.remedy.startswith("Open it: foldlog.Instance.from_url(")
