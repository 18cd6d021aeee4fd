"""Definitions that are found by name in code, and executed: what may be named, and what is told of what may not."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from foldlog import (
    AssetSpec,
    Definitions,
    Instance,
    Output,
    UsageError,
    asset,
    execute_job,
    job,
    materialize,
    op,
    resource,
)
from foldlog.engine.definitions.gathering import definitions_of
from foldlog.engine.definitions.loading import load_module
from foldlog.engine.definitions.partitions import (
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    HourlyPartitionsDefinition,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
    TimeWindow,
    WeeklyPartitionsDefinition,
)
from foldlog.engine.definitions.resource import in_order
from foldlog.engine.execution.backfill import partition_range

CODE = """
    import foldlog

    @foldlog.asset
    def orders():
        return 20

    @foldlog.asset
    def report(orders):
        return orders + 1

    @foldlog.asset_check(asset=report)
    def ok(report):
        return report == 21

    @foldlog.op
    def load(): ...

    @foldlog.job
    def nightly():
        load()

    some = [report]
    both = (orders, report)
    later = foldlog.define_asset_job("later", "orders")
    region = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working directory, with code in it that is not loaded, before and after."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "found_here.py").write_text(dedent(CODE))
    yield tmp_path
    sys.modules.pop("found_here", None)


def named(attribute: str) -> Definitions:
    return definitions_of(load_module("found_here", attribute=attribute))


def test_assets_and_jobs_of_them_may_be_named(folder: Path) -> None:
    def made(attribute: str) -> tuple[list[str], list[str], list[str]]:
        found = named(attribute)
        return [*map(str, found.asset_graph.specs)], [*map(str, found.asset_graph.checks)], [*found.jobs]

    assert made("orders") == (["orders"], [], [])
    assert made("report") == (["report"], ["report:ok"], [])
    assert made("some") == (["report"], ["report:ok"], [])
    assert made("both") == (["orders", "report"], ["report:ok"], [])
    assert made("later") == (["orders", "report"], ["report:ok"], ["later"])
    assert made("nightly") == ([], [], ["nightly"])
    with Instance.ephemeral() as instance:
        execute_job(named("orders").asset_job(), instance=instance)
        assert execute_job(named("report").asset_job(), instance=instance).asset_value("report") == 21


def test_what_cannot_be_named_is_told_by_kind_and_what_is_not_there_with_what_is(folder: Path) -> None:
    with pytest.raises(UsageError, match="'region' of found_here is an int; wanted Definitions, a job or assets"):
        named("region")
    with pytest.raises(UsageError) as caught:
        named("nosuch")
    assert str(caught.value) == "the module found_here has no 'nosuch'"
    assert (
        caught.value.remedy
        == f"Name an object of {folder / 'found_here.py'}: orders, report, ok, load, nightly, later."
    )


def test_what_a_pyproject_names_is_told_with_that_file(folder: Path) -> None:
    file = folder / "pyproject.toml"
    for entry, problem in {
        'module = "nosuch"': "there is no module 'nosuch'",
        'file = "nosuch.py"': f"there is no file {folder / 'nosuch.py'}",
        'module = "found_here"\nattribute = "order"': "the module found_here has no 'order'; did you mean 'orders'?",
    }.items():
        file.write_text(f"[tool.foldlog]\n{entry}\n")
        with pytest.raises(UsageError) as caught:
            load_module()
        assert str(caught.value) == f"{problem} (named by [tool.foldlog] of {file})"


def test_a_broken_pyproject_is_told_with_its_line_and_no_traceback(folder: Path) -> None:
    file = folder / "pyproject.toml"
    file.write_text("[project]\nname = \n")
    with pytest.raises(UsageError) as caught:
        load_module()
    assert str(caught.value) == f"{file}:2: this is no TOML: Invalid value"
    assert caught.value.__cause__ is None
    file.write_bytes(b"name = '\xff'")
    with pytest.raises(UsageError, match="cannot be read") as caught:
        load_module()
    assert caught.value.__cause__ is None


# -- partitions ------------------------------------------------------------------------------------------------------


