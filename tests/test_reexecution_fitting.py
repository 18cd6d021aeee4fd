"""Executing again: what of the runs before counts for the job as it is now, and how little a run says of that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foldlog import (
    AssetCheckResult,
    Definitions,
    DynamicOut,
    DynamicOutput,
    Event,
    ExecutionResult,
    Instance,
    MaterializeResult,
    Out,
    Output,
    RetryPolicy,
    UsageError,
    asset,
    asset_check,
    events,
    execute_job,
    job,
    materialize,
    materialize_partitions,
    op,
    reexecute_job,
)
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition
from foldlog.engine.execution import plan
from foldlog.engine.execution.history import past_of, read_run


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found
        assert found.verify().ok


def run(job: Any, instance: Instance, **options: Any) -> ExecutionResult:
    return execute_job(job, instance=instance, raise_on_error=False, **options)


def on(job: Any, parent: ExecutionResult, instance: Instance, **options: Any) -> ExecutionResult:
    options = {"from_failure": True, **options}
    return reexecute_job(job, parent.run_id, instance=instance, raise_on_error=False, **options)


def notes(result: ExecutionResult) -> str:
    return "\n".join(one.event.fact.text for one in result.events() if one.event.type == "ENGINE_EVENT")


def step_keys(instance: Instance, result: ExecutionResult) -> tuple[str, ...] | None:
    found = instance.get_run_by_id(result.run_id)
    assert found is not None
    return found.step_keys


# -- the job has changed ------------------------------------------------------------------------------------------


def forked(gives: str, *, fails: bool, calls: list[str], also: str = "other") -> Any:
    @op(name="a", out={gives: Out(int), also: Out(int)})
    def a() -> tuple[int, int]:
        calls.append("a")
        return 1, 2

    @op(name="b")
    def b(v: int) -> int:
        calls.append("b")
        if fails:
            raise ValueError("trouble")
        return v

    @op(name="beside")
    def beside() -> None:
        calls.append("beside")

    @job(name="forked")
    def forked() -> None:
        beside()
        b(getattr(a(), gives))

    return forked


def test_an_output_that_was_renamed(instance: Instance) -> None:
    """What needs it is not skipped, as if it had stayed away: the step is executed again."""
    calls: list[str] = []
    first = run(forked("old", fails=True, calls=calls), instance)
    calls.clear()
    second = on(forked("new", fails=False, calls=calls), first, instance)
    assert second.step_outcomes == {"a": "SUCCESS", "b": "SUCCESS"}
    assert calls == ["a", "b"]
    assert "step a succeeded, and is executed again: its outputs were old, other, and are new, other" in notes(second)


def test_an_output_that_was_added(instance: Instance) -> None:
    @op(name="a")
    def before() -> int:
        return 1

    @op(name="a", out={"result": Out(int), "more": Out(int)})
    def after() -> tuple[int, int]:
        return 1, 2

    @op
    def b(v: int) -> int:
        raise ValueError("trouble")

    @op(name="b")
    def mended(v: int, more: int) -> int:
        return v + more

    @job(name="grown")
    def one() -> None:
        b(before())

    @job(name="grown")
    def other() -> None:
        mended(*after())

    second = on(other, run(one, instance), instance)
    assert second.output_for_node("b") == 3


def test_an_output_that_became_dynamic(instance: Instance) -> None:
    fails = [True]

    @op(name="a")
    def whole() -> int:
        return 1

    @op(name="a", out=DynamicOut(int))
    def parts() -> Iterator[DynamicOutput]:
        for one in range(3):
            yield DynamicOutput(one, mapping_key=f"k{one}")

    @op
    def b(v: int) -> int:
        if fails:
            raise ValueError("trouble")
        return v

    @job(name="split")
    def one() -> None:
        b(whole())

    @job(name="split")
    def other() -> None:
        parts().map(b)

    first = run(one, instance)
    fails.clear()
    second = on(other, first, instance)
    assert second.output_for_node("b") == {"k0": 0, "k1": 1, "k2": 2}
    assert "one is dynamic that was not" in notes(second)


def test_what_changed_before_the_parent(instance: Instance) -> None:
    """a was executed by the run before the parent, and so was c, behind it: neither counts any more."""
    calls: list[str] = []

    def version(gives: str, fails: bool) -> Any:
        @op(name="a", out={gives: Out(int)})
        def a() -> int:
            calls.append("a")
            return 1

        @op(name="c")
        def c(v: int) -> int:
            calls.append("c")
            return v

        @op(name="b")
        def b(v: int) -> int:
            calls.append("b")
            if fails:
                raise ValueError("trouble")
            return v

        @job(name="three")
        def three() -> None:
            value = a()
            c(value)
            b(value)

        return three

    second = on(version("old", True), run(version("old", True), instance), instance)
    assert step_keys(instance, second) == ("b",)
    calls.clear()
    third = on(version("new", False), second, instance)
    assert (third.success, sorted(calls)) == (True, ["a", "b", "c"])


def test_a_selection_of_what_needs_a_changed_step_is_refused(instance: Instance) -> None:
    calls: list[str] = []
    first = run(forked("old", fails=False, calls=calls), instance)
    with pytest.raises(UsageError, match="its input 'v' comes from a, which is not selected"):
        on(forked("new", fails=False, calls=calls), first, instance, from_failure=False, step_selection="b")


def test_a_mapped_step_that_changed_is_executed_for_all_keys(instance: Instance) -> None:
    def version(gives: str, fails: bool) -> Any:
        @op(name="src", out=DynamicOut(int))
        def src() -> Iterator[DynamicOutput]:
            for one in range(3):
                yield DynamicOutput(one, mapping_key=f"k{one}")

        @op(name="work", out={gives: Out(int)})
        def work(v: int) -> int:
            if fails and v == 1:
                raise ValueError("trouble")
            return v

        @op(name="post")
        def post(v: int) -> int:
            return v + 10

        @job(name="mapped")
        def mapped() -> None:
            src().map(lambda one: post(work(one)))

        return mapped

    first = run(version("old", True), instance)
    same = on(version("old", False), first, instance)
    assert set(same.step_outcomes) == {"work[k1]", "post[k1]"}
    second = on(version("new", False), first, instance)
    assert set(second.step_outcomes) == {f"{step}[k{one}]" for step in ("work", "post") for one in range(3)}
    assert second.output_for_node("post") == {"k0": 10, "k1": 11, "k2": 12}


# -- what was left ------------------------------------------------------------------------------------------------


def test_an_asset_that_was_made_without_a_value(instance: Instance) -> None:
    """Only its materialization tells that the output came."""
    fails = [True]

    @asset(key="raw")
    def raw() -> Any:
        return MaterializeResult(metadata={"rows": 1})

    @asset(key="next", deps=[raw])
    def behind() -> int:
        if fails:
            raise ValueError("trouble")
        return 2

    both = Definitions(assets=[raw, behind]).asset_job("*", name="both")
    first = run(both, instance)
    fails.clear()
    assert on(both, first, instance).step_outcomes == {"next": "SUCCESS"}


def test_the_outputs_of_a_failed_attempt_do_not_count(instance: Instance) -> None:
    tries: list[int] = []

    @op(
        out={"first": Out(int, is_required=False), "second": Out(int, is_required=False)},
        retry_policy=RetryPolicy(max_retries=1),
    )
    def wavering() -> Iterator[Output]:
        tries.append(1)
        if len(tries) == 1:
            yield Output(1, "first")
            raise ValueError("trouble")
        yield Output(2, "second")

    @job
    def once() -> None:
        wavering()

    result = run(once, instance)
    assert result.success
    past = past_of("r", read_run(instance, result.run_id))
    assert past.outputs == {("wavering", "second"): "r"}


def test_a_failed_check_has_the_asset_made_again(instance: Instance) -> None:
    """And what lies behind it; an asset beside it not. A check that was interrupted says nothing of the asset."""
    calls: list[str] = []
    bad: list[type[BaseException] | None] = [None]

    @asset(key="raw")
    def raw() -> int:
        calls.append("raw")
        return 1

    @asset(key="beside")
    def beside() -> int:
        calls.append("beside")
        return 1

    @asset_check(asset="raw", name="good", blocking=True)
    def good() -> AssetCheckResult:
        calls.append("good")
        if bad and bad[0] is not None:
            raise bad[0]
        return AssetCheckResult(passed=not bad)

    @asset(key="next", deps=["raw"])
    def behind() -> int:
        calls.append("next")
        return 2

    checked = Definitions(assets=[raw, beside, behind], asset_checks=[good]).asset_job("*", name="checked")
    first = run(checked, instance)
    calls.clear()
    bad[0] = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        on(checked, first, instance, run_id="stopped")
    assert calls == ["raw", "good"]
    calls.clear()
    bad.clear()
    end = reexecute_job(checked, "stopped", instance=instance, from_failure=True)
    assert (end.success, calls) == (True, ["good", "next"])


# -- the selection of the parent ----------------------------------------------------------------------------------


def test_whole_means_what_the_parent_was_to_execute(instance: Instance) -> None:
    calls: list[str] = []

    @op
    def a() -> int:
        calls.append("a")
        return 1

    @op
    def b(v: int) -> int:
        calls.append("b")
        return v + 1

    @op
    def drop_tables() -> None:
        calls.append("drop_tables")

    @job
    def dangerous() -> None:
        b(a())
        drop_tables()

    first = run(dangerous, instance, op_selection="a")
    second = on(dangerous, first, instance, from_failure=False)
    assert calls == ["a", "a"]
    made = instance.get_run_by_id(second.run_id)
    assert made is not None
    assert made.op_selection == ("a",)
    calls.clear()
    third = on(dangerous, second, instance, from_failure=False, step_selection="b")
    fourth = on(dangerous, third, instance, from_failure=False)
    assert (calls, fourth.output_for_node("b")) == (["b", "b"], 2), "what b needs comes from the runs before"


def test_from_failure_keeps_it_too(instance: Instance) -> None:
    fails, calls = [True], []

    @op
    def a() -> None:
        calls.append("a")
        if fails:
            raise ValueError("trouble")

    @op
    def drop_tables() -> None:
        calls.append("drop_tables")

    @job
    def dangerous() -> None:
        a()
        drop_tables()

    first = run(dangerous, instance, op_selection=["a"])
    fails.clear()
    second = on(dangerous, first, instance)
    on(dangerous, second, instance, from_failure=False)
    assert calls == ["a", "a", "a"]


# -- very many keys -----------------------------------------------------------------------------------------------


def test_keys_that_take_too_much_room_are_not_named(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    """A re-execution of a re-execution takes from each run what that one had to do, all the same."""
    monkeypatch.setattr(plan, "STEP_KEYS_LIMIT", 60)
    bad, calls = {1, 2, 3, 4}, []

    @op(out=DynamicOut(int))
    def src() -> Iterator[DynamicOutput]:
        for one in range(6):
            yield DynamicOutput(one, mapping_key=f"k{one}")

    @op
    def work(v: int) -> int:
        calls.append(v)
        if v in bad:
            raise ValueError("trouble")
        return v

    @op
    def total(vs: list[int]) -> int:
        return sum(vs)

    @job
    def mapped() -> None:
        total(src().map(work).collect())

    first = run(mapped, instance)
    calls.clear()
    bad -= {1, 2}
    second = on(mapped, first, instance)
    assert step_keys(instance, second) == ("work[...]", "total")
    assert calls == [1, 2, 3, 4]
    calls.clear()
    bad -= {3}
    third = on(mapped, second, instance)
    assert step_keys(instance, third) == ("work[k3]", "work[k4]", "total"), "these few have room"
    assert calls == [3, 4]
    calls.clear()
    bad.clear()
    fourth = on(mapped, third, instance)
    assert (calls, fourth.output_for_node("total")) == ([4], 15)
    again = on(mapped, fourth, instance, from_failure=False, step_selection="total")
    assert again.output_for_node("total") == 15


def test_a_run_of_very_many_keys_is_recorded(instance: Instance) -> None:
    keys = {"work": frozenset("k" * 90 + str(one) for one in range(20_000))}

    @op(out=DynamicOut(int))
    def src() -> Iterator[DynamicOutput]:
        yield DynamicOutput(1, mapping_key="k")

    @op
    def work(v: int) -> None:
        """Nothing to do."""

    @job
    def mapped() -> None:
        src().map(work)

    known = plan.KnownState(succeeded=frozenset({"src"}), mapping_keys={("src", "result"): tuple(keys["work"])})
    assert plan.plan_of(mapped, step_keys=["work"], known=known, only=keys).step_keys == ("work[...]",)


def test_lanes_whose_source_was_deleted(instance: Instance) -> None:
    """The run that gave the keys is gone, and all lanes have ended well: they are not executed again."""
    fails = {"work", "total"}

    @op(out=DynamicOut(int))
    def src() -> Iterator[DynamicOutput]:
        for one in range(3):
            yield DynamicOutput(one, mapping_key=f"k{one}")

    @op
    def work(v: int) -> int:
        if "work" in fails and v:
            raise ValueError("trouble")
        return v

    @op
    def beside() -> None:
        if "total" in fails:
            raise ValueError("trouble")

    @job
    def mapped() -> None:
        src().map(work)
        beside()

    first = run(mapped, instance)
    fails -= {"work"}
    second = on(mapped, first, instance)
    assert step_keys(instance, second) == ("work[k1]", "work[k2]", "beside")
    instance.delete_run(first.run_id)
    fails.clear()
    assert on(mapped, second, instance).step_outcomes == {"beside": "SUCCESS"}


# -- tags that foldlog sets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["foldlog/partition", "foldlog/backfill", "foldlog/is_resume_retry"])
def test_tags_of_foldlog_are_refused(instance: Instance, tag: str) -> None:
    days = StaticPartitionsDefinition(["x"])

    @op
    def a() -> None:
        """Nothing to do."""

    @job
    def plain() -> None:
        a()

    @job(tags={tag: "x"})
    def tagged() -> None:
        a()

    @asset(key="one", partitions_def=days)
    def one() -> None:
        """Nothing to do."""

    first = run(plain, instance)
    for call in (
        lambda: run(plain, instance, tags={tag: "x"}),
        lambda: run(tagged, instance),
        lambda: on(plain, first, instance, from_failure=False, tags={tag: "x"}),
        lambda: materialize([one], instance=instance, partition_key="x", tags={tag: "x"}),
        lambda: materialize_partitions([one], ["x"], instance=instance, tags={tag: "x"}),
    ):
        with pytest.raises(UsageError, match=f"the tag '{tag}', which foldlog sets itself") as caught:
            call()
        assert ("partition_key=" in caught.value.remedy) is (tag == "foldlog/partition")
    assert instance.get_runs_count() == 1


def test_the_partition_is_that_of_the_run_whatever_its_tags_became(instance: Instance) -> None:
    seen: list[Any] = []

    @asset(key="one", partitions_def=StaticPartitionsDefinition(["x", "y"]))
    def one(context: Any) -> None:
        seen.append(context.partition_key)

    made = Definitions(assets=[one]).asset_job("*", name="made")
    first = run(made, instance, partition_key="x")
    instance.log.append(first.run_id, [Event.now(events.RunTagsAdded(tags={"foldlog/partition": "y"}))])
    assert on(made, first, instance, from_failure=False).success
    assert seen == ["x", "x"]
