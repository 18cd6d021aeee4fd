"""Logs on the move: from one backend to another, into a file and out of it, side by side.

    copy_log(source, destination, cut_over=True)   move a log, under its writers; or follow=True, or fork=True
    release_log(source, destination)               give a fenced source back to its writers
    compare_logs(log, other)                       is everything of the other here, the same?
    export_log(log, file), import_log(file, log)   one portable file, a format of its own (docs/format.md)
    export_table(log, file, form)                  decoded, for analysis: JSON lines or Parquet

Promises: shards, seqs, positions, keys, times, digests, chain and epochs arrive as they are, byte for byte, also of
kinds that nobody here knows; memory is bounded; killed anywhere, the same call completes it. Guide: docs/moving.md.
Not here: what a backend does for it (`CanMove` in engine/log/port.py); views, which are folded anew at the new place;
artifacts and captured output, which are files beside the log.
"""

from __future__ import annotations

from .comparing import Comparison, compare_logs
from .copying import Moved, copy_log
from .exporting import Exported, export_log
from .importing import Imported, import_log
from .releasing import Released, release_log
from .tables import Tabled, export_table

__all__ = [
    "Comparison",
    "Exported",
    "Imported",
    "Moved",
    "Released",
    "Tabled",
    "compare_logs",
    "copy_log",
    "export_log",
    "export_table",
    "import_log",
    "release_log",
]
