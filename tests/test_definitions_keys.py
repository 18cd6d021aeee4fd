"""Keys of assets and the names made of them; what an asset is made of; which assets there are."""

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
    Definitions,
    Instance,
    MaterializeResult,
    UsageError,
    asset,
    asset_check,
    define_asset_job,
    execute_job,
    materialize,
    multi_asset,
)
from foldlog.engine.definitions.assets import AssetsDefinition
from foldlog.engine.definitions.partitions import (
    AllPartitionMapping,
    DailyPartitionsDefinition,
    LastPartitionMapping,
    TimeWindowPartitionMapping,
)

LONG = "a" * 99
EARLIER = TimeWindowPartitionMapping(start_offset=-1, end_offset=-1)


def named(key: Any, order: list[str] | None = None, **options: Any) -> AssetsDefinition:
    @asset(key=key, **options)
    def made() -> None:
        if order is not None:
            order.append(AssetKey.of(key).to_text())

    return made


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "keys",
    [
        ("raw-orders", "raw_orders", "raw.orders"),
        ("raw/orders", "raw__orders"),
        ([LONG, "one"], [LONG, "two"], [LONG, "one", "x"]),
        (["a_", "b"], ["a", "_b"]),
        ("2026", "_2026"),
    ],
    ids=str,
)
def test_keys_that_differ_have_nodes_and_dependencies_that_differ(keys: tuple[Any, ...]) -> None:
    order: list[str] = []

    @asset(deps=list(keys))
    def behind() -> None:
        order.append("behind")

    one_by_one = [named(key, order) for key in keys]
    job = Definitions(assets=[behind, *reversed(one_by_one)]).asset_job()
    assert len(job.steps) == len(keys) + 1
    assert sorted(job.steps["behind"].upstream) == sorted(set(job.steps) - {"behind"})
    execute_job(job)
    assert order[-1] == "behind"
    assert len(set(order)) == len(keys) + 1


def test_a_parameter_may_be_called_like_what_is_waited_for() -> None:
    @asset(deps=["x"])
    def made(after_x) -> None: ...

    assert {name: key.to_text() for name, key in made.inputs.items()} == {"after_x": "after_x", "after_x_2": "x"}


def test_plain_keys_keep_plain_names_whatever_is_beside_them() -> None:
    @asset
    def orders() -> int:
        return 1

    @asset_check(asset=orders)
    def ok() -> bool:
        return True

    first = named("orders/ok")
    names = [[*Definitions(assets=a, asset_checks=[ok]).asset_job().steps] for a in ([orders], [orders, first])]
    assert names[0] == ["orders", "orders__ok"]
    assert names[1][:2] == ["orders", "orders__ok"]
    (of_check,) = names[1][2:]
    assert of_check.startswith("orders__ok_")
    result = materialize([orders, first, ok])
    assert result.step_outcomes == dict.fromkeys(names[1], "SUCCESS")


def test_specs_of_one_function_may_look_alike() -> None:
    @multi_asset(specs=[AssetSpec(key="raw/a"), AssetSpec(key="raw__a"), AssetSpec(key="raw-a")])
    def both() -> Any:
        for key in ("raw/a", "raw__a", "raw-a"):
            yield MaterializeResult(asset_key=key)

    assert len(both.outputs) == 3
    assert materialize([both]).success


# -- what it is made of ----------------------------------------------------------------------------------------------


def test_a_mapping_is_taken_wherever_it_is_stated() -> None:
    daily = DailyPartitionsDefinition("2026-01-01")
    dep = AssetDep(key="up", partition_mapping=EARLIER)

    @asset(partitions_def=daily, deps=[dep])
    def of_a_parameter(up): ...

    @asset(partitions_def=daily, deps=["up", dep, "up", dep])
    def of_the_second(): ...

    @multi_asset(specs=[AssetSpec(key="a", deps=["up"]), AssetSpec(key="b", deps=[dep])], partitions_def=daily)
    def of_a_spec(): ...

    for one in (of_a_parameter, of_the_second, of_a_spec):
        assert one.mappings == {AssetKey(["up"]): EARLIER}
    assert [one.partition_mapping for one in of_the_second.specs[of_the_second.key].deps] == [EARLIER]  # type: ignore[union-attr]


