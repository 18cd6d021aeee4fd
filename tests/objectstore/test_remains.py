"""What lies in a place beside, or is left of, a log: it is told apart, and nothing is written on top."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foldlog import CorruptLogError, Event, UsageError, events, open_log
from foldlog.backends.objectstore import names


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def make(url: str, *, steps: int = 3) -> None:
    with open_log(url) as log:
        for turn in range(steps):
            log.append("run-1", [Event.now(events.LogMessage(text=f"{turn}"))], wait="ordered")


@pytest.mark.parametrize("read_only", [False, True])
def test_a_log_without_its_first_step_is_not_begun_anew(tmp_path: Path, read_only: bool) -> None:
    """P11: an expiry rule, or a restore of a part: a new first step would spoil what could be restored."""
    url = f"file://{tmp_path}/log"
    make(url)
    os.unlink(tmp_path / "log" / names.order(0))
    before = files(tmp_path / "log")
    with pytest.raises(
        CorruptLogError, match=f"{names.order(0)}: it is gone, and .* objects of its log are left"
    ) as told:
        open_log(url, read_only=read_only)
    assert "an older version of it" in told.value.remedy
    assert [name for name in files(tmp_path / "log") if not name.startswith("probe/")] == before


def test_a_first_step_that_is_gone_is_a_fault_though_a_checkpoint_serves(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/log"
    make(url, steps=70)
    os.unlink(tmp_path / "log" / names.order(0))
    with open_log(url) as log:
        [fault] = log.backend.diagnose(full=False)  # type: ignore[attr-defined]
    assert names.order(0) in fault
    assert "delete old objects" in fault


def test_a_damaged_checkpoint_is_told_of_and_harmless(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/log"
    make(url, steps=70)
    [path] = (tmp_path / "log/checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with open_log(url) as log:
        assert log.head().position == 70
        [fault] = log.backend.diagnose(full=False)  # type: ignore[attr-defined]
    assert "checkpoints/" in fault
    assert "serves instead" in fault


def test_files_and_objects_are_told_apart(tmp_path: Path) -> None:
    """The likeliest slip of the pen: the right folder, the wrong scheme."""
    make(f"file://{tmp_path}/objects")
    make(f"sqlite:///{tmp_path}/files")
    make(f"sqlite:///{tmp_path}/one?layout=consolidated")
    before = files(tmp_path)
    with pytest.raises(UsageError, match="holds a log of objects") as told:
        open_log(f"sqlite:///{tmp_path}/objects")
    assert f"file://{tmp_path}/objects" in told.value.remedy
    for name in ("files", "one"):
        with pytest.raises(UsageError, match="holds a log in SQLite files") as told:
            open_log(f"file://{tmp_path}/{name}")
        assert f"sqlite:///{tmp_path}/{name}" in told.value.remedy
    assert files(tmp_path) == before


def test_a_log_below_another_is_none_of_its_objects(tmp_path: Path) -> None:
    """A prefix that is called as a folder of the log: its segments are not taken for segments of this one."""
    make(f"file://{tmp_path}/log")
    make(f"file://{tmp_path}/log/runs")
    with open_log(f"file://{tmp_path}/log") as log:
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    with open_log(f"file://{tmp_path}/log/runs") as log:
        assert log.head().position == 3


def test_damage_names_the_log(tmp_path: Path) -> None:
    """Names of objects are alike in all logs."""
    url = f"file://{tmp_path}/log"
    make(url)
    [path] = [path for path in (tmp_path / "log/runs").rglob("*.seg") if path.name.startswith(f"{1:020d}")]
    path.write_bytes(path.read_bytes()[:-30] + bytes(30))
    with open_log(url) as log, pytest.raises(CorruptLogError, match=f"file://{tmp_path}/log: object runs/"):
        log.read()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_is_no_place_for_a_log(tmp_path: Path, read_only: bool) -> None:
    (tmp_path / "afile").write_text("mine")
    with pytest.raises(UsageError, match=f"file://{tmp_path}/afile is a file") as told:
        open_log(f"file://{tmp_path}/afile", read_only=read_only)
    assert "folder" in told.value.remedy
    assert (tmp_path / "afile").read_text() == "mine"
