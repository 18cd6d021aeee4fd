"""`foldlog job` and `foldlog asset`: code is found, executed and followed; interrupts, scripts, wrong input."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

import foldlog
from foldlog.engine.cli.main import COMMANDS, cli

FOLDLOG = (sys.executable, "-P", "-m", "foldlog")
CODE = """
import logging
import os
import time

import foldlog
from foldlog import AssetCheckResult, Config, RetryPolicy, asset, asset_check, job, op

parts = foldlog.partitions.StaticPartitionsDefinition(["a", "b", "c"])


class Limit(Config):
    limit: int = 3


@op
def extract(context, config: Limit) -> list:
    print("printed by extract")
    context.log.info("reading %d rows", config.limit)
    logging.getLogger("acme").warning("of the standard logging")
    return list(range(config.limit))


@op(retry_policy=RetryPolicy(max_retries=1))
def clean(context, rows: list) -> list:
    if os.environ.get("BAD") == "clean":
        helper()
    return rows


def helper():
    raise ValueError("row 7 is no row")


@op
def load(rows: list) -> int:
    if "STARTED" in os.environ:
        open(os.environ["STARTED"], "w").close()
        time.sleep(60)
    return len(rows)


@job(description="Loads what came in.\\n\\nEvery night.", tags={"team": "growth"})
def nightly():
    load(clean(extract()))


@asset(partitions_def=parts)
def daily(context) -> int:
    if context.partition_key == os.environ.get("BAD"):
        helper()
    if "STARTED" in os.environ and context.partition_key == "b":
        open(os.environ["STARTED"], "w").close()
        time.sleep(60)
    return 1


@asset(partitions_def=parts, group_name="reports")
def report(daily: int) -> int:
    return daily + 1


@asset_check(asset=report)
def positive(report: int) -> AssetCheckResult:
    return AssetCheckResult(passed=report > 0)


@asset
def alone() -> int:
    return 1
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A working directory with code; what was loaded from it is forgotten, for other tests have a file of that name."""
    monkeypatch.chdir(tmp_path)
    for name in ("FOLDLOG_URL", "FOLDLOG_HOME", "BAD", "STARTED"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "flows.py").write_text(CODE)
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def invoke(*args):
    """In this process: exit code, output, errors."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog")


def execute(*args, code=0):
    """`job execute` of the code here."""
    done = invoke("job", "execute", *args, "-f", "flows.py", "--no-progress")
    assert done.exit_code == code, done.output
    return done


def materialize(*args, code=0):
    done = invoke("asset", "materialize", *args, "-f", "flows.py", "--no-progress")
    assert done.exit_code == code, done.output
    return done


def fails(*args, code=1):
    """What is told of a command that fails."""
    done = invoke(*args)
    assert done.exit_code == code, done.output
    return done.stderr


def runs():
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        return instance.get_run_records(ascending=True)


def write(name, text):
    Path(name).write_text(text)
    return name


# -- what the code defines --------------------------------------------------------------------------------------------


def test_jobs_are_listed():
    assert invoke("job", "-f", "flows.py").stdout.splitlines() == [
        "job      steps  partitions  description",
        "nightly      3              Loads what came in.",
    ]
    assert invoke("job", "list", "--steps", "-f", "flows.py").stdout.splitlines() == [
        "nightly",
        "step     waits for  one for each of",
        "extract",
        "clean    extract",
        "load     clean",
    ]
    (job,) = json.loads(invoke("job", "list", "-f", "flows.py", "--json").stdout)["jobs"]
    assert (job["name"], job["tags"], job["partitions"], job["assets"]) == ("nightly", {"team": "growth"}, None, [])
    assert job["steps"][2] == {"step_key": "load", "op": "load", "waits_for": ["clean"], "mapped_over": None}


def test_assets_are_listed():
    lines = invoke("asset", "-f", "flows.py").stdout.splitlines()
    assert lines[0].split("  ")[0] == "asset"
    assert [one.split() for one in lines[1:]] == [
        ["daily", "default", "static", "partitions", "a,", "b,", "c"],
        ["report", "reports", "daily", "static", "partitions", "a,", "b,", "c", "positive"],
        ["alone", "default"],
    ]
    document = json.loads(invoke("asset", "list", "-f", "flows.py", "--select", "report", "--json").stdout)
    (one,) = document["assets"]
    assert (one["key"], one["deps"], one["checks"], one["made"]) == ("report", ["daily"], ["positive"], True)


