"""A compaction and a collection, killed at each of their operations: all is read as before, and the next completes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "killing.py"


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("deed", "least"), [("compact", 4), ("collect", 10)])
def test_killed_at_each_operation(tmp_path: Path, deed: str, least: int, when: str) -> None:
    arguments = [str(tmp_path / "log"), str(tmp_path / "copy"), deed, when]
    done = subprocess.run([sys.executable, "-P", str(PROGRAM), *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= least
