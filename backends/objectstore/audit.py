"""What does not add up in a log on objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from ...engine.errors import CorruptLogError
from ...engine.log.port import ShardState
from . import checkpoint, names
from .library import Library
from .order_log import OrderLog
from .pendings import Pendings
from .places import stretches
from .reading import WAVE
from .segment import Kind
from .step import BLOCK

RESTORE: Final = "restore it from a copy of the bucket, or an older version of the object"


def diagnose(order: OrderLog, library: Library, pendings: Pendings, *, full: bool) -> list[str]:
    """One sentence for each thing, with the remedy. `full`: every object is read."""
    try:
        look = pendings.look()
    except CorruptLogError as error:
        return [f"{error}: {RESTORE}"]
    found = [*_order(order, full=full), *_objects(order, library, full=full)]
    if not full:
        return found
    return [*found, *_unannounced(order, look.ends)]


def _order(order: OrderLog, *, full: bool) -> Iterator[str]:
    """Damage of the order: its steps follow one another, or the process could not have opened the log."""
    with order.lock:
        finished, k = order.state.k // BLOCK, order.state.k
    listed = {one.name for one in order.objects.list(names.BLOCKS)} | {
        one.name for one in order.objects.list(names.ORDER)
    }
    if finished and names.order(0) not in listed:
        yield f"object {names.order(0)}, which is never deleted, is gone; does a rule of the bucket delete old objects?"
    for one in order.objects.list(names.CHECKPOINTS):
        yield from _passed_over(order, one.name)
    for j in range(finished):
        steps = [names.order(at) for at in range(j * BLOCK, (j + 1) * BLOCK)]
        if names.block(j) not in listed and not listed.issuperset(steps):
            yield f"steps {steps[0]} to {steps[-1]} are gone, and no block holds them: {RESTORE}"
        elif full:
            yield from _told(partial(order.read_block, j))
    for at in range(finished * BLOCK, k):
        if names.order(at) not in listed:
            yield f"object {names.order(at)} is gone: {RESTORE}"


def _passed_over(order: OrderLog, name: str) -> Iterator[str]:
    data = order.objects.get(name)
    try:
        if data is not None:
            checkpoint.decode(data, name)
    except CorruptLogError as error:
        yield f"{error}: an older one serves instead, and it goes as newer ones are written"


def _objects(order: OrderLog, library: Library, *, full: bool) -> Iterator[str]:
    """Objects that the order names and that are gone or damaged."""
    order.refresh()
    with order.lock:
        wanted = [(line.name, one) for line in order.state.lines.values() for one in stretches(line)]
    sizes = {one.name: one.size for one in order.objects.list(names.RUNS)}
    for shard, one in wanted:
        if one.name not in sizes:
            yield f"shard {shard}: object {one.name} (from seq {one.first}) is gone: {RESTORE}"
    if not full:
        return
    there = [one.name for _, one in wanted if one.name in sizes]
    library.forget(there)  # as it is in the store, not as it is remembered
    for at in range(0, len(there), WAVE):
        for name in there[at : at + WAVE]:
            yield from _told(partial(_check, library, name))


def _check(library: Library, name: str) -> None:
    loaded = library.load([name]).get(name)
    if loaded is None or loaded.segment.kind is not Kind.EVENTS:
        raise CorruptLogError(f"object {name} is gone or overwritten")
    for part in loaded.segment.parts:
        loaded.records(part)


def _told(deed: Callable[[], object]) -> Iterator[str]:
    try:
        deed()
    except CorruptLogError as error:
        yield f"{error}: {RESTORE}"


def _unannounced(order: OrderLog, ends: Mapping[str, int]) -> Iterator[str]:
    for name in unannounced(order, ends):
        yield (
            f"object {name} was appended by somebody who ended before it was acknowledged: the next append to its "
            "shard takes it in; `foldlog doctor --adopt` does so now"
        )


def unannounced(order: OrderLog, ends: Mapping[str, int]) -> list[str]:
    """Segments that landed, and whose writer ended before it announced them: nobody was told that they count. `ends`:
    of shards with pending appends."""
    with order.lock:
        generation = order.state.generation
        lines = list(order.state.lines.values())
        reached = {line.name: line.reach for line in lines} | dict(ends)
        over = {line.name for line in lines if line.state in (ShardState.FENCED, ShardState.PURGED)}
    by_folder = {names.folder(shard): shard for shard in reached}
    found = []
    for one in order.objects.list(names.RUNS):
        seq = names.seq_of_slot(one.name) if names.generation_of_slot(one.name) == generation else None
        shard = by_folder.get(one.name.rpartition("/")[0] + "/")
        if seq is not None and shard not in over and seq > (reached[shard] if shard is not None else 0):
            found.append(one.name)
    return found
