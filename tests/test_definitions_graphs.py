"""How calls become nodes, nodes become steps, and what a step takes from the ops, graphs and jobs around it."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from foldlog import DynamicOut, In, Nothing, Out, RetryPolicy, failure_hook, graph, job, op, success_hook
from foldlog.engine.definitions.inout import NO_DEFAULT
from foldlog.engine.definitions.job import JobDefinition
from foldlog.engine.definitions.steps import CollectSource, ConfigSource, FanInSource, MappedSource, StepOutputSource


@op
def load() -> int:
    return 1


@op
def clean(rows):
    return rows


@op
def join(left, right=2): ...


@op(out={"big": Out(), "small": Out()})
def split(rows=None): ...


@op(ins={"start": In(Nothing)})
def after(): ...


@op(out=DynamicOut())
def each() -> Any: ...


@op(out={"files": DynamicOut(), "folders": DynamicOut()})
def walk() -> Any: ...


def told(job_definition: JobDefinition) -> dict[str, dict[str, str]]:
    """Each step with what its inputs come from, in a short form."""
    return {
        key: {given.name: source(given.source) for given in step.inputs} for key, step in job_definition.steps.items()
    }


def source(given: Any) -> str:
    match given:
        case StepOutputSource(key, output):
            return f"{key}.{output}"
        case MappedSource(key, output):
            return f"each {key}.{output}"
        case CollectSource(key, output):
            return f"all {key}.{output}"
        case FanInSource(sources):
            return " + ".join(map(source, sources))
        case ConfigSource(path, name, default):
            return f"config {'/'.join((*path, name))}" + ("" if default is NO_DEFAULT else f" = {default!r}")
    raise AssertionError(given)


def mapped(job_definition: JobDefinition) -> dict[str, str]:
    return {key: ".".join(step.mapped_over) for key, step in job_definition.steps.items() if step.mapped_over}


# -- nodes ----------------------------------------------------------------------------------------------------------


def test_each_call_is_a_node_with_a_name_of_its_own() -> None:
    @job
    def etl():
        clean(clean(clean(load())))
        clean.alias("clean_4")(load.alias("other")())
        clean(load())

    assert list(etl.graph.nodes) == ["load", "clean", "clean_2", "clean_3", "other", "clean_4", "load_2", "clean_5"]


def test_inputs_by_place_by_name_and_by_default() -> None:
    @job
    def etl():
        join(load(), right=load())
        join(right=load(), left=load())
        join(load())
        join()

    assert list(told(etl).values()) == [
        {},
        {},
        {"left": "load.result", "right": "load_2.result"},
        {},
        {},
        {"left": "load_4.result", "right": "load_3.result"},
        {},
        {"left": "load_5.result", "right": "config join_3/right = 2"},
        {"left": "config join_4/left", "right": "config join_4/right = 2"},
    ]


def test_outputs_by_name_and_taken_apart_fan_in_and_fan_out() -> None:
    @job
    def etl():
        big, small = split()
        both = split(big)
        clean([small, both.big, both.small, load()])
        clean((big, big))
        after(small)

    assert told(etl) == {
        "split": {"rows": "config split/rows = None"},
        "split_2": {"rows": "split.big"},
        "load": {},
        "clean": {"rows": "split.small + split_2.big + split_2.small + load.result"},
        "clean_2": {"rows": "split.big + split.big"},
        "after": {"start": "split.small"},
    }
    assert etl.steps["clean"].upstream == ("split", "split_2", "load")


def test_steps_follow_what_they_wait_for_whatever_the_order_of_the_calls() -> None:
    from foldlog.engine.definitions.graph import FromOutput, GraphDefinition, Node

    nodes = {name: Node(name=name, definition=clean) for name in ("c", "a", "b")}
    dependencies = {("c", "rows"): FromOutput("b", "result"), ("b", "rows"): FromOutput("a", "result")}
    made = GraphDefinition(name="etl", nodes=nodes, dependencies=dependencies).to_job(name="other")
    assert (made.name, list(made.steps)) == ("other", ["a", "b", "c"])


def test_two_threads_make_graphs_at_once() -> None:
    """The graph under construction belongs to the thread."""
    ready, found = threading.Barrier(2), {}

    def make(name: str) -> None:
        @job(name=name)
        def etl():
            rows = load()
            ready.wait(10)
            clean(rows)

        found[name] = list(etl.steps)

    threads = [threading.Thread(target=make, args=[name]) for name in "ab"]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == {"a": ["load", "clean"], "b": ["load", "clean"]}


def test_a_graph_that_fails_while_it_is_made_leaves_no_other_under_construction() -> None:
    with pytest.raises(ZeroDivisionError):

        @job
        def etl():
            load()
            1 / 0  # noqa: B018

    assert load() == 1  # a call of the function, as outside of any graph


# -- graphs in graphs -----------------------------------------------------------------------------------------------


@graph
def innermost(rows, factor=3):
    """Joins."""
    parts = split(rows)
    return {"joined": join(parts.big, factor), "rest": parts.small}


@graph
def middle(rows):
    found = innermost(clean(rows))
    return {"one": found.joined, "two": clean(found.rest)}


@graph(out=Out(int))
def outer(rows, notes):
    found = middle(rows)
    join(found.one, notes)
    return found.two


def test_graphs_three_deep_hand_inputs_in_and_outputs_out() -> None:
    @job
    def etl(source, more=7):
        clean(outer(source, more))

    assert told(etl) == {
        "outer.middle.clean": {"rows": "config source"},
        "outer.middle.innermost.split": {"rows": "outer.middle.clean.result"},
        "outer.middle.innermost.join": {
            "left": "outer.middle.innermost.split.big",
            "right": "config outer/middle/innermost/factor = 3",
        },
        "outer.middle.clean_2": {"rows": "outer.middle.innermost.split.small"},
        "outer.join": {"left": "outer.middle.innermost.join.result", "right": "config more = 7"},
        "clean": {"rows": "outer.middle.clean_2.result"},
    }
    assert innermost.description == "Joins."
    assert outer.outs["result"].annotation is int


def test_a_graph_used_twice_is_two_sets_of_steps() -> None:
    @job
    def etl():
        middle.alias("again")(middle(load()).one)

    assert [key for key in etl.steps if key.endswith("innermost.join")] == [
        "middle.innermost.join",
        "again.innermost.join",
    ]
    assert told(etl)["again.clean"] == {"rows": "middle.innermost.join.result"}


def test_an_input_of_a_graph_goes_to_several_and_into_lists() -> None:
    @graph
    def spread(rows):
        clean(rows)
        clean([rows, load()])
        return after(rows)

    @job
    def etl():
        spread(load())

    @job
    def open_job():
        spread()

    assert told(etl)["spread.clean_2"] == {"rows": "load.result + spread.load.result"}
    assert told(etl)["spread.after"] == {"start": "load.result"}
    assert told(open_job)["spread.clean_2"] == {"rows": "config spread/rows + spread.load.result"}


def test_the_default_of_an_op_stands_in_for_an_input_that_its_graph_is_not_given() -> None:
    @graph
    def inner(right):
        join(load(), right)

    @graph
    def stated(right=9):
        join(load(), right)

    @job
    def etl():
        inner()
        stated()

    assert told(etl)["inner.join"]["right"] == "config inner/right = 2"
    assert told(etl)["stated.join"]["right"] == "config stated/right = 9"


def test_a_job_of_a_graph_has_its_inputs_and_another_name_if_asked() -> None:
    made = innermost.to_job(name="alone", tags={"a": "b"}, description="Alone.")
    assert (made.name, made.tags, made.description) == ("alone", {"a": "b"}, "Alone.")
    assert told(made)["join"] == {"left": "split.big", "right": "config factor = 3"}
    assert told(made)["split"] == {"rows": "config rows = None"}
    assert innermost.to_job().name == "innermost"


# -- dynamic outputs ------------------------------------------------------------------------------------------------


def test_map_after_map_stays_in_the_lane_until_it_is_collected() -> None:
    @job
    def etl():
        cleaned = each().map(clean)
        joined = cleaned.map(lambda rows: join(rows, load()))
        clean.alias("all")(joined.collect())
        clean.alias("first")(cleaned.collect())

    assert mapped(etl) == {"clean": "each.result", "join": "each.result"}
    assert told(etl) == {
        "each": {},
        "clean": {"rows": "each each.result"},
        "load": {},
        "join": {"left": "clean.result", "right": "load.result"},
        "all": {"rows": "all join.result"},
        "first": {"rows": "all clean.result"},
    }


def test_the_raw_dynamic_output_may_be_collected_and_mapped_both() -> None:
    @job
    def etl():
        rows = each()
        clean(rows.collect())
        rows.map(clean)

    assert told(etl) == {
        "each": {},
        "clean": {"rows": "all each.result"},
        "clean_2": {"rows": "each each.result"},
    }
    assert mapped(etl) == {"clean_2": "each.result"}


def test_map_of_a_nested_graph_maps_all_in_it_that_follows() -> None:
    @graph
    def tidy(rows):
        return {"joined": join(clean(rows), load()), "rows": clean(rows)}

    @job
    def etl():
        tidied = each().map(tidy)
        clean(tidied.joined.collect())

    assert mapped(etl) == dict.fromkeys(["tidy.clean", "tidy.join", "tidy.clean_2"], "each.result")
    assert told(etl)["clean"] == {"rows": "all tidy.join.result"}


def test_a_graph_hands_a_dynamic_output_on_or_the_list_of_it() -> None:
    @graph
    def found():
        rows = each()
        return {"rows": rows, "all": rows.collect(), "cleaned": rows.map(clean).collect()}

    @graph
    def deeper():
        return found()._asdict()

    @job
    def etl():
        inside = deeper()
        join(inside.all, inside.cleaned)
        inside.rows.map(clean)

    assert told(etl)["join"] == {"left": "all deeper.found.each.result", "right": "all deeper.found.clean.result"}
    assert told(etl)["clean"] == {"rows": "each deeper.found.each.result"}


def test_each_of_several_dynamic_outputs_has_lanes_of_its_own() -> None:
    @job
    def etl():
        found = walk()
        folders = found.folders.map(clean).collect()
        found.files.map(lambda one: join(one, folders))

    assert mapped(etl) == {"clean": "walk.folders", "join": "walk.files"}
    assert told(etl)["join"] == {"left": "each walk.files", "right": "all clean.result"}


def test_what_map_calls_may_give_several_or_nothing() -> None:
    @job
    def etl():
        parts = each().map(split)
        clean(parts.small.collect())
        listed = each().map(lambda rows: [clean(rows), {"a": clean(rows)}])
        clean(listed[1]["a"].collect())
        assert each().map(lambda rows: None) is None

    assert told(etl)["clean"] == {"rows": "all split.small"}


# -- what steps take from around them -------------------------------------------------------------------------------


@success_hook
def on_job(context): ...


@failure_hook
def on_op(context): ...


@success_hook
def on_node(context): ...


@success_hook
def on_graph(context): ...


@op(hooks={on_op}, tags={"a": "op", "op": "op"}, retry_policy=RetryPolicy(max_retries=1))
def worker(): ...


@op
def plain(): ...


NODE, GRAPH, JOB = (RetryPolicy(max_retries=count) for count in (2, 3, 4))


@graph
def team():
    worker()
    worker.alias("tagged").tag({"a": "node"}).tag({"node": "1"}).with_hooks({on_node}).with_retry_policy(NODE)()
    plain()


@job(hooks={on_job}, op_retry_policy=JOB, tags={"job": "of the run only"})
def around():
    team.tag({"a": "graph", "graph": "1"}).with_hooks({on_graph}).with_retry_policy(GRAPH)()
    plain()
    worker()


def test_who_wins_of_retry_policies_is_node_then_op_then_what_is_around() -> None:
    found = {key: step.retry_policy.max_retries for key, step in around.steps.items() if step.retry_policy}
    assert found == {"team.worker": 1, "team.tagged": 2, "team.plain": 3, "plain": 4, "worker": 1}


def test_tags_merge_from_the_op_outward_to_the_node_and_the_nearer_wins() -> None:
    assert {key: dict(step.tags) for key, step in around.steps.items()} == {
        "team.worker": {"a": "graph", "op": "op", "graph": "1"},
        "team.tagged": {"a": "node", "op": "op", "graph": "1", "node": "1"},
        "team.plain": {"a": "graph", "graph": "1"},
        "plain": {},
        "worker": {"a": "op", "op": "op"},
    }


def test_hooks_add_up_in_the_order_of_their_names() -> None:
    assert {key: [hook.name for hook in step.hooks] for key, step in around.steps.items()} == {
        "team.worker": ["on_graph", "on_job", "on_op"],
        "team.tagged": ["on_graph", "on_job", "on_node", "on_op"],
        "team.plain": ["on_graph", "on_job"],
        "plain": ["on_job"],
        "worker": ["on_job", "on_op"],
    }


# -- size, and the same everywhere ----------------------------------------------------------------------------------


def test_a_chain_of_thousands_is_made_without_recursion() -> None:
    @job
    def chain():
        last = load()
        for _ in range(5_000):
            last = clean(last)

    assert len(chain.steps) == 5_001
    assert list(chain.steps)[-1] == "clean_5000"


SAME_EVERYWHERE = """
import sys
sys.path.insert(0, {tests!r})
import json, msgspec
import test_definitions_graphs as made
from foldlog.engine.definitions.snapshot import job_document
from foldlog.engine.execution.plan import plan_of

for one in (made.around, made.outer.to_job(), made.team.to_job()):
    steps = [[key, step.upstream, [hook.name for hook in step.hooks]] for key, step in one.steps.items()]
    print(json.dumps([steps, msgspec.to_builtins(job_document(one)), plan_of(one).document()]))
"""


def test_steps_snapshots_and_plans_are_the_same_in_every_process() -> None:
    """P9: what a run records of its job does not hang on the seed of hashes."""
    program = SAME_EVERYWHERE.format(tests=str(__import__("pathlib").Path(__file__).parent))
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True
        ).stdout
        for seed in ("0", "1", "77", "4096")
    }
    assert len(said) == 1
    assert said.pop().count("\n") == 3
