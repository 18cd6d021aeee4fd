"""What assets, multi-assets and checks are made of, and the job that makes some of them."""

from __future__ import annotations

from typing import Any

import pytest

import foldlog
from foldlog import (
    AssetCheckSpec,
    AssetDep,
    AssetIn,
    AssetKey,
    AssetOut,
    AssetSpec,
    Config,
    Definitions,
    RetryPolicy,
    asset,
    asset_check,
    define_asset_job,
    failure_hook,
    job,
    multi_asset,
    op,
)
from foldlog.engine.definitions.asset_graph import AssetGraph
from foldlog.engine.definitions.assets import AssetsDefinition
from foldlog.engine.definitions.partitions import (
    AllPartitionMapping,
    DailyPartitionsDefinition,
    IdentityPartitionMapping,
    StaticPartitionsDefinition,
    TimeWindowPartitionMapping,
)
from foldlog.engine.definitions.steps import AssetSource, StepOutputSource

DAILY = DailyPartitionsDefinition("2026-01-01")


class Limit(Config):
    limit: int = 10


def texts(keys: Any) -> list[str]:
    return [key.to_text() for key in keys]


def upstream(definition: AssetsDefinition) -> list[str]:
    return texts(definition.upstream_of(definition.key))


# -- one asset ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key", "node"),
    [
        ({}, "orders", "orders"),
        ({"name": "sales"}, "sales", "sales"),
        ({"key_prefix": "raw"}, "raw/orders", "raw__orders"),
        ({"key_prefix": ["raw", "eu"], "name": "sales"}, "raw/eu/sales", "raw__eu__sales"),
        ({"key": "raw/sales"}, "raw/sales", "raw__sales"),
        ({"key": ["raw", "sales-2026"]}, "raw/sales-2026", "raw__sales_2026_9e504eee"),
        ({"key": AssetKey(["2026", "x"])}, "2026/x", "_2026__x"),
    ],
)
def test_what_it_is_called(options: dict[str, Any], key: str, node: str) -> None:
    def orders(): ...

    made = asset(**options)(orders)
    assert (made.key.to_text(), made.node_name) == (key, node)


def test_parameters_are_the_assets_that_it_is_made_of() -> None:
    @asset(
        key_prefix="mart",
        ins={"users": AssetIn(key="raw/users"), "days": AssetIn(key_prefix="raw"), "more": AssetIn(metadata={"a": 1})},
        deps=["raw/rates", AssetSpec(key="notes"), AssetDep(key="orders"), ["a", "b"]],
        required_resource_keys={"warehouse"},
    )
    def report(context, config: Limit, warehouse, orders: list, users: dict, days, more): ...

    assert upstream(report) == [
        "mart/orders",
        "raw/users",
        "raw/days",
        "mart/more",
        "raw/rates",
        "notes",
        "orders",
        "a/b",
    ]
    assert report.op.ins["orders"].annotation is list
    assert report.op.ins["more"].metadata == {"a": 1}
    assert report.op.ins["after_raw__rates"].is_nothing
    assert report.op.config_type is Limit


def test_a_dep_that_is_a_parameter_too_is_one_dependency() -> None:
    @asset(deps=["orders", "orders", "users"])
    def report(orders): ...

    assert upstream(report) == ["orders", "users"]


def test_a_definition_may_be_named_for_its_key() -> None:
    @asset(key="raw/orders")
    def orders(): ...

    @asset(deps=[orders], ins={"rows": AssetIn(key=orders)})
    def report(rows): ...

    assert upstream(report) == ["raw/orders"]


def test_all_that_is_said_of_it_is_kept() -> None:
    @failure_hook
    def tell(context): ...

    @asset(
        group_name="sales",
        code_version="2",
        tags={"team": "growth"},
        metadata={"owner": "Ada"},
        io_manager_key="files",
        retry_policy=RetryPolicy(max_retries=2),
        hooks={tell},
        output_required=False,
        pool="db",
        partitions_def=DAILY,
        check_specs=[AssetCheckSpec(name="positive", asset="orders", blocking=True)],
    )
    def orders() -> int:
        """Orders of a day.

        More of it.
        """
        return 1

    spec = orders.specs[orders.key]
    assert (spec.group_name, spec.code_version, spec.tags, spec.metadata) == (
        "sales",
        "2",
        {"team": "growth"},
        {"owner": "Ada"},
    )
    assert spec.description == "Orders of a day."
    assert spec.skippable
    assert spec.partitions_def == DAILY
    out = orders.op.outs["result"]
    assert (out.io_manager_key, out.is_required, out.annotation, out.code_version) == ("files", False, int, "2")
    assert (orders.op.retry_policy, orders.op.hooks, orders.op.pool) == (RetryPolicy(max_retries=2), {tell}, "db")
    assert [(str(key), one.blocking) for key, one in orders.checks.items()] == [("orders:positive", True)]


