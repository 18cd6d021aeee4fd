"""`foldlog copy`, `export`, `import` and `verify --against`, as people run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from moves import everything, fill

from foldlog import Event, events, open_log
from foldlog.engine.log.port import GateState

FOLDLOG = [sys.executable, "-P", "-m", "foldlog"]
LINE = [Event.now(events.LogMessage(text="x"))]


def call(*args: object, code: int = 0, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*FOLDLOG, *map(str, args)], capture_output=True, text=True)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def answer(*args: object, code: int = 0) -> Any:
    return json.loads(call(*args, "--json", code=code).stdout)


@pytest.fixture
def old(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/old"
    with open_log(url) as log:
        fill(log, seed=21)
    return url


@pytest.fixture
def new(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new"


def gate(url: str) -> GateState:
    with open_log(url) as log:
        state: GateState = log.backend.gate().state  # type: ignore[attr-defined]
        return state


def test_a_move_tells_each_step_and_what_to_do_next(old: str, new: str) -> None:
    done = call("copy", old, new, "--cut-over")
    steps = [line.split()[0] for line in done.stderr.splitlines()]
    assert steps == ["began", "verified", "fenced", "copied", "mirrored", "verified", "started", "opened"]
    assert f"moved to {new}: " in done.stdout
    assert "what to do: let programs open it there" in done.stdout
    assert f"nothing to do: the log has moved to {new}" in call("copy", old, new).stdout
    again = answer("copy", old, new, "--cut-over")
    assert (again["state"], again["copied"], again["held_us"], again["epoch"]) == ("moved before", 0, 0, 2)


def test_a_copy_of_an_open_log_says_which_ways_there_are(old: str, new: str, tmp_path: Path) -> None:
    done = call("copy", old, new, code=1)
    assert "takes appends" in done.stderr
    assert all(option in done.stderr for option in ("--cut-over", "--follow", "--fork"))
    assert not (tmp_path / "new").exists()
    assert "exclude each other" in call("copy", old, new, "--fork", "--follow", code=2).stderr
    assert "DST is missing" in call("copy", old, "--fork", code=2).stderr
    assert "--force goes with --release" in call("copy", old, new, "--force", code=2).stderr
    assert "there is no log" in call("copy", new, old, "--fork", code=1).stderr


def test_following_ends_with_the_interrupt_and_goes_on(old: str, new: str) -> None:
    """P10: nothing is lost, and the next command goes on from there."""
    for _ in range(2):
        follower = subprocess.Popen([*FOLDLOG, "copy", old, new, "--follow"], stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if Path(new.removeprefix("sqlite:///"), "order.db").exists():
                with open_log(new, read_only=True) as log, open_log(old) as source:
                    if log.head().position == source.catch_up().position:
                        break
            time.sleep(0.05)
        follower.send_signal(signal.SIGINT)
        assert "the same command again" in follower.communicate(timeout=30)[1]
        assert follower.returncode == 130
        assert gate(new) is GateState.RECEIVING
        with open_log(old) as log:
            log.append("run-more", LINE)
    assert answer("copy", old, new, "--cut-over")["state"] == "moved"
    assert answer("verify", "--url", new, "--against", old)["ok"]


def test_a_move_that_was_killed_is_completed_or_taken_back(old: str, new: str) -> None:
    code = (
        "import os, sys\nfrom foldlog import moving\n"
        "moving.copy_log(sys.argv[1], sys.argv[2], cut_over=True, "
        "told=lambda step: os.kill(os.getpid(), 9) if step.startswith('fenced') else None)"
    )
    killed = subprocess.run([sys.executable, "-P", "-c", code, old, new])
    assert killed.returncode == -signal.SIGKILL
    assert (gate(old), gate(new)) == (GateState.MOVED, GateState.RECEIVING)
    assert "Name the destination too" in call("copy", old, "--release", code=1).stderr
    done = call("copy", old, new, "--release")
    assert "takes appends again" in done.stdout
    assert (gate(old), gate(new)) == (GateState.OPEN, GateState.RECEIVING)
    subprocess.run([sys.executable, "-P", "-c", code, old, new])
    assert call("copy", old, new).stdout.startswith(f"moved to {new}")
    assert "was opened" in call("copy", old, new, "--release", code=1).stderr
    assert answer("copy", old, "--release", "--force")["destination"] is None


def test_a_fork(old: str, new: str) -> None:
    forked = answer("copy", old, new, "--fork")
    assert forked["state"] == "forked"
    with open_log(old) as log, open_log(new) as fork:
        assert str(fork.head().log_id) == forked["log_id"] != str(log.head().log_id)
    found = call("verify", "--url", new, "--against", old).stdout
    assert "the log ids differ" in found
    assert "identical" in found


def test_a_comparison_finds_what_is_missing_and_what_differs(old: str, new: str) -> None:
    """Each with a code of 3, the place and how much it is."""
    call("copy", old, new, "--fork")
    with open_log(old) as log:
        log.append("run-more", LINE, wait="ordered")
    found = answer("verify", "--url", new, "--against", old, code=3)
    assert (found["ok"], found["lacking"], found["differences"]) == (False, 1, 0)
    assert answer("verify", "--url", old, "--against", new)["after"] == 1
    assert "lacks the other's last 1 events" in call("verify", "--url", new, "--against", old, code=3).stdout
    with open_log(new) as log:
        log.append("run-other", LINE, wait="ordered")
    found = call("verify", "--url", new, "--against", old, code=3).stdout
    assert "run-other is run-more there" in found
    assert "give one of them" in call("verify", "--against", old, "--view", "runs", "--url", new, code=2).stderr


def test_a_log_goes_through_a_file_and_a_pipe(old: str, new: str, tmp_path: Path) -> None:
    exported = answer("export", tmp_path / "file", "--url", old)
    assert exported["bytes"] == (tmp_path / "file").stat().st_size
    made = answer("import", tmp_path / "file", new)
    assert (made["open"], made["position"], made["imported"]) == (True, exported["position"], exported["events"])
    with open_log(old) as log, open_log(new) as there:
        assert everything(there) == everything(log)
    writer = subprocess.Popen([*FOLDLOG, "export", "-", "--url", old], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    url = f"sqlite:///{tmp_path}/piped?layout=consolidated"
    reader = subprocess.run([*FOLDLOG, "import", "-", url], stdin=writer.stdout, capture_output=True, text=True)
    assert reader.returncode == 0, reader.stderr
    assert b"exported" in writer.communicate()[1]
    assert answer("verify", "--url", url, "--against", old)["ok"]


def test_increments_are_imported_behind_each_other(old: str, new: str, tmp_path: Path) -> None:
    first = answer("export", tmp_path / "1", "--url", old)
    with open_log(old) as log:
        log.append("run-more", LINE)
    second = answer("export", tmp_path / "2", "--after", first["cursor"], "--url", old)
    assert (second["after"], second["events"]) == (first["position"], 1)
    assert "takes no appends yet" in call("import", tmp_path / "1", new, "--more").stdout
    assert gate(new) is GateState.RECEIVING
    assert answer("import", tmp_path / "2", new)["imported"] == 1
    assert gate(new) is GateState.OPEN


def test_a_damaged_file_is_told_with_its_place(old: str, new: str, tmp_path: Path) -> None:
    call("export", tmp_path / "file", "--url", old)
    data = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(data[:-20])
    done = call("import", tmp_path / "file", new, code=1)
    assert f"{tmp_path}/file is damaged at byte" in done.stderr
    assert "what to do: Export the log again" in done.stderr
    (tmp_path / "file").write_bytes(data)
    assert answer("import", tmp_path / "file", new)["open"]
    assert "there is no file" in call("import", tmp_path / "none", new, code=1).stderr


def test_rows_for_analysis(old: str, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in call("export", "-", "--format", "jsonl", "--url", old).stdout.splitlines()]
    done = answer("export", tmp_path / "rows", "--format", "jsonl", "--url", old)
    assert len(rows) == done["events"]
    if not pytest.importorskip("pyarrow"):
        return
    parquet = answer("export", tmp_path / "events.parquet", "--format", "parquet", "--url", old)
    assert parquet["events"] == len(rows)


def test_an_interrupted_export_leaves_nothing(old: str, tmp_path: Path) -> None:
    code = (
        "import os, sys, signal\nfrom foldlog.engine.cli import main\nfrom foldlog.migrations.moving import exporting\n"
        "exporting.shards_of = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "main.main(['export', sys.argv[1], '--url', sys.argv[2]])"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code, str(tmp_path / "file"), old], env=os.environ)
    assert done.returncode == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


def test_a_lost_order_does_not_open_a_log_that_moved(old: str, new: str, tmp_path: Path) -> None:
    """P10: the files say it, too; the fence can be taken back by who knows."""
    call("copy", old, new, "--cut-over")
    for path in (tmp_path / "old").glob("order.db*"):
        path.unlink()
    call("doctor", "--rebuild-order", "--url", old)
    assert gate(old) is GateState.MOVED
    call("copy", old, "--release", "--force")
    assert gate(old) is GateState.OPEN
