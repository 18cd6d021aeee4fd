"""The gate of the log, and moving: handing its entries over, and taking those of another.

To shut the gate takes five steps: the order says that it closes; every writer that is registered gets a guard in the
place of its next marker; what is announced and not there gets its slot taken; what is there gets its position; the
order says that it is shut, and from then on nothing is pending. A writer that registers meanwhile looks at the order
afterwards, so it is either listed here or sees what the order says. Killed in between, the same call goes on.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from ...engine.errors import ConflictError, UnavailableError
from ...engine.log.chain import number
from ...engine.log.port import OPEN_GATE, Epoch, Gate, GateState, check_gate_step
from . import markers, names, segment
from .library import Library
from .order_log import OrderLog
from .pendings import Pendings
from .segment import Kind
from .state import State
from .step import Operation

TRIES: Final = 1000  #: markers of one writer that are faster than its guard


class Gatekeeper:
    """The gate, for one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, pendings: Pendings) -> None:
        self._order = order
        self._library = library
        self._pendings = pendings

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
            # Opened and about to be shut once more, the log has writers that these guards do not know.
            if state.gate != expected or state.closing is None or state.generation != generation:
                return None
            return list(last)

        self._order.refresh()
        self._order.commit(begin)
        with self._order.lock:
            if self._order.state.gate != expected or self._order.state.closing is None:
                return False
            generation = self._order.state.generation
        self._refuse_writers()
        if empty and not self._is_empty():
            self._open(expected)
            return False
        self._place_all()
        return self._order.commit(end)

    def _is_empty(self) -> bool:
        """Whether nothing was appended before the guards were there."""
        if self._pendings.look().pending:
            return False
        with self._order.lock:
            return not self._order.state.lines

    def _refuse_writers(self) -> None:
        """From here on no append counts but those that do already."""
        self.guard([one.name.removeprefix(names.WRITERS) for one in self._order.objects.list(names.WRITERS)])
        for _ in range(TRIES):
            if not self._block():
                return
        raise UnavailableError(f"segments landed {TRIES} times while the gate was being shut")

    def _block(self) -> bool:
        """Take the slots of segments that were announced and are not there: they may be on their way, and would land
        where nobody looks any more. Whether one has landed meanwhile."""
        look = self._pendings.look()
        announced = [entry for entries in look.markers.values() for entry in entries]
        with self._order.lock:
            state = self._order.state
            log_id, generation = state.log_id, state.generation
            ends = {shard: line.reach for shard, line in state.lines.items()} | look.ends
        wanted = {shard for shard, _, last in announced if last > ends.get(shard, 0)}
        landed = False
        for shard in sorted(wanted):
            name = names.slot(shard, ends.get(shard, 0) + 1, generation)
            stub = segment.encode_mark(Kind.STUB, log_id, shard, nonce=secrets.token_bytes(8))
            if not self._order.objects.create(name, stub):
                found = self._library.head(name)
                landed |= found is not None and found.kind is Kind.EVENTS
        return landed

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
        """Open the gate, or stop shutting it. Each time segments get names of a new kind: those that were refused, and
        perhaps are on their way, count no more, and nothing of theirs is in the way."""
        self._order.refresh()
        with self._order.lock:
            generation, closing = self._order.state.generation, self._order.state.closing
            if self._order.state.gate != expected:
                return False
            if expected == OPEN_GATE and closing is None:
                return True
        if closing is not None:
            self._refuse_writers()
        self._place_all()

        def decide(state: State) -> list[Operation] | None:
            if state.gate != expected or state.generation != generation:
                return None
            return [["gate", GateState.OPEN.value, ""]]

        return self._order.commit(decide)

    def _place_all(self) -> None:
        """All that was announced gets its position: behind a gate that is shut nothing is pending. A writer that slept
        for so long that its registration was reaped, and its guard collected, can announce what it likes then."""
        while pending := self._pendings.look().pending:
            with self._order.lock:
                head = self._order.state.head
            self._pendings.place(number([one.receipt for one in pending], after=head), after=head)

    def _replace(self, expected: Gate, operations: Sequence[Operation]) -> bool:
        self._order.refresh()
        return self._order.commit(lambda state: list(operations) if state.gate == expected else None)