def test_called_outside_of_a_graph_it_is_its_function() -> None:
    @asset
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8


def test_an_asset_may_be_made_of_another_partition_of_itself() -> None:
    earlier = TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)

    @asset(partitions_def=DAILY, ins={"balance": AssetIn(partition_mapping=earlier)})
    def balance(balance: int) -> int:
        return balance

    graph = Definitions(assets=[balance]).asset_graph
    assert graph.upstream == {AssetKey("balance"): ()}
    assert graph.mapping(balance, balance.key) == earlier


# -- several --------------------------------------------------------------------------------------------------------


def test_outs_are_assets_that_depend_on_every_input_or_as_it_is_said() -> None:
    @multi_asset(
        outs={"left": AssetOut(key_prefix="mart"), "right": AssetOut(key="other/right", is_required=False)},
        internal_asset_deps={"right": ["mart/left", "users"]},
        deps=["rates"],
        group_name="mart",
    )
    def both(orders, users): ...

    assert texts(both.keys) == ["mart/left", "other/right"]
    assert texts(both.upstream_of(AssetKey(["mart", "left"]))) == ["orders", "users", "rates"]
    assert texts(both.upstream_of(AssetKey(["other", "right"]))) == ["mart/left", "users"]
    assert {name: out.is_required for name, out in both.op.outs.items()} == {"left": True, "right": False}
    assert {spec.group_name for spec in both.specs.values()} == {"mart"}


def test_specs_are_assets_that_the_function_keeps_itself() -> None:
    @multi_asset(specs=[AssetSpec(key="raw/a", deps=["source"]), AssetSpec(key="b", skippable=True)], name="copy")
    def anything(): ...

    assert anything.node_name == "copy"
    assert texts(anything.keys) == ["raw/a", "b"]
    assert texts(anything.upstream_of(AssetKey(["raw", "a"]))) == ["source"]
    assert all(out.is_nothing for out in anything.op.outs.values())
    assert texts(anything.inputs.values()) == ["source"]


def test_partitions_of_several_are_those_of_the_decorator_or_of_all_specs() -> None:
    stated = multi_asset(outs={"a": AssetOut(), "b": AssetOut()}, partitions_def=DAILY)(nothing_at_all)
    shared = multi_asset(specs=[AssetSpec(key=one, partitions_def=DAILY) for one in "ab"])(nothing_at_all)
    for one in (stated, shared):
        assert one.partitions_def == DAILY
        assert {spec.partitions_def for spec in one.specs.values()} == {DAILY}


def nothing_at_all(): ...


# -- checks ---------------------------------------------------------------------------------------------------------


def test_a_check_is_given_its_asset_by_any_name_or_comes_after_it() -> None:
    @asset_check(asset="raw/orders")
    def one(rows): ...

    @asset_check(asset="raw/orders", name="two", blocking=True, additional_deps=["rates"], description="Second.")
    def other(): ...

    @asset_check(asset="raw/orders", additional_ins={"users": AssetIn(key="raw/users")})
    def three(orders, users): ...

    assert {str(key): texts(one.inputs.values()) for one in (one, other, three) for key in one.checks} == {
        "raw/orders:one": ["raw/orders"],
        "raw/orders:two": ["rates", "raw/orders"],
        "raw/orders:three": ["raw/orders", "raw/users"],
    }
    (spec,) = other.checks.values()
    assert (spec.blocking, spec.description) == (True, "Second.")
    assert other.node_name == "raw__orders__two"
    assert other.op.outs == {}


# -- all together ---------------------------------------------------------------------------------------------------


@asset
def raw() -> int:
    return 1


@asset
def clean(raw: int) -> int:
    return raw


@asset(deps=[clean], group_name="mart")
def report(outside) -> None: ...


@asset_check(asset=clean, blocking=True)
def positive(): ...


@asset_check(asset=report)
def fresh(): ...


GRAPH = AssetGraph.of([report, clean, raw, AssetSpec(key="outside")], [positive, fresh])