def test_both_helps_say_what_is_of_the_code_and_what_of_the_log():
    for mine, other in (("job", "runs"), ("asset", "assets")):
        assert f"foldlog {other}" in " ".join(invoke(mine, "--help").stdout.split())
        assert f"foldlog {mine}" in " ".join(invoke(other, "--help").stdout.split())
        assert mine in COMMANDS


def test_the_code_is_found_by_module_file_and_project():
    names = [job["name"] for job in json.loads(invoke("job", "list", "-m", "flows", "--json").stdout)["jobs"]]
    assert names == ["nightly"]
    write("pyproject.toml", '[tool.foldlog]\nfile = "flows.py"\n')
    assert "nightly" in invoke("job").stdout
    write("defs.py", "import foldlog\nfrom flows import nightly\nmine = foldlog.Definitions(jobs=[nightly])\n")
    assert "no assets" in invoke("asset", "list", "-f", "defs.py").stdout, "the Definitions say all there is"
    assert "nightly" in invoke("job", "list", "-f", "defs.py", "--attribute", "nightly").stdout


# -- executing --------------------------------------------------------------------------------------------------------


def test_the_only_job_is_executed_and_the_log_is_made():
    done = execute("--run-id", "r1", "--tags", "a=1", "--tags", '{"b": "2"}')
    assert done.stdout.splitlines()[-1].startswith("run r1 of job nightly: SUCCESS, 3 steps in ")
    (record,) = runs()
    assert record.run.run_id == "r1"
    assert record.run.tags == {"team": "growth", "a": "1", "b": "2"}


def test_files_of_run_config_go_over_each_other(monkeypatch):
    base = write("base.yaml", "ops:\n  extract:\n    config:\n      limit: 5\n")
    over = write("over.yaml", "ops:\n  extract:\n    config:\n      limit: {env: LIMIT}\n")
    monkeypatch.setenv("LIMIT", "7")
    execute("--run-id", "r1", "--config", base)
    execute("--run-id", "r2", "--config", base, "--config", over)
    limits = [record.run.run_config["ops"]["extract"]["config"]["limit"] for record in runs()]
    assert limits == [5, {"env": "LIMIT"}], "what the environment holds is not recorded"
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        lines = [one.event.fact.text for one in instance.log.read_shard("r2", types=["LOG_MESSAGE"]).records]
    assert lines[0] == "reading 7 rows"


def test_a_failure_is_told_with_the_users_own_traceback_and_what_to_do(monkeypatch):
    monkeypatch.setenv("BAD", "clean")
    done = execute("nightly", "--run-id", "r1", code=1)
    assert "run r1 of job nightly: FAILURE, 2 steps in " in done.stdout
    told = done.stderr
    assert "step clean failed with ValueError: row 7 is no row\nTraceback (most recent call last):\n" in told
    assert told.count("  File ") == 2
    assert "in helper" in told
    assert "engine/execution" not in told
    assert told.splitlines()[-2:] == [
        "foldlog: run r1 of job nightly failed in step clean",
        "what to do: `foldlog runs show r1` shows what happened. When the cause is gone, "
        "`foldlog job execute --from-failure r1 -f flows.py` goes on from there.",
    ]


def test_it_goes_on_where_it_failed(monkeypatch):
    monkeypatch.setenv("BAD", "clean")
    execute("nightly", "--run-id", "run-one", code=1)
    monkeypatch.delenv("BAD")
    document = json.loads(execute("--from-failure", "run-o", "--run-id", "r2", "--json").stdout)
    assert [(step["step_key"], step["outcome"]) for step in document["steps"]] == [
        ("clean", "SUCCESS"),
        ("load", "SUCCESS"),
    ]
    document = json.loads(execute("--reexecute", "r2", "--select", "load", "--json").stdout)
    assert [step["step_key"] for step in document["steps"]] == ["load"]
    assert [record.run.parent_run_id for record in runs()] == [None, "run-one", "r2"]


