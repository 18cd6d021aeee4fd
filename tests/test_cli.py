"""The command line: what people see, what scripts read, exit codes, pipes, and wrong input."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import foldlog
from foldlog import events
from foldlog.engine.cli.main import COMMANDS, cli
from foldlog.engine.views.runs import RUNS

FOLDLOG = (sys.executable, "-P", "-m", "foldlog")


@pytest.fixture
def url(tmp_path):
    """A log with two good runs and one that failed."""
    url = f"sqlite:///{tmp_path}/history"
    with foldlog.Instance.from_url(url) as instance:
        for number in range(3):
            report(instance, f"{number}0000000-0000-4000-8000-000000000000", fails=number == 2)
    return url


def report(instance, run_id, *, fails=False):
    try:
        with instance.run("nightly", run_id=run_id, tags={"team": "growth"}) as run:
            with run.step("extract") as step:
                step.log("reading \x1b[31mred\x1b[0m rows")
                if fails:
                    raise ValueError("row 7 is no row")
                step.materialize("raw/orders", partition="2026-11-20", metadata={"rows": 42, "share": float("nan")})
    except ValueError:
        assert fails


def invoke(*args, **more):
    """In this process: exit code, output, errors."""
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog", **more)


def answer(*args):
    """What a command prints with --json."""
    done = invoke(*args, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def call(*args, cwd=None, code=0, env=None, stdin=None):
    """In a process of its own, as people run it."""
    done = subprocess.run(
        [*FOLDLOG, *map(str, args)], cwd=cwd, env=os.environ | (env or {}), input=stdin, capture_output=True, text=True
    )
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


# -- the whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_how(name):
    command = cli.get_command(click.Context(cli), name)
    assert command.get_short_help_str(200) == COMMANDS[name][1], "engine/cli/main.py and the command's own words differ"
    help = invoke(name, "--help").stdout
    assert "Examples:" in help
    assert f"foldlog {name}" in help


def test_the_help_loads_no_command():
    code = "import sys\nfrom foldlog.engine.cli.main import main\ntry: main(['--help'])\n"
    code += "finally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert not loaded & {
        "rich",
        "sqlalchemy",
        "msgspec",
        "sqlite3",
        "foldlog.engine.cli.runs",
        "foldlog.engine.log.log",
    }


def test_the_version_is_printed():
    assert call("--version").stdout == f"foldlog {foldlog.__version__}\n"


def test_what_was_meant_is_offered():
    done = call("rnus", code=2)
    assert "there is no command 'rnus'. Did you mean 'runs'?" in done.stderr
    assert "`foldlog --help` lists the commands" in call("xyzzy", code=2).stderr
    assert "Did you mean '--limit'?" in call("runs", "--limt", code=2).stderr
    assert call("runs", "--limit", "0", code=2).stderr
    assert call("tail", "-n", "3", "--after", "v1:x", code=2).stderr


READERS = ("status", "runs", "assets", "tail", "verify", "doctor", "rebuild")


@pytest.mark.parametrize("name", READERS)
def test_no_command_makes_a_log_by_mistake(name, tmp_path):
    done = call(name, "--url", f"sqlite:///{tmp_path}/nix", code=1, cwd=tmp_path)
    assert done.stdout == ""
    assert f"there is no log at {tmp_path}/nix" in done.stderr
    assert "what to do: Check the URL." in done.stderr
    assert "foldlog demo" in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("history", "If that is the folder of a log, write sqlite:///history"),
        ("mongodb://x", "no backend for mongodb:// URLs"),
        ("sqlite://x", "write sqlite:///DIR"),
        ("sqlite:///x?layuot=y", "unknown option 'layuot'"),
        ("memory://", "a log in memory lives in one process"),
    ],
)
def test_a_wrong_url_is_named_with_what_to_do(name, url, says, tmp_path):
    done = invoke(name, "--url", url)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "what to do: " in done.stderr


def test_a_file_that_is_no_log_is_told(tmp_path):
    (tmp_path / "order.db").write_text("not a database, but long enough to look like one " * 100)
    done = call("status", "--url", f"sqlite:///{tmp_path}", code=1)
    assert "order.db" in done.stderr
    assert "what to do: " in done.stderr


def test_the_log_is_found_where_it_is_said_to_be(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    there = answer("runs", "--url", url)
    assert len(there["runs"]) == 3
    assert answer("runs") == there, "./history is the default"
    monkeypatch.chdir("/")
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    assert answer("runs") == there
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path / "other"))
    done = invoke("runs")
    assert done.exit_code == 1
    assert "This URL is from FOLDLOG_HOME." in done.stderr
    monkeypatch.setenv("FOLDLOG_URL", url)
    assert answer("runs") == there
    monkeypatch.setenv("FOLDLOG_URL", "sqlite:///nowhere")
    assert invoke("--url", url, "runs", "--json").stdout == invoke("runs", "--url", url, "--json").stdout


def test_a_password_is_not_shown(tmp_path):
    done = invoke("status", "--url", "postgresql://user:hunter2@127.0.0.1:1/name")
    assert done.exit_code == 1
    assert "hunter2" not in done.output


def test_who_stops_reading_gets_no_complaint(url):
    script = f"{' '.join(FOLDLOG)} tail -n 1000 --json --url {url} | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0: all was written before head went


def test_a_pipe_gets_plain_whole_text(url):
    done = call("runs", "--url", url, env={"FORCE_COLOR": "1", "COLUMNS": "30"})
    assert "\x1b" not in done.stdout
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["run", "job", "status", "started", "took", "tags", "error"]
    assert len(rows) == 3
    assert rows[0].startswith("20000000-0000-4000-8000-000000000000  nightly  FAILURE")
    assert rows[0].endswith("ValueError: row 7 is no row")


def test_nothing_in_a_log_drives_the_terminal(url):
    assert "\x1b" not in call("tail", "--url", url).stdout
    assert "reading \\x1b[31mred\\x1b[0m rows" in call("tail", "--url", url).stdout


def test_a_machine_that_cannot_is_told(url, tmp_path):
    for script, code in (("> /dev/full", 1), (">&-", 0)):
        command = f"{' '.join(FOLDLOG)} runs --url {url} {script}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert ("No space left on device" in done.stderr) == (code == 1)


# -- runs and assets --------------------------------------------------------------------------------------------------


def test_runs_are_listed_for_scripts(url):
    found = answer("runs", "--url", url)
    assert found["more"] is False
    failed, _, first = found["runs"]
    assert first["status"] == "SUCCESS"
    assert first["tags"] == {"team": "growth"}
    assert first["created_us"] <= first["started_us"] <= first["ended_us"] <= time.time() * 1e6
    assert (failed["status"], failed["failure_class"]) == ("FAILURE", "ValueError")
    assert [run["run_id"] for run in answer("runs", "--status", "failure", "--url", url)["runs"]] == [failed["run_id"]]
    assert len(answer("runs", "--tag", "team=growth", "--url", url)["runs"]) == 3
    assert answer("runs", "--tag", "team=other", "--url", url)["runs"] == []
    page = answer("runs", "--limit", "2", "--url", url)
    assert (len(page["runs"]), page["more"]) == (2, True)
    assert answer("runs", "--after", page["runs"][-1]["run_id"], "--url", url)["runs"] == [first]
    assert invoke("runs", "--tag", "team", "--url", url).exit_code == 2


def test_the_old_form_is_answered_with_the_new_one(url):
    assert "write `foldlog runs show 2` to see one" in call("runs", "2", "--url", url, code=2).stderr
    assert "write `foldlog assets show raw/orders`" in call("assets", "raw/orders", "--url", url, code=2).stderr
    assert answer("runs", "list", "--url", url) == answer("runs", "--url", url)
    assert answer("assets", "list", "--url", url) == answer("assets", "--url", url)
    for group in ("runs", "assets"):
        help = call(group, "--help").stdout
        assert "list" in help
        assert "show" in help
        for name in ("list", "show"):
            assert f"foldlog {group} {name}" in call(group, name, "--help").stdout


def test_runs_are_listed_by_time_and_order(url):
    failed, second, first = answer("runs", "--url", url)["runs"]
    exact = [datetime.fromtimestamp(run["created_us"] / 1e6, UTC).isoformat() for run in (first, second, failed)]

    def listed(*args):
        return [run["run_id"] for run in answer("runs", "list", *args, "--url", url)["runs"]]

    everything = [run["run_id"] for run in (failed, second, first)]
    assert listed("--oldest-first") == everything[::-1]
    assert listed("--created-since", exact[1]) == everything[:2]
    assert listed("--created-until", exact[1]) == everything[2:]
    assert listed("--created-since", "1h", "--updated-since", "2 d") == everything
    assert listed("--updated-until", "2001-01-01") == []
    assert listed("--order", "ended", "--oldest-first", "--limit", "1") == [first["run_id"]]
    assert listed("--no-subruns") == everything
    assert (
        "'soon' is no moment; write 2026-11-20" in call("runs", "--created-since", "soon", "--url", url, code=2).stderr
    )


def test_a_run_is_shown_as_it_stood(url):
    whole = answer("runs", "show", "2", "--url", url)
    with foldlog.Instance.from_url(url) as instance:
        instance.log.catch_up()
        records = instance.log.read_shard(whole["run_id"]).records
    for record in records:
        then = answer("runs", "show", "2", "--at", str(record.position), "--url", url)
        assert then["status"] == ("FAILURE" if record.event.type == "RUN_FAILURE" else then["status"])
        assert all(one["position"] <= record.position for one in then["failures"])
    assert then == whole
    at_birth = answer("runs", "show", "2", "--at", str(records[0].position), "--url", url)
    assert (at_birth["status"], at_birth["steps"], at_birth["failures"]) == ("NOT_STARTED", [], [])
    assert "is not on the timeline" in call("runs", "show", "2", "--at", "99999", "--url", url, code=1).stderr


def test_the_log_of_a_run_is_printed(url):
    def lines(*args):
        return [json.loads(one) for one in call("log", "2", *args, "--json", "--url", url).stdout.splitlines()]

    whole = lines()
    assert [one["seq"] for one in whole] == list(range(1, len(whole) + 1))
    assert whole[0]["type"] == "RUN_CREATED"
    assert {one["type"] for one in lines("--type", "step_start", "--type", "RUN_FAILURE")} == {
        "STEP_START",
        "RUN_FAILURE",
    }
    assert lines("--step", "extract") == [one for one in whole if one["step_key"] == "extract"] != []
    grave = ("STEP_FAILURE", "RUN_FAILURE")
    found = lines("--level", "error")
    assert found == [one for one in whole if (one["level"] or 0) >= 40 or one["type"] in grave]
    assert {one["type"] for one in found} >= set(grave), "what failed is no line of a log, and must not be hidden"
    wrong = call("log", "2", "--step", "extrakt", "--url", url, code=1).stderr
    assert "has no event of a step 'extrakt'; did you mean 'extract'?" in wrong
    assert lines("--after", "2") == whole[2:]
    done = call("log", "2", "--after", "1", "--limit", "1", "--url", url)
    (line,) = done.stdout.splitlines()
    assert whole[1]["type"] in line
    assert "There are more: --after 2 goes on" in done.stderr
    assert "did you mean STEP_START?" in call("log", "2", "--type", "STEP_STRAT", "--url", url).stderr
    assert "there is no run '7'" in call("log", "7", "--url", url, code=1).stderr


def test_the_log_of_a_run_is_followed(url):
    command = [*FOLDLOG, "log", "2", "-f", "--json", "--url", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        run_id = json.loads(child.stdout.readline())["run_id"]
        with foldlog.open_log(url) as log:
            log.append(run_id, [foldlog.Event.now(foldlog.events.LogMessage(text="late"))])
        while json.loads(child.stdout.readline())["fact"].get("text") != "late":
            pass
        child.send_signal(signal.SIGINT)
    assert child.returncode == 130


def test_one_run_tells_why_it_failed(url):
    done = call("runs", "show", "2", "--url", url)
    assert "run 20000000-0000-4000-8000-000000000000 of nightly: FAILURE" in done.stdout
    assert "step extract, attempt 1 failed with ValueError: row 7 is no row" in done.stdout
    assert 'raise ValueError("row 7 is no row")' in done.stdout, "the stack as it was recorded"
    run = answer("runs", "show", "20000", "--url", url)
    assert [(step["step_key"], step["status"], step["attempts"]) for step in run["steps"]] == [
        ("extract", "FAILURE", 1)
    ]
    error = run["failures"][0]["fact"]["error"]
    assert (error["class_name"], error["message"]) == ("ValueError", "row 7 is no row")
    assert run["assets"] == []
    made = answer("runs", "show", "1", "--url", url)["assets"][0]["fact"]
    assert (made["asset_key"], made["partition"]) == ("raw/orders", "2026-11-20")
    assert made["metadata"] == {"rows": 42, "share": {"type": "float", "value": "nan"}}


def test_a_run_that_is_not_there_or_not_alone(url):
    done = call("runs", "show", "7", "--url", url, code=1)
    assert done.stderr.splitlines()[0] == "foldlog: there is no run '7'"
    with foldlog.Instance.from_url(url) as instance:
        report(instance, "2abc")
    done = call("runs", "show", "2", "--url", url, code=1)
    assert "several runs begin with '2'" in done.stderr
    assert call("runs", "show", "", "--url", url, code=1).stderr
    assert "RUN_ID" in call("runs", "show", code=2).stderr


def test_assets_are_listed_and_shown(url):
    (asset,) = answer("assets", "--url", url)["assets"]
    assert (asset["asset_key"], asset["state"]) == ("raw/orders", "MATERIALIZED")
    assert asset["materialization"]["partition"] == "2026-11-20"
    one = answer("assets", "show", "raw/orders", "--url", url)
    assert one["metadata"]["rows"] == 42
    assert [(part["partition"], part["status"]) for part in one["partitions"]] == [("2026-11-20", "MATERIALIZED")]
    assert "raw/orders" in call("assets", "--prefix", "raw", "--url", url).stdout
    assert answer("assets", "--prefix", "ra", "--url", url)["assets"] == []
    for wrong in ("", "raw//orders", "raw/"):
        done = call("assets", "show", wrong, "--url", url, code=2)
        assert "an asset key is one or more non-empty texts" in done.stderr
    assert "there is no asset 'raw'" in call("assets", "show", "raw", "--url", url, code=1).stderr


# -- schedules and partitions -----------------------------------------------------------------------------------------


@pytest.fixture
def ticking(url):
    """A log with ticks of two instigators, and partitions of a definition."""
    with foldlog.Instance.from_url(url) as instance:
        instance.add_dynamic_partitions("customers", ["acme", "x\x1b[31my", "zeta"])
        runs = (events.RunRequested(run_id="r1", run_key="k1"),)
        error = events.ErrorInfo(class_name="lib.Broken", message="no answer")
        facts = [
            events.TickRequested(tick_id="t1", instigator="nightly", runs=runs),
            events.TickSucceeded(tick_id="t1", instigator="nightly", run_ids=("r1",), run_keys=("k1",)),
            events.TickSkipped(tick_id="t2", instigator="files", reason="nothing new"),
            events.TickFailed(tick_id="t3", instigator="nightly", error=error),
        ]
        for number, fact in enumerate(facts):
            instance.log.append("@ticks", [foldlog.Event(fact, 1_700_000_000_000_000 + number * 1000)])
    return url


def test_ticks_are_listed_newest_first(ticking):
    shown = invoke("ticks", "--url", ticking).stdout.splitlines()
    assert [row.split()[:3] for row in shown[1:]] == [
        ["t3", "nightly", "FAILURE"],
        ["t2", "files", "SKIPPED"],
        ["t1", "nightly", "SUCCESS"],
    ]
    assert "Broken: no answer" in shown[1]
    assert "nothing new" in shown[2]
    told = answer("ticks", "nightly", "--url", ticking, "--status", "success")
    assert [tick["run_ids"] for tick in told["ticks"]] == [["r1"]]
    first = invoke("ticks", "--url", ticking, "--limit", 1)
    assert "--after t3 goes on" in first.stderr
    told = answer("ticks", "--url", ticking, "--after", "t3", "--limit", 1)
    assert ([tick["tick_id"] for tick in told["ticks"]], told["more"]) == (["t2"], True)
    assert invoke("ticks", "nobody", "--url", ticking).stdout == "no ticks\n"


def test_ticks_since_a_moment(ticking):
    def ids(since):
        return [tick["tick_id"] for tick in answer("ticks", "--url", ticking, "--since", since)["ticks"]]

    assert ids("2h") == []
    assert ids("2023-11-14T22:13:20.001500+00:00") == ["t3", "t2"]
    assert ids("2023-11-14") == ["t3", "t2", "t1"]
    done = invoke("ticks", "--url", ticking, "--since", "yesterday")
    assert done.exit_code == 2
    assert "or 3h for three hours ago" in done.stderr


def test_partitions_of_a_definition_and_of_an_asset(ticking):
    assert invoke("partitions", "customers", "--url", ticking).stdout == "acme\nx\\x1b[31my\nzeta\n"
    page = answer("partitions", "customers", "--url", ticking, "--limit", 2)
    assert (page["partitions"], page["more"]) == (["acme", "x\x1b[31my"], True)
    page = answer("partitions", "customers", "--url", ticking, "--after", page["cursor"])
    assert (page["partitions"], page["more"], page["cursor"]) == (["zeta"], False, None)
    assert invoke("partitions", "nobody", "--url", ticking).stdout == "no partitions\n"
    (one,) = answer("partitions", "--asset", "raw/orders", "--url", ticking)["partitions"]
    assert (one["partition"], one["status"]) == ("2026-11-20", "MATERIALIZED")
    assert "MATERIALIZED" in invoke("partitions", "--asset", "raw/orders", "--url", ticking).stdout
    assert invoke("partitions", "--url", ticking).exit_code == 2
    assert invoke("partitions", "customers", "--asset", "a", "--url", ticking).exit_code == 2
    assert invoke("partitions", "--asset", "a//b", "--url", ticking).exit_code == 2


# -- tail -------------------------------------------------------------------------------------------------------------


def lines(*args):
    done = invoke("tail", "--json", *args)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_tail_prints_the_end_and_the_cursor_behind_it(url):
    everything = lines("-n", "1000", "--url", url)
    positions = [one["position"] for one in everything]
    assert positions == list(range(1, len(positions) + 1))
    assert {"kind", "position", "shard", "seq", "run_id", "type", "timestamp_us", "step_key", "fact", "cursor"} <= set(
        everything[0]
    )
    assert lines("-n", "4", "--url", url) == everything[-4:]
    assert lines("-n", "0", "--url", url) == []
    assert lines("--after", everything[5]["cursor"], "--url", url) == everything[6:]
    assert lines("--after", everything[-1]["cursor"], "--url", url) == []
    done = call("tail", "-n", "1", "--url", url)
    assert done.stderr == f"cursor: {everything[-1]['cursor']}\n"
    assert len(done.stdout.splitlines()) == 1


def test_tail_takes_only_what_is_asked_for(url):
    everything = lines("-n", "1000", "--url", url)
    ends = [one for one in everything if one["type"] in ("RUN_SUCCESS", "RUN_FAILURE")]
    assert lines("--types", "run_success,RUN_FAILURE", "--url", url) == ends
    assert lines("-n", "1", "--types", "RUN_SUCCESS", "--url", url) == [ends[1]]
    of_run = [one for one in everything if (one["run_id"] or "").startswith("1")]
    assert lines("--run", "1", "--url", url) == of_run
    assert lines("--run", "1", "-n", "2", "--url", url) == of_run[-2:]
    assert lines("--run", "1", "--after", of_run[2]["cursor"], "--url", url) == of_run[3:]
    assert lines("--run", "1", "--types", "STEP_START", "--url", url) == [
        one for one in of_run if one["type"] == "STEP_START"
    ]


def test_tail_doubts_a_type_that_it_does_not_know(url):
    done = call("tail", "--types", "STEP_FALIURE", "--url", url)
    assert "did you mean STEP_FAILURE?" in done.stderr


def test_tail_shows_what_was_deleted_as_a_range(url):
    with foldlog.Instance.from_url(url) as instance:
        instance.delete_run("00000000-0000-4000-8000-000000000000")
    shown = lines("-n", "1000", "--url", url)
    purged = [one for one in shown if one["kind"] == "purged"]
    assert purged
    assert purged[0]["first_position"] == 1
    assert "purged: " in call("tail", "-n", "1000", "--url", url).stdout
    assert shown[-1]["type"] == "RUN_DELETED"


def test_tail_refuses_a_cursor_of_another_log(url, tmp_path):
    with foldlog.open_log(f"sqlite:///{tmp_path}/other") as log:
        cursor = str(log.cursor())
    done = call("tail", "--after", cursor, "--url", url, code=1)
    assert "the cursor is of log" in done.stderr
    assert "not a foldlog cursor" in call("tail", "--after", "yesterday", "--url", url, code=1).stderr


@pytest.mark.parametrize("more", [(), ("--run", "follow-me")])
def test_tail_follows_another_process(url, more):
    with foldlog.Instance.from_url(url) as instance:
        report(instance, "follow-me")
    tail = subprocess.Popen(
        [*FOLDLOG, "tail", "-f", "-n", "1", *more, "--url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Started in the background, as by some CI, this process ignores Ctrl-C and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert tail.stdout is not None
        assert "RUN_SUCCESS" in tail.stdout.readline()
        with foldlog.open_log(url) as log:
            said = [events.LogMessage(text=f"line {number}") for number in range(3)]
            for fact in said:
                log.append("follow-me", [foldlog.Event.now(fact)])
        assert [tail.stdout.readline().split()[-1] for _ in said] == ["0", "1", "2"]
        tail.send_signal(signal.SIGINT)
        rest, errors = tail.communicate(timeout=30)
        assert tail.returncode == 130
        assert rest == ""
        assert errors.strip().startswith("cursor: v1:")
        assert "Traceback" not in errors
    finally:
        tail.kill()
        tail.wait()


# -- rebuild, verify, doctor, delete ----------------------------------------------------------------------------------


def test_rebuild_and_verify_answer_with_digests(url):
    proved = answer("verify", "--url", url)
    assert proved["ok"] is True
    rebuilt = answer("rebuild", "--url", url)
    assert {view["name"] for view in rebuilt["views"]} == {view["name"] for view in proved["views"]}
    assert "runs" in {view["name"] for view in proved["views"]}
    assert answer("verify", "--url", url)["views"] == proved["views"]
    text = call("verify", "--url", url)
    assert all(view["name"] in text.stdout for view in proved["views"])
    assert "\r" not in text.stdout + text.stderr, "no progress bar in a pipe"
    assert [view["name"] for view in answer("rebuild", "--view", "runs", "--url", url)["views"]] == ["runs"]
    assert "runs" in call("rebuild", "--view", "rnus", "--url", url, code=1).stderr


def test_a_rebuild_can_be_taken_back_and_its_leftovers_dropped(url, tmp_path):
    import sqlite3

    with foldlog.Instance.from_url(url) as instance:
        instance.get_run_records()
    assert "no earlier generation" in call("rebuild", "--view", "runs", "--roll-back", "--url", url, code=1).stderr
    with sqlite3.connect(tmp_path / "history/views.db") as db:
        db.execute(f"UPDATE {RUNS.name} SET job_name = 'odd'")
    call("rebuild", "--view", "runs", "--url", url)
    call("verify", "--url", url)
    assert "rolled back runs" in call("rebuild", "--view", "runs", "--roll-back", "--url", url).stdout
    assert "odd" in call("verify", "--url", url, code=3).stdout
    assert answer("rebuild", "--view", "runs", "--roll-back", "--url", url) == {"roll_back": ["runs"]}
    call("verify", "--url", url)
    assert answer("rebuild", "--drop-old", "--url", url)["drop_old"] != []
    assert "nothing to drop" in call("rebuild", "--drop-old", "--url", url).stdout
    assert answer("rebuild", "--cancel", "--url", url) == {"cancel": []}
    assert "--view" in call("rebuild", "--roll-back", "--url", url, code=2).stderr
    assert "--afresh" in call("rebuild", "--afresh", "--cancel", "--url", url, code=2).stderr


def test_a_stopped_view_is_told_of_until_it_goes_on(url):
    from test_views_histories import unknown

    with foldlog.open_log(url) as log:
        log.append("@instance", [unknown(int(foldlog.events.Topic.STEP))])
    done = call("retry", "--url", url, code=3)
    assert "steps stopped at position" in done.stdout
    assert "OF_THE_FUTURE" in done.stdout
    found = json.loads(call("retry", "--view", "runs", "--json", "--url", url).stdout)
    assert (found["ok"], [view["name"] for view in found["views"]]) == (True, ["runs"])


def test_verify_names_a_row_that_was_altered(url, tmp_path):
    import sqlite3

    with foldlog.Instance.from_url(url) as instance:
        instance.get_run_records()
    with sqlite3.connect(tmp_path / "history/views.db") as db:
        db.execute("UPDATE runs_v2 SET job_name = 'forged' WHERE run_id LIKE '1%'")
    done = call("verify", "--url", url, code=3)
    assert "forged" in done.stdout
    assert "nightly" in done.stdout
    assert "10000000-0000-4000-8000-000000000000" in done.stdout
    assert "foldlog rebuild --view runs" in done.stdout + done.stderr
    found = json.loads(call("verify", "--json", "--url", url, code=3).stdout)
    assert found["ok"] is False
    (one,) = [one for view in found["views"] for one in view["differences"]]
    assert (one["table"], one["column"], one["live"], one["rebuilt"]) == ("runs_v2", "job_name", "forged", "nightly")
    call("rebuild", "--view", "runs", "--url", url)
    call("verify", "--url", url)


def test_status_tells_how_far_things_are(url):
    found = answer("status", "--url", url)
    assert found["head"] > 0
    assert {view["position"] for view in found["views"]} == {found["head"]}
    assert found["runs"] == {"FAILURE": 1, "SUCCESS": 2}
    text = call("status", "--url", url).stdout
    assert f"{found['head']:,}" in text


def test_doctor_finds_nothing_wrong_in_a_good_log(url):
    found = answer("doctor", "--full", "--url", url)
    assert found["ok"] is True
    assert found["faults"] == []
    assert "no faults" in call("doctor", "--url", url).stdout


def test_doctor_names_what_is_missing_and_makes_the_order_anew(url, tmp_path):
    (cursor,) = [one["cursor"] for one in lines("-n", "1", "--url", url)]
    before = answer("runs", "--url", url)
    (tmp_path / "history/order.db").unlink()
    done = call("doctor", "--url", url, code=3)
    assert "order.db is missing" in done.stdout
    assert "--rebuild-order" in done.stdout
    assert json.loads(call("doctor", "--json", "--url", url, code=3).stdout)["ok"] is False
    assert "order.db is missing" in call("runs", "--url", url, code=1).stderr
    made = answer("doctor", "--rebuild-order", "--url", url)
    assert (made["shards"], made["epoch"], made["sealed"]) == (3, 2, 3)
    assert answer("doctor", "--full", "--url", url)["faults"] == []
    assert answer("status", "--url", url)["log"]["open_shards"] == 0, "what was sealed is sealed again"
    assert answer("runs", "--url", url) == before
    call("verify", "--url", url)
    assert lines("--after", cursor, "--url", url) == [], "the same receipts stand there, so the cursor is good"
    assert "has an order" in call("doctor", "--rebuild-order", "--url", url, code=1).stderr


def test_doctor_adopts_what_an_older_order_does_not_know(url, tmp_path):
    order = tmp_path / "history/order.db"
    older = order.read_bytes()
    with foldlog.Instance.from_url(url) as instance:
        report(instance, "later")
    order.write_bytes(older)
    assert "doctor --adopt" in call("doctor", "--url", url, code=3).stdout
    assert answer("doctor", "--adopt", "--url", url)["adopted"] == ["later"]
    call("doctor", "--full", "--url", url)
    assert len(answer("runs", "--url", url)["runs"]) == 4
    call("verify", "--url", url)
    assert answer("doctor", "--adopt", "--url", url)["adopted"] == []


def test_doctor_mends_only_what_it_can(url, tmp_path):
    assert "only the order of a SQLite log" in call("doctor", "--adopt", "--url", "postgresql://h/d", code=1).stderr
    assert (
        "there is no folder" in call("doctor", "--rebuild-order", "--url", "sqlite:///nix", code=1, cwd=tmp_path).stderr
    )
    assert call("doctor", "--adopt", "--rebuild-order", "--url", url, code=2).stderr
    (file,) = (tmp_path / "history/runs").glob("*/2*.db")
    file.unlink()
    done = call("doctor", "--url", url, code=3)
    assert "is missing" in done.stdout
    assert str(file) in done.stdout


def test_a_killed_writer_loses_nothing_and_is_told_of(url):
    code = (
        "import foldlog, os, signal\n"
        f"with foldlog.Instance.from_url({url!r}) as instance:\n"
        "    with instance.run('nightly', run_id='killed') as run, run.step('load'):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-P", "-c", code]).returncode == -signal.SIGKILL
    found = answer("doctor", "--url", url)
    assert found["facts"]["dead_writers"] == 1
    assert any("ended without closing" in note for note in found["notes"])
    run = answer("runs", "show", "killed", "--url", url)
    assert (run["status"], [step["status"] for step in run["steps"]]) == ("STARTED", ["STARTED"])
    assert answer("doctor", "--url", url)["facts"]["dead_writers"] == 0


def test_deleting_a_run_wants_a_word(url):
    done = call("delete-run", "2", "--url", url, code=2, stdin="")
    assert "--yes" in done.stderr
    assert len(answer("runs", "--url", url)["runs"]) == 3
    assert call("delete-run", "2", "--yes", "--url", url).stdout.startswith("deleted run 20000000-")
    assert len(answer("runs", "--url", url)["runs"]) == 2
    assert "was deleted" in call("runs", "show", "2", "--url", url, code=1).stderr
    call("delete-run", "9", "--yes", "--url", url, code=1)
    assert json.loads(call("delete-run", "1", "--yes", "--drop-assets", "--json", "--url", url).stdout)["deleted"]
    call("verify", "--url", url)


@pytest.mark.parametrize(("reply", "code", "left"), [("n\n", 1, 3), ("y\n", 0, 2)])
def test_on_a_terminal_deleting_is_asked_for(url, reply, code, left):
    import pty

    parent, child = pty.openpty()
    process = subprocess.Popen([*FOLDLOG, "delete-run", "2", "--url", url], stdin=child, stdout=child, stderr=child)
    os.close(child)
    shown = ""
    while "cannot be undone" not in shown:
        shown += os.read(parent, 1000).decode()
    os.write(parent, reply.encode())
    assert process.wait(timeout=60) == code
    os.close(parent)
    assert len(answer("runs", "--url", url)["runs"]) == left
    assert "FAILURE" in shown


def test_a_reader_without_rights_gets_an_answer(url, tmp_path):
    """As a user who may read the folder and not write there; root is one without the right to override modes."""
    dropped = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if dropped and shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv here")
    history = tmp_path / "history"
    for views_are_there in (False, True):
        if views_are_there:
            answer("runs", "--url", url)
        paths = [history, *history.rglob("*")]
        for path in paths:
            path.chmod(path.stat().st_mode & ~0o222)
        try:
            done = subprocess.run([*dropped, *FOLDLOG, "runs", "--url", url], capture_output=True, text=True)
            refused = subprocess.run([*dropped, *FOLDLOG, "rebuild", "--url", url], capture_output=True, text=True)
        finally:
            for path in paths:
                path.chmod(path.stat().st_mode | 0o200)
        assert done.returncode == 0, done.stderr
        assert "may not write" in done.stderr
        assert len(done.stdout.splitlines()) == 4
        assert refused.returncode == 1
        assert "as a user who may write there" in refused.stderr


def test_the_commands_work_on_a_server(postgres_url):
    assert "there is no log" in call("runs", "--url", postgres_url, code=1).stderr
    with foldlog.Instance.from_url(postgres_url) as instance:
        report(instance, "on-a-server")
    assert [run["run_id"] for run in answer("runs", "--url", postgres_url)["runs"]] == ["on-a-server"]
    assert answer("status", "--url", postgres_url)["runs"] == {"SUCCESS": 1}
    assert answer("doctor", "--full", "--url", postgres_url)["ok"]
    call("verify", "--url", postgres_url)
    assert "RUN_SUCCESS" in call("tail", "-n", "1", "--url", postgres_url).stdout
    call("rebuild", "--url", postgres_url)
    call("delete-run", "on-a-server", "--yes", "--url", postgres_url)
    assert answer("runs", "--url", postgres_url)["runs"] == []


DOCS = Path(foldlog.__file__).parent / "docs/cli.md"


@pytest.mark.skipif(not DOCS.exists(), reason="the manual is not installed with foldlog")
@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "bench"])
def test_the_manual_has_every_option(name):
    manual = DOCS.read_text(encoding="utf-8")
    section = manual.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert section, f"docs/cli.md has no section on {name}"
    command = cli.get_command(click.Context(cli), name)
    parts = [command, *getattr(command, "commands", {}).values()]
    options = {option for part in parts for one in part.params for option in one.opts if option.startswith("--")}
    missing = [option for option in sorted(options - {"--url"}) if option not in section]
    assert not missing, f"docs/cli.md does not mention {missing} of {name}"


@pytest.mark.skipif(not DOCS.exists(), reason="the manual is not installed with foldlog")
def test_the_manual_has_every_field(ticking):
    url = ticking
    manual = DOCS.read_text(encoding="utf-8")
    answers = {
        "status": answer("status", "--url", url),
        "runs": [answer("runs", "--url", url), answer("runs", "show", "2", "--url", url)["steps"]],
        "assets": [answer("assets", "--url", url), answer("assets", "show", "raw/orders", "--url", url)],
        "ticks": answer("ticks", "--url", url),
        "partitions": answer("partitions", "customers", "--url", url),
        "tail": [dict.fromkeys(one) for one in lines("--url", url)],
        "rebuild": answer("rebuild", "--url", url),
        "verify": answer("verify", "--url", url),
    }
    given = ("tags", "metadata", "log")  # what people or backends name
    for name, document in answers.items():
        section = manual.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        missing = [field for field in fields(document, given) if f"`{field}`" not in section and field.islower()]
        assert not missing, f"docs/cli.md does not mention {missing} of {name} --json"


def fields(document, given):
    if isinstance(document, list):
        return {field for one in document for field in fields(one, given)}
    if not isinstance(document, dict):
        return set()
    below = {field for name, one in document.items() if name not in given for field in fields(one, given)}
    return {*document, *below}


@pytest.mark.parametrize(
    "given", [("--cancel", "--drop-old"), ("--drop-old", "--roll-back", "--view", "runs"), ("--roll-back", "--cancel")]
)
def test_a_rebuild_is_one_deed(given, url):
    done = invoke("rebuild", *given, "--url", url)
    assert done.exit_code == 2, done.output
    assert "exclude each other" in done.output


def test_ticks_after_one_that_is_not_there(url):
    done = invoke("ticks", "--after", "nope", "--url", url)
    assert done.exit_code == 1, done.output
    assert "there is no tick 'nope'" in done.output
