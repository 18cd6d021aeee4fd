"""What programs new to foldlog do, by habit or by mistake: nothing is lost by it, and the answer says what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import foldlog
from foldlog import Event, events

REGISTERING = """
import foldlog
from foldlog.engine.events.event import Fact, Topic

@foldlog.register("ACME_INVOICE_SENT", topics=Topic.ASSET)
class InvoiceSent(Fact):
    number: int
"""


def foldlog_command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "foldlog", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("layout", ["sharded", "consolidated"])
def test_a_program_may_change_its_working_directory(layout: str, tmp_path: Path, monkeypatch) -> None:
    """P1: a relative URL means the folder it meant when the log was opened."""
    monkeypatch.chdir(tmp_path)
    with foldlog.open_log(f"sqlite:///history?layout={layout}") as log:
        log.append("a", [Event.now(events.LogMessage(text="1", level=20))])
        (tmp_path / "x").mkdir()
        monkeypatch.chdir(tmp_path / "x")
        for text in "23":
            log.append("a", [Event.now(events.LogMessage(text=text, level=20))])
        log.append("b", [Event.now(events.RunStarted())])
        assert [record.event.fact.text for record in log.read_shard("a").records] == ["1", "2", "3"]
    assert list((tmp_path / "x").iterdir()) == []
    with foldlog.open_log(f"sqlite:///{tmp_path}/history") as log:
        assert len(log.read().events) == 4


def test_a_kind_nobody_registered_here_is_no_proof(tmp_path: Path) -> None:
    """P9: a view that has stopped is not proved, and a program can be told the kind."""
    (tmp_path / "kinds.py").write_text(REGISTERING)
    wrote = "import kinds, foldlog\n" + (
        "with foldlog.open_log('sqlite:///history') as log:\n"
        "    log.append('@invoices', [foldlog.Event.now(kinds.InvoiceSent(number=7))])"
    )
    subprocess.run([sys.executable, "-c", wrote], cwd=tmp_path, check=True)
    refused = foldlog_command("verify", cwd=tmp_path)
    assert refused.returncode == 3
    assert "ACME_INVOICE_SENT" in refused.stdout
    assert foldlog_command("--import", "kinds", "verify", cwd=tmp_path).returncode == 0
    nothing = foldlog_command("--import", "nothing_here", "verify", cwd=tmp_path)
    assert nothing.returncode == 2
    assert "nothing_here" in nothing.stderr


def test_a_kind_needs_a_name() -> None:
    with pytest.raises(foldlog.UsageError, match="register"):
        foldlog.register(type("Bare", (), {}))  # type: ignore[arg-type]


def test_a_check_has_passed_or_not() -> None:
    with foldlog.Instance.ephemeral() as instance, instance.run("one") as run:
        with pytest.raises(foldlog.UsageError, match="True or False"):
            run.check("a", "c", passed="no")  # type: ignore[arg-type]
        run.check("a", "c", passed=False)


@pytest.mark.parametrize("url", [None, Path("x"), b"sqlite:///x", "sqlite:/x", "sqlite:x", "sqlite:///h#x", "nothing"])
def test_what_is_no_url_is_told(url: object, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(foldlog.UsageError, match="sqlite:///"):
        foldlog.open_log(url)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "x", tmp_path / ("x" * 300)):
        with pytest.raises(foldlog.FoldlogError):
            foldlog.open_log(f"sqlite:///{folder}")


def test_an_empty_url_is_not_the_default(tmp_path: Path) -> None:
    """`--url "$UNSET"` must not fall on a log that was not meant."""
    done = foldlog_command("delete-run", "x", "--yes", "--url", "", cwd=tmp_path)
    assert done.returncode == 2
    assert "--url is empty" in done.stderr
