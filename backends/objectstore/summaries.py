"""Blocks and checkpoints that nobody has written: whoever fills a block writes them, unless it ends before."""

from __future__ import annotations

from ...engine.errors import CorruptLogError
from ...engine.log.port import Amount
from . import checkpoint, names, step
from .order_log import OrderLog
from .state import State
from .step import BLOCK


def make_blocks(order: OrderLog) -> Amount:
    """Write the blocks that are missing. Raises CorruptLogError if steps of one are missing too."""
    with order.lock:
        finished = order.state.k // BLOCK
    there = {names.number_of(one.name) for one in order.objects.list(names.BLOCKS)}
    made = Amount()
    for j in range(finished):
        if j not in there:
            made = made.plus(Amount(1, len(step.encode_block(order.steps(j)))))
    return made


def make_checkpoint(order: OrderLog) -> Amount:
    """Write the checkpoint of the last full block, if it is missing: a log is opened from there."""
    with order.lock:
        k = order.state.k // BLOCK * BLOCK
    newest = newest_checkpoint(order, below=k + 1)
    if newest.k == k:
        return Amount()
    for j in range(newest.k // BLOCK, k // BLOCK):
        for at, data in enumerate(order.steps(j), start=j * BLOCK):
            newest.apply(step.decode(data, names.order(at), at))
    data = checkpoint.encode(newest)
    order.objects.create(names.checkpoint(k), data)
    order.drop_checkpoints()
    return Amount(1, len(data))


def newest_checkpoint(order: OrderLog, *, below: int) -> State:
    """The newest state before a step that is kept and whole; that before the first step, if none is."""
    found = [names.number_of(one.name) for one in order.objects.list(names.CHECKPOINTS)]
    for k in sorted((k for k in found if k is not None and k < below), reverse=True):
        data = order.objects.get(names.checkpoint(k))
        try:
            if data is not None:
                return checkpoint.decode(data, names.checkpoint(k))
        except CorruptLogError:  # told by whoever opens the log; one before it serves as well
            continue
    return State()
