"""Where files lie, of values and others: a folder of this machine, or whatever fsspec knows by a URL.

Promises: a file is whole under its name or not there; who reads while it is written anew gets the former one or the new
one. Locally a file is synced, and so is its folder, before `put` returns. On S3, Google Cloud Storage, Azure and in
memory an object appears when all of it has arrived. Other stores keep the promise if their own upload does.
`remove` takes what was seen, and leaves what is another file by now: in a folder for certain while its name is locked;
in another store up to the moment between its look and its removal.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol
from uuid import uuid4

from .file_lock import file_lock

PIECE = 8 * 1024 * 1024  #: bytes moved at once; what is not larger goes to a store, and comes from it, in one request
AT_ONCE = 16  #: requests side by side, when many files are looked for
#: stores without folders; others want the folder of a file to be made first
WITHOUT_FOLDERS = frozenset(("memory", "s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss", "r2"))


class Stat(NamedTuple):
    """A file that is there. Of two that had one name, the stats differ."""

    bytes: int
    modified: float | None  #: seconds since 1970, by the store's clock; None if it keeps no time
    version: str | None = None  #: what else tells it from another: ETag, generation, or the time to the nanosecond


class Filled(NamedTuple):
    """A file that has all its bytes and is not in its place yet."""

    file: IO[bytes]
    name: str  #: its path on this machine
    bytes: int


class Store(Protocol):
    """Files by their place below a base, as `assets/orders.json`."""

    is_local: bool

    def look(self, places: list[str]) -> dict[str, Stat]:
        """Those of the files that are there."""

    def filled(self, place: str, fill: Callable[[IO[bytes]], None]) -> AbstractContextManager[Filled]:
        """A context with the file that `fill` writes, for that place. What is there stays until `put`."""

    def put(self, place: str, filled: Filled) -> None:
        """Make it the file at its place, instead of what is there."""

    def locked(self, place: str) -> AbstractContextManager[None]:
        """A context that is inside one at a time, where the store has locks: a folder has. `place` is for the lock."""

    def open(self, place: str, stat: Stat) -> Any:
        """A context with the file to read from its start; it can seek. Raises FileNotFoundError."""

    def remove(self, place: str, seen: Stat) -> None:
        """Remove the file that was seen. Another one stays; one that is not there is no matter."""

    def address(self, place: str) -> str:
        """Where it is: a path or a URL."""


def open_store(base: str, options: Mapping[str, Any]) -> Store:
    """The store of a base: the path of a folder, or a URL. Connects to nothing yet."""
    if (folder := local_folder(base)) is not None:
        return LocalStore(folder)
    from fsspec.core import url_to_fs

    # Each time anew: fsspec keeps one for each thread, and forgets them all in a process that was forked.
    fs, path = url_to_fs(base, **options)
    return RemoteStore(base, fs, path)


def local_folder(base: str) -> Path | None:
    """The folder that a base means, or None for a URL of another store."""
    protocol, found, _ = base.partition("://")
    if "::" in base or (found and protocol not in ("file", "local")):
        return None
    from fsspec.implementations.local import LocalFileSystem

    return Path(LocalFileSystem._strip_protocol(base))


class LocalStore:
    """Files in a folder. Temporary ones are called `.*.tmp`; those that a crash has left may be deleted."""

    is_local = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def look(self, places: list[str]) -> dict[str, Stat]:
        found = {}
        for place in places:
            try:
                stat = os.stat(self._folder / place)
            except (FileNotFoundError, NotADirectoryError):
                continue
            found[place] = Stat(stat.st_size, stat.st_mtime_ns / 1e9, f"{stat.st_ino} {stat.st_mtime_ns}")
        return found

    @contextmanager
    def filled(self, place: str, fill: Callable[[IO[bytes]], None]) -> Iterator[Filled]:
        folder = (self._folder / place).parent
        _make_folder(folder)
        temporary = folder / f".{uuid4().hex}.tmp"  # in the same folder: across devices there is no rename
        try:
            with temporary.open("xb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
                yield Filled(file, str(temporary), os.fstat(file.fileno()).st_size)
        finally:
            temporary.unlink(missing_ok=True)  # where it was put, there is none any more

    def put(self, place: str, filled: Filled) -> None:
        path = self._folder / place
        os.replace(filled.name, path)
        _sync_folder(path.parent)

    def locked(self, place: str) -> AbstractContextManager[None]:
        return file_lock(self._folder / place)

    @contextmanager
    def open(self, place: str, stat: Stat) -> Iterator[IO[bytes]]:
        with (self._folder / place).open("rb") as file:
            yield file

    def remove(self, place: str, seen: Stat) -> None:
        if self.look([place]).get(place) != seen:
            return
        path = self._folder / place
        path.unlink(missing_ok=True)
        _sync_folder(path.parent)  # so that after a power loss files are gone in the order in which they were removed

    def address(self, place: str) -> str:
        return str(self._folder / place)


class RemoteStore:
    """Files in a store of fsspec. What is large goes through a temporary file of this machine, and through memory in
    pieces, as large as the store's package chooses."""

    is_local = False

    def __init__(self, base: str, fs: Any, path: str) -> None:
        self._base = base if base.endswith("://") else base.rstrip("/") + "/"
        self._path = path.rstrip("/")
        self._fs = fs
        protocol = fs.protocol
        self._protocols = {protocol} if isinstance(protocol, str) else set(protocol)
        self._in_memory = "memory" in self._protocols

    def look(self, places: list[str]) -> dict[str, Stat]:
        if places and self._fs.async_impl:  # side by side: each is a request, and these may be made from any thread
            with ThreadPoolExecutor(min(len(places), AT_ONCE)) as pool:
                stats = list(pool.map(self._stat, places))
        else:
            stats = list(map(self._stat, places))
        return {place: stat for place, stat in zip(places, stats, strict=True) if stat is not None}

    @contextmanager
    def filled(self, place: str, fill: Callable[[IO[bytes]], None]) -> Iterator[Filled]:
        with tempfile.NamedTemporaryFile(prefix="foldlog-") as file:
            fill(file)
            file.flush()
            yield Filled(file, file.name, os.fstat(file.fileno()).st_size)

    def put(self, place: str, filled: Filled) -> None:
        path = self._at(place)
        if not self._protocols & WITHOUT_FOLDERS:
            self._fs.makedirs(self._fs._parent(path), exist_ok=True)
        if filled.bytes <= PIECE or self._in_memory:
            filled.file.seek(0)
            self._fs.pipe_file(path, filled.file.read())
        else:
            self._fs.put_file(filled.name, path)

    def locked(self, place: str) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def open(self, place: str, stat: Stat) -> Iterator[IO[bytes]]:
        if stat.bytes <= PIECE or self._in_memory:
            yield BytesIO(self._fs.cat_file(self._at(place)))
            return
        with tempfile.TemporaryFile(prefix="foldlog-") as file:
            # Not get_file, which fetches parts side by side: of an object written anew meanwhile it would mix two.
            try:
                with self._fs.open(self._at(place), "rb") as source:
                    shutil.copyfileobj(source, file, PIECE)
            except OSError as error:
                if type(error).__name__ == "FileExpired":  # of s3fs: it was written anew while it was read
                    raise FileNotFoundError(f"{place} is another file now") from error
                raise
            file.seek(0)
            yield file

    def remove(self, place: str, seen: Stat) -> None:
        if self._stat(place) != seen:
            return
        try:
            self._fs.rm_file(self._at(place))
        except FileNotFoundError:
            return

    def address(self, place: str) -> str:
        return self._base + place

    def _at(self, place: str) -> str:
        return f"{self._path}/{place}"

    def _stat(self, place: str) -> Stat | None:
        path = self._at(place)
        self._fs.invalidate_cache(path)  # else another process's file is not seen
        try:
            info = self._fs.info(path)
        except FileNotFoundError:
            return None
        if info["type"] == "directory":
            return None
        times = (info.get(name) for name in ("LastModified", "last_modified", "mtime", "updated", "created"))
        tags = [str(info[name]) for name in ("ETag", "etag", "generation") if info.get(name) is not None]
        modified = next((_seconds(time) for time in times if time is not None), None)
        return Stat(int(info["size"]), modified, " ".join(tags) or None)


def _seconds(time: Any) -> float | None:
    """A time as the stores give it: a datetime, its text, or a number."""
    from datetime import datetime

    try:
        if isinstance(time, str):
            time = datetime.fromisoformat(time)
        return float(time) if isinstance(time, int | float) else float(time.timestamp())
    except (ValueError, AttributeError):  # a form that is not known is as good as none
        return None


def _make_folder(folder: Path) -> None:
    """Make it and those above it, each synced into its parent."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
