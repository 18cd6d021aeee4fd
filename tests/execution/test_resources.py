"""Resources in a run: made ready in order, configured, handed to steps, torn down whatever happens."""

from __future__ import annotations

from typing import Any

import pytest
from watching import fact, facts, notes, run, story

from foldlog import (
    Config,
    Instance,
    IOManager,
    OutputContext,
    RunStatus,
    UsageError,
    UserCodeError,
    execute_job,
    job,
    op,
    resource,
)
from foldlog.engine.definitions.resource import ResourceDefinition

events: list[str] = []


@pytest.fixture(autouse=True)
def nothing_happened() -> None:
    events.clear()


class Place(Config):
    url: str
    size: int = 3


@resource
def base():
    events.append("base ready")
    yield "base"
    events.append("base gone")


@resource(required_resource_keys={"base"})
def warehouse(context, base: str, config: Place):
    assert context.config is config
    assert context.resources.base == base
    events.append(f"warehouse ready on {base} at {config.url}/{config.size}")
    context.log.info("from a resource")
    yield f"warehouse of {config.url}"
    events.append("warehouse gone")


@op(required_resource_keys={"warehouse", "plain"})
def uses(context, warehouse: str) -> str:
    assert context.resources.warehouse == warehouse
    events.append(f"step with {context.resources.plain}")
    with pytest.raises(UsageError, match="step uses requires no resource 'base'"):
        _ = context.resources.base
    return warehouse


RESOURCES = {"warehouse": warehouse, "base": base, "plain": 7, "unused": base}


@job(resource_defs=RESOURCES)
def equipped():
    uses()


CONFIG = {"resources": {"warehouse": {"config": {"url": "db"}}}}


def test_resources_are_made_in_order_and_torn_down_in_reverse(instance: Instance) -> None:
    result = run(equipped, instance, run_config=CONFIG)
    assert result.success, result.error
    assert events == [
        "base ready",
        "warehouse ready on base at db/3",
        "step with 7",
        "warehouse gone",
        "base gone",
    ]
    assert story(result)[2:5] == ["RESOURCE_INIT_STARTED", "LOG_MESSAGE", "RESOURCE_INIT_SUCCESS"]
    started, ready = fact(result, "RESOURCE_INIT_STARTED"), fact(result, "RESOURCE_INIT_SUCCESS")
    assert set(started.resource_keys) == {"base", "warehouse", "plain", "io_manager"}
    keys = list(started.resource_keys)
    assert keys.index("base") < keys.index("warehouse")
    assert set(ready.durations_us) == set(started.resource_keys)
    assert result.output_for_node("uses") == "warehouse of db"
    (line,) = facts(result, "LOG_MESSAGE")
    assert (line.text, line.logger) == ("from a resource", "resource warehouse")


def test_the_beginning_can_be_seen_while_a_resource_takes_its_time(fresh: Instance) -> None:
    @resource
    def slow(context):
        fresh.writer.flush()
        seen = [one.event.type for one in context.instance.log.read_shard(context.run_id).records]
        events.extend(seen)
        return 1

    @op(required_resource_keys={"slow"})
    def needs(): ...

    @job(resource_defs={"slow": slow})
    def one():
        needs()

    assert run(one, fresh).success
    assert events == ["RUN_CREATED", "RUN_START", "ENGINE_EVENT", "RESOURCE_INIT_STARTED"]


def test_what_steps_have_done_can_be_seen_while_a_resource_is_torn_down(fresh: Instance) -> None:
    @resource
    def slow(context):
        yield 1
        fresh.writer.flush()
        events.extend(one.event.type for one in context.instance.log.read_shard(context.run_id).records[-2:])

    assert run(stepped(lambda: None, slow=slow), fresh).success
    assert events == ["HANDLED_OUTPUT", "STEP_SUCCESS"]


def test_config_of_a_resource(memory: Instance) -> None:
    for wrong, message in (
        ({}, "url"),
        ({"resources": {"warehouse": {"config": {"url": 5}}}}, "resources.warehouse.config.url"),
        ({"resources": {"nowhere": {}}}, "nowhere"),
        ({"resources": {"plain": {"config": {"a": 1}}}}, "takes no configuration"),
    ):
        with pytest.raises(UsageError, match=message):
            run(equipped, memory, run_config=wrong)

    @job(resource_defs={**RESOURCES, "warehouse": warehouse.configured({"url": "own", "size": 9})})
    def configured():
        uses()

    assert run(configured, memory).output_for_node("uses") == "warehouse of own"
    assert "warehouse ready on base at own/9" in events
    assert run(configured, memory, run_config=CONFIG).success
    assert "warehouse ready on base at db/9" in events


def test_resources_of_the_call_replace_those_of_the_job(memory: Instance) -> None:
    result = run(equipped, memory, resources={"warehouse": "a plain one"})
    assert result.output_for_node("uses") == "a plain one"
    assert events == ["step with 7"]


def test_a_resource_that_is_not_there(memory: Instance) -> None:
    @job(resource_defs={"warehous": 1})
    def one():
        uses()

    with pytest.raises(UsageError, match=r"'plain'|'warehouse'"):
        run(one, memory)


# -- failures --------------------------------------------------------------------------------------------------------


@resource(required_resource_keys={"base"})
def broken():
    raise OSError("no connection")


@op(required_resource_keys={"broken"})
def needs_broken():
    events.append("never")


@job(resource_defs={"base": base, "broken": broken})
def doomed():
    needs_broken()


