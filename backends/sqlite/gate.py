"""The gate of a whole home, as its order file notes it in `meta`: two rows, `gate` and `gate_note`.

Every first append of a process to a shard asks here; writers that have a shard open already meet a fence in its file.
Not here: putting up those fences (gatekeeper.py).
"""

from __future__ import annotations

import sqlite3
from uuid import UUID

from ...engine.errors import CorruptLogError
from ...engine.log.port import OPEN_GATE, Gate, GateState, refusal

CLOSING = 3  #: as MOVED to every append; not all fences are up yet
VALUES = (*[state.value for state in GateState], CLOSING)


def stored(db: sqlite3.Connection) -> tuple[int, str]:
    """What is noted: a value of GateState or CLOSING, and the note."""
    rows = dict(db.execute("SELECT name, value FROM meta WHERE name IN ('gate', 'gate_note')").fetchall())
    state, note = rows.get("gate", GateState.OPEN.value), rows.get("gate_note", "")
    if state not in VALUES or type(note) is not str:
        raise CorruptLogError(f"the order is damaged: its gate is {state!r}, {note!r}")
    return int(state), note


def store(db: sqlite3.Connection, state: int, note: str) -> None:
    """Note another gate, within the caller's transaction."""
    rows = [("gate", state), ("gate_note", note)]
    db.executemany("INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", rows)


def as_gate(state: int, note: str) -> Gate:
    """The gate as the port has it: one that is closing is open still, and not noted where to."""
    return OPEN_GATE if state == CLOSING else Gate(GateState(state), note)


def refuse_unless_open(db: sqlite3.Connection, folder: str, log_id: UUID) -> None:
    """Raise LogMoved if no append may be made here, CorruptLogError if this has become another log since `log_id` was
    read: its files would be made for the log that was."""
    state, note = stored(db)
    if state != GateState.OPEN.value:
        raise refusal(folder, Gate(GateState.MOVED if state == CLOSING else GateState(state), note))
    (now,) = db.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone()
    if now != log_id.bytes:
        raise CorruptLogError(f"{folder} was made the copy of another log while it was open here: open it anew")
