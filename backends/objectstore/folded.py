"""Steps of the order that blocks and checkpoints have made superfluous.

A step may go when its block is there, and holds it as it was: the blocks are taken apart, and their steps follow one
another, by their hashes, up to the state of a checkpoint that is whole. Steps go below the newest checkpoint but one
only: were that damaged, the log is opened from the one before. The first step stays, for it says that here is a log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from ...engine.errors import CorruptLogError
from . import names, step
from .order_log import OrderLog
from .segment import damaged
from .state import State
from .step import BLOCK
from .stores.parallel import get_many
from .stores.port import Found
from .summaries import newest_checkpoint

AT_ONCE: Final = 32  #: blocks read at once


def floor(order: OrderLog) -> State:
    """The state below which steps may go: of a checkpoint that has another one ahead; that of no steps, if none has."""
    listed = [names.number_of(one.name) for one in order.objects.list(names.CHECKPOINTS)]
    numbers = sorted(k for k in listed if k is not None)
    return newest_checkpoint(order, below=numbers[-1]) if len(numbers) > 1 else State()


def superseded(order: OrderLog, floor: State, old: Iterable[Found]) -> list[Found]:
    """Those of the old steps that blocks hold, below the floor. Raises CorruptLogError if a block does not fit."""
    by_block: dict[int, list[Found]] = {}
    for one in old:
        k = names.number_of(one.name)
        if k is not None and 0 < k < floor.k:
            by_block.setdefault(k // BLOCK, []).append(one)
    there = {one.name for one in order.objects.list(names.BLOCKS)} if by_block else set()
    wanted = sorted(j for j in by_block if names.block(j) in there)
    _check(order, floor, wanted)
    return [one for j in wanted for one in by_block[j]]


def _check(order: OrderLog, floor: State, wanted: Sequence[int]) -> None:
    for at in range(0, len(wanted), AT_ONCE):
        some = wanted[at : at + AT_ONCE]
        # With what comes behind each, which says how it ended.
        every = sorted({*some, *(j + 1 for j in some if (j + 1) * BLOCK < floor.k)})
        blocks = get_many(order.objects, [names.block(j) for j in every], order.parallel)
        hashes = {j: _ends(order, j, data) for j, data in zip(every, blocks, strict=True)}
        for j in some:
            behind = floor.hash if (j + 1) * BLOCK == floor.k else hashes[j + 1][0]
            if hashes[j][1] != behind:
                raise damaged(names.block(j), "what comes behind does not follow it; no step of it was deleted")


def _ends(order: OrderLog, j: int, data: bytes | None) -> tuple[bytes, bytes]:
    """The hash that a block goes on from, and the one it ends with."""
    if data is None:  # not written yet: its steps are there
        steps = [order.objects.get(names.order(j * BLOCK)) or b""]
        return step.decode(steps[0], names.order(j * BLOCK), j * BLOCK).before, b""
    steps = step.decode_block(data, names.block(j))
    first = before = step.decode(steps[0], names.order(j * BLOCK), j * BLOCK).before
    for k, one in enumerate(steps, start=j * BLOCK):
        taken = step.decode(one, names.order(k), k)
        if taken.before != before:
            raise CorruptLogError(f"object {names.block(j)}: step {k} does not follow the step before it")
        before = taken.hash
    return first, before
