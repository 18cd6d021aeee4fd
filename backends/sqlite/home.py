"""Where things lie in a SQLite home, and which file a shard lives in.

Not here: what is in the files (schema.py), who opens them when (backend.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Literal, NamedTuple

from ...engine.errors import CorruptLogError, UsageError, fault

Layout = Literal["sharded", "consolidated"]
Durability = Literal["full", "process"]

SYNCHRONOUS: dict[Durability, str] = {"full": "FULL", "process": "NORMAL"}
# Shared memory, which WAL needs, does not work between the machines of a network file system.
NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "ncp", "afs", "9p", "fuse.sshfs", "glusterfs", "ceph")
KNOWN_FILES = 1024  #: names of files remembered: more than are open at once (files.py)
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_.-]{0,119}")


class FileKind(NamedTuple):
    """A file of shards: its path, and what kind its meta table says."""

    path: Path
    kind: str  #: run, system or log


class Home:
    """The folder of one log."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self.folder = folder
        self.layout = layout
        self.order = folder / ("order.db" if layout == "sharded" else "log.db")
        self.doorbell = folder / "doorbell"
        self.writers = folder / "writers"
        self.runs = folder / "runs"
        #: The file a shard lives in. Remembered, for a page of the timeline asks it once for each run it meets.
        self.file_of: Callable[[str], FileKind] = lru_cache(maxsize=KNOWN_FILES)(self._file_of)

    @property
    def order_kind(self) -> str:
        return "order" if self.layout == "sharded" else "log"

    def shared_file(self) -> FileKind:
        """The file of the system shards; in the consolidated layout, of all shards."""
        if self.layout == "consolidated":
            return FileKind(self.order, "log")
        return FileKind(self.folder / "system.db", "system")

    def _file_of(self, shard: str) -> FileKind:
        if self.layout == "consolidated" or shard.startswith("@"):
            return self.shared_file()
        return FileKind(
            self.runs / blake2b(shard.encode(), digest_size=1).hexdigest() / f"{file_stem(shard)}.db", "run"
        )

    def number_in_file(self, shard: str, shard_id: int) -> int:
        """The number of a shard in its file: a run file holds one shard, number 0."""
        return 0 if self.layout == "sharded" and not shard.startswith("@") else shard_id

    @staticmethod
    def is_run_file(kind: FileKind) -> bool:
        """Whether the file holds one run and nothing else."""
        return kind.kind == "run"

    def run_files(self) -> list[Path]:
        """Every run file there is; for repair only, for it walks all folders."""
        return sorted(self.runs.glob("??/*.db"))


def file_stem(shard: str) -> str:
    """A file name for a run: its id where that is plain, else a readable part and a hash.

    Lower case only: two ids that differ in case would be one file on a file system that ignores it.
    """
    if _PLAIN.fullmatch(shard):
        return shard
    readable = re.sub(r"[^a-z0-9_-]", "_", shard.lower())[:60]
    return f"{readable}~{blake2b(shard.encode(), digest_size=12).hexdigest()}"


def find_layout(folder: Path, wanted: Layout | None) -> tuple[Layout, bool]:
    """The layout of a home, and whether the home is there. Raises UsageError if it is another than wanted."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; a SQLite log is a folder, as sqlite:///./history")
    # What an order leaves behind is looked for before the order: in between, another process may make a home here.
    left = [name for name in ("runs", "system.db", "order.db-wal", "log.db-wal") if (folder / name).exists()]
    sharded, consolidated = (folder / "order.db").exists(), (folder / "log.db").exists()
    if sharded and consolidated:
        raise CorruptLogError(f"{folder} holds both order.db and log.db; one of them was put there by mistake")
    if not (sharded or consolidated) and (folder / "order").is_dir():
        raise fault(f"{folder} holds a log of objects", f"Write file://{folder} for it, or name another folder.")
    if not (sharded or consolidated):
        if "runs" in left or "system.db" in left:
            raise CorruptLogError(
                f"{folder / 'order.db'} is missing although there are shards; restore it from a backup, or run "
                "`foldlog doctor --rebuild-order`, which orders them anew and starts an epoch"
            )
        if left:  # replayed into a new file of that name, a WAL would spoil it
            raise CorruptLogError(f"{folder / left[0]} has lost the file it belongs to; restore that from a backup")
        return wanted or "sharded", False
    found: Layout = "sharded" if sharded else "consolidated"
    if wanted is not None and wanted != found:
        raise UsageError(f"{folder} holds a {found} log; open it without ?layout={wanted}")
    return found, True


def refuse_network_folder(folder: Path, mounts: Path = Path("/proc/mounts")) -> None:
    """Raise UsageError where SQLite's WAL cannot work. Says nothing where the system does not tell."""
    try:
        lines = mounts.read_text().splitlines()
    except OSError:
        return
    folder = folder.resolve()
    best, kind = "", ""
    for line in lines:
        fields = line.split()
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, fields[2]
    if kind.startswith(NETWORK_FILE_SYSTEMS):
        raise UsageError(
            f"{folder} lies on {kind} ({best}), where SQLite processes cannot share a log: use a local folder or a "
            "database server"
        )
