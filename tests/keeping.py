"""Logs that keep files beside them (`CanKeep`), for tests: SQLite and a folder, or objects in a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foldlog import Instance
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores import open_objects
from foldlog.backends.sqlite import SqliteBackend
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import Kept, Stored
from foldlog.serdes import Codec

KIND = "FOLDLOG_TEST_KEEPING"  #: which of them `keeping` opens, in this process and those that it starts


class KeepingBackend:
    """Before a backend: counts what is read of the timeline, and lists what was asked of the files."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.events_read = 0
        self.asked: list[str] = []

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        found: list[Stored] = super().read(after=after, limit=limit, types=types)  # type: ignore[misc]
        self.events_read += len(found)
        return found

    def keep(self, name: str, data: bytes) -> bool:
        self.asked.append(f"keep {name}")
        assert name.isascii()
        assert data
        return super().keep(name, data)  # type: ignore[misc,no-any-return]

    def fetch(self, name: str) -> bytes | None:
        self.asked.append(f"fetch {name}")
        return super().fetch(name)  # type: ignore[misc,no-any-return]

    def kept(self, prefix: str) -> list[Kept]:
        self.asked.append(f"kept {prefix}")
        assert prefix.endswith("/")
        return super().kept(prefix)  # type: ignore[misc,no-any-return]

    def drop(self, names: Sequence[str]) -> None:
        self.asked += [f"drop {name}" for name in names]
        super().drop(names)  # type: ignore[misc]


class SqliteWithFiles(SqliteBackend):
    """A SQLite log, and a folder."""

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        super().__init__(folder / "log", layout="consolidated", durability="process", read_only=read_only)
        self._files = folder / "kept"

    def keep(self, name: str, data: bytes) -> bool:
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
        try:
            return (self._files / name).read_bytes()
        except (FileNotFoundError, IsADirectoryError):
            return None

    def kept(self, prefix: str) -> list[Kept]:
        found = []
        for path in self._files.rglob("*"):
            name = str(path.relative_to(self._files))
            if path.is_file() and name.startswith(prefix) and not path.name.startswith("."):
                state = path.stat()
                found.append(Kept(name, state.st_size, state.st_mtime_ns // 1000))
        return sorted(found)

    def drop(self, names: Sequence[str]) -> None:
        for name in names:
            (self._files / name).unlink(missing_ok=True)


class KeepingSqlite(KeepingBackend, SqliteWithFiles):
    pass


class KeepingObjects(KeepingBackend, ObjectBackend):
    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        url = f"file://{folder}?durability=process"
        super().__init__(open_objects(url, create=not read_only), read_only=read_only)


def keeping(folder: Path, *, read_only: bool = False) -> Instance:
    """An instance whose log, files included, lies in a folder."""
    kind = KeepingObjects if os.environ.get(KIND) == "objects" else KeepingSqlite
    return Instance(EventLog(kind(folder, read_only=read_only), Codec(), read_only=read_only))