def test_the_time_of_a_partition_is_a_window_also_in_one_of_two_dimensions() -> None:
    daily, regions = DailyPartitionsDefinition("2026-01-01"), StaticPartitionsDefinition(["eu", "us"])
    seen: list[TimeWindow] = []

    def window(partitions: Any, key: str, **options: Any) -> Any:
        @asset(partitions_def=partitions)
        def made(context) -> None:
            seen.append(context.partition_time_window)

        return materialize(made, partition_key=key, **options)

    window(daily, "2026-01-02")
    window(MultiPartitionsDefinition({"day": daily, "region": regions}), "2026-01-02|eu")
    day = TimeWindow(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))
    assert seen == [day, day]
    assert {one.duration.total_seconds() for one in seen} == {86_400}
    weekly = WeeklyPartitionsDefinition("2026-01-01")
    two = MultiPartitionsDefinition({"day": daily, "week": weekly})
    wrong = ((regions, "eu", "no partitions"), (two, "2026-01-02|2026-01-04", "several dimensions"))
    for partitions, key, problem in wrong:
        result = window(partitions, key, raise_on_error=False)
        assert f"has {problem} by time" in str(result.error)


@pytest.mark.parametrize(
    ("partitions", "said"),
    [
        (DailyPartitionsDefinition("2026-01-01", "2026-02-01"), "daily partitions from 2026-01-01 to 2026-01-31, UTC"),
        (DailyPartitionsDefinition("2026-01-01"), "daily partitions from 2026-01-01, UTC"),
        (
            HourlyPartitionsDefinition("2026-01-01", "2026-01-02"),
            "hourly partitions from 2026-01-01 to 2026-01-01-23:00, UTC",
        ),
    ],
)
def test_the_last_key_is_told_and_not_where_it_ends(partitions: Any, said: str) -> None:
    assert partitions.describe() == said
    assert partitions.end_date is None or said.split(" to ")[1].startswith(partitions.get_last_partition_key())


def test_dynamic_partitions_without_keys_say_how_to_add_them() -> None:
    customers = DynamicPartitionsDefinition("customers")
    both = MultiPartitionsDefinition({"customer": customers, "region": StaticPartitionsDefinition(["eu"])})
    for partitions in (customers, both):

        @asset(partitions_def=partitions)
        def orders() -> None: ...

        definitions = Definitions(assets=[orders])
        with Instance.ephemeral() as instance:
            with pytest.raises(UsageError) as caught:
                materialize(orders, instance=instance)
            assert "instance.add_dynamic_partitions('customers', [...])" in caught.value.remedy
            with pytest.raises(UsageError) as caught:
                partition_range(instance, definitions.asset_job(), None, None)
            assert caught.value.remedy == "Add keys: instance.add_dynamic_partitions('customers', [...])."


# -- many ------------------------------------------------------------------------------------------------------------


def test_a_long_chain_of_resources_is_made_ready_in_order_without_recursion() -> None:
    def one(number: int) -> Any:
        @resource(required_resource_keys={f"r{number + 1}"} if number < 1_999 else None)
        def made() -> int:
            return number

        return made

    chain = {f"r{number}": one(number) for number in range(2_000)}

    @op(required_resource_keys={"r0"})
    def use(r0: int) -> int:
        return r0

    @job(resource_defs=chain)
    def using():
        use()

    Definitions(jobs=[using])
    assert in_order("job", chain, ["r0"]) == [f"r{number}" for number in reversed(range(2_000))]


@pytest.mark.timeout(60)
def test_many_keys_and_many_outputs_take_no_time_that_grows_with_their_square() -> None:
    """Ten times as many may take some more than ten times as long; were it a square, it would be a hundred times."""

    def duplicate(count: int) -> float:
        keys = [f"k{number}" for number in range(count)]
        since = time.perf_counter()
        with pytest.raises(UsageError, match="is there twice"):
            StaticPartitionsDefinition([*keys, keys[-1]])
        return time.perf_counter() - since

    def deps(count: int) -> float:
        since = time.perf_counter()

        @asset(deps=[f"up{number}" for number in range(count)])
        def down() -> None: ...

        return time.perf_counter() - since

    for measured, few in ((duplicate, 2_000), (deps, 500)):
        base = min(measured(few) for _ in range(3))
        assert min(measured(10 * few) for _ in range(3)) < 40 * base


def test_an_output_of_a_type_is_checked_by_that_type() -> None:
    @op
    def good() -> Output[int]:  # type: ignore[type-arg, unused-ignore]
        return Output(1)

    @op
    def bad() -> Output[int]:  # type: ignore[type-arg, unused-ignore]
        return Output("one")

    @job
    def both():
        good()
        bad()

    result = execute_job(both, raise_on_error=False)
    assert result.step_outcomes == {"good": "SUCCESS", "bad": "FAILURE"}
    assert "wanted int" in str(result.error)


def test_assets_that_are_only_declared_are_no_job() -> None:
    with pytest.raises(UsageError, match="raw is made elsewhere, and no check here looks at it"):
        materialize(AssetSpec(key="raw"))
