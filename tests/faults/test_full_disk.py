"""A full disk (DESIGN 8): a clear error, nothing acknowledged lost, and on it goes when there is room again."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from children import LODGER, run_child
from lodger import fill_up, go_on
from story import LAYOUTS, line, reopen, url_of

from foldlog.engine.errors import UnavailableError
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
