"""Collection: deleting what nobody needs any more. Found by listings; deleted when it has been garbage for a day.

Why nothing is lost, whoever sleeps for however long:

    a writer     whose slot was packed and deleted meanwhile: it looks at the order after a put that took long, and its
                 segment counts only if the order does not know another one there (landing.py)
    a marker     of a writer that was reaped: who took long looks whether its registration is there still
    a reader     that misses a step looks for a checkpoint ahead before it takes that for the end (order_log.py)
    a sequencer  that fills the place of a step deleted long ago finds a checkpoint ahead of it (order_log.py)
    a compactor  whose packs were taken for left over: they go only after a step that says so (`swept`), and who has
                 written packs before it begins anew (packing.py)
    a collector  deletes what it has listed as garbage, and garbage does not become anything else

Not here: which object is garbage (garbage.py), writers and their markers (reaping.py), steps (folded.py).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ...engine.log.port import Amount, Collected
from . import folded, garbage, names
from .garbage import Ages, Lying
from .gate import Gatekeeper
from .library import Library
from .order_log import KEEP, OrderLog
from .packing import Packer
from .pendings import Pendings
from .reaping import Reaper, Reaping
from .state import State
from .step import Operation
from .stores.port import Found
from .stores.probing import FOLDER as PROBES

Report = Callable[[str, int, int], None]

GRACE_S: Final = 24 * 3600.0  #: far above STALL_S
AT_ONCE: Final = 1000  #: objects deleted by one request
LARGE: Final = 20_000  #: shards; from there on `runs/` is listed a part at a time


class Collector:
    """The collections of one handle. Thread-safe."""

    def __init__(
        self,
        order: OrderLog,
        library: Library,
        pendings: Pendings,
        packer: Packer,
        gatekeeper: Gatekeeper,
        *,
        read_only: bool = False,
    ) -> None:
        self._order = order
        self._library = library
        self._pendings = pendings
        self._packer = packer
        self._reaper = Reaper(order, gatekeeper)
        self._read_only = read_only

    def run(self, *, grace_s: float = GRACE_S, dry_run: bool = False, progress: Report | None = None) -> Collected:
        """Delete garbage that is `grace_s` seconds old; only tell of it in a dry run."""
        report = progress or (lambda what, done, total: None)
        objects = self._order.objects
        before_us = self.now_us() - round(grace_s * 1e6)
        writers = self._reaper.look(before_us, grace_s)
        floor = folded.floor(self._order)
        steps = objects.list(names.ORDER)  # behind the floor: what is below it, and not listed, was collected
        ends = self._pendings.look().ends  # takes in the order as it is, too
        ages = Ages(before_us, {k: one.modified_us for one in steps if (k := names.number_of(one.name))}, floor.k)
        runs = self._lying(ages, ends, report)
        groups: dict[str, list[Found]] = {
            "slots": runs.slots,
            "packs": runs.packs,
            "steps": folded.superseded(self._order, floor, [one for one in steps if ages.is_old(one)]),
            "checkpoints": [one for one in objects.list(names.CHECKPOINTS)[:-KEEP] if ages.is_old(one)],
            "markers": writers.markers,
            "guards": writers.guards,
            "writers": writers.registrations,
            "probes": [one for one in objects.list(PROBES) if ages.is_old(one)],
        }
        freed = [*runs.firsts, *(one for some in runs.unfreed.values() for one in some)]
        if not dry_run:
            self._agree(groups, writers)
            self._free(runs)
            self._delete([one for group in groups.values() for one in group], report)
        found = {kind: _amount(group) for kind, group in [*groups.items(), ("contents", freed)] if group}
        return Collected(found, [one.name for one in runs.unannounced], dry_run)

    def now_us(self) -> int:
        """The time, by the store's clock; for who may only read, that of the newest object, which is no later."""
        objects = self._order.objects
        if self._read_only:
            newest = [one.modified_us for prefix in (names.ORDER, names.PENDING) for one in objects.list(prefix)]
            return max(newest, default=0)
        name = f"{PROBES}{secrets.token_hex(8)}"
        objects.put(name, b"now")
        try:
            return next(one.modified_us for one in objects.list(PROBES) if one.name == name)
        finally:
            objects.delete([name])

    def _lying(self, ages: Ages, ends: dict[str, int], report: Report) -> Lying:
        found = Lying([], [], [], {}, [])
        with self._order.lock:
            large = len(self._order.state.lines) > LARGE
        prefixes = [f"{names.RUNS}{part:02x}/" for part in range(256)] if large else [names.RUNS]
        for at, prefix in enumerate(prefixes):
            report("listed", at, len(prefixes))
            listed = self._order.objects.list(prefix)
            with self._order.lock:
                some = garbage.lying(self._order.state, listed, ages, ends, self._packer.stub_size)
            found.slots.extend(some.slots)
            found.firsts.extend(some.firsts)
            found.packs.extend(some.packs)
            found.unfreed.update(some.unfreed)
            found.unannounced.extend(some.unannounced)
        report("listed", len(prefixes), len(prefixes))
        return found

    def _agree(self, groups: dict[str, list[Found]], writers: Reaping) -> None:
        """Put up guards, and say in one step of the order what must be known before anything goes."""
        self._reaper.guard(writers)
        listed = groups["packs"]

        def decide(state: State) -> list[Operation] | None:
            named = garbage.named_packs(state) if listed else set()
            groups["packs"] = [one for one in listed if one.name not in named]
            operations: list[Operation] = [["swept"]] if groups["packs"] else []
            if gone := writers.gone(state):
                operations.append(["reaped", gone])
            return operations or None

        self._order.commit(decide)

    def _free(self, runs: Lying) -> None:
        """Give back the bytes of what must stay as a name."""
        for shard in runs.unfreed:
            self._packer.free_folder(shard)
        for one in runs.firsts:
            self._packer.free_first(one.name)

    def _delete(self, found: Sequence[Found], report: Report) -> None:
        report("deleted", 0, len(found))
        for at, some in _parts(found):
            wanted = [one.name for one in some]
            self._order.objects.delete(wanted)
            self._library.forget(wanted)
            report("deleted", at + len(some), len(found))


def _parts(found: Sequence[Found]) -> Iterator[tuple[int, Sequence[Found]]]:
    for at in range(0, len(found), AT_ONCE):
        yield at, found[at : at + AT_ONCE]


def _amount(found: Iterable[Found]) -> Amount:
    sizes = [one.size for one in found]
    return Amount(len(sizes), sum(sizes))
