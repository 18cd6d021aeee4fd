"""A home that may only be read (DESIGN 4, 8): by a user without rights, and on a disk mounted read-only.

Reading works with what was closed cleanly and with what a killed process left in its WALs; writing gives ReadOnlyError.
Root may do everything, so the reader is a process that gives up its rights; without root, chmod does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from children import LODGER, VICTIM, run_child, start
from story import LAYOUTS, line, url_of

from foldlog.engine.errors import ReadOnlyError
from foldlog.engine.open import open_log

WAYS = ("closed", "killed", "copied")


@pytest.fixture
def open_path() -> Iterator[Path]:
    """A folder whose path anybody may walk, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="foldlog-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def made(home: Path, layout: str, way: str) -> None:
    """A home with a sealed run and an open one: closed, or left by a kill, or that without its shared memory."""
    with open_log(url_of(home, layout)) as log:
        log.append("run-1", [line("a"), line("b")])
        log.append("run-2", [line("c")])
        log.append("@queue", [line("d")], wait="ordered")
        assert log.seal("run-2")
    if way == "closed":
        return
    child = start("hold", home, layout, script=VICTIM)
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()
    assert list(home.rglob("*.db-wal")), "a kill leaves the WALs"
    if way == "copied":  # as a backup tool that knows no SQLite takes files along, and leaves maps behind
        for path in home.rglob("*.db-shm"):
            path.unlink()


@contextmanager
def closed_to_others(home: Path) -> Iterator[None]:
    """Readable for all, writable for none but root."""
    for path in [home, *home.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        yield
    finally:
        for path in [home, *home.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def check_told(told: dict[str, Any], way: str) -> None:
    more = [] if way == "closed" else ["e"]
    assert told["read"] == ["a", "b", "c", "d", *more]
    assert told["shards"] == {"@queue": ["d"], "run-1": ["a", "b", *more, *(["f"] if more else [])], "run-2": ["c"]}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_user_without_rights_reads(open_path: Path, layout: str, way: str) -> None:
    """P5: what is sequenced, and each shard; writing is refused by the right name; nothing is left behind."""
    home = open_path / "home"
    made(home, layout, way)
    before = sorted(path.name for path in home.rglob("*"))
    with closed_to_others(home):
        for name in ("run-1", "run-new"):
            told = json.loads(run_child(LODGER, "read", home, name))
            check_told(told, way)
            assert told["write"].startswith("ReadOnlyError: "), told["write"]
            assert str(home) in told["write"]
    assert sorted(path.name for path in home.rglob("*")) == before


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_user_without_rights_reads_beside_a_writer(open_path: Path, layout: str) -> None:
    """P5: a writer has the home open, and goes on."""
    home = open_path / "home"
    made(home, layout, "closed")
    with open_log(url_of(home, layout)) as log:
        log.append("run-1", [line("e")], wait="ordered")
        log.append("run-1", [line("f")])
        with closed_to_others(home):
            told = json.loads(run_child(LODGER, "read", home, "run-1"))
        check_told(told, "open")
        log.append("run-1", [line("g")])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_disk_mounted_read_only(open_path: Path, layout: str, way: str) -> None:
    """P5: the same for whoever has all rights. Needs the right to mount; the tests above need none."""
    home = open_path / "rw" / "home"
    made(home, layout, way)
    there = open_path / "ro"
    there.mkdir()
    mounted = subprocess.run(["mount", "--bind", open_path / "rw", there], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount here: {mounted.stderr.strip()}")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", there], check=True)
        check_told(json.loads(run_child(LODGER, "read", there / "home")), way)
        with pytest.raises(ReadOnlyError):
            open_log(url_of(there / "home", layout))
    finally:
        subprocess.run(["umount", "-l", there], check=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_reader_of_files_at_rest_sees_them_move(tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: where no WAL may be made, files are read as they lie; a writer who comes later must not be missed, nor half
    seen."""
    from foldlog.backends.sqlite import at_rest

    home = tmp_path / "home"
    made(home, layout, "closed")
    really = at_rest.connect

    def unable(path: Path, *, mode: str = "rw", **options: Any) -> Any:
        if mode == "ro" and not path.with_name(path.name + "-shm").exists():
            raise ReadOnlyError("no shared memory can be made here")
        return really(path, mode=mode, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(at_rest, "connect", unable)
    with open_log(f"sqlite:///{home}", read_only=True) as reader:
        assert len(reader.read().events) == 4
        monkeypatch.undo()
        with open_log(url_of(home, layout)) as log:
            for number in range(30):
                log.append("run-1", [line(f"{number}{'x' * 3000}")], wait="ordered")
            assert len(reader.read().events) == 34
            assert len(reader.read_shard("run-1").records) == 32
        assert len(reader.read().events) == 34


def test_nothing_there_to_read(tmp_path: Path) -> None:
    """Opened for reading, nothing is made."""
    from foldlog.engine.errors import UsageError

    with pytest.raises(UsageError, match="no log"):
        open_log(f"sqlite:///{tmp_path / 'home'}", read_only=True)
    assert not (tmp_path / "home").exists()
    made(tmp_path / "home", "sharded", "closed")
    shutil.rmtree(tmp_path / "home" / "writers")
    (tmp_path / "home" / "doorbell").unlink()
    with open_log(f"sqlite:///{tmp_path / 'home'}", read_only=True) as log:
        assert len(log.read().events) == 4
    assert not (tmp_path / "home" / "doorbell").exists()
