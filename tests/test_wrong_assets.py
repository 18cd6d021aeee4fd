"""Wrong assets, checks, partitions of them, and Definitions: each is refused in words that name it."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from wrong import Wrongs

import foldlog
from foldlog import (
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetOut,
    AssetSpec,
    Definitions,
    asset,
    asset_check,
    define_asset_job,
    job,
    materialize,
    multi_asset,
    op,
    resource,
)
from foldlog.engine.definitions.partitions import (
    AllPartitionMapping,
    DailyPartitionsDefinition,
    IdentityPartitionMapping,
    StaticPartitionsDefinition,
    WeeklyPartitionsDefinition,
)

wrong = Wrongs()
DAILY = DailyPartitionsDefinition("2026-01-01")
REGIONS = StaticPartitionsDefinition(["eu", "us"])


@asset
def orders() -> int:
    return 1


@asset
def report(orders: int) -> int:
    return orders


@op
def load() -> int:
    return 1


# -- keys ---------------------------------------------------------------------------------------------------------


@wrong("?", "?")
def a_key_and_a_name():
    asset(key="raw/orders", name="orders")(orders.op.fn)


@wrong("?", "?")
def a_key_that_is_a_number():
    asset(key=3)(orders.op.fn)


@wrong("?", "?")
def a_key_with_an_empty_part():
    asset(key="raw//orders")(orders.op.fn)


@wrong("?", "?")
def a_name_that_is_empty():
    asset(name="")(orders.op.fn)


@wrong("?", "?")
def a_prefix_that_is_a_number():
    asset(key_prefix=3)(orders.op.fn)


@wrong("?", "?")
def an_asset_of_a_lambda():
    asset(lambda: 1)


@wrong("?", "?")
def an_asset_of_a_partial():
    asset(functools.partial(orders.op.fn))


@wrong("?", "?")
def an_asset_of_a_text():
    asset("orders")


@wrong("?", "?")
def a_multi_asset_of_a_text():
    multi_asset(outs={"a": AssetOut()})("orders")


@wrong("?", "?")
def a_check_of_a_text():
    asset_check(asset="orders")("orders")


@wrong("?", "?")
def an_async_asset():
    @asset
    async def orders(): ...


@wrong("?", "?")
def an_asset_of_star_args():
    @asset
    def orders(*rows): ...


@wrong("?", "?")
def an_asset_made_twice():
    @asset(name="orders")
    def other(): ...

    Definitions(assets=[orders, other])


@wrong("?", "?")
def an_asset_made_and_declared():
    Definitions(assets=[orders, AssetSpec(key="orders")])


@wrong("?", "?")
def an_asset_declared_twice():
    Definitions(assets=[AssetSpec(key="orders"), AssetSpec(key="orders")])


@wrong("?", "?")
def two_keys_with_one_node():
    @asset(key="raw/orders")
    def one(): ...

    @asset(key="raw__orders")
    def two(): ...

    Definitions(assets=[one, two])


# -- dependencies -------------------------------------------------------------------------------------------------


@wrong("?", "?")
def deps_as_one_text():
    asset(deps="orders")(load.fn)


@wrong("?", "?")
def deps_as_one_asset():
    asset(deps=orders)(load.fn)


@wrong("?", "?")
def deps_of_a_spec_as_one_text():
    AssetSpec(key="report", deps="orders")


@wrong("?", "?")
def deps_that_are_functions():
    asset(deps=[load])(load.fn)


@wrong("?", "?")
def a_dep_twice_with_other_mappings():
    @asset(deps=[AssetDep(key="orders", partition_mapping=AllPartitionMapping()), AssetDep(key="orders")])
    def report(): ...


@wrong("?", "?")
def a_mapping_that_is_none():
    AssetDep(key="orders", partition_mapping="all")


@wrong("?", "?")
def a_mapping_of_an_input_that_is_none():
    AssetIn(partition_mapping="all")


@wrong("?", "?")
def ins_of_no_parameter():
    asset(ins={"order": AssetIn()})(report.op.fn)


@wrong("?", "?")
def ins_that_are_keys():
    asset(ins={"orders": "raw/orders"})(report.op.fn)


@wrong("?", "?")
def ins_as_a_list():
    asset(ins=["orders"])(report.op.fn)


@wrong("?", "?")
def ins_of_an_op():
    asset(ins={"orders": foldlog.In(int)})(report.op.fn)


@wrong("?", "?")
def an_asset_of_itself():
    @asset
    def orders(orders): ...


@wrong("?", "?")
def a_dep_on_itself():
    @asset(deps=["orders"])
    def orders(): ...


@wrong("?", "?")
def a_partition_of_itself():
    @asset(partitions_def=DAILY)
    def orders(orders): ...

    Definitions(assets=[orders])


@wrong("?", "?")
def assets_in_a_circle():
    @asset
    def a(c): ...

    @asset
    def b(a): ...

    @asset
    def c(b): ...

    Definitions(assets=[a, b, c])


@wrong("?", "?")
def nodes_in_a_circle():
    @multi_asset(outs={"a": AssetOut(), "c": AssetOut()}, internal_asset_deps={"a": [], "c": ["b"]})
    def both(b): ...

    @asset
    def b(a): ...

    Definitions(assets=[both, b]).asset_job()


# -- what is said of an asset ---------------------------------------------------------------------------------------


@wrong("?", "?")
def a_group_with_a_slash():
    asset(group_name="raw/eu")(orders.op.fn)


@wrong("?", "?")
def tags_that_are_no_text():
    asset(tags={"priority": 1})(orders.op.fn)


@wrong("?", "?")
def metadata_that_cannot_be_kept():
    asset(metadata={"source": {"by": [1, {2}]}})(orders.op.fn)


@wrong("?", "?")
def metadata_as_a_list():
    asset(metadata=["a"])(orders.op.fn)


@wrong("?", "?")
def metadata_of_a_spec_that_cannot_be_kept():
    AssetSpec(key="raw/orders", metadata={"by": object})


@wrong("?", "?")
def an_io_manager_that_is_an_object():
    asset(io_manager_key=foldlog.InMemoryIOManager())(orders.op.fn)


@wrong("?", "?")
def a_retry_policy_as_a_number():
    asset(retry_policy=3)(orders.op.fn)


@wrong("?", "?")
def a_version_that_is_no_text():
    asset(code_version=3)(orders.op.fn)


@wrong("?", "?")
def required_resources_as_a_text():
    asset(required_resource_keys="warehouse")(orders.op.fn)


# -- partitions ---------------------------------------------------------------------------------------------------


@wrong("?", "?")
def partitions_as_a_list():
    asset(partitions_def=["eu", "us"])(orders.op.fn)


@wrong("?", "?")
def partitions_of_several_as_a_list():
    multi_asset(outs={"a": AssetOut()}, partitions_def=["eu"])(load.fn)


@wrong("?", "?")
def a_job_that_mixes_partitions():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(partitions_def=REGIONS)
    def regions(): ...

    Definitions(assets=[sales, regions], jobs=[define_asset_job("all")])


@wrong("?", "?")
def a_mapping_that_is_not_clear():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(partitions_def=REGIONS)
    def regions(sales): ...

    Definitions(assets=[sales, regions])


@wrong("?", "?")
def a_mapping_that_does_not_fit():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(deps=[AssetDep(key="sales", partition_mapping=IdentityPartitionMapping())])
    def total(): ...

    Definitions(assets=[sales, total])


@wrong("?", "?")
def specs_with_other_partitions():
    @multi_asset(specs=[AssetSpec(key="a", partitions_def=DAILY), AssetSpec(key="b", partitions_def=REGIONS)])
    def both(): ...


@wrong("?", "?")
def a_job_with_other_partitions_than_its_assets():
    @asset(partitions_def=DAILY)
    def sales(): ...

    Definitions(assets=[sales], jobs=[define_asset_job("all", partitions_def=WeeklyPartitionsDefinition("2026-01-01"))])


@wrong("?", "?")
def an_asset_job_with_partitions_as_text():
    define_asset_job("all", partitions_def="daily")


@wrong("?", "?")
def a_run_without_a_partition():
    materialize([asset(partitions_def=REGIONS)(orders.op.fn)])


@wrong("?", "?")
def a_run_of_an_unknown_partition():
    materialize([asset(partitions_def=REGIONS)(orders.op.fn)], partition_key="uk")


@wrong("?", "?")
def a_partition_of_what_has_none():
    materialize([orders], partition_key="eu")


# -- several assets -------------------------------------------------------------------------------------------------


@wrong("?", "?")
def several_without_outs():
    multi_asset()(load.fn)


@wrong("?", "?")
def several_with_specs_and_outs():
    multi_asset(specs=[AssetSpec(key="a")], outs={"a": AssetOut()})(load.fn)


@wrong("?", "?")
def several_that_are_none():
    multi_asset(outs={})(load.fn)


@wrong("?", "?")
def several_with_the_function_at_once():
    multi_asset(load.fn)


@wrong("?", "?")
def outs_that_are_outs_of_ops():
    multi_asset(outs={"a": foldlog.Out()})(load.fn)


@wrong("?", "?")
def outs_as_a_list():
    multi_asset(outs=["a", "b"])(load.fn)


@wrong("?", "?")
def specs_that_are_texts():
    multi_asset(specs=["a", "b"])(load.fn)


@wrong("?", "?")
def one_spec():
    multi_asset(specs=AssetSpec(key="a"))(load.fn)


@wrong("?", "?")
def two_specs_of_one_key():
    multi_asset(specs=[AssetSpec(key="a"), AssetSpec(key="a")])(load.fn)


@wrong("?", "?")
def two_outs_of_one_key():
    multi_asset(outs={"a": AssetOut(key="x"), "b": AssetOut(key="x")})(load.fn)


@wrong("?", "?")
def deps_of_an_output_that_is_not_there():
    multi_asset(outs={"a": AssetOut()}, internal_asset_deps={"b": ["a"]})(load.fn)


@wrong("?", "?")
def a_part_of_what_is_made_together():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    Definitions(assets=[both], jobs=[define_asset_job("some", "a")])


@wrong("?", "?")
def the_key_of_several():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    both.key  # noqa: B018


# -- checks -------------------------------------------------------------------------------------------------------


@wrong("?", "?")
def a_check_of_an_unknown_asset():
    @asset_check(asset="order")
    def no_nulls(): ...

    Definitions(assets=[orders], asset_checks=[no_nulls])


@wrong("?", "?")
def a_check_without_parentheses():
    @asset_check
    def no_nulls(): ...


@wrong("?", "?")
def a_check_of_several_assets():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    @asset_check(asset=both)
    def no_nulls(): ...


@wrong("?", "?")
def a_check_of_two_parameters():
    @asset_check(asset="orders")
    def no_nulls(orders, users): ...


@wrong("?", "?")
def two_checks_of_one_name():
    @asset_check(asset=orders)
    def no_nulls(): ...

    @asset_check(asset=orders, name="no_nulls")
    def other(): ...

    Definitions(assets=[orders], asset_checks=[no_nulls, other])


@wrong("?", "?")
def a_check_spec_of_another_asset():
    asset(check_specs=[AssetCheckSpec(name="no_nulls", asset="users")])(orders.op.fn)


@wrong("?", "?")
def two_check_specs_of_one_name():
    asset(check_specs=[AssetCheckSpec(name="no_nulls", asset="orders")] * 2, name="orders")(orders.op.fn)


@wrong("?", "?")
def check_specs_that_are_texts():
    asset(check_specs=["no_nulls"])(orders.op.fn)


@wrong("?", "?")
def a_check_with_a_bad_name():
    asset_check(asset="orders", name="no nulls")(load.fn)


@wrong("?", "?")
def a_check_spec_with_a_bad_name():
    AssetCheckSpec(name="no nulls", asset="orders")


@wrong("?", "?")
def metadata_of_a_check_that_cannot_be_kept():
    asset_check(asset="orders", metadata={"by": {1}})(load.fn)


@wrong("?", "?")
def ins_of_a_check_of_no_parameter():
    asset_check(asset="orders", additional_ins={"users": AssetIn()})(load.fn)


@wrong("?", "?")
def a_result_that_is_text():
    foldlog.AssetCheckResult(passed="yes")


@wrong("?", "?")
def a_severity_that_is_not_there():
    foldlog.AssetCheckResult(passed=True, severity="warn")


# -- all together ---------------------------------------------------------------------------------------------------


@wrong("?", "?")
def one_asset_in_place_of_a_list():
    Definitions(assets=orders)


@wrong("?", "?")
def one_job_in_place_of_a_list():
    Definitions(jobs=define_asset_job("all"))


@wrong("?", "?")
def an_op_as_an_asset():
    Definitions(assets=[load])


@wrong("?", "?")
def a_job_as_an_asset():
    Definitions(assets=[job(name="etl")(lambda: load())])


@wrong("?", "?")
def an_op_as_a_job():
    Definitions(jobs=[load])


@wrong("?", "?")
def a_graph_as_a_job():
    Definitions(jobs=[foldlog.graph(name="etl")(lambda: load())])


@wrong("?", "?")
def an_asset_as_a_job():
    Definitions(jobs=[orders])


@wrong("?", "?")
def a_check_that_is_an_asset_check_spec():
    Definitions(assets=[orders], asset_checks=[AssetCheckSpec(name="x", asset="orders")])


@wrong("?", "?")
def two_jobs_of_one_name():
    Definitions(assets=[orders], jobs=[define_asset_job("all"), job(name="all")(lambda: load())])


@wrong("?", "?")
def resources_as_a_list():
    Definitions(resources=[1])


@wrong("?", "?")
def a_job_that_is_not_there():
    Definitions(assets=[orders], jobs=[define_asset_job("nightly")]).get_job("nigthly")


@wrong("?", "?")
def an_asset_job_with_a_bad_name():
    define_asset_job("all assets")


@wrong("?", "?")
def a_selection_of_nothing():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", "group:raw")])


@wrong("?", "?")
def a_selection_of_what_is_not_there():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", "order")])


@wrong("?", "?")
def an_empty_selection():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", [])])


@wrong("?", "?")
def a_selection_that_is_a_number():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", 3)])


@wrong("?", "?")
def a_selection_without_assets():
    Definitions(jobs=[define_asset_job("all")])


@wrong("?", "?")
def a_selection_of_an_asset_that_is_elsewhere():
    Definitions(assets=[orders], jobs=[define_asset_job("all", [report])])


@wrong("?", "?")
def a_selection_of_what_is_only_declared():
    Definitions(assets=[orders, AssetSpec(key="raw")], jobs=[define_asset_job("all", "raw")])


@wrong("?", "?")
def nothing_to_make():
    materialize([])


@wrong("?", "?")
def one_asset_to_make():
    materialize(orders)


# -- resources ----------------------------------------------------------------------------------------------------


@op(required_resource_keys={"warehouse"})
def count(warehouse): ...


@wrong("?", "?")
def a_missing_resource_of_an_op():
    Definitions(jobs=[job(name="etl")(lambda: count())], resources={"warehose": 1})


@wrong("?", "?")
def a_missing_resource_of_an_asset():
    Definitions(assets=[asset(required_resource_keys={"warehouse"})(orders.op.fn)], resources={"ware": 1})


@wrong("?", "?")
def a_missing_io_manager_of_an_op():
    @op(out=foldlog.Out(io_manager_key="files"))
    def load(): ...

    Definitions(jobs=[job(name="etl")(lambda: load())], resources={"file": 1})


@wrong("?", "?")
def a_missing_io_manager_of_an_asset():
    Definitions(assets=[asset(io_manager_key="files")(orders.op.fn)])


@wrong("?", "?")
def a_missing_input_manager():
    @op(ins={"rows": foldlog.In(int, input_manager_key="files")})
    def clean(rows): ...

    Definitions(jobs=[job(name="etl")(lambda: clean(load()))])


@wrong("?", "?")
def a_missing_resource_of_a_hook():
    @foldlog.failure_hook(required_resource_keys={"mail"})
    def tell(context): ...

    Definitions(jobs=[job(name="etl", hooks={tell})(lambda: load())])


@wrong("?", "?")
def a_missing_resource_of_a_resource():
    @resource(required_resource_keys={"vault"})
    def warehouse(vault): ...

    Definitions(jobs=[job(name="etl")(lambda: count())], resources={"warehouse": warehouse})


@wrong("?", "?")
def a_missing_resource_of_a_resource_nobody_uses():
    @resource(required_resource_keys={"vault"})
    def warehouse(vault): ...

    Definitions(assets=[orders], resources={"warehouse": warehouse})


@wrong("?", "?")
def resources_in_a_circle():
    def needs(key: str) -> Any:
        @resource(required_resource_keys={key})
        def one(): ...

        return one

    around = {"a": needs("b"), "b": needs("c"), "c": needs("a"), "warehouse": needs("a")}
    Definitions(jobs=[job(name="etl")(lambda: count())], resources=around)


@pytest.mark.parametrize("name", wrong.rows)
def test_it_is_refused_in_these_words(name: str) -> None:
    wrong.check(name)
