"""Steps that fail: what the log tells of it, what goes on beside, and what lies behind."""

from __future__ import annotations

import asyncio
import sys

import pytest
from watching import fact, facts, notes, run, story

import foldlog
from foldlog import (
    AssetCheckResult,
    AssetKey,
    Definitions,
    ExpectationResult,
    Failure,
    Instance,
    IOManager,
    MaterializeResult,
    Out,
    Output,
    RunStatus,
    asset,
    events,
    execute_job,
    job,
    materialize,
    op,
    success_hook,
)

LIMIT = 16 * 1024 * 1024  #: bytes of one append


class Broken(Exception):
    """The user's own error."""


def read_file() -> int:
    raise OSError("no such disk")


@op
def fails() -> int:
    try:
        return read_file()
    except OSError as error:
        raise Broken("the file is gone") from error


@op
def behind(value: int) -> int:
    return value


@op
def independent() -> int:
    return 1


@op
def joins(left: int, right: int) -> int:
    return left + right


@job
def half():
    joins(behind.alias("first")(behind(fails())), independent())


def test_what_lies_behind_a_failure_is_not_executed_and_the_rest_is(instance: Instance) -> None:
    result = run(half, instance)
    assert not result.success
    assert story(result) == [
        "RUN_CREATED",
        "RUN_START",
        "RESOURCE_INIT_STARTED",
        "RESOURCE_INIT_SUCCESS",
        "STEP_START fails",
        "STEP_FAILURE fails",
        "STEP_START independent",
        "STEP_OUTPUT independent",
        "HANDLED_OUTPUT independent",
        "STEP_SUCCESS independent",
        "RUN_FAILURE",
    ]
    assert result.step_outcomes == {
        "fails": "FAILURE",
        "behind": "ABANDONED",
        "first": "ABANDONED",
        "joins": "ABANDONED",
        "independent": "SUCCESS",
    }
    assert "not executed: fails failed" in notes(result)
    assert "1 step has failed: fails; 3 behind it were not executed" in notes(result)
    told = [one.event.step_key for one in result.events() if one.event.type == "ENGINE_EVENT"]
    assert told == [None, "behind", "first", "joins", None]

    error = fact(result, "STEP_FAILURE").error
    assert error.class_name.endswith("Broken")
    assert error.message == "the file is gone"
    assert len(error.stack) == 1  # of the user's code, and not of what has called it
    assert "in fails" in error.stack[0]
    assert error.cause.class_name == "OSError"
    assert error.cause.message == "no such disk"
    assert any("in read_file" in frame for frame in error.cause.stack)
    assert error.cause.cause is None
    failed = fact(result, "STEP_FAILURE")
    assert (failed.attempt, failed.source) == (1, "USER_CODE")
    assert failed.duration_us >= 0

    ended = fact(result, "RUN_FAILURE")
    assert ended.reason == "STEP_FAILURE"
    assert ended.failed_step_keys == ("fails",)
    assert ended.error.message == "the file is gone"
    record = instance.get_run_record_by_id(result.run_id)
    assert record is not None
    assert record.run.status is RunStatus.FAILURE
    assert record.failure_reason == "STEP_FAILURE"
    assert record.failure_message == "the file is gone"
    (step,) = instance.get_run_steps(result.run_id, step_keys=["fails"])
    assert (step.status, step.error_message) == ("FAILURE", "the file is gone")
    with pytest.raises(foldlog.UsageError, match=r"did not come.*ABANDONED"):
        result.output_for_node("joins")


def test_several_failures_are_all_named_and_the_first_is_the_error_of_the_run(memory: Instance) -> None:
    @op
    def also() -> None:
        raise ValueError("second")

    @job
    def both():
        fails()
        also()

    result = run(both, memory)
    assert result.failed_step_keys == ("fails", "also")
    assert isinstance(result.error, Broken)
    assert fact(result, "RUN_FAILURE").failed_step_keys == ("fails", "also")
    assert "2 steps have failed: fails, also" in notes(result)


