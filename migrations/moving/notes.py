"""What the gates of two logs say while one moves into the other: text for people, with a token that pairs them.

    (copy 3f2a9c01.7b10)    of the destination: the pair, and whose turn it is
    (copy 3f2a9c01)         of the source, once it is fenced for that destination

Whoever begins the last steps of a move, or stops it, gives the destination another turn; all others, who know the one
before, replace no epoch and open nothing.
"""

from __future__ import annotations

import re
import secrets

from ...engine.log.port import Gate, GateState
from .place import Place

_PAIR = re.compile(r"\(copy ([0-9a-f]{8})(\.[0-9a-f]{4})?\)$")
_FORK = "a fork of log "


def _fresh() -> str:
    return f"(copy {secrets.token_hex(4)}.{secrets.token_hex(2)})"


def moved(destination: str, pair: str) -> Gate:
    """The gate of a source that was fenced."""
    return Gate(GateState.MOVED, f"it moved to {destination} (copy {pair})")


def copy_note(source: Place) -> str:
    """The note of a gate that receives a copy."""
    return f"a copy of {source.url} is being put there {_fresh()}"


def fork_note(source: Place) -> str:
    """The note of a gate that receives a fork."""
    return f"{_FORK}{source.backend.head().log_id} at {source.url} is being put there {_fresh()}"


def is_fork(note: str) -> bool:
    """Whether a note is that of a fork."""
    return note.startswith(_FORK)


def pair_in(note: str) -> str | None:
    """The token that pairs two gates; None in a note that a copy did not write."""
    found = _PAIR.search(note)
    return found[1] if found else None


def renewed(gate: Gate) -> Gate:
    """The same gate of a destination, and another's turn."""
    pair, turn = pair_in(gate.note), secrets.token_hex(2)
    return gate._replace(note=_PAIR.sub(f"(copy {pair}.{turn})", gate.note))
