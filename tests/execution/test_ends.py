"""How steps and resources are ended that do not end by themselves: what they hold is given back, and nothing is missing
in the log."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from watching import fact, facts, run, story

from foldlog import (
    DynamicOut,
    DynamicOutput,
    Instance,
    Out,
    Output,
    RetryPolicy,
    RunStatus,
    execute_job,
    job,
    op,
    resource,
)

# -- generators -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [Output("no int", "x"), "nothing that a step may give"])
def test_a_generator_that_is_failed_is_closed_there(wrong: Any, memory: Instance) -> None:
    """With its resources still there, and before the step is recorded as failed: its `finally` may log."""
    order: list[str] = []

    @resource
    def db() -> Iterator[str]:
        yield "conn"
        order.append("torn down")

    @op(out={"x": Out(int)}, required_resource_keys={"db"})
    def gives(context: Any) -> Iterator[Any]:
        try:
            yield wrong
            order.append("goes on")
        finally:
            order.append("finally")
            context.log.info("rolled back on %s", context.resources.db)

    @job(resource_defs={"db": db})
    def one() -> None:
        gives()

    result = run(one, memory)
    assert order == ["finally", "torn down"]
    told = story(result, "gives")
    assert told.index("LOG_MESSAGE") < told.index("STEP_FAILURE")


def test_a_generator_that_cannot_be_closed_does_not_hide_why_it_was(memory: Instance) -> None:
    @op(out={"x": Out(int)})
    def gives() -> Iterator[Any]:
        try:
            yield Output("no int", "x")
        finally:
            raise OSError("rollback failed")

    @job
    def one() -> None:
        gives()

    error = fact(run(one, memory), "STEP_FAILURE").error
    assert "its output 'x'" in error.message
    assert "rollback failed" in error.message


def test_a_lock_of_a_failed_attempt_is_free_for_the_next(memory: Instance) -> None:
    taken: list[str] = []

    @op(out={"x": Out(int)}, retry_policy=RetryPolicy(max_retries=1))
    def gives(context: Any) -> Iterator[Any]:
        assert not taken
        taken.append("taken")
        try:
            yield Output("no int" if context.attempt == 1 else 1, "x")
        finally:
            taken.pop()

    @job
    def one() -> None:
        gives()

    assert run(one, memory).success


def test_what_is_yielded_is_to_be_seen_at_once(fresh: Instance) -> None:
    seen: list[list[str]] = []

    @op(out={"x": Out(), "y": Out()})
    def gives() -> Iterator[Any]:
        for name in "xy":
            yield Output(1, name)
            fresh.writer.flush()
            found = fresh.log.read_shard("r", types=["HANDLED_OUTPUT"]).records
            seen.append([one.event.fact.output_name for one in found])

    @job
    def one() -> None:
        gives()

    assert run(one, fresh, run_id="r").success
    assert seen == [["x"], ["x", "y"]]


# -- what failed steps leave ------------------------------------------------------------------------------------


class Table:
    """Something large."""


def test_what_failed_steps_held_is_let_go(memory: Instance) -> None:
    """But of the first, whose traceback is what people look at."""
    tables: list[weakref.ref[Table]] = []

    def deep() -> None:
        table = Table()
        tables.append(weakref.ref(table))
        raise ValueError(len(tables))

    @op(out=DynamicOut())
    def source() -> Any:
        return [DynamicOutput(n, mapping_key=f"k{n}") for n in range(5)]

    @op
    def works(n: Any) -> None:
        table = Table()
        tables.append(weakref.ref(table))
        try:
            deep()
        except ValueError as error:
            raise RuntimeError("of the step") from error

    @job
    def one() -> None:
        source().map(works)

    result = run(one, memory)
    gc.collect()
    assert [ref() is not None for ref in tables] == [True, True, *[False] * 8]
    first, *others = result.step_errors.values()
    assert first.__traceback__ is not None
    assert all(one.__traceback__ is None for one in others)
    assert len({str(one.__cause__) for one in others}) == 4
    assert all(one.error.stack for one in facts(result, "STEP_FAILURE")), "the log has all of them"


def test_an_error_that_two_steps_raise_keeps_its_traceback(memory: Instance) -> None:
    error = ValueError("the same")

    def failing(name: str) -> Any:
        @op(name=name)
        def fails() -> None:
            raise error

        return fails

    @job
    def two() -> None:
        failing("a")()
        failing("b")()

    result = run(two, memory)
    assert result.failed_step_keys == ("a", "b")
    assert error.__traceback__ is not None


@pytest.mark.parametrize("times", [1, 2, 3, 4])
def test_an_interrupt_as_a_failure_is_written_up(times: int, fresh: Instance) -> None:
    """As its text is asked for, which is code of a user."""
    asked = []

    class Slow(Exception):
        def __str__(self) -> str:
            asked.append(1)
            if len(asked) == times:
                raise KeyboardInterrupt
            return "slow"

    @op
    def fails() -> None:
        raise Slow

    @job
    def one() -> None:
        fails()

    try:
        execute_job(one, instance=fresh, run_id="r", raise_on_error=False)
    except KeyboardInterrupt:
        assert len(asked) >= times
    count = Counter(one.event.type for one in fresh.log.read_shard("r").records)
    assert (count["STEP_START"], count["STEP_FAILURE"]) == (1, 1)
    assert count["RUN_FAILURE"] + count["RUN_CANCELED"] == 1


def test_attempts_are_numbered(memory: Instance) -> None:
    @op(retry_policy=RetryPolicy(max_retries=3))
    def flaky(context: Any) -> None:
        if context.attempt < 3:
            raise OSError
        raise KeyboardInterrupt

    @job
    def one() -> None:
        flaky()

    with pytest.raises(KeyboardInterrupt):
        execute_job(one, instance=memory, run_id="attempts-are-numbered")
    records = memory.log.read_shard("attempts-are-numbered").records
    told = [(one.event.type, one.event.fact.attempt) for one in records if hasattr(one.event.fact, "attempt")]
    assert told == [
        ("STEP_START", 1),
        ("STEP_UP_FOR_RETRY", 1),
        ("STEP_RESTARTED", 2),
        ("STEP_UP_FOR_RETRY", 2),
        ("STEP_RESTARTED", 3),
        ("STEP_FAILURE", 3),
    ]


# -- resources --------------------------------------------------------------------------------------------------


class Odd(BaseException):
    """Neither an Exception nor an interrupt."""


@pytest.mark.parametrize("raised", [KeyboardInterrupt, asyncio.CancelledError, Odd])
@pytest.mark.parametrize("step_fails", [None, KeyboardInterrupt])
def test_each_resource_has_its_tear_down(raised: Any, step_fails: Any, memory: Instance) -> None:
    order: list[str] = []

    def one(name: str, *required: str) -> Any:
        @resource(required_resource_keys=set(required))
        def made(context: Any) -> Iterator[int]:
            yield 1
            order.append(name)
            if name != "a":
                raise raised(name)

        return made

    @op(required_resource_keys={"c"})
    def works(context: Any) -> None:
        if step_fails is not None:
            raise step_fails("step")

    @job(resource_defs={"a": one("a"), "b": one("b", "a"), "c": one("c", "b")})
    def three() -> None:
        works()

    run_id = f"tear-down-{raised.__name__}-{step_fails}"
    with pytest.raises(step_fails or raised) as caught:
        execute_job(three, instance=memory, run_id=run_id)
    assert order == ["c", "b", "a"]
    assert str(caught.value) == ("step" if step_fails else "c"), "the first is what ends it"
    told = memory.log.read_shard(run_id).records
    assert told[-1].event.type == ("RUN_CANCELED" if (step_fails or raised) is KeyboardInterrupt else "RUN_FAILURE")
    assert sum("was being torn down" in getattr(one.event.fact, "text", "") for one in told) == 2


def test_an_interrupt_in_a_tear_down_wins_over_a_failure(memory: Instance) -> None:
    """Whoever presses Ctrl-C must not find that the program goes on."""

    @resource
    def first() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    @resource(required_resource_keys={"first"})
    def second(context: Any) -> None:
        raise OSError("not made ready")

    @op(required_resource_keys={"second"})
    def works(context: Any) -> None: ...

    @job(resource_defs={"first": first, "second": second})
    def one() -> None:
        works()

    with pytest.raises(KeyboardInterrupt):
        execute_job(one, instance=memory, raise_on_error=False)


# -- text that cannot be stored ---------------------------------------------------------------------------------


class Torn:
    def __repr__(self) -> str:
        return "\ud800 torn"


def test_a_value_whose_text_cannot_be_stored_fails_its_step_only(fresh: Instance) -> None:
    @op
    def gives() -> int:
        return Torn()  # type: ignore[return-value]

    @op
    def takes(n: Any) -> None: ...

    @op
    def beside() -> int:
        return 1

    @job
    def one() -> None:
        takes(gives())
        beside()

    result = run(one, fresh)
    assert result.step_outcomes == {"gives": "FAILURE", "takes": "ABANDONED", "beside": "SUCCESS"}
    assert fact(result, "STEP_OUTPUT", "gives").type_check.description == "a Torn: ? torn was given; wanted int"
    assert result.status is RunStatus.FAILURE


# -- logging that feeds itself ----------------------------------------------------------------------------------


def test_what_a_store_logs_as_it_appends_is_no_line_of_the_run(fresh: Instance, monkeypatch: Any) -> None:
    """Else each line makes an append, which makes a line."""
    import threading
    import time

    backend: Any = fresh.log.backend
    really = backend.append_group

    def in_a_thread() -> None:
        logging.getLogger("botocore.hooks").warning("of a thread of the driver")

    def append_group(appends: Any) -> Any:
        logging.getLogger("some.driver").warning("Connection pool is full")
        thread = threading.Thread(target=in_a_thread)
        thread.start()
        thread.join()
        return really(appends)

    monkeypatch.setattr(backend, "append_group", append_group)

    @op
    def talks() -> None:
        logging.getLogger("mine").warning("mine")
        logging.getLogger("urllib3.connectionpool").warning("of the step's own requests")
        time.sleep(0.1)

    @job
    def one() -> None:
        talks()

    result = run(one, fresh)
    assert [one.text for one in facts(result, "LOG_MESSAGE")] == ["mine", "of the step's own requests"]
