"""The bytes of a snapshot of views: a SQLite file of views, compressed, with what it was folded from and a checksum.

    "foldview" | length of the head (4, big-endian) | head: JSON | the file, zlib | BLAKE2b-256 of all before

Promises: a snapshot that was cut short or altered is refused whole. Memory: the compressed bytes, never the file.
Not here: where snapshots are kept (kept_views.py), whether one fits a log (the same).
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import CorruptLogError

FORMAT: Final = 1  #: also a part of the names, so that nobody fetches what it cannot read
MAGIC: Final = b"foldview"
DIGEST: Final = 32  #: bytes
_LENGTH: Final = 4
_CHUNK: Final = 1 << 20
_LEVEL: Final = 3  #: of zlib: the higher ones cost a multiple of the time for a tenth of the bytes


class Heading(NamedTuple):
    """What a snapshot says of itself."""

    log_id: str  #: 32 hex digits
    position: int  #: of the view that has got furthest
    cursor: str  #: there
    size: int  #: bytes of the SQLite file


def pack(path: Path, *, log_id: str, position: int, cursor: str) -> bytes:
    """The snapshot of a SQLite file that nobody has open."""
    about = Heading(log_id, position, cursor, path.stat().st_size)
    head = json.dumps({"format": FORMAT, **about._asdict()}).encode()
    parts = [MAGIC, len(head).to_bytes(_LENGTH, "big"), head, *_compressed(path)]
    digest = blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(part)
    return b"".join([*parts, digest.digest()])


def heading(data: bytes) -> Heading:
    """What a snapshot says of itself. Raises CorruptLogError unless every byte is as it was packed."""
    return _split(data)[0]


def unpack(data: bytes, path: Path) -> None:
    """Write the SQLite file of a snapshot, durably. Raises CorruptLogError for one that is damaged, OSError if the disk
    does not take it."""
    about, packed = _split(data)
    written = 0
    with path.open("xb") as file:
        for part in _expanded(packed):
            written += len(part)
            if written > about.size:
                break
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
    if written != about.size:
        raise CorruptLogError(f"a snapshot of views says that it holds {about.size:,} bytes, and does not")


def _split(data: bytes) -> tuple[Heading, memoryview]:
    """The heading, and the compressed file."""
    view, begin = memoryview(data), len(MAGIC) + _LENGTH
    if data[: len(MAGIC)] != MAGIC or len(data) < begin + DIGEST:
        raise CorruptLogError("this is no snapshot of views, or only a part of one")
    if blake2b(view[:-DIGEST], digest_size=DIGEST).digest() != data[-DIGEST:]:
        raise CorruptLogError("the bytes of the snapshot are not those that its checksum was made of")
    length = int.from_bytes(view[len(MAGIC) : begin], "big")
    try:
        said = json.loads(bytes(view[begin : begin + length]))
        about = Heading(str(said["log_id"]), int(said["position"]), str(said["cursor"]), int(said["size"]))
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptLogError(f"the head of the snapshot cannot be read: {error!r}") from error
    return about, view[begin + length : -DIGEST]


def _compressed(path: Path) -> Iterator[bytes]:
    packer = zlib.compressobj(_LEVEL)
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            yield packer.compress(part)
    yield packer.flush()


def _expanded(packed: memoryview) -> Iterator[bytes]:
    """The file again, a bounded part at a time, however much some bytes expand to."""
    unpacker = zlib.decompressobj()
    try:
        for at in range(0, len(packed), _CHUNK):
            rest: bytes | memoryview = packed[at : at + _CHUNK]
            while rest:
                yield unpacker.decompress(rest, _CHUNK)
                rest = unpacker.unconsumed_tail
        yield unpacker.flush()
    except zlib.error as error:
        raise CorruptLogError(f"the snapshot cannot be expanded: {error}") from error
