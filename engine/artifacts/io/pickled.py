"""Any Python value, as pickle writes it, protocol 5. Reading one runs code that is in it."""

from __future__ import annotations

import pickle
from typing import IO, Any

from .unfit import Prepared, Unfit

REMEDY = (
    "Return plain data, or a value whose class is at the top of a module that can be imported; "
    "or write an IO manager for such values."
)


class OfScript(Exception):
    """The value is of a class of a script that was run: in its process `__main__`, in this one another program is."""

    remedy = "Move the class into a module that is imported, and {maker}."  #: `{maker}`: what makes the value anew


class _Watched:
    """A file that remembers what it raised, so that a full disk is not taken for a value that does not pickle."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: Exception | None = None

    def write(self, data: Any) -> int:
        try:
            return self._file.write(data)
        except Exception as error:
            self.error = error
            raise


def prepare(value: Any) -> Prepared:
    """Pickled while it is written, so that a large value is not held twice."""

    def write(file: IO[bytes]) -> None:
        watched = _Watched(file)
        try:
            pickle.Pickler(watched, protocol=5).dump(value)
        except MemoryError:
            raise
        except Exception as error:  # whatever the classes of the value raise
            if watched.error is not None:
                raise
            raise Unfit(f"the value cannot be pickled: {type(error).__name__}: {error}", REMEDY) from error

    return Prepared(write)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except AttributeError:
            if module != "__main__":
                raise
            raise OfScript(f"it holds {name!r} of the script that made it, which only that script finds") from None


def read(file: IO[bytes], type_hint: Any) -> Any:
    """The value. Raises OfScript, whatever its classes raise, and EOFError or UnpicklingError for a damaged file."""
    return _Unpickler(file).load()
