"""What a file manager does: it keeps files for steps, and gives handles that other steps read them by."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from types import TracebackType
from typing import IO, Any, Self

from ...config.configurable import ConfigurableClass
from .handles import FileHandle


class FileManager(ConfigurableClass, ABC):
    """Keeps files, each under a name of its own, for good: nothing is overwritten, and nothing is removed by foldlog.

    A part of the instance (`instance.file_manager`), and the resource `file_manager` of steps that require it.
    Thread-safe; what one process has written, another reads by the handle. A context manager: leaving it closes it.
    """

    @abstractmethod
    def write(self, file_obj: IO[Any], mode: str = "wb", ext: str | None = None) -> FileHandle:
        """Keep what is left to read of an open file, a piece at a time; the handle, once it is kept for good.

        `mode`: "wb" for a file of bytes, "w" for one of text, which is kept as UTF-8.
        `ext`: ending of the name, as "csv" or ".tar.gz".

        All of it is kept, or nothing. What `file_obj` raises passes as it is. Raises UsageError for another mode, a
        file that gives the other type, and an ending that is none; UnavailableError if the store does not answer.
        """

    @abstractmethod
    def write_data(self, data: bytes, ext: str | None = None) -> FileHandle:
        """Keep bytes; the handle, once they are kept for good. Raises what `write` raises."""

    @abstractmethod
    def read(self, file_handle: FileHandle, mode: str = "rb") -> AbstractContextManager[IO[Any]]:
        """A context with the file, to read from its start. `mode`: "rb" for bytes, "r" for text in UTF-8, its line
        ends as they are.

        Raises UsageError for a file that is not there, a handle of another file manager, and another mode;
        UnavailableError if the store does not answer.
        """

    @abstractmethod
    def read_data(self, file_handle: FileHandle) -> bytes:
        """All bytes of the file, in memory. Raises what `read` raises."""

    @abstractmethod
    def copy_handle_to_local_temp(self, file_handle: FileHandle) -> str:
        """The path of a copy on this machine, for programs that want a path; its ending is that of the file.

        It is the caller's to read and change until `delete_local_temp` or `close`, or the end of the process; each
        call makes another one. Raises what `read` raises.
        """

    @abstractmethod
    def delete_local_temp(self) -> None:
        """Remove the copies that this object has made on this machine. Idempotent."""

    def close(self) -> None:
        """Remove the copies; the kept files stay. Idempotent."""
        self.delete_local_temp()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