def test_json_is_one_document_whatever_steps_print(monkeypatch):
    monkeypatch.setenv("BAD", "clean")
    done = subprocess.run(
        [*FOLDLOG, "job", "execute", "-f", "flows.py", "--json", "--run-id", "r1"], capture_output=True, text=True
    )
    document = json.loads(done.stdout)
    assert done.returncode == 1
    assert "printed by extract" in done.stderr
    assert (document["run_id"], document["job_name"], document["status"]) == ("r1", "nightly", "FAILURE")
    assert [(step["step_key"], step["outcome"], step["attempts"]) for step in document["steps"]] == [
        ("extract", "SUCCESS", 1),
        ("clean", "FAILURE", 2),
        ("load", "ABANDONED", 0),
    ]
    failure = {"error_class": "ValueError", "error_message": "row 7 is no row"}
    assert document["failures"] == [{"step_key": "clean", **failure}]
    assert document["error"] == failure


def test_a_pipe_gets_a_line_an_event(monkeypatch):
    monkeypatch.setenv("BAD", "clean")
    done = subprocess.run([*FOLDLOG, "job", "execute", "-f", "flows.py"], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert all(one[2] == one[5] == ":" for one in lines[:10])
    texts = [one[9:] for one in lines]
    assert texts[0].startswith("job nightly, run ")
    wanted = [
        "step extract started",
        "step extract INFO reading 3 rows",
        "step extract WARNING of the standard logging",
        "step clean started",
        "step clean failed, and is tried again in 0.0 ms: ValueError: row 7 is no row",
        "step clean started again, attempt 2",
        "step load not executed: clean failed",
        "run failed",
    ]
    assert [one for one in texts if one in wanted] == wanted
    assert "\x1b" not in done.stderr
    assert done.stdout.splitlines()[0] == "printed by extract"


def test_who_stops_reading_the_progress_stops_no_run():
    code = f"{' '.join(FOLDLOG)} job execute -f flows.py --run-id r1 2>&1 >out | head -n 1"
    subprocess.run(["bash", "-c", code], check=True, capture_output=True)
    (record,) = runs()
    assert record.run.status == "SUCCESS"


def on_terminal(*args, env=None):
    """What a terminal of 100 columns shows of a command, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm", "COLUMNS": "100", **(env or {})})
        os.execv(sys.executable, [*FOLDLOG, *args])
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux tells the end so
            break
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_terminal_gets_a_live_table():
    shown, code = on_terminal("job", "execute", "-f", "flows.py", env={"BAD": "clean"})
    assert code == 1
    assert "\x1b[2K" in shown, "lines are drawn anew"
    assert "printed by extract" in shown
    assert "step extract INFO reading 3 rows" in shown
    last = shown[shown.rindex("job nightly, run ") :]
    assert "SUCCESS" in last
    assert "attempt 2" in last
    assert "ABANDONED" in last
    shown, code = on_terminal("job", "execute", "-f", "flows.py", env={"TERM": "dumb"})
    assert code == 0
    assert "\x1b" not in shown
    assert "step extract started" in shown
    shown, code = on_terminal("job", "execute", "-f", "flows.py", "--plain")
    assert "step extract started" in shown


def test_many_steps_are_a_bar_and_what_runs_or_failed():
    from rich.console import Console

    from foldlog.engine.cli.live_display import LiveDisplay
    from foldlog.engine.cli.step_tally import StepTally

    console = Console(width=100, height=20, force_terminal=False)
    display = LiveDisplay(console)
    display.tally = StepTally({f"s{number}" for number in range(100)})
    for number in range(50):
        display.report(f"s{number}", "START", 0.0)
        if number < 48:
            display.report(f"s{number}", "FAILURE" if number == 7 else "SUCCESS", 0.5)
    with console.capture() as drawn:
        console.print(display)
    text = drawn.get()
    assert "48 of 100 steps" in text
    assert "1 failure, 47 success" in text
    assert [one.split()[0] for one in text.splitlines()[:3]] == ["s48", "s49", "s7"]
    assert "s3 " not in text


# -- interrupts -------------------------------------------------------------------------------------------------------


def interrupted(how, *args):
    """A command that is sent a signal while a step is under way: exit code and errors."""
    started = Path("started").absolute()
    process = subprocess.Popen(
        [*FOLDLOG, *args, "-f", "flows.py", "--no-progress"],
        env=os.environ | {"STARTED": str(started)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    end = time.monotonic() + 60
    while not started.exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_ctrl_c_cancels_the_run():
    code, errors = interrupted(signal.SIGINT, "job", "execute", "--run-id", "r1")
    assert code == 130
    assert errors.strip().splitlines() == [
        "interrupted; run r1 is recorded as canceled",
        "what to do: `foldlog job execute --from-failure r1 -f flows.py` goes on with it.",
    ]
    assert [record.run.status for record in runs()] == ["CANCELED"]


def test_sigterm_is_recorded():
    code, errors = interrupted(signal.SIGTERM, "job", "execute", "--run-id", "r1")
    assert code == 143
    assert errors.strip().splitlines() == [
        "foldlog: told to end (SIGTERM); run r1 is recorded as failed",
        "what to do: `foldlog job execute --from-failure r1 -f flows.py` goes on with it.",
    ]
    (record,) = runs()
    assert (record.run.status, record.failure_reason) == ("FAILURE", "UNEXPECTED_TERMINATION")


def test_ctrl_c_cancels_the_backfill():
    code, errors = interrupted(signal.SIGINT, "asset", "materialize", "--select", "daily", "--partition", "..")
    assert code == 130
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        (backfill,) = instance.get_backfills()
        assert errors.strip().splitlines() == [
            "interrupted; the backfill of 3 partitions, with the run under way, is recorded as canceled",
            f"what to do: `foldlog backfill resume {backfill.backfill_id} -f flows.py` goes on with it.",
        ]
        assert backfill.status == "CANCELED"
        assert len(instance.get_backfill_run_ids(backfill.backfill_id)) == 2
    assert [record.run.status for record in runs()] == ["SUCCESS", "CANCELED"]


# -- assets -----------------------------------------------------------------------------------------------------------


def test_one_partition_is_made():
    materialize("--select", "daily+", "--partition", "b")
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        assert instance.get_materialized_partitions("report") == ["b"]
        assert instance.get_materialized_partitions("daily") == ["b"]
        assert instance.get_backfills() == []


def test_several_partitions_are_a_backfill_and_a_failed_one_stops_no_other(monkeypatch):
    monkeypatch.setenv("BAD", "b")
    done = materialize("--select", "daily", "--partition", "a..c", "--tags", "team=x", "--json", code=1)
    document = json.loads(done.stdout)
    assert [(one["partition"], one["status"]) for one in document["partitions"]] == [
        ("a", "SUCCESS"),
        ("b", "FAILURE"),
        ("c", "SUCCESS"),
    ]
    assert document["failed_partitions"] == ["b"]
    assert document["partitions"][1]["failures"] == [
        {"step_key": "daily", "error_class": "ValueError", "error_message": "row 7 is no row"}
    ]
    run_id = document["partitions"][1]["run_id"]
    assert done.stderr.splitlines()[-2:] == [
        "foldlog: 1 of 3 partitions failed: b",
        f"what to do: `foldlog runs show {run_id}` shows what happened. When the cause is gone, "
        f"`foldlog backfill resume {document['backfill_id']} --failed -f flows.py` makes what failed again.",
    ]
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        backfill = instance.get_backfill(document["backfill_id"])
        assert backfill.status == "COMPLETED"
        rows = instance.get_backfill_partitions(document["backfill_id"])
        assert [(one.partition, one.requested, one.failed) for one in rows] == [
            ("a", True, False),
            ("b", True, True),
            ("c", True, False),
        ]
        run_ids = [one["run_id"] for one in document["partitions"]]
        assert instance.get_backfill_run_ids(document["backfill_id"]) == run_ids
    assert {record.run.tags["foldlog/backfill"] for record in runs()} == {document["backfill_id"]}
    assert {record.run.tags["team"] for record in runs()} == {"x"}
    monkeypatch.delenv("BAD")
    execute("--from-failure", run_id)
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        assert sorted(instance.get_materialized_partitions("daily")) == ["a", "b", "c"]


def test_a_backfill_can_stop_at_a_failure(monkeypatch):
    monkeypatch.setenv("BAD", "b")
    done = materialize("--select", "daily", "--partition", "..", "--stop-on-failure", "--json", code=1)
    document = json.loads(done.stdout)
    assert [one["partition"] for one in document["partitions"]] == ["a", "b"]
    assert document["left"] == ["c"]
    with foldlog.Instance.from_url("sqlite:///./history") as instance:
        backfill = instance.get_backfill(document["backfill_id"])
        assert backfill.status == "FAILED"


def test_a_backfill_is_a_call_of_the_library():
    parts = foldlog.partitions.StaticPartitionsDefinition(["a", "b", "c"])
    with foldlog.Instance.ephemeral() as instance:

        @foldlog.asset(partitions_def=parts)
        def daily(context) -> int:
            if context.partition_key == "b":
                instance.cancel_backfill(context.get_tag("foldlog/backfill"))
            return 1

        result = foldlog.materialize_partitions([daily], ["a", "b", "c"], instance=instance)
        assert [one.partition for one in result.runs] == ["a", "b"]
        assert (result.left, result.success, result.failed_partitions) == (("c",), False, ())
        backfill = instance.get_backfill(result.backfill_id)
        assert backfill.status == "CANCELED"
        for wrong, says in (
            ([], "no partition of the assets' own job is asked for"),
            (["a", "x"], "the assets' own job: no partition 'x'; it has 3, from 'a' to 'c'"),
            (["a", "a"], "the partition 'a' is asked for twice"),
        ):
            with pytest.raises(foldlog.UsageError) as caught:
                foldlog.materialize_partitions([daily], wrong, instance=instance)
            assert str(caught.value) == says
        assert instance.get_backfills_count() == 1, "what does not fit is not recorded"


# -- wrong input ------------------------------------------------------------------------------------------------------


def test_code_that_is_not_there(here):
    assert fails("job", "list").splitlines()[0] == (
        f"foldlog: nothing says which code to load: no module, no file, and no [tool.foldlog] in {here}"
    )
    assert fails("job", "list", "-f", "flow.py").splitlines()[0] == (
        f"foldlog: there is no file {here}/flow.py; did you mean 'flows.py'?"
    )
    assert fails("job", "list", "-m", "nix").splitlines()[0] == "foldlog: there is no module 'nix'"
    assert "-m and -f exclude each other" in fails("job", "list", "-m", "a", "-f", "b.py", code=2)


def test_code_that_raises(here):
    write("raising.py", "def f():\n    raise RuntimeError('not today')\n\nf()\n")
    assert fails("job", "execute", "-f", "raising.py") == (
        "Traceback (most recent call last):\n"
        f'  File "{here}/raising.py", line 4, in <module>\n'
        "    f()\n"
        f'  File "{here}/raising.py", line 2, in f\n'
        "    raise RuntimeError('not today')\n"
        "RuntimeError: not today\n"
        f"foldlog: importing raising failed at {here}/raising.py:2: RuntimeError: not today\n"
        "what to do: Correct the code there; its traceback is above.\n"
    )


def test_code_that_offers_nothing_or_too_much(here):
    write("empty.py", "x = 1\n")
    assert fails("job", "list", "-f", "empty.py").splitlines()[0] == (
        f"foldlog: the module empty ({here}/empty.py) defines no job and no asset"
    )
    write("two.py", "import foldlog\na = foldlog.Definitions()\nb = foldlog.Definitions()\nc = 1\n")
    assert fails("job", "list", "-f", "two.py").splitlines() == [
        "foldlog: the module two has several Definitions: a, b",
        "what to do: Say which: --attribute a.",
    ]
    assert fails("job", "list", "-f", "two.py", "--attribute", "c").splitlines()[0] == (
        "foldlog: 'c' of two is an int; wanted Definitions, a job or assets"
    )
    assert fails("job", "execute", "-f", "two.py", "--attribute", "a").splitlines()[0] == (
        "foldlog: the code defines no job"
    )
    assert fails("asset", "materialize", "-f", "two.py", "--attribute", "a").splitlines()[0] == (
        "foldlog: the code defines no asset"
    )


JOB = ("job", "execute", "nightly", "-f", "flows.py", "--no-progress")
ASSET = ("asset", "materialize", "-f", "flows.py", "--no-progress")
WRONG = {
    "job": (
        ("job", "execute", "nihgtly", "-f", "flows.py"),
        "there is no job 'nihgtly'; did you mean 'nightly'? (there are: nightly)",
        "`foldlog job list` lists them.",
    ),
    "config file": (
        (*JOB, "--config", "kee.yaml"),
        "there is no file kee.yaml; did you mean 'key.yaml'?",
        "Correct the path of the run config.",
    ),
    "no YAML": (
        (*JOB, "--config", "no.yaml"),
        "no.yaml:2:1: expected the node content, but found '<stream end>': this is no YAML",
        "Correct the run config there.",
    ),
    "no mapping": (
        (*JOB, "--config", "list.yaml"),
        "list.yaml:1: this is a list; wanted a mapping, with the keys ops, resources or inputs",
        "Correct the run config there.",
    ),
    "key": (
        (*JOB, "--config", "good.yaml", "--config", "key.yaml"),
        "key.yaml:5: ops.extract.config.limti: there is no key 'limti' here; did you mean 'limit'?",
        "Allowed here: limit.",
    ),
    "key of an earlier file": (
        (*JOB, "--config", "key.yaml", "--config", "good.yaml"),
        "key.yaml:5: ops.extract.config.limti: there is no key 'limti' here; did you mean 'limit'?",
        "Allowed here: limit.",
    ),
    "value": (
        (*JOB, "--config", "good.yaml", "--config", "value.yaml"),
        "value.yaml:1: ops.extract.config.limit: 'many' was given; wanted a whole number",
        "Correct the run config there.",
    ),
    "select": (
        (*JOB, "--select", "tag:nix"),
        "the selection 'tag:nix' selects no op; nothing has the tag 'nix'",
        "There are extract, clean, load; `*` selects all.",
    ),
    "partition of none": (
        (*JOB, "--partition", "x"),
        "job 'nightly' has no partitions; partition_key='x' was given",
        "Leave it out.",
    ),
    "partition of an asset without": (
        (*ASSET, "--select", "alone", "--partition", "a..c"),
        "the assets' own job has no partitions; partition_key='a..c' was given",
        "Leave it out.",
    ),
    "no partition": (
        (*ASSET, "--select", "daily"),
        "the assets' own job is partitioned by static partitions a, b, c, and no partition was given",
        "Give one: partition_key='...', or --partition.",
    ),
    "unknown partition": (
        (*ASSET, "--select", "daily", "--partition", "x"),
        "the assets' own job: no partition 'x'; it has 3, from 'a' to 'c'",
        "Give a key that its partitions have.",
    ),
    "range": (
        (*ASSET, "--select", "daily", "--partition", "c..a"),
        "static partitions a, b, c: 'c' comes behind 'a'",
        "Give the earlier key first.",
    ),
    "asset": (
        (*ASSET, "--select", "dialy"),
        "there is no asset 'dialy'; did you mean 'daily'?",
        "There are daily, report, alone; `*` selects all. `foldlog asset list` lists them.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_told_and_leaves_nothing(name, here):
    write("no.yaml", "ops: [\n")
    write("list.yaml", "- a\n")
    write("good.yaml", "ops: {extract: {config: {limit: 2}}}\n")
    write("key.yaml", "# of tests\nops:\n  extract:\n    config:\n      limti: 4\n")
    write("value.yaml", "ops: {extract: {config: {limit: many}}}\n")
    args, problem, remedy = WRONG[name]
    assert fails(*args) == f"foldlog: {problem}\nwhat to do: {remedy}\n"
    assert not (here / "history").exists(), "no log is made by mistake"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("--tags", "a"), """Invalid value for '--tags': 'a' is not KEY=VALUE, nor a JSON object such as"""),
        (("--tags", '{"a": 1}'), """Invalid value for '--tags': the tag 'a' is 1, no text; write "1\""""),
        (("--tags", '{"a"'), """Invalid value for '--tags': '{"a"' is no JSON"""),
        (("--from-failure", "a", "--reexecute", "b"), "--from-failure and --reexecute exclude each other"),
        (("--from-failure", "a", "--select", "b"), "--from-failure and --select exclude each other"),
        (("--from-failure", "a", "--partition", "b"), "--partition is that of the run that is executed again"),
        (("--assume-lost",), "--assume-lost is about a run to execute again"),
    ],
)
def test_wrong_usage(args, says):
    assert f"Error: {says}" in fails(*JOB, *args, code=2)


