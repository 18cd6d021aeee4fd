"""What a run executes of a job, what it says of that when it is created, and what a snapshot keeps of a definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest

import foldlog
from foldlog import (
    AssetKey,
    AssetOut,
    Config,
    Definitions,
    DynamicOut,
    In,
    Instance,
    Nothing,
    Out,
    RetryPolicy,
    Secret,
    asset,
    asset_check,
    define_asset_job,
    execute_job,
    graph,
    job,
    multi_asset,
    op,
    resource,
)
from foldlog.engine.definitions.partitions import DynamicPartitionsDefinition, StaticPartitionsDefinition
from foldlog.engine.definitions.snapshot import job_document
from foldlog.engine.execution.plan import KnownState, plan_of
from foldlog.engine.reporting.recorder import Recorder


@op
def load() -> int:
    return 1


@op
def clean(rows: int) -> int:
    return rows + 1


@op(ins={"start": In(Nothing)})
def tell(text: str = "done") -> str:
    return text


@op
def total(parts: list) -> int:
    return sum(parts)


@op(out=DynamicOut())
def each(rows: int) -> Iterator[Any]:
    yield foldlog.DynamicOutput(rows, "one")


@graph
def tidy(rows):
    cleaned = clean(rows)
    return total([cleaned, clean(cleaned)])


@job
def etl():
    rows = load()
    tidied = tidy(rows)
    mapped = each(tidied).map(clean).collect()
    tell(start=total(mapped))


KEYS = ["load", "tidy.clean", "tidy.clean_2", "tidy.total", "each", "clean", "total", "tell"]


@pytest.fixture
def instance() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found


def facts(instance: Instance, run_id: str) -> list[Any]:
    return [record.event.fact for record in instance.log.read_shard(run_id).records]


# -- selections of ops ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        ("*", KEYS),
        (["load", "tidy.clean"], ["load", "tidy.clean"]),
        ("load, tidy.clean", ["load", "tidy.clean"]),
        ("+tidy.clean", ["load", "tidy.clean"]),
        ("*tidy.clean_2", ["load", "tidy.clean", "tidy.clean_2"]),
        ("load or key:load", ["load"]),
        ("*tidy.total and not tidy.total", ["load", "tidy.clean", "tidy.clean_2"]),
        ("*each", KEYS[:5]),
        ("load*", KEYS),
        ("tell", ["tell"]),  # it only waits: nothing has to be given
        (["*tidy.total", "tell"], [*KEYS[:4], "tell"]),
    ],
)
def test_a_selection_in_every_form(selection: str | list[str], keys: list[str]) -> None:
    assert list(etl.steps) == KEYS
    plan = plan_of(etl, op_selection=selection)
    assert list(plan.steps) == keys
    assert plan.step_keys == (None if keys == KEYS else tuple(keys))


def test_steps_by_their_keys_come_in_the_order_of_the_job() -> None:
    assert list(plan_of(etl, step_keys=["tidy.clean", "load"]).steps) == ["load", "tidy.clean"]
    with pytest.raises(foldlog.UsageError, match=r"job 'etl' has no step 'laod'; did you mean 'load'\?"):
        plan_of(etl, step_keys=["laod"])


def test_one_lane_of_a_mapped_step() -> None:
    known = KnownState(
        outputs={("each", "result"): "earlier"},
        mapping_keys={("each", "result"): ("one", "two")},
        succeeded=frozenset({"each"}),
    )
    plan = plan_of(etl, step_keys=["clean"], known=known, only={"clean": frozenset({"two"})})
    assert plan.step_keys == ("clean[two]",)
    assert plan.wants(etl.steps["clean"], "two")
    assert not plan.wants(etl.steps["clean"], "one")
    assert not plan.wants(etl.steps["total"], None)


def test_an_input_of_a_step_that_is_not_selected_is_given_by_the_run_config(instance: Instance) -> None:
    config = {"ops": {"tidy": {"ops": {"clean": {"inputs": {"rows": 41}}}}}}
    result = execute_job(etl, instance=instance, op_selection="tidy.clean", run_config=config)
    assert result.output_for_node("tidy.clean") == 42
    created = facts(instance, result.run_id)[0]
    assert (created.op_selection, created.step_keys) == (("tidy.clean",), ("tidy.clean",))
    whole = execute_job(etl, instance=instance)
    assert facts(instance, whole.run_id)[0].step_keys is None


def test_it_is_given_by_its_default_or_refused() -> None:
    @op
    def add(rows: int = 5) -> int:
        return rows

    @job
    def adding():
        add(load())

    assert execute_job(adding, op_selection="add").output_for_node("add") == 5
    with pytest.raises(foldlog.UsageError, match=r"step tidy.clean: its input 'rows' comes from load") as refused:
        plan_of(etl, op_selection="tidy.clean")
    assert "ops.tidy.ops.clean.inputs.rows" in refused.value.remedy


def test_a_value_stands_in_for_a_whole_list_and_for_what_is_collected() -> None:
    config = {"ops": {"total": {"inputs": {"parts": [1, 2]}}}}
    assert execute_job(etl, op_selection="total", run_config=config).output_for_node("total") == 3
    config = {"ops": {"tidy": {"ops": {"total": {"inputs": {"parts": [40, 2]}}, "clean": {"inputs": {"rows": 0}}}}}}
    result = execute_job(etl, op_selection=["tidy.clean", "tidy.total"], run_config=config)
    assert result.output_for_node("tidy.total") == 42

    @op
    def adding(parts: list = [5]) -> int:  # noqa: B006
        return sum(parts)

    @job
    def lists():
        rows = load()
        adding([rows, clean(rows)])
        adding(each(rows).map(clean).collect())

    result = execute_job(lists, op_selection=["load", "adding", "adding_2"])
    assert (result.output_for_node("adding"), result.output_for_node("adding_2")) == (5, 5)


def test_a_list_of_which_one_part_is_not_selected_is_given_whole() -> None:
    with pytest.raises(foldlog.UsageError, match=r"step tidy.total: its input 'parts' comes from tidy.clean_2"):
        plan_of(etl, op_selection=["*tidy.clean", "tidy.total"])


# -- selections of assets -------------------------------------------------------------------------------------------


@asset
def raw() -> int:
    return 1


@asset
def middle(raw: int) -> int:
    return raw + 1


@multi_asset(outs={"left": AssetOut(), "right": AssetOut(is_required=False)}, can_subset=True)
def both(context, middle: int):
    for key in context.selected_asset_keys:
        yield foldlog.Output(middle, key.to_text())


@asset_check(asset=middle, blocking=True)
def small(middle: int) -> bool:
    return middle < 100


ASSETS = Definitions(
    assets=[both, middle, raw, foldlog.AssetSpec(key="elsewhere")],
    asset_checks=[small],
    jobs=[define_asset_job("all"), define_asset_job("up", "*middle"), define_asset_job("down", [middle, "left"])],
)


@pytest.mark.parametrize(
    ("selection", "assets", "steps"),
    [
        ("*", "left right middle raw", "raw middle middle__small both"),
        ("raw+", "middle raw", "raw middle middle__small"),
        ("*left", "left middle raw", "raw middle middle__small both"),
        ("right", "right", "both"),
        ([middle, AssetKey("raw")], "middle raw", "raw middle middle__small"),
        (both, "left right", "both"),
        ("+middle", "middle raw", "raw middle middle__small"),
    ],
)
def test_assets_up_and_down_stream(selection: Any, assets: str, steps: str) -> None:
    made = ASSETS.asset_job(selection)
    assert {key.to_text() for key in made.asset_keys} == set(assets.split())
    assert set(made.steps) == set(steps.split())
    order = list(made.steps)
    assert all(order.index(up) < order.index(key) for key, step in made.steps.items() for up in step.upstream)


def test_behind_a_blocking_check_comes_all_that_is_made_of_its_asset() -> None:
    assert ASSETS.get_job("all").steps["both"].upstream == ("middle", "middle__small")
    assert ASSETS.asset_job("right").steps["both"].upstream == ()


def test_a_run_of_a_job_may_be_of_some_of_its_assets(instance: Instance) -> None:
    execute_job(ASSETS.get_job("up"), instance=instance)
    result = execute_job(ASSETS.get_job("all"), instance=instance, asset_selection="right")
    first = facts(instance, result.run_id)
    assert first[0].asset_selection == (AssetKey("right"),)
    planned = [fact.asset_key for fact in first if type(fact).__name__ == "AssetMaterializationPlanned"]
    assert planned == [AssetKey("right")]


# -- what is said when a run is created -----------------------------------------------------------------------------


@op(pool="db")
def root() -> int:
    return 1


@op(pool="db")
def behind(rows: int) -> int:
    return rows


@job
def pooled():
    behind.alias("last")(behind(root()))
    root()
    load()


def test_pools_are_counted_and_those_of_steps_that_wait_for_nothing(instance: Instance) -> None:
    created = facts(instance, execute_job(pooled, instance=instance).run_id)[0]
    assert (created.pools, created.root_pools) == ({"db": 4}, {"db": 2})


def test_in_a_part_the_steps_behind_what_is_not_executed_are_the_first(instance: Instance) -> None:
    config = {"ops": {"behind": {"inputs": {"rows": 1}}}}
    result = execute_job(pooled, instance=instance, op_selection=["behind", "last"], run_config=config)
    created = facts(instance, result.run_id)[0]
    assert (created.pools, created.root_pools) == ({"db": 2}, {"db": 1})


def test_a_run_and_all_that_it_plans_is_one_append(instance: Instance, monkeypatch) -> None:
    appended: list[list[Any]] = []
    append = Recorder.record
    monkeypatch.setattr(
        Recorder,
        "record",
        lambda self, facts, **options: appended.append(list(facts)) or append(self, facts, **options),
    )
    regions = StaticPartitionsDefinition(["eu", "us"])

    @asset(partitions_def=regions)
    def sales() -> int:
        return 1

    @asset_check(asset=sales)
    def positive() -> bool:
        return True

    made = Definitions(assets=[sales, raw], asset_checks=[positive]).asset_job()
    result = execute_job(made, instance=instance, partition_key="eu")
    planned = [
        "RunCreated",
        "AssetMaterializationPlanned",
        "AssetMaterializationPlanned",
        "AssetCheckEvaluationPlanned",
    ]
    first = facts(instance, result.run_id)[:4]
    assert [type(fact).__name__ for fact in first] == planned
    assert [getattr(fact, "partition", None) for fact in first] == [None, "eu", None, "eu"]
    assert appended[0][:4] == first
    assert first[0].tags["foldlog/partition"] == "eu"


def test_a_partition_is_checked_before_anything_is_recorded(instance: Instance) -> None:
    @asset(partitions_def=DynamicPartitionsDefinition("customers"))
    def invoices() -> int:
        return 1

    made = Definitions(assets=[invoices]).asset_job()
    for wrong in (None, "acme"):
        with pytest.raises(foldlog.UsageError, match="partition"):
            execute_job(made, instance=instance, partition_key=wrong)
    assert instance.log.read().records == []
    instance.add_dynamic_partitions("customers", ["acme"])
    assert execute_job(made, instance=instance, partition_key="acme").success


def test_a_run_id_is_used_once(instance: Instance) -> None:
    execute_job(pooled, instance=instance, run_id="mine")
    with pytest.raises(foldlog.ConflictError, match="mine exists already"):
        execute_job(pooled, instance=instance, run_id="mine")


# -- snapshots ------------------------------------------------------------------------------------------------------


class Settings(Config):
    table: str
    password: Annotated[str, Secret] = "hunter2"
    api_token: str = "abcdef"
    limit: Annotated[int, msgspec.Meta(ge=1)] = 3


class Unnamed:
    """A type hint that is an object: its repr has an address."""


def documented() -> Any:
    @resource
    def warehouse(config: Settings) -> str:
        """The warehouse."""
        return config.password

    @op(required_resource_keys={"b", "a", "warehouse"}, retry_policy=RetryPolicy(max_retries=2), pool="db")
    def fetch(config: Settings, rows: list[int] = [7], other: Annotated[int, Unnamed()] = 3) -> dict[str, int]:  # noqa: B006
        """Fetches."""
        return {}

    @op(out={"big": Out(int, is_required=False), "small": DynamicOut()})
    def parts(found: dict): ...

    @job(
        resource_defs={"warehouse": warehouse, "a": "secret value", "b": 2},
        config={"ops": {"fetch": {"config": {"table": "t", "password": "s3cret"}}}},
        tags={"team": "growth"},
        metadata={"owner": {"name": "Ada"}},
    )
    def all_of_it():
        parts(fetch()).small.map(clean)

    return all_of_it


def test_a_snapshot_is_plain_and_equal_for_equal_definitions() -> None:
    one, other = job_document(documented()), job_document(documented())
    assert one == other
    assert json.loads(json.dumps(one)) == one  # plain: nothing that JSON would change
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(one)) == one


def test_a_snapshot_holds_no_secret_no_code_and_no_address() -> None:
    text = json.dumps(job_document(documented()))
    for hidden in ("hunter2", "abcdef", "s3cret", "secret value", " at 0x", "<function", "lambda"):
        assert hidden not in text, hidden


def test_a_snapshot_has_what_people_ask_of_a_job() -> None:
    document = job_document(documented())
    fetch = document["graph"]["nodes"]["fetch"]
    assert document["tags"] == {"team": "growth"}
    assert document["resources"]["warehouse"]["description"] == "The warehouse."
    assert fetch["resources"] == ["a", "b", "warehouse"]
    assert fetch["inputs"]["rows"] == {"type": "list[int]", "optional": True}
    assert fetch["config"]["limit"] == {"type": "a whole number, 1 or more", "required": False, "default": 3}
    assert fetch["config"]["password"]["default"] == "***"
    assert fetch["retry_policy"]["max_retries"] == 2
    assert document["graph"]["dependencies"] == {"parts.found": "fetch.result", "clean.rows": "each parts.small"}


def test_another_definition_is_another_snapshot(instance: Instance) -> None:
    def run(limit: int) -> Any:
        @op(code_version=str(limit))
        def fetch(): ...

        @job
        def fetching():
            fetch()

        return facts(instance, execute_job(fetching, instance=instance).run_id)[0]

    one, same, other = run(1), run(1), run(2)
    assert one.job_snapshot_id == same.job_snapshot_id != other.job_snapshot_id
    assert one.plan_snapshot_id == same.plan_snapshot_id
