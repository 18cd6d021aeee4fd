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


@wrong(
    "asset raw/orders: both key and name or key_prefix are given",
    "Give the key, or the others.",
)
def a_key_and_a_name():
    asset(key="raw/orders", name="orders")(orders.op.fn)


@wrong(
    "an asset key is one or more non-empty texts, not 3",
    "Name an asset by its key, as 'raw/orders' or ['raw', 'orders'], or by its definition.",
)
def a_key_that_is_a_number():
    asset(key=3)(orders.op.fn)


@wrong(
    "an asset key is one or more non-empty texts, not ('raw', '', 'orders')",
    "Name an asset by its key, as 'raw/orders' or ['raw', 'orders'], or by its definition.",
)
def a_key_with_an_empty_part():
    asset(key="raw//orders")(orders.op.fn)


@wrong(
    "an asset key is one or more non-empty texts, not ('',)",
    "Name an asset by its key, as 'raw/orders' or ['raw', 'orders'], or by its definition.",
)
def a_name_that_is_empty():
    asset(name="")(orders.op.fn)


@wrong(
    "orders: key_prefix=3 is no text",
    "Write key_prefix='raw', or ['raw', 'eu'].",
)
def a_prefix_that_is_a_number():
    asset(key_prefix=3)(orders.op.fn)


@wrong(
    "asset: it is made of a lambda, which has no name of its own",
    "Write a def, or say name='...'.",
)
def an_asset_of_a_lambda():
    asset(lambda: 1)


@wrong(
    "asset: it is made of a partial, which has no name of its own",
    "Write a def, or say name='...'.",
)
def an_asset_of_a_partial():
    asset(functools.partial(orders.op.fn))


@wrong(
    "asset: 'orders' is no function",
    "Write @asset above a def.",
)
def an_asset_of_a_text():
    asset("orders")


@wrong(
    "multi_asset: 'orders' is no function",
    "Write @multi_asset above a def.",
)
def a_multi_asset_of_a_text():
    multi_asset(outs={"a": AssetOut()})("orders")


@wrong(
    "asset_check: 'orders' is no function",
    "Write @asset_check above a def.",
)
def a_check_of_a_text():
    asset_check(asset="orders")("orders")


@wrong(
    "asset orders is async",
    "Write a plain def; call asyncio.run() inside of it.",
)
def an_async_asset():
    @asset
    async def orders(): ...


@wrong(
    "asset orders: the parameter *rows has no name to bind to",
    "Name each input.",
)
def an_asset_of_star_args():
    @asset
    def orders(*rows): ...


@wrong(
    "the asset orders is made twice, by test_wrong_assets.orders and test_wrong_assets.other",
    "Give one another key.",
)
def an_asset_made_twice():
    @asset(name="orders")
    def other(): ...

    Definitions(assets=[orders, other])


@wrong(
    "the asset orders is made by test_wrong_assets.orders, and declared by an AssetSpec as made elsewhere",
    "Take the AssetSpec away, or give one another key.",
)
def an_asset_made_and_declared():
    Definitions(assets=[orders, AssetSpec(key="orders")])


@wrong(
    "the asset orders is declared twice",
    "Take one AssetSpec away.",
)
def an_asset_declared_twice():
    Definitions(assets=[AssetSpec(key="orders"), AssetSpec(key="orders")])


@wrong(
    "two nodes are called 'load': load and load",
    "Give one another key or name.",
)
def two_of_several_assets_with_one_node():
    def made(*keys: str) -> Any:
        return multi_asset(specs=[AssetSpec(key=key) for key in keys])(load.fn)

    Definitions(assets=[made("a", "b"), made("c", "d")])


# -- dependencies -------------------------------------------------------------------------------------------------


@wrong(
    "asset load: deps='orders' is no list of assets",
    "Write deps=['orders'].",
)
def deps_as_one_text():
    asset(deps="orders")(load.fn)


@wrong(
    "asset load: deps=asset orders is no list of assets",
    "Write deps=['orders'].",
)
def deps_as_one_asset():
    asset(deps=orders)(load.fn)


