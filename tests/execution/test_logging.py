"""Log lines of a run: by context.log and by the standard logging, from steps, from other threads, from outside."""

from __future__ import annotations

import logging
import threading
from typing import Any

from watching import facts, lines, run, story

from foldlog import Instance, asset, job, materialize, op, resource

elsewhere = logging.getLogger("some.library")
elsewhere.setLevel(logging.DEBUG)


@op
def talks(context) -> int:
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(context.log, level)("%s %d", level, 1)
    try:
        raise OSError("disk full")
    except OSError:
        context.log.exception("it went wrong")
    return 1


@op
def behind(value: int) -> int:
    elsewhere.warning("from a library: %s", value)
    return value


@job
def talking():
    behind(talks())


def test_lines_of_the_steps_logger(instance: Instance) -> None:
    result = run(talking, instance)
    found = facts(result, "LOG_MESSAGE", "talks")
    assert [(one.level, one.text) for one in found] == [
        (10, "debug 1"),
        (20, "info 1"),
        (30, "warning 1"),
        (40, "error 1"),
        (50, "critical 1"),
        (40, "it went wrong"),
    ]
    assert {one.logger for one in found} == {"step talks"}
    assert found[-1].error.class_name == "OSError"
    assert any("in talks" in frame for frame in found[-1].error.stack)
    assert [one.error for one in found[:-1]] == [None] * 5
    events = [one.event for one in result.events("talks") if one.event.type == "LOG_MESSAGE"]
    assert [one.level for one in events] == [one.level for one in found]


def test_a_line_comes_where_it_was_said(instance: Instance) -> None:
    result = run(talking, instance)
    assert story(result, "behind") == [
        "STEP_START",
        "LOADED_INPUT",
        "STEP_INPUT",
        "LOG_MESSAGE",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "STEP_SUCCESS",
    ]
    times = [one.event.timestamp_us for one in result.events()]
    assert times == sorted(times)


def test_lines_of_the_standard_logging_belong_to_the_step(memory: Instance) -> None:
    result = run(talking, memory)
    (line,) = facts(result, "LOG_MESSAGE", "behind")
    assert (line.text, line.level, line.logger) == ("from a library: 1", 30, "some.library")


def test_lines_of_other_threads_belong_to_the_run(memory: Instance) -> None:
    @op
    def starts_a_thread(context):
        thread = threading.Thread(target=lambda: elsewhere.warning("from a thread"))
        thread.start()
        thread.join()
        mine = threading.Thread(target=lambda: context.log.info("by the step's logger"))
        mine.start()
        mine.join()

    @job
    def one():
        starts_a_thread()

    result = run(one, memory)
    found = {one.event.fact.text: one.event.step_key for one in result.events() if one.event.type == "LOG_MESSAGE"}
    assert found == {"from a thread": None, "by the step's logger": "starts_a_thread"}


def test_foldlogs_own_lines_are_left_out(memory: Instance) -> None:
    @op
    def noisy():
        logging.getLogger("foldlog.anything").error("its own")
        logging.getLogger("foldlog").error("its own")
        logging.getLogger("foldlogger").error("not its own")

    @job
    def one():
        noisy()

    assert lines(run(one, memory)) == ["not its own"]


def test_the_root_logger_is_left_as_it_was(memory: Instance) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    inside: list[int] = []

    @op
    def looks():
        inside.append(len(root.handlers))
        raise OSError

    @job
    def one():
        looks()

    result = run(one, memory)
    assert inside == [len(before) + 1]
    assert root.handlers == before
    assert root.level == level
    elsewhere.error("after the run")
    assert lines(result) == []


def test_a_run_within_a_run_keeps_its_lines_apart(memory: Instance) -> None:
    @op
    def inner_step(context):
        context.log.info("inner")
        elsewhere.warning("inner library")

    @job
    def inner():
        inner_step()

    found = []

    @op
    def outer_step(context):
        found.append(run(inner, memory))
        elsewhere.warning("outer library")

    @job
    def outer():
        outer_step()

    result = run(outer, memory)
    assert result.success, result.error
    assert lines(found[0], "inner_step") == ["inner", "inner library"]
    assert lines(result) == ["outer library"]


def test_runs_side_by_side_keep_their_lines_apart(instance: Instance) -> None:
    both = threading.Barrier(2, timeout=30)

    @resource
    def speaking(context):
        both.wait()
        elsewhere.warning("resource of %s", context.run_id)
        return 1

    @op(required_resource_keys={"speaking"})
    def says(context):
        both.wait()
        elsewhere.warning("step of %s", context.run_id)
        both.wait()

    @job(resource_defs={"speaking": speaking})
    def one():
        says()

    results: dict[str, Any] = {}

    def work(name: str) -> None:
        results[name] = run(one, instance, run_id=name)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("beside-1", "beside-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, result in results.items():
        assert result.success, result.error
        assert lines(result) == [f"resource of {name}", f"step of {name}"]
        assert lines(result, "says") == [f"step of {name}"]


def test_a_line_that_cannot_be_stored_stops_nothing(memory: Instance) -> None:
    @op
    def odd(context):
        context.log.info("a lone surrogate: \ud800")
        context.log.info("long " + "x" * 100_000)
        context.log.info("%s %s", "too few")
        context.log.info("end")

    @job
    def one():
        odd()

    logging.raiseExceptions, before = False, logging.raiseExceptions
    try:
        result = run(one, memory)
    finally:
        logging.raiseExceptions = before
    assert result.success
    first, second, last = lines(result, "odd")
    assert first == "a lone surrogate: ?"
    assert len(second) < 21_000
    assert last == "end"


def test_lines_of_assets(memory: Instance) -> None:
    @asset(name="talking_asset")
    def talking_asset(context) -> int:
        context.log.info("making")
        return 1

    result = materialize([talking_asset], instance=memory)
    assert lines(result, "talking_asset") == ["making"]


def test_messages_between_outputs_keep_their_place(memory: Instance) -> None:
    from foldlog import Out, Output

    @op(out={"a": Out(), "b": Out()})
    def two(context):
        context.log.info("one")
        yield Output(1, "a")
        context.log.info("two")
        yield Output(2, "b")
        context.log.info("three")

    @job
    def one():
        two()

    assert story(run(one, memory), "two") == [
        "STEP_START",
        "LOG_MESSAGE",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "LOG_MESSAGE",
        "STEP_OUTPUT",
        "HANDLED_OUTPUT",
        "LOG_MESSAGE",
        "STEP_SUCCESS",
    ]
