"""A full disk (DESIGN 8): a clear error, nothing acknowledged lost, and on it goes when there is room again."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from children import LODGER, run_child
from lodger import fill_up, go_on
from story import LAYOUTS, line, reopen, url_of

from foldlog.engine.errors import ReadOnlyError, UnavailableError
from foldlog.engine.events.event import Event, Retention
from foldlog.engine.events.run import RunStarted
from foldlog.engine.open import open_log


@pytest.mark.parametrize("layout", LAYOUTS)
def test_files_that_may_not_grow(tmp_path: Path, layout: str) -> None:
    """P1, P3: writes fail in the middle of a file, whoever runs the test: RLIMIT_FSIZE."""
    told = json.loads(run_child(LODGER, "fill", tmp_path / "home", layout))
    assert told["refused"].startswith("UnavailableError: "), told["refused"]
    assert str(tmp_path / "home") in told["refused"], "the message names the file"
    assert told["acknowledged"] > 5
    assert told["held"] == list(range(1, told["acknowledged"] + 3))
    log = reopen(tmp_path / "home")
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    log.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB. Needs the right to mount; the test above needs none and looks at the same."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_disk_that_is_full(small_disk: Path, layout: str) -> None:
    """P1, P3: ENOSPC in whatever comes first: the WAL, a new run's file, the shared memory, the order, the doorbell."""
    home = small_disk / "home"
    log = open_log(url_of(home, layout))
    log.append("run-1", [line("first")])
    filler = small_disk / "filler"
    filler.write_bytes(bytes(900_000))
    acknowledged, refused = fill_up(log)
    assert refused.startswith("UnavailableError: "), refused
    eat_all(filler)
    for deed in (
        lambda: log.append("run-new", [line("no room for a file of its own")]),
        lambda: open_log(url_of(small_disk / "other", layout)),
    ):
        with pytest.raises(UnavailableError):
            deed()
    filler.unlink()
    assert go_on(log, acknowledged) == list(range(1, acknowledged + 3))
    log.append("run-new", [line("now there is")])
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    log.close()
    assert not list(small_disk.rglob("*.tmp")), "what could not be written whole was left behind"


def eat_all(path: Path) -> None:
    """Leave not a single page."""
    with open(path, "ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_doorbell_of_a_full_disk_kills_nobody(small_disk: Path, layout: str) -> None:
    """P1: its bytes are stored through a map, where a hole on a full disk ends the process (SIGBUS)."""
    home = small_disk / "home"
    with open_log(url_of(home, layout)) as log:
        for number in range(3):
            log.append(f"@{number}", [line("x")])
        bell = log.backend._written.bell  # type: ignore[attr-defined]
        eat_all(small_disk / "filler")
        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            bell.ring(100_000)
        bell.ring(3)
        (small_disk / "filler").unlink()
        bell.ring(100_000)
    assert (home / "doorbell").stat().st_blocks * 512 >= (home / "doorbell").stat().st_size


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_copy_to_a_disk_that_is_full(
    small_disk: Path, tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1: a clear error, nothing left there, and the original as it was; also if the room went after it was asked."""
    log = open_log(url_of(tmp_path / "home", layout))
    for number in range(6):
        log.append(f"run-{number}", [line("x" * 500_000)])
    for room in ("asked", "not asked"):
        if room == "not asked":
            monkeypatch.setattr("foldlog.backends.sqlite.backup.room_for", lambda home, folder: None)
        with pytest.raises(UnavailableError) as caught:
            log.backup(small_disk / "copy")
        assert str(small_disk) in str(caught.value)
        assert caught.value.remedy.startswith("Make room")
        assert list(small_disk.iterdir()) == []
    assert log.backup(tmp_path / "copy").shards == 6
    log.close()


def test_a_copy_to_a_disk_that_may_only_be_read(small_disk: Path, tmp_path: Path) -> None:
    """P1: the error says where this user may not write."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with open_log(url_of(tmp_path / "home")) as log:
        log.append("run-1", [line("x")])
        with pytest.raises(ReadOnlyError, match="copy") as caught:
            log.backup(small_disk / "copy")
        assert "where this user may write" in caught.value.remedy


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trim_on_a_disk_that_is_full(small_disk: Path, layout: str) -> None:
    """P1, P3: it may fail, loses nothing else, and the same call completes it when there is room."""
    home = small_disk / "home"
    log = open_log(url_of(home, layout))
    for number in range(40):
        log.append("run-1", [Event(RunStarted(), 0), line(f"{number} {'x' * 10_000}")])
    head = log.catch_up().position
    filler = small_disk / "filler"
    eat_all(filler)
    with suppress(UnavailableError):
        log.trim(Retention.LOG, head)
    assert len(log.read_shard("run-1", types=["RUN_START"]).records) == 40
    filler.unlink()
    log.trim(Retention.LOG, head)
    assert Retention.LOG not in log.weigh()
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    log.close()
