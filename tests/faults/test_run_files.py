"""What may happen to a run's file while somebody writes to it (P1, P9): nothing acknowledged is lost, or the append is
refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from children import RACER, start
from story import LAYOUTS, line, purge, text_of, url_of

from foldlog.backends.sqlite.repair import diagnose
from foldlog.engine.errors import CorruptLogError, ShardPurged
from foldlog.engine.log.chain import link
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with open_log(url_of(tmp_path / "home")) as log:
        for text in ("a", "b"):
            log.append("run-1", [line(text)], wait="ordered")
        yield log


def path_of(log: EventLog, run_id: str = "run-1") -> Path:
    backend: Any = log.backend
    path: Path = backend.home.file_of(run_id).path
    return path


def texts(log: EventLog) -> list[str]:
    return [text_of(record) for record in log.read(limit=1000).events]


@pytest.mark.parametrize("grouped", [False, True], ids=["one", "group"])
@pytest.mark.parametrize("copied", [False, True], ids=["unlinked", "replaced"])
def test_a_file_that_goes_under_its_writer(log: EventLog, tmp_path: Path, copied: bool, grouped: bool) -> None:
    """P1: what is written to a file without a name is gone with it, so it is not acknowledged; nor is what follows."""
    path = path_of(log)
    if copied:
        shutil.copy(path, tmp_path / "copy")
        os.replace(tmp_path / "copy", path)  # as somebody restores it: without the WAL of the newer one
        path.with_name(f"{path.name}-wal").unlink()
        path.with_name(f"{path.name}-shm").unlink()
    else:
        path.unlink()
    backend: Any = log.backend
    for text in "cd":
        appends = [log.prepare("run-1", [line(f"{text}{n}")]) for n in range(2)]
        if grouped:
            assert {type(outcome) for outcome in backend.append_group(appends)} == {CorruptLogError}
        else:
            with pytest.raises(CorruptLogError, match="run-1"):
                backend.append(appends[0])
    log.append("run-2", [line("others go on")])
    with open_log(url_of(tmp_path / "home")) as fresh:
        with pytest.raises(CorruptLogError):
            fresh.append("run-1", [line("e")])
        assert any("run-1" in fault for fault in diagnose(fresh.backend))  # type: ignore[arg-type]


def test_an_older_copy_between_two_writers(log: EventLog, tmp_path: Path) -> None:
    """P1, P2: the next process finds fewer events than have positions, and writes nothing behind the hole."""
    path = path_of(log)
    assert log.seal("run-1")  # so that the file is all there is of it
    shutil.copy(path, tmp_path / "copy")
    log.append("run-1", [line("c")], wait="ordered")
    log.close()
    shutil.copy(tmp_path / "copy", path)
    with open_log(url_of(tmp_path / "home")) as fresh:
        for deed in (
            lambda: fresh.append("run-1", [line("d")]),
            lambda: fresh.read(limit=10),
            lambda: fresh.read_shard("run-1"),
        ):
            with pytest.raises(CorruptLogError, match="run-1"):
                deed()
        assert any("older copy" in fault for fault in diagnose(fresh.backend, full=True, link=link))  # type: ignore[arg-type]


def in_another_process(deed: str, home: Path, layout: str) -> None:
    child = start(deed, home, layout, home.parent, "x", 1, script=RACER)
    child.communicate(timeout=60)
    assert child.returncode == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sealed_under_its_writer(tmp_path: Path, layout: str) -> None:
    """P1, P5: by another process, again and again; each late append opens the run again, and is on the timeline."""
    home = tmp_path / "home"
    with open_log(url_of(home, layout)) as log:
        wanted = []
        for turn in range(3):
            for text in (f"{turn}a", f"{turn}b"):
                log.append("run-1", [line(text)])
                wanted.append(text)
            in_another_process("seal", home, layout)
        log.append("run-1", [line("late")])
        assert texts(log) == [*wanted, "late"]
        with open_log(url_of(home, layout)) as fresh:
            assert texts(fresh) == [*wanted, "late"]
        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_purged_under_its_writer(tmp_path: Path, layout: str) -> None:
    """P9: by another process; the writer that has it open is refused for ever, and brings no file back."""
    home = tmp_path / "home"
    with open_log(url_of(home, layout)) as log:
        log.append("run-1", [line("a")])
        log.append("run-2", [line("b")])
        in_another_process("purge", home, layout)
        backend: Any = log.backend
        for _ in range(2):
            with pytest.raises(ShardPurged):
                log.append("run-1", [line("c")])
            outcomes = backend.append_group([log.prepare("run-1", [line(f"{n}")]) for n in range(2)])
            assert [type(outcome) for outcome in outcomes] == [ShardPurged] * 2
        assert texts(log) == ["b", "RUN_DELETED"]
        if layout == "sharded":
            assert not list(path_of(log).parent.iterdir()), "nothing of it is left on the disk"
        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_purged_bytes_are_gone(tmp_path: Path, layout: str) -> None:
    """P9: what a deleted run said is in no file any more, once the log is closed: not in a free page, not in a WAL."""
    secret = "a secret that nobody must find" * 50
    home = tmp_path / "home"
    with open_log(url_of(home, layout)) as log:
        for run_id in ("run-1", "run-2"):
            for _ in range(20):
                log.append(run_id, [line(secret if run_id == "run-1" else "harmless")], wait="ordered")
        in_another_process("purge", home, layout)
        log.append("run-2", [line("harmless")])
    for path in home.rglob("*"):
        if path.is_file():
            assert secret[:30].encode() not in path.read_bytes(), path


def test_a_kill_while_the_file_is_removed(tmp_path: Path) -> None:
    """P9: killed between the files of a run, the deletion is completed by the same call; nothing is left over."""
    home = tmp_path / "home"
    script = (
        "import os, sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path\n"
        "from story import line, purge, url_of\n"
        "from foldlog.engine.open import open_log\n"
        "really = Path.unlink\n"
        "def unlink(path, **options):\n"
        "    really(path, **options)\n"
        "    if path.name == 'run-1.db': os.kill(os.getpid(), 9)\n"
        "log = open_log(url_of(Path(sys.argv[1])))\n"
        "other = open_log(url_of(Path(sys.argv[1])))\n"
        "for one in (log, other): one.append('run-1', [line('a')], wait='ordered')\n"
        "Path.unlink = unlink\n"
        "purge('run-1')(log, lambda note: None)\n"
    )
    child = subprocess.run([sys.executable, "-c", script, str(home), *sys.path], timeout=60)
    assert child.returncode == -9
    with open_log(url_of(home)) as log:
        left = list((home / "runs").rglob("run-1*"))
        assert left, "the kill came between the files"
        purge("run-1")(log, lambda note: None)
        assert not list((home / "runs").rglob("run-1*"))
        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]
