"""What the log asks of a store: whole objects by name, and that of two who make one name, one is refused.

Names are relative and ASCII: parts of [A-Za-z0-9._=@~-]+ (but not `.` and `..`) joined by `/`, at most 600 bytes whole
and 200 a part. No name is a folder of another's: with `a/b` there is no object `a`. Data is never empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Found(NamedTuple):
    """An object as a listing shows it."""

    name: str
    size: int
    modified_us: int  #: when it was written, by the store's clock


class Objects(Protocol):
    """Whole objects by name, below one prefix. Thread-safe.

    What was written is seen by every read and every listing that begins afterwards, in any process.
    """

    url: str  #: without credentials

    def create(self, name: str, data: bytes) -> bool:
        """Make an object that was not there, whole or not at all, durably. False if there is one, which may be this
        call's own, its reply lost: who asks must read it back. Raises UnavailableError if nothing is known: it may have
        landed, or land later."""

    def put(self, name: str, data: bytes) -> None:
        """Make or replace, whole. Raises UnavailableError if nothing is known."""

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        """The bytes from `start` to `end` (at most; a shorter object gives less), None if there is no such object."""

    def list(self, prefix: str) -> list[Found]:
        """All objects whose names begin with `prefix` (which is "" or ends with "/"), by name; never from a cache."""

    def delete(self, names: Sequence[str]) -> None:
        """Missing ones are no matter. Raises UnavailableError if nothing is known: some may be gone."""

    def close(self) -> None:
        """Give back what is held open; the objects stay."""