def test_more_wrong_usage():
    write(
        "two.py", "from foldlog import job, op\n@op\ndef a(): ...\n@job\ndef j():\n    a()\n@job\ndef k():\n    a()\n"
    )
    assert "NAME is missing; there are several jobs: j, k" in fails("job", "execute", "-f", "two.py", code=2)
    assert "write `foldlog job execute nightly`" in fails("job", "nightly", code=2)
    assert "write `foldlog asset materialize --select daily`" in fails("asset", "daily", code=2)
    assert "--stop-on-failure is about several" in fails(*ASSET, "--select", "alone", "--stop-on-failure", code=2)


def test_what_cannot_be_executed_again():
    assert "there is no log at " in fails(*JOB, "--from-failure", "r1")
    execute("--run-id", "r1")
    assert fails(*JOB, "--from-failure", "r1").splitlines()[0] == (
        "foldlog: run r1 succeeded, so there is no failure to go on from"
    )
    assert fails(*JOB, "--from-failure", "r9").splitlines()[0] == "foldlog: there is no run 'r9'"
    assert fails(*JOB, "--run-id", "r1") == (
        "foldlog: run r1 exists already\n"
        "what to do: Give another run id, or none; to execute it again, re-execute it.\n"
    )
    assert len(runs()) == 1


# -- what is told ---------------------------------------------------------------------------------------------------


def test_a_command_to_type_is_quoted_and_has_no_password():
    from foldlog.engine.cli.code_options import CodeChoice
    from foldlog.engine.cli.executing import Caller
    from foldlog.engine.cli.options import Target

    caller = Caller(CodeChoice(None, "my jobs.py", None), Target("postgresql://ada:s3cret@db/x", "--url"))
    told = caller.command("runs", "show", "a b;c", code=True)
    assert told == "foldlog runs show 'a b;c' -f 'my jobs.py' --url 'postgresql://ada:***@db/x'"


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("job", "exec", "nightly"), "there is no command 'exec'; did you mean 'execute'?"),
        (("asset", "materialise"), "there is no command 'materialise'; did you mean 'materialize'?"),
        ((*JOB, "--from-failure", "a", "--stop-on-failure"), "--stop-on-failure is about several partitions"),
    ],
)
def test_what_was_probably_meant(args, says):
    assert says in fails(*args, code=2)


def test_an_asset_is_no_job():
    assert fails("job", "execute", "alone", "-f", "flows.py").splitlines() == [
        "foldlog: 'alone' is an asset, no job",
        "what to do: `foldlog asset materialize --select alone -f flows.py` makes it.",
    ]


