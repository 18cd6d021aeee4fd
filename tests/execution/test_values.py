"""Values between steps: what functions may give and how, types, outputs that stay away, dynamic ones, job inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, NewType, Protocol, TypedDict

import msgspec
import pytest
from watching import fact, facts, run, story

from foldlog import (
    Config,
    DynamicOut,
    DynamicOutput,
    In,
    Instance,
    Nothing,
    Out,
    Output,
    UsageError,
    graph,
    job,
    op,
)


def only(*ops: Any, **options: Any) -> Any:
    """A job that calls these ops, each by itself."""

    @job(name="only", **options)
    def made():
        for one in ops:
            one()

    return made


def failure(result: Any, step_key: str | None = None) -> str:
    """The message with which a step failed."""
    text: str = fact(result, "STEP_FAILURE", step_key).error.message
    return text


# -- how a function gives its outputs --------------------------------------------------------------------------------

TWO = {"a": Out(), "b": Out()}


@op
def returned() -> int:
    return 1


@op
def wrapped():
    return Output(1, metadata={"rows": 3})


@op(out=Out(int))
def yielded():
    yield Output(1)


@op(out={"only": Out(int)})
def named() -> int:
    return 1


@op(out={"only": Out(int)})
def unnamed():
    return Output(1)  # of the only output there is


@op(out=TWO)
def both() -> tuple[int, str]:
    return 1, "b"


@op(out=TWO)
def both_wrapped():
    return Output("b", "b"), Output(1, "a")


@op(out=TWO)
def both_yielded():
    yield Output("b", "b")
    yield Output(1, "a")


@op(out=TWO)
def half_wrapped():
    return 1, Output("b", metadata={"k": "v"})


class Pair(NamedTuple):
    a: int
    b: str


@op(out=TWO)
def as_named_tuple():
    return Pair(1, "b")


@pytest.mark.parametrize("given", [returned, wrapped, yielded, named, unnamed], ids=lambda one: one.name)
def test_one_output(given, memory: Instance) -> None:
    result = run(only(given), memory)
    name = next(iter(given.outs))
    assert result.output_for_node(given.name, name) == 1
    assert story(result, given.name) == ["STEP_START", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]


@pytest.mark.parametrize(
    "given", [both, both_wrapped, both_yielded, half_wrapped, as_named_tuple], ids=lambda one: one.name
)
def test_two_outputs(given, memory: Instance) -> None:
    result = run(only(given), memory)
    assert result.success, result.error
    assert (result.output_for_node(given.name, "a"), result.output_for_node(given.name, "b")) == (1, "b")
    assert story(result, given.name).count("HANDLED_OUTPUT") == 2


def test_metadata_of_an_output_is_in_its_event(memory: Instance) -> None:
    @op
    def adds(context):
        context.add_output_metadata({"from": "context"})
        return Output(1, metadata={"from_output": 2})

    result = run(only(adds, wrapped), memory)
    assert fact(result, "STEP_OUTPUT", "wrapped").metadata == {"rows": 3}
    assert fact(result, "STEP_OUTPUT", "adds").metadata == {"from": "context", "from_output": 2}


def test_metadata_for_an_output_that_was_given_is_refused(memory: Instance) -> None:
    @op(out=TWO)
    def late(context):
        context.add_output_metadata({"k": 1}, "b")
        yield Output(1, "a")
        with pytest.raises(UsageError, match="has given its output 'a' before"):
            context.add_output_metadata({"k": 2}, "a")
        with pytest.raises(UsageError, match="no output 'c'"):
            context.add_output_metadata({"k": 2}, "c")
        yield Output(2, "b")

    result = run(only(late), memory)
    assert result.success, result.error
    assert [one.metadata for one in facts(result, "STEP_OUTPUT")] == [{}, {"k": 1}]


@op
def gives_none() -> None: ...


@op
def gives_nothing_stated():
    return None


@op(out=Out(Nothing))
def gives_nothing(): ...


def test_none_is_a_value_and_nothing_is_not(memory: Instance) -> None:
    @op
    def takes(value):
        assert value is None
        return "took"

    @op(ins={"before": In(Nothing)})
    def waits():
        return "waited"

    @job
    def one():
        takes.alias("of_none")(gives_none())
        takes.alias("of_unstated")(gives_nothing_stated())
        waits(gives_nothing())

    result = run(one, memory)
    assert result.success, result.error
    assert story(result, "gives_none") == ["STEP_START", "STEP_OUTPUT", "STEP_SUCCESS"]
    assert story(result, "gives_nothing") == ["STEP_START", "STEP_OUTPUT", "STEP_SUCCESS"]
    assert story(result, "gives_nothing_stated") == ["STEP_START", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    assert story(result, "of_none")[1] == "STEP_INPUT"  # nothing was loaded, for nothing was kept
    assert story(result, "waits") == ["STEP_START", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    assert result.output_for_node("gives_none") is None


def _wrong(name: str) -> Any:
    """An op that gives what it should not."""

    @op(out=TWO)
    def too_few():
        return (1,)

    @op(out=TWO)
    def too_many():
        return 1, 2, 3

    @op(out=TWO)
    def no_tuple():
        return [1, 2]

    @op(out=TWO)
    def wrong_place():
        return Output(1, "b"), 2

    @op(out=TWO)
    def missing():
        yield Output(1, "a")

    @op(out=TWO)
    def twice():
        yield Output(1, "a")
        yield Output(1, "a")

    @op
    def unknown():
        yield Output(1, "other")

    @op
    def no_output():
        yield 7

    @op
    def dynamic_for_plain():
        yield DynamicOutput(1, "k")

    @op(out=DynamicOut())
    def plain_for_dynamic():
        yield Output(1)

    @op(out=DynamicOut())
    def value_for_dynamic():
        return 5

    @op(out=DynamicOut())
    def same_key():
        yield DynamicOutput(1, "k")
        yield DynamicOutput(2, "k")

    @op(out=DynamicOut())
    def no_key():
        yield DynamicOutput(1, "a b")

    @op(out={})
    def no_outs():
        return 5

    @op
    def generator_never_yields() -> Iterator[Output]:
        yield from ()

    return locals()[name]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("too_few", r"step too_few has 2 outputs (a, b), and its function returned (1,)"),
        ("too_many", r"step too_many has 2 outputs (a, b), and its function returned (1, 2, 3)"),
        ("no_tuple", r"step no_tuple has 2 outputs (a, b), and its function returned [1, 2]"),
        ("wrong_place", "the output 'b' stands at the place of 'a' in the tuple"),
        ("missing", "step missing did not give its output 'b'"),
        ("twice", "step twice gave its output 'a' twice"),
        ("unknown", "step unknown has no output 'other'; it has: result"),
        ("no_output", "step no_output yielded 7"),
        ("dynamic_for_plain", "its output 'result' wants Output, not DynamicOutput"),
        ("plain_for_dynamic", "its output 'result' wants DynamicOutput, not Output"),
        ("value_for_dynamic", "its output 'result' is dynamic, and its function returned 5"),
        ("same_key", "step same_key gave two values of 'result' under the key 'k'"),
        ("no_key", "mapping_key='a b' is no key"),
        ("no_outs", "step no_outs has no outputs, and its function returned 5"),
        ("generator_never_yields", "step generator_never_yields did not give its output 'result'"),
    ],
)
def test_what_an_op_must_not_give(name: str, message: str, memory: Instance) -> None:
    result = run(only(_wrong(name)), memory)
    assert result.step_outcomes == {name: "FAILURE"}
    assert message in failure(result)
    assert fact(result, "STEP_FAILURE").source == "USER_CODE"
    if name in ("twice", "missing", "same_key"):  # what came before is told, too
        assert story(result, name)[:3] == ["STEP_START", "STEP_OUTPUT", "HANDLED_OUTPUT"]


# -- types -----------------------------------------------------------------------------------------------------------


def test_an_output_of_another_type_fails_its_step(instance: Instance) -> None:
    @op
    def text() -> int:
        return "7"  # type: ignore[return-value]

    result = run(only(text), instance)
    assert story(result, "text") == ["STEP_START", "STEP_OUTPUT", "STEP_FAILURE"]
    check = fact(result, "STEP_OUTPUT").type_check
    assert not check.success
    assert check.description == "a str: '7' was given; wanted int"
    told, remedy = failure(result).splitlines()
    assert told == "step text: its output 'result': a str: '7' was given; wanted int"
    assert remedy.startswith("What to do: Return a value of that type, or change the annotation")


def test_an_input_of_another_type_fails_the_step_that_takes_it(instance: Instance) -> None:
    @op
    def untyped():
        return "7"

    @op
    def takes(value: int) -> int:
        return value

    @job
    def one():
        takes(untyped())

    result = run(one, instance)
    assert story(result, "takes") == ["STEP_START", "LOADED_INPUT", "STEP_INPUT", "STEP_FAILURE"]
    check = fact(result, "STEP_INPUT").type_check
    assert (check.success, check.description) == (False, "a str: '7' was given; wanted int")
    assert failure(result) == "step takes: its input 'value': a str: '7' was given; wanted int"


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (float, 1, "1"),
        (int | None, None, "x"),
        (list[int], ["not looked at"], (1,)),
        (Literal["a", "b"], "a", 1),
        (dict[str, int], {}, []),
        (Any, object, None),
        (type(None), None, 1),
    ],
    ids=str,
)
def test_types_are_checked_as_far_as_a_class_tells(annotation, good, bad, memory: Instance) -> None:
    def giving(value: Any) -> Any:
        @op(out=Out(annotation), name="gives")
        def gives():
            return value

        return run(only(gives), memory).success

    assert giving(good)
    assert giving(bad) is (annotation is Any)


# -- outputs that may stay away --------------------------------------------------------------------------------------


@op(out={"left": Out(is_required=False), "right": Out(is_required=False)})
def either():
    yield Output(1, "right")


@op
def plus_one(value: int) -> int:
    return value + 1


@op
def summed(values: list) -> int:
    return sum(values)


@op
def pair(left: int, right: int) -> int:
    return left + right


def test_what_needs_an_output_that_stayed_away_is_skipped(instance: Instance) -> None:
    @job
    def one():
        left, right = either()
        skipped = plus_one.alias("on_left")(left)
        done = plus_one.alias("on_right")(right)
        plus_one.alias("behind")(skipped)
        pair(skipped, done)
        summed([skipped, done])
        summed.alias("of_none")([skipped, plus_one.alias("also_left")(left)])

    result = run(one, instance)
    assert result.success
    assert result.step_outcomes == {
        "either": "SUCCESS",
        "on_left": "SKIPPED",
        "on_right": "SUCCESS",
        "behind": "SKIPPED",
        "pair": "SKIPPED",
        "summed": "SUCCESS",
        "also_left": "SKIPPED",
        "of_none": "SKIPPED",
    }
    assert result.output_for_node("summed") == 2  # a list does with what came
    reasons = {one.event.step_key: one.event.fact.reason for one in result.events() if one.event.type == "STEP_SKIPPED"}
    assert reasons["on_left"] == "input 'value': either.left stayed away"
    assert reasons["behind"] == "input 'value': on_left.result stayed away"
    assert reasons["of_none"] == "input 'values': on_left.result stayed away"
    statuses = {one.step_key: one.status for one in instance.get_run_steps(result.run_id)}
    assert statuses == result.step_outcomes
    with pytest.raises(UsageError, match=r"'left' of step either did not come: the step is SUCCESS"):
        result.output_for_node("either", "left")


def test_a_failure_upstream_weighs_more_than_a_skip(memory: Instance) -> None:
    @op
    def fails() -> int:
        raise ValueError

    @job
    def one():
        left, _ = either()
        pair(left, fails())

    assert run(one, memory).step_outcomes["pair"] == "ABANDONED"


def test_an_optional_output_may_be_returned_as_none(memory: Instance) -> None:
    @op(out=Out(is_required=False))
    def maybe():
        return None

    @job
    def one():
        plus_one(maybe())

    result = run(one, memory)
    assert result.step_outcomes == {"maybe": "SUCCESS", "plus_one": "SKIPPED"}
    assert story(result, "maybe") == ["STEP_START", "STEP_SUCCESS"]


# -- dynamic outputs -------------------------------------------------------------------------------------------------


class Parts(Config):
    keys: list[str] = msgspec.field(default_factory=lambda: ["b", "a", "c"])


@op(out=DynamicOut(int))
def parts(config: Parts):
    for number, key in enumerate(config.keys):
        yield DynamicOutput(number, key, metadata={"n": number})


@job
def fanned():
    lanes = parts().map(plus_one)
    summed(lanes.map(plus_one.alias("again")).collect())


def test_there_is_a_step_for_each_key_in_their_order(instance: Instance) -> None:
    result = run(fanned, instance)
    assert result.success, result.error
    begun = [one.removeprefix("STEP_START ") for one in story(result) if one.startswith("STEP_START")]
    assert begun[0] == "parts"
    assert [one for one in begun if one.startswith("plus_one")] == ["plus_one[b]", "plus_one[a]", "plus_one[c]"]
    assert [one for one in begun if one.startswith("again")] == ["again[b]", "again[a]", "again[c]"]
    assert begun[-1] == "summed"
    assert result.output_for_node("summed") == 0 + 1 + 2 + 3 * 2
    assert result.output_for_node("parts") == {"b": 0, "a": 1, "c": 2}
    assert result.output_for_node("plus_one[a]") == 2
    assert result.output_for_node("plus_one") == {"b": 1, "a": 2, "c": 3}
    outputs = facts(result, "STEP_OUTPUT", "parts")
    assert [(one.mapping_key, one.metadata) for one in outputs] == [("b", {"n": 0}), ("a", {"n": 1}), ("c", {"n": 2})]
    assert [one.mapping_key for one in facts(result, "HANDLED_OUTPUT", "parts")] == ["b", "a", "c"]
    loaded = fact(result, "LOADED_INPUT", "again[a]")
    assert (loaded.upstream_step_key, loaded.upstream_output_name) == ("plus_one[a]", "result")
    loaded = fact(result, "LOADED_INPUT", "plus_one[a]")
    assert (loaded.upstream_step_key, loaded.upstream_output_name) == ("parts", "result")
    assert len(instance.get_run_steps(result.run_id)) == 8


def test_no_values_at_all(memory: Instance) -> None:
    result = run(fanned, memory, run_config={"ops": {"parts": {"config": {"keys": []}}}})
    assert result.success
    assert result.output_for_node("summed") == 0
    assert result.step_outcomes == {"parts": "SUCCESS", "summed": "SUCCESS"}
    assert result.output_for_node("parts") == {} == result.output_for_node("plus_one")


def test_a_lane_that_fails_or_is_skipped_leaves_the_others(memory: Instance) -> None:
    @op(out=Out(is_required=False))
    def picky(value: int):
        if value == 0:
            raise ValueError("no zero")
        if value == 1:
            yield Output(value)

    @job
    def one():
        lanes = parts().map(picky)
        behind = lanes.map(plus_one)
        summed(behind.collect())

    result = run(one, memory)
    assert result.step_outcomes == {
        "parts": "SUCCESS",
        "picky[b]": "FAILURE",
        "picky[a]": "SUCCESS",
        "picky[c]": "SUCCESS",
        "plus_one[b]": "ABANDONED",
        "plus_one[a]": "SUCCESS",
        "plus_one[c]": "SKIPPED",
        "summed": "ABANDONED",
    }
    config = {"ops": {"parts": {"config": {"keys": ["x", "a", "c"]}}}}
    skipping = {"ops": {"parts": {"config": {"keys": []}}}}
    assert run(one, memory, run_config=skipping).success
    assert run(one, memory, run_config=config).failed_step_keys == ("picky[x]",)


def test_dynamic_outputs_through_nested_graphs(memory: Instance) -> None:
    @graph
    def lane(value: int) -> int:
        return plus_one.alias("second")(plus_one.alias("first")(value))

    @graph
    def source():
        return parts()

    @graph
    def total(values: list) -> int:
        return summed(values)

    @job
    def nested():
        total(source().map(lane).collect())

    result = run(nested, memory)
    assert result.success, result.error
    assert result.output_for_node("total.summed") == 0 + 1 + 2 + 3 * 2
    assert "lane.second[a]" in result.step_outcomes
    assert result.output_for_node("lane.second[a]") == 3


# -- inputs from outside ---------------------------------------------------------------------------------------------


@job
def with_input(start: int):
    pair(plus_one(start), plus_one.alias("other")(start))


def test_inputs_of_the_job(instance: Instance) -> None:
    result = run(with_input, instance, run_config={"inputs": {"start": 4}})
    assert result.output_for_node("pair") == 10
    assert story(result, "plus_one")[:2] == ["STEP_START", "STEP_INPUT"]
    with pytest.raises(UsageError, match="start"):
        run(with_input, instance)
    with pytest.raises(UsageError, match="has no such input"):
        run(with_input, instance, run_config={"inputs": {"start": 1, "begin": 2}})


def test_inputs_in_the_run_config_and_defaults(memory: Instance) -> None:
    @op
    def defaulted(value: int = 5) -> int:
        return value

    @job
    def one():
        plus_one()
        defaulted()
        defaulted.alias("given")()

    config = {"ops": {"plus_one": {"inputs": {"value": 1}}, "given": {"inputs": {"value": 9}}}}
    result = run(one, memory, run_config=config)
    values = [result.output_for_node(name) for name in ("plus_one", "defaulted", "given")]
    assert values == [2, 5, 9]
    wrong = run(one, memory, run_config={"ops": {"plus_one": {"inputs": {"value": "1"}}}})
    assert wrong.failed_step_keys == ("plus_one",)
    assert "wanted int" in failure(wrong)


def test_a_value_may_stand_in_for_a_step_that_is_not_selected(memory: Instance) -> None:
    @job
    def one():
        plus_one.alias("second")(plus_one.alias("first")())

    config = {"ops": {"second": {"inputs": {"value": 10}}}}
    result = run(one, memory, op_selection="second", run_config=config)
    assert result.output_for_node("second") == 11
    record = memory.get_run_by_id(result.run_id)
    assert record is not None
    assert (record.op_selection, record.step_keys) == (("second",), ("second",))
    with pytest.raises(UsageError, match="which is not selected"):
        run(one, memory, op_selection="second")


class Inner(Config):
    name: str = "x"


class Options(Config):
    limit: int
    ratio: float = 0.5
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    names: list[str] = []


def test_configuration_is_what_its_class_says(instance: Instance) -> None:
    seen: list[Any] = []

    @op
    def configured(context, config: Options):
        assert context.op_config is config
        seen.append(config)

    config = {"ops": {"configured": {"config": {"limit": 3, "inner": {"name": "y"}, "names": ["n"]}}}}
    result = run(only(configured), instance, run_config=config)
    assert result.success, result.error
    assert seen == [Options(limit=3, inner=Inner(name="y"), names=["n"])]
    record = instance.get_run_by_id(result.run_id)
    assert record is not None
    assert record.run_config == config
    before = instance.get_runs_count()
    for wrong, place in (({"limit": "3"}, "limit"), ({"limit": 3, "kind": "c"}, "kind"), ({}, "limit")):
        with pytest.raises(UsageError, match=place):
            run(only(configured), instance, run_config={"ops": {"configured": {"config": wrong}}})
    assert instance.get_runs_count() == before  # nothing is recorded of what cannot begin


def test_a_dynamic_output_may_be_collected_as_it_is(memory: Instance) -> None:
    @job
    def one():
        summed(parts().collect())

    result = run(one, memory)
    assert result.output_for_node("summed") == 0 + 1 + 2
    loaded = facts(result, "LOADED_INPUT", "summed")
    assert [one.input_name for one in loaded] == ["values"] * 3


def test_what_collects_from_a_step_that_was_skipped_is_skipped(memory: Instance) -> None:
    @op(out=DynamicOut())
    def parts_of(value: int):
        yield DynamicOutput(value, "k")

    @job
    def one():
        left, _ = either()
        lanes = parts_of(left).map(plus_one)
        summed(lanes.collect())
        summed.alias("direct")(parts_of.alias("others")(left).collect())

    result = run(one, memory)
    assert result.step_outcomes == {
        "either": "SUCCESS",
        "parts_of": "SKIPPED",
        "others": "SKIPPED",
        "summed": "SKIPPED",
        "direct": "SKIPPED",
    }


def test_a_list_of_a_step_and_an_input_of_the_job(memory: Instance) -> None:
    @job
    def one(start: int):
        summed([start, returned()])

    result = run(one, memory, run_config={"inputs": {"start": 41}})
    assert result.success, result.error
    assert result.output_for_node("summed") == 42


class Shape(TypedDict):
    x: int


NEW = NewType("NEW", int)


class Sized(Protocol):
    def size(self) -> int: ...


@pytest.mark.parametrize("annotation", [Annotated[int, []], Shape, Sized, int | Sized, NewType("Id", int)], ids=str)
def test_types_that_isinstance_cannot_tell_pass(annotation, memory: Instance) -> None:
    @op(out=Out(annotation), name="gives")
    def gives():
        return 1

    assert run(only(gives), memory).success


def test_annotated_types_are_told_by_what_is_in_them(memory: Instance) -> None:
    @op(out=Out(Annotated[int, []]))
    def gives():
        return "1"

    assert "wanted int" in failure(run(only(gives), memory))


def test_nothing_may_be_returned_for_several_outputs_without_values(memory: Instance) -> None:
    @op(out={"a": Out(Nothing), "b": Out(Nothing)})
    def nothings(): ...

    @op(out={})
    def no_outs(): ...

    @op(out=DynamicOut())
    def none_came():
        return None

    result = run(only(nothings, no_outs, none_came), memory)
    assert result.success, result.error
    assert len(facts(result, "STEP_OUTPUT", "nothings")) == 2
    assert result.output_for_node("none_came") == {}
