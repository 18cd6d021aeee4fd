"""Checks of assets: inside of the asset's function and outside, how they come out, and what they hold up."""

from __future__ import annotations

from typing import Any

import pytest
from watching import fact, facts, made, story

from foldlog import (
    AssetCheckResult,
    AssetCheckSpec,
    AssetIn,
    AssetKey,
    Definitions,
    Instance,
    MaterializeResult,
    Output,
    asset,
    asset_check,
    execute_job,
    materialize,
)
from foldlog.engine.events import AssetCheckKey


@asset
def rows() -> list[int]:
    return [1, 2, 3]


@asset
def of_rows(rows: list[int]) -> int:
    return len(rows)


def checking(passed: bool, severity: Any = "ERROR", *, blocking: bool = False) -> Any:
    @asset_check(asset="rows", name="not_empty", blocking=blocking, description="there is something")
    def not_empty(rows: list[int]) -> AssetCheckResult:
        return AssetCheckResult(
            passed=passed, severity=severity, metadata={"rows": len(rows)}, description="looked at all"
        )

    return not_empty


def test_a_check_that_passes(instance: Instance) -> None:
    result = materialize([rows, checking(True)], instance=instance)
    found = fact(result, "ASSET_CHECK_EVALUATION")
    assert (found.asset_key, found.check_name) == (AssetKey("rows"), "not_empty")
    assert (found.passed, found.severity, found.blocking) == (True, "ERROR", False)
    assert (found.metadata, found.description) == ({"rows": 3}, "looked at all")
    assert (found.target_run_id, found.target_position) == (result.run_id, None)
    latest = instance.get_asset_checks("rows", check_name="not_empty")[0]
    assert (latest.status, latest.run_id, latest.metadata) == ("PASSED", result.run_id, {"rows": 3})


def test_a_check_that_does_not_pass_fails_nothing_by_itself(instance: Instance) -> None:
    result = materialize([rows, of_rows, checking(False)], instance=instance)
    assert result.success
    assert story(result, "rows__not_empty")[-2:] == ["ASSET_CHECK_EVALUATION", "STEP_SUCCESS"]
    assert instance.get_asset_checks("rows", check_name="not_empty")[0].status == "FAILED"


def test_a_blocking_check_holds_up_what_lies_downstream(instance: Instance) -> None:
    result = made([rows, of_rows, checking(False, blocking=True)], instance)
    assert result.step_outcomes == {"rows": "SUCCESS", "rows__not_empty": "FAILURE", "of_rows": "ABANDONED"}
    assert fact(result, "ASSET_CHECK_EVALUATION").blocking
    assert "rows:not_empty" in fact(result, "STEP_FAILURE").error.message
    assert "blocks what lies downstream" in fact(result, "STEP_FAILURE").error.message
    not_made = fact(result, "ASSET_FAILED_TO_MATERIALIZE")
    assert (not_made.asset_key, not_made.reason) == (AssetKey("of_rows"), "UPSTREAM_FAILED_TO_MATERIALIZE")
    # The check was evaluated, and its result stands, though its step failed.
    assert instance.get_asset_checks("rows", check_name="not_empty")[0].status == "FAILED"


def test_a_blocking_check_that_only_warns_or_passes_holds_up_nothing(memory: Instance) -> None:
    for check in (checking(False, "WARN", blocking=True), checking(True, blocking=True)):
        result = materialize([rows, of_rows, check], instance=memory)
        assert result.step_outcomes == {"rows": "SUCCESS", "rows__not_empty": "SUCCESS", "of_rows": "SUCCESS"}


def test_checks_inside_of_the_assets_function(memory: Instance) -> None:
    specs = [AssetCheckSpec(name="a", asset="checked_inside"), AssetCheckSpec(name="b", asset="checked_inside")]

    @asset(check_specs=specs)
    def checked_inside():
        yield Output(1)
        yield AssetCheckResult(check_name="a", passed=True)
        yield AssetCheckResult(check_name="b", passed=False, severity="WARN")

    result = materialize([checked_inside], instance=memory)
    assert story(result, "checked_inside")[-3:] == ["ASSET_CHECK_EVALUATION", "ASSET_CHECK_EVALUATION", "STEP_SUCCESS"]
    found = {one.check_name: (one.passed, one.severity) for one in facts(result, "ASSET_CHECK_EVALUATION")}
    assert found == {"a": (True, "ERROR"), "b": (False, "WARN")}
    assert len(facts(result, "ASSET_CHECK_EVALUATION_PLANNED")) == 2


