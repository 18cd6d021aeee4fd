"""A log that moves: its gate, and what is taken out of one backend and put into another.

Promises: once the gate is closed, no append commits that was not acknowledged before: whoever closes it holds off those
under way, and every append looks at it behind its insert. What is put in is there whole, with its positions, or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from ...engine.errors import ConflictError, CorruptLogError, LogMoved, UsageError
from ...engine.log.port import (
    TRIMMABLE,
    Entry,
    Epoch,
    Gate,
    GateState,
    Head,
    Placed,
    Record,
    ShardState,
    check_gate_step,
    refusal,
)
from .database import Database
from .dialect import Dialect, Doing, EventRow, Moved
from .life import GUARD
from .ordering import MOVE, TIMELINE, locked_head, placed_of, timeline_rows
from .reading import Place, Records
from .rows import BIGGEST, FENCED, FREED, PURGED, SEALED, Row, checksum

GATE = "SELECT state, note FROM foldlog.gate WHERE one = 1"
SET_GATE = "UPDATE foldlog.gate SET state = %(state)s, note = %(note)s WHERE one = 1"

EMPTY = "SELECT 1 FROM foldlog.shard LIMIT 1"
SET_ID = "UPDATE foldlog.log SET log_id = %(log_id)s, epoch = %(epoch)s WHERE one = 1"
EPOCHS = ["number", "after_position", "chain", "started_us", "reason"]

# The receipt whose first row is gone is of a purged shard, where nobody may retry.
ENTRIES = """
SELECT t.position, $text(s.name), t.first_seq, t.count, t.$key, t.at_us, t.digest, t.chain, t.crc,
    t.shard_id, s.state, (SELECT e.keyed FROM foldlog.event e WHERE e.shard_id = t.shard_id AND e.seq = t.first_seq)
