"""What all formats have in common: a value made ready to be written, and the reason why one cannot be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

Read = Callable[[IO[bytes], Any], Any]  #: from a file, and the type that is wanted if the reader says one


class Prepared(NamedTuple):
    """A value ready to be written."""

    write: Callable[[IO[bytes]], None]
    metadata: Mapping[str, Any] = {}  #: what the format knows about the value


class Unfit(Exception):
    """A value that a format does not take, or cannot take here. The message says where in the value and why."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy
