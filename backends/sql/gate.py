"""The gate of a log: whether it takes appends at all.

Promises: once it is closed, no append commits that was not acknowledged before: whoever closes it holds off those under
way, and every append looks at it behind its insert.
"""

from __future__ import annotations

from ...engine.errors import FoldlogError, ReadOnlyError

OPEN, MOVED, RECEIVING = range(3)  #: as stored in `gate.state`; the numbers are part of the format


def closed(deed: str, state: int, note: str) -> FoldlogError:
    """What refuses an append."""
    if state == RECEIVING:
        return ReadOnlyError(f"{deed}: the log is being filled by a copy, and takes nothing else before that is done")
    return ReadOnlyError(f"{deed}: the log was moved{f' to {note}' if note else ''} and takes nothing more")