def test_kinds_of_partitions_that_no_run_can_have_together():
    write(
        "kinds.py",
        "from foldlog import asset, partitions\n"
        "@asset(partitions_def=partitions.StaticPartitionsDefinition(['x']))\ndef one() -> int: return 1\n"
        "@asset(partitions_def=partitions.StaticPartitionsDefinition(['y']))\ndef two() -> int: return 1\n",
    )
    assert fails("asset", "materialize", "-f", "kinds.py").splitlines() == [
        "foldlog: the assets selected have 2 kinds of partitions, and a run is of one partition",
        "what to do: Make each kind by itself: `foldlog asset materialize --select one -f kinds.py` (static partitions "
        "x); `foldlog asset materialize --select two -f kinds.py` (static partitions y).",
    ]


@pytest.mark.parametrize("wrong", [("--partition", "x"), ("--run-id", "a/b"), ("--select", "nix"), ("--run-id", "r1")])
def test_what_is_refused_has_no_run_id(wrong):
    execute("--run-id", "r1")
    told = fails("job", "execute", "nightly", "-f", "flows.py", "--plain", *wrong)
    assert told.startswith("foldlog: "), "no line tells of a run that there is not"
    assert len(runs()) == 1


# -- code that is loaded ----------------------------------------------------------------------------------------------


