"""What a group of appends comes to: which segment is to be made for each shard, and what has its outcome at once.

Pure: where the shard ends is given, and what is decided holds if it does. Not here: making the segments (landing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from ...engine.errors import AppendKeyConflict, ConflictError, UnavailableError
from ...engine.log.port import ANY, NEW, Append, Outcome, Receipt
from .clock import now_us
from .markers import Entry
from .segment import Item
from .tails import Tail


class Job:
    """An append that waits for its outcome."""

    __slots__ = ("append", "bytes", "outcome")

    def __init__(self, append: Append) -> None:
        self.append = append
        self.bytes = sum([len(record.body) for record in append.records])
        self.outcome: Outcome | None = None


class Plan(NamedTuple):
    """A segment that is to be made, and whose outcome it is."""

    tail: Tail
    items: list[Item]
    jobs: list[Job]
    name: str
    nonce: bytes
    data: bytes

    @property
    def entry(self) -> Entry:
        return self.tail.shard, self.items[0].receipt.first_seq, self.items[-1].receipt.last_seq


def decide(tail: Tail, jobs: Sequence[Job]) -> tuple[list[Item], list[Job], list[tuple[Job, Outcome]]]:
    """What of the appends is to be written where, and the outcome of the others, if the shard ends as the tail says."""
    items: list[Item] = []
    taken: list[Job] = []
    settled: list[tuple[Job, Outcome]] = []
    last_seq, last_us = tail.last_seq, tail.last_us
    keys, made = tail.keys or {}, set()
    for job in jobs:
        shard, records, digest, expected, key = job.append
        if key is not None and key in made:
            continue  # of one that goes with it: its outcome, in the next round, depends on what becomes of that
        if key is not None and (known := keys.get(key)):  # before `expected`: a success retried is no conflict
            settled.append((job, _again_or_conflict(known, digest)))
            continue
        if expected is not ANY and last_seq != (0 if expected is NEW else expected):
            if items:
                break  # as above; and what comes behind it must not come before it
            spelled = "it empty" if expected is NEW else f"seq {expected}"
            settled.append((job, ConflictError(f"shard {shard} is at seq {last_seq}, the writer expected {spelled}")))
            continue
        last_us = now_us(after=last_us)
        receipt = Receipt(shard, last_seq + 1, last_seq + len(records), key or uuid4(), last_us, digest)
        last_seq = receipt.last_seq
        if key is not None:
            made.add(key)
        items.append(Item(receipt, key is not None, 0, records))
        taken.append(job)
    return items, taken, settled


def _again_or_conflict(known: Receipt, digest: bytes) -> Outcome:
    if known.digest != digest:
        return AppendKeyConflict(f"shard {known.shard}: key {known.key} recorded other facts at seq {known.first_seq}")
    return known._replace(duplicate=True)


def unknown(why: str) -> UnavailableError:
    """The error of an append that may have landed."""
    return UnavailableError(f"it is not known what became of the append: {why}")
