"""Hooks: which are called when, with what, and what is recorded of them."""

from __future__ import annotations

from typing import Any

import pytest
from watching import fact, facts, run, story

from foldlog import Config, Instance, UsageError, failure_hook, job, op, resource, success_hook

seen: list[tuple[str, str, Any]] = []


@success_hook
def happy(context):
    seen.append(("happy", context.step_key, context.op_exception))


@failure_hook
def sad(context):
    seen.append(("sad", context.step_key, context.op_exception))


@success_hook
def clumsy(context):
    raise KeyError("in the hook")


@op
def works() -> int:
    return 1


@op
def fails(value: int):
    raise OSError("disk full")


@op
def never(value):
    raise AssertionError


@pytest.fixture(autouse=True)
def nothing_seen() -> None:
    seen.clear()


def hooks_of(result: Any, step_key: str) -> list[tuple[str, str]]:
    return sorted(
        (one.event.fact.hook, one.event.type) for one in result.events(step_key) if one.event.type.startswith("HOOK_")
    )


@job(hooks={happy, sad, clumsy})
def hooked():
    never(fails(works()))


def test_hooks_of_a_job_are_called_for_each_step(instance: Instance) -> None:
    result = run(hooked, instance)
    assert seen == [("happy", "works", None), ("sad", "fails", result.error)]
    assert isinstance(result.error, OSError)
    assert hooks_of(result, "works") == [
        ("clumsy", "HOOK_ERRORED"),
        ("happy", "HOOK_COMPLETED"),
        ("sad", "HOOK_SKIPPED"),
    ]
    assert hooks_of(result, "fails") == [
        ("clumsy", "HOOK_SKIPPED"),
        ("happy", "HOOK_SKIPPED"),
        ("sad", "HOOK_COMPLETED"),
    ]
    assert hooks_of(result, "never") == []
    errored = fact(result, "HOOK_ERRORED")
    assert errored.error.class_name == "KeyError"
    assert any("in clumsy" in frame for frame in errored.error.stack)
    assert story(result, "works")[-4] == "STEP_SUCCESS"  # hooks come behind the end of the step, and change nothing
    assert instance.get_run_steps(result.run_id, step_keys=["works"])[0].status == "SUCCESS"


def test_hooks_come_in_one_order(memory: Instance) -> None:
    result = run(hooked, memory)
    names = [one.hook for kind in ("HOOK_COMPLETED", "HOOK_SKIPPED", "HOOK_ERRORED") for one in facts(result, kind)]
    assert len(names) == 6
    order = [one.event.fact.hook for one in result.events("works") if one.event.type.startswith("HOOK_")]
    assert order == sorted(order)


def test_hooks_of_one_node(memory: Instance) -> None:
    @op(hooks={happy})
    def own():
        return 1

    @job
    def one():
        own()
        works.with_hooks({happy})()
        works.alias("plain")()

    result = run(one, memory)
    assert sorted(key for _, key, _ in seen) == ["own", "works"]
    assert hooks_of(result, "plain") == []


def test_the_end_of_the_step_can_be_seen_from_its_hook(fresh: Instance) -> None:
    @success_hook
    def looking(context):
        fresh.writer.flush()
        seen.extend((one.event.type, "", None) for one in fresh.log.read_shard(context.run_id).records[-1:])
        seen.append((fresh.get_run_steps(context.run_id)[0].status, "", None))

    @job(hooks={looking})
    def one():
        works()

    assert run(one, fresh).success
    assert [one for one, _, _ in seen] == ["STEP_SUCCESS", "SUCCESS"]


class Options(Config):
    limit: int = 3


@resource
def mailbox():
    return []


@success_hook(name="mailing", required_resource_keys={"mailbox"})
def mails(context):
    context.resources.mailbox.append(context.step_key)
    context.log.info("mailed")
    seen.append((context.hook_name, context.op_name, context.op_config))
    assert context.run_id
    assert context.job_name == "with_mail"
    assert context.run_tags == {"a": "b"}
    assert context.instance is not None
    with pytest.raises(UsageError, match="'mailing' requires no resource 'other'"):
        _ = context.resources.other


def test_a_hook_has_resources_and_knows_its_step(memory: Instance) -> None:
    @op
    def configured(config: Options): ...

    @job(hooks={mails}, resource_defs={"mailbox": mailbox})
    def with_mail():
        configured()

    result = run(with_mail, memory, tags={"a": "b"})
    assert hooks_of(result, "configured") == [("mailing", "HOOK_COMPLETED")]
    assert seen == [("mailing", "configured", Options(limit=3))]
    assert facts(result, "LOG_MESSAGE", "configured")[0].text == "mailed"
    assert fact(result, "RESOURCE_INIT_SUCCESS").resource_keys == ("io_manager", "mailbox")


def test_a_hook_whose_resource_is_not_there_is_refused_before_the_run(memory: Instance) -> None:
    @job(hooks={mails})
    def without_mail():
        works()

    before = memory.get_runs_count()
    with pytest.raises(UsageError, match="mailbox"):
        run(without_mail, memory)
    assert memory.get_runs_count() == before
