"""Segments that nobody was told of, taken in: an append whose writer ended before it was acknowledged."""

from __future__ import annotations

from ...engine.errors import UnavailableError
from . import audit
from .library import Library
from .markers import Entry, Writers
from .order_log import OrderLog
from .pendings import Pendings
from .segment import Kind


def adopt(order: OrderLog, library: Library, pendings: Pendings, writers: Writers) -> list[str]:
    """Put a marker for them, so that the next pass gives them positions; their names.

    Those that do not lie right behind the end of their shard are left. Raises LogMoved behind a gate that is not open:
    there they were refused.
    """
    ends = pendings.look().ends
    found = audit.unannounced(order, ends)
    entries: list[Entry] = []
    adopted = []
    with order.lock:
        reached = {shard: line.reach for shard, line in order.state.lines.items()} | ends
    for name, head in zip(found, library.heads(found), strict=True):  # by name, so those of a shard are in seq order
        if head is None or head.kind is not Kind.EVENTS or head.first_seq != reached.get(head.shard, 0) + 1:
            continue
        reached[head.shard] = head.last_seq
        entries.append((head.shard, head.first_seq, head.last_seq))
        adopted.append(name)
    if entries:
        lane = writers.take()
        if not writers.announce(lane, entries):
            raise UnavailableError(f"{order.objects.url}: the gate was shut while segments were adopted")
        writers.give_back(lane)
    return adopted
