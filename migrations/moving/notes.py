"""What the gates of two logs say while one moves into the other: text for people, with a token that pairs them.

The token keeps two copies from taking each other's place: whoever is not told of the newest token opens nothing.
"""

from __future__ import annotations

import re
import secrets

from ...engine.log.port import Gate, GateState
from .place import Place

_TOKEN = re.compile(r"\(copy ([0-9a-f]{8})\)$")
_PAIR = re.compile(r"(, after \(copy [0-9a-f]{8}\))? \(copy [0-9a-f]{8}\)$")
_FORK = "a fork of log "


def fresh_token() -> str:
    return secrets.token_hex(4)


def moved(destination: str, token: str) -> Gate:
    """The gate of a source that was fenced."""
    return Gate(GateState.MOVED, f"it moved to {destination} (copy {token})")


def copy_note(source: Place) -> str:
    """The note of a gate that receives a copy."""
    return f"a copy of {source.url} is being put there (copy {fresh_token()})"


def fork_note(source: Place) -> str:
    """The note of a gate that receives a fork."""
    return f"{_FORK}{source.backend.head().log_id} at {source.url} is being put there (copy {fresh_token()})"


def is_fork(note: str) -> bool:
    return note.startswith(_FORK)


def token_in(note: str) -> str | None:
    """The token of a note; None in one that a copy did not write."""
    found = _TOKEN.search(note)
    return found[1] if found else None


def renewed(note: str) -> str:
    """The same note with another token, so that whoever knows the old one goes no further; which that was, it says."""
    before = token_in(note)
    return f"{_PAIR.sub('', note)}, after (copy {before}) (copy {fresh_token()})"


def names(note: str, token: str | None) -> bool:
    """Whether a note has a token, or had it before it was renewed."""
    return token is not None and f"(copy {token})" in note