def sources(name: str, selection: Any = "*", **options: Any) -> dict[str, str]:
    found = {}
    for given in GRAPH.job("all", selection, **options).steps[name].inputs:
        match given.source:
            case StepOutputSource(key, output):
                found[given.name] = f"{key}.{output}"
            case AssetSource(key):
                found[given.name] = f"asset {key}"
    return found


def test_what_is_selected_is_wired_and_the_rest_is_loaded() -> None:
    assert sources("clean") == {"raw": "raw.result"}
    assert sources("clean", "clean") == {"raw": "asset raw"}
    assert sources("report") == {"outside": "asset outside", "after_clean": "clean.result"}
    assert sources("clean__positive", "clean") == {"after_clean": "clean.result"}


def test_behind_a_blocking_check_comes_what_is_made_of_its_asset() -> None:
    steps = GRAPH.job("all").steps
    assert list(steps) == ["raw", "clean", "clean__positive", "report", "report__fresh"]
    assert steps["report"].after == ("clean__positive",)
    assert steps["report__fresh"].after == ()


def test_checks_come_with_their_assets_or_as_they_are_named() -> None:
    assert list(GRAPH.job("all", "raw").steps) == ["raw"]
    assert list(GRAPH.job("all", "clean", checks=[]).steps) == ["clean"]
    assert list(GRAPH.job("all", [], checks=[*positive.checks]).steps) == ["clean__positive"]


def test_a_part_of_what_can_be_made_in_parts() -> None:
    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()}, can_subset=True)
    def both(): ...

    (step,) = AssetGraph.of([both]).job("some", "b").steps.values()
    making = step.node.making
    assert making is not None
    assert (texts(making.asset_keys), making.is_subset) == (["b"], True)
    assert making.key_of_output("a") is None
    assert not making.wanted("a", both.op.outs["a"])


def test_partition_mappings_are_stated_or_the_obvious_ones() -> None:
    regions = StaticPartitionsDefinition(["eu", "us"])

    @asset(partitions_def=regions)
    def sales(): ...

    @asset(partitions_def=regions)
    def margins(sales): ...

    @asset
    def total(sales): ...

    @asset(partitions_def=regions, deps=[AssetDep(key=sales, partition_mapping=AllPartitionMapping())])
    def shares(raw): ...

    graph = AssetGraph.of([sales, margins, total, shares, raw])
    assert graph.mapping(margins, sales.key) == IdentityPartitionMapping()
    assert graph.mapping(total, sales.key) == AllPartitionMapping()
    assert graph.mapping(shares, sales.key) == AllPartitionMapping()
    assert graph.mapping(shares, raw.key) is None
    assert graph.job("one", "sales").partitions_def == regions
    assert graph.job("none", "raw").partitions_def is None
    assert graph.job("mixed", "*").partitions_def == regions  # those without are made with any of them


def test_definitions_give_their_resources_to_jobs_that_have_none_of_that_key() -> None:
    @op(required_resource_keys={"warehouse", "mail"})
    def load(): ...

    @job(resource_defs={"mail": "the job's own"})
    def etl():
        load()

    made = Definitions(
        assets=[raw, clean],
        jobs=[etl, define_asset_job("nightly", "*clean", tags={"team": "growth"}, description="All.")],
        resources={"warehouse": 1, "mail": 2},
    )
    assert list(made.jobs) == ["etl", "nightly"]
    assert {key: one.fn() for key, one in made.get_job("etl").resource_defs.items()} == {
        "warehouse": 1,
        "mail": "the job's own",
    }
    nightly = made.get_job("nightly")
    assert (texts(nightly.asset_keys), nightly.tags, nightly.description) == (
        ["raw", "clean"],
        {"team": "growth"},
        "All.",
    )
    assert repr(made) == "<Definitions 2 jobs, 2 assets>"
    assert not made.is_empty
    assert Definitions().is_empty


def test_a_chain_of_thousands_of_assets_is_checked_without_recursion() -> None:
    def made(number: int) -> AssetsDefinition:
        return asset(name=f"a{number}", deps=[f"a{number - 1}"] if number else ())(nothing_at_all)

    chain = [made(number) for number in reversed(range(2_000))]
    assert list(Definitions(assets=chain).asset_job().steps) == [f"a{number}" for number in range(2_000)]
    with pytest.raises(
        foldlog.UsageError, match=r"in a circle: a1999 -> a0 -> .* -> \(1989 more\) -> .* -> a1998 -> a1999"
    ):
        Definitions(assets=[*chain[:-1], asset(name="a0", deps=["a1999"])(nothing_at_all)])
