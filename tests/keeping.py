"""A log that keeps files beside it (`CanKeep`), for tests: a SQLite log, and a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from foldlog import Instance
from foldlog.backends.sqlite import SqliteBackend
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import Kept, Stored
from foldlog.serdes import Codec


class KeepingBackend(SqliteBackend):
    """Counts what is read of the timeline, and lists what was asked of the files."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        super().__init__(folder / "log", layout="consolidated", durability="process", read_only=read_only)
        self._files = folder / "kept"
        self.events_read = 0
        self.asked: list[str] = []

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        found = super().read(after=after, limit=limit, types=types)
        self.events_read += len(found)
        return found

    def keep(self, name: str, data: bytes) -> bool:
        self.asked.append(f"keep {name}")
        assert name.isascii()
        assert data
        path = self._files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        whole = path.parent / f".{secrets.token_hex(4)}"
        whole.write_bytes(data)
        try:
            os.link(whole, path)
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        return True

    def fetch(self, name: str) -> bytes | None:
        self.asked.append(f"fetch {name}")
        try:
            return (self._files / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def kept(self, prefix: str) -> list[Kept]:
        self.asked.append(f"kept {prefix}")
        assert prefix.endswith("/")
        found = []
        for path in self._files.rglob("*"):
            name = str(path.relative_to(self._files))
            if path.is_file() and name.startswith(prefix) and not path.name.startswith("."):
                state = path.stat()
                found.append(Kept(name, state.st_size, state.st_mtime_ns // 1000))
        return sorted(found)

    def drop(self, names: Sequence[str]) -> None:
        for name in names:
            self.asked.append(f"drop {name}")
            (self._files / name).unlink(missing_ok=True)


def keeping(folder: Path, *, read_only: bool = False) -> Instance:
    """An instance whose log, files included, lies in a folder."""
    return Instance(EventLog(KeepingBackend(folder, read_only=read_only), Codec(), read_only=read_only))
