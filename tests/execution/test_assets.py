"""Assets in a run: what is recorded of them, versions, multi-assets, what was planned and not made, earlier runs."""

from __future__ import annotations

from typing import Any

import pytest
from watching import fact, facts, made, run, story

import foldlog
from foldlog import (
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetKey,
    AssetOut,
    AssetSpec,
    Definitions,
    InMemoryIOManager,
    Instance,
    MaterializeResult,
    ObserveResult,
    Output,
    RetryPolicy,
    asset,
    define_asset_job,
    materialize,
    multi_asset,
    resource,
    success_hook,
)


def materialization(result: Any, key: str) -> Any:
    (found,) = [one for one in facts(result, "ASSET_MATERIALIZATION") if one.asset_key == AssetKey.of(key)]
    return found


# -- one asset -------------------------------------------------------------------------------------------------------


def test_every_option_of_an_asset_is_seen_in_its_run(instance: Instance) -> None:
    seen: list[Any] = []

    @success_hook
    def noticed(context):
        seen.append(context.step_key)

    @asset(key_prefix="options")
    def source() -> int:
        return 20

    @asset(
        key=["options", "all"],
        deps=["options/elsewhere"],
        ins={"given": AssetIn(key="options/source", metadata={"unit": "EUR"})},
        code_version="v7",
        metadata={"owner": "growth"},
        tags={"tier": "1"},
        group_name="reports",
        retry_policy=RetryPolicy(max_retries=1),
        io_manager_key="shelf",
        required_resource_keys={"warehouse"},
        check_specs=[AssetCheckSpec(name="positive", asset="options/all")],
        hooks=[noticed],
        description="everything at once",
        pool="small",
    )
    def everything(context, given: int):
        assert context.asset_key == AssetKey(["options", "all"])
        assert context.resources.warehouse == "here"
        if context.attempt == 1:
            raise OSError("not yet")
        yield Output(given + 1, metadata={"rows": 1}, tags={"color": "red"})
        yield foldlog.AssetCheckResult(passed=True)

    shelf = InMemoryIOManager()
    result = materialize([source, everything], instance=instance, resources={"shelf": shelf, "warehouse": "here"})
    assert story(result, "options__all") == [
        "STEP_START",
        "LOADED_INPUT",
        "STEP_INPUT",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "LOADED_INPUT",
        "STEP_INPUT",
        "STEP_OUTPUT",
        "ASSET_MATERIALIZATION",
        "HANDLED_OUTPUT",
        "ASSET_CHECK_EVALUATION",
        "STEP_SUCCESS",
        "HOOK_COMPLETED",
    ]
    assert seen == ["options__all"]
    one = materialization(result, "options/all")
    assert one.metadata == {"rows": 1}
    assert one.tags == {"tier": "1", "color": "red"}
    assert one.code_version == "v7"
    assert one.description == "everything at once"
    assert one.partition is None
    handled = fact(result, "HANDLED_OUTPUT", "options__all")
    assert handled.manager_key == "shelf"
    assert result.asset_value("options/all") == 21
    assert "1 values" in repr(shelf)
    record = instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.pools == {"small": 1}
    assert record.job_snapshot_id is not None
    snapshot = instance.get_job_snapshot(record.job_snapshot_id)
    assert snapshot is not None
    (spec,) = snapshot.document["graph"]["nodes"]["options__all"]["makes"]["assets"]
    assert spec["group"] == "reports"
    assert spec["deps"] == [["options", "source"], ["options", "elsewhere"]] or spec["deps"]
    (asset_record,) = instance.get_asset_records(["options/all"])
    assert asset_record.materialization is not None
    assert asset_record.materialization.run_id == result.run_id
    assert asset_record.materialization.step_key == "options__all"
    assert asset_record.materialization.code_version == "v7"


def test_an_asset_may_keep_itself(memory: Instance) -> None:
    @asset
    def kept_elsewhere() -> None: ...

    @asset(deps=[kept_elsewhere])
    def after_it() -> int:
        return 1

    @asset(deps=["kept_elsewhere"])
    def result_of_it() -> MaterializeResult:
        return MaterializeResult(metadata={"rows": 3}, data_version="d1", tags={"a": "b"})

    result = materialize([kept_elsewhere, after_it, result_of_it], instance=memory)
    assert story(result, "kept_elsewhere") == ["STEP_START", "STEP_OUTPUT", "ASSET_MATERIALIZATION", "STEP_SUCCESS"]
    assert "LOADED_INPUT" not in story(result, "after_it")
    one = materialization(result, "result_of_it")
    assert (one.metadata, one.data_version, one.tags) == ({"rows": 3}, "d1", {"a": "b"})
    assert "HANDLED_OUTPUT" not in story(result, "result_of_it")
    kept = materialization(result, "kept_elsewhere")
    assert materialization(result, "after_it").input_data_versions == {kept.asset_key.to_text(): kept.data_version}