def test_a_blocking_check_inside(memory: Instance) -> None:
    @asset(check_specs=[AssetCheckSpec(name="ok", asset="blocked_inside", blocking=True)])
    def blocked_inside():
        yield Output(1)
        yield AssetCheckResult(passed=False)

    @asset
    def behind_blocked(blocked_inside: int) -> int:
        return 1

    result = made([blocked_inside, behind_blocked], memory)
    assert result.step_outcomes == {"blocked_inside": "FAILURE", "behind_blocked": "ABANDONED"}
    assert "ASSET_MATERIALIZATION" in story(result, "blocked_inside")


def test_results_of_checks_with_a_materialize_result(memory: Instance) -> None:
    @asset(check_specs=[AssetCheckSpec(name="ok", asset="with_result")])
    def with_result() -> MaterializeResult:
        return MaterializeResult(metadata={"rows": 2}, check_results=[AssetCheckResult(passed=True)])

    result = materialize([with_result], instance=memory)
    assert fact(result, "ASSET_CHECK_EVALUATION").passed


def test_a_check_may_return_true_or_false(memory: Instance) -> None:
    @asset_check(asset="rows")
    def plainly(rows: list[int]) -> bool:
        return len(rows) == 3

    assert fact(materialize([rows, plainly], instance=memory), "ASSET_CHECK_EVALUATION").passed


def _wrong(name: str) -> Any:
    two = [AssetCheckSpec(name="a", asset="wrongly"), AssetCheckSpec(name="b", asset="wrongly")]

    def silent():
        yield Output(1)
        yield AssetCheckResult(check_name="a", passed=True)

    def unclear():
        yield Output(1)
        yield AssetCheckResult(passed=True)

    def unknown():
        yield Output(1)
        yield AssetCheckResult(check_name="c", passed=True)

    def twice():
        yield Output(1)
        yield AssetCheckResult(check_name="a", passed=True)
        yield AssetCheckResult(check_name="a", passed=False)

    return asset(name="wrongly", check_specs=two)(locals()[name])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("silent", "did not say how the check wrongly:b came out"),
        ("twice", "said twice how the check wrongly:a came out"),
        ("unclear", "may be of several checks"),
        ("unknown", "is of no check that it declares; there are: wrongly:a, wrongly:b"),
    ],
)
def test_what_a_checking_function_must_not_do(name: str, message: str, memory: Instance) -> None:
    result = made([_wrong(name)], memory)
    assert result.step_outcomes == {"wrongly": "FAILURE"}
    assert message in fact(result, "STEP_FAILURE").error.message


def test_a_check_that_raises_was_planned_and_came_to_nothing(instance: Instance) -> None:
    @asset
    def unchecked() -> int:
        return 1

    @asset_check(asset=unchecked)
    def raising():
        raise OSError("down")

    result = made([unchecked, raising], instance)
    assert result.step_outcomes == {"unchecked": "SUCCESS", "unchecked__raising": "FAILURE"}
    key = AssetCheckKey(AssetKey("unchecked"), "raising")
    latest = instance.get_latest_asset_check_execution_by_key([key])[key]
    assert (latest.status, latest.run_id) == ("EXECUTION_FAILED", result.run_id)


def test_a_check_of_a_value_that_was_not_made_is_not_evaluated(memory: Instance) -> None:
    @asset
    def unmade() -> int:
        raise OSError

    @asset_check(asset=unmade, name="never")
    def never(unmade: int) -> bool:
        return True

    result = made([unmade, never], memory)
    assert result.step_outcomes == {"unmade": "FAILURE", "unmade__never": "ABANDONED"}
    key = AssetCheckKey(AssetKey("unmade"), "never")
    assert memory.get_latest_asset_check_execution_by_key([key])[key].status in ("SKIPPED", "EXECUTION_FAILED")


def test_a_check_may_look_at_other_assets_too(memory: Instance) -> None:
    @asset_check(asset="rows", additional_ins={"count": AssetIn(key="of_rows")})
    def fits(rows: list[int], count: int) -> bool:
        return len(rows) == count

    result = materialize([rows, of_rows, fits], instance=memory)
    assert fact(result, "ASSET_CHECK_EVALUATION").passed


def test_a_check_of_what_an_earlier_run_made_names_it(fresh: Instance) -> None:
    first = materialize([rows], instance=fresh)
    graph = Definitions(assets=[rows], asset_checks=[checking(True)]).asset_graph
    only_checks = graph.job("only_checks", [], checks=[AssetCheckKey(AssetKey("rows"), "not_empty")])
    result = execute_job(only_checks, instance=fresh)
    found = fact(result, "ASSET_CHECK_EVALUATION")
    position = fresh.get_materializations("rows")[0].position
    assert (found.target_run_id, found.target_position) == (first.run_id, position)
    assert "ASSET_MATERIALIZATION_PLANNED" not in story(result)
