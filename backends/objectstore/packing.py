"""Rewriting: many segments in one pack, with all they hold or without what is to be freed.

A rewrite is made in a pack of a name nobody else has, then one step of the order says that it counts. What it replaces
is garbage from then on: packs are deleted at once, since no name of a pack is used twice. A segment's slot must stay
taken for as long as a writer may believe the shard ends before it: where its bytes are to be gone now, a stub takes
its place, else it stays until the collector comes, after a day. The first slot of a shard stays for ever.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from ...engine.errors import ConflictError, FoldlogError
from ...engine.log.port import RETENTION_MASK, GateState, Record, ShardState, Weight
from . import names, segment
from .library import Library
from .order_log import OrderLog
from .places import Places, Stretch, places_of, stretches
from .reading import Reader
from .segment import Item, Kind, Part
from .state import Line, State
from .step import Operation

logger = logging.getLogger("foldlog.objectstore")

PACK_BYTES: Final = 8 * 1024 * 1024  #: of bodies, in one pack: one GET, one PUT
TRIES: Final = 100

Keep = Callable[[int, Record], bool]  #: whether a record at a position stays


class Made(NamedTuple):
    """A pack that was written, and does not count yet."""

    first: int
    last: int
    id: str
    size: int


class Packer:
    """The rewrites of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, library: Library, reader: Reader) -> None:
        self._order = order
        self._library = library
        self._reader = reader

    # -- writing packs ------------------------------------------------------------------------------------------

    def sweeps(self) -> int:
        """Asked before packs are written: where it is another number when they are to count, they may be gone."""
        with self._order.lock:
            return self._order.state.sweeps

    def write(self, shard: str, items: Sequence[Item]) -> list[Made]:
        """Appends of one shard, in seq order, as packs."""
        found = self.encoded(shard, items)
        for one, data in found:
            self._order.objects.create(names.pack(shard, one.first, one.last, one.id), data)
        return [one for one, _ in found]

    def encoded(self, shard: str, items: Sequence[Item]) -> list[tuple[Made, bytes]]:
        """The same, not written yet."""
        log_id = self._order.state.log_id
        found = []
        for group in _groups(items):
            data = segment.encode(log_id, shard, group, nonce=secrets.token_bytes(8))
            first, last = group[0].receipt.first_seq, group[-1].receipt.last_seq
            found.append((Made(first, last, secrets.token_hex(8), len(data)), data))
        return found

    def items(self, shard: str, places: Places, wanted: Sequence[Stretch], keep: Keep | None) -> list[Item]:
        """What stretches hold; of that, what is to be kept. Raises Superseded."""
        loaded = self._reader.load([one.name for one in wanted])
        items = []
        for one in wanted:
            for part in loaded[one.name].segment.parts:
                position = _position(part, places)
                records = loaded[one.name].records(part)
                if keep is not None:
                    records = [
                        record if record is not None and keep(position + at, record) else None
                        for at, record in enumerate(records)
                    ]
                items.append(Item(part.receipt, part.keyed, position, records))
        return items

    # -- freeing ------------------------------------------------------------------------------------------------

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        self._order.refresh()
        found: dict[int, Weight] = {}
        with self._order.lock:
            lines = _lines(self._order.state, shard)
            whole = [line for line in lines if line.last_position <= through]
            for kind, held in [pair for line in whole for pair in line.weights.items()]:
                found[kind] = found.get(kind, Weight()).plus(Weight(*held))
            cut = [line.name for line in lines if line.last_position > through]
        for name in cut:
            for kind, weight in self._reader.steady(partial(self._weigh_some, name, through)):
                found[kind] = found.get(kind, Weight()).plus(weight)
        return {kind: weight for kind, weight in found.items() if weight.events and retention in (None, kind)}

    def _weigh_some(self, shard: str, through: int) -> list[tuple[int, Weight]]:
        places = places_of(self._order, shard)
        if places is None:
            return []
        found: list[tuple[int, Weight]] = []
        wanted = [one.name for one in places.stretches]
        for name, head in zip(wanted, self._reader.heads(wanted), strict=True):
            for part in head.parts:
                position = _position(part, places)
                if position == 0:
                    continue
                if position + part.receipt.size - 1 <= through:
                    found += part.weights.items()
                elif position <= through:
                    records = self._reader.load([name])[name].records(part)[: through - position + 1]
                    found += [_weight(record) for record in records if record is not None]
        return found

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        self._order.refresh()
        with self._order.lock:
            wanted = [
                line.name
                for line in _lines(self._order.state, shard)
                if line.state is not ShardState.PURGED and retention in line.weights
            ]
        freed = Weight()
        for name in wanted:
            freed = freed.plus(self._reader.steady(partial(self._trim_one, name, retention, through)))
        return freed

    def _trim_one(self, shard: str, retention: int, through: int) -> Weight:
        def keep(position: int, record: Record) -> bool:
            return position > through or record.topics & RETENTION_MASK != retention

        for _ in range(TRIES):
            places = places_of(self._order, shard)
            if places is None or places.state is ShardState.PURGED:
                return Weight()
            affected = self._affected(places, retention, through)
            if not affected:
                return Weight()
            before = self.items(shard, places, affected, None)
            after = [item._replace(records=_kept(item, keep)) for item in before]
            freed = weigh(before).get(retention, Weight())
            left = weigh(after).get(retention, Weight())
            freed = Weight(freed.events - left.events, freed.bytes - left.bytes)
            if not freed.events or self._replace(shard, affected, after, {retention: list(freed)}):
                return freed
        raise ConflictError(f"shard {shard} was rewritten by others {TRIES} times")

    def _affected(self, places: Places, retention: int, through: int) -> list[Stretch]:
        """What has to be rewritten: packs that hold some of it, and all segments up to the last one that does."""
        wanted = [one.name for one in places.stretches]
        found, slots, last = [], [], 0
        for one, head in zip(places.stretches, self._reader.heads(wanted), strict=True):
            holds = any(retention in part.weights and _position(part, places) <= through for part in head.parts)
            if one.last > places.ordered_seq:
                continue  # it has positions in part, and cannot be rewritten yet
            if not names.is_pack(one.name):
                slots.append(one)
                last = len(slots) if holds else last
            elif holds:
                found.append(one)
        return found + slots[:last]

    def purge(self, shard: str, *, keep: bool) -> None:
        self._reader.steady(lambda: self._purge(shard, keep))
        self.free_folder(shard)

    def _purge(self, shard: str, keep: bool) -> None:
        self._order.refresh()
        places = places_of(self._order, shard)
        reach = 0 if places is None else places.reach
        if (places is not None and reach > places.ordered_seq) or self._reader.pending_of(shard, reach):
            raise ConflictError(f"shard {shard} has events without a position; sequence them first")
        if places is None or places.state not in (ShardState.FENCED, ShardState.PURGED):
            raise ConflictError(f"shard {shard} must be fenced before it is purged")
        again = places.state is ShardState.PURGED
        if again and (keep or not places.stretches):
            return
        items = self.items(shard, places, places.stretches, _is_kept) if keep else []
        items = [item for item in items if any(record is not None for record in item.records)]
        sweeps = self.sweeps()
        packs = self.write(shard, items)
        weights = {kind: list(weight) for kind, weight in weigh(items).items()}

        def decide(state: State) -> list[Operation] | None:
            line = state.lines[shard]
            if state.sweeps != sweeps or line.state is not places.state or stretches(line) != places.stretches:
                return None
            return [["purged", shard, [list(one) for one in packs], weights]]

        if not self._order.commit(decide):
            return self._purge(shard, keep)

    def free_folder(self, shard: str) -> None:
        """Of a purged shard: everything but what is kept, and the fence. Killed in between, the next purge goes on."""
        with self._order.lock:
            line = self._order.state.lines[shard]
            kept = {pack.name(shard) for pack in line.kept}
            end = line.ordered_seq
            is_receiving = self._order.state.gate.state is GateState.RECEIVING
        found = [one for one in self._order.objects.list(names.folder(shard)) if one.name not in kept]
        stub = self._stub(shard)
        slots = [
            one.name
            for one in found
            if (seq := names.seq_of_slot(one.name)) is not None and seq <= end and one.size != len(stub)
        ]
        # While a copy comes in, a pack that no step names may be one that the next step will name.
        packs = [] if is_receiving else [one.name for one in found if names.is_pack(one.name)]
        self.free(shard, slots, packs)

    def _replace(
        self,
        shard: str,
        old: Sequence[Stretch],
        items: Sequence[Item],
        freed: dict[int, list[int]],
    ) -> bool:
        """Let packs of these items count instead of what they were read from; False if that is not so any more."""
        runs = _runs(old, items)
        sweeps = self.sweeps()
        packs = [made for run in runs for made in self.write(shard, run)]

        def decide(state: State) -> list[Operation] | None:
            line = state.lines[shard]
            there = stretches(line)
            if state.sweeps != sweeps or line.state is ShardState.PURGED or any(one not in there for one in old):
                return None
            given = [["packed", shard, *made, {}] for made in packs]
            given[-1][-1] = freed
            return given

        if not self._order.commit(decide):
            self._order.objects.delete([names.pack(shard, one.first, one.last, one.id) for one in packs])
            return False
        slots = [one.name for one in old if not names.is_pack(one.name)]
        self.free(shard, slots, [one.name for one in old if names.is_pack(one.name)])
        return True

    def free(self, shard: str, slots: Sequence[str], packs: Sequence[str]) -> None:
        """Give back what superseded objects take. What is left because of an error, the collector finds."""
        objects, stub = self._order.objects, self._stub(shard)
        self._library.forget([*slots, *packs])
        deeds: list[Callable[[], object]] = [partial(objects.put, name, stub) for name in slots]
        if packs:
            deeds.append(partial(objects.delete, list(packs)))
        try:
            self._order.parallel.run(deeds)
        except FoldlogError as error:
            logger.warning("%s: %s", objects.url, error)

    def free_first(self, name: str) -> None:
        """Give back the bytes of a shard's first slot, which stays taken."""
        head = self._library.head(name)
        if head is not None:
            self.free(head.shard, [name], [])

    def stub_size(self, shard: str) -> int:
        return len(self._stub(shard))

    def _stub(self, shard: str) -> bytes:
        return segment.encode_mark(Kind.STUB, self._order.state.log_id, shard, nonce=bytes(8))


