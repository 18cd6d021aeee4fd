"""Processes of this machine, told apart from later ones that were given the same number."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

GONE = ("Z", "X")  #: states of Linux: ended, and nobody has asked how


def started(process_id: int) -> str | None:
    """When a process began, as text that no other process of that number has; None if it is gone.

    In ticks since the machine began, on Linux; elsewhere as `ps` puts it, to the second.
    """
    stat = Path(f"/proc/{process_id}/stat")
    if not Path("/proc/self/stat").exists():
        return _asked_of_ps(process_id)
    try:
        text = stat.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in GONE else fields[19]


def _asked_of_ps(process_id: int) -> str | None:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(process_id)]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
    state, _, began = told.stdout.strip().partition(" ")
    return None if not state or state[0] in GONE else began.strip()
