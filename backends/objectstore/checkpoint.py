"""The bytes of a checkpoint: the state before a step, in one object.

b"foldckp1", zlib of msgpack, then blake2b-128 of all before it. A checkpoint that is damaged is passed over: an older
one, or the steps from the first on, come to the same state.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from hashlib import blake2b
from typing import Any, Final
from uuid import UUID

import msgpack

from ...engine.log.port import Epoch, Gate, GateState, ShardState
from .segment import damaged
from .state import Known, Line, Pack, State

MAGIC: Final = b"foldckp1"


def encode(state: State) -> bytes:
    """All that a state holds."""
    closing = None if state.closing is None else [state.closing.state.value, state.closing.note]
    whole = [
        [state.k, state.hash, state.log_id.bytes, state.position, state.chain, state.sweeps],
        [list(epoch) for epoch in state.epochs],
        [state.gate.state.value, state.gate.note],
        closing,
        _numbers(state.openings),
        [_numbers(state.starts), b"".join(state.chains), [_mask(mask) for mask in state.masks], list(state.types)],
        state.writers,
        [_line(line) for line in state.lines.values()],
    ]
    body = MAGIC + zlib.compress(msgpack.packb(whole), 1)
    return body + blake2b(body, digest_size=16).digest()


def decode(data: bytes, name: str) -> State:
    """Raises CorruptLogError for one that is torn or altered."""
    if not data.startswith(MAGIC) or blake2b(data[:-16], digest_size=16).digest() != data[-16:]:
        raise damaged(name, "it is no checkpoint, or its bytes are altered")
    first, epochs, gate, closing, openings, blocks, writers, lines = msgpack.unpackb(
        zlib.decompress(data[8:-16]), strict_map_key=False
    )
    state = State()
    state.k, state.hash, log_id, state.position, state.chain, state.sweeps = first
    state.log_id = UUID(bytes=log_id)
    state.epochs = [Epoch(*epoch) for epoch in epochs]
    state.gate = Gate(GateState(gate[0]), gate[1])
    state.closing = None if closing is None else Gate(GateState(closing[0]), closing[1])
    state.openings = _array(openings)
    starts, chains, masks, types = blocks
    state.starts = _array(starts)
    state.chains = [chains[at : at + 16] for at in range(0, len(chains), 16)]
    state.masks = [int.from_bytes(mask) for mask in masks]
    state.types = {type: number for number, type in enumerate(types)}
    state.writers = writers
    for row in lines:
        line = _from(row, state.openings)
        state.lines[line.name] = line
    return state


def _line(line: Line) -> list[Any]:
    keys = None if line.keys is None else [[key, *known] for key, known in line.keys.items()]
    where = [_numbers(line.slots), _numbers(line.firsts), _numbers(line.positions)]
    packs = [list(pack) for pack in line.packs]
    kept = [list(pack) for pack in line.kept]
    life = [line.state.value, line.ordered_seq, line.reach, line.last_us, line.last_position]
    return [line.name, *life, *where, packs, kept, keys, line.weights]


def _from(row: list[Any], openings: array[int]) -> Line:
    (
        name,
        state,
        ordered,
        reach,
        last_us,
        last_position,
        slots,
        firsts,
        positions,
        packs,
        kept,
        keys,
        weights,
    ) = row
    line = Line(name, openings)
    line.state, line.ordered_seq, line.reach = ShardState(state), ordered, reach
    line.last_us, line.last_position = last_us, last_position
    line.slots, line.firsts, line.positions = _array(slots), _array(firsts), _array(positions)
    line.packs = [Pack(*pack) for pack in packs]
    line.kept = [Pack(*pack) for pack in kept]
    line.keys = None if keys is None else {key: Known(*known) for key, *known in keys}
    line.weights = weights
    return line


def _mask(mask: int) -> bytes:
    return mask.to_bytes((mask.bit_length() + 7) // 8)


def _numbers(numbers: array[int]) -> bytes:
    """Little endian, whatever the machine."""
    if sys.byteorder == "big":
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers.tobytes()


def _array(data: bytes) -> array[int]:
    numbers = array("Q")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