def test_two_mappings_of_one_asset_are_refused() -> None:
    with pytest.raises(UsageError, match="asset down: two partition mappings are stated for up: AllPartitionMapping"):

        @asset(
            deps=[AssetDep(key="up", partition_mapping=LastPartitionMapping())],
            ins={"up": AssetIn(partition_mapping=AllPartitionMapping())},
        )
        def down(up): ...


def test_specs_that_say_nothing_are_made_of_every_input() -> None:
    @asset
    def up() -> int:
        return 1

    specs = [AssetSpec(key="a"), AssetSpec(key="b", deps=["a"], group_name="own", code_version="7")]

    @multi_asset(specs=specs, deps=["raw"], group_name="mart", code_version="1")
    def several(up): ...

    a, b = several.specs.values()
    assert [AssetDep.of(dep).key.to_text() for dep in a.deps] == ["up", "raw"]
    assert [AssetDep.of(dep).key.to_text() for dep in b.deps] == ["a", "up", "raw"]
    assert [(one.group_name, one.code_version) for one in (a, b)] == [("mart", "1"), ("own", "7")]
    assert [out.code_version for out in several.op.outs.values()] == ["1", "7"]
    graph = Definitions(assets=[up, several]).asset_graph
    assert [key.to_text() for key in graph.select("up*")] == ["up", "a", "b"]
    assert [key.to_text() for key in graph.select("roots(*)")] == ["up"]


def test_an_input_that_one_spec_states_is_no_other_s() -> None:
    @multi_asset(specs=[AssetSpec(key="a", deps=["up"]), AssetSpec(key="b", deps=["other"])])
    def several(up): ...

    assert [[AssetDep.of(dep).key.to_text() for dep in spec.deps] for spec in several.specs.values()] == [
        ["up"],
        ["other"],
    ]


def test_a_circle_through_a_parameter_of_several_is_seen() -> None:
    @multi_asset(specs=[AssetSpec(key="a")])
    def several(b): ...

    @asset
    def b(a): ...

    with pytest.raises(UsageError, match="assets depend on each other in a circle: a -> b -> a"):
        Definitions(assets=[several, b])


@pytest.mark.parametrize("given", [None, AssetIn(), AssetIn(metadata={"a": 1}), AssetIn(annotation=int)], ids=repr)
def test_a_parameter_lies_under_the_prefix_of_its_asset_whatever_else_is_said(given: AssetIn | None) -> None:
    @asset(key_prefix="raw", ins={} if given is None else {"orders": given})
    def report(orders): ...

    assert report.inputs["orders"] == AssetKey(["raw", "orders"])


# -- which there are -------------------------------------------------------------------------------------------------


def test_a_value_is_taken_only_of_what_is_known() -> None:
    @asset
    def orders() -> int:
        return 1

    @asset
    def mail(ordres): ...

    @asset(ins={"rows": AssetIn(key="raw/orders")})
    def other(rows): ...

    @asset(deps=["nowhere"])
    def waits() -> None: ...

    with pytest.raises(UsageError) as caught:
        Definitions(assets=[orders, mail])
    assert str(caught.value) == (
        "asset mail takes the value of ordres, which nothing here makes or declares; did you mean 'orders'?"
    )
    assert caught.value.remedy == (
        "Correct the name, add the asset, or declare it with AssetSpec(key='ordres') if it is made elsewhere."
    )
    with pytest.raises(UsageError, match="other takes the value of raw/orders as 'rows', which nothing here makes"):
        Definitions(assets=[orders, other])
    Definitions(assets=[orders, other, AssetSpec(key="raw/orders")])

    @asset(key="mart/sales")
    def sales(orders): ...

    with pytest.raises(UsageError, match="sales takes the value of mart/orders as 'orders', which nothing") as caught:
        Definitions(assets=[orders, sales])
    assert caught.value.remedy == "Write ins={'orders': AssetIn(key='orders')}, if orders is meant."
    assert materialize([waits]).success