def test_a_resource_that_fails_fails_the_run_and_those_before_are_torn_down(instance: Instance) -> None:
    result = run(doomed, instance)
    assert result.status is RunStatus.FAILURE
    assert events == ["base ready", "base gone"]
    assert story(result) == [
        "RUN_CREATED",
        "RUN_START",
        "RESOURCE_INIT_STARTED",
        "RESOURCE_INIT_FAILURE",
        "RUN_FAILURE",
    ]
    failed = fact(result, "RESOURCE_INIT_FAILURE")
    assert failed.error.message == "resource 'broken' could not be made ready: OSError: no connection"
    assert failed.error.cause.class_name == "OSError"
    assert any("in broken" in frame for frame in failed.error.cause.stack)
    ended = fact(result, "RUN_FAILURE")
    assert ended.reason == "JOB_INITIALIZATION_FAILURE"
    assert ended.error.message == failed.error.message
    assert ended.error.cause == failed.error.cause
    record = instance.get_run_record_by_id(result.run_id)
    assert record is not None
    assert record.failure_reason == "JOB_INITIALIZATION_FAILURE"
    with pytest.raises(UserCodeError, match="resource 'broken' could not be made ready") as caught:
        execute_job(doomed, instance=instance)
    assert isinstance(caught.value.__cause__, OSError)


def test_what_foldlog_raises_in_a_resource_is_a_failure_of_the_resource(memory: Instance) -> None:
    @resource
    def curious(context):
        return context.resources.other

    @op(required_resource_keys={"curious"})
    def needs(): ...

    @job(resource_defs={"curious": curious})
    def one():
        needs()

    result = run(one, memory)
    assert story(result)[-2:] == ["RESOURCE_INIT_FAILURE", "RUN_FAILURE"]
    message = fact(result, "RUN_FAILURE").error.message
    assert message.startswith("resource 'curious' could not be made ready")
    assert fact(result, "RUN_FAILURE").reason == "JOB_INITIALIZATION_FAILURE"


def stepped(body: Any, **resources: Any) -> Any:
    """A job of one step that does this, with these resources."""

    @op(name="step", required_resource_keys=set(resources))
    def step():
        body()

    @job(name="stepped", resource_defs=resources)
    def made():
        step()

    return made


def test_resources_are_torn_down_after_a_failed_step(memory: Instance) -> None:
    def fails():
        raise OSError

    assert not run(stepped(fails, base=base), memory).success
    assert events == ["base ready", "base gone"]


def test_resources_are_torn_down_after_an_interrupt(memory: Instance) -> None:
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(stepped(stop, base=base), memory, run_id="interrupted-with-resource")
    assert events == ["base ready", "base gone"]
    record = memory.get_run_by_id("interrupted-with-resource")
    assert record is not None
    assert record.status is RunStatus.CANCELED


@resource
def raises_at_the_end():
    yield 1
    raise OSError("cannot close")


@resource
def yields_twice():
    yield 1
    yield 2


@resource
def asks_for_more(context):
    yield 1
    _ = context.resources.nothing  # a UsageError of foldlog's own


@resource
def exits():
    yield 1
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (raises_at_the_end, "OSError: cannot close"),
        (yields_twice, "its function yields more than once"),
        (asks_for_more, "requires no resource 'nothing'"),
        (exits, "SystemExit: 3"),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_tear_down_that_goes_wrong_is_told_and_changes_nothing(one, message: str, memory: Instance) -> None:
    # `base` is made before `odd`, and `zoo` behind it: each is torn down, whatever the one between does.
    @resource(required_resource_keys={"odd"})
    def zoo():
        yield 1
        events.append("zoo gone")

    result = run(stepped(lambda: None, base=base, odd=one, zoo=zoo), memory)
    assert result.success
    assert events == ["base ready", "zoo gone", "base gone"]
    (note,) = [one for one in facts(result, "ENGINE_EVENT") if one.error is not None]
    assert note.text.startswith("resource 'odd' ")
    assert message in note.text
    assert story(result)[-1] == "RUN_SUCCESS"
    assert notes(result)[-1] == "all steps are done"


def test_a_resource_may_be_made_by_any_callable(memory: Instance) -> None:
    result = run(stepped(lambda: None, made=ResourceDefinition(fn={}.copy, takes_context=False)), memory)
    assert result.success, result.error


def test_a_resource_must_yield(memory: Instance) -> None:
    @resource
    def never():
        yield from ()

    result = run(stepped(lambda: None, never=never), memory)
    assert "ended without a yield" in fact(result, "RUN_FAILURE").error.message


# -- IO managers are resources ---------------------------------------------------------------------------------------


class Shelf(IOManager):
    def __init__(self, warehouse: str) -> None:
        self.warehouse = warehouse

    def handle_output(self, context: OutputContext, value: Any) -> None:
        events.append(f"kept in {context.resources.warehouse}")
        context.log.info("keeping")

    def load_input(self, context: Any) -> Any:
        events.append(f"loaded from {context.resources.warehouse}")
        return 1


@resource(required_resource_keys={"warehouse"})
def shelf(warehouse: str) -> Shelf:
    return Shelf(warehouse)


def test_an_io_manager_may_require_resources(memory: Instance) -> None:
    @op
    def gives() -> int:
        return 1

    @op
    def takes(value: int) -> None: ...

    @job(resource_defs={"io_manager": shelf, "warehouse": "the house"})
    def one():
        takes(gives())

    result = run(one, memory)
    assert result.success, result.error
    assert events == ["kept in the house", "loaded from the house"]
    assert set(fact(result, "RESOURCE_INIT_SUCCESS").resource_keys) == {"warehouse", "io_manager"}
    assert [one.text for one in facts(result, "LOG_MESSAGE", "gives")] == ["keeping"]