@wrong(
    "asset report: deps='orders' is no list of assets",
    "Write deps=['orders'].",
)
def deps_of_a_spec_as_one_text():
    AssetSpec(key="report", deps="orders")


@wrong(
    "op 'load' is no asset",
    "Name an asset by its key, as 'raw/orders' or ['raw', 'orders'], or by its definition.",
)
def deps_that_are_functions():
    asset(deps=[load])(load.fn)


@wrong(
    "AssetDep of orders: partition_mapping='all' is no partition mapping",
    "Write AllPartitionMapping(), TimeWindowPartitionMapping(start_offset=-1, end_offset=-1) or another.",
)
def a_mapping_that_is_none():
    AssetDep(key="orders", partition_mapping="all")


@wrong(
    "AssetIn: partition_mapping='all' is no partition mapping",
    "Write AllPartitionMapping(), TimeWindowPartitionMapping(start_offset=-1, end_offset=-1) or another.",
)
def a_mapping_of_an_input_that_is_none():
    AssetIn(partition_mapping="all")


@wrong(
    "asset report: ins has 'order', and the function has no such parameter (it has: orders)",
    "Correct the name, or name the asset in deps.",
)
def ins_of_no_parameter():
    asset(ins={"order": AssetIn()})(report.op.fn)


@wrong(
    "asset report: ins['orders'] is 'raw/orders', and no AssetIn",
    "Write ins={'orders': AssetIn(key='raw/orders')}.",
)
def ins_that_are_keys():
    asset(ins={"orders": "raw/orders"})(report.op.fn)


@wrong(
    "asset report: ins=['orders'] is no mapping",
    "Write ins={'orders': AssetIn(key='raw/orders')}.",
)
def ins_as_a_list():
    asset(ins=["orders"])(report.op.fn)


@wrong(
    "asset report: ins['orders'] is an In, and no AssetIn",
    "Write ins={'orders': AssetIn(key='raw/orders')}.",
)
def ins_of_an_op():
    asset(ins={"orders": foldlog.In(int)})(report.op.fn)


@wrong(
    "asset orders depends on itself: orders -> orders",
    "Take the dependency away.",
)
def an_asset_of_itself():
    @asset
    def orders(orders): ...


@wrong(
    "asset orders depends on itself: orders -> orders",
    "Take the dependency away.",
)
def a_dep_on_itself():
    @asset(deps=["orders"])
    def orders(): ...


@wrong(
    "asset orders depends on itself: orders -> orders, the same partition of it",
    "State the other partition: partition_mapping=TimeWindowPartitionMapping(start_offset=-1, end_offset=-1).",
)
def a_partition_of_itself():
    @asset(partitions_def=DAILY)
    def orders(orders): ...

    Definitions(assets=[orders])


@wrong(
    "assets depend on each other in a circle: a -> b -> c -> a",
    "Take one of these dependencies away.",
)
def assets_in_a_circle():
    @asset
    def a(c): ...

    @asset
    def b(a): ...

    @asset
    def c(b): ...

    Definitions(assets=[a, b, c])


@wrong(
    "job '__ASSET_JOB': steps wait for each other in a circle: both -> b -> both",
    "Take one of these dependencies away.",
)
def nodes_in_a_circle():
    @multi_asset(outs={"a": AssetOut(), "c": AssetOut()}, internal_asset_deps={"a": [], "c": ["b"]})
    def both(b): ...

    @asset
    def b(a): ...

    Definitions(assets=[both, b]).asset_job()


# -- what is said of an asset ---------------------------------------------------------------------------------------


@wrong(
    "asset orders: group 'raw/eu': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give the group another name.",
)
def a_group_with_a_slash():
    asset(group_name="raw/eu")(orders.op.fn)


@wrong(
    "asset orders: the tag 'priority': 1 is not text to text",
    "Write both as text.",
)
def tags_that_are_no_text():
    asset(tags={"priority": 1})(orders.op.fn)


@wrong(
    "asset orders: metadata['source']['by'][1]: set {2} is no metadata value",
    "Change the value at that path; times are integer microseconds, keys are text.",
)
def metadata_that_cannot_be_kept():
    asset(metadata={"source": {"by": [1, {2}]}})(orders.op.fn)


