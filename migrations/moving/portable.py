"""A log as one file: blocks with checksums, behind one another, readable as a stream. Format 1: docs/format.md.

    8 bytes  MAGIC
    blocks   head (22 bytes): kind, compression, number, stored length, plain length, CRC-32 of what is stored, CRC-32
             of the head before it; then what is stored: msgpack, compressed

Promises: a file that was cut off, altered, or put together from several is refused, with the place; memory is bounded
by a block, whatever the bytes say. Not here: what is in the blocks (exporting.py, importing.py).
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from hashlib import blake2b
from typing import Any, BinaryIO, Final, NamedTuple

import msgpack

from ...engine.errors import CorruptLogError, FoldlogError, UsageError

FORMAT: Final = 1
MAGIC: Final = b"foldlog\x01"
PLAIN_BYTES: Final = 64 * 1024 * 1024  #: of one block, at most; an append has 16 MiB
_HEAD = struct.Struct(">BBIIII")
_CRC = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size + _CRC.size
SUM_BYTES: Final = 32


class Kind(IntEnum):
    """What a block holds."""

    HEADER = 1
    ENTRIES = 2
    SHARDS = 3
    FOOTER = 4


COMPRESSIONS: Final = ("none", "zlib", "lzma")  #: by their numbers
_PRESS: dict[str, Callable[[bytes], bytes]] = {
    "none": bytes,
    "zlib": lambda plain: zlib.compress(plain, 6),
    "lzma": lambda plain: lzma.compress(plain, preset=1),
}
# What unpacking may raise on bytes that are not what they should be.
_DAMAGE = (msgpack.UnpackException, ValueError, TypeError, KeyError, IndexError, zlib.error, lzma.LZMAError)


class Block(NamedTuple):
    """One block as it was read."""

    kind: Kind
    offset: int  #: of its head in the file
    content: Any


class BlockWriter:
    """Writes a file of blocks to a stream."""

    def __init__(self, stream: BinaryIO, compression: str) -> None:
        if compression not in COMPRESSIONS:
            raise UsageError(f"compression={compression!r} is not one of {', '.join(COMPRESSIONS)}")
        self._stream = stream
        self._compression = compression
        self._number = 0
        self._sum = blake2b(digest_size=SUM_BYTES)
        self.written = 0
        self._put(MAGIC)

    def block(self, kind: Kind, content: Any) -> None:
        """Write a block. `content`: what msgpack knows."""
        plain = msgpack.packb(content, use_bin_type=True)
        stored = _PRESS[self._compression](plain)
        number = COMPRESSIONS.index(self._compression)
        head = _HEAD.pack(kind, number, self._number, len(stored), len(plain), zlib.crc32(stored))
        self._put(head + _CRC.pack(zlib.crc32(head)) + stored)
        self._number += 1

    def end(self, content: dict[str, Any]) -> None:
        """Write the last block, with the checksum of all before it."""
        self.block(Kind.FOOTER, {**content, "blake2b": self._sum.digest()})
        self._stream.flush()

    def _put(self, data: bytes) -> None:
        self._stream.write(data)
        self._sum.update(data)
        self.written += len(data)


class BlockReader:
    """Reads a file of blocks from a stream, each checked before it is handed out."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self.name = name
        self._offset = 0
        self._number = 0
        self._sum = blake2b(digest_size=SUM_BYTES)

    def __iter__(self) -> Iterator[Block]:
        """All blocks; the last one is the footer. Raises CorruptLogError at the first that is not as it was written."""
        magic = self._stream.read(len(MAGIC))
        if magic != MAGIC:
            raise self._no_export(magic)
        self._take(magic)
        while True:
            before = self._sum.digest()
            block = self._block()
            if block.kind is Kind.FOOTER:
                if block.content.get("blake2b") != before:
                    raise self._damaged(block.offset, "its footer is that of other blocks")
                if self._stream.read(1):
                    raise self._damaged(self._offset, "something follows its end")
                yield block
                return
            yield block

    def _no_export(self, magic: bytes) -> FoldlogError:
        if not magic or (len(magic) < len(MAGIC) and MAGIC.startswith(magic)):
            return self._damaged(0, "it is cut off" if magic else "it is empty")
        error: FoldlogError = UsageError(f"{self.name} is no export of a log: it begins with {magic[:8]!r}")
        error.remedy = "Name a file that `foldlog export` has written in its own format, not JSON lines or Parquet."
        if magic[:-1] == MAGIC[:-1]:
            error = CorruptLogError(f"{self.name} has export format {magic[7]}, this release reads format {FORMAT}")
            error.remedy = "Install a newer foldlog; an older one cannot read what a newer one has written."
        return error

    def _block(self) -> Block:
        offset = self._offset
        raw = self._read(HEAD_BYTES, offset)
        head, (check,) = raw[: _HEAD.size], _CRC.unpack(raw[_HEAD.size :])
        if zlib.crc32(head) != check:
            raise self._damaged(offset, f"the head of block {self._number} was altered")
        kind, compression, number, stored_bytes, plain_bytes, crc = _HEAD.unpack(head)
        if kind not in Kind.__members__.values() or compression >= len(COMPRESSIONS) or plain_bytes > PLAIN_BYTES:
            raise self._damaged(offset, f"block {number} is of a kind that no export has")
        if number != self._number:
            raise self._damaged(offset, f"block {number} stands where block {self._number} belongs")
        stored = self._read(stored_bytes, offset)
        if zlib.crc32(stored) != crc:
            raise self._damaged(offset, f"block {number} was altered")
        try:
            plain = _unpressed(COMPRESSIONS[compression], stored, plain_bytes)
            content = msgpack.unpackb(plain, raw=False, strict_map_key=False)
        except _DAMAGE as error:
            raise self._damaged(offset, f"block {number} cannot be unpacked: {error}") from error
        self._number += 1
        return Block(Kind(kind), offset, content)

    def _read(self, size: int, offset: int) -> bytes:
        parts, left = [], size
        while left:  # a pipe gives what it has; and no length that was altered makes a buffer
            part = self._stream.read(min(left, 1 << 20))
            if not part:
                raise self._damaged(offset, f"it ends within block {self._number}, which is cut off")
            parts.append(part)
            left -= len(part)
        data = b"".join(parts)
        self._take(data)
        return data

    def _take(self, data: bytes) -> None:
        self._sum.update(data)
        self._offset += len(data)

    def _damaged(self, offset: int, fault: str) -> CorruptLogError:
        error = CorruptLogError(f"{self.name} is damaged at byte {offset:,}: {fault}")
        error.remedy = "Export the log again, or fetch the file again; what was imported so far stays closed."
        return error

    def malformed(self, block: Block, fault: object) -> CorruptLogError:
        """The error for a block that is whole, and says what cannot be."""
        return self._damaged(block.offset, f"block of kind {block.kind.name} makes no sense: {fault}")


def _unpressed(compression: str, stored: bytes, size: int) -> bytes:
    """What was compressed, and not a byte more: the bytes may be made to swell."""
    if compression == "none":
        plain = stored
    elif compression == "zlib":
        plain = zlib.decompressobj().decompress(stored, size + 1)
    else:
        plain = lzma.LZMADecompressor().decompress(stored, max_length=size + 1)
    if len(plain) != size:
        raise ValueError(f"{len(plain):,} bytes came out where {size:,} were put in")
    return plain
