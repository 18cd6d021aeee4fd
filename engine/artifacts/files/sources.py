"""A caller's open file while it is kept: as bytes, and its errors told apart from those of the store."""

from __future__ import annotations

from typing import IO, Any

from ...errors import UsageError


class Unreadable(Exception):
    """Reading the caller's file raised `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class BytesOf:
    """A file of bytes, or one of text as UTF-8. `read` raises Unreadable for whatever the file raises."""

    def __init__(self, file: IO[Any], *, as_text: bool) -> None:
        if not callable(getattr(file, "read", None)):
            error = UsageError(f"{file!r:.80} is no open file")
            error.remedy = "Give a file that is open for reading, as open(path, 'rb'); write_data takes bytes."
            raise error
        self._file = file
        self._as_text = as_text

    def read(self, size: int = -1) -> bytes:
        """The next bytes, `size` at most; none at the end. Of text, so many characters."""
        try:
            piece = self._file.read(size)
            if isinstance(piece, str) and self._as_text:
                return piece.encode()
        except Exception as error:
            raise Unreadable(error) from error
        if self._as_text or not isinstance(piece, bytes | bytearray | memoryview):
            raise Unreadable(_other_type(piece, self._as_text))
        return bytes(piece)


def _other_type(piece: Any, as_text: bool) -> UsageError:
    error = UsageError(f"the file gives {type(piece).__name__}, and mode={'w' if as_text else 'wb'!r} was asked for")
    error.remedy = "For a file of text pass mode='w'; for one of bytes mode='wb', and open it with 'rb'."
    return error