@wrong(
    "asset orders: metadata=['a'] is no mapping",
    "Write metadata={'owner': 'growth'}.",
)
def metadata_as_a_list():
    asset(metadata=["a"])(orders.op.fn)


@wrong(
    "asset raw/orders: metadata['by']: type <class 'object'> is no metadata value",
    "Change the value at that path; times are integer microseconds, keys are text.",
)
def metadata_of_a_spec_that_cannot_be_kept():
    AssetSpec(key="raw/orders", metadata={"by": object})


@wrong(
    "asset orders: io_manager_key <InMemoryIOManager, 0 values>: a name is 1 to 100 letters, digits and '_', "
    "no digit at its start",
    "Write the key of a resource.",
)
def an_io_manager_that_is_an_object():
    asset(io_manager_key=foldlog.InMemoryIOManager())(orders.op.fn)


@wrong(
    "asset 'orders': retry_policy=3 is no RetryPolicy",
    "Write RetryPolicy(max_retries=3).",
)
def a_retry_policy_as_a_number():
    asset(retry_policy=3)(orders.op.fn)


@wrong(
    "asset orders: code_version=3 is no text",
    "Write code_version='...'.",
)
def a_version_that_is_no_text():
    asset(code_version=3)(orders.op.fn)


@wrong(
    "asset orders: required_resource_keys='warehouse' is no set of names",
    "Write required_resource_keys={'name'}.",
)
def required_resources_as_a_text():
    asset(required_resource_keys="warehouse")(orders.op.fn)


# -- partitions ---------------------------------------------------------------------------------------------------


@wrong(
    "asset orders: partitions_def=['eu', 'us'] defines no partitions",
    "Write DailyPartitionsDefinition('2026-01-01'), StaticPartitionsDefinition(['eu', 'us']) or another.",
)
def partitions_as_a_list():
    asset(partitions_def=["eu", "us"])(orders.op.fn)


@wrong(
    "asset a: partitions_def=['eu'] defines no partitions",
    "Write DailyPartitionsDefinition('2026-01-01'), StaticPartitionsDefinition(['eu', 'us']) or another.",
)
def partitions_of_several_as_a_list():
    multi_asset(outs={"a": AssetOut()}, partitions_def=["eu"])(load.fn)


@wrong(
    "job 'all': sales is partitioned by daily partitions from 2026-01-01, UTC, regions by static partitions eu, us",
    "A run is of one partition: make them by jobs of their own.",
)
def a_job_that_mixes_partitions():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(partitions_def=REGIONS)
    def regions(): ...

    Definitions(assets=[sales, regions], jobs=[define_asset_job("all")])


@wrong(
    "asset regions, made of sales: no partition mapping is clear from static partitions eu, us downstream to "
    "daily partitions from 2026-01-01, UTC upstream",
    "Give partition_mapping=, one of AllPartitionMapping(), LastPartitionMapping(), "
    "SpecificPartitionsPartitionMapping([...]).",
)
def a_mapping_that_is_not_clear():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(partitions_def=REGIONS)
    def regions(sales): ...

    Definitions(assets=[sales, regions])


@wrong(
    "asset total, made of sales: IdentityPartitionMapping: downstream is not partitioned, and has no keys",
    "Give AllPartitionMapping(), say.",
)
def a_mapping_that_does_not_fit():
    @asset(partitions_def=DAILY)
    def sales(): ...

    @asset(deps=[AssetDep(key="sales", partition_mapping=IdentityPartitionMapping())])
    def total(): ...

    Definitions(assets=[sales, total])


@wrong(
    "multi_asset 'both': its assets have different partitions",
    "Make those with other partitions elsewhere.",
)
def specs_with_other_partitions():
    @multi_asset(specs=[AssetSpec(key="a", partitions_def=DAILY), AssetSpec(key="b", partitions_def=REGIONS)])
    def both(): ...


