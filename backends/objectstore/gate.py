"""The gate of the log, and moving: handing its entries over, and taking those of another.

To shut the gate takes three steps: the order says that it closes; every writer that is registered gets a guard in the
place of its next marker; the order says that it is shut. A writer that registers meanwhile looks at the order
afterwards, so it is either listed here or sees what the order says. Killed in between, the same call goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from ...engine.errors import ConflictError, UnavailableError
from ...engine.log.port import OPEN_GATE, Epoch, Gate, GateState, ShardState, check_gate_step
from . import markers, names
from .library import Library
from .order_log import OrderLog
from .pendings import Pendings
from .state import State
from .step import Operation
from .tails import Tails

TRIES: Final = 1000  #: markers of one writer that are faster than its guard


class Gatekeeper:
    """The gate, for one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings, tails: Tails) -> None:
        self._order = order
        self._library = library
        self._pendings = pendings
        self._tails = tails

    def gate(self) -> Gate:
        self._order.refresh()
        with self._order.lock:
            return self._order.state.gate

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        check_gate_step(expected, gate)
        if expected.state is GateState.OPEN and gate.state is not GateState.OPEN:
            return self._shut(gate, expected, [["gate", gate.state.value, gate.note]])
        if gate.state is GateState.OPEN:
            return self._open(expected)
        return self._replace(expected, [["gate", gate.state.value, gate.note]])

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        url = self._order.objects.url
        operation: Operation = ["receive", log_id.bytes, [list(epoch) for epoch in epochs], note]
        gate, receiving = self.gate(), Gate(GateState.RECEIVING, note)
        with self._order.lock:
            known, empty = self._order.state.log_id, not self._order.state.lines
        if gate.state is GateState.RECEIVING:
            if (known, gate) != (log_id, receiving) or not self._replace(receiving, [operation]):
                raise ConflictError(f"{url} receives another copy, of log {known}: {gate.note}")
            return
        if gate.state is not GateState.OPEN or not empty or self._pendings.look().pending:
            raise ConflictError(f"{url} holds events, or has moved: a copy needs an empty log")
        if not self._shut(receiving, gate, [operation], empty=True):
            raise ConflictError(f"{url} holds events, or has moved: a copy needs an empty log")

    # -- shutting and opening -----------------------------------------------------------------------------------

    def _shut(self, gate: Gate, expected: Gate, last: Sequence[Operation], *, empty: bool = False) -> bool:
        def begin(state: State) -> list[Operation] | None:
            if state.gate != expected or state.closing is not None:
                return None
            return [["closing", gate.state.value, gate.note]]

        def end(state: State) -> list[Operation] | None:
            if state.gate != expected or state.closing is None:
                return None
            return list(last)

        self._order.refresh()
        self._order.commit(begin)
        with self._order.lock:
            if self._order.state.gate != expected:
                return False
        self.guard([one.name.removeprefix(names.WRITERS) for one in self._order.objects.list(names.WRITERS)])
        if empty and not self._is_empty():
            self._open(expected)
            return False
        return self._order.commit(end)

    def _is_empty(self) -> bool:
        """Whether nothing was appended before the guards were there. What was refused since is swept away."""
        if self._pendings.look().pending:
            return False
        self._sweep()
        with self._order.lock:
            return not self._order.state.lines

    def guard(self, writers: Sequence[str]) -> list[str]:
        """Refuse the next marker of each of these writers; the names of the guards."""
        reached: dict[str, int] = {}
        for one in self._order.objects.list(names.PENDING):
            if (found := names.of_marker(one.name)) is not None:
                reached[found[0]] = max(found[1], reached.get(found[0], 0))
        return [self._guard(id, reached.get(id, 0)) for id in writers]

    def _guard(self, id: str, reached: int) -> str:
        objects = self._order.objects
        for _ in range(TRIES):
            with self._order.lock:
                noted = self._order.state.writers.get(id, 0)
            n = max(reached, noted) + 1
            # One that a former shutting has put up, and its writer has not met yet, serves as well. Not one that came
            # too late, into the place of a marker that was noted and dropped.
            name = names.marker(id, n - 1)
            if n - 1 > noted and (objects.get(name) or b"").startswith(markers.GUARD):
                n -= 1
            elif not objects.create(names.marker(id, n), markers.guard()):
                reached = n
                continue
            # A marker with that number may have come, been placed and been dropped since the look.
            self._order.refresh()
            with self._order.lock:
                if self._order.state.writers.get(id, 0) < n:
                    return names.marker(id, n)
        raise UnavailableError(f"writer {id} was faster than its guard {TRIES} times")

    def _open(self, expected: Gate) -> bool:
        self._order.refresh()
        with self._order.lock:
            if self._order.state.gate != expected:
                return False
            if expected == OPEN_GATE and self._order.state.closing is None:
                return True
        self._sweep()
        return self._replace(expected, [["gate", GateState.OPEN.value, ""]])

    def _replace(self, expected: Gate, operations: Sequence[Operation]) -> bool:
        self._order.refresh()
        return self._order.commit(lambda state: list(operations) if state.gate == expected else None)

    def _sweep(self) -> None:
        """Delete the segments that were refused behind the shut gate: nobody announced them, and nobody may."""
        ends = self._pendings.look().ends
        objects = self._order.objects
        listed = [one.name for one in objects.list(names.RUNS)]
        with self._order.lock:
            lines = self._order.state.lines
            known = {names.folder(shard): shard for shard in {*lines, *ends}}
            over = _ends(self._order.state, ends)
        refused = [name for name in listed if _is_refused(name, known, over)]
        if refused:
            objects.delete(refused)
            self._library.forget(refused)
        self._tails.forget_all()


def _ends(state: State, ends: Mapping[str, int]) -> dict[str, int | None]:
    """Where each shard ends; None for one that a fence ends."""
    over = (ShardState.FENCED, ShardState.PURGED)
    found: dict[str, int | None] = {
        shard: None if line.state in over else line.reach for shard, line in state.lines.items()
    }
    for shard, seq in ends.items():
        if found.get(shard, 0) is not None:
            found[shard] = seq
    return found


def _is_refused(name: str, known: Mapping[str, str], ends: Mapping[str, int | None]) -> bool:
    seq = names.seq_of_slot(name)
    if seq is None:
        return False
    shard = known.get(name.rpartition("/")[0] + "/")
    end = 0 if shard is None else ends[shard]
    return end is not None and seq > end
