"""What the kinds of cloud stores do each in their own way: one request, its errors as the package raises them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol
from weakref import finalize

from .port import Found

SINGLE = 128 * 2**20  #: bytes up to which an object is sent in one request


class Driver(Protocol):
    """A connection to a store, ended with the last reference. Paths are `bucket/name`; `timeout_s` is for a call."""

    PACKAGE: ClassVar[str]  #: that it is made with

    def __init__(self, options: dict[str, Any]) -> None:
        """`options` are those of the package."""

    @staticmethod
    def load() -> None:
        """Import the package. Raises ImportError."""

    def write(self, path: str, data: bytes, *, create: bool, timeout_s: float) -> None:
        """Make an object, or replace it unless `create`."""

    def read(self, path: str, start: int, end: int | None, *, timeout_s: float) -> bytes:
        """Bytes of an object; `start` is less than `end`."""

    def find(self, path: str, *, timeout_s: float) -> list[Found]:
        """Objects whose paths begin so, by their names in the bucket. `timeout_s` is for each page."""

    def delete(self, paths: Sequence[str], *, timeout_s: float) -> None:
        """Remove objects, of which some may be missing."""

    def abandon(self) -> None:
        """In a forked child: this connection is the parent's."""


def filesystem(protocol: str, options: dict[str, Any]) -> Any:
    """A file system of fsspec of this process's own, without caches."""
    import fsspec

    return fsspec.filesystem(protocol, **{**options, "skip_instance_cache": True, "use_listings_cache": False})


def abandon(one: Any) -> None:
    """Have a file system that was the parent's never end in this process.

    At the end of the process, or with the last reference, it would wait for the parent's thread, which is not here, and
    say goodbye to the store in the parent's name.
    """
    from fsspec.asyn import reset_lock

    reset_lock()  # a thread that is not here may hold it; what fsspec does at a fork leaves it as it is
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))  # a reference that no end of the interpreter takes back
    registry = getattr(finalize, "_registry", {})
    for finalizer, info in list(registry.items()):
        if info.weakref() is one:
            finalizer.atexit = False


def microseconds(moment: datetime) -> int:
    """Since 1970-01-01 UTC."""
    return round(moment.timestamp() * 1_000_000)
