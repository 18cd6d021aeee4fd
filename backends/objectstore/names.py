"""How the objects of a log are called. The names are part of the format: docs/format.md.

    order/<k>                            one step of the order, dense from 0
    blocks/<j>                           64 steps of the order in one object
    checkpoints/<k>                      the state before step k
    runs/<hh>/<shard>/<seq>.seg          a segment: its events begin with that seq
    runs/<hh>/<shard>/<seq>.<n>.seg      the same, after the gate was shut and opened again n times
    runs/<hh>/<shard>/<a>-<z>.<id>.pack  segments a to z of a shard in one object
    writers/<id>                         somebody who appends
    pending/<id>/<n>                     what that writer has appended and nobody has given positions yet
    kept/...                             what can be made again from the log

Numbers have 20 digits, so that names sort as numbers do. Names of shards are escaped to lower-case ASCII, for some
stores fold the case of names, and folders on this machine have no names above 255 bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b
from typing import Final

ORDER: Final = "order/"
BLOCKS: Final = "blocks/"
CHECKPOINTS: Final = "checkpoints/"
RUNS: Final = "runs/"
WRITERS: Final = "writers/"
PENDING: Final = "pending/"
KEPT: Final = "kept/"

_LONGEST: Final = 150  #: bytes of an escaped name; a longer one ends in a hash
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-_@")
_ESCAPED: Final = {byte: chr(byte) if byte in _PLAIN else f"={byte:02x}" for byte in range(256)}
_FOLDER: Final = RUNS + r"[0-9a-f]{2}/[^/]+/"  # no deeper: another log may lie below a prefix that is called runs/
_SLOT: Final = re.compile(_FOLDER + r"(\d{20})(?:\.(\d+))?\.seg")
_PACK: Final = re.compile(_FOLDER + r"(\d{20})-(\d{20})\.([0-9a-f]+)\.pack")
#: where nothing lies in a prefix that never had a log
OWN: Final = (ORDER, BLOCKS, CHECKPOINTS, WRITERS, PENDING, RUNS)


def order(k: int) -> str:
    return f"{ORDER}{k:020d}"


def block(j: int) -> str:
    return f"{BLOCKS}{j:020d}"


def checkpoint(k: int) -> str:
    return f"{CHECKPOINTS}{k:020d}"


def writer(id: str) -> str:
    return f"{WRITERS}{id}"


def marker(id: str, n: int) -> str:
    return f"{PENDING}{id}/{n:020d}"


def of_marker(name: str) -> tuple[str, int] | None:
    """The writer and number of a marker; None for another name."""
    id, _, number = name.removeprefix(PENDING).rpartition("/")
    return (id, int(number)) if id and number.isdigit() else None


@lru_cache(4096)  # asked for each segment of a long shard
def folder(shard: str) -> str:
    """What the names of all objects of a shard begin with. A hash spreads them: stores split their load by prefix."""
    given = shard.encode("utf-8", "surrogatepass")
    escaped = "".join([_ESCAPED[byte] for byte in given])
    hashed = blake2b(given, digest_size=16).hexdigest()
    if len(escaped) > _LONGEST:
        escaped = f"{escaped[: _LONGEST - 33]}~{hashed}"
    return f"{RUNS}{hashed[:2]}/{escaped}/"


def slot(shard: str, seq: int, generation: int) -> str:
    """The segment that begins with a seq. `generation`: how often the gate had been opened again when it was made; so
    what was refused behind a shut gate never has the name of what comes later."""
    return f"{folder(shard)}{seq:020d}.{generation}.seg" if generation else f"{folder(shard)}{seq:020d}.seg"


def pack(shard: str, first: int, last: int, id: str) -> str:
    return f"{folder(shard)}{first:020d}-{last:020d}.{id}.pack"


def seq_of_slot(name: str) -> int | None:
    """The seq that a segment begins with; None for another name."""
    found = _SLOT.fullmatch(name)
    return int(found[1]) if found else None


def generation_of_slot(name: str) -> int:
    """How often the gate had been opened again when a segment was made."""
    found = _SLOT.fullmatch(name)
    return int(found[2] or 0) if found else 0


def is_pack(name: str) -> bool:
    return _PACK.fullmatch(name) is not None


def number_of(name: str) -> int | None:
    """The number that a name ends with; None if it ends with something else."""
    number = name.rpartition("/")[2]
    return int(number) if number.isdigit() and len(number) == 20 else None
