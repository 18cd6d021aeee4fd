"""Steps that are tried again: pauses, what goes on meanwhile, what is recorded of each attempt, and the end of it."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from watching import fact, facts, run, story

from foldlog import Failure, Instance, Output, RetryPolicy, RetryRequested, UsageError, failure_hook, job, op
from foldlog.engine.execution import in_process


class Clock:
    """Time that passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(in_process, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


def failing(times: int, policy: RetryPolicy | None = None, *, error: Any = None, name: str = "flaky") -> Any:
    """An op that fails so many times."""

    @op(name=name, retry_policy=policy)
    def flaky(context) -> int:
        assert context.retry_number == context.attempt - 1
        if context.attempt <= times:
            raise error or OSError(f"attempt {context.attempt}")
        return context.attempt

    return flaky


def waits(result: Any) -> list[float]:
    """Seconds that were waited before each further attempt, as recorded."""
    return [one.wait_us / 1e6 for one in facts(result, "STEP_UP_FOR_RETRY")]


def only(one: Any, **options: Any) -> Any:
    @job(name="only", **options)
    def made():
        one()

    return made


def test_a_step_is_tried_again(instance: Instance, clock: Clock) -> None:
    result = run(only(failing(2, RetryPolicy(max_retries=2, delay=1.5))), instance)
    assert result.success
    assert result.output_for_node("flaky") == 3
    assert story(result, "flaky") == [
        "STEP_START",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "STEP_SUCCESS",
    ]
    assert clock.slept == [1.5, 1.5]
    first, second = facts(result, "STEP_UP_FOR_RETRY")
    assert (first.attempt, first.wait_us, first.error.message) == (1, 1_500_000, "attempt 1")
    assert (second.attempt, second.error.message) == (2, "attempt 2")
    assert any("in flaky" in frame for frame in first.error.stack)
    assert [one.attempt for one in facts(result, "STEP_RESTARTED")] == [2, 3]
    assert fact(result, "STEP_SUCCESS").attempt == 3
    (step,) = instance.get_run_steps(result.run_id)
    assert (step.status, step.attempts, step.error_message) == ("SUCCESS", 3, "attempt 2")
    attempts = instance.get_step_attempts(result.run_id)
    assert [(one.attempt, one.status, one.error_message) for one in attempts] == [
        (1, "UP_FOR_RETRY", "attempt 1"),
        (2, "UP_FOR_RETRY", "attempt 2"),
        (3, "SUCCESS", None),
    ]


def test_when_retries_are_used_up_the_step_fails(instance: Instance, clock: Clock) -> None:
    called: list[Any] = []

    @failure_hook
    def told(context):
        called.append(context.op_exception)

    result = run(only(failing(9, RetryPolicy(max_retries=1)), hooks={told}), instance)
    assert story(result, "flaky") == [
        "STEP_START",
        "STEP_UP_FOR_RETRY",
        "STEP_RESTARTED",
        "STEP_FAILURE",
        "HOOK_COMPLETED",
    ]
    failed = fact(result, "STEP_FAILURE")
    assert (failed.attempt, failed.error.message) == (2, "attempt 2")
    assert called == [result.error]
    attempts = instance.get_step_attempts(result.run_id)
    assert [(one.attempt, one.status) for one in attempts] == [(1, "UP_FOR_RETRY"), (2, "FAILURE")]


@pytest.mark.parametrize(
    ("backoff", "jitter", "expected"),
    [
        (None, None, [2, 2, 2]),
        ("LINEAR", None, [2, 4, 6]),
        ("EXPONENTIAL", None, [2, 4, 8]),
        ("EXPONENTIAL", "FULL", [0.5, 1, 2]),
        (None, "PLUS_MINUS", [1, 1, 1]),
    ],
)
def test_pauses_grow_and_spread(backoff, jitter, expected, memory, clock, monkeypatch) -> None:
    monkeypatch.setattr(random.Random, "random", lambda self: 0.25)
    policy = RetryPolicy(max_retries=3, delay=2, backoff=backoff, jitter=jitter)
    result = run(only(failing(3, policy)), memory)
    assert waits(result) == clock.slept == expected


def test_others_go_on_while_one_waits(memory: Instance, clock: Clock) -> None:
    order: list[str] = []

    def step(name: str, fails: int, delay: float) -> Any:
        @op(name=name, retry_policy=RetryPolicy(max_retries=3, delay=delay))
        def made(context):
            order.append(f"{name}{context.attempt}")
            if context.attempt <= fails:
                raise OSError

        return made

    @job
    def several():
        step("slow", 1, 10)()
        step("quick", 2, 1)()
        step("calm", 0, 0)()

    result = run(several, memory)
    assert result.success
    assert order == ["slow1", "quick1", "calm1", "quick2", "quick3", "slow2"]
    assert clock.slept == [1, 1, 8]


def test_what_waits_for_a_retried_step_waits(memory: Instance, clock: Clock) -> None:
    @op
    def after(value: int) -> int:
        return value * 10

    @job
    def one():
        after(failing(1, RetryPolicy(delay=3))())

    result = run(one, memory)
    assert result.output_for_node("after") == 20


def test_outputs_of_a_failed_attempt_may_come_again(memory: Instance, clock: Clock) -> None:
    @op(retry_policy=RetryPolicy())
    def late(context):
        yield Output(context.attempt)
        if context.attempt == 1:
            raise OSError

    result = run(only(late), memory)
    assert result.success, result.error
    assert result.output_for_node("late") == 2
    assert story(result, "late").count("STEP_OUTPUT") == 2


# -- asked for by user code ------------------------------------------------------------------------------------------


def requesting(max_retries: int, seconds: float | None = None, policy: RetryPolicy | None = None) -> Any:
    @op(name="flaky", retry_policy=policy)
    def flaky(context):
        try:
            raise OSError(f"attempt {context.attempt}")
        except OSError as error:
            raise RetryRequested(max_retries=max_retries, seconds_to_wait=seconds) from error

    return flaky


def test_a_retry_that_was_asked_for_tells_the_cause(instance: Instance, clock: Clock) -> None:
    result = run(only(requesting(2, 7)), instance)
    assert not result.success
    assert clock.slept == [7, 7]
    first, _ = facts(result, "STEP_UP_FOR_RETRY")
    assert first.error.class_name.endswith("RetryRequested")
    assert (first.error.cause.class_name, first.error.cause.message) == ("OSError", "attempt 1")
    failed = fact(result, "STEP_FAILURE")
    assert failed.attempt == 3
    assert failed.error.cause.message == "attempt 3"
    assert isinstance(result.error, RetryRequested)


def test_a_retry_that_was_asked_for_takes_the_pause_of_the_policy(memory: Instance, clock: Clock) -> None:
    policy = RetryPolicy(max_retries=0, delay=3, backoff="LINEAR")
    assert waits(run(only(requesting(2, None, policy)), memory)) == [3, 6]
    assert waits(run(only(requesting(2, 0.5, policy)), memory)) == [0.5, 0.5]
    assert waits(run(only(requesting(1)), memory)) == [0]
    assert waits(run(only(requesting(0)), memory)) == []


def test_a_retry_that_cannot_be_is_refused() -> None:
    for wrong in ({"max_retries": -1}, {"seconds_to_wait": -1}, {"max_retries": True}):
        with pytest.raises(UsageError, match="RetryRequested"):
            RetryRequested(**wrong)  # type: ignore[arg-type]


def test_a_failure_may_forbid_retries(memory: Instance, clock: Clock) -> None:
    policy = RetryPolicy(max_retries=5)
    result = run(only(failing(9, policy, error=Failure("for good", allow_retries=False, metadata={"a": 1}))), memory)
    assert story(result, "flaky") == ["STEP_START", "STEP_FAILURE"]
    assert fact(result, "STEP_FAILURE").metadata == {"a": 1}
    result = run(only(failing(1, policy, error=Failure("for now", metadata={"a": 2}))), memory)
    assert result.success
    assert fact(result, "STEP_UP_FOR_RETRY").metadata == {"a": 2}


def test_the_policy_of_the_job_is_for_ops_without_one(memory: Instance, clock: Clock) -> None:
    own = failing(9, RetryPolicy(max_retries=0), name="own")
    plain = failing(9, name="plain")

    @job(op_retry_policy=RetryPolicy(max_retries=2))
    def both():
        own()
        plain()
        failing(9, name="placed").with_retry_policy(RetryPolicy(max_retries=1))()

    result = run(both, memory)
    failed = {one.event.step_key: one.event.fact.attempt for one in result.events() if one.event.type == "STEP_FAILURE"}
    assert failed == {"own": 1, "plain": 3, "placed": 2}


def test_sys_exit_is_not_tried_again(memory: Instance, clock: Clock) -> None:
    result = run(only(failing(9, RetryPolicy(max_retries=3), error=SystemExit(1))), memory)
    assert story(result, "flaky") == ["STEP_START", "STEP_FAILURE"]


def test_somebody_may_watch(memory: Instance, clock: Clock) -> None:
    seen: list[tuple[str, str]] = []
    run(only(failing(1, RetryPolicy())), memory, report=lambda key, what, seconds: seen.append((key, what)))
    assert seen == [("flaky", "START"), ("flaky", "RETRY"), ("flaky", "START"), ("flaky", "SUCCESS")]
