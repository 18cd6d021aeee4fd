"""What an op is made of: names, inputs, outputs and options, read from any kind of function. And: all is frozen."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, fields
from typing import TYPE_CHECKING, Annotated, Any

import pytest

import foldlog
from foldlog import (
    AssetIn,
    AssetSpec,
    Config,
    Definitions,
    DynamicOut,
    DynamicOutput,
    In,
    Nothing,
    Out,
    Output,
    RetryPolicy,
    asset,
    define_asset_job,
    failure_hook,
    job,
    multi_asset,
    op,
    resource,
    success_hook,
)
from foldlog.engine.definitions.inout import NO_DEFAULT, UNSTATED
from foldlog.engine.definitions.op import OpDefinition

if TYPE_CHECKING:
    from decimal import Decimal


class Limit(Config):
    limit: int = 10


def annotations(definition: OpDefinition) -> dict[str, Any]:
    return {name: one.annotation for name, one in definition.ins.items()}


# -- inputs ---------------------------------------------------------------------------------------------------------


def test_parameters_are_inputs_but_for_context_config_and_resources() -> None:
    @op(required_resource_keys={"warehouse", "mail"})
    def load(context, rows: int, warehouse, config: Limit, *, factor: float = 2.0, notes=None):
        """Loads rows.

        And more.
        """

    assert load.name == "load"
    assert load.description == "Loads rows."
    assert annotations(load) == {"rows": int, "factor": float, "notes": UNSTATED}
    assert [one.default for one in load.ins.values()] == [NO_DEFAULT, 2.0, None]
    assert load.config_type is Limit
    assert load.signature.takes_context
    assert load.signature.resources == ("warehouse",)
    assert load.required_resource_keys == {"warehouse", "mail"}


@pytest.mark.parametrize("name", ["context", "_", "_context"])
def test_the_context_may_be_called_so(name: str) -> None:
    scope: dict[str, Any] = {}
    exec(f"def load({name}, rows): ...", scope)
    assert list(op(scope["load"]).ins) == ["rows"]


def test_what_is_stated_of_an_input_goes_over_its_parameter() -> None:
    @op(ins={"rows": In(list[int], default=[1], description="all", metadata={"table": object}), "start": In(Nothing)})
    def load(rows: int = 3, other: int = 4): ...

    assert annotations(load) == {"rows": list[int], "other": int, "start": Nothing}
    assert load.ins["rows"].default == [1]
    assert load.ins["rows"].metadata == {"table": object}  # any value: for an IO manager, not stored
    assert load.ins["start"].is_nothing
    assert not load.ins["start"].has_default


def test_annotations_are_known_by_names_local_to_the_function_around() -> None:
    """Every annotation in this file is a text when the function is made."""

    class Local(Config):
        size: int

    Rows = list[int]

    @op
    def load(config: Local, rows: Rows) -> Rows: ...

    assert load.config_type is Local
    assert annotations(load) == {"rows": list[int]}
    assert load.outs["result"].annotation == list[int]

    def inner() -> OpDefinition:
        class Deeper(Config):
            size: int

        @op
        def deep(config: Deeper): ...

        return deep

    assert inner().config_type.__name__ == "Deeper"  # type: ignore[union-attr]


def test_an_annotation_that_only_type_checkers_know_hides_no_other() -> None:
    @op
    def load(price: Decimal, rows: int) -> Decimal: ...

    assert annotations(load) == {"price": UNSTATED, "rows": int}
    assert load.outs["result"].annotation is UNSTATED


def test_annotated_keeps_what_it_says() -> None:
    @op
    def load(rows: Annotated[int, "rows"]): ...

    assert annotations(load) == {"rows": Annotated[int, "rows"]}


# -- functions of all kinds -----------------------------------------------------------------------------------------


class Adder:
    def __init__(self, by: int) -> None:
        self.by = by

    def __call__(self, number: int) -> int:
        return number + self.by

    def add(self, number: int, config: Limit) -> int:
        return number + self.by + config.limit

    def all(self, numbers: list[int]) -> Iterator[Output[int]]:
        yield from ()

    @classmethod
    def of_class(cls, number: int) -> int:
        return number

    @staticmethod
    def static(number: int) -> int:
        return number


def wrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fn)
    def around(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return around


def add(number: int, by: int) -> int:
    return number + by


def each(number: int) -> Iterator[int]:
    yield number


CALLED = {
    "an object": (op(name="add")(Adder(1)), {"number": int}, False),
    "a method": (op(Adder(1).add), {"number": int}, False),
    "a generator method": (op(Adder(1).all), {"numbers": list[int]}, True),
    "a class method": (op(Adder.of_class), {"number": int}, False),
    "a static method": (op(Adder.static), {"number": int}, False),
    "a lambda": (op(name="add")(lambda number: number + 1), {"number": UNSTATED}, False),
    "a wrapped function": (op(wrapped(add)), {"number": int, "by": int}, False),
    "a wrapped generator": (op(wrapped(each)), {"number": int}, True),
    "a partial by place": (op(name="add")(functools.partial(add, 1)), {"by": int}, False),
    "a partial by name": (op(name="add")(functools.partial(add, by=1)), {"number": int, "by": int}, False),
    "a partial of a partial": (op(name="e")(functools.partial(functools.partial(each, 1))), {}, True),
}


@pytest.mark.parametrize("kind", CALLED)
def test_an_op_may_be_made_of(kind: str) -> None:
    definition, inputs, is_generator = CALLED[kind]
    assert annotations(definition) == inputs
    assert definition.signature.is_generator is is_generator


def test_an_op_called_outside_of_a_graph_is_its_function() -> None:
    assert CALLED["an object"][0](3) == 4
    assert CALLED["a method"][0](3, config=Limit()) == 14
    assert CALLED["a partial by name"][0](3) == 4


def test_what_a_partial_gives_is_a_default() -> None:
    assert CALLED["a partial by name"][0].ins["by"].default == 1


# -- outputs --------------------------------------------------------------------------------------------------------


@op
def untyped(): ...


@op
def number() -> int: ...


@op
def nothing() -> None: ...


@op
def wrapper() -> Output: ...


@op
def wrapper_of() -> Output[int]: ...


@op
def generator() -> Iterator[Output]:
    yield Output(1)


@op(out=Out(str, description="a text"))
def stated() -> int: ...


@op(out=Out(description="from the function"))
def described() -> int: ...


@op(out={"big": Out(), "small": Out(float, is_required=False)})
def two() -> tuple[int, str]: ...


@op(out={"big": Out(), "small": Out()})
def any_tuple() -> tuple[int, ...]: ...


@op(out=DynamicOut(int))
def dynamic() -> Iterator[DynamicOutput]: ...


@op(out={})
def none_at_all(): ...


@op(out=Out(Nothing))
def only_done(): ...


OUTS = {
    untyped: {"result": UNSTATED},
    number: {"result": int},
    nothing: {"result": type(None)},
    wrapper: {"result": UNSTATED},
    wrapper_of: {"result": int},
    generator: {"result": UNSTATED},
    stated: {"result": str},
    described: {"result": int},
    two: {"big": int, "small": float},
    any_tuple: {"big": UNSTATED, "small": UNSTATED},
    dynamic: {"result": int},
    none_at_all: {},
    only_done: {"result": Nothing},
}


@pytest.mark.parametrize("definition", OUTS, ids=lambda one: one.name)
def test_outputs_and_their_types(definition: OpDefinition) -> None:
    assert {name: out.annotation for name, out in definition.outs.items()} == OUTS[definition]


def test_an_output_keeps_all_that_is_stated_of_it() -> None:
    assert described.outs["result"].description == "from the function"
    assert not two.outs["small"].is_required
    assert dynamic.outs["result"].is_dynamic
    assert isinstance(dynamic.outs["result"], DynamicOut)
    assert only_done.outs["result"].is_nothing


# -- frozen ---------------------------------------------------------------------------------------------------------


@success_hook
def tell(context): ...


@failure_hook(name="other", required_resource_keys={"mail"})
def warn(context): ...


@asset(partitions_def=foldlog.partitions.StaticPartitionsDefinition(["eu"]), tags={"a": "b"}, metadata={"a": 1})
def orders(): ...


@job(tags={"a": "b"}, metadata={"a": 1}, config={"ops": {"number": {}}}, resource_defs={"x": 1}, hooks={tell})
def etl():
    two()
    number()


FROZEN = [
    number,
    etl,
    etl.graph,
    etl.graph.nodes["two"],
    etl.steps["two"],
    orders,
    orders.specs[orders.key],
    tell,
    resource(untyped.fn),
    In(int),
    Out(int),
    RetryPolicy(),
    AssetIn(),
    AssetSpec(key="a", tags={"a": "b"}),
]


@pytest.mark.parametrize("definition", FROZEN, ids=lambda one: type(one).__name__)
def test_a_definition_cannot_be_changed(definition: Any) -> None:
    for field in fields(definition):
        with pytest.raises(FrozenInstanceError):
            setattr(definition, field.name, None)
        value = getattr(definition, field.name)
        assert not isinstance(value, list | set)
        if isinstance(value, Mapping) and not isinstance(definition, In | Out | AssetIn):
            with pytest.raises(TypeError):
                value["new"] = 1  # type: ignore[index]


def test_what_the_caller_does_with_his_mappings_later_changes_nothing() -> None:
    tags, metadata, config = {"a": "b"}, {"a": {"deep": [1]}}, {"ops": {"load": {"config": {"limit": 1}}}}
    ins, outs, deps = {"start": In(Nothing)}, {"big": Out(metadata=(about := {"a": 1}))}, ["raw"]
    required, hooks = {"warehouse"}, {tell}

    @op(ins=ins, out=outs, tags=tags, metadata=metadata, required_resource_keys=required, hooks=hooks)
    def load(config: Limit): ...

    @job(tags=tags, metadata=metadata, config=config, hooks=hooks)
    def all_of_it():
        load.tag(tags).with_hooks(hooks)()

    made = asset(name="load", deps=deps, tags=tags, metadata=metadata)(untyped.fn)
    later = define_asset_job("later", tags=tags, metadata=metadata, config=config)
    warehouse = resource(limited).configured(settings := {"limit": 1})

    tags["a"] = metadata["new"] = about["a"] = 9  # type: ignore[assignment]
    metadata["a"]["deep"].append(2)
    config["ops"]["load"]["config"]["limit"] = settings["limit"] = 2
    ins.clear()
    outs.clear()
    deps.append("more")
    required.clear()
    hooks.clear()

    assert load.tags == all_of_it.tags == {"a": "b"}
    assert all_of_it.steps["load"].tags == {"a": "b"}
    assert load.metadata["a"].value == all_of_it.metadata["a"].value == {"deep": [1]}  # type: ignore[union-attr]
    assert list(load.ins) == ["start"]
    assert load.outs["big"].metadata == {"a": 1}
    assert load.required_resource_keys == {"warehouse"}
    assert load.hooks == {tell}
    assert all_of_it.steps["load"].hooks == (tell,)
    assert all_of_it.config == {"ops": {"load": {"config": {"limit": 1}}}}
    assert warehouse.config == {"limit": 1}
    assert [dep.key.to_text() for dep in made.specs[made.key].deps] == ["raw"]
    resolved = Definitions(assets=[made], jobs=[later]).get_job("later")
    assert resolved.tags == {"a": "b"}
    assert resolved.config == {"ops": {"load": {"config": {"limit": 1}}}}


def limited(config: Limit): ...


def test_a_multi_asset_keeps_what_it_was_given() -> None:
    outs = {"a": foldlog.AssetOut(), "b": foldlog.AssetOut()}
    both = multi_asset(outs=outs)(limited)
    outs.clear()
    assert [key.to_text() for key in both.keys] == ["a", "b"]


# -- hooks and retry policies ---------------------------------------------------------------------------------------


def test_a_hook_is_called_like_its_function_or_otherwise() -> None:
    assert (tell.name, tell.when, tell.required_resource_keys) == ("tell", "success", frozenset())
    assert (warn.name, warn.when, warn.required_resource_keys) == ("other", "failure", {"mail"})


def test_an_op_without_parentheses_and_with_is_the_same() -> None:
    assert op(add).ins == op()(add).ins
    assert op(retry_policy=RetryPolicy(max_retries=2))(add).retry_policy == RetryPolicy(max_retries=2)


def test_a_function_may_close_over_what_is_assigned_below_it():
    @op
    def looks(rows: list) -> int:
        return len(rows) + later

    later = 1
    assert list(looks.ins) == ["rows"]
    assert looks(["a"]) == 2