def test_a_value_with_a_materialize_result_is_kept_by_the_io_manager(memory: Instance) -> None:
    @asset
    def valued() -> MaterializeResult:
        return MaterializeResult(value=[1, 2], metadata={"rows": 2})

    result = materialize([valued], instance=memory)
    assert result.asset_value("valued") == [1, 2]
    assert story(result, "valued")[-4:] == ["STEP_OUTPUT", "ASSET_MATERIALIZATION", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    assert materialization(result, "valued").metadata == {"rows": 2}


def test_an_observation_is_no_materialization(memory: Instance) -> None:
    @asset(output_required=False)
    def looked_at() -> None:
        yield ObserveResult(metadata={"size": 7}, data_version="seen", tags={"x": "y"})

    result = made([looked_at], memory)
    observed = fact(result, "ASSET_OBSERVATION")
    assert (observed.asset_key, observed.metadata) == (AssetKey("looked_at"), {"size": 7})
    assert (observed.data_version, observed.tags) == ("seen", {"x": "y"})
    assert facts(result, "ASSET_MATERIALIZATION") == []


# -- versions --------------------------------------------------------------------------------------------------------


def chain(code: str | None, source_version: str | None = None) -> list[Any]:
    @asset(name="v_source", code_version=code)
    def source():
        return Output(1, data_version=source_version)

    @asset(name="v_derived", code_version="1")
    def derived(v_source: int) -> int:
        return v_source

    return [source, derived]


def test_data_versions_follow_code_and_inputs(fresh: Instance) -> None:
    def versions(assets: list[Any]) -> tuple[str, str]:
        result = materialize(assets, instance=fresh)
        one, two = materialization(result, "v_source"), materialization(result, "v_derived")
        assert two.input_data_versions == {one.asset_key.to_text(): one.data_version}
        assert two.input_positions == {}  # made in the same run: it has no position yet
        return one.data_version, two.data_version

    first = versions(chain("1"))
    assert versions(chain("1")) == first
    other_code = versions(chain("2"))
    assert other_code[0] != first[0]
    assert other_code[1] != first[1]
    assert versions(chain("1", "given"))[0] == "given"
    assert versions(chain("1", "given")) == versions(chain("2", "given"))
    # Without a code version nobody knows whether the code is the same, so each run makes another version.
    assert versions(chain(None)) != versions(chain(None))
    codes = fresh.get_latest_materialization_code_versions(["v_source", "v_derived"])
    assert codes[AssetKey("v_derived")] == "1"


def test_what_an_earlier_run_made_is_loaded_and_named(instance: Instance) -> None:
    source, derived = chain("1", "given")
    first = materialize([source, derived], instance=instance, selection="v_source")
    assert story(first).count("ASSET_MATERIALIZATION_PLANNED") == 1
    second = materialize([source, derived], instance=instance, selection="v_derived")
    assert [one for one in story(second) if "v_source" in one] == []
    assert second.asset_value("v_derived") == 1
    position = next(one.position for one in instance.get_materializations("v_source") if one.run_id == first.run_id)
    derived_fact = materialization(second, "v_derived")
    text = AssetKey("v_source").to_text()
    assert derived_fact.input_data_versions == {text: "given"}
    assert derived_fact.input_positions == {text: position}
    loaded = fact(second, "LOADED_INPUT")
    assert (loaded.input_name, loaded.manager_key) == ("v_source", "io_manager")
    assert (loaded.upstream_step_key, loaded.upstream_output_name) == (None, None)


def test_nothing_was_made_upstream(fresh: Instance) -> None:
    source, derived = chain("1")
    result = made([source, derived], fresh, selection="v_derived")
    assert result.step_outcomes == {"v_derived": "FAILURE"}
    error = fact(result, "STEP_FAILURE").error
    assert "v_source" in str(error)
    with pytest.raises(foldlog.FoldlogError, match="v_source"):
        materialize([source, derived], instance=fresh, selection="v_derived")


# -- several at once -------------------------------------------------------------------------------------------------


def several(**options: Any) -> Any:
    @multi_asset(outs={"m_a": AssetOut(), "m_b": AssetOut(is_required=False, code_version="b2")}, **options)
    def both(context):
        for name in sorted(context.selected_output_names):
            if name == "m_a" or context.has_tag("with_b"):
                yield Output(name.upper(), name)

    return both


@asset
def from_b(m_b: str) -> str:
    return m_b * 2


@asset
def from_a(m_a: str) -> str:
    return m_a * 2


def test_a_multi_asset_makes_each_and_may_leave_one_out(instance: Instance) -> None:
    result = made([several(), from_a, from_b], instance)
    assert result.success
    assert result.step_outcomes == {"both": "SUCCESS", "from_a": "SUCCESS", "from_b": "SKIPPED"}
    assert story(result, "both") == [
        "STEP_START",
        "STEP_OUTPUT",
        "ASSET_MATERIALIZATION",
        "HANDLED_OUTPUT",
        "STEP_SUCCESS",
        "ASSET_FAILED_TO_MATERIALIZE",
    ]
    assert story(result, "from_b") == ["STEP_SKIPPED", "ASSET_FAILED_TO_MATERIALIZE"]
    left_out, skipped = facts(result, "ASSET_FAILED_TO_MATERIALIZE")
    assert (left_out.asset_key, left_out.skipped, left_out.reason) == (AssetKey("m_b"), True, "SKIPPED_OPTIONAL")
    assert (skipped.asset_key, skipped.skipped, skipped.reason) == (AssetKey("from_b"), True, "UPSTREAM_SKIPPED")
    assert fact(result, "STEP_SKIPPED").reason == "input 'm_b': both.m_b stayed away"
    whole = materialize([several(), from_a, from_b], instance=instance, tags={"with_b": "1"})
    assert whole.asset_value("from_b") == "M_BM_B"
    assert materialization(whole, "m_b").code_version == "b2"


def test_a_multi_asset_by_specs(memory: Instance) -> None:
    @multi_asset(
        specs=[
            AssetSpec(key="s_one", deps=["s_raw"], tags={"x": "1"}, metadata={"k": 1}, group_name="g"),
            AssetSpec(key="s_two", deps=["s_one"], skippable=True),
        ],
        check_specs=[AssetCheckSpec(name="c", asset="s_one")],
    )
    def specs():
        yield MaterializeResult(
            asset_key="s_one",
            metadata={"rows": 1},
            check_results=[foldlog.AssetCheckResult(passed=False, severity="WARN")],
        )

    result = made([specs], memory)
    assert result.success, result.error
    assert materialization(result, "s_one").tags == {"x": "1"}
    assert fact(result, "ASSET_CHECK_EVALUATION").severity == "WARN"
    assert fact(result, "ASSET_FAILED_TO_MATERIALIZE").asset_key == AssetKey("s_two")


def test_a_subset_of_a_multi_asset(memory: Instance) -> None:
    assets = [several(can_subset=True)]
    result = materialize(assets, instance=memory, selection="m_a")
    assert [one.asset_key for one in facts(result, "ASSET_MATERIALIZATION_PLANNED")] == [AssetKey("m_a")]
    assert [one.output_name for one in facts(result, "STEP_OUTPUT")] == ["m_a"]
    with pytest.raises(foldlog.UsageError, match="together"):
        materialize([several()], instance=memory, selection="m_a")


def test_an_output_that_was_not_asked_for_fails_the_step(memory: Instance) -> None:
    @multi_asset(outs={"n_a": AssetOut(), "n_b": AssetOut()}, can_subset=True)
    def stubborn():
        yield Output(1, "n_a")
        yield Output(1, "n_b")

    result = made([stubborn], memory, selection="n_a")
    assert result.step_outcomes == {"stubborn": "FAILURE"}
    assert "not among those that this run asked for" in fact(result, "STEP_FAILURE").error.message
    assert facts(result, "ASSET_FAILED_TO_MATERIALIZE") == []  # the one that was asked for was made


def test_a_tuple_for_a_multi_asset(memory: Instance) -> None:
    @multi_asset(outs={"t_a": AssetOut(), "t_b": AssetOut()})
    def pair():
        return 1, Output(2, metadata={"rows": 2})

    result = materialize([pair], instance=memory)
    assert (result.asset_value("t_a"), result.asset_value("t_b")) == (1, 2)
    assert materialization(result, "t_b").metadata == {"rows": 2}


# -- what was planned and not made -----------------------------------------------------------------------------------


@asset
def broken_asset() -> int:
    raise OSError("disk full")


@asset
def behind_broken(broken_asset: int) -> int:
    return broken_asset


@asset
def beside_broken() -> int:
    return 1


def test_what_was_planned_and_not_made_is_told_with_the_reason(instance: Instance) -> None:
    result = made([broken_asset, behind_broken, beside_broken], instance)
    assert story(result, "broken_asset") == ["STEP_START", "STEP_FAILURE", "ASSET_FAILED_TO_MATERIALIZE"]
    assert story(result, "behind_broken") == ["ASSET_FAILED_TO_MATERIALIZE"]
    own, behind = facts(result, "ASSET_FAILED_TO_MATERIALIZE")
    assert (own.asset_key, own.skipped, own.reason) == (AssetKey("broken_asset"), False, "FAILED_TO_MATERIALIZE")
    assert (own.error.class_name, own.error.message, own.error.stack) == ("OSError", "disk full", ())
    assert behind.reason == "UPSTREAM_FAILED_TO_MATERIALIZE"
    assert (behind.skipped, behind.error) == (False, None)
    (record,) = instance.get_asset_records(["behind_broken"])
    assert record.materialization is None
    assert record.failed is not None
    assert record.failed.run_id == result.run_id
    assert instance.has_asset_key("broken_asset")
    failures = instance.fetch_failed_materializations("broken_asset", limit=1)
    assert failures.records[0].event.fact == own


def test_a_failure_after_the_output_leaves_the_materialization(memory: Instance) -> None:
    @asset
    def late():
        yield Output(1)
        raise OSError("late")

    result = made([late], memory)
    assert story(result, "late") == [
        "STEP_START",
        "STEP_OUTPUT",
        "ASSET_MATERIALIZATION",
        "HANDLED_OUTPUT",
        "STEP_FAILURE",
    ]


# -- jobs of assets --------------------------------------------------------------------------------------------------


def test_a_job_of_assets(memory: Instance) -> None:
    @resource
    def factor() -> int:
        return 3

    @asset(required_resource_keys={"factor"}, name="j_times")
    def times(context, j_base: int) -> int:
        return j_base * context.resources.factor

    @asset(name="j_base")
    def base() -> int:
        return 2

    found = Definitions(
        assets=[times, base],
        jobs=[define_asset_job("both_of_them", ["j_base", "j_times"], tags={"kind": "assets"})],
        resources={"factor": factor},
    ).get_job("both_of_them")
    result = run(found, memory)
    assert result.asset_value("j_times") == 6
    record = memory.get_run_by_id(result.run_id)
    assert record is not None
    assert record.tags == {"kind": "assets"}
    assert run(found, memory, asset_selection="j_times").step_outcomes == {"j_times": "SUCCESS"}
    with pytest.raises(foldlog.UsageError, match="j_nothing"):
        run(found, memory, asset_selection="j_nothing")


def test_an_asset_made_elsewhere_is_loaded_by_its_key(memory: Instance) -> None:
    class Elsewhere(foldlog.IOManager):
        def handle_output(self, context, value): ...

        def load_input(self, context):
            assert context.upstream_output is None
            return context.asset_key.parts

    @asset
    def from_elsewhere(outside) -> list[str]:
        return list(outside)

    result = materialize(
        [from_elsewhere, AssetSpec(key="outside", io_manager_key="there")],
        instance=memory,
        resources={"there": Elsewhere()},
    )
    assert result.asset_value("from_elsewhere") == ["outside"]
    assert fact(result, "LOADED_INPUT").manager_key == "there"


def test_deps_may_say_how_partitions_map(memory: Instance) -> None:
    @asset(deps=[AssetDep(key=AssetKey("whatever"))])
    def with_dep() -> int:
        return 1

    assert materialize([with_dep], instance=memory).success


class Factor(foldlog.Config):
    by: int = 1


def test_a_part_of_a_job_of_assets_keeps_what_the_job_says(memory: Instance) -> None:
    called: list[str] = []

    @success_hook
    def noticed(context):
        called.append(context.step_key)

    @asset(name="k_one")
    def one(context, config: Factor) -> int:
        if context.attempt == 1:
            raise OSError
        return config.by

    @asset(name="k_two")
    def two(k_one: int, config: Factor) -> int:
        return k_one * config.by

    configured = {"ops": {"k_one": {"config": {"by": 2}}, "k_two": {"config": {"by": 3}}}}
    found = Definitions(
        assets=[one, two],
        jobs=[
            define_asset_job(
                "keeping", "*", config=configured, hooks={noticed}, op_retry_policy=RetryPolicy(), tags={"a": "b"}
            )
        ],
    ).get_job("keeping")
    result = run(found, memory, asset_selection="k_one")
    assert result.success, result.error
    assert result.asset_value("k_one") == 2
    assert called == ["k_one"]
    result = run(found, memory, asset_selection=two)
    assert result.success, result.error
    assert result.asset_value("k_two") == 6
    assert called == ["k_one", "k_two"]
    with pytest.raises(foldlog.UsageError, match="k_one"):  # what the caller says is of this run, and must fit
        run(found, memory, asset_selection=two, run_config={"ops": {"k_one": {"config": {"by": 2}}}})


def test_a_part_of_a_job_of_assets_evaluates_no_more_checks(memory: Instance) -> None:
    @asset(name="l_one")
    def one() -> int:
        return 1

    @asset(name="l_two")
    def two() -> int:
        return 1

    @foldlog.asset_check(asset="l_one", name="fine")
    def fine() -> bool:
        return True

    graph = Definitions(assets=[one, two], asset_checks=[fine]).asset_graph
    result = run(graph.job("unchecked", "*", checks=[]), memory, asset_selection="l_one")
    assert result.step_outcomes == {"l_one": "SUCCESS"}


def test_what_upstream_is_is_asked_once(fresh: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    @asset(name="up")
    def up() -> int:
        return 1

    def below(name: str) -> Any:
        @asset(name=name, ins={"given": AssetIn(key="up")})
        def made_(given: int) -> int:
            return given

        return made_

    materialize([up], instance=fresh)
    asked: list[Any] = []
    answer = fresh.get_latest_materialization_event

    def asking(asset_key: Any, *, partition: str | None = None) -> Any:
        asked.append(asset_key)
        return answer(asset_key, partition=partition)

    monkeypatch.setattr(fresh, "get_latest_materialization_event", asking)
    result = materialize([up, below("one"), below("two")], instance=fresh, selection=["one", "two"])
    assert asked == [AssetKey("up")]
    one, two = facts(result, "ASSET_MATERIALIZATION")
    assert one.input_positions == two.input_positions != {}


def test_a_materialization_that_the_function_records_itself_counts(memory: Instance) -> None:
    def own(name: str) -> foldlog.events.AssetMaterialization:
        return foldlog.events.AssetMaterialization(asset_key=AssetKey(name), metadata={"by": "hand"})

    @asset(name="y_yields")
    def yields():
        yield own("y_yields")
        raise OSError("after it")

    @asset(name="y_logs")
    def logs(context) -> int:
        context.log_event(own("y_logs"))
        raise OSError("after it")

    result = made([yields, logs], memory)
    assert result.step_outcomes == {"y_yields": "FAILURE", "y_logs": "FAILURE"}
    assert [one.metadata for one in facts(result, "ASSET_MATERIALIZATION")] == [{"by": "hand"}] * 2
    assert facts(result, "ASSET_FAILED_TO_MATERIALIZE") == []


def test_what_was_observed_of_an_asset_made_elsewhere_is_its_version(fresh: Instance) -> None:
    outside = AssetSpec(key="outside")

    @asset(name="of_outside", code_version="1", deps=["outside"])
    def of_outside() -> None: ...

    @asset(name="of_unknown", code_version="1", deps=["not_declared"])
    def of_unknown() -> None: ...

    def versions() -> Any:
        result = materialize([outside, of_outside, of_unknown], instance=fresh)
        assert materialization(result, "of_unknown").input_data_versions == {}
        found = materialization(result, "of_outside")
        assert list(found.input_positions) == [AssetKey("outside").to_text()] * (len(found.input_positions))
        return found.input_data_versions.get(AssetKey("outside").to_text()), found.data_version

    def told(kind: Any, version: str | None) -> None:
        fresh.report_runless_asset_event(kind(asset_key=AssetKey("outside"), data_version=version))

    observation, other = foldlog.events.AssetObservation, foldlog.events.AssetMaterialization
    nothing = versions()
    assert nothing[0] is None
    assert versions() == nothing
    told(observation, "v1")
    first = versions()
    assert first[0] == "v1"
    told(observation, "v1")
    assert versions() == first != nothing
    told(other, "v2")
    assert versions()[0] == "v2"
    told(observation, "v3")
    assert versions()[0] == "v3"
    told(observation, None)
    unsaid = versions()
    told(observation, None)
    assert versions()[0] != unsaid[0]  # nobody knows whether it is the same
    told(other, None)
    made_unsaid = versions()
    told(other, None)
    assert versions()[0] != made_unsaid[0]
