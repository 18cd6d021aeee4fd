"""What durable costs on this disk, whoever asks for it: one block overwritten and synced, again and again."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

BLOCK = 8192  #: bytes; a page of PostgreSQL's write-ahead log
BLOCKS = 128  #: of the file, made beforehand, as databases do
SECONDS = 0.5


def syncs_per_second(folder: Path) -> float:
    """How often a second a block that was written is on the disk: the rate of commits of one writer ends there."""
    block = os.urandom(BLOCK)
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(block * BLOCKS)
        file.flush()
        os.fsync(file.fileno())
        count, since = 0, time.perf_counter()
        while (seconds := time.perf_counter() - since) < SECONDS:
            os.pwrite(file.fileno(), block, count % BLOCKS * BLOCK)
            os.fdatasync(file.fileno())
            count += 1
    return count / seconds