def test_the_users_own_exception_is_raised(memory: Instance) -> None:
    own = Broken("mine")

    @op
    def raises():
        raise own

    @job
    def one():
        raises()

    with pytest.raises(Broken) as caught:
        execute_job(one, instance=memory)
    assert caught.value is own
    result = run(one, memory)
    assert result.error is own


def test_sys_exit_in_a_step_fails_the_step(memory: Instance) -> None:
    @op
    def leaves():
        sys.exit(3)

    @job
    def one():
        leaves()
        independent()

    result = run(one, memory)
    assert result.step_outcomes == {"leaves": "FAILURE", "independent": "SUCCESS"}
    error = fact(result, "STEP_FAILURE").error
    assert (error.class_name, error.message) == ("SystemExit", "3")
    assert story(result)[-1] == "RUN_FAILURE"


class Loud(BaseException):
    """What neither a step nor foldlog knows, as test runners and event loops raise."""


@pytest.mark.parametrize("kind", [Loud, asyncio.CancelledError, GeneratorExit])
def test_what_is_no_exception_goes_on_and_the_run_is_ended(kind: type[BaseException], memory: Instance) -> None:
    @op
    def raises():
        raise kind("stop")

    @job
    def one():
        raises()

    with pytest.raises(kind):
        execute_job(one, instance=memory, run_id=f"loud-{kind.__name__}")
    record = memory.get_run_record_by_id(f"loud-{kind.__name__}")
    assert record is not None
    assert record.run.status is RunStatus.FAILURE
    (step,) = memory.get_run_steps(record.run.run_id)
    assert step.status == "FAILURE"


def test_sys_exit_in_a_hook_or_a_resource_leaves_no_run_without_an_end(memory: Instance) -> None:
    @success_hook
    def leaves(context):
        sys.exit(3)

    @job(hooks={leaves})
    def hooked():
        independent()

    result = run(hooked, memory)
    assert result.success
    assert fact(result, "HOOK_ERRORED").error.class_name == "SystemExit"

    @foldlog.resource
    def warehouse():
        sys.exit(4)

    @op(required_resource_keys={"warehouse"})
    def needs(): ...

    @job(resource_defs={"warehouse": warehouse})
    def equipped():
        needs()

    result = run(equipped, memory)
    assert result.status is RunStatus.FAILURE
    assert fact(result, "RESOURCE_INIT_FAILURE").error.cause.class_name == "SystemExit"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_exception_that_cannot_be_printed_is_recorded(memory: Instance) -> None:
    @op
    def raises():
        raise Mute

    @job
    def one():
        raises()

    result = run(one, memory)
    error = fact(result, "STEP_FAILURE").error
    assert error.class_name.endswith("Mute")
    assert error.message == "<no message: str() raised RuntimeError>"
    assert fact(result, "RUN_FAILURE").reason == "STEP_FAILURE"


def test_notes_and_groups_are_told(memory: Instance) -> None:
    @op
    def noted():
        error = ValueError("wrong")
        error.add_note("look at the header")
        raise error

    @op
    def grouped():
        raise ExceptionGroup("several", [ValueError("one"), KeyError("two")])

    @job
    def one():
        noted()
        grouped()

    first, second = (one.error.message for one in facts(run(one, memory), "STEP_FAILURE"))
    assert first == "wrong\nlook at the header"
    assert second == "several (2 sub-exceptions)\n- ValueError: one\n- KeyError: 'two'"


def test_a_failure_of_foldlogs_own_has_its_stack(memory: Instance) -> None:
    @op
    def nothing_comes() -> int: ...  # type: ignore[empty-body]

    @job
    def one():
        nothing_comes()

    error = fact(run(one, memory), "STEP_FAILURE").error
    assert error.class_name.endswith("UserCodeError")
    assert error.stack


def test_failure_carries_metadata(instance: Instance) -> None:
    @op
    def raises():
        raise Failure("3 rows too many", metadata={"rows": 3})

    @job
    def one():
        raises()

    result = run(one, instance)
    failed = fact(result, "STEP_FAILURE")
    assert failed.metadata == {"rows": 3}
    assert failed.error.message == "3 rows too many"


