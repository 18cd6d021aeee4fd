"""A run whose worker is gone, or is taken for gone: what is recorded of it, and what a worker that comes back says."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from foldlog import Definitions, Event, Instance, RunStatus, UsageError, asset, events, job, op, reexecute_job
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition
from foldlog.engine.execution import history, lost, reexecution, worker
from foldlog.engine.execution.interruption import RunInterrupted
from foldlog.engine.execution.requests import ExecutionRequest, begin, execute
from foldlog.engine.execution.run_context import RunContext


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found
        assert found.verify().ok


@op
def a() -> None:
    """Nothing to do."""


@op
def b() -> None:
    """Nothing to do."""


@job
def two() -> None:
    a()
    b()


def begun(instance: Instance, monkeypatch: pytest.MonkeyPatch, job: Any = two, *, dead: bool = False) -> RunContext:
    """Run `r`, begun and with nothing executed; `work` goes on with it. `dead`: its process is there no more."""
    run = begin(instance, job, ExecutionRequest(run_id="r"))
    with monkeypatch.context() as patched:
        if dead:
            process = subprocess.Popen([sys.executable, "-c", ""])
            process.wait()
            patched.setattr(worker, "RunStarted", lambda **k: events.RunStarted(**{**k, "process_id": process.pid}))
        worker._begin(run)
    monkeypatch.setattr(worker, "_begin", lambda run: None)
    return run


def types(instance: Instance, run_id: str = "r") -> list[str]:
    return [one.event.type for one in instance.log.read_shard(run_id).records]


def once(deed: Callable[[], object]) -> Callable[[], None]:
    """Do it at the first call only."""
    left = [deed]

    def do() -> None:
        if left:
            left.pop()()

    return do


# -- its end is recorded -----------------------------------------------------------------------------------------


def test_steps_under_way_are_ended_too(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(instance, monkeypatch)
    record = run.recorder.record
    record([events.StepStarted()], step_key="a")
    record([events.StepSucceeded()], step_key="a")
    record([events.StepStarted()], step_key="b")
    record([events.StepUpForRetry(attempt=1)], step_key="b")
    record([events.StepRestarted(attempt=2)], step_key="b")
    parent = instance.get_run_by_id("r")
    assert parent is not None
    assert lost.end_if_lost(instance, parent, assume_lost=True) is RunStatus.FAILURE
    found = {one.step_key: str(one.status) for one in instance.get_run_steps("r")}
    assert found == {"a": "SUCCESS", "b": "FAILURE"}
    (failed,) = [one.event for one in instance.log.read_shard("r").records if one.event.type == "STEP_FAILURE"]
    assert (failed.step_key, failed.fact.attempt, failed.fact.source) == ("b", 2, "INTERRUPT")
    assert "worker of the run is gone" in failed.fact.error.message
    assert types(instance)[-3:] == ["STEP_FAILURE", "ENGINE_EVENT", "RUN_FAILURE"]


def test_its_shard_is_sealed(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sealed: list[str] = []

    def seal(shard: str) -> bool:
        sealed.append(shard)
        return backend_seal(shard)

    backend_seal = instance.log.seal
    monkeypatch.setattr(instance.log, "seal", seal)
    begun(instance, monkeypatch)
    assert reexecute_job(two, "r", instance=instance, from_failure=True, assume_lost=True, run_id="r2").success
    assert sealed == ["r", "r2"]


def test_a_worker_that_records_meanwhile_keeps_its_run(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever comes between the look and the end, a mere line: the run is not ended."""
    begun(instance, monkeypatch)
    append = instance.log.append
    say = once(lambda: append("r", [Event.now(events.LogMessage(text="still here", level=20))]))
    monkeypatch.setattr(instance.log, "append", lambda *a, **k: (say(), append(*a, **k))[1])
    with pytest.raises(UsageError, match="its worker is at work"):
        reexecute_job(two, "r", instance=instance, from_failure=True, assume_lost=True)
    assert "RUN_FAILURE" not in types(instance)


