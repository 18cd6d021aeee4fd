"""What must hold of any order of appends, whoever made it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple


class Timed(NamedTuple):
    """One append as its writer saw it, by one clock for all writers, and its place in the order."""

    shard: str
    first_seq: int
    begun: int
    acknowledged: int
    position: int


def inversion(appends: Iterable[Timed]) -> tuple[Timed, Timed] | None:
    """Two appends of which the one was acknowledged before the other began, and yet has the greater position."""
    latest: Timed | None = None  # of all with a smaller position, the one that began last
    for append in sorted(appends, key=lambda append: append.position):
        if latest is not None and append.acknowledged < latest.begun:
            return append, latest
        if latest is None or append.begun > latest.begun:
            latest = append
    return None


def disorder(appends: Iterable[Timed]) -> tuple[Timed, Timed] | None:
    """Two appends to one shard of which the later one, by seq, has the smaller position."""
    ordered = sorted(appends, key=lambda append: (append.shard, append.first_seq))
    for before, after in pairwise(ordered):
        if before.shard == after.shard and before.position > after.position:
            return before, after
    return None
