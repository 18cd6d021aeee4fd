"""What code of users is told: of the run, the step, assets and partitions; and what a result tells afterwards."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from watching import fact, facts, made, run, story

import foldlog
from foldlog import (
    AssetCheckSpec,
    AssetKey,
    AssetOut,
    Config,
    DynamicOut,
    DynamicOutput,
    Instance,
    UsageError,
    UserCodeError,
    asset,
    asset_check,
    execute_job,
    job,
    materialize,
    multi_asset,
    op,
    resource,
    user_code_error_boundary,
)


class Options(Config):
    limit: int = 3


def test_what_a_step_is_told(instance: Instance) -> None:
    seen: dict[str, Any] = {}

    @op(tags={"kind": "sql"})
    def looks(context, config: Options):
        seen.update(
            run_id=context.run_id,
            job=context.job_name,
            step=context.step_key,
            op=context.op_name,
            attempt=(context.attempt, context.retry_number),
            tags=dict(context.run_tags),
            tag=(context.has_tag("a"), context.get_tag("a"), context.has_tag("b"), context.get_tag("b")),
            op_tags=dict(context.op_tags),
            config=context.op_config,
            run_config=context.run_config,
            mapping_key=context.get_mapping_key(),
            partition=context.has_partition_key,
            instance=context.instance is instance,
            outputs=context.selected_output_names,
            assets=(context.selected_asset_keys, context.selected_asset_check_keys),
            text=repr(context),
        )

    @job(name="looking")
    def looking():
        looks.alias("here").tag({"placed": "1"})()

    result = run(looking, instance, tags={"a": "1"}, run_config={"ops": {"here": {"config": {"limit": 4}}}})
    assert result.success, result.error
    assert seen == {
        "run_id": result.run_id,
        "job": "looking",
        "step": "here",
        "op": "here",
        "attempt": (1, 0),
        "tags": {"a": "1"},
        "tag": (True, "1", False, None),
        "op_tags": {"kind": "sql", "placed": "1"},
        "config": Options(limit=4),
        "run_config": {"ops": {"here": {"config": {"limit": 4}}}},
        "mapping_key": None,
        "partition": False,
        "instance": True,
        "outputs": frozenset({"result"}),
        "assets": (frozenset(), frozenset()),
        "text": f"<StepExecutionContext here attempt 1 of run {result.run_id}>",
    }
    assert result.instance is instance
    assert repr(result) == f"<ExecutionResult SUCCESS of run {result.run_id}>"


def test_what_a_mapped_step_is_told(memory: Instance) -> None:
    seen: list[Any] = []

    @op(out=DynamicOut())
    def parts():
        yield DynamicOutput(1, "a")

    @op
    def looks(context, value: int):
        seen.append((context.step_key, context.op_name, context.get_mapping_key()))

    @job
    def one():
        parts().map(looks)

    run(one, memory)
    assert seen == [("looks[a]", "looks", "a")]


def test_what_an_asset_is_told(memory: Instance) -> None:
    @multi_asset(
        outs={"ctx_a": AssetOut(), "ctx_b": AssetOut()},
        can_subset=True,
        check_specs=[AssetCheckSpec(name="ok", asset="ctx_a")],
    )
    def both(context):
        assert context.selected_asset_keys == {AssetKey("ctx_a"), AssetKey("ctx_b")}
        assert {str(one) for one in context.selected_asset_check_keys} == {"ctx_a:ok"}
        assert context.selected_output_names == {"ctx_a", "ctx_b"}
        with pytest.raises(UsageError, match="makes 2 assets"):
            _ = context.asset_key
        yield foldlog.Output(1, "ctx_a")
        yield foldlog.Output(1, "ctx_b")
        yield foldlog.AssetCheckResult(passed=True)

    @asset(name="ctx_c")
    def one(context, ctx_a: int) -> int:
        with pytest.raises(UsageError, match="no input 'other' that is an asset"):
            context.asset_partition_keys_for_input("other")
        with pytest.raises(UsageError, match="ctx_a has no partitions"):
            context.asset_partition_keys_for_input("ctx_a")
        context.observe("elsewhere", partition="p", metadata={"size": 1})
        return ctx_a

    result = made([both, one], memory)
    assert result.success, result.error
    observed = fact(result, "ASSET_OBSERVATION")
    assert (observed.asset_key, observed.partition, observed.metadata) == (AssetKey("elsewhere"), "p", {"size": 1})
    assert [one.event.step_key for one in result.events() if one.event.type == "ASSET_OBSERVATION"] == ["ctx_c"]


def test_partitions_that_are_of_no_time(memory: Instance) -> None:
    @asset(name="of_region", partitions_def=foldlog.partitions.StaticPartitionsDefinition(["eu"]))
    def of_region(context) -> None:
        with pytest.raises(UsageError, match="no partitions by time"):
            _ = context.partition_time_window

    assert made([of_region], memory, partition_key="eu").success


def test_what_a_resource_is_told(memory: Instance) -> None:
    seen: list[Any] = []

    @resource
    def curious(context):
        seen.append((context.run_id, context.job_name, dict(context.run_tags), context.resource_key, context.config))
        assert context.instance is memory
        with pytest.raises(AttributeError):
            _ = context.resources.__wrapped__  # as tools ask of any object
        return 1

    @op(required_resource_keys={"curious"})
    def needs(): ...

    @job(resource_defs={"curious": curious})
    def one():
        needs()

    result = run(one, memory, tags={"a": "b"})
    assert seen == [(result.run_id, "one", {"a": "b"}, "curious", None)]


def test_results_of_several_assets_say_which(memory: Instance) -> None:
    @multi_asset(specs=[foldlog.AssetSpec(key="w_a"), foldlog.AssetSpec(key="w_b")])
    def which():
        yield foldlog.MaterializeResult()

    result = made([which], memory)
    assert "makes 2 assets: say which, with asset_key=" in fact(result, "STEP_FAILURE").error.message

    @asset(name="w_c")
    def other() -> foldlog.MaterializeResult:
        return foldlog.MaterializeResult(asset_key="w_z")

    result = made([other], memory)
    assert "is not to make w_z; it makes: w_c" in fact(result, "STEP_FAILURE").error.message


def test_errors_of_all_steps_by_key(memory: Instance) -> None:
    @op
    def fails():
        raise OSError("down")

    @job
    def one():
        fails()
        fails.alias("also")()

    result = run(one, memory)
    assert {key: str(error) for key, error in result.step_errors.items()} == {"fails": "down", "also": "down"}

    @op
    def leaves():
        raise SystemExit(3)

    @job
    def two():
        leaves()

    with pytest.raises(UserCodeError, match=r"called sys.exit\(3\)"):  # and the program goes on
        execute_job(two, instance=memory)


def test_what_is_no_job_is_refused(memory: Instance) -> None:
    unresolved = foldlog.define_asset_job("later")
    for wrong in (unresolved, "name", AssetKey("z")):
        with pytest.raises(UsageError, match=r"no job|cannot be executed"):
            execute_job(wrong, instance=memory)  # type: ignore[arg-type]


def test_an_ephemeral_instance_lives_with_the_result() -> None:
    @asset(name="alone")
    def alone() -> int:
        return 7

    result = materialize([alone])
    assert result.asset_value("alone") == 7
    assert story(result)[-1] == "RUN_SUCCESS"
    assert len(facts(result, "ASSET_MATERIALIZATION")) == 1


def test_the_boundary_around_code_of_users(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("boundary")
    with pytest.raises(UserCodeError, match="the plug-in: ZeroDivisionError: division by zero") as caught:
        with user_code_error_boundary(msg_fn=lambda: "the plug-in", log_manager=logger):
            _ = 1 / 0
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert [one.message for one in caplog.records] == ["the plug-in: ZeroDivisionError: division by zero"]
    with pytest.raises(UsageError, match="as it is"):
        with user_code_error_boundary():
            raise UsageError("as it is")
    with pytest.raises(KeyboardInterrupt):
        with user_code_error_boundary():
            raise KeyboardInterrupt


def test_a_blocking_check_that_was_skipped_skips_what_lies_behind(memory: Instance) -> None:
    @asset(name="x_maybe", output_required=False)
    def maybe():
        return None

    @asset_check(asset="x_maybe", name="ok", blocking=True)
    def ok(x_maybe: int) -> bool:
        return True

    @asset(name="x_behind", deps=["x_maybe"])
    def behind() -> int:
        return 1

    result = made([maybe, ok, behind], memory)
    assert result.step_outcomes == {"x_maybe": "SUCCESS", "x_maybe__ok": "SKIPPED", "x_behind": "SKIPPED"}
