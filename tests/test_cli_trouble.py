"""What `foldlog runs show`, `assets show` and `log` tell of what went wrong."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import foldlog
from foldlog.engine.cli.main import cli


@foldlog.failure_hook
def pager(context):
    raise RuntimeError("the pager is off")


@foldlog.resource
def warehouse():
    yield 1
    raise OSError("cannot close")


@foldlog.op(required_resource_keys={"warehouse"})
def load(context) -> int:
    return "7"  # type: ignore[return-value]


@foldlog.op
def publish(rows: int) -> int:
    return rows


@foldlog.op
def tell(rows: int) -> None: ...


@foldlog.job(resource_defs={"warehouse": warehouse}, hooks={pager})
def nightly():
    tell(publish(load()))


@foldlog.asset
def orders() -> int:
    return 1


@foldlog.asset_check(asset=orders)
def enough(orders: int) -> foldlog.AssetCheckResult:
    return foldlog.AssetCheckResult(
        passed=False, severity="WARN", description="too few rows", metadata={"rows": orders}
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('log')}/history"
    with foldlog.Instance.from_url(url) as instance:
        foldlog.execute_job(nightly, instance=instance, run_id="bad", raise_on_error=False)
        foldlog.materialize([orders, enough], instance=instance, run_id="checked")
    return url


def call(*args, url, code=0):
    done = CliRunner().invoke(cli, [*args, "--url", url], prog_name="foldlog")
    assert done.exit_code == code, done.output
    return done.stdout


def test_hooks_and_resources_that_failed_are_shown(url):
    shown = call("runs", "show", "bad", url=url)
    assert "hook pager of step load failed with RuntimeError: the pager is off\n" in shown
    assert "resource 'warehouse' was not torn down well" in shown
    assert "OSError: cannot close" in shown
    assert "  reason  STEP_FAILURE" in shown
    document = json.loads(call("runs", "show", "bad", "--json", url=url))
    assert [one["type"] for one in document["notes"]] == ["HOOK_ERRORED", "ENGINE_EVENT"]
    assert document["failures"][0]["step_key"] == "load"
    assert document["failures"][0]["error_class"] == "foldlog.engine.errors.UserCodeError"
    assert document["worker_is_gone"] is False


def test_people_see_classes_as_they_import_them_and_frames_of_their_own(url):
    shown = call("runs", "show", "bad", url=url)
    assert "step load, attempt 1 failed with UserCodeError: step load: its output 'result'" in shown
    assert "foldlog.engine" not in shown
    assert "engine/execution" not in shown
    assert "What to do: Return a value of that type" in shown


def test_a_check_that_did_not_pass_says_why(url):
    for shown in (call("runs", "show", "checked", url=url), call("assets", "show", "orders", url=url)):
        assert "check enough of orders did not pass (WARN): too few rows\n  rows: 1\n" in shown
    (check,) = json.loads(call("assets", "show", "orders", "--json", url=url))["checks"]
    assert (check["description"], check["metadata"]) == ("too few rows", {"rows": 1})


def types(run_id, level, url):
    lines = call("log", run_id, "--level", level, "--json", url=url).splitlines()
    return [json.loads(line)["type"] for line in lines]


def test_a_failure_is_as_grave_as_an_error(url):
    assert types("bad", "ERROR", url) == ["STEP_FAILURE", "RUN_FAILURE"]
    assert types("bad", "WARNING", url) == ["STEP_FAILURE", "HOOK_ERRORED", "ENGINE_EVENT", "RUN_FAILURE"]
    assert types("checked", "ERROR", url) == []
    assert types("checked", "WARNING", url) == ["ASSET_CHECK_EVALUATION"]


def test_what_was_not_executed_is_counted_and_explained(url):
    shown = call("log", "bad", url=url)
    assert "not executed: load failed" in shown
    assert "not executed: publish was not executed" in shown
    assert "1 step has failed: load; 2 behind it were not executed" in shown
