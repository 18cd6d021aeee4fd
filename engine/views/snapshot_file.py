"""The bytes of a snapshot of views: a SQLite file in compressed parts, and a heading that tells what they are of.

    heading   "foldview" | length of the JSON (4, big-endian) | JSON | BLAKE2b-256 of all before
    part n    zlib of the bytes from n * 8 MiB to (n + 1) * 8 MiB of the file

Promises: what was cut short or altered is refused, part by part. Memory: one part, however large the file is.
Not here: where snapshots are kept (kept_views.py), whether one fits a log (the same).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Final, NamedTuple

from ..errors import CorruptLogError

FORMAT: Final = 1  #: also a part of the names, so that nobody fetches what it cannot read
MAGIC: Final = b"foldview"
PART: Final = 8 * 1024 * 1024  #: bytes of the file
DIGEST: Final = 32  #: bytes
_LENGTH: Final = 4
_LEVEL: Final = 1  #: of zlib: the higher ones cost a multiple of the time for a tenth of the bytes


class Heading(NamedTuple):
    """What a snapshot says of itself."""

    log_id: str  #: 32 hex digits
    position: int  #: of the view that has got furthest
    cursor: str  #: there
    size: int  #: bytes of the SQLite file
    part: int  #: bytes of it that a part holds; the last one may hold less
    parts: list[str]  #: digest of each, in hex


def parts_of(path: Path) -> Iterator[bytes]:
    """The parts of a SQLite file that nobody has open."""
    with path.open("rb") as file:
        while content := file.read(PART):
            yield zlib.compress(content, _LEVEL)


def digest_of(part: bytes) -> str:
    """What a heading says of a part."""
    return blake2b(part, digest_size=DIGEST).hexdigest()


def write_heading(about: Heading) -> bytes:
    """The bytes of a heading."""
    said = json.dumps({"format": FORMAT, **about._asdict()}).encode()
    data = MAGIC + len(said).to_bytes(_LENGTH, "big") + said
    return data + blake2b(data, digest_size=DIGEST).digest()


def read_heading(data: bytes) -> Heading:
    """What a snapshot says of itself. Raises CorruptLogError unless every byte is as it was written."""
    begin = len(MAGIC) + _LENGTH
    if data[: len(MAGIC)] != MAGIC or len(data) < begin + DIGEST:
        raise CorruptLogError("this is no snapshot of views, or only a piece of one")
    if blake2b(data[:-DIGEST], digest_size=DIGEST).digest() != data[-DIGEST:]:
        raise CorruptLogError("the bytes of its heading are not those that the checksum was made of")
    try:
        said = json.loads(data[begin:-DIGEST])
        about = Heading(**{name: said[name] for name in Heading._fields})
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptLogError(f"its heading cannot be read: {error!r}") from error
    if about.part < 1 or len(about.parts) != -(-about.size // about.part):
        raise CorruptLogError(f"its heading names {len(about.parts)} parts of {about.size:,} bytes")
    return about


def expand(about: Heading, number: int, part: bytes | None) -> bytes:
    """The bytes of the file that a part holds. Raises CorruptLogError for one that is missing or damaged."""
    if part is None:
        raise CorruptLogError(f"its part {number} is missing")
    if digest_of(part) != about.parts[number]:
        raise CorruptLogError(f"the bytes of its part {number} are not those that the checksum was made of")
    size = min(about.part, about.size - number * about.part)
    try:
        content = zlib.decompressobj().decompress(part, size + 1)  # never more, however much a few bytes expand to
    except zlib.error as error:
        raise CorruptLogError(f"its part {number} cannot be expanded: {error}") from error
    if len(content) != size:
        raise CorruptLogError(f"its part {number} does not hold {size:,} bytes")
    return content
