"""A cursor: where a reader of the timeline stands, and of which history.

Text, opaque to callers: `v1:<log id>:<epoch>:<position>:<chain>`, the chain being the first 8 bytes (hex) of the hash
chain of the receipt that holds the position. A cursor of another log, or of a log restored from an older backup, is
refused: the positions would be taken again by other events, and the reader would skip them.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from ..errors import HistoryDiverged, UsageError
from .port import GENESIS, Backend, Head

CHAIN_BYTES = 8


class CursorParts(NamedTuple):
    """A cursor taken apart."""

    log_id: UUID
    epoch: int
    position: int
    chain: bytes  #: the first 8 bytes


class Cursor(str):
    """Where a reader stands. Keep it as text; hand it back to `read` or `follow` to go on right behind it."""

    __slots__ = ()

    @classmethod
    def build(cls, log_id: UUID, epoch: int, position: int, chain: bytes) -> Cursor:
        """The cursor right behind `position`."""
        return cls(f"v1:{log_id.hex}:{epoch}:{position}:{chain[:CHAIN_BYTES].hex()}")

    @property
    def parts(self) -> CursorParts:
        """What the text says. Raises UsageError if it is no cursor."""
        try:
            version, log_id, epoch, position, chain = self.split(":")
            if version != "v1":
                raise ValueError(version)
            parts = CursorParts(UUID(hex=log_id), int(epoch), int(position), bytes.fromhex(chain))
        except ValueError as error:
            raise UsageError(f"not a foldlog cursor: {str(self)!r}") from error
        if parts.position < 0 or parts.epoch < 0 or len(parts.chain) != CHAIN_BYTES:
            raise UsageError(f"not a foldlog cursor: {str(self)!r}")
        return parts

    @property
    def position(self) -> int:
        """The last position the reader has taken in; 0 before the first."""
        return self.parts.position


def chain_at(backend: Backend, position: int, head: Head) -> bytes:
    """The chain of the receipt that holds `position`; the first bytes of it go into a cursor there."""
    if position == 0:
        return GENESIS
    if position == head.position:
        return head.chain
    return backend.placed(after=position - 1, limit=1)[0].chain


def cursor_at(backend: Backend, position: int, head: Head) -> Cursor:
    """The cursor right behind `position`, which is at most the head's."""
    return Cursor.build(head.log_id, head.epoch, position, chain_at(backend, position, head))


def accept(backend: Backend, cursor: str, head: Head) -> int:
    """The position of a cursor of this very history. Raises HistoryDiverged for any other."""
    parts = Cursor(cursor).parts
    if parts.log_id != head.log_id:
        raise HistoryDiverged(f"the cursor is of log {parts.log_id}, this is log {head.log_id}")
    if parts.position > head.position:
        raise HistoryDiverged(
            f"the cursor stands at position {parts.position}, the log ends at {head.position}: "
            "it was restored from an older copy"
        )
    if parts.epoch > head.epoch:
        raise HistoryDiverged(f"the cursor is of epoch {parts.epoch}, the log is in epoch {head.epoch}")
    if chain_at(backend, parts.position, head)[:CHAIN_BYTES] != parts.chain:
        raise HistoryDiverged(f"other events stand up to position {parts.position} than when the cursor was taken")
    return parts.position