@wrong(
    "job 'all': the job is partitioned by weekly partitions from 2026-01-01, UTC, sales by daily partitions "
    "from 2026-01-01, UTC",
    "A run is of one partition: make them by jobs of their own.",
)
def a_job_with_other_partitions_than_its_assets():
    @asset(partitions_def=DAILY)
    def sales(): ...

    Definitions(assets=[sales], jobs=[define_asset_job("all", partitions_def=WeeklyPartitionsDefinition("2026-01-01"))])


@wrong(
    "job 'all': partitions_def='daily' defines no partitions",
    "Write DailyPartitionsDefinition('2026-01-01'), StaticPartitionsDefinition(['eu', 'us']) or another.",
)
def an_asset_job_with_partitions_as_text():
    Definitions(assets=[orders], jobs=[define_asset_job("all", partitions_def="daily")])


@wrong(
    "the assets' own job is partitioned by static partitions eu, us, and no partition was given",
    "Give one: partition_key='...', or --partition.",
)
def a_run_without_a_partition():
    materialize([asset(partitions_def=REGIONS)(orders.op.fn)])


@wrong(
    "the assets' own job: no partition 'uk'; it has 2, from 'eu' to 'us'",
    "Give a key that its partitions have.",
)
def a_run_of_an_unknown_partition():
    materialize([asset(partitions_def=REGIONS)(orders.op.fn)], partition_key="uk")


@wrong(
    "the assets' own job has no partitions; partition_key='eu' was given",
    "Leave it out.",
)
def a_partition_of_what_has_none():
    materialize([orders], partition_key="eu")


# -- several assets -------------------------------------------------------------------------------------------------


@wrong(
    "multi_asset takes specs or outs, one of them",
    "Write outs={'a': AssetOut(), 'b': AssetOut()}.",
)
def several_without_outs():
    multi_asset()(load.fn)


@wrong(
    "multi_asset takes specs or outs, one of them",
    "Write outs={'a': AssetOut(), 'b': AssetOut()}.",
)
def several_with_specs_and_outs():
    multi_asset(specs=[AssetSpec(key="a")], outs={"a": AssetOut()})(load.fn)


@wrong(
    "multi_asset 'load' makes no asset",
    "Name at least one.",
)
def several_that_are_none():
    multi_asset(outs={})(load.fn)


@wrong(
    "multi_asset 'load': outs['a'] is an Out, and no AssetOut",
    "Write outs={'a': AssetOut()}.",
)
def outs_that_are_outs_of_ops():
    multi_asset(outs={"a": foldlog.Out()})(load.fn)


@wrong(
    "multi_asset 'load': outs=['a', 'b'] is no mapping",
    "Write outs={'a': AssetOut(), 'b': AssetOut()}.",
)
def outs_as_a_list():
    multi_asset(outs=["a", "b"])(load.fn)


@wrong(
    "multi_asset 'load': specs holds 'a', which is no AssetSpec",
    "Write AssetSpec(key='a').",
)
def specs_that_are_texts():
    multi_asset(specs=["a", "b"])(load.fn)


@wrong(
    "multi_asset 'load': specs=an AssetSpec is no list",
    "Write specs=[AssetSpec(key='a'), AssetSpec(key='b')].",
)
def one_spec():
    multi_asset(specs=AssetSpec(key="a"))(load.fn)


@wrong(
    "multi_asset 'load' makes a twice",
    "Give each a key of its own.",
)
def two_specs_of_one_key():
    multi_asset(specs=[AssetSpec(key="a"), AssetSpec(key="a")])(load.fn)


@wrong(
    "multi_asset 'load' makes x twice",
    "Give each a key of its own.",
)
def two_outs_of_one_key():
    multi_asset(outs={"a": AssetOut(key="x"), "b": AssetOut(key="x")})(load.fn)


@wrong(
    "multi_asset 'load': internal_asset_deps has 'b', which is no output",
    "Its outputs are a.",
)
def deps_of_an_output_that_is_not_there():
    multi_asset(outs={"a": AssetOut()}, internal_asset_deps={"b": ["a"]})(load.fn)


@wrong(
    "job 'some': both makes a, b together, and b is not selected",
    "Select all of them, or declare it with can_subset=True.",
)
def a_part_of_what_is_made_together():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    Definitions(assets=[both], jobs=[define_asset_job("some", "a")])


@wrong(
    "both makes a, b, and one was meant",
    "Name it by its key, as 'raw/orders'.",
)
def the_key_of_several():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    both.key  # noqa: B018


# -- checks -------------------------------------------------------------------------------------------------------


@wrong(
    "the check order:no_nulls is of order, which is not there; did you mean 'orders'?",
    "Correct the key, or add the asset.",
)
def a_check_of_an_unknown_asset():
    @asset_check(asset="order")
    def no_nulls(): ...

    Definitions(assets=[orders], asset_checks=[no_nulls])


@wrong(
    "both makes a, b, and one was meant",
    "Name it by its key, as 'raw/orders'.",
)
def a_check_of_several_assets():
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()})
    def both(): ...

    @asset_check(asset=both)
    def no_nulls(): ...


@wrong(
    "asset_check orders:no_nulls: its function takes orders, users; one of them is orders",
    "Say which assets the others are, with additional_ins={'rows': AssetIn(key='raw/rows')}.",
)
def a_check_of_two_parameters():
    @asset_check(asset="orders")
    def no_nulls(orders, users): ...


@wrong(
    "the check orders:no_nulls is there twice",
    "Give one another name.",
)
def two_checks_of_one_name():
    @asset_check(asset=orders)
    def no_nulls(): ...

    @asset_check(asset=orders, name="no_nulls")
    def other(): ...

    Definitions(assets=[orders], asset_checks=[no_nulls, other])


@wrong(
    "asset orders: the check 'no_nulls' is of users, which it does not make",
    "Use @asset_check.",
)
def a_check_spec_of_another_asset():
    asset(check_specs=[AssetCheckSpec(name="no_nulls", asset="users")])(orders.op.fn)


@wrong(
    "asset orders has two checks called 'no_nulls'",
    "Give one another name.",
)
def two_check_specs_of_one_name():
    asset(check_specs=[AssetCheckSpec(name="no_nulls", asset="orders")] * 2, name="orders")(orders.op.fn)


@wrong(
    "asset orders: check_specs holds 'no_nulls', which is no AssetCheckSpec",
    "Write AssetCheckSpec(name='no_nulls', asset='orders').",
)
def check_specs_that_are_texts():
    asset(check_specs=["no_nulls"])(orders.op.fn)


