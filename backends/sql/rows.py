"""Rows to the port's words and back: states, checksums, records."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

from ...engine.errors import CorruptLogError
from ...engine.log.port import Placed, Record, ShardState, Stored

Row = tuple[Any, ...]

#: as stored in `shard.state`; the numbers are part of the format
OPEN, SEALED, FENCED, PURGED = range(4)
STATES = (ShardState.OPEN, ShardState.SEALED, ShardState.FENCED, ShardState.PURGED)

#: a server's numbers end here; what lies past it is past every seq and position
BIGGEST = 2**63 - 1

FREED = ""  #: the type of a record whose body was freed, and of the guard behind a fenced shard; no other has it


def checksum(shard: str, seq: int, record: Record) -> int:
    """The CRC-32 of a record at its place: a row that was altered, or put elsewhere, does not match."""
    where = f"{shard}\0{seq}\0{record.type}\0{record.ts_us}\0{record.topics}"
    return zlib.crc32(record.body, zlib.crc32(where.encode()))


def checksums(shard: str, first_seq: int, records: Sequence[Record]) -> list[int]:
    """`checksum` of records that follow each other."""
    crc32, start = zlib.crc32, zlib.crc32(f"{shard}\0".encode())
    return [
        crc32(body, crc32(f"{seq}\0{type}\0{ts_us}\0{topics}".encode(), start))
        for seq, (type, ts_us, topics, body) in enumerate(records, first_seq)
    ]


def receipt_checksum(placed: Placed) -> int:
    """The CRC-32 of a row of the timeline, as a number with a sign: four bytes of a row instead of eight."""
    position, (shard, first_seq, _, key, at_us, digest, _), chain = placed
    numbers = struct.pack(">QQIQ", position, first_seq, placed.receipt.size, at_us)
    return signed(zlib.crc32(b"".join((numbers, key.bytes, digest, chain, shard.encode()))))


def signed(crc: int) -> int:
    """32 bits as a number with a sign."""
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def stored(row: Row) -> Stored:
    """The record of a row (shard, seq, position, type, ts_us, topics, crc, body), checked."""
    shard, seq, position, type, ts_us, topics, crc, body = row
    return page_of(shard, [(0, seq, type, ts_us, topics, crc, body)], [position])[0]


def page_of(shard: str, rows: Sequence[Row], positions: Sequence[int | None]) -> list[Stored]:
    """The records of rows (shard_id, seq, type, ts_us, topics, crc, body) of one shard, checked."""
    page: list[Stored] = []
    add, new, crc32 = page.append, tuple.__new__, zlib.crc32  # once a record: half the cost of a call by name
    start = crc32(f"{shard}\0".encode())
    for (_, seq, type, ts_us, topics, crc, body), position in zip(rows, positions, strict=True):
        body = bytes(body)
        if crc32(body, crc32(f"{seq}\0{type}\0{ts_us}\0{topics}".encode(), start)) != crc:
            raise CorruptLogError(
                f"shard {shard}: seq {seq} does not match its checksum; its row was altered or damaged"
            )
        add(new(Stored, (shard, seq, position, new(Record, (type, ts_us, topics, body)))))
    return page
