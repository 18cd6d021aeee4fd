"""The most memory that a program has had, for tests that bound it."""

from __future__ import annotations

import resource
import sys
from pathlib import Path


def peak_kib() -> int:
    """In KiB. What the system tells of a process goes on with what its parent had before this program was loaded into
    it; Linux tells of the program alone elsewhere."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