@pytest.mark.parametrize("metadata", [{"x": object()}, {"x": "y" * (LIMIT + 1)}, {3: 4}, {"x": float}])
def test_a_failure_is_told_also_with_metadata_that_cannot_be_stored(metadata, memory: Instance) -> None:
    @op
    def raises():
        raise Failure("too many", metadata=metadata)

    @job
    def one():
        raises()
        independent()

    result = run(one, memory)
    assert result.step_outcomes == {"raises": "FAILURE", "independent": "SUCCESS"}
    failed = fact(result, "STEP_FAILURE")
    assert failed.error.message == "too many"
    assert list(failed.metadata) == ["metadata"]  # says what was wrong with it
    assert isinstance(result.error, Failure)


class Adding(IOManager):
    """Adds what cannot be stored."""

    def handle_output(self, context, value):
        context.add_output_metadata({"x": value})

    def load_input(self, context): ...


def _yielding(kind: str, bad: object):
    """A function of a step that gives something with metadata that cannot be stored."""

    def output():
        yield Output(1, metadata={"x": bad})

    def materialization():
        yield events.AssetMaterialization(asset_key=AssetKey("a"), metadata={"x": bad})  # type: ignore[dict-item]
        yield Output(1)

    def expectation():
        yield ExpectationResult(success=True, metadata={"x": bad})
        yield Output(1)

    def added(context):
        context.add_output_metadata({"x": bad})
        return 1

    def logged(context):
        context.log_event(events.AssetObservation(asset_key=AssetKey("a"), metadata={"x": bad}))
        return 1

    return locals()[kind]


@pytest.mark.parametrize("bad", [object(), "y" * (LIMIT + 1)], ids=["object", "large"])
@pytest.mark.parametrize("kind", ["output", "materialization", "expectation", "added", "logged"])
def test_metadata_that_cannot_be_stored_fails_the_step_and_nothing_else(kind, bad, memory: Instance) -> None:
    @job(name="unstorable")
    def one():
        op(name="bad")(_yielding(kind, bad))()
        independent()

    result = run(one, memory)
    assert result.step_outcomes == {"bad": "FAILURE", "independent": "SUCCESS"}
    assert story(result)[-1] == "RUN_FAILURE"
    error = fact(result, "STEP_FAILURE").error
    assert "x" in error.message or "16,777,216" in error.message, error.message
    steps = memory.get_run_steps(result.run_id)
    assert [(one.step_key, one.status) for one in steps] == [("bad", "FAILURE"), ("independent", "SUCCESS")]


def test_metadata_of_an_io_manager_beyond_the_limit_fails_the_step_and_nothing_else(memory: Instance) -> None:
    @op
    def big() -> str:
        return "y" * (LIMIT + 1)

    @job(resource_defs={"io_manager": Adding()})
    def one():
        big()
        independent()

    result = run(one, memory)
    assert result.step_outcomes == {"big": "FAILURE", "independent": "SUCCESS"}
    assert story(result)[-1] == "RUN_FAILURE"


BAD = "\ud800"  # a lone surrogate: no UTF-8


@pytest.mark.parametrize(
    "given",
    [
        MaterializeResult(tags={"a": 1}),  # type: ignore[dict-item]
        MaterializeResult(tags={"a": BAD}),
        MaterializeResult(data_version=BAD),
        MaterializeResult(data_version=7),  # type: ignore[arg-type]
        foldlog.ObserveResult(tags={"a": BAD}),
        foldlog.ObserveResult(data_version=7),  # type: ignore[arg-type]
        ExpectationResult(success=True, label=BAD),
        ExpectationResult(success=True, description="y" * (LIMIT + 1)),
        events.AssetObservation(asset_key="a"),  # type: ignore[arg-type]
        events.AssetMaterialization(asset_key=AssetKey("a"), partition=3),  # type: ignore[arg-type]
    ],
    ids=lambda one: f"{type(one).__name__}",
)
def test_what_cannot_be_stored_fails_the_step_and_nothing_else(given, memory: Instance) -> None:
    @asset(name="odd", output_required=False)
    def odd() -> None:
        yield given

    @asset(name="even")
    def even() -> None: ...

    result = materialize([odd, even], instance=memory, raise_on_error=False)
    assert result.step_outcomes == {"odd": "FAILURE", "even": "SUCCESS"}, result.error
    assert story(result)[-1] == "RUN_FAILURE"
    assert len(list(result.events())) > 5  # it can be read back, too


