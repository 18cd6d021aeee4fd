"""What the steps of the order amount to: a pure fold, which is what a checkpoint holds.

Operations, by name and what follows it:

    made        format, log id, started_us               the first step; epoch 1
    place       see step.py                              receipts get positions
    seal        shard, seq                               finished there; a later `place` opens it again
    fence       shard                                    takes no appends any more
    packed      shard, first, last, id, size, freed      a pack holds these seqs instead of segments and other packs;
                                                         `freed`: what went with that, by retention class
    purged      shard, packs, kept                       deleted; the packs (first, last, id, size) have what is kept
    epoch       number, after, chain, started_us, reason
    closing     state, note                              no append from now on; `gate` follows once all writers know
    gate        state, note
    receive     log id, epochs, note                     the destination of a copy
    reaped      writer ids                               they are gone, or must register anew
    swept       -                                        packs that no step named till here may be deleted: who has
                                                         written some begins anew

Not here: reading and making steps (order_log.py), the bytes of a checkpoint (checkpoint.py).
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from ...engine.errors import UsageError
from ...engine.log.port import GENESIS, OPEN_GATE, Epoch, Gate, GateState, Head, ShardState
from . import names
from .segment import damaged
from .step import BLOCK, Operation, Row, Step, rows_of

FORMAT: Final = 1  #: of all that a log on objects consists of


def newer(what: str) -> UsageError:
    """The error of a log that a newer release has written."""
    error = UsageError(what)
    error.remedy = "Install the release that wrote it, or a newer one."
    return error


class Pack(NamedTuple):
    """Where a stretch of a shard lies."""

    first: int
    last: int
    id: str
    size: int  #: bytes
    k: int  #: of the step that made it known

    def name(self, shard: str) -> str:
        return names.pack(shard, self.first, self.last, self.id)


class Known(NamedTuple):
    """An append with a key of the caller's."""

    first_seq: int
    last_seq: int
    at_us: int
    digest: bytes


class Line:
    """One shard, as far as it has positions."""

    __slots__ = (
        "firsts",
        "kept",
        "keys",
        "last_position",
        "last_us",
        "name",
        "openings",
        "ordered_seq",
        "packs",
        "positions",
        "reach",
        "slots",
        "state",
        "weights",
    )

    def __init__(self, name: str, openings: array[int]) -> None:
        self.name = name
        self.openings = openings  #: the state's
        self.state = ShardState.OPEN
        self.ordered_seq = 0
        self.reach = 0  #: last seq of the segments begun: one of several appends may be placed in part
        self.last_us = 0  #: timestamp of its last receipt
        self.last_position = 0
        self.slots = array("Q")  #: first seqs of the segments that no pack holds
        self.firsts = array("Q")  #: first seqs of the receipts in these
        self.positions = array("Q")  #: and the positions of these
        self.packs: list[Pack] = []  #: in seq order
        self.kept: list[Pack] = []  #: of a purged shard: its kept records
        #: appends with keys of callers that no pack holds, by key; None: the headers of its segments tell
        self.keys: dict[bytes, Known] | None = {}
        self.weights: dict[int, list[int]] = {}  #: what can be read, by retention class: events, bytes

    def slot(self, seq: int) -> str:
        """The name of a segment that no pack holds, or that is to come."""
        if seq > self.ordered_seq or not self.openings:
            return names.slot(self.name, seq, len(self.openings))
        position = self.positions[bisect_right(self.firsts, seq) - 1]
        return names.slot(self.name, seq, bisect_left(self.openings, position))

    @property
    def packed_seq(self) -> int:
        """The last seq that a pack holds."""
        return self.packs[-1].last if self.packs else 0


class State:
    """The fold. Not thread-safe; who shares it, locks it."""

    def __init__(self) -> None:
        self.k = 0  #: steps taken in
        self.hash = bytes(16)  #: of the last one
        self.log_id = UUID(int=0)
        self.position = 0
        self.chain = GENESIS
        self.epochs: list[Epoch] = []
        self.openings = array("Q")  #: the position of the end, each time the gate was opened again
        self.gate = OPEN_GATE
        self.closing: Gate | None = None  #: what the gate is about to become
        self.lines: dict[str, Line] = {}
        self.writers: dict[str, int] = {}  #: by id: the last of its markers that the order has taken in
        self.sweeps = 0  #: how many steps said so
        #: of each block of steps, the one under way too: position and chain before it, and the types in it
        self.starts = array("Q")
        self.chains: list[bytes] = []
        self.masks: list[int] = []
        self.types: dict[str, int] = {}  #: number of each type, the bit in the masks

    @property
    def generation(self) -> int:
        """How often the gate was opened again: part of the names of segments."""
        return len(self.openings)

    @property
    def head(self) -> Head:
        return Head(self.log_id, self.epochs[-1].number, self.position, self.chain)

    def apply(self, step: Step) -> list[Row]:
        """Take in the next step; the receipts it has placed. Raises CorruptLogError if it does not fit."""
        name = names.order(step.k)
        if step.k != self.k or step.before != self.hash:
            raise damaged(name, "it does not follow the step before it: the log was restored, or two were mixed")
        if step.k % BLOCK == 0:
            self.starts.append(self.position)
            self.chains.append(self.chain)
            self.masks.append(0)
        unknown = [operation[0] for operation in step.operations if operation[0] not in _APPLY]
        if unknown:
            raise newer(f"{name} has an operation that this release does not know, {unknown[0]!r}")
        rows: list[Row] = []
        try:
            for operation in step.operations:
                rows += _APPLY[operation[0]](self, operation, step.k) or ()
        except UsageError:  # of a newer release, and a ValueError as well
            raise
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise damaged(name, f"it has an operation that cannot be taken in: {error!r}") from error
        self.k, self.hash = step.k + 1, step.hash
        return rows

    def line(self, shard: str) -> Line:
        """The line of a shard, made if need be."""
        found = self.lines.get(shard)
        if found is None:
            found = self.lines[shard] = Line(shard, self.openings)
        return found


