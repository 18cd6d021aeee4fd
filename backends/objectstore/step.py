"""One step of the order: an object that says what changed, and what came before it.

    bytes 0-7   b"foldord1"
    8-          msgpack: [hash of the step before, nonce, at_us, operations]
    last 4      CRC-32 of all that stands before

Steps are dense and create-only, so their sequence is one history for all: giving positions, sealing, deleting, packing
and closing the gate are each one step, and whoever comes second finds the slot taken. An operation is a list that
begins with its name; state.py says what each does. A block is 64 steps behind one another, each with its length.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgpack

from ...engine.log.chain import link
from ...engine.log.port import Placed, Receipt, Weight
from .segment import damaged

MAGIC: Final = b"foldord1"
BLOCK: Final = 64  #: steps in a block
_CRC: Final = struct.Struct(">I")
_BLOCK_MAGIC: Final = b"foldblk1"

Operation = list[Any]


class Step(NamedTuple):
    """A step, taken apart."""

    k: int
    before: bytes  #: hash of the step before; 16 zeros for the first
    nonce: bytes
    at_us: int  #: by the clock of who made it; for people
    operations: list[Operation]
    hash: bytes


class Row(NamedTuple):
    """A receipt of the timeline, and what is known of it without opening its segment."""

    placed: Placed
    keyed: bool
    types: frozenset[str]  #: when it was placed; a trim takes some away
    bytes: int  #: of its bodies, likewise


def encode(before: bytes, nonce: bytes, at_us: int, operations: Sequence[Operation]) -> bytes:
    body: bytes = MAGIC + msgpack.packb([before, nonce, at_us, list(operations)])
    return body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes, name: str, k: int) -> Step:
    """Raises CorruptLogError for a step that is torn, altered or of another program."""
    if not data.startswith(MAGIC):
        raise damaged(name, "it is no step of a foldlog order")
    if len(data) < 13 or _CRC.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
        raise damaged(name, "it is torn, or its bytes are altered")
    try:
        before, nonce, at_us, operations = msgpack.unpackb(data[8:-4], strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise damaged(name, f"it is of an unknown form: {error}") from error
    return Step(k, before, nonce, at_us, operations, hash_of(data))


def hash_of(data: bytes) -> bytes:
    """What the next step says of this one."""
    return blake2b(data, digest_size=16).digest()


def encode_block(steps: Sequence[bytes]) -> bytes:
    """64 steps in one object: the same bytes, whoever makes it."""
    return _BLOCK_MAGIC + zlib.compress(msgpack.packb(list(steps)), 6)


def decode_block(data: bytes, name: str) -> list[bytes]:
    """The steps of a block, as they were written."""
    try:
        if not data.startswith(_BLOCK_MAGIC):
            raise ValueError("its beginning is altered")
        steps: list[bytes] = msgpack.unpackb(zlib.decompress(data[8:]))
    except (ValueError, zlib.error, msgpack.UnpackException) as error:
        raise damaged(name, f"it is no block of steps: {error}") from error
    if len(steps) != BLOCK:
        raise damaged(name, f"it holds {len(steps)} steps, not {BLOCK}")
    return steps


# -- placing -----------------------------------------------------------------------------------------------------------


class Pending(NamedTuple):
    """A receipt that can be placed, and what its segment says of it."""

    receipt: Receipt
    keyed: bool
    reach: int  #: where a segment begins with it: the last seq of that segment; else 0
    types: Sequence[str]
    weights: dict[int, Weight]


def place(placed: Sequence[Placed], pending: Sequence[Pending], markers: Sequence[tuple[str, int]]) -> Operation:
    """The operation that gives receipts their positions. `markers`: those whose appends all have one now."""
    shards: dict[str, int] = {}
    types: dict[str, int] = {}
    rows = []
    for receipt, keyed, reach, held, weights in pending:
        row: list[Any] = [shards.setdefault(receipt.shard, len(shards)), reach, receipt.first_seq, receipt.size]
        row += [receipt.key.bytes, receipt.at_us, receipt.digest, keyed]
        row += [[types.setdefault(one, len(types)) for one in held], {kind: list(w) for kind, w in weights.items()}]
        rows.append(row)
    chain = placed[-1].chain if placed else b""
    return ["place", list(shards), list(types), rows, chain, [list(one) for one in markers]]


def rows_of(operation: Operation, position: int, chain: bytes) -> list[tuple[Row, int, dict[int, list[int]]]]:
    """The receipts of a `place` behind a position and its chain: each row, how far the segment reaches that begins
    with it (0: none does), and its weights. Raises ValueError if the chain does not come out as it was written."""
    _, shards, names, rows, written, _ = operation
    found = []
    for shard, reach, first, size, key, at_us, digest, keyed, held, weights in rows:
        receipt = Receipt(shards[shard], first, first + size - 1, UUID(bytes=key), at_us, digest)
        chain = link(chain, receipt)
        size_in_bytes = sum([weight[1] for weight in weights.values()])
        row = Row(Placed(position + 1, receipt, chain), keyed, frozenset([names[one] for one in held]), size_in_bytes)
        found.append((row, reach, weights))
        position += size
    if rows and chain != written:
        raise ValueError("the hash chain does not come out as it was written")
    return found
