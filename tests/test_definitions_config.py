"""Run config, as a job, a resource and a run give it together; and that nothing of it is shared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foldlog import (
    AssetSpec,
    Config,
    Definitions,
    Instance,
    UsageError,
    asset,
    define_asset_job,
    execute_job,
    graph,
    job,
    op,
    resource,
)
from foldlog.engine.definitions.run_config import merged
from foldlog.engine.definitions.run_config_files import read_run_config

HELD = {"ops": {"work": {"inputs": {"rows": [1]}, "config": {"options": {"a": [1]}}}}}


class Options(Config):
    options: dict = {}  # type: ignore[type-arg]
    more: int = 0


@op
def work(context, config: Options, rows: list[Any], also: list[Any] = []) -> Any:  # noqa: B006
    seen = [list(rows), list(config.options["a"]), list(also), context.run_config["ops"]["work"]["inputs"]["rows"][:]]
    rows.append(2)
    config.options["a"].append(2)
    also.append(2)
    context.run_config["ops"]["work"]["inputs"]["rows"].append(2)
    context.run_config["ops"]["work"]["inputs"]["rows"].append(3)
    return seen


def test_what_a_step_does_with_its_config_changes_no_definition_and_no_other_run() -> None:
    @job(config=HELD, tags={"a": "b"}, metadata={"m": {"deep": [1]}})
    def held():
        work()

    @job
    def given():
        work()

    own = {"ops": {"work": {"inputs": {"rows": [1]}, "config": {"options": {"a": [1]}}}}}
    with Instance.ephemeral() as instance:
        for _ in range(3):
            for result in (execute_job(held, instance=instance), execute_job(given, instance=instance, run_config=own)):
                assert result.output_for_node("work") == [[1], [1], [], [1]]
                assert instance.get_run_by_id(result.run_id).run_config == HELD
    assert own == HELD
    with pytest.raises(TypeError):
        held.config["ops"]["work"]["inputs"]["new"] = 1
    with pytest.raises(AttributeError):
        held.config["ops"]["work"]["inputs"]["rows"].append(1)
    with pytest.raises(TypeError):
        held.tags["c"] = "d"  # type: ignore[index]


@pytest.mark.parametrize(
    ("under", "over", "together"),
    [
        ({"a": {"b": 1}}, {"a": None}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": {"b": None}}, {"a": {"b": None}}),
        ({"a": [1]}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": Options(more=1)}, {"a": None}, {"a": Options(more=1)}),
        ({"a": Options(more=1)}, {"a": {"options": {"x": 1}}}, {"a": {"more": 1, "options": {"x": 1}}}),
    ],
)
def test_a_section_that_says_nothing_leaves_what_is_under_it(under: Any, over: Any, together: Any) -> None:
    assert merged(under, over) == together


def test_a_section_whose_lines_are_comments_keeps_that_of_other_files_and_of_the_job(tmp_path: Path) -> None:
    class Limit(Config):
        limit: int = 1

    @op
    def load(config: Limit) -> int:
        return config.limit

    @job(config={"ops": {"load": {"config": {"limit": 7}}}})
    def loading():
        load()

    base, comments, nothing = (tmp_path / name for name in ("base.yaml", "comments.yaml", "nothing.yaml"))
    base.write_text("ops:\n  load:\n    config: {limit: 5}\n")
    comments.write_text("ops:\n  load:\n    config:\n      # limit: 3\n")
    nothing.write_text("ops:\n")
    found = {}
    for files in ([comments], [nothing], [base, comments], [base, nothing]):
        found["+".join(one.stem for one in files)] = execute_job(loading, run_config=read_run_config(files))
    assert {name: result.output_for_node("load") for name, result in found.items()} == {
        "comments": 7,
        "nothing": 7,
        "base+comments": 5,
        "base+nothing": 5,
    }


def test_a_run_goes_over_what_a_resource_is_configured_with_key_by_key() -> None:
    class Inner(Config):
        x: int = 1
        y: int = 1

    class Where(Config):
        name: str
        port: int = 1
        inner: Inner = Inner()

    @resource
    def where(config: Where) -> Where:
        return config

    @op(required_resource_keys={"where"})
    def look(where: Where) -> str:
        return f"{where.name} {where.port} {where.inner.x} {where.inner.y}"

    own = Where(name="real", port=7, inner=Inner(x=5))
    for configured in (own, {"name": "real", "port": 7, "inner": {"x": 5}}):

        @job(resource_defs={"where": where.configured(configured)})
        def looking():
            look()

        given = {"resources": {"where": {"config": {"port": 8, "inner": {"y": 6}}}}}
        assert execute_job(looking, run_config=given).output_for_node("look") == "real 8 5 6"
        assert execute_job(looking).output_for_node("look") == "real 7 5 1"


@op
def flaky(config: Options) -> int:
    return config.more


@graph
def inner():
    flaky()


@graph
def outer():
    inner()
    flaky()


@job(config={"ops": {"outer.flaky": {"config": {"more": 1}}}})
def nests():
    outer()


def test_the_name_of_a_step_stands_for_nesting() -> None:
    given = {"ops": {"outer.inner.flaky": {"config": {"more": 2}}}}
    result = execute_job(nests, run_config=given)
    assert [result.output_for_node(one) for one in ("outer.flaky", "outer.inner.flaky")] == [1, 2]
    nested = {"ops": {"outer": {"ops": {"flaky": {"config": {"options": {"a": 1}}}, "inner": None}}}}
    assert execute_job(nests, run_config=nested).output_for_node("outer.flaky") == 1
    for wrong in ("outer.flak", "nothing.flaky", "outer.flaky.more"):
        with pytest.raises(UsageError, match=f"there is no op '{wrong}' here"):
            execute_job(nests, run_config={"ops": {wrong: {}}})


def test_names_in_the_config_of_a_job_are_checked_when_it_is_made() -> None:
    def refused(config: Any) -> str:
        with pytest.raises(UsageError) as caught:
            outer.to_job("etl", config=config)
        return str(caught.value).removeprefix("job 'etl': its config: ")

    assert refused({"op": {}}) == "op: there is no such section; did you mean 'ops'?"
    assert refused({"execution": {}}) == "execution: there is no such section"
    assert refused({"ops": {"nope": {}}}) == "ops.nope: there is no op 'nope' here"
    assert refused({"ops": {"inner": {"ops": {"flak": {}}}}}) == (
        "ops.inner.ops.flak: there is no op 'flak' here; did you mean 'flaky'?"
    )
    assert refused({"ops": {"flaky": {"more": 1}}}) == (
        "ops.flaky.more: there is no key 'more' here; did you mean config.more?"
    )
    assert refused({"ops": {"flaky": {"inputs": {"rows": 1}}}}) == "ops.flaky.inputs.rows: flaky has no such input"
    assert refused({"inputs": {"rows": 1}}) == "inputs.rows: the job has no such input"

    @asset
    def orders() -> int:
        return 1

    later = define_asset_job("later", config={"ops": {"order": {}}})
    with pytest.raises(UsageError, match=r"job 'later': its config: ops\.order: there is no op 'order' here"):
        Definitions(assets=[orders, AssetSpec(key="raw")], jobs=[later])


def test_an_input_that_an_op_has_and_the_job_has_not_is_told_where_it_belongs() -> None:
    @op
    def take(x: int) -> int:
        return x

    @job
    def taking():
        take()

    with pytest.raises(UsageError) as caught:
        execute_job(taking, run_config={"inputs": {"x": 1}})
    assert str(caught.value) == "inputs.x: the job has no such input; did you mean ops.take.inputs.x?"
    assert caught.value.remedy == "The job has no inputs; those of its ops stand below ops.NAME.inputs."