@wrong(
    "asset_check 'no nulls': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_check_with_a_bad_name():
    asset_check(asset="orders", name="no nulls")(load.fn)


@wrong(
    "asset check 'no nulls': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_check_spec_with_a_bad_name():
    AssetCheckSpec(name="no nulls", asset="orders")


@wrong(
    "asset check orders:load: metadata['by']: set {1} is no metadata value",
    "Change the value at that path; times are integer microseconds, keys are text.",
)
def metadata_of_a_check_that_cannot_be_kept():
    asset_check(asset="orders", metadata={"by": {1}})(load.fn)


@wrong(
    "asset_check orders:load: ins has 'users', and the function has no such parameter (it has: none)",
    "Correct the name, or name the asset in deps.",
)
def ins_of_a_check_of_no_parameter():
    asset_check(asset="orders", additional_ins={"users": AssetIn()})(load.fn)


@wrong(
    "AssetCheckResult: passed='yes' is not True or False",
    "Say which.",
)
def a_result_that_is_text():
    foldlog.AssetCheckResult(passed="yes")


@wrong(
    "AssetCheckResult: severity='warn' is not ERROR or WARN",
    "Write one of them.",
)
def a_severity_that_is_not_there():
    foldlog.AssetCheckResult(passed=True, severity="warn")


# -- all together ---------------------------------------------------------------------------------------------------


@wrong(
    "Definitions: assets=asset orders is no list",
    "Write assets=[...].",
)
def one_asset_in_place_of_a_list():
    Definitions(assets=orders)


@wrong(
    "Definitions: jobs=job 'all' is no list",
    "Write jobs=[...].",
)
def one_job_in_place_of_a_list():
    Definitions(jobs=define_asset_job("all"))


@wrong(
    "Definitions: assets holds op 'load', which is no asset",
    "Make it with @asset, @multi_asset, @asset_check or AssetSpec; jobs belong into jobs=[...].",
)
def an_op_as_an_asset():
    Definitions(assets=[load])


@wrong(
    "Definitions: assets holds job 'etl', which is no asset",
    "Make it with @asset, @multi_asset, @asset_check or AssetSpec; jobs belong into jobs=[...].",
)
def a_job_as_an_asset():
    Definitions(assets=[job(name="etl")(lambda: load())])


@wrong(
    "Definitions: jobs holds op 'load', which is no job",
    "Make it with @job, graph.to_job() or define_asset_job().",
)
def an_op_as_a_job():
    Definitions(jobs=[load])


@wrong(
    "Definitions: jobs holds graph 'etl', which is no job",
    "Make it with @job, graph.to_job() or define_asset_job().",
)
def a_graph_as_a_job():
    Definitions(jobs=[foldlog.graph(name="etl")(lambda: load())])


@wrong(
    "Definitions: jobs holds asset orders, which is no job",
    "Make it with @job, graph.to_job() or define_asset_job().",
)
def an_asset_as_a_job():
    Definitions(jobs=[orders])


@wrong(
    "Definitions: assets holds an AssetCheckSpec, which is no asset",
    "Make it with @asset, @multi_asset, @asset_check or AssetSpec; jobs belong into jobs=[...].",
)
def a_check_that_is_an_asset_check_spec():
    Definitions(assets=[orders], asset_checks=[AssetCheckSpec(name="x", asset="orders")])


@wrong(
    "Definitions: two jobs are called 'all'",
    "Give one another name.",
)
def two_jobs_of_one_name():
    Definitions(assets=[orders], jobs=[define_asset_job("all"), job(name="all")(lambda: load())])


@wrong(
    "Definitions: resources=[1] is no mapping",
    "Write {'warehouse': warehouse}.",
)
def resources_as_a_list():
    Definitions(resources=[1])


@wrong(
    "there is no job 'nigthly'; did you mean 'nightly'? (there are: nightly)",
    "`foldlog job list` lists them.",
)
def a_job_that_is_not_there():
    Definitions(assets=[orders], jobs=[define_asset_job("nightly")]).get_job("nigthly")


@wrong(
    "job 'all assets': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def an_asset_job_with_a_bad_name():
    define_asset_job("all assets")


@wrong(
    "the selection 'group:raw' selects no asset; nothing has the group 'raw'",
    "There are orders; `*` selects all. `foldlog asset list` lists them.",
)
def a_selection_of_nothing():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", "group:raw")])


@wrong(
    "there is no asset 'order'; did you mean 'orders'?",
    "There are orders; `*` selects all. `foldlog asset list` lists them.",
)
def a_selection_of_what_is_not_there():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", "order")])


@wrong(
    "the selection is an empty list, which selects nothing",
    "There are orders; `*` selects all. `foldlog asset list` lists them.",
)
def an_empty_selection():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", [])])


@wrong(
    "selection=3 selects no assets",
    "Write '*', 'raw/orders+', or a list of assets.",
)
def a_selection_that_is_a_number():
    Definitions(assets=[orders], jobs=[define_asset_job("raw", 3)])


@wrong(
    "the selection '*' selects no asset",
    "There is no asset at all. `foldlog asset list` lists them.",
)
def a_selection_without_assets():
    Definitions(jobs=[define_asset_job("all")])


@wrong(
    "there is no asset 'report', which 'key:\"report\"' names",
    "There are orders; `*` selects all. `foldlog asset list` lists them.",
)
def a_selection_of_an_asset_that_is_elsewhere():
    Definitions(assets=[orders], jobs=[define_asset_job("all", [report])])


@wrong(
    "job 'all': raw is made elsewhere, and no check here looks at it",
    "Select an asset that is made here, or one that has a check.",
)
def a_selection_of_what_is_only_declared():
    Definitions(assets=[orders, AssetSpec(key="raw")], jobs=[define_asset_job("all", "raw")])


@wrong(
    "the selection '*' selects no asset",
    "There is no asset at all. `foldlog asset list` lists them.",
)
def nothing_to_make():
    materialize([])


@wrong(
    "op 'load' is no asset, and no list of assets",
    "Write [orders, revenue].",
)
def an_op_to_make():
    materialize(load)  # type: ignore[arg-type]


# -- resources ----------------------------------------------------------------------------------------------------


@op(required_resource_keys={"warehouse"})
def count(warehouse): ...


@wrong(
    "job 'etl': there is no resource 'warehouse', which step count requires; did you mean 'warehose'? (there "
    "are: file_manager, io_manager, warehose)",
    "Give it, as resources={'warehouse': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_of_an_op():
    Definitions(jobs=[job(name="etl")(lambda: count())], resources={"warehose": 1})


@wrong(
    "Definitions: there is no resource 'warehouse', which asset orders requires; did you mean 'ware'? (there "
    "are: file_manager, io_manager, ware)",
    "Give it, as resources={'warehouse': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_of_an_asset():
    Definitions(assets=[asset(required_resource_keys={"warehouse"})(orders.op.fn)], resources={"ware": 1})


@wrong(
    "job 'etl': there is no resource 'files', which step load requires; did you mean 'file'? (there are: file, "
    "file_manager, io_manager)",
    "Give it, as resources={'files': ...} of the Definitions, the job, or the call.",
)
def a_missing_io_manager_of_an_op():
    @op(out=foldlog.Out(io_manager_key="files"))
    def load(): ...

    Definitions(jobs=[job(name="etl")(lambda: load())], resources={"file": 1})


@wrong(
    "Definitions: there is no resource 'files', which asset orders requires (there are: file_manager, io_manager)",
    "Give it, as resources={'files': ...} of the Definitions, the job, or the call.",
)
def a_missing_io_manager_of_an_asset():
    Definitions(assets=[asset(io_manager_key="files")(orders.op.fn)])


@wrong(
    "job 'etl': there is no resource 'files', which step clean requires (there are: file_manager, io_manager)",
    "Give it, as resources={'files': ...} of the Definitions, the job, or the call.",
)
def a_missing_input_manager():
    @op(ins={"rows": foldlog.In(int, input_manager_key="files")})
    def clean(rows): ...

    Definitions(jobs=[job(name="etl")(lambda: clean(load()))])


@wrong(
    "job 'etl': there is no resource 'mail', which hook tell of step load requires (there are: "
    "file_manager, io_manager)",
    "Give it, as resources={'mail': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_of_a_hook():
    @foldlog.failure_hook(required_resource_keys={"mail"})
    def tell(context): ...

    Definitions(jobs=[job(name="etl", hooks={tell})(lambda: load())])


@wrong(
    "job 'etl': there is no resource 'vault', which warehouse requires (there are: "
    "file_manager, io_manager, warehouse)",
    "Give it, as resources={'vault': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_of_a_resource():
    @resource(required_resource_keys={"vault"})
    def warehouse(vault): ...

    Definitions(jobs=[job(name="etl")(lambda: count())], resources={"warehouse": warehouse})


@wrong(
    "Definitions: there is no resource 'vault', which warehouse requires (there are: "
    "file_manager, io_manager, warehouse)",
    "Give it, as resources={'vault': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_of_a_resource_nobody_uses():
    @resource(required_resource_keys={"vault"})
    def warehouse(vault): ...

    Definitions(assets=[orders], resources={"warehouse": warehouse})


@wrong(
    "Definitions: there is no resource 'files', which asset report.orders requires (there are: "
    "file_manager, io_manager)",
    "Give it, as resources={'files': ...} of the Definitions, the job, or the call.",
)
def a_missing_input_manager_of_an_asset():
    asset_in = AssetIn(input_manager_key="files")
    Definitions(assets=[orders, asset(ins={"orders": asset_in})(report.op.fn)])


@wrong(
    "job 'etl': resources require each other in a circle: a -> b -> c -> a",
    "Take one requirement away.",
)
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
