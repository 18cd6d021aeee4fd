"""What became of a transaction whose connection was lost; the rest of a server's errors its dialect translates."""

from __future__ import annotations

from ...engine.errors import UnavailableError


class OutcomeUnknownError(UnavailableError):
    """The connection was lost while a commit was under way. Its next move is the backend's: look whether it landed."""


class ConnectionLostError(UnavailableError):
    """The connection was lost before anything was committed: nothing was written, and trying again is safe."""


class AgainError(UnavailableError):
    """The server rolled the transaction back to let another one pass (a deadlock): trying again is safe."""


class RacedError(Exception):
    """Another append took the seq, or the shard changed its state: look again."""