def test_a_check_that_cannot_be_stored_fails_the_step(memory: Instance) -> None:
    @asset(name="odd_checked", check_specs=[foldlog.AssetCheckSpec(name="c", asset="odd_checked")])
    def odd() -> None:
        yield AssetCheckResult(passed=True, description=BAD)

    result = materialize([odd], instance=memory, raise_on_error=False)
    assert result.step_outcomes == {"odd_checked": "FAILURE"}
    assert story(result)[-1] == "RUN_FAILURE"


def test_only_the_engine_records_what_runs_and_steps_do(memory: Instance) -> None:
    @op
    def lies(context):
        context.log_event(events.RunSucceeded())

    @op
    def yields():
        yield events.StepSucceeded()

    @job
    def one():
        lies()
        yields()

    result = run(one, memory)
    assert result.step_outcomes == {"lies": "FAILURE", "yields": "FAILURE"}
    first, second = facts(result, "STEP_FAILURE")
    assert "RunSucceeded is no fact that a step may record" in first.error.message
    assert "yielded StepSucceeded" in second.error.message
    assert "RUN_SUCCESS" not in story(result)


class Failing(IOManager):
    def handle_output(self, context, value):
        if value == 1:
            raise OSError("disk full")

    def load_input(self, context):
        raise KeyError("gone")


def test_what_an_io_manager_raises_is_told_with_what_it_was_about(memory: Instance) -> None:
    @op
    def one() -> int:
        return 1

    @op
    def two() -> int:
        return 2

    @job(resource_defs={"io_manager": Failing()})
    def both():
        one()
        behind(two())

    result = run(both, memory)
    assert result.step_outcomes == {"one": "FAILURE", "two": "SUCCESS", "behind": "FAILURE"}
    kept, loaded = (one.error for one in facts(result, "STEP_FAILURE"))
    assert "output 'result' of step 'one' could not be kept by io_manager" in kept.message
    assert (kept.cause.class_name, kept.cause.message) == ("OSError", "disk full")
    assert "input 'value' of step 'behind' could not be loaded by io_manager" in loaded.message
    assert loaded.cause.class_name == "KeyError"


def test_a_value_that_cannot_be_shown_is_told_of_all_the_same(memory: Instance) -> None:
    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    @op
    def gives() -> int:
        return Shy()  # type: ignore[return-value]

    @op
    def yields():
        yield Shy()

    @job
    def one():
        gives()
        yields()

    result = run(one, memory)
    first, second = (one.error.message for one in facts(result, "STEP_FAILURE"))
    assert "its output 'result': a Shy" in first
    assert "yielded" in second
    assert "Shy" in second


def test_a_job_of_definitions_fails_the_same_way(memory: Instance) -> None:
    found = Definitions(jobs=[half]).get_job("half")
    assert run(found, memory).failed_step_keys == ("fails",)


@pytest.mark.parametrize("sizes", [[3] * 8, [1, 15, 1], [15, 15]], ids=str)
def test_much_metadata_is_recorded_in_several_appends(sizes: list[int], fresh: Instance) -> None:
    """What is held together may be more than one append may be."""
    outs = {f"o{number}": Out() for number in range(len(sizes))}

    @op(out=outs)
    def large():
        parts = zip(outs, sizes, strict=True)
        return tuple(Output(1, name, metadata={"x": "y" * (size << 20)}) for name, size in parts)

    @job
    def one():
        large()

    result = run(one, fresh)
    assert result.success, result.error
    assert [len(one.metadata["x"]) >> 20 for one in facts(result, "STEP_OUTPUT")] == sizes