def test_what_lies_beside_the_code_can_be_imported_by_a_step(here):
    (here / "below").mkdir()
    write("below/lazily_found.py", "X = 41\n")
    write(
        "below/lazy.py",
        "from foldlog import job, op\n@op\ndef find() -> int:\n    import lazily_found\n    return lazily_found.X\n"
        "@job\ndef j():\n    find()\n",
    )
    done = subprocess.run([*FOLDLOG, "job", "execute", "-f", "below/lazy.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


PRINTING = """
print("loading the models")
import logging
import sys
from sys import stdout
from foldlog import asset, job, op

handler = logging.StreamHandler(sys.stdout)
logging.getLogger("acme").addHandler(handler)


@op
def f():
    stdout.write("progress 10%\\n")
    sys.__stdout__.write("progress 20%\\n")
    logging.getLogger("acme").warning("progress 30%")


@job
def j():
    f()


@asset
def a() -> int:
    return 1
"""


@pytest.mark.parametrize(
    "args", [("job", "execute"), ("job", "list"), ("asset", "list"), ("asset", "materialize"), ("job",)]
)
def test_json_is_one_document_whatever_the_code_does_with_the_output(args):
    write("printing.py", PRINTING)
    done = subprocess.run([*FOLDLOG, *args, "-f", "printing.py", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    assert "loading the models" in done.stderr
    if args == ("job", "execute"):
        assert [word for word in ("10%", "20%", "30%") if f"progress {word}" not in done.stderr] == []


# -- a selection of what there is ----------------------------------------------------------------------------------


def test_an_asset_that_is_made_again_is_checked_again():
    write(
        "checked.py",
        "from foldlog import Definitions, asset, asset_check, define_asset_job\n"
        "@asset\ndef orders() -> int: return 1\n@asset\ndef other() -> int: return 1\n"
        "@asset_check(asset=orders)\ndef ok() -> bool: return True\n"
        "d = Definitions(assets=[orders, other], asset_checks=[ok], jobs=[define_asset_job('j', 'orders')])\n",
    )
    command = ("job", "execute", "-f", "checked.py", "--no-progress", "--json")
    assert invoke(*command, "--run-id", "r1").exit_code == 0
    document = json.loads(invoke(*command, "--reexecute", "r1", "--select", "orders").stdout)
    assert [step["step_key"] for step in document["steps"]] == ["orders", "orders__ok"]
    assert fails(*command, "--reexecute", "r1", "--select", "other").splitlines() == [
        "foldlog: job 'j' makes none of the assets selected",
        "what to do: It makes orders.",
    ]


# -- on a terminal ----------------------------------------------------------------------------------------------------


def test_ctrl_c_on_a_terminal_leaves_no_step_that_seems_to_run(tmp_path):
    started = tmp_path / "started"
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update({"TERM": "xterm", "COLUMNS": "100", "STARTED": str(started)})
        os.execv(sys.executable, [*FOLDLOG, "job", "execute", "-f", "flows.py", "--run-id", "r1"])
    shown = b""
    while select.select([terminal], [], [], 60)[0]:
        if started.exists():
            started.unlink()
            os.write(terminal, b"\x03")
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # Linux tells the end so
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130
    last = shown.decode()[shown.decode().rindex("job nightly, run ") :]
    assert "INTERRUPTED" in last
    assert "`foldlog job execute --from-failure r1 -f flows.py` goes on with it." in " ".join(last.split())