def test_a_declared_asset_is_loaded_from_what_others_made() -> None:
    @asset
    def orders() -> int:
        return 20

    @asset
    def double(orders: int) -> int:
        return 2 * orders

    with Instance.ephemeral() as instance:
        materialize(orders, instance=instance)  # a single one needs no list
        assert materialize([AssetSpec(key="orders"), double], instance=instance).asset_value("double") == 40


def test_a_check_of_what_is_made_elsewhere_is_evaluated() -> None:
    looked: list[str] = []

    @asset
    def made() -> int:
        return 1

    @asset(deps=["elsewhere"])
    def behind() -> None: ...

    @asset_check(asset="elsewhere")
    def fresh() -> bool:
        looked.append("fresh")
        return True

    definitions = Definitions(
        assets=[made, behind, AssetSpec(key="elsewhere"), AssetSpec(key="unseen")],
        asset_checks=[fresh],
        jobs=[define_asset_job("look", "elsewhere")],
    )
    with Instance.ephemeral() as instance:
        for job in (definitions.asset_job(), definitions.asset_job("elsewhere"), definitions.get_job("look")):
            assert execute_job(job, instance=instance).success
        execute_job(definitions.asset_job(), instance=instance, asset_selection="elsewhere")
        assert [check.status for check in instance.get_asset_checks("elsewhere")] == ["PASSED"] * 4
    assert looked == ["fresh"] * 4
    assert list(definitions.asset_job("elsewhere+").steps) == ["behind", "elsewhere__fresh"]
    with pytest.raises(UsageError, match="job 'x': unseen is made elsewhere, and no check here looks at it"):
        definitions.asset_job("unseen", name="x")


def test_a_circle_through_a_blocking_check_is_seen_when_it_is_declared() -> None:
    @asset
    def orders() -> int:
        return 1

    @asset
    def report(orders) -> int:
        return 2

    @asset_check(asset=orders, blocking=True, additional_ins={"report": AssetIn()})
    def agrees(orders, report) -> bool:
        return True

    with pytest.raises(UsageError) as caught:
        Definitions(assets=[orders, report], asset_checks=[agrees])
    assert str(caught.value) == (
        "assets and blocking checks wait for each other in a circle: report -> orders:agrees -> report"
    )


def test_kinds_are_said_shown_and_selected() -> None:
    @asset(kinds={"sql", "table"})
    def orders() -> int:
        return 1

    @multi_asset(outs={"a": AssetOut(kinds=["csv"]), "b": AssetOut()})
    def files() -> Any: ...

    graph = Definitions(assets=[orders, files, AssetSpec(key="raw", kinds=["csv"])]).asset_graph
    assert graph.specs[orders.key].kinds == ("sql", "table")
    assert [key.to_text() for key in graph.select("kind:csv")] == ["a", "raw"]
    assert [key.to_text() for key in graph.select("kind:sql")] == ["orders"]
    with pytest.raises(UsageError, match="nothing has the kind 'sqll'; did you mean 'sql'"):
        graph.select("kind:sqll")


def test_representations_are_short() -> None:
    @asset
    def orders() -> int:
        return 1

    @asset_check(asset=orders)
    def ok() -> bool:
        return True

    @multi_asset(outs={"a": AssetOut(), "b": AssetOut()}, check_specs=[AssetCheckSpec(name="n", asset="a")])
    def both() -> Any: ...

    @foldlog.op
    def load() -> int:
        return 1

    @foldlog.graph
    def etl():
        load()

    shown = [orders, ok, both, load, etl, etl.to_job("nightly")]
    assert list(map(repr, shown)) == [
        "<asset 'orders'>",
        "<asset check 'orders:ok'>",
        "<assets 'a', 'b'>",
        "<op 'load'>",
        "<graph 'etl'>",
        "<job 'nightly'>",
    ]
