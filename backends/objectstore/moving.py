"""Entries of a log as they move: handed over from here, and taken in from another backend.

What comes in is written as packs, a few for each shard whatever the number of its appends, and counts with one step of
the order.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence

from ...engine.errors import ConflictError, UsageError
from ...engine.log.port import Entry, GateState, Head, ShardState
from . import names, segment
from .order_log import OrderLog
from .packing import Made, Packer, weigh
from .reading import Reader
from .segment import Item, Kind
from .state import Line, State
from .step import Operation, Pending, place
from .tails import Tails


class Mover:
    """The moves of one handle. Thread-safe."""

    def __init__(self, order: OrderLog, reader: Reader, packer: Packer, tails: Tails) -> None:
        self._order = order
        self._reader = reader
        self._packer = packer
        self._tails = tails

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        self._order.refresh()
        return self._reader.steady(lambda: self._extract(after, limit, size))

    def _extract(self, after: int, limit: int, size: int) -> list[Entry]:
        found: list[Entry] = []
        for row, records, purged in self._reader.entries(after, limit):
            entry = Entry(row.placed, row.keyed and not purged, records)
            limit, size = limit - row.placed.receipt.size, size - entry.size
            if found and (limit < 0 or size < 0):
                break
            found.append(entry)
        return found

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        self._order.refresh()
        with self._order.lock:
            state = self._order.state
            if state.gate.state is not GateState.RECEIVING:
                raise UsageError(f"{self._order.objects.url} receives no copy")
            if state.head != after:
                return False
            _check_fits(state, entries, states)
            fresh = {entry.placed.receipt.shard for entry in entries} - state.lines.keys()
        sweeps = self._packer.sweeps()
        written = {shard: (items, self._packer.write(shard, items)) for shard, items in _items(entries, states).items()}
        self._order.parallel.run([lambda shard=shard: self._guard(shard) for shard in fresh])  # type: ignore[misc]

        def decide(state: State) -> list[Operation] | None:
            if state.gate.state is not GateState.RECEIVING or (state.head, state.sweeps) != (after, sweeps):
                return None
            _check_fits(state, entries, states)
            return _operations(state, entries, written, states)

        if self._order.commit(decide):
            return True
        # Not because the head is elsewhere, but because the packs may have been taken for left over.
        return self._packer.sweeps() != sweeps and self.ingest(entries, after=after, states=states)

    def _guard(self, shard: str) -> None:
        """The first slot of a shard is taken for as long as the shard is known."""
        with self._order.lock:
            log_id, generation = self._order.state.log_id, self._order.state.generation
        stub = segment.encode_mark(Kind.STUB, log_id, shard, nonce=secrets.token_bytes(8))
        self._order.objects.create(names.slot(shard, 1, generation), stub)


def _items(entries: Sequence[Entry], states: Mapping[str, ShardState]) -> dict[str, list[Item]]:
    """What is to be written, by shard; of one that was purged, what was kept."""
    found: dict[str, list[Item]] = {}
    for (position, receipt, _), keyed, records in entries:
        items = found.setdefault(receipt.shard, [])
        if states.get(receipt.shard) is not ShardState.PURGED or any(record is not None for record in records):
            items.append(Item(receipt, keyed, position, records))
    return found


def _operations(
    state: State,
    entries: Sequence[Entry],
    written: Mapping[str, tuple[list[Item], list[Made]]],
    states: Mapping[str, ShardState],
) -> list[Operation]:
    """What makes it count, for the state as it is: whoever purges meanwhile deletes packs that were kept."""
    found = [place([entry.placed for entry in entries], [_pending(entry) for entry in entries], [])]
    for shard, (items, packs) in written.items():
        if states.get(shard) is ShardState.PURGED:
            line = state.lines.get(shard) or Line(shard, state.openings)
            old = [Made(pack.first, pack.last, pack.id, pack.size) for pack in line.kept]
            found.append(["purged", shard, [list(one) for one in [*old, *packs]], _total(line.weights, items)])
        else:
            found += [["packed", shard, *made, {}] for made in packs]
        if states.get(shard) is ShardState.SEALED:
            found.append(["seal", shard, items[-1].receipt.last_seq])
    return found


def _pending(entry: Entry) -> Pending:
    """What its row on the timeline tells: no segment begins with it."""
    item = Item(entry.placed.receipt, entry.keyed, 0, entry.records)
    types = dict.fromkeys(record.type for record in entry.records if record is not None)
    return Pending(entry.placed.receipt, entry.keyed, 0, list(types), weigh([item]))


def _total(before: Mapping[int, Sequence[int]], items: Sequence[Item]) -> dict[int, list[int]]:
    found = {kind: list(weight) for kind, weight in before.items()}
    for kind, weight in weigh(items).items():
        old = found.setdefault(kind, [0, 0])
        old[0] += weight.events
        old[1] += weight.bytes
    return found


def _check_fits(state: State, entries: Sequence[Entry], states: Mapping[str, ShardState]) -> None:
    ends: dict[str, int] = {}
    for (_, receipt, _), _, _ in entries:
        name = receipt.shard
        line = state.lines.get(name) or Line(name, state.openings)
        if name not in ends and line.state in (ShardState.FENCED, ShardState.PURGED):
            if line.state is ShardState.FENCED or states.get(name) is not ShardState.PURGED:
                raise ConflictError(f"shard {name} was deleted here; its copy cannot go on")
        elif name not in ends and line.ordered_seq and states.get(name) is ShardState.PURGED:
            raise ConflictError(f"shard {name} holds events here: fence and purge it once they are all there")
        end = ends.get(name, line.ordered_seq)
        if receipt.first_seq != end + 1:
            raise ConflictError(f"shard {name} ends at seq {end} here, the copy goes on at {receipt.first_seq}")
        ends[name] = receipt.last_seq
