"""`foldlog backfill`, and several partitions on a command line: one that was killed is found, resumed and canceled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import foldlog
from foldlog.engine.cli.main import cli
from foldlog.engine.execution.backfill import cancel_backfill, resume_backfill
from foldlog.engine.execution.backfill_state import backfill_state

FOLDLOG = (sys.executable, "-P", "-m", "foldlog")
CODE = """
import os
import time

import foldlog
from foldlog import Config, asset, job, op, partitions

parts = partitions.StaticPartitionsDefinition(["a", "b", "c", "d"])


class Limit(Config):
    limit: int = 1


def work(context):
    key = context.partition_key
    if key == os.environ.get("BAD"):
        raise ValueError("row 7 is no row")
    if "STARTED" in os.environ and key == "c":
        open(os.environ["STARTED"], "w").close()
        time.sleep(60)


@asset(partitions_def=parts)
def daily(context, config: Limit) -> int:
    work(context)
    return config.limit


@op
def step(context) -> None:
    work(context)


@job(partitions_def=parts)
def each():
    step()
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("FOLDLOG_URL", "FOLDLOG_HOME", "BAD", "STARTED"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "parted.py").write_text(CODE)
    (tmp_path / "limit.yaml").write_text("ops: {daily: {config: {limit: 7}}}\n")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def call(*args, code=0):
    done = CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog")
    assert done.exit_code == code, done.output
    return done


def answer(*args, code=0):
    return json.loads(call(*args, "--json", code=code).stdout)


def materialize(*args, code=0):
    return answer("asset", "materialize", "-f", "parted.py", "--no-progress", *args, code=code)


