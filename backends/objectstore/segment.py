"""The bytes of a segment: appends of one shard in one object. A pack is a segment of many.

    bytes 0-7    b"foldseg1"
    8            kind: 1 events, 2 a fence, 3 a stub
    9-12         bytes of the header, big endian
    13-          the header, msgpack; then its CRC-32
    then         a chunk for each append: zlib of a table (24 bytes a record) and the bodies, one behind the other
    last 24      blake2b-128 of all that stands before, b"foldend1"

The header has the receipts, and of each append which types and how much of each retention class can be read in its
chunk: what orders and finds appends needs no chunk. A record of a pack may be freed: the table has it, without a type
and a body. Promises: a torn or altered object is told, and named, before anything of it is used.
Not here: what the objects are called (names.py), who writes them when (appending.py, packing.py).
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgpack

from ...engine.errors import CorruptLogError
from ...engine.log.port import RETENTION_MASK, Receipt, Record, Weight

MAGIC: Final = b"foldseg1"
END: Final = b"foldend1"
FOOTER: Final = 24
HEAD_BYTES: Final = 16 * 1024  #: of an object, have its header as a rule; and most objects are not longer
_FIXED: Final = struct.Struct(">8sBI")
_CRC: Final = struct.Struct(">I")
_ROW: Final = struct.Struct(">iqIII")  #: type by its number (-1: freed), ts_us, topics, bytes of body, CRC-32 of it
_LEVEL: Final = 1  #: of zlib: the next costs a third more time and saves two percent


class Kind(IntEnum):
    """What stands in a slot."""

    EVENTS = 1
    FENCE = 2  #: the shard ends here, for ever
    STUB = 3  #: its events are elsewhere now, or gone: the order knows


class Item(NamedTuple):
    """One append as it goes into a segment. `position`: of its first event, 0 where it has none yet."""

    receipt: Receipt
    keyed: bool
    position: int
    records: Sequence[Record | None]


class Part(NamedTuple):
    """One append as a header tells of it."""

    receipt: Receipt
    keyed: bool  #: whether its key was the caller's
    position: int  #: of its first event, where it had one when this was written; else 0
    types: tuple[str, ...]  #: of what can be read
    weights: Mapping[int, Weight]  #: of what can be read, by retention class
    start: int  #: of its chunk in the object
    length: int


class Segment(NamedTuple):
    """A header, taken apart."""

    name: str
    kind: Kind
    log_id: UUID
    shard: str
    nonce: bytes  #: who wrote it can tell it from another's
    parts: tuple[Part, ...]
    types: tuple[str, ...]

    @property
    def first_seq(self) -> int:
        return self.parts[0].receipt.first_seq

    @property
    def last_seq(self) -> int:
        return self.parts[-1].receipt.last_seq

    def find_part(self, seq: int) -> Part | None:
        """The append that holds a seq; None if none does."""
        at = bisect_right(self.parts, seq, key=_first_seq) - 1
        return self.parts[at] if at >= 0 and seq <= self.parts[at].receipt.last_seq else None


def _first_seq(part: Part) -> int:
    return part.receipt.first_seq


def damaged(name: str, what: str) -> CorruptLogError:
    """The error of an object that is not as it was written."""
    error = CorruptLogError(f"object {name}: {what}")
    error.remedy = (
        "Stop writing, run `foldlog doctor --full`, and restore the named object: from a copy of the bucket, or as an "
        "older version of it, if the bucket keeps some."
    )
    return error


# -- writing -----------------------------------------------------------------------------------------------------------


def encode(log_id: UUID, shard: str, items: Sequence[Item], *, nonce: bytes) -> bytes:
    """A segment of one or more appends, in seq order without a gap."""
    types: dict[str, int] = {}
    chunks = [_chunk(item.records, types) for item in items]
    rows = [_row(item, len(chunk), types) for item, chunk in zip(items, chunks, strict=True)]
    return _object(Kind.EVENTS, [log_id.bytes, shard, nonce, list(types), rows], chunks)


def encode_mark(kind: Kind, log_id: UUID, shard: str, *, nonce: bytes) -> bytes:
    """A fence or a stub."""
    return _object(kind, [log_id.bytes, shard, nonce, [], []], [])


def _object(kind: Kind, header: list[Any], chunks: Sequence[bytes]) -> bytes:
    packed = msgpack.packb(header)
    head = _FIXED.pack(MAGIC, kind, len(packed)) + packed
    whole = b"".join([head, _CRC.pack(zlib.crc32(head)), *chunks])
    return b"".join([whole, blake2b(whole, digest_size=16).digest(), END])


def _chunk(records: Sequence[Record | None], types: dict[str, int]) -> bytes:
    pack, crc32 = _ROW.pack, zlib.crc32
    table, bodies = [], []
    for record in records:
        if record is None:
            table.append(pack(-1, 0, 0, 0, 0))
            continue
        type, ts_us, topics, body = record
        table.append(pack(types.setdefault(type, len(types)), ts_us, topics, len(body), crc32(body)))
        bodies.append(body)
    return zlib.compress(b"".join(table + bodies), _LEVEL)


def _row(item: Item, length: int, types: Mapping[str, int]) -> list[Any]:
    receipt, keyed, position, records = item
    weights: dict[int, list[int]] = {}
    held: dict[int, None] = {}
    for record in records:
        if record is not None:
            weight = weights.setdefault(record.topics & RETENTION_MASK, [0, 0])
            weight[0] += 1
            weight[1] += len(record.body)
            held[types[record.type]] = None
    where = [receipt.first_seq, receipt.size, receipt.key.bytes, receipt.at_us, receipt.digest]
    return [*where, keyed, position, length, list(held), weights]


# -- reading -----------------------------------------------------------------------------------------------------------


def parse(data: bytes, name: str) -> Segment | None:
    """The header of an object, or None if `data`, its beginning, does not have all of it.

    Raises CorruptLogError if it is damaged, or no segment.
    """
    if len(data) < _FIXED.size:
        raise damaged(name, f"it is torn: {len(data)} bytes are left")
    magic, number, size = _FIXED.unpack_from(data)
    if magic != MAGIC:
        raise damaged(name, "it is no segment of a foldlog log, or its beginning is altered")
    end = _FIXED.size + size
    if len(data) < end + _CRC.size:
        return None
    if _CRC.unpack_from(data, end)[0] != zlib.crc32(data[:end]):
        raise damaged(name, "its header is altered")
    try:
        log_id, shard, nonce, types, rows = msgpack.unpackb(data[_FIXED.size : end], strict_map_key=False)
        parts = _parts(shard, types, rows, end + _CRC.size)
        return Segment(name, Kind(number), UUID(bytes=log_id), shard, nonce, parts, tuple(types))
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as error:
        raise damaged(name, f"its header is of an unknown form: {error}") from error


def _parts(shard: str, types: Sequence[str], rows: Sequence[Sequence[Any]], start: int) -> tuple[Part, ...]:
    parts = []
    for first, size, key, at_us, digest, keyed, position, length, held, weights in rows:
        receipt = Receipt(shard, first, first + size - 1, UUID(bytes=key), at_us, digest)
        weighed = {kind: Weight(*weight) for kind, weight in weights.items()}
        parts.append(Part(receipt, keyed, position, tuple([types[one] for one in held]), weighed, start, length))
        start += length
    return tuple(parts)


def check_whole(data: bytes, name: str) -> None:
    """Raise CorruptLogError unless `data` is an object as it was written."""
    if data[-8:] != END or len(data) < FOOTER:
        raise damaged(name, "it is torn: its end is missing")
    if blake2b(memoryview(data)[:-FOOTER], digest_size=16).digest() != data[-FOOTER:-8]:
        raise damaged(name, "its bytes are altered")


def records(segment: Segment, part: Part, chunk: bytes) -> list[Record | None]:
    """What the chunk of an append holds; None where a record was freed. Each body is checked."""
    try:
        plain = zlib.decompress(chunk)
    except zlib.error as error:
        raise damaged(segment.name, f"the append at seq {part.receipt.first_seq} is torn or altered") from error
    size = part.receipt.size
    at = size * _ROW.size
    if len(plain) < at:
        raise damaged(segment.name, f"the append at seq {part.receipt.first_seq} lacks records")
    types, crc32, new = segment.types, zlib.crc32, tuple.__new__
    found: list[Record | None] = []
    for number, ts_us, topics, length, crc in _ROW.iter_unpack(memoryview(plain)[:at]):
        if number < 0:
            found.append(None)
            continue
        body = plain[at : at + length]
        at += length
        if crc32(body) != crc:
            raise damaged(segment.name, f"the body at seq {part.receipt.first_seq + len(found)} is altered")
        found.append(new(Record, (types[number], ts_us, topics, body)))
    return found