def _made(state: State, operation: Operation, k: int) -> None:
    _, format, log_id, started_us = operation
    if format > FORMAT:
        raise newer(f"the log has format {format}, this release knows {FORMAT}")
    state.log_id = UUID(bytes=log_id)
    state.epochs = [Epoch(1, 0, GENESIS, started_us, "created")]


def _place(state: State, operation: Operation, k: int) -> list[Row]:
    found = rows_of(operation, state.position, state.chain)
    for row, reach, weights in found:
        receipt = row.placed.receipt
        line = state.line(receipt.shard)
        if receipt.first_seq != line.ordered_seq + 1:
            raise ValueError(f"shard {receipt.shard} goes on at {receipt.first_seq}, not {line.ordered_seq + 1}")
        if reach:
            line.slots.append(receipt.first_seq)
        line.firsts.append(receipt.first_seq)
        line.positions.append(row.placed.position)
        line.ordered_seq = receipt.last_seq
        line.reach = max(line.reach, reach, receipt.last_seq)
        line.last_us, line.last_position = receipt.at_us, row.placed.last_position
        if line.state is ShardState.SEALED:
            line.state = ShardState.OPEN
        if row.keyed and line.keys is not None:
            line.keys[receipt.key.bytes] = Known(receipt.first_seq, receipt.last_seq, receipt.at_us, receipt.digest)
        for kind, (events, size) in weights.items():
            weight = line.weights.setdefault(kind, [0, 0])
            weight[0] += events
            weight[1] += size
        for type in sorted(row.types):  # a set has another order in each process
            state.masks[-1] |= 1 << state.types.setdefault(type, len(state.types))
    if found:
        state.position, state.chain = found[-1][0].placed.last_position, found[-1][0].placed.chain
    for id, n in operation[5]:
        state.writers[id] = max(n, state.writers.get(id, 0))
    return [row for row, _, _ in found]


def _seal(state: State, operation: Operation, k: int) -> None:
    _, shard, seq = operation
    line = state.lines[shard]
    if line.state is ShardState.OPEN and line.ordered_seq == seq:
        line.state, line.keys = ShardState.SEALED, None


def _fence(state: State, operation: Operation, k: int) -> None:
    line = state.line(operation[1])  # nothing of it may have a position yet
    if line.state is not ShardState.PURGED:
        line.state = ShardState.FENCED


def _packed(state: State, operation: Operation, k: int) -> None:
    _, shard, first, last, id, size, freed = operation
    line = state.lines[shard]
    inside = [pack for pack in line.packs if pack.first >= first and pack.last <= last]
    line.packs = [pack for pack in line.packs if pack not in inside] + [Pack(first, last, id, size, k)]
    line.packs.sort()
    line.slots = array("Q", [seq for seq in line.slots if seq > last])
    keep = [index for index, seq in enumerate(line.firsts) if seq > last]
    line.firsts = array("Q", [line.firsts[index] for index in keep])
    line.positions = array("Q", [line.positions[index] for index in keep])
    if line.keys:
        line.keys = {key: known for key, known in line.keys.items() if known.first_seq > last}
    for kind, (events, weighed) in freed.items():
        weight = line.weights[kind]
        weight[0] -= events
        weight[1] -= weighed
    line.weights = {kind: weight for kind, weight in line.weights.items() if weight[0]}


def _purged(state: State, operation: Operation, k: int) -> None:
    _, shard, packs, kept = operation
    line = state.lines[shard]
    line.state, line.keys = ShardState.PURGED, None
    line.packs, line.slots, line.firsts, line.positions = [], array("Q"), array("Q"), array("Q")
    line.kept = [Pack(first, last, id, size, k) for first, last, id, size in packs]
    line.weights = {kind: list(weight) for kind, weight in kept.items()}


def _epoch(state: State, operation: Operation, k: int) -> None:
    state.epochs.append(Epoch(*operation[1:]))


def _closing(state: State, operation: Operation, k: int) -> None:
    state.closing = Gate(GateState(operation[1]), operation[2])


def _gate(state: State, operation: Operation, k: int) -> None:
    gate = Gate(GateState(operation[1]), operation[2])
    if gate.state is GateState.OPEN:  # all that was announced has its position by now, and nothing else counts
        state.openings.append(state.position)
    state.gate, state.closing = gate, None


def _receive(state: State, operation: Operation, k: int) -> None:
    _, log_id, epochs, note = operation
    state.log_id, state.epochs = UUID(bytes=log_id), [Epoch(*epoch) for epoch in epochs]
    state.gate, state.closing = Gate(GateState.RECEIVING, note), None


def _reaped(state: State, operation: Operation, k: int) -> None:
    for id in operation[1]:
        state.writers.pop(id, None)


def _swept(state: State, operation: Operation, k: int) -> None:
    state.sweeps += 1


_APPLY: Final[dict[str, Callable[[State, Operation, int], Sequence[Row] | None]]] = {
    "made": _made,
    "place": _place,
    "seal": _seal,
    "fence": _fence,
    "packed": _packed,
    "purged": _purged,
    "epoch": _epoch,
    "closing": _closing,
    "gate": _gate,
    "receive": _receive,
    "reaped": _reaped,
    "swept": _swept,
}
