"""The file manager over a store: one file below a base for each handle.

BASE/0f3c…9a.csv    a random name of 32 hex digits, and the ending that was given

Promises: a file is whole under its name or not there, as ../stores.py says for each kind of store; a handle is taken
only for a file right in the base, so that no handle, wherever it comes from, reads what lies elsewhere.
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, Any
from uuid import uuid4

from ...errors import UsageError
from ...secrecy import Secrecy, options_for, shown_url
from ..store_errors import translated
from ..stores import PIECE, Store, open_store
from .copies import LocalCopies
from .file_manager import FileManager
from .handles import FileHandle, LocalFileHandle, UrlFileHandle
from .sources import BytesOf, Unreadable

ENDING = re.compile(r"(\.[A-Za-z0-9][A-Za-z0-9_+-]*)+")
LONGEST_ENDING = 40
NAME = re.compile(rf"[0-9a-f]{{32}}({ENDING.pattern})?")

Handle = LocalFileHandle | UrlFileHandle


class StoredFileManager(FileManager):
    """Keeps files right below `base`: the absolute path of a folder, or a URL. Making one touches nothing."""

    def __init__(self, base: str, *, is_local: bool, storage_options: Mapping[str, Any] | None = None) -> None:
        self._base = base
        self._is_local = is_local
        self._options = None if storage_options is None else dict(storage_options)
        self._copies = LocalCopies()
        self._closed = False

    def write(self, file_obj: IO[Any], mode: str = "wb", ext: str | None = None) -> Handle:
        _check_mode(mode, "wb", "w")
        source = BytesOf(file_obj, as_text=mode == "w")
        try:
            return self._write(lambda file: shutil.copyfileobj(source, file, PIECE), ext)
        except Unreadable as unreadable:
            error = unreadable.error
        raise error  # the caller's own, as it was: the store has nothing to do with it

    def write_data(self, data: bytes, ext: str | None = None) -> Handle:
        if not isinstance(data, bytes | bytearray | memoryview):
            raise _fault(f"write_data was given {type(data).__name__}", "Give bytes; text as text.encode().")
        return self._write(lambda file: _write_all(file, data), ext)

    @contextmanager
    def read(self, file_handle: FileHandle, mode: str = "rb") -> Iterator[IO[Any]]:
        _check_mode(mode, "rb", "r")
        place = self._place(file_handle)
        with ExitStack() as opened:  # what is raised inside the caller's `with` is the caller's
            with self._store(f"{file_handle.path_desc} cannot be read") as store:
                file = opened.enter_context(_open(store, place, file_handle))
            yield file if mode == "rb" else opened.enter_context(io.TextIOWrapper(file, encoding="utf-8", newline=""))

    def read_data(self, file_handle: FileHandle) -> bytes:
        with self.read(file_handle) as file, self._translated(f"{file_handle.path_desc} cannot be read"):
            data: bytes = file.read()
            return data

    def copy_handle_to_local_temp(self, file_handle: FileHandle) -> str:
        place = self._place(file_handle)
        with self.read(file_handle) as file, self._translated(f"{file_handle.path_desc} cannot be copied"):
            path = self._copies.new_path(place[32:])
            with path.open("xb") as copy:
                shutil.copyfileobj(file, copy, PIECE)
        return str(path)

    def delete_local_temp(self) -> None:
        self._copies.clear()

    def close(self) -> None:
        self._closed = True
        self.delete_local_temp()

    def _write(self, fill: Callable[[IO[bytes]], None], ext: str | None) -> Handle:
        place = uuid4().hex + _ending(ext)
        with self._store("a file cannot be written") as store:
            with store.filled(place, fill) as filled:
                store.put(place, filled)
            return self._handle(store.address(place))

    def _handle(self, address: str) -> Handle:
        return LocalFileHandle(address) if self._is_local else UrlFileHandle(shown_url(address))

    def _place(self, handle: FileHandle) -> str:
        """The name of the handle's file below the base. Raises UsageError for one that is not in it."""
        if not isinstance(handle, FileHandle):
            raise _fault(f"{handle!r:.80} is no handle of a file", "Give what `write` or `write_data` has returned.")
        folder, slash, name = handle.path_desc.rpartition("/")
        mine = type(handle) is (LocalFileHandle if self._is_local else UrlFileHandle)
        if not (mine and folder + slash == self._shown_folder and NAME.fullmatch(name)):
            raise _fault(
                f"{shown_url(handle.path_desc)} is no file of the file manager of {self._shown}",
                f"Read it with the file manager that wrote it, or one with the same place: {shown_url(folder) or '/'}.",
            )
        return name

    @contextmanager
    def _store(self, problem: str) -> Iterator[Store]:
        if self._closed:
            raise _fault(
                f"the file manager of {self._shown} is closed", "Ask the instance for it anew, or make another."
            )
        with self._translated(problem) as options:
            yield open_store(self._base, options)

    @contextmanager
    def _translated(self, problem: str) -> Iterator[dict[str, Any]]:
        options = options_for(self._options, is_local=self._is_local)
        with translated(problem, Secrecy(self._base, options), Unreadable):
            yield options

    @property
    def _shown(self) -> str:
        return shown_url(self._base)

    @property
    def _shown_folder(self) -> str:
        """What the address of each of its files begins with."""
        return self._shown if self._shown.endswith("/") else f"{self._shown}/"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown}>"


@contextmanager
def _open(store: Store, place: str, handle: FileHandle) -> Iterator[IO[bytes]]:
    with ExitStack() as opened:
        file = None
        if (stat := store.look([place]).get(place)) is not None:
            with suppress(FileNotFoundError):  # it was removed since the look
                file = opened.enter_context(store.open(place, stat))
        if file is None:
            raise _fault(
                f"there is no file {handle.path_desc}",
                "Make it again with the step that wrote it; a file of another machine needs a folder that both share.",
            )
        opened.callback(file.close)
        yield file


def _ending(ext: str | None) -> str:
    if ext is None or ext == "":
        return ""
    ending = f".{ext}" if isinstance(ext, str) and not ext.startswith(".") else ext
    if not isinstance(ending, str) or not ENDING.fullmatch(ending) or len(ending) > LONGEST_ENDING:
        raise _fault(
            f"ext={ext!r:.80} is no ending of a file",
            f"Write letters and digits, as 'csv' or 'tar.gz', at most {LONGEST_ENDING - 1} characters.",
        )
    return ending


def _check_mode(mode: str, *known: str) -> None:
    if mode not in known:
        raise _fault(f"mode={mode!r:.20} is not known", f"Write {' for bytes, '.join(map(repr, known))} for text.")


def _write_all(file: IO[bytes], data: bytes) -> None:
    file.write(data)


def _fault(problem: str, remedy: str) -> UsageError:
    error = UsageError(problem)
    error.remedy = remedy
    return error
