"""The hash chain of the timeline: what any two logs that hold the same receipts in the same order have in common."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from hashlib import blake2b

from .port import Head, Placed, Receipt


def link(chain: bytes, receipt: Receipt) -> bytes:
    """The hash chain after `receipt`: blake2b-128 over the chain before it, its digest, range, time and shard."""
    where = struct.pack(">QIQ", receipt.first_seq, receipt.size, receipt.at_us)
    return blake2b(chain + receipt.digest + where + receipt.shard.encode(), digest_size=16).digest()


def number(receipts: Iterable[Receipt], *, after: Head) -> list[Placed]:
    """Receipts with their positions and chain, right behind `after`."""
    placed = []
    position, chain = after.position, after.chain
    for receipt in receipts:
        chain = link(chain, receipt)
        placed.append(Placed(position + 1, receipt, chain))
        position += receipt.size
    return placed
