"""Wrong ops, graphs, jobs, hooks and resources: each is refused where it is written, in words that name it."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from wrong import Wrongs

import foldlog
from foldlog import (
    AssetCheckSpec,
    AssetIn,
    AssetOut,
    Config,
    Definitions,
    DynamicOut,
    In,
    Nothing,
    Out,
    RetryPolicy,
    asset,
    asset_check,
    define_asset_job,
    failure_hook,
    graph,
    job,
    multi_asset,
    op,
    resource,
    success_hook,
)

wrong = Wrongs()


@op
def load() -> int:
    return 1


@op
def clean(rows: int) -> int:
    return rows


@op
def join(left: int, right: int) -> int:
    return left + right


@op(out={"big": Out(), "small": Out()})
def split() -> tuple[int, int]:
    return 1, 2


@op(out=DynamicOut())
def each() -> Any:
    yield from ()


@op(out=DynamicOut())
def again(rows: int) -> Any:
    yield from ()


@op
def total(rows: list[int]) -> int:
    return sum(rows)


@op
def free() -> None: ...


def etl():
    load()


def told(context): ...


# -- names --------------------------------------------------------------------------------------------------------


@wrong(
    "op 'etl.load': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_name_with_a_dot():
    op(name="etl.load")(load.fn)


@wrong(
    "op '1st': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_name_that_begins_with_a_digit():
    op(name="1st")(load.fn)


@wrong(
    "op "
    "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx': "
    "a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_name_that_is_too_long():
    op(name="x" * 101)(load.fn)


@wrong(
    "job '': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another name with name=.",
)
def a_name_that_is_empty():
    job(name="")(etl)


@wrong(
    "op: it is made of a lambda, which has no name of its own",
    "Write a def, or say name='...'.",
)
def an_op_of_a_lambda():
    op(lambda rows: rows)


@wrong(
    "op: it is made of a partial, which has no name of its own",
    "Write a def, or say name='...'.",
)
def an_op_of_a_partial():
    op(functools.partial(clean.fn, 1))


@wrong(
    "op 'greatest': its function does not tell its parameters",
    "Write a def that calls it.",
)
def an_op_of_a_function_written_in_c():
    op(name="greatest")(max)


@wrong(
    "op: 'load' is no function",
    "Write @op above a def.",
)
def an_op_of_a_text():
    op(name="load")("load")


@wrong(
    "op: 'load' is no function",
    "Write @op above a def.",
)
def op_with_its_name_in_place_of_the_function():
    op("load")


@wrong(
    "alias 'load all': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give it another alias.",
)
def an_alias_with_a_space():
    @job
    def etl():
        load.alias("load all")()


@wrong(
    "job 'etl' has two nodes called 'first'",
    "Give one of them another alias.",
)
def two_nodes_of_one_alias():
    @job
    def etl():
        load.alias("first")()
        load.alias("first")()


# -- functions ----------------------------------------------------------------------------------------------------


@wrong(
    "op 'fetch' is async",
    "Write a plain def; call asyncio.run() inside of it.",
)
def an_async_op():
    @op
    async def fetch(): ...


@wrong(
    "op 'fetch' is async",
    "Write a plain def; call asyncio.run() inside of it.",
)
def an_async_generator():
    @op
    async def fetch():
        yield 1


@wrong(
    "op 'add': the parameter *numbers has no name to bind to",
    "Name each input.",
)
def an_op_of_star_args():
    @op
    def add(*numbers): ...


@wrong(
    "op 'add': the parameter **numbers has no name to bind to",
    "Name each input.",
)
def an_op_of_keywords():
    @op
    def add(**numbers): ...


@wrong(
    "op 'add': the parameter number has no name to bind to",
    "Name each input.",
)
def an_op_of_a_parameter_without_a_name():
    @op
    def add(number, /): ...


@wrong(
    "op 'clean': its parameter `context` is not the first",
    "Write it first: def f(context, rows).",
)
def a_context_that_is_not_first():
    @op
    def clean(rows, context): ...


@wrong(
    "op 'load': it is a method of a class, for it has the parameter `self`",
    "Write a def outside of the class, or take the method of an object: op(Loader(...).load).",
)
def a_method_in_its_class():
    class Loader:
        @op
        def load(self): ...


@wrong(
    "op 'load': its parameter `config` is annotated with nothing; wanted a class of its own keys",
    "Write `class LoadConfig(foldlog.Config): limit: int = 10`, and `config: LoadConfig`.",
)
def a_config_without_annotation():
    @op
    def load(config): ...


@wrong(
    "op 'load': its parameter `config` is annotated with dict[str, int]; wanted a class of its own keys",
    "Write `class LoadConfig(foldlog.Config): limit: int = 10`, and `config: LoadConfig`.",
)
def a_config_that_is_a_dict():
    @op
    def load(config: dict[str, int]): ...


@wrong(
    "op 'load': its parameter `config` is annotated with 'LoadConfg', which is not known there",
    "Correct the name, or import it; not behind `if TYPE_CHECKING`.",
)
def a_config_of_an_unknown_name():
    @op
    def load(config: LoadConfg): ...  # noqa: F821


@wrong(
    "LoadConfig.when: the annotation complex is not possible: there is no complex in a configuration",
    "Use int, float, str, bool, pathlib.Path, Literal of texts, list[T], tuple[T, ...], dict[str, T], a Config "
    "class, `T | None`, a union of these, or Any; bounds as Annotated[T, msgspec.Meta(...)].",
)
def a_config_class_that_cannot_be():
    class LoadConfig(Config):
        when: complex

    @op
    def load(config: LoadConfig): ...


@wrong(
    "LoadConfig.limit: its default does not fit: 'many' was given; wanted a whole number",
    "Correct the default or the annotation.",
)
def a_config_with_a_wrong_default():
    class LoadConfig(Config):
        limit: int = "many"

    @op
    def load(config: LoadConfig): ...


# -- inputs and outputs -------------------------------------------------------------------------------------------


@wrong(
    "op 'clean': ins has 'row', and the function has no such parameter (it has: rows)",
    "Add the parameter, or write In(Nothing) for an input without a value.",
)
def ins_of_no_parameter():
    op(ins={"row": In(int)})(clean.fn)


@wrong(
    "op 'clean': ins['rows'] is the class int, and no In",
    "Write ins={'rows': In(list)}.",
)
def ins_that_are_types():
    op(ins={"rows": int})(clean.fn)


@wrong(
    "op 'clean': ins=['rows'] is no mapping",
    "Write ins={'rows': In(list)}.",
)
def ins_as_a_list():
    op(ins=["rows"])(clean.fn)


@wrong(
    "op 'clean': the input 'rows' is Nothing, and the function has a parameter of that name",
    "Take the parameter away: no value comes.",
)
def nothing_for_a_parameter():
    op(ins={"rows": In(Nothing)})(clean.fn)


@wrong(
    "op 'load': out=the class int is no Out",
    "Write out=Out(int), or out={'big': Out(), 'small': Out()}.",
)
def out_as_a_type():
    op(out=int)(load.fn)


@wrong(
    "op 'load': out=the class Out is no Out",
    "Write out=Out(int), or out={'big': Out(), 'small': Out()}.",
)
def out_that_was_not_made():
    op(out=Out)(load.fn)


@wrong(
    "op 'load': the output 'big' is the class int, and no Out",
    "Write out={'rows': Out(list)}.",
)
def outs_that_are_types():
    op(out={"big": int})(load.fn)


@wrong(
    "op 'load': out=[Out(annotation=UNSTATED, description=None, metadata={}, io_manager_key='io_mana is no Out",
    "Write out=Out(int), or out={'big': Out(), 'small': Out()}.",
)
def outs_as_a_list():
    op(out=[Out(), Out()])(load.fn)


@wrong(
    "op 'split': output 'class': a graph could not write .class: it is a word of Python, or begins with '_'",
    "Give the output another name.",
)
def an_output_called_like_a_keyword():
    op(out={"class": Out(), "rest": Out()})(split.fn)


@wrong(
    "op 'split': output '_big': a graph could not write ._big: it is a word of Python, or begins with '_'",
    "Give the output another name.",
)
def an_output_that_begins_with_an_underscore():
    op(out={"_big": Out(), "rest": Out()})(split.fn)


@wrong(
    "op 'split' has 2 outputs (big, small), and is annotated to return 3",
    "Return one value for each output, in their order.",
)
def more_types_than_outputs():
    @op(out={"big": Out(), "small": Out()})
    def split() -> tuple[int, int, int]: ...


@wrong(
    "Out: io_manager_key <class 'object'>: a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Write the key of a resource.",
)
def an_io_manager_that_is_no_key():
    Out(io_manager_key=object)


@wrong(
    "DynamicOutput: mapping_key='a b' is no key",
    "Write 1 to 100 letters, digits or _.=+@- ; it names the step, as work[key].",
)
def a_dynamic_output_without_a_key():
    foldlog.DynamicOutput(1, "a b")


@wrong(
    "Out: metadata=['orders'] is no mapping",
    "Write metadata={'table': 'orders'}.",
)
def metadata_of_an_output_as_a_list():
    Out(metadata=["orders"])


@wrong(
    "In: input_manager_key 'a b': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Write the key of a resource.",
)
def an_input_manager_that_is_no_key():
    In(input_manager_key="a b")


# -- options ------------------------------------------------------------------------------------------------------


@wrong(
    "op 'load': the tag 'priority': 3 is not text to text",
    "Write both as text.",
)
def tags_that_are_no_text():
    op(tags={"priority": 3})(load.fn)


@wrong(
    "op 'load': tags=['slow'] is no mapping of texts to texts",
    "Write tags={'team': 'growth'}.",
)
def tags_as_a_list():
    op(tags=["slow"])(load.fn)


@wrong(
    "op 'load': the tag '' is empty or too long: a key has 1 to 250 characters, a value up to 1000",
    "Shorten it; longer texts belong into metadata.",
)
def a_tag_without_a_key():
    op(tags={"": "x"})(load.fn)


@wrong(
    "op 'load': metadata['source']['tables'][1]: set {1, 2} is no metadata value",
    "Change the value at that path; times are integer microseconds, keys are text.",
)
def metadata_that_cannot_be_kept():
    op(metadata={"source": {"tables": ["a", {1, 2}]}})(load.fn)


@wrong(
    "op 'load': metadata=['a'] is no mapping",
    "Write metadata={'owner': 'growth'}.",
)
def metadata_as_a_list():
    op(metadata=["a"])(load.fn)


@wrong(
    "op 'load': metadata={1: 'a'}: the key 1 is no text",
    "Write it as text.",
)
def metadata_by_numbers():
    op(metadata={1: "a"})(load.fn)


@wrong(
    "job 'etl': metadata['owner']: type <class 'object'> is no metadata value",
    "Change the value at that path; times are integer microseconds, keys are text.",
)
def metadata_of_a_job_that_cannot_be_kept():
    job(metadata={"owner": object})(etl)


@wrong(
    "op 'load': required_resource_keys='warehouse' is no set of names",
    "Write required_resource_keys={'name'}.",
)
def one_required_resource_as_text():
    op(required_resource_keys="warehouse")(load.fn)


@wrong(
    "op 'load': required_resource_keys 'ware house': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Write names of letters, digits and '_'.",
)
def a_required_resource_with_a_bad_name():
    op(required_resource_keys={"ware house"})(load.fn)


@wrong(
    "op 'load': retry_policy=3 is no RetryPolicy",
    "Write RetryPolicy(max_retries=3).",
)
def a_retry_policy_as_a_number():
    op(retry_policy=3)(load.fn)


@wrong(
    "load: retry_policy=3 is no RetryPolicy",
    "Write RetryPolicy(max_retries=3).",
)
def a_retry_policy_of_a_node_as_a_number():
    load.with_retry_policy(3)


@wrong(
    "job 'etl': op_retry_policy=3 is no RetryPolicy",
    "Write RetryPolicy(max_retries=3).",
)
def a_retry_policy_of_a_job_as_a_number():
    job(op_retry_policy=3)(etl)


@wrong(
    "RetryPolicy: max_retries=-1 is no count",
    "Write 0 or more.",
)
def negative_retries():
    RetryPolicy(max_retries=-1)


@wrong(
    "RetryPolicy: delay='1s' is no number of seconds",
    "Write 0 to 86400.",
)
def a_delay_as_text():
    RetryPolicy(delay="1s")


@wrong(
    "RetryPolicy: backoff='linear' is not one of LINEAR, EXPONENTIAL",
    "Write backoff='LINEAR'.",
)
def a_backoff_that_is_not_there():
    RetryPolicy(backoff="linear")


@wrong(
    "RetryPolicy: jitter='SOME' is not one of FULL, PLUS_MINUS",
    "Write jitter='FULL'.",
)
def a_jitter_that_is_not_there():
    RetryPolicy(jitter="SOME")


@wrong(
    "RetryRequested: max_retries='3' is no count",
    "Write 0 or more.",
)
def a_requested_retry_without_count():
    foldlog.RetryRequested(max_retries="3")


@wrong(
    "RetryRequested: seconds_to_wait='3' is no pause",
    "Write 0 to 86400.",
)
def a_requested_pause_as_text():
    foldlog.RetryRequested(seconds_to_wait="3")


@wrong(
    "op 'load': code_version=2 is no text",
    "Write code_version='...'.",
)
def a_version_that_is_no_text():
    op(code_version=2)(load.fn)


@wrong(
    "op 'load': description=2 is no text",
    "Write description='...'.",
)
def a_description_that_is_no_text():
    op(description=2)(load.fn)


@wrong(
    "op 'load': pool=2 is no text",
    "Write pool='...'.",
)
def a_pool_that_is_no_text():
    op(pool=2)(load.fn)


# -- hooks --------------------------------------------------------------------------------------------------------


@wrong(
    "op 'load': hooks holds the function load, which is no hook",
    "Make it with @success_hook or @failure_hook.",
)
def a_hook_that_is_a_function():
    op(hooks={load.fn})(load.fn)


@wrong(
    "op 'load': hooks=hook 'tell' is no set of hooks",
    "Write hooks={tell}.",
)
def a_hook_without_braces():
    op(hooks=success_hook(name="tell")(told))(load.fn)


@wrong(
    "load: hooks holds {'a': 1}, which is no hook",
    "Make it with @success_hook or @failure_hook.",
)
def hooks_that_cannot_be_in_a_set():
    load.with_hooks([{"a": 1}])


@wrong(
    "job 'etl': two of its hooks have one name",
    "Give each a name of its own.",
)
def two_hooks_of_one_name():
    hooks = [success_hook(name="tell")(told), failure_hook(name="tell")(told)]
    job(hooks=hooks)(etl)


@wrong(
    "success_hook: it is made of a lambda, which has no name of its own",
    "Write a def, or say name='...'.",
)
def a_hook_of_a_lambda():
    success_hook(lambda context: None)


@wrong(
    "failure_hook: 'tell' is no function",
    "Write @failure_hook above a def.",
)
def a_hook_of_a_text():
    failure_hook(name="tell")("tell")


# -- wiring -------------------------------------------------------------------------------------------------------


@wrong(
    "job 'etl': clean is given 2 inputs, and takes rows",
    "Hand over inputs only: context, configuration and resources come by themselves.",
)
def too_many_inputs():
    @job
    def etl():
        clean(load(), load())


@wrong(
    "job 'etl': free is given 1 input, and takes none",
    "Hand over inputs only: context, configuration and resources come by themselves.",
)
def a_context_handed_over():
    @job
    def etl():
        free(None)


@wrong(
    "job 'etl': clean has no input 'row'; did you mean 'rows'? (it has: rows)",
    "Correct the name.",
)
def an_unknown_input():
    @job
    def etl():
        clean(row=load())


@wrong(
    "job 'etl': clean: the input 'rows' is given twice",
    "Give it once.",
)
def an_input_given_twice():
    @job
    def etl():
        clean(load(), rows=load())


@wrong(
    "job 'etl': clean.rows is given 3, which is not what another call gave",
    "A plain value belongs into the run config (ops: NAME: inputs:), a default, or an op that returns it.",
)
def a_plain_value():
    @job
    def etl():
        clean(3)


@wrong(
    "job 'etl': clean.rows is given {'limit': 3}, which is not what another call gave",
    "A plain value belongs into the run config (ops: NAME: inputs:), a default, or an op that returns it.",
)
def a_configuration_as_input():
    @job
    def etl():
        clean({"limit": 3})


@wrong(
    "job 'etl': clean.rows is given op 'load', which is not called",
    "Call it there, and hand over what it gives.",
)
def an_op_that_was_not_called():
    @job
    def etl():
        clean(load)


@wrong(
    "job 'etl': clean.rows is given None: nothing, or what a call gave that has no output",
    "Give that op an output; to only wait for it, declare ins={'start': In(Nothing)} and an output there.",
)
def what_gives_nothing_as_input():
    @op(out={})
    def silent(): ...

    @job
    def etl():
        clean(silent())


@wrong(
    "job 'etl': clean.rows is given all outputs of a node at once: big, small",
    "Take one of them, as .big.",
)
def all_outputs_at_once():
    @job
    def etl():
        clean(split())


@wrong(
    "job 'etl': total.rows[1] is itself a list; a list holds one output of a step each",
    "Hand it over as an input of its own, or return it from an op first.",
)
def a_list_in_a_list():
    @job
    def etl():
        total([load(), [load(), load()]])


@wrong(
    "job 'etl': total.rows[1] is given 3, which is not what another call gave",
    "A plain value belongs into the run config (ops: NAME: inputs:), a default, or an op that returns it.",
)
def a_value_in_a_list():
    @job
    def etl():
        total([load(), 3])


@wrong(
    "job 'etl': total.rows is given an empty list",
    "Leave it out, and give the input a default of [].",
)
def an_empty_list():
    @job
    def etl():
        total([])


@wrong(
    "job 'etl': total.rows[1] is itself a list; a list holds one output of a step each",
    "Hand it over as an input of its own, or return it from an op first.",
)
def a_collected_list_in_a_list():
    @job
    def etl():
        total([load(), each().collect()])


@wrong(
    "job 'etl': total.rows[0] is itself each of many values; a list holds one output of a step each",
    "Hand it over as an input of its own, or return it from an op first.",
)
def a_value_to_map_in_a_list():
    @job
    def etl():
        each().map(lambda row: total([row, load()]))


@wrong(
    "job 'etl': total.rows: the list holds clean.result, of which there is one for each value of each.result",
    "Hand it over as an input of its own, or return it from an op first.",
)
def a_mapped_step_in_a_list():
    @job
    def etl():
        each().map(lambda row: total([clean(row), load()]))


@wrong(
    "job 'etl': inner.total.rows: the list holds what is itself many values",
    "Hand it over as an input of its own, or return it from an op first.",
)
def a_list_of_a_graph_input_that_is_a_list():
    @graph
    def inner(rows):
        return total([rows, load()])

    @job
    def etl():
        inner([load(), load()])


@wrong(
    "load.result is asked whether it is true, and has no value yet: the graph is only wired here",
    "Decide inside of an op; an output with is_required=False may stay away, and what needs it is skipped.",
)
def a_condition_on_an_output():
    @job
    def etl():
        if load():
            free()


@wrong(
    "load.result is gone through or taken apart, and has no value yet: the graph is only wired here",
    "Declare several outputs with out={'a': Out(), 'b': Out()}, or a dynamic one and .map().",
)
def a_loop_over_an_output():
    @job
    def etl():
        for row in load():
            clean(row)


@wrong(
    "load.result is gone through or taken apart, and has no value yet: the graph is only wired here",
    "Declare several outputs with out={'a': Out(), 'b': Out()}, or a dynamic one and .map().",
)
def outputs_taken_apart_that_are_one():
    @job
    def etl():
        big, small = load()
        join(big, small)


@wrong(
    "job 'etl': steps wait for each other in a circle: a -> c -> b -> a",
    "Take one of these dependencies away.",
)
def steps_in_a_circle():
    from foldlog.engine.definitions.graph import FromOutput, GraphDefinition, Node

    nodes = {name: Node(name=name, definition=clean) for name in "abc"}
    around = {("a", "rows"): FromOutput("b", "result"), ("b", "rows"): FromOutput("c", "result")}
    GraphDefinition(name="etl", nodes=nodes, dependencies={**around, ("c", "rows"): FromOutput("a", "result")}).to_job()


@wrong(
    "graph 'second': clean.rows comes from load.result, and there is no node 'load'",
    "Call it inside of this graph; what a call in another graph gave cannot be taken.",
)
def a_handle_of_another_graph():
    kept = []

    @job
    def first():
        kept.append(load())

    @job
    def second():
        clean(kept[0])


# -- dynamic outputs ----------------------------------------------------------------------------------------------


@wrong(
    "job 'etl': clean.rows is given the dynamic output each.result as it is",
    "Write .map(...) behind it for a step each, or .collect() for the list of all.",
)
def a_dynamic_output_as_it_is():
    @job
    def etl():
        clean(each())


@wrong(
    "job 'etl': total.rows is given what .map() gave as it is: clean.result, of which there are many",
    "Go on inside of .map(), or write .collect() for the list of all.",
)
def a_mapped_output_as_it_is():
    @job
    def etl():
        total(each().map(clean))


@wrong(
    "load.result is no dynamic output, so there is nothing to map over",
    "Declare it with out=DynamicOut(), and yield a DynamicOutput for each value.",
)
def map_of_a_plain_output():
    @job
    def etl():
        load().map(clean)


@wrong(
    "load.result is no dynamic output, so there is nothing to collect",
    "Collect a dynamic output, or what .map() gave.",
)
def collect_of_a_plain_output():
    @job
    def etl():
        total(load().collect())


@wrong(
    "each.result.map is given load.result, which is no function",
    "Give an op, a graph or a lambda of one parameter.",
)
def map_of_what_is_no_function():
    @job
    def etl():
        each().map(load())


@wrong(
    "each.result.map: what it calls gives each.result, which no call in it gave",
    "Call an op or a graph with the value, and return what that gives.",
)
def map_that_calls_nothing():
    @job
    def etl():
        each().map(lambda row: row).collect()


@wrong(
    "job 'etl': total.rows[0] is given what .map() gave as it is: clean.result, of which there are many",
    "Go on inside of .map(), or write .collect() for the list of all.",
)
def a_list_of_what_was_mapped():
    @job
    def etl():
        total(each().map(lambda row: [clean(row), clean(row)]))


@wrong(
    "job 'etl': again has a dynamic output, and is itself mapped over each.result",
    "There is no map within a map: collect before it, or yield all values from one op.",
)
def a_map_in_a_map():
    @job
    def etl():
        each().map(again)


@wrong(
    "job 'etl': again has a dynamic output, and is itself mapped over each.result",
    "There is no map within a map: collect before it, or yield all values from one op.",
)
def a_map_in_a_map_by_its_own_output():
    @job
    def etl():
        each().map(lambda row: again(row).map(clean))


@wrong(
    "job 'etl': join takes values of two dynamic outputs, each_2.result and each.result",
    "Collect one of them.",
)
def two_dynamic_outputs_in_one_step():
    @job
    def etl():
        other = each()
        each().map(lambda row: other.map(lambda one: join(row, one)))


@wrong(
    "job 'etl': total.rows collects load.result, of which there is only one: what .map() called does not take "
    "its value",
    "Hand the value on to it, or call it outside of .map() and leave .collect() away.",
)
def map_that_does_not_take_the_value():
    @job
    def etl():
        total(each().map(lambda row: load()).collect())


@wrong(
    "each.result.map: what it calls gives 3, which no call in it gave",
    "Call an op or a graph with the value, and return what that gives.",
)
def map_that_gives_a_number():
    @job
    def etl():
        each().map(lambda row: 3)


@wrong(
    "job 'etl': sums.result is a list that is collected inside, and what .map() called does not take its value",
    "Call it outside of .map(), and hand the list over as it is.",
)
def a_list_of_a_graph_mapped():
    @graph
    def sums():
        return each().collect()

    @job
    def etl():
        total(each().map(lambda row: sums()).collect())


# -- graphs -------------------------------------------------------------------------------------------------------


@wrong(
    "job 'etl' calls no op",
    "Call at least one op or graph inside of it.",
)
def a_job_without_ops():
    @job
    def etl(): ...


@wrong(
    "graph 'etl' returns its input 'rows' as it is",
    "Whoever calls it has that; return what a call gave.",
)
def a_graph_without_ops():
    @graph
    def etl(rows):
        return rows


@wrong(
    "graph 'etl' returns 3, which is not what a call in it gave",
    "Return one handle, or a dict of handles by name.",
)
def a_graph_that_returns_a_value():
    @graph
    def etl():
        load()
        return 3


@wrong(
    "graph 'etl' returns (load.result, load_2.result), which is not what a call in it gave",
    "Return one handle, or a dict of handles by name.",
)
def a_graph_that_returns_a_tuple():
    @graph
    def etl():
        return load(), load()


@wrong(
    "graph 'etl' returns all outputs of a node at once: big, small",
    "Return a dict of handles by name; ._asdict() makes one.",
)
def a_graph_that_returns_all_outputs():
    @graph
    def etl():
        return split()


@wrong(
    "graph 'etl' returns its input 'rows' as it is",
    "Whoever calls it has that; return what a call gave.",
)
def a_graph_that_returns_its_input():
    @graph
    def etl(rows):
        clean(rows)
        return rows


@wrong(
    "graph 'etl' returns what .map() gave as it is: clean.result",
    "Return its .collect(), the list of all.",
)
def a_graph_that_returns_what_it_mapped():
    @graph
    def etl():
        return each().map(clean)


@wrong(
    "graph 'etl': output 'all rows': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give the output another name.",
)
def a_graph_output_with_a_bad_name():
    @graph
    def etl():
        return {"all rows": load()}


@wrong(
    "graph 'etl': out has 'rows', which it does not return (it returns: result)",
    "Return a dict by those names.",
)
def a_graph_output_that_it_does_not_return():
    @graph(out={"rows": Out()})
    def etl():
        return load()


@wrong(
    "graph 'etl': out=the class int is no Out",
    "Write out=Out(int), or out={'rows': Out()}.",
)
def a_graph_out_that_is_a_type():
    @graph(out=int)
    def etl():
        return load()


@wrong(
    "graph 'etl': the parameter *rows has no name to bind to",
    "Name each input.",
)
def a_graph_of_star_args():
    @graph
    def etl(*rows):
        clean(*rows)


@wrong(
    "job 'etl': it has a parameter `context`, and its function is called once, when it is defined",
    "Write `context` as a parameter of an op; those of a graph are its inputs.",
)
def a_graph_with_a_context():
    @job
    def etl(context):
        load()


@wrong(
    "job 'etl' is async",
    "Write a plain def; it only wires ops, which do the work.",
)
def an_async_graph():
    @job
    async def etl():
        load()


@wrong(
    "job 'etl' has a yield",
    "Return one handle, or a dict of handles by name.",
)
def a_graph_with_a_yield():
    @job
    def etl():
        yield load()


@wrong(
    "graph: 'etl' is no function",
    "Write @graph above a def.",
)
def a_graph_of_a_text():
    graph(name="etl")("etl")


@wrong(
    "graph 'etl' is called outside of a graph",
    "Make a job of it with etl.to_job(), and execute that.",
)
def a_graph_called_outside():
    @graph
    def etl():
        load()

    etl()


@wrong(
    "load with an alias, tags, hooks or a retry policy is called outside of a graph",
    "Call it inside the function of a @graph or @job.",
)
def an_alias_called_outside():
    load.alias("other")()


@wrong(
    "job 'inner' is called",
    "Execute it with foldlog.execute_job(inner); make a @graph of what is part of several jobs.",
)
def a_job_called_in_a_job():
    @job
    def inner():
        load()

    @job
    def outer():
        inner()


@wrong(
    "asset orders is called inside of a graph",
    "Assets are wired by their keys: define_asset_job makes a job of them.",
)
def an_asset_called_in_a_job():
    @foldlog.asset
    def orders(): ...

    @job
    def etl():
        orders()


@wrong(
    "job 'etl': clean.rows is given asset orders, and ops of a graph take no assets",
    "Make an asset of what takes it (@asset), or load it inside of the op.",
)
def an_asset_as_input_of_an_op():
    @foldlog.asset
    def orders(): ...

    @job
    def etl():
        clean(orders)


# -- jobs and resources -------------------------------------------------------------------------------------------


@wrong(
    "job 'etl': config='ops.yaml' is no mapping",
    "Write config={'ops': {'load': {'config': {...}}}}.",
)
def a_job_config_that_is_a_text():
    job(config="ops.yaml")(etl)


@wrong(
    "job 'etl': resources=['warehouse'] is no mapping",
    "Write {'warehouse': warehouse}.",
)
def a_job_with_resources_as_a_list():
    job(resource_defs=["warehouse"])(etl)


@wrong(
    "job 'etl': resource 'ware-house': a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give the resource another key.",
)
def a_job_with_a_bad_resource_key():
    job(resource_defs={"ware-house": 1})(etl)


@wrong(
    "job 'etl': partitions_def='daily' defines no partitions",
    "Write DailyPartitionsDefinition('2026-01-01'), StaticPartitionsDefinition(['eu', 'us']) or another.",
)
def a_job_with_partitions_as_text():
    job(partitions_def="daily")(etl)


@wrong(
    "resource 'warehouse': its function has the parameter 'url'",
    "It may take `context`, `config`, and what is in required_resource_keys.",
)
def a_resource_with_another_parameter():
    @resource
    def warehouse(url): ...


@wrong(
    "resource: 'warehouse' is no function",
    "Write @resource above a def.",
)
def a_resource_of_a_text():
    resource("warehouse")


@wrong(
    "resource 'warehouse' takes no configuration",
    "Give its function a parameter `config`.",
)
def a_resource_configured_that_takes_none():
    @resource
    def warehouse(): ...

    warehouse.configured({"url": "x"})


class WarehouseConfig(Config):
    url: str


@wrong(
    "resource 'warehouse': 'sqlite:///x' is no configuration",
    "Give a WarehouseConfig, or a mapping as {'url': ...}.",
)
def a_resource_configured_wrongly():
    @resource
    def warehouse(config: WarehouseConfig): ...

    warehouse.configured("sqlite:///x")


# -- said in passing, and found later -----------------------------------------------------------------------------


@wrong(
    "hook 'tell' is async",
    "Write a plain def; call asyncio.run() inside of it.",
)
def a_hook_that_nobody_waits_for():
    @success_hook(name="tell")
    async def tells(context): ...


@wrong(
    "hook 'tell': its function takes (); it is called with one argument, the context",
    "Write def tell(context).",
)
def a_hook_without_a_parameter():
    @failure_hook
    def tell(): ...


@wrong(
    "hook 'tell': its function takes (context, *, more); it is called with one argument, the context",
    "Write def tell(context).",
)
def a_hook_with_more_parameters():
    @failure_hook
    def tell(context, *, more): ...


@wrong(
    "job 'later': hooks=5 is no set of hooks",
    "Write hooks={tell}.",
)
def hooks_of_a_job_of_assets():
    define_asset_job("later", hooks=5)  # type: ignore[arg-type]


@wrong(
    "job 'later': tags=5 is no mapping of texts to texts",
    "Write tags={'team': 'growth'}.",
)
def tags_of_a_job_of_assets():
    define_asset_job("later", tags=5)  # type: ignore[arg-type]


@wrong(
    "job 'later': op_retry_policy=3 is no RetryPolicy",
    "Write RetryPolicy(max_retries=3).",
)
def a_retry_policy_of_a_job_of_assets():
    define_asset_job("later", op_retry_policy=3)


@wrong(
    "AssetIn: metadata=5 is no mapping",
    "Write metadata={'table': 'orders'}.",
)
def metadata_of_an_asset_in():
    AssetIn(metadata=5)  # type: ignore[arg-type]


@wrong(
    "AssetIn of raw: input_manager_key 5: a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Write the key of a resource.",
)
def a_manager_of_an_asset_in():
    AssetIn(key="raw", input_manager_key=5)  # type: ignore[arg-type]


@wrong(
    "AssetOut: group 3: a name is 1 to 100 letters, digits and '_', no digit at its start",
    "Give the group another name.",
)
def a_group_of_an_asset_out():
    AssetOut(group_name=3)  # type: ignore[arg-type]


@wrong(
    "AssetOut of raw: metadata=3 is no mapping",
    "Write metadata={'owner': 'growth'}.",
)
def metadata_of_an_asset_out():
    AssetOut(key="raw", metadata=3)  # type: ignore[arg-type]


@wrong(
    "asset load: check_specs=None is no list",
    "Write check_specs=[AssetCheckSpec(name='no_nulls', asset='orders')].",
)
def no_check_specs():
    asset(check_specs=None)(load.fn)  # type: ignore[call-overload]


@wrong(
    "asset load: check_specs=an AssetCheckSpec is no list",
    "Write check_specs=[AssetCheckSpec(name='no_nulls', asset='orders')].",
)
def one_check_spec():
    asset(check_specs=AssetCheckSpec(name="n", asset="load"))(load.fn)  # type: ignore[call-overload]


@wrong(
    "multi_asset 'load': internal_asset_deps of 'a': deps='up' is no list of assets",
    "Write deps=['up'].",
)
def internal_deps_that_are_letters():
    multi_asset(outs={"a": AssetOut()}, internal_asset_deps={"a": "up"})(load.fn)


@wrong(
    "asset check orders:ok: blocking='yes' is not True or False",
    "Write blocking=True or False.",
)
def blocking_as_a_text():
    asset_check(asset="orders", name="ok", blocking="yes")(load.fn)  # type: ignore[arg-type]


@wrong(
    "asset load: output_required='no' is not True or False",
    "Write output_required=True or False.",
)
def output_required_as_a_text():
    asset(output_required="no")(load.fn)  # type: ignore[call-overload]


@wrong(
    "asset load: kinds='sql' is no set of texts",
    "Write kinds={'sql'}.",
)
def kinds_as_a_text():
    asset(kinds="sql")(load.fn)


@wrong(
    "Definitions: asset load is given without saying what it is",
    "Write Definitions(assets=[...], asset_checks=[...], jobs=[...], resources={...}).",
)
def definitions_without_keywords():
    Definitions(asset(load.fn))  # type: ignore[misc]


@wrong(
    "Definitions: the resource 'io_manager', which keeps values of asset load, is 5, no IOManager",
    "Give an object of a class that derives from foldlog.IOManager.",
)
def an_io_manager_that_is_none():
    Definitions(assets=[asset(load.fn)], resources={"io_manager": 5})


@wrong(
    "job 'etl': the resource 'io_manager', which keeps values of step load, is 5, no IOManager",
    "Give an object of a class that derives from foldlog.IOManager.",
)
def an_io_manager_of_a_job_that_is_none():
    foldlog.execute_job(job(resource_defs={"io_manager": 5})(etl))


@wrong(
    "job 'needs': there is no resource 'warehouse', which step free requires (there are: file_manager, io_manager)",
    "Give it, as resources={'warehouse': ...} of the Definitions, the job, or the call.",
)
def a_resource_that_a_job_lacks():
    needing = op(name="free", required_resource_keys={"warehouse"})(free.fn)
    Definitions(jobs=[job(name="needs")(lambda: needing())])


# -- values that are not there while a graph is wired ----------------------------------------------------------------

USED = {
    "a() > 3": lambda: load() > 3,
    "a() + 1": lambda: load() + 1,
    "1 + a()": lambda: 1 + load(),
    "-a()": lambda: -load(),
    "a()[0]": lambda: load()[0],
    "3 in a()": lambda: 3 in load(),
    "len(a())": lambda: len(load()),
    "a() % 2": lambda: load() % 2,
    "a() == 3": lambda: load() == 3,
    "a() != 3": lambda: load() != 3,
}


@pytest.mark.parametrize("use", USED)
def test_what_is_reckoned_with_while_a_graph_is_wired_is_refused(use: str) -> None:
    with pytest.raises(foldlog.UsageError) as caught:
        job(name="etl")(USED[use])
    assert str(caught.value) == (
        "load.result is reckoned with, compared or looked into, and has no value yet: the graph is only wired here"
    )
    assert caught.value.remedy == "Do it in an op, which is given the value."


@wrong(
    "load.result.foo is asked for, and load.result has no value yet: the graph is only wired here",
    "Take it in an op; or declare several outputs, out={'a': Out(), 'b': Out()}, which a call gives by name.",
)
def an_attribute_of_an_output():
    job(name="etl")(lambda: load().foo)


@wrong(
    "the input 'rows' of the graph.foo is asked for, and the input 'rows' of the graph has no value yet: the graph is "
    "only wired here",
    "Take it in an op; or declare several outputs, out={'a': Out(), 'b': Out()}, which a call gives by name.",
)
def an_attribute_of_an_input():
    @graph
    def etl(rows):
        clean(rows.foo)


@wrong(
    "there is no op 'outer'; `outer.*` is all that is in outer",
    "There are outer.load; `*` selects all.",
)
def a_graph_in_place_of_its_steps():
    foldlog.execute_job(job(name="all_of_it")(lambda: graph(name="outer")(etl)()), op_selection="outer")


@pytest.mark.parametrize("name", wrong.rows)
def test_it_is_refused_in_these_words(name: str) -> None:
    wrong.check(name)
