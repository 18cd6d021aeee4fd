"""What in a listing is garbage, by the order: pure, nothing is asked of the store.

Garbage is old: it was written, and has been superseded, before `before_us` by the store's clock. Until then a process
that looked a moment ago may go by what it saw. One that slept for longer looks again, before and after it writes.

    slots          a segment or stub that a pack or a purge has superseded, or that was refused behind a gate which is
                   open again; never the first slot of a shard, which tells all who think the shard is new, and never
                   the fence behind its end
    packs          what no step names: left by a kill, or replaced and not deleted
    unannounced    segments behind the end of a shard that no marker tells of: no garbage, the next append takes them in
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from ...engine.log.port import ShardState
from . import names
from .state import Line, Pack, State
from .stores.port import Found

WORTH_A_STUB: Final = 64 * 1024  #: bytes of a first slot; of a smaller one, a year's storage costs less than the put

Size = Callable[[str], int]


class Lying(NamedTuple):
    """What lies below `runs/` and is of no use where it lies."""

    slots: list[Found]  #: may go
    firsts: list[Found]  #: first slots, superseded: their content may go
    packs: list[Found]  #: that no step names
    unfreed: dict[str, list[Found]]  #: by purged shard: what its purge did not come to free
    unannounced: list[Found]


class Ages:
    """What was before a moment, by the store's clock."""

    def __init__(self, before_us: int, steps: Mapping[int, int], floor: int) -> None:
        self._before_us = before_us
        self._steps = steps
        self._floor = floor

    def is_old(self, one: Found) -> bool:
        return one.modified_us <= self._before_us

    def is_old_step(self, k: int) -> bool:
        """Whether a step was made before. One that is listed no more, and below the checkpoints, is."""
        modified_us = self._steps.get(k)
        return k < self._floor if modified_us is None else modified_us <= self._before_us


def named_packs(state: State) -> set[str]:
    """The packs that hold something."""
    return {pack.name(line.name) for line in state.lines.values() for pack in (*line.packs, *line.kept)}


def lying(state: State, listed: Iterable[Found], ages: Ages, ends: Mapping[str, int], stub_size: Size) -> Lying:
    """Sort a listing of `runs/`. `ends`: of shards with pending appends. `stub_size`: of a stub of a shard."""
    by_folder = {names.folder(line.name): line for line in state.lines.values()}
    end_of = {names.folder(shard): seq for shard, seq in ends.items()}
    named = named_packs(state)
    found = Lying([], [], [], {}, [])
    for one in listed:
        if not ages.is_old(one):
            continue
        seq = names.seq_of_slot(one.name)
        if seq is None:
            if names.is_pack(one.name) and one.name not in named:
                found.packs.append(one)
            continue
        folder = one.name.rpartition("/")[0] + "/"
        line = by_folder.get(folder)
        if line is not None and line.state is ShardState.PURGED:
            _of_purged(found, one, seq, line, stub_size(line.name))
        elif line is not None and seq <= line.packed_seq:
            if ages.is_old_step(_pack_of(line, seq).k):
                if seq > 1:
                    found.slots.append(one)
                elif one.size > WORTH_A_STUB:
                    found.firsts.append(one)
        elif (line is None or line.state is not ShardState.FENCED) and seq > _end(line, end_of.get(folder, 0)):
            # What was refused before the gate was opened again counts no more, whoever appends next.
            is_refused = names.generation_of_slot(one.name) < state.generation
            (found.slots if is_refused else found.unannounced).append(one)
    return found


def _of_purged(found: Lying, one: Found, seq: int, line: Line, stub_size: int) -> None:
    """A stub is younger than the purge, so its own age tells; what is not one was to become one."""
    if seq > line.ordered_seq:  # its fence
        return
    if one.size != stub_size:
        found.unfreed.setdefault(line.name, []).append(one)
    elif seq > 1:
        found.slots.append(one)


def _end(line: Line | None, pending: int) -> int:
    return max(pending, 0 if line is None else line.reach)


def _pack_of(line: Line, seq: int) -> Pack:
    return line.packs[bisect_left(line.packs, seq, key=_last)]


def _last(pack: Pack) -> int:
    return pack.last
