"""Wrong run configs, selections and calls: each is refused before a run is created, at its path in the run config."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from wrong import Wrongs

import foldlog
from foldlog import Config, Definitions, Secret, asset, define_asset_job, graph, job, op, resource

wrong = Wrongs()


class Part(Config):
    name: str
    weight: float = 1.0


class LoadConfig(Config):
    table: str
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    mode: Literal["fast", "slow"] = "fast"
    parts: list[Part] = []
    password: Annotated[str, Secret] | None = None
    dry: bool = False


class WarehouseConfig(Config):
    url: str
    retries: int = 3


@op
def load(config: LoadConfig) -> int:
    return config.limit


@op(required_resource_keys={"warehouse"})
def clean(rows: int, warehouse) -> int:
    return rows


@op
def free(rows: int = 1) -> int:
    return rows


@op
def join(left: int, right: int) -> int:
    return left + right


@resource
def warehouse(config: WarehouseConfig) -> str:
    return config.url


@graph
def inner(rows, factor):
    join(rows, factor)
    return free(load())


@job
def loading():
    load()


@job(resource_defs={"warehouse": warehouse, "limit": 3})
def etl():
    clean(load())


@job
def nested():
    inner(free())


@op
def double(number: int) -> int:
    return number * 2


@job
def outer(source):
    double(source)


@asset(key="raw/orders")
def orders(config: LoadConfig) -> int:
    return config.limit


@asset(ins={"orders": foldlog.AssetIn(key="raw/orders")})
def report(orders: int) -> int:
    return orders


ASSETS = Definitions(assets=[orders, report], jobs=[define_asset_job("all")]).get_job("all")
LOAD = {"config": {"table": "orders"}}
WAREHOUSE = {"warehouse": {"config": {"url": "x"}}}


def run(job_definition: Any, config: Any, **options: Any) -> None:
    foldlog.execute_job(job_definition, run_config=config, **options)


def load_with(**config: Any) -> None:
    run(loading, {"ops": {"load": {"config": {"table": "orders", **config}}}})


# -- its form -------------------------------------------------------------------------------------------------------


@wrong(
    "the run config is 'run.yaml', no mapping",
    "Read the file first, yaml.safe_load(...), and give its mapping; or `foldlog job execute --config FILE`.",
)
def a_config_that_is_a_text():
    run(loading, "run.yaml")


@wrong(
    "the run config is [{'config': {'table': 'orders'}}], no mapping",
    "Write {'ops': {...}, 'resources': {...}}.",
)
def a_config_that_is_a_list():
    run(loading, [LOAD])


@wrong(
    "op: there is no such section; did you mean 'ops'?",
    "Allowed here: ops, resources, inputs.",
)
def an_unknown_section():
    run(loading, {"op": {"load": LOAD}})


@wrong(
    "load: there is no such section; did you mean ops.load?",
    "Allowed here: ops, resources, inputs.",
)
def an_op_in_place_of_a_section():
    run(loading, {"load": LOAD})


@wrong(
    "ops: ['load'] was given; wanted a mapping",
    "Correct the run config there.",
)
def ops_as_a_list():
    run(loading, {"ops": ["load"]})


@wrong(
    "ops.load: 'orders' was given; wanted a mapping",
    "Correct the run config there.",
)
def an_op_as_a_text():
    run(loading, {"ops": {"load": "orders"}})


@wrong(
    "ops.laod: there is no op 'laod' here; did you mean 'load'?",
    "Allowed here: load.",
)
def config_of_an_op_that_is_not_there():
    run(loading, {"ops": {"laod": LOAD}})


@wrong(
    "ops.load.table: there is no key 'table' here; did you mean config.table?",
    "Allowed here: config, inputs.",
)
def config_without_the_key_config():
    run(loading, {"ops": {"load": {"table": "orders"}}})


@wrong(
    "ops.load.confg: there is no key 'confg' here; did you mean 'config'?",
    "Allowed here: config, inputs.",
)
def config_key_mistyped():
    run(loading, {"ops": {"load": {"confg": {"table": "orders"}}}})


@wrong(
    "ops.none: there is no op 'none' here",
    "Allowed here: free, free_2, free_3, free_4, free_5, free_6, free_7, free_8, free_9, free_10, free_11, "
    "free_12, free_13, free_14, free_15, free_16, free_17, free_18, free_19, free_20, free_21, free_22, "
    "free_23, free_24, free_25, free_26, free_27, free_28, free_29, free_30, free_31, free_32, free_33, "
    "free_34, free_35, free_36, free_37, free_38, free_39, free_40 and 960 more.",
)
def an_op_of_thousands():
    @job
    def many():
        for _ in range(1_000):
            free()

    run(many, {"ops": {"none": {}}})


@wrong(
    "ops[1]: there is no op 1 here",
    "Allowed here: load.",
)
def an_op_name_that_is_a_number():
    run(loading, {"ops": {1: LOAD}})


# -- the configuration of an op -----------------------------------------------------------------------------------


@wrong(
    "ops.load.config: the key 'table' is missing, which takes text",
    "Correct the run config there.",
)
def a_key_that_is_missing():
    run(loading, {})


@wrong(
    "ops.load.config: the key 'table' is missing, which takes text",
    "Correct the run config there.",
)
def no_run_config_at_all():
    run(loading, None)


@wrong(
    "ops.load.config.limitt: there is no key 'limitt' here; did you mean 'limit'?",
    "Allowed here: table, limit, mode, parts, password, dry.",
)
def an_unknown_key():
    load_with(limitt=3)


@wrong(
    "ops.load.config.limit: 'many' was given; wanted a whole number from 1 to 100",
    "Correct the run config there.",
)
def a_wrong_type():
    load_with(limit="many")


@wrong(
    "ops.load.config.limit: '10' was given; wanted a whole number from 1 to 100",
    "Correct the run config there.",
)
def a_number_in_quotes():
    load_with(limit="10")


@wrong(
    "ops.load.config.limit: true was given; wanted a whole number from 1 to 100",
    "Correct the run config there.",
)
def true_for_a_number():
    load_with(limit=True)


@wrong(
    "ops.load.config.limit: 101 is out of range; wanted a whole number from 1 to 100",
    "Correct the run config there.",
)
def too_large():
    load_with(limit=101)


@wrong(
    "ops.load.config.mode: 'fsat' is not one of fast, slow; did you mean 'fast'?",
    "Correct the run config there.",
)
def not_one_of_the_allowed():
    load_with(mode="fsat")


@wrong(
    "ops.load.config.dry: 'no' was given; wanted true or false",
    "Correct the run config there.",
)
def a_text_for_a_flag():
    load_with(dry="no")


@wrong(
    "ops.load.config.parts: a mapping with name was given; wanted a list, each item a mapping with the keys "
    "name, weight",
    "Correct the run config there.",
)
def a_value_for_a_list():
    load_with(parts={"name": "a"})


@wrong(
    "ops.load.config.parts[1]: the key 'name' is missing, which takes text",
    "Correct the run config there.",
)
def a_missing_key_deep_inside():
    load_with(parts=[{"name": "a"}, {"weight": 2}])


@wrong(
    "ops.load.config.parts[0].weight: 'heavy' was given; wanted a number",
    "Correct the run config there.",
)
def a_wrong_type_deep_inside():
    load_with(parts=[{"name": "a", "weight": "heavy"}])


@wrong(
    "ops.load.config.password: *** was given; wanted text or null",
    "Correct the run config there.",
)
def a_secret_of_a_wrong_type():
    load_with(password=["hunter2"])


@wrong(
    "ops.load.config.table: the environment variable FOLDLOG_NOT_SET is not set",
    "Set FOLDLOG_NOT_SET in the environment of each process that opens the instance, or in the secrets file.",
)
def an_environment_variable_that_is_not_set():
    load_with(table={"env": "FOLDLOG_NOT_SET"})


@wrong(
    "ops.load.config: 'orders' was given; wanted a mapping with the keys table, limit, mode, parts, password, dry",
    "Correct the run config there.",
)
def a_configuration_as_a_text():
    run(loading, {"ops": {"load": {"config": "orders"}}})


@wrong(
    "ops.free.config: free takes no configuration",
    "Take it away, or give the op a parameter `config`.",
)
def config_for_an_op_that_takes_none():
    run(nested, {"ops": {"free": {"config": {"limit": 3}}}})


@wrong(
    "ops.load.config.tabel: there is no key 'tabel' here; did you mean 'table'?",
    "Allowed here: table, limit, mode, parts, password, dry.",
)
def config_of_a_job_that_does_not_fit():
    run(job(name="loading", config={"ops": {"load": {"config": {"tabel": "x"}}}})(lambda: load()), None)


@wrong(
    "ops.raw/orders: there is no op 'raw/orders' here; did you mean 'raw__orders'?",
    "Allowed here: raw__orders, report.",
)
def config_of_an_asset_by_its_key():
    run(ASSETS, {"ops": {"raw/orders": LOAD}})


@wrong(
    "ops.raw__orders.config.table: 3 was given; wanted text",
    "Correct the run config there.",
)
def config_of_an_asset_that_does_not_fit():
    run(ASSETS, {"ops": {"raw__orders": {"config": {"table": 3}}}})


# -- nested graphs --------------------------------------------------------------------------------------------------


@wrong(
    "ops.inner.config: there is no key 'config' here",
    "Allowed here: ops, inputs.",
)
def config_of_a_graph():
    run(nested, {"ops": {"inner": LOAD}})


@wrong(
    "ops.inner.ops.laod: there is no op 'laod' here; did you mean 'load'?",
    "Allowed here: join, load, free.",
)
def config_of_an_inner_op_that_is_not_there():
    run(nested, {"ops": {"inner": {"ops": {"laod": LOAD}}}})


@wrong(
    "ops.load: there is no op 'load' here; did you mean ops.inner.ops.load?",
    "Allowed here: free, inner.",
)
def an_inner_op_at_the_top():
    run(nested, {"ops": {"load": LOAD}})


@wrong(
    "ops.inner.ops.load.config.table: 3 was given; wanted text",
    "Correct the run config there.",
)
def a_wrong_type_in_an_inner_op():
    run(nested, {"ops": {"inner": {"ops": {"load": {"config": {"table": 3}}}, "inputs": {"factor": 1}}}})


# -- inputs ---------------------------------------------------------------------------------------------------------


@wrong(
    "step join: nothing gives its input 'left'",
    "Connect it to another op, give it a default, or write it into the run config: ops.join.inputs.left.",
)
def an_input_that_nothing_gives():
    run(job(name="alone")(lambda: join()), None)


@wrong(
    "step inner.join: nothing gives its input 'right'",
    "Connect it to another op, give it a default, or write it into the run config: ops.inner.inputs.factor.",
)
def an_input_of_a_graph_that_nothing_gives():
    run(nested, {"ops": {"inner": {"ops": {"load": LOAD}}}})


@wrong(
    "step double: nothing gives its input 'number', the job's input 'source'",
    "Connect it to another op, give it a default, or write it into the run config: inputs.source.",
)
def an_input_of_a_job_that_nothing_gives():
    run(outer, None)


@wrong(
    "inputs.sourec: the job has no such input; did you mean 'source'?",
    "Allowed here: source.",
)
def an_unknown_input_of_a_job():
    run(outer, {"inputs": {"sourec": 3}})


@wrong(
    "ops.join.inputs.lft: join has no such input; did you mean 'left'?",
    "Allowed here: left, right.",
)
def an_unknown_input_of_an_op():
    run(job(name="alone")(lambda: join()), {"ops": {"join": {"inputs": {"lft": 1}}}})


@wrong(
    "ops.clean.inputs.rows: another step gives this input",
    "Take it away.",
)
def an_input_that_another_step_gives():
    run(etl, {"ops": {"load": LOAD, "clean": {"inputs": {"rows": 3}}}, "resources": WAREHOUSE})


@wrong(
    "ops.double.inputs.number: the input 'source' of the job gives this input",
    "Give that, or nothing.",
)
def an_input_that_the_job_gives():
    run(outer, {"inputs": {"source": 1}, "ops": {"double": {"inputs": {"number": 3}}}})


@wrong(
    "inputs.source: the job has no such input",
    "The job has no inputs; those of its ops stand below ops.NAME.inputs.",
)
def an_input_of_a_job_that_has_none():
    run(loading, {"ops": {"load": LOAD}, "inputs": {"source": 3}})


@wrong(
    "ops.inner.ops.join.inputs.right: the input 'factor' of inner gives this input",
    "Give that, or nothing.",
)
def an_inner_input_that_its_graph_gives():
    run(nested, {"ops": {"inner": {"ops": {"join": {"inputs": {"right": 3}}}}}})


@wrong(
    "ops.report.inputs.orders: the asset raw/orders gives this input",
    "Take it away; what an earlier run made is loaded.",
)
def an_input_that_is_an_asset():
    run(ASSETS, {"ops": {"report": {"inputs": {"orders": 3}}}}, asset_selection="report")


@wrong(
    "inputs: [3] was given; wanted a mapping",
    "Correct the run config there.",
)
def inputs_as_a_list():
    run(outer, {"inputs": [3]})


# -- resources ------------------------------------------------------------------------------------------------------


@wrong(
    "resources.warehouse.config: the key 'url' is missing, which takes text",
    "Correct the run config there.",
)
def a_resource_without_its_config():
    run(etl, {"ops": {"load": LOAD}})


@wrong(
    "resources.warehose: the job has no such resource; did you mean 'warehouse'?",
    "Allowed here: warehouse, limit, io_manager.",
)
def an_unknown_resource():
    run(etl, {"ops": {"load": LOAD}, "resources": {"warehose": {"config": {"url": "x"}}}})


@wrong(
    "resources.warehouse.config.ulr: there is no key 'ulr' here; did you mean 'url'?",
    "Allowed here: url, retries.",
)
def an_unknown_key_of_a_resource():
    run(etl, {"ops": {"load": LOAD}, "resources": {"warehouse": {"config": {"ulr": "x"}}}})


@wrong(
    "resources.warehouse.config.retries: '3x' was given; wanted a whole number",
    "Correct the run config there.",
)
def a_wrong_type_of_a_resource():
    run(etl, {"ops": {"load": LOAD}, "resources": {"warehouse": {"config": {"url": "x", "retries": "3x"}}}})


@wrong(
    "resources.warehouse.url: there is no key 'url' here; did you mean config.url?",
    "Allowed here: config.",
)
def a_resource_without_the_key_config():
    run(etl, {"ops": {"load": LOAD}, "resources": {"warehouse": {"url": "x"}}})


@wrong(
    "resources.limit.config: the resource takes no configuration",
    "Take it away.",
)
def config_for_a_resource_that_takes_none():
    run(etl, {"ops": {"load": LOAD}, "resources": {**WAREHOUSE, "limit": {"config": {"x": 1}}}})


@wrong(
    "resources: ['warehouse'] was given; wanted a mapping",
    "Correct the run config there.",
)
def resources_as_a_list():
    run(etl, {"ops": {"load": LOAD}, "resources": ["warehouse"]})


@wrong(
    "job 'etl': there is no resource 'warehouse', which step clean requires (there are: io_manager)",
    "Give it, as resources={'warehouse': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource():
    run(job(name="etl")(lambda: clean(load())), {"ops": {"load": LOAD}})


@wrong(
    "job 'etl': there is no resource 'warehouse', which step clean requires; did you mean 'warehose'? (there "
    "are: io_manager, warehose)",
    "Give it, as resources={'warehouse': ...} of the Definitions, the job, or the call.",
)
def a_missing_resource_with_a_like_one():
    run(job(name="etl")(lambda: clean(load())), {"ops": {"load": LOAD}}, resources={"warehose": 1})


@wrong(
    "the call: resources=['warehouse'] is no mapping",
    "Write {'warehouse': warehouse}.",
)
def resources_of_the_call_as_a_list():
    run(etl, {"ops": {"load": LOAD}}, resources=["warehouse"])


# -- the call -------------------------------------------------------------------------------------------------------


@wrong(
    "graph 'inner' cannot be executed",
    "Write execute_job(inner.to_job()).",
)
def a_graph_that_is_executed():
    run(inner, None)


@wrong(
    "op 'load' cannot be executed",
    "Call it in a function with @job, or, to try its function, call it: load(...).",
)
def an_op_that_is_executed():
    run(load, None)


@wrong(
    "job 'all' cannot be executed",
    "Write execute_job(Definitions(assets=[...], jobs=[...]).get_job('all')).",
)
def a_job_of_assets_that_is_not_resolved():
    run(define_asset_job("all"), None)


@wrong(
    "there is no op 'laod'; did you mean 'load'?",
    "There are load, clean; `*` selects all.",
)
def a_selection_of_a_step_that_is_not_there():
    run(etl, None, op_selection="laod")


@wrong(
    "op_selection holds 3, which selects no step",
    "Write 'clean', 'clean+', an op, or a list of such.",
)
def a_selection_that_is_no_text():
    run(etl, None, op_selection=[3])


@wrong(
    "step clean: its input 'rows' comes from load, which is not selected",
    "Select that too (+clean), re-execute a run in which it succeeded, or give a value in the run config: "
    "ops.clean.inputs.rows.",
)
def a_selection_that_leaves_an_input_open():
    run(etl, None, op_selection="clean")


@wrong(
    "step inner.join: its input 'left' comes from free, which is not selected",
    "Select that too (+inner.join), re-execute a run in which it succeeded, or give a value in the run config: "
    "ops.inner.ops.join.inputs.left.",
)
def a_selection_in_a_graph_that_leaves_an_input_open():
    run(nested, None, op_selection="inner.join")


@wrong(
    "ops.clean.inputs.rows: another step gives this input",
    "Take it away.",
)
def a_value_for_an_input_that_a_selected_step_gives():
    config = {"ops": {"load": LOAD, "clean": {"inputs": {"rows": 3}}}, "resources": WAREHOUSE}
    three = job(name="three", resource_defs={"warehouse": warehouse})(lambda: (clean(load()), free())[1])
    run(three, config, op_selection=["load", "clean"])


@wrong(
    "step inner.join: its input 'left' comes from free, which is not selected",
    "Select that too (+inner.join), re-execute a run in which it succeeded, or give a value in the run config: "
    "ops.inner.ops.join.inputs.left.",
)
def a_value_for_a_graph_in_part():
    run(nested, {"ops": {"inner": {"inputs": {"rows": 3}}}}, op_selection="inner.*")


@wrong(
    "job 'etl' makes no assets, so none can be selected",
    "Use op_selection.",
)
def assets_selected_of_a_job_without():
    run(etl, None, asset_selection="raw/orders")


@wrong(
    "there is no asset 'raw/order'; did you mean 'raw/orders'?",
    "There are raw/orders, report; `*` selects all. `foldlog asset list` lists them.",
)
def assets_selected_that_are_not_there():
    run(ASSETS, None, asset_selection="raw/order")


@wrong(
    "job 'etl' has no partitions; partition_key='eu' was given",
    "Leave it out.",
)
def a_partition_of_a_job_without():
    run(etl, {"ops": {"load": LOAD}, "resources": WAREHOUSE}, partition_key="eu")


@wrong(
    "run: the tag 'priority': 3 is not text to text",
    "Write both as text.",
)
def tags_of_a_run_that_are_no_text():
    run(loading, {"ops": {"load": LOAD}}, tags={"priority": 3})


@pytest.mark.parametrize("name", wrong.rows)
def test_it_is_refused_in_these_words(name: str) -> None:
    wrong.check(name)