@pytest.fixture
def killed(here):
    """A backfill of four partitions whose process was killed in the third."""
    started = Path("started").absolute()
    process = subprocess.Popen(
        [*FOLDLOG, "asset", "materialize", "-f", "parted.py", "--partition", "..", "--config", "limit.yaml"],
        env=os.environ | {"STARTED": str(started)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while not started.exists() and time.monotonic() < end:
        time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def kill(process):
    process.kill()
    process.wait()
    (one,) = answer("backfill", "list")["backfills"]
    return one


def states(backfill_id):
    shown = answer("backfill", "show", backfill_id)
    return {one["partition"]: one["state"] for one in shown["partitions"]}


def test_a_killed_backfill_is_resumed_under_its_id(killed, monkeypatch):
    one = kill(killed)
    assert (one["status"], one["done"], one["failed"], one["left"]) == ("IN_PROGRESS", 2, 0, 2)
    name = one["backfill_id"]
    shown = call("backfill", "show", name).stdout
    assert "the process that was at work on it is gone" in shown
    monkeypatch.setenv("BAD", "d")
    done = call("backfill", "resume", name[:8], "-f", "parted.py", "--no-progress", code=1)
    assert done.stderr.splitlines()[-1].endswith(
        f"`foldlog backfill resume {name} --failed -f parted.py` makes what failed again."
    )
    assert states(name) == {"a": "DONE", "b": "DONE", "c": "DONE", "d": "FAILED"}
    told = call("backfill", "resume", name, "-f", "parted.py", code=1).stderr
    assert "has no partition left to make; 1 failed" in told
    monkeypatch.delenv("BAD")
    document = answer("backfill", "resume", name, "-f", "parted.py", "--failed", "--no-progress")
    assert [one["partition"] for one in document["partitions"]] == ["d"]
    assert document["backfill_id"] == name
    (one,) = answer("backfill")["backfills"]
    assert (one["done"], one["failed"], one["left"]) == (4, 0, 0)
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        records = instance.get_run_records(ascending=True, tags={"foldlog/backfill": name})
        assert [record.run.tags["foldlog/partition"] for record in records] == ["a", "b", "c", "c", "d", "d"]
        assert records[2].failure_reason == "UNEXPECTED_TERMINATION"
        assert {record.run.run_config["ops"]["daily"]["config"]["limit"] for record in records} == {7}, (
            "as the runs had it"
        )


def test_one_that_is_at_work_is_not_resumed_but_told_to_stop(killed):
    (one,) = answer("backfill", "list")["backfills"]
    name = one["backfill_id"]
    told = call("backfill", "resume", name, "-f", "parted.py", code=1).stderr
    assert told.startswith(f"foldlog: process {killed.pid} of this machine is at work on backfill {name}\n")
    assert answer("backfill", "cancel", name) == {"backfill_id": name, "canceled": False}
    one = kill(killed)
    assert one["status"] == "CANCELING"
    assert answer("backfill", "cancel", name) == {"backfill_id": name, "canceled": True}
    (one,) = answer("backfill", "list")["backfills"]
    assert one["status"] == "CANCELED"
    assert states(name)["c"] == "LEFT", "its run has been recorded as failed, since its process is gone"
    assert "is CANCELED" in call("backfill", "cancel", name, code=1).stderr


def test_a_lost_run_is_shown_as_such(killed):
    kill(killed)
    run_id = answer("runs")["runs"][0]["run_id"]
    done = call("runs", "show", run_id)
    assert "the process that executed it is gone" in done.stdout
    assert f"`foldlog job execute --from-failure {run_id}`" in done.stderr
    assert answer("runs", "show", run_id)["worker_is_gone"] is True
    call("job", "execute", "--from-failure", run_id, "-f", "parted.py", "--no-progress")
    ended = call("runs", "show", run_id).stdout
    assert "  reason  UNEXPECTED_TERMINATION" in ended
    assert "the worker of the run is gone; it was STARTED" in ended


def test_keys_and_ranges_mix(here):
    document = materialize("--partition", "d", "--partition", "a..b", "--partition", "b")
    assert [one["partition"] for one in document["partitions"]] == ["d", "a", "b"]
    command = ("job", "execute", "each", "-f", "parted.py", "--no-progress")
    document = answer(*command, "--partition", "a", "--partition", "c")
    assert [(one["partition"], one["status"]) for one in document["partitions"]] == [("a", "SUCCESS"), ("c", "SUCCESS")]
    told = call(*command, "--partition", "a", "--partition", "x", code=1).stderr
    assert told.startswith("foldlog: job 'each': no partition 'x'")
    assert "--run-id is the id of one run" in call(*command, "--partition", "..", "--run-id", "r", code=2).stderr
    assert {one["job_name"] for one in answer("backfill")["backfills"]} == {None, "each"}


def test_backfills_that_are_not_there(here):
    materialize("--partition", "a")
    assert call("backfill").stdout == "no backfills\n"
    assert call("backfill", "show", "x", code=1).stderr.startswith("foldlog: there is no backfill 'x'\n")
    assert "write `foldlog backfill show x`" in call("backfill", "x", code=2).stderr


# -- the library ------------------------------------------------------------------------------------------------------


def test_a_backfill_is_resumed_by_a_call():
    bad = {"b"}

    @foldlog.op
    def step(context):
        if context.partition_key in bad:
            raise ValueError("not yet")

    @foldlog.job(partitions_def=foldlog.partitions.StaticPartitionsDefinition(["a", "b", "c"]))
    def each():
        step()

    from foldlog.engine.execution.backfill import run_backfill
    from foldlog.engine.execution.requests import ExecutionRequest

    with foldlog.Instance.ephemeral() as instance:
        first = run_backfill(
            instance, each, ["a", "b", "c"], ExecutionRequest(tags={"team": "x"}), stop_on_failure=True
        )
        assert (first.failed_partitions, first.left) == (("b",), ("c",))
        assert str(first.runs[1].errors["step"]) == "ValueError: not yet"
        name = first.backfill_id
        second = resume_backfill(instance, each, name)
        assert [one.partition for one in second.runs] == ["c"]
        bad.clear()
        third = resume_backfill(instance, each, name, failed=True)
        assert [one.partition for one in third.runs] == ["b"]
        assert third.success
        assert backfill_state(instance, name).partitions("DONE") == ["a", "b", "c"]
        assert {record.run.tags["team"] for record in instance.get_run_records()} == {"x"}
        with pytest.raises(foldlog.UsageError, match="has no partition left to make"):
            resume_backfill(instance, each, name, failed=True)
        with pytest.raises(foldlog.UsageError, match="is FAILED"):
            cancel_backfill(instance, name)

        @foldlog.job(partitions_def=foldlog.partitions.StaticPartitionsDefinition(["a"]))
        def another():
            step()

        with pytest.raises(foldlog.UsageError, match="is of job 'each', not of job 'another'"):
            resume_backfill(instance, another, name, failed=True)


def test_one_that_was_canceled_stays_so_and_can_go_on():
    with foldlog.Instance.ephemeral() as instance:

        @foldlog.asset(partitions_def=foldlog.partitions.StaticPartitionsDefinition(["a", "b"]))
        def daily(context) -> int:
            if context.partition_key == "a":
                assert cancel_backfill(instance, context.get_tag("foldlog/backfill")) is False, "it is at work"
            return 1

        result = foldlog.materialize_partitions([daily], ["a", "b"], instance=instance)
        assert result.left == ("b",)
        job = foldlog.Definitions(assets=[daily]).asset_job("*")
        assert resume_backfill(instance, job, result.backfill_id).success
        assert instance.get_backfill(result.backfill_id).status == "CANCELED", "the first end stands"
