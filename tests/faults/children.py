"""Children of the fault tests: started anew, never forked, for a fork would share SQLite's handles and locks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

VICTIM = Path(__file__).with_name("victim.py")
LODGER = Path(__file__).with_name("lodger.py")
RACER = Path(__file__).with_name("racer.py")


def start(
    *arguments: object, script: Path = VICTIM, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """A child that runs a script beside this module; what it prints is read through `stdout`."""
    path = os.pathsep.join(filter(None, [str(script.parent), *sys.path]))
    return subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        bufsize=0,  # `communicate` goes on where `readline` has stopped
        env={**os.environ, "PYTHONPATH": path, **(environment or {})},
    )


def run_child(script: Path, *arguments: object, timeout: float = 60) -> bytes:
    """What a child has said, once it has ended well."""
    child = start(*arguments, script=script)
    said, _ = child.communicate(timeout=timeout)
    assert child.returncode == 0, f"{script.name} ended with {child.returncode}"
    return said