def test_of_two_who_end_it_the_second_takes_the_first_at_its_word(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(instance, monkeypatch)
    parent = instance.get_run_by_id("r")
    assert parent is not None
    append = instance.log.append
    other = once(lambda: lost.end_if_lost(instance, parent, assume_lost=True))
    monkeypatch.setattr(instance.log, "append", lambda *a, **k: (other(), append(*a, **k))[1])
    assert lost.end_if_lost(instance, parent, assume_lost=True) is RunStatus.FAILURE
    assert types(instance).count("RUN_FAILURE") == 1


def test_a_worker_that_ends_its_run_after_it_was_asked_for(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process is gone by the time that is looked at; its success counts, and no end is added."""
    run = begun(instance, monkeypatch, dead=True)
    by_id = instance.get_run_by_id
    end = once(lambda: worker.work(run))
    monkeypatch.setattr(instance, "get_run_by_id", lambda run_id: (by_id(run_id), end())[0])
    with pytest.raises(UsageError, match="run r succeeded"):
        reexecute_job(two, "r", instance=instance, from_failure=True)
    assert types(instance)[-1] == "RUN_SUCCESS"
    assert "RUN_FAILURE" not in types(instance)


def test_a_worker_that_goes_on_while_its_run_is_looked_at(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has made by the time of its end is not recorded as not made."""

    @asset(key="one")
    def one() -> int:
        return 1

    @asset(key="other", deps=[one])
    def other() -> int:
        raise RuntimeError("trouble")

    both = Definitions(assets=[one, other]).asset_job("*", name="both")
    run = begun(instance, monkeypatch, both)
    read = history.read_run
    end = once(lambda: worker.work(run))
    for module in (lost, reexecution):
        monkeypatch.setattr(module, "read_run", lambda *a, **k: (read(*a, **k), end())[0])
    result = reexecute_job(both, "r", instance=instance, from_failure=True, assume_lost=True, raise_on_error=False)
    assert list(result.step_outcomes) == ["other"]
    found = [one.event for one in instance.log.read_shard("r").records]
    assert [str(one.fact.asset_key) for one in found if one.type == "ASSET_FAILED_TO_MATERIALIZE"] == ["other"]
    assert [one.type for one in found if one.type.startswith("RUN_F")] == ["RUN_FAILURE"]
    assert found[-1].type == "RUN_FAILURE"


# -- it comes back -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("partitions", [None, StaticPartitionsDefinition(["x"])], ids=["whole", "a partition"])
def test_a_worker_that_comes_back_says_nothing_of_what_others_made(instance: Instance, partitions: Any) -> None:
    away = once(lambda: reexecute_job(both, "r", instance=instance, from_failure=True, assume_lost=True, run_id="r2"))

    @asset(key="one", partitions_def=partitions)
    def one() -> int:
        away()
        return 1

    @asset(key="other", deps=[one], partitions_def=partitions)
    def other() -> int:
        return 2

    both = Definitions(assets=[one, other]).asset_job("*", name="both")
    with pytest.raises(RunInterrupted, match="the run is FAILURE"):
        execute(instance, both, ExecutionRequest(run_id="r", partition_key="x" if partitions else None))
    ended = types(instance).index("RUN_FAILURE")
    assert "ASSET_FAILED_TO_MATERIALIZE" not in types(instance)[ended:]
    assert types(instance)[-1] == "ENGINE_EVENT"
    (record,) = instance.get_asset_records(["other"])
    assert record.materialization is not None
    assert record.materialization.run_id == "r2"
    assert record.failed is None or record.failed.position < record.materialization.position
    if partitions:
        assert instance.get_status_by_partition("other", ["x"]) == {"x": "MATERIALIZED"}


@pytest.mark.parametrize("behind", [True, False], ids=["with a step behind", "in the last step"])
def test_a_worker_that_comes_back_and_fails(instance: Instance, behind: bool) -> None:
    """Its connections are gone, as after a long pause. What it was at, another run has made."""
    away = once(lambda: reexecute_job(both, "r", instance=instance, from_failure=True, assume_lost=True, run_id="r2"))
    fails = [True]

    @asset(key="one")
    def one() -> int:
        if fails and fails.pop():
            away()
            raise ConnectionError("timed out")
        return 1

    @asset(key="other", deps=[one])
    def other() -> int:
        return 2

    both = Definitions(assets=[one, other] if behind else [one]).asset_job("*", name="both")
    assert not execute(instance, both, ExecutionRequest(run_id="r"), raise_on_error=False).success
    ended = types(instance).index("RUN_FAILURE")
    assert "STEP_FAILURE" in types(instance)[ended:]
    assert "ASSET_FAILED_TO_MATERIALIZE" not in types(instance)[ended:]
    for record in instance.get_asset_records(["one", "other"] if behind else ["one"]):
        assert record.materialization is not None
        assert record.failed is None or record.failed.position < record.materialization.position


def test_a_worker_looks_only_at_what_is_new(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the run is: from what it has recorded itself on, and from where it looked last."""
    looked: list[int] = []

    @op
    def tagged(context: Any) -> None:
        for _ in range(50):
            context.log.info("one of many lines")
        instance.add_run_tags(context.run_id, {"now": context.step_key})

    @job
    def three() -> None:
        for number in range(3):
            tagged.alias(f"step_{number}")()

    read = instance.log.read_shard

    def read_shard(shard: str, **options: Any) -> Any:
        if "RUN_CANCELING" in (options.get("types") or ()):
            looked.append(options["after_seq"])
        return read(shard, **options)

    monkeypatch.setattr(instance.log, "read_shard", read_shard)
    result = execute(instance, three, ExecutionRequest(run_id="r"))
    monkeypatch.undo()
    assert result.success
    starts = [one.seq for one in read("r", types=["STEP_START"]).records]
    assert len(looked) == 4, "as each step begins that somebody was there before, and at the end"
    assert [after >= start for after, start in zip(looked, starts, strict=False)] == [True] * 3
