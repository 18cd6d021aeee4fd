"""Runs of one partition: what is recorded, what is loaded from which partitions upstream, and the status of each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from watching import fact, facts, made, run, story

import foldlog
from foldlog import (
    AssetCheckResult,
    AssetDep,
    AssetIn,
    AssetKey,
    AssetSpec,
    Instance,
    UsageError,
    asset,
    asset_check,
    job,
    materialize,
    multi_asset,
    op,
)
from foldlog.engine.definitions.partitions import (
    AllPartitionMapping,
    DailyPartitionsDefinition,
    DynamicPartitionsDefinition,
    LastPartitionMapping,
    MonthlyPartitionsDefinition,
    MultiPartitionKey,
    MultiPartitionsDefinition,
    StaticPartitionsDefinition,
    TimeWindowPartitionMapping,
)

REGIONS = StaticPartitionsDefinition(["eu", "us"])
DAYS = DailyPartitionsDefinition("2026-01-01")
MONTHS = MonthlyPartitionsDefinition("2026-01-01")


@asset(partitions_def=REGIONS)
def by_region(context) -> str:
    assert context.has_partition_key
    return f"rows of {context.partition_key}"


@asset(partitions_def=REGIONS)
def upper(by_region: str) -> str:
    return by_region.upper()


@asset
def all_regions(by_region: dict[str, str]) -> list[str]:
    return list(by_region.items())  # type: ignore[arg-type]


def test_a_run_of_one_partition(instance: Instance) -> None:
    result = materialize([by_region, upper], instance=instance, partition_key="eu")
    planned = facts(result, "ASSET_MATERIALIZATION_PLANNED")
    assert [(one.asset_key, one.partition) for one in planned] == [
        (AssetKey("by_region"), "eu"),
        (AssetKey("upper"), "eu"),
    ]
    assert {one.partition for one in facts(result, "ASSET_MATERIALIZATION")} == {"eu"}
    assert result.asset_value("upper") == "ROWS OF EU"
    record = instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.tags == {"foldlog/partition": "eu"}
    assert instance.get_status_by_partition("upper", ["eu", "us"]) == {"eu": "MATERIALIZED", "us": None}
    assert instance.get_materialized_partitions("by_region") == ["eu"]
    (latest,) = instance.get_asset_partitions("upper")
    assert latest.run_id == result.run_id


def test_the_partition_must_be_one(memory: Instance) -> None:
    before = memory.get_runs_count()
    with pytest.raises(UsageError, match="no partition was given"):
        materialize([by_region], instance=memory)
    with pytest.raises(UsageError, match="asia"):
        materialize([by_region], instance=memory, partition_key="asia")
    with pytest.raises(UsageError, match="has no partitions"):
        materialize([by_region, all_regions], selection="all_regions", instance=memory, partition_key="eu")
    with pytest.raises(UsageError, match="2999-01-01"):
        materialize([daily], instance=memory, partition_key="2999-01-01")
    assert memory.get_runs_count() == before


def test_an_asset_without_partitions_takes_all_of_one_that_has_them(fresh: Instance) -> None:
    for key in ("us", "eu"):
        materialize([by_region], instance=fresh, partition_key=key)
    result = materialize([by_region, all_regions], instance=fresh, selection="all_regions")
    assert result.asset_value("all_regions") == [("eu", "rows of eu"), ("us", "rows of us")]
    only_one = Instance.ephemeral()
    with only_one:
        materialize([by_region], instance=only_one, partition_key="eu")
        failed = made([by_region, all_regions], only_one, selection="all_regions")
        assert "us" in fact(failed, "STEP_FAILURE").error.message


def test_an_asset_without_partitions_beside_one_with_them(memory: Instance) -> None:
    """In one run of a partition: the one is made of that, the other as a whole."""

    @asset(name="whole")
    def whole() -> int:
        return 1

    @asset(name="parted_of_whole", partitions_def=REGIONS)
    def parted(whole: int) -> int:
        return whole

    result = materialize([whole, parted], instance=memory, partition_key="us")
    made_of = {str(one.asset_key): one.partition for one in facts(result, "ASSET_MATERIALIZATION")}
    assert made_of == {"whole": None, "parted_of_whole": "us"}


# -- time ------------------------------------------------------------------------------------------------------------


@asset(partitions_def=DAYS, code_version="1")
def daily(context) -> int:
    start, end = context.partition_time_window
    assert (end - start).days == 1
    return int(start.day)


@asset(partitions_def=MONTHS)
def monthly(context, daily: dict[str, int]) -> int:
    keys = context.asset_partition_keys_for_input("daily")
    assert list(daily) == list(keys)
    return sum(daily.values())


def test_a_month_is_made_of_its_days(fresh: Instance) -> None:
    for day in range(1, 29):
        materialize([daily], instance=fresh, partition_key=f"2026-02-{day:02}")
    result = materialize([daily, monthly], instance=fresh, partition_key="2026-02-01", selection="monthly")
    assert result.asset_value("monthly") == sum(range(1, 29))
    assert facts(result, "ASSET_MATERIALIZATION")[0].partition == "2026-02-01"
    assert len(fresh.get_materialized_partitions("daily")) == 28
    with pytest.raises(UsageError, match="partition"):
        materialize([daily, monthly], instance=fresh, partition_key="2026-02-01")  # one run, two cuts


def test_the_version_of_many_partitions_changes_with_each_of_them(fresh: Instance) -> None:
    versions = {"eu": "1", "us": "1"}

    @asset(name="versioned", partitions_def=REGIONS)
    def versioned(context) -> foldlog.Output:
        return foldlog.Output(1, data_version=versions[context.partition_key])

    @asset(name="of_versioned", code_version="1")
    def of_versioned(versioned: dict[str, int]) -> int:
        return len(versioned)

    def make(*keys: str) -> Any:
        for key in keys:
            materialize([versioned], instance=fresh, partition_key=key)
        result = materialize([versioned, of_versioned], instance=fresh, selection="of_versioned")
        found = fact(result, "ASSET_MATERIALIZATION")
        assert list(found.input_data_versions) == [AssetKey("versioned").to_text()]
        return found.data_version

    first = make("eu", "us")
    assert make() == first == make("eu")  # made again, and the same came out
    versions["us"] = "2"
    assert make("us") != first
    versions["us"] = "1"
    assert make("us") == first
    event = foldlog.events.AssetMaterialization(asset_key=AssetKey("versioned"), partition="us")
    fresh.report_runless_asset_event(event)  # by somebody who knows no versions: each is another
    unsaid = make()
    fresh.report_runless_asset_event(event)
    assert len({first, unsaid, make()}) == 3


def test_a_day_is_made_of_its_month(memory: Instance) -> None:
    @asset(name="rates", partitions_def=MONTHS)
    def rates(context) -> str:
        return str(context.partition_key)

    @asset(name="rated", partitions_def=DAYS)
    def rated(rates: str) -> str:
        return rates

    materialize([rates], instance=memory, partition_key="2026-01-01")
    result = materialize([rates, rated], instance=memory, partition_key="2026-01-17", selection="rated")
    assert result.asset_value("rated") == "2026-01-01"


BEFORE = TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


@asset(partitions_def=DAYS, ins={"running": AssetIn(partition_mapping=BEFORE)})
def running(context, running: int | None) -> int:
    return (running or 0) + context.partition_time_window[0].day


def test_an_asset_may_be_made_of_its_own_day_before(instance: Instance) -> None:
    values = []
    for key in ("2026-01-01", "2026-01-02", "2026-01-03"):
        result = made([running], instance, partition_key=key)
        assert result.success, result.error
        values.append(result.asset_value("running"))
    assert values == [1, 3, 6]
    fact_ = fact(result, "ASSET_MATERIALIZATION")
    assert list(fact_.input_data_versions) == [AssetKey("running").to_text()]
    (position,) = fact_.input_positions.values()
    assert position == instance.get_latest_storage_id_by_partition("running")["2026-01-02"]


def test_of_no_partition_comes_the_default_or_what_the_type_takes(memory: Instance) -> None:
    def first(name: str, fn: Any) -> Any:
        made_ = asset(name=name, partitions_def=DAYS, ins={"daily": AssetIn(partition_mapping=BEFORE)})(fn)
        result = materialize([daily, made_], instance=memory, partition_key="2026-01-01", selection=name)
        assert "LOADED_INPUT" not in story(result)
        assert fact(result, "STEP_INPUT").type_check.success
        return result.asset_value(name)

    def by_default(daily: int = 7):
        return daily

    def by_dict(daily: dict[str, int]):
        return daily

    def by_nothing_stated(daily):
        return daily

    def by_none(daily: int | None):
        return daily

    assert first("by_default", by_default) == 7
    assert first("by_dict", by_dict) == {} == first("by_nothing_stated", by_nothing_stated)
    assert first("by_none", by_none) is None


def test_three_days_together(fresh: Instance) -> None:
    @asset(
        name="rolling",
        partitions_def=DAYS,
        ins={"daily": AssetIn(partition_mapping=TimeWindowPartitionMapping(start_offset=-2, end_offset=0))},
    )
    def rolling(daily: dict[str, int]) -> int:
        return sum(daily.values())

    for day in ("01", "02", "03"):
        materialize([daily], instance=fresh, partition_key=f"2026-01-{day}")
    result = materialize([daily, rolling], instance=fresh, partition_key="2026-01-03", selection="rolling")
    assert result.asset_value("rolling") == 6


def test_other_mappings(fresh: Instance) -> None:
    @asset(name="of_all", partitions_def=DAYS, ins={"by_region": AssetIn(partition_mapping=AllPartitionMapping())})
    def of_all(by_region: dict[str, str]) -> int:
        return len(by_region)

    @asset(name="of_last", deps=[], ins={"by_region": AssetIn(partition_mapping=LastPartitionMapping())})
    def of_last(by_region: str) -> str:
        return by_region

    for key in ("eu", "us"):
        materialize([by_region], instance=fresh, partition_key=key)
    every = materialize([by_region, of_all], instance=fresh, partition_key="2026-01-01", selection="of_all")
    assert every.asset_value("of_all") == 2
    last = materialize([by_region, of_last], instance=fresh, selection="of_last")
    assert last.asset_value("of_last") == "rows of us"


def test_a_job_of_ops_may_have_partitions(instance: Instance) -> None:
    seen: list[Any] = []

    @op
    def looks(context):
        seen.append((context.partition_key, context.partition_time_window, context.has_partition_key))

    @job(partitions_def=DAYS)
    def of_a_day():
        looks()

    result = run(of_a_day, instance, partition_key="2026-01-02")
    start, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    assert seen == [("2026-01-02", (start, end), True)]
    assert result.success

    @job
    def of_none():
        looks()

    failed = run(of_none, instance)
    assert "is of no partition" in fact(failed, "STEP_FAILURE").error.message


# -- dynamic and two dimensions --------------------------------------------------------------------------------------


def test_dynamic_partitions(fresh: Instance) -> None:
    customers = DynamicPartitionsDefinition(name="customers")

    @asset(name="per_customer", partitions_def=customers)
    def per_customer(context) -> str:
        return str(context.partition_key)

    @asset(name="of_customers")
    def of_customers(per_customer: dict[str, str]) -> list[str]:
        return list(per_customer)

    with pytest.raises(UsageError, match="acme"):
        materialize([per_customer], instance=fresh, partition_key="acme")
    fresh.add_dynamic_partitions("customers", ["acme", "bolt"])
    for key in ("acme", "bolt"):
        assert materialize([per_customer], instance=fresh, partition_key=key).asset_value("per_customer") == key
    result = materialize([per_customer, of_customers], instance=fresh, selection="of_customers")
    assert result.asset_value("of_customers") == ["acme", "bolt"]


def test_two_dimensions(fresh: Instance) -> None:
    kinds = StaticPartitionsDefinition(["a", "b"])
    both = MultiPartitionsDefinition({"kind": kinds, "region": REGIONS})

    @asset(name="cells", partitions_def=both)
    def cells(context) -> str:
        return str(context.partition_key)

    @asset(name="of_region", partitions_def=REGIONS)
    def of_region(cells: dict[str, str]) -> list[str]:
        return list(cells.values())

    keys = [str(MultiPartitionKey({"kind": kind, "region": region})) for kind in "ab" for region in ("eu", "us")]
    for key in keys:
        assert materialize([cells], instance=fresh, partition_key=key).asset_value("cells") == key
    assert set(fresh.get_status_by_partition("cells", keys).values()) == {"MATERIALIZED"}
    result = materialize([cells, of_region], instance=fresh, partition_key="eu", selection="of_region")
    assert result.asset_value("of_region") == [keys[0], keys[2]]
    with pytest.raises(UsageError, match="'eu'"):
        materialize([cells], instance=fresh, partition_key="eu")


# -- not made, and checks --------------------------------------------------------------------------------------------


@asset(partitions_def=REGIONS)
def fragile(context) -> str:
    if context.partition_key == "us":
        raise OSError("down")
    return str(context.partition_key)


@asset(partitions_def=REGIONS)
def after_fragile(fragile: str) -> str:
    return fragile


@asset(partitions_def=REGIONS, output_required=False)
def choosy(context):
    if context.partition_key == "eu":
        yield foldlog.Output("chosen")


@asset(partitions_def=REGIONS)
def after_choosy(choosy: str) -> str:
    return choosy


def test_the_status_of_partitions(instance: Instance) -> None:
    assets = [fragile, after_fragile, choosy, after_choosy]
    statuses = {}
    for key in ("eu", "us"):
        result = made(assets, instance, partition_key=key)
        assert result.success is (key == "eu")
        reasons = {
            str(one.asset_key): (one.partition, one.skipped, one.reason)
            for one in facts(result, "ASSET_FAILED_TO_MATERIALIZE")
        }
        if key == "us":
            assert reasons == {
                "fragile": ("us", False, "FAILED_TO_MATERIALIZE"),
                "after_fragile": ("us", False, "UPSTREAM_FAILED_TO_MATERIALIZE"),
                "choosy": ("us", True, "SKIPPED_OPTIONAL"),
                "after_choosy": ("us", True, "UPSTREAM_SKIPPED"),
            }
    for one in assets:
        statuses[str(one.key)] = instance.get_status_by_partition(one.key, ["eu", "us"])
    assert statuses == {
        "fragile": {"eu": "MATERIALIZED", "us": "FAILED"},
        "after_fragile": {"eu": "MATERIALIZED", "us": "FAILED"},
        "choosy": {"eu": "MATERIALIZED", "us": None},
        "after_choosy": {"eu": "MATERIALIZED", "us": None},
    }


@asset_check(asset=by_region, name="has_rows")
def has_rows(context, by_region: str) -> AssetCheckResult:
    return AssetCheckResult(passed=context.partition_key in by_region)


def test_a_check_of_a_partition(instance: Instance) -> None:
    result = materialize([by_region, has_rows], instance=instance, partition_key="us")
    planned = fact(result, "ASSET_CHECK_EVALUATION_PLANNED")
    found = fact(result, "ASSET_CHECK_EVALUATION")
    assert (planned.check_name, planned.partition) == ("has_rows", "us")
    assert (found.passed, found.partition, found.target_run_id) == (True, "us", result.run_id)
    record = instance.get_asset_checks("by_region")[0]
    assert (record.status, record.partition, record.run_id) == ("PASSED", "us", result.run_id)


def test_a_check_of_an_asset_without_partitions_in_a_run_of_one(memory: Instance) -> None:
    @asset(name="unparted")
    def unparted() -> int:
        return 1

    @asset(name="beside", partitions_def=REGIONS)
    def beside(unparted: int) -> int:
        return 1

    @asset_check(asset=unparted, name="ok")
    def ok(unparted: int) -> bool:
        return True

    result = materialize([unparted, beside, ok], instance=memory, partition_key="us")
    found = fact(result, "ASSET_CHECK_EVALUATION")
    assert (found.partition, found.target_run_id) == (None, result.run_id)
    assert fact(result, "ASSET_CHECK_EVALUATION_PLANNED").partition is None


def test_deps_with_a_mapping(memory: Instance) -> None:
    @asset(name="source_days", partitions_def=DAYS)
    def source_days() -> None: ...

    @asset(
        name="day_after",
        partitions_def=DAYS,
        deps=[AssetDep(key=AssetKey("source_days"), partition_mapping=BEFORE)],
    )
    def day_after() -> None: ...

    materialize([source_days], instance=memory, partition_key="2026-01-01")
    result = materialize([source_days, day_after], instance=memory, partition_key="2026-01-02", selection="day_after")
    (position,) = fact(result, "ASSET_MATERIALIZATION").input_positions.values()
    assert position == memory.get_latest_storage_id_by_partition("source_days")["2026-01-01"]


def test_a_multi_asset_with_partitions(memory: Instance) -> None:
    @multi_asset(specs=[AssetSpec(key="p_a"), AssetSpec(key="p_b")], partitions_def=REGIONS)
    def parted_both(context):
        for key in ("p_a", "p_b"):
            yield foldlog.MaterializeResult(asset_key=key, metadata={"key": context.partition_key})

    result = materialize([parted_both], instance=memory, partition_key="eu")
    assert [one.partition for one in facts(result, "ASSET_MATERIALIZATION")] == ["eu", "eu"]
    assert story(result)[1:3] == ["ASSET_MATERIALIZATION_PLANNED"] * 2


def test_more_dynamic_partitions_than_a_page(fresh: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foldlog.engine.execution.run_context.ALL_LIMIT", 2)
    customers = foldlog.partitions.DynamicPartitionsDefinition("customers")
    keys = [f"c{number}" for number in range(5)]
    fresh.add_dynamic_partitions("customers", keys)

    @foldlog.asset(partitions_def=customers)
    def one() -> int:
        return 1

    @foldlog.asset
    def all_of_them(one: dict) -> int:
        return len(one)

    assert foldlog.materialize_partitions([one], keys, instance=fresh).success
    result = foldlog.materialize([one, all_of_them], selection="all_of_them", instance=fresh)
    assert result.asset_value("all_of_them") == 5
    with pytest.raises(foldlog.UsageError, match="no partition 'c5'; it has 5, from 'c0' to 'c4'"):
        foldlog.materialize([one], partition_key="c5", instance=fresh)


def test_the_runs_of_a_backfill_do_not_list_all_partitions(fresh: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    customers = foldlog.partitions.DynamicPartitionsDefinition("customers")
    keys = [f"c{number}" for number in range(5)]
    fresh.add_dynamic_partitions("customers", keys)

    @foldlog.asset(partitions_def=customers)
    def one() -> int:
        return 1

    @foldlog.asset(partitions_def=customers)
    def two(one: int) -> int:
        return one

    asked = []
    page = fresh.get_paginated_dynamic_partitions
    monkeypatch.setattr(
        fresh, "get_paginated_dynamic_partitions", lambda *args, **given: asked.append(args) or page(*args, **given)
    )
    assert foldlog.materialize_partitions([one, two], keys, instance=fresh).success
    assert len(asked) <= 1, "once for the whole backfill"