def _lines(state: State, shard: str | None) -> list[Line]:
    if shard is None:
        return list(state.lines.values())
    return [state.lines[shard]] if shard in state.lines else []


def _is_kept(position: int, record: Record) -> bool:
    return record.kept


def _kept(item: Item, keep: Keep) -> list[Record | None]:
    return [
        record if record is not None and keep(item.position + at, record) else None
        for at, record in enumerate(item.records)
    ]


def _position(part: Part, places: Places) -> int:
    """Of its first event; 0 if it has none yet."""
    return part.position or places.position(part.receipt.first_seq) or 0


def _weight(record: Record) -> tuple[int, Weight]:
    return record.topics & RETENTION_MASK, Weight(1, len(record.body))


def weigh(items: Sequence[Item]) -> dict[int, Weight]:
    """What can be read in appends, by retention class."""
    found: dict[int, Weight] = {}
    for record in [record for item in items for record in item.records if record is not None]:
        kind, weight = _weight(record)
        found[kind] = found.get(kind, Weight()).plus(weight)
    return found


def _groups(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Appends in seq order, cut where a pack is full."""
    group: list[Item] = []
    size = 0
    for item in items:
        own = sum(len(record.body) for record in item.records if record is not None)
        if group and size + own > PACK_BYTES:
            yield group
            group, size = [], 0
        group.append(item)
        size += own
    if group:
        yield group


def _runs(old: Sequence[Stretch], items: Sequence[Item]) -> list[list[Item]]:
    """The items by the stretches they came from: each pack by itself, the segments all together. A new pack must not
    reach over one that stays."""
    runs: list[list[Item]] = []
    left = iter(items)
    item = next(left, None)
    was_slot = False
    for one in old:
        is_slot = not names.is_pack(one.name)
        if not (is_slot and was_slot):
            runs.append([])
        was_slot = is_slot
        while item is not None and item.receipt.last_seq <= one.last:
            runs[-1].append(item)
            item = next(left, None)
    return [run for run in runs if run]