FROM (
    SELECT position, shard_id, first_seq, count, $key, at_us, digest, chain, crc FROM foldlog.timeline
    WHERE position > %(after)s ORDER BY position LIMIT %(limit)s
) t JOIN foldlog.shard s ON s.shard_id = t.shard_id
ORDER BY t.position
"""
FEW = 8  #: receipts whose bodies are fetched at first; their sizes tell how many more

SHARDS = "SELECT $text(name), shard_id, state, ordered_seq, fence_seq FROM foldlog.shard WHERE name IN %(names)s"
DROP_GUARD = "DELETE FROM foldlog.event WHERE shard_id = %(id)s AND seq = %(fence)s"
CHANGE = "UPDATE foldlog.shard SET state = %(state)s, fence_seq = %(fence)s WHERE shard_id = %(id)s"
#: of a freed record only the class is known, and that it was one of those that may be freed
FREED_RECORD = Record(FREED, 0, TRIMMABLE[0], b"")


# -- the gate ---------------------------------------------------------------------------------------------------------


def gate_of(rows: Sequence[Row]) -> Gate:
    """What the row of GATE says."""
    if not rows:
        raise CorruptLogError("the table `gate` has lost its one row; restore the database from a backup")
    return Gate(GateState(rows[0][0]), rows[0][1])


def closed(url: str, state: int, note: str) -> LogMoved:
    """What an append meets behind a gate that is not open."""
    return refusal(url, Gate(GateState(state), note))


def check_gate(tx: Doing, url: str) -> None:
    """Raise what refuses an append if the log takes none; called behind its insert."""
    gate = gate_of(tx.all(GATE))
    if gate.state is not GateState.OPEN:
        raise refusal(url, gate)


def set_gate(tx: Doing, dialect: Dialect, gate: Gate, expected: Gate) -> bool:
    check_gate_step(expected, gate)
    if gate.state is not GateState.OPEN:
        dialect.hold_off_appends(tx)
    now = gate_of(tx.all(f"{GATE} FOR UPDATE"))
    if now != expected:
        return False
    tx.execute(SET_GATE, {"state": gate.state.value, "note": gate.note})
    return True


def receive(tx: Doing, dialect: Dialect, log_id: UUID, epochs: Sequence[Epoch], note: str) -> None:
    dialect.hold_off_appends(tx)
    gate, wanted = gate_of(tx.all(f"{GATE} FOR UPDATE")), Gate(GateState.RECEIVING, note)
    head = locked_head(tx, dialect)
    if gate == wanted and head.log_id == log_id:
        pass  # it goes on
    elif gate.state is not GateState.OPEN or head.position or tx.one(EMPTY):
        raise ConflictError(f"{dialect.shown} is no empty log, nor one that this copy has begun")
    if any(epoch.after_position > head.position for epoch in epochs):
        raise UsageError("an epoch begins past the head of the copy")
    tx.execute(SET_GATE, {"state": wanted.state.value, "note": note})
    tx.execute(SET_ID, {"log_id": dialect.key(log_id), "epoch": epochs[-1].number})
    tx.execute("DELETE FROM foldlog.epoch")
    dialect.load(tx, "epoch", EPOCHS, [tuple(epoch) for epoch in epochs])


# -- taking out -------------------------------------------------------------------------------------------------------


class _Found(NamedTuple):
    placed: Placed
    place: Place
    keyed: bool


def extract(db: Database, after: int, limit: int, size: int) -> list[Entry]:
    rows = db.ask("reading a log that moves", ENTRIES, {"after": min(after, BIGGEST), "limit": limit})
    found = []
    for *receipt, shard_id, state, keyed in rows:
        placed = placed_of(db.dialect, [tuple(receipt)])[0]
        place = Place(placed.position, receipt[2], receipt[3], shard_id, receipt[1], state)
        found.append(_Found(placed, place, bool(keyed) and state != PURGED))
    return list(_within(_entries(db, _first(found, limit), size), size))


def _first(found: Sequence[_Found], limit: int) -> list[_Found]:
    """As many as hold up to `limit` events; one at least."""
    chosen: list[_Found] = []
    for one in found:
        if chosen and limit < one.place.size:
            break
        chosen.append(one)
        limit -= one.place.size
    return chosen


def _entries(db: Database, found: Sequence[_Found], size: int) -> Iterator[Entry]:
    start, few, taken = 0, FEW, 0
    while start < len(found):
        some = found[start : start + few]
        entries = _fetch(db, some)
        yield from entries
        start += len(some)
        taken += sum([entry.size for entry in entries])
        each = taken / start + 1
        few = max(1, min(8 * len(some), int((size - taken) / each)))


def _fetch(db: Database, some: Sequence[_Found]) -> list[Entry]:
    records = Records(db, "reading a log that moves")
    records.fetch([(one.place, one.place.part(0, BIGGEST)) for one in some])
    entries = []
    for placed, place, keyed in some:
        seqs = range(place.first_seq, place.first_seq + place.size)
        entries.append(Entry(placed, keyed, [records.at(place, seq).record for seq in seqs]))
    return entries


def _within(entries: Iterator[Entry], size: int) -> Iterator[Entry]:
    for entry in entries:
        yield entry
        size -= entry.size
        if size <= 0:
            return


# -- putting in -------------------------------------------------------------------------------------------------------


class _Here(NamedTuple):
    """A shard of the destination."""

    shard_id: int
    state: int
    ordered_seq: int
    fence_seq: int | None


def ingest(
    tx: Doing, dialect: Dialect, entries: Sequence[Entry], after: Head, states: Mapping[str, ShardState]
) -> bool:
    if locked_head(tx, dialect) != after:
        return False
    if gate_of(tx.all(f"{GATE} FOR UPDATE")).state is not GateState.RECEIVING:
        raise UsageError(f"{dialect.shown} receives no copy")
    if not entries:
        return True
    here = _shards(tx, dialect, entries)
    ends = _check_fits(entries, here, states)
    for shard in here.values():
        if shard.fence_seq is not None:  # its guard goes on behind the new end
            tx.execute(DROP_GUARD, {"id": shard.shard_id, "fence": shard.fence_seq})
    purged = {name for name in here if states.get(name) is ShardState.PURGED}
    dialect.load_events(tx, list(_rows(entries, here, purged)))
    dialect.load(tx, "kept", KEPT, list(_kept(entries, here, purged)))
    placed = [entry.placed for entry in entries]
    dialect.load(tx, "timeline", TIMELINE, timeline_rows(dialect, placed, {n: s.shard_id for n, s in here.items()}))
    dialect.load(tx, "timeline_type", ["type", "position"], list(_kinds(entries)))
    dialect.advance(tx, [Moved(here[name].shard_id, here[name].ordered_seq, end) for name, end in sorted(ends.items())])
    _finish(tx, here, ends, states)
    last = placed[-1]
    tx.execute(MOVE, {"after": after.position, "position": last.last_position, "chain": last.chain})
    dialect.tell(tx, last.last_position)
    return True


KEPT = ["shard_id", "seq", "ts_us", "topics", "crc", "type", "body"]


def _shards(tx: Doing, dialect: Dialect, entries: Sequence[Entry]) -> dict[str, _Here]:
    """The shards of some entries, made where they are not there."""
    names = sorted({entry.placed.receipt.shard for entry in entries})
    there = {name for name, *_ in tx.all(SHARDS, {"names": tuple(names)})}
    dialect.load(tx, "shard", ["name"], [(name,) for name in names if name not in there])
    return {name: _Here(*rest) for name, *rest in tx.all(SHARDS, {"names": tuple(names)})}


def _check_fits(
    entries: Sequence[Entry], here: Mapping[str, _Here], states: Mapping[str, ShardState]
) -> dict[str, int]:
    """Where each shard ends then. Raises ConflictError for what does not go on from where it ends now."""
    ends: dict[str, int] = {}
    for entry in entries:
        receipt = entry.placed.receipt
        name, shard = receipt.shard, here[receipt.shard]
        purged = states.get(name) is ShardState.PURGED
        if shard.state == FENCED or (shard.state == PURGED and not purged):
            raise ConflictError(f"shard {name} was deleted here; its copy cannot go on")
        if purged and shard.state != PURGED and shard.ordered_seq:
            raise ConflictError(f"shard {name} holds events here: fence and purge it once they are all there")
        end = ends.get(name, shard.ordered_seq)
        if receipt.first_seq != end + 1:
            raise ConflictError(f"shard {name} ends at seq {end} here, the copy goes on at {receipt.first_seq}")
        ends[name] = receipt.last_seq
    return ends


def _rows(entries: Sequence[Entry], here: Mapping[str, _Here], purged: set[str]) -> Iterator[EventRow]:
    for (_, receipt, _), keyed, records in entries:
        if receipt.shard in purged:
            continue
        id, shard = here[receipt.shard].shard_id, receipt.shard
        first = (receipt.at_us, receipt.size, receipt.key, keyed, receipt.digest)
        for seq, given in enumerate(records, receipt.first_seq):
            record = given or FREED_RECORD
            crc = checksum(shard, seq, record)
            yield EventRow(id, seq, record, crc, first if seq == receipt.first_seq else None)


def _kept(entries: Sequence[Entry], here: Mapping[str, _Here], purged: set[str]) -> Iterator[Row]:
    for (_, receipt, _), _, records in entries:
        for seq, record in enumerate(records, receipt.first_seq) if receipt.shard in purged else ():
            if record is not None:
                crc = checksum(receipt.shard, seq, record)
                id = here[receipt.shard].shard_id
                yield id, seq, record.ts_us, record.topics, crc, record.type, record.body


def _kinds(entries: Sequence[Entry]) -> Iterator[Row]:
    for placed, _, records in entries:
        for type in sorted({record.type for record in records if record is not None}):
            yield type, placed.position


def _finish(tx: Doing, here: Mapping[str, _Here], ends: Mapping[str, int], states: Mapping[str, ShardState]) -> None:
    """The states that shards have from now on; open is what they are already."""
    for name, end in ends.items():
        id, state = here[name].shard_id, states.get(name, ShardState.OPEN)
        if state is ShardState.PURGED:
            tx.execute(CHANGE, {"id": id, "state": PURGED, "fence": end + 1})
            tx.execute(GUARD, {"id": id, "fence": end + 1})
        elif state is ShardState.SEALED:
            tx.execute(CHANGE, {"id": id, "state": SEALED, "fence": None})
