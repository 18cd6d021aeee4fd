"""The values of a result, asked for when the run is over: an IO manager is told as much as in a step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from foldlog import (
    DynamicOut,
    DynamicOutput,
    InputContext,
    Instance,
    IOManager,
    OutputContext,
    UserCodeError,
    asset,
    execute_job,
    job,
    materialize,
    op,
    resource,
)
from foldlog.engine.definitions.partitions import StaticPartitionsDefinition


class Keeper(IOManager):
    """Keeps values under what it is told of them."""

    def __init__(self) -> None:
        self.is_open = True
        self.asked: list[InputContext] = []
        self.values: dict[Any, Any] = {}

    def handle_output(self, context: OutputContext, value: Any) -> None:
        self.values[context.asset_key, context.partition_key] = value

    def load_input(self, context: InputContext) -> Any:
        if not self.is_open:
            raise RuntimeError("the connection is closed")
        self.asked.append(context)
        return self.values[context.asset_key, (context.partition_keys or (None,))[0]]


@pytest.mark.parametrize("partition", [None, "x"])
def test_the_io_manager_is_told_of_the_asset(memory: Instance, partition: str | None) -> None:
    keeper = Keeper()
    days = StaticPartitionsDefinition(["x"]) if partition else None

    @asset(key="one", partitions_def=days, io_manager_key="kept", metadata={"table": "ones"})
    def one() -> int:
        return 1

    result = materialize([one], instance=memory, partition_key=partition, resources={"kept": keeper})
    assert result.asset_value("one") == 1
    (context,) = keeper.asked
    assert str(context.asset_key) == "one"
    assert context.partition_keys == ((partition,) if partition else None)
    assert context.type_hint is int
    assert context.upstream_output is not None
    assert context.upstream_output.type_hint is int
    assert context.resources is not None


@pytest.mark.parametrize("below", [False, True], ids=["itself", "what it is made with"])
def test_an_io_manager_that_was_torn_down_is_named(memory: Instance, below: bool) -> None:
    keeper = Keeper()

    @resource
    def connection() -> Iterator[Keeper]:
        yield keeper
        keeper.is_open = False

    @resource(required_resource_keys={"connection"})
    def through() -> Keeper:
        return keeper

    @op
    def gives() -> int:
        return 1

    @job(resource_defs={"connection": connection, "io_manager": through if below else connection})
    def one() -> None:
        gives()

    result = execute_job(one, instance=memory)
    with pytest.raises(UserCodeError, match=r"could not be loaded by io_manager: RuntimeError: the conn") as caught:
        result.output_for_node("gives")
    gone = "connection" if below else "io_manager"
    assert f"The resource {gone!r} was torn down when the run ended" in caught.value.remedy
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_what_is_behind_a_failed_lane_is_counted_once(memory: Instance) -> None:
    """The mapped step is no step beside its lanes."""

    @op(out=DynamicOut(int))
    def src() -> Iterator[DynamicOutput]:
        for number in range(2):
            yield DynamicOutput(number, mapping_key=f"k{number}")

    @op
    def work(v: int) -> int:
        if v:
            raise ValueError("trouble")
        return v

    @op
    def total(vs: list[int]) -> int:
        return sum(vs)

    @job
    def mapped() -> None:
        total(src().map(work).collect())

    result = execute_job(mapped, instance=memory, raise_on_error=False)
    (text,) = [
        one.event.fact.text
        for one in result.events()
        if one.event.type == "ENGINE_EVENT" and "failed:" in one.event.fact.text
    ]
    assert text == "1 step has failed: work[k1]; 1 behind it was not executed"
