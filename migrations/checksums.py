"""Give placed receipts their checksums, which those of format 1 lack; some thousand at a time, while writers go on.

What a row says is taken for true only if it fits the hash chain: a checksum over a damaged row would hide the damage
for ever. Nothing is remembered but what the rows say, so this can be killed and called again.
Frozen with revision 0002: the bytes are those of docs/format.md, whatever later releases do.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from zlib import crc32

from .place import Row
from .work import Work

BATCH = 5000  #: rows of one transaction: some hundredths of a second
NAMED = 100  #: positions of doubtful receipts that are told


def crc_of(row: Row) -> int:
    """CRC-32 of a placed receipt, over all that its row says."""
    numbers = struct.pack(">QQIQ", row.position, row.first_seq, row.count, row.at_us)
    return crc32(numbers + row.key + row.digest + row.chain + row.shard.encode())


def link(chain: bytes, row: Row) -> bytes:
    """The hash chain after a receipt."""
    where = struct.pack(">QIQ", row.first_seq, row.count, row.at_us)
    return blake2b(chain + row.digest + where + row.shard.encode(), digest_size=16).digest()


def fill(work: Work) -> None:
    """Give every placed receipt a checksum that has none, and note what was done in `work`."""
    place, end = work.place, work.place.end(work)
    work.doubtful, after = [], 0
    while rows := place.unsummed(work, after, BATCH):
        good = _fitting(work, rows)
        lacking = {row.position for row in rows} - {position for position, _ in good}
        work.doubtful += sorted(lacking)[: NAMED - len(work.doubtful)]
        if good:
            work.patiently("writing checksums", lambda good=good: _put(work, good))  # type: ignore[misc]
        work.summed += len(good)
        after = rows[-1].position
        work.progress("checksums", min(after, end), end)
        work.done("some checksums")


def _put(work: Work, sums: list[tuple[int, int]]) -> None:
    with work.transaction():
        work.place.put_sums(work, sums)


def _fitting(work: Work, rows: list[Row]) -> list[tuple[int, int]]:
    """(position, checksum) of the receipts that go on from the chain of the one before."""
    good = []
    before: Row | None = None
    for row in rows:
        follows = before is not None and before.position + before.count == row.position
        chain = before.chain if before is not None and follows else work.place.chain_before(work, row.position)
        if chain is not None and _fits(chain, row):
            good.append((row.position, crc_of(row)))
        before = row
    return good


def _fits(chain: bytes, row: Row) -> bool:
    try:
        return link(chain, row) == row.chain
    except (TypeError, struct.error):  # a column is not of its type, or out of range
        return False
