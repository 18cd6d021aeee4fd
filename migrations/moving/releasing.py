"""Give a source that was fenced back to its writers, when a cut-over is not to be completed.

What is at risk: two logs that take appends under one id. So the destination is asked first: one that was opened is
never overruled; one that was not gets another note, which stops a copy that may still be at work on it.
"""

from __future__ import annotations

from typing import NamedTuple

from ...engine.errors import ConflictError, UsageError, fault
from ...engine.log.log import EventLog
from ...engine.log.port import OPEN_GATE, Gate, GateState
from . import notes
from .place import Place, existing


class Released(NamedTuple):
    """A source that takes appends again."""

    source: str  #: URL without its password
    position: int  #: the end of its timeline
    destination: str | None  #: None: it was not asked


def release_log(source: str | EventLog, destination: str | EventLog | None = None, *, force: bool = False) -> Released:
    """Let a source that a copy has fenced take appends again. Idempotent.

    `destination`: where the copy was to go; it stays closed, and the copy can go on later. With `force` it may be left
    out, when it is lost or cannot be reached: if it was opened after all, or is later, the log goes on in two places,
    and what is appended to one of them is missing in the other.

    Raises ConflictError if the destination takes appends, UsageError if it is another log's or not named.
    """
    with existing(source) as here:
        gate = here.backend.gate()
        asked = None
        if destination is not None:
            with existing(destination) as there:
                _stop(here, there, gate)
                asked = there.url
        elif not force and gate.state is GateState.MOVED:
            raise fault(
                f"{here.url} takes no appends any more: {gate.note}",
                "Name the destination too, to see that it was not opened; or add --force if it is lost.",
            )
        if gate.state is GateState.RECEIVING:
            raise fault(f"{here.url} is the destination of a copy, not a source", "Name the source of the copy first.")
        if not here.backend.set_gate(OPEN_GATE, expected=gate):
            raise ConflictError(f"the gate of {here.url} was changed in this moment: {here.backend.gate()}")
        return Released(here.url, here.backend.head().position, asked)


def _stop(source: Place, target: Place, gate: Gate) -> None:
    """See that the destination was not opened, and that no copy opens it any more."""
    held = target.backend.gate()
    if held.state is not GateState.RECEIVING:
        if target.backend.head().log_id != source.backend.head().log_id:
            raise UsageError(f"{target.url} is no copy of {source.url}")
        error = ConflictError(f"{target.url} was opened: the log has moved there, and may have been written to since")
        error.remedy = "Use it there. To go back, move it back: copy that log to a new place with --cut-over."
        raise error
    if gate.state is GateState.MOVED and notes.pair_in(held.note) != notes.pair_in(gate.note):
        raise UsageError(f"{source.url} was fenced for another destination: {gate.note}")
    if not target.backend.set_gate(notes.renewed(held), expected=held):
        raise ConflictError(f"the gate of {target.url} was changed in this moment: {target.backend.gate()}")
