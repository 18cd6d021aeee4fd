"""Putting in what was taken out of another log: many receipts at once, at the positions they have.

The order every crash relies on: the order notes which shards a batch is about (`ingesting`, in `meta`), and makes rows
for those that are new; then the events go into their files and are made durable, all files of the batch at a time;
then one transaction of the order puts the batch on the timeline and takes the note away. Whoever comes next behind a
batch that was cut short removes what the note tells of. Nobody else writes meanwhile: the gate says so.
In the consolidated layout all of it is one transaction.
Not here: rows of events (ingested.py), the gate (gatekeeper.py).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import NamedTuple
from uuid import UUID

from ...engine.errors import ConflictError, UsageError
from ...engine.log.port import Entry, Epoch, GateState, Head, ShardState
from .connect import connect, transaction, translated
from .files import FileCache
from .gate import store, stored
from .home import FileKind, Home
from .ingested import Batch, FileWriter, insert
from .order import OrderFile, Place
from .schema import SEQ_BITS, alone_in

OVER = (ShardState.FENCED, ShardState.PURGED)
UNMAKE = "DELETE FROM event WHERE id > ? AND id < ?"


class _Part(NamedTuple):
    """One shard's share of a batch."""

    place: Place | None  #: None: new here
    entries: list[Entry]
    state: ShardState  #: from now on

    @property
    def last_seq(self) -> int:
        return self.entries[-1].placed.receipt.last_seq


class Ingest:
    """Makes a home the copy of a log. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    # -- becoming the destination -------------------------------------------------------------------------------

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        from .repair import note_epoch

        order = self._order
        with alone_in(self._home.folder):
            with order.writing() as db:
                self._check_may_receive(db, log_id, note)
                db.execute("UPDATE meta SET value = ? WHERE name = 'log_id'", (log_id.bytes,))
                db.execute("DELETE FROM epoch")
                db.executemany("INSERT INTO epoch VALUES (?,?,?,?,?)", epochs)
                store(db, GateState.RECEIVING.value, note)
            order.log_id = log_id
            self._adopt_shared()  # behind the order: killed in between, the same call does it
            note_epoch(self._home, log_id, max(epoch.number for epoch in epochs))

    def _check_may_receive(self, db: sqlite3.Connection, log_id: UUID, note: str) -> None:
        (own,) = db.execute("SELECT value FROM meta WHERE name = 'log_id'").fetchone()
        state, held = stored(db)
        if state == GateState.RECEIVING.value:
            if (own, held) != (log_id.bytes, note):
                raise _occupied(f"{self._home.folder} receives another copy, of log {UUID(bytes=own)}: {held}")
            return
        used = db.execute("SELECT 1 FROM place UNION ALL SELECT 1 FROM timeline LIMIT 1").fetchone()
        if state != GateState.OPEN.value or used is not None:
            raise _occupied(f"{self._home.folder} holds a log, {UUID(bytes=own)}; a copy needs an empty place")

    def _adopt_shared(self) -> None:
        """Let the file of system shards say that it belongs to the copied log; it is empty if it is there at all."""
        kind = self._home.shared_file()
        if self._home.layout == "consolidated" or not kind.path.exists():
            return
        self._files.forget(kind)
        with closing(connect(kind.path)) as db, translated(f"writing {kind.path}"), transaction(db):
            db.execute("UPDATE meta SET value = ? WHERE name = 'log_id'", (self._order.log_id.bytes,))

    # -- putting in ---------------------------------------------------------------------------------------------

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        by_shard: dict[str, list[Entry]] = {}
        for entry in entries:
            by_shard.setdefault(entry.placed.receipt.shard, []).append(entry)
        order = self._order
        with alone_in(self._home.folder):
            self._unmake()
            with order.writing() as db:
                if stored(db)[0] != GateState.RECEIVING.value:
                    raise UsageError(f"{self._home.folder} receives no copy")
                if order.head() != after:
                    return False
                parts = [_fit(name, part, order.find(name), states.get(name)) for name, part in by_shard.items()]
                places = {name: self._known(db, name) for name in by_shard}
                if self._home.layout == "consolidated":
                    for part in parts:
                        self._write_here(db, places[part.entries[0].placed.receipt.shard], part)
                    self._place(db, entries, parts, places)
                else:
                    note = json.dumps([place.id for place in places.values()])
                    db.execute("INSERT OR REPLACE INTO meta VALUES ('ingesting', ?)", (note,))
            if self._home.layout == "sharded" and parts:
                self._write_files(parts, places)
            if self._home.layout == "sharded":
                with order.writing() as db:
                    self._place(db, entries, parts, places)
                    db.execute("DELETE FROM meta WHERE name = 'ingesting'")
        order.grown(len(entries))
        return True

    def _known(self, db: sqlite3.Connection, name: str) -> Place:
        """The row of a shard, made if it is new: before anything of it is in a file."""
        db.execute("INSERT OR IGNORE INTO place (name, state) VALUES (?, 'open')", (name,))
        return self._order.known(name)

    def _write_here(self, db: sqlite3.Connection, place: Place, part: _Part) -> None:
        if part.state is not ShardState.PURGED:
            insert(db, place.id, place.name, part.entries, sealed=part.state is ShardState.SEALED)

    def _write_files(self, parts: list[_Part], places: dict[str, Place]) -> None:
        with FileWriter(self._home, self._order.log_id, self._files) as writer:
            shared = []
            for part in parts:
                if part.state is ShardState.PURGED:
                    continue
                name = part.entries[0].placed.receipt.shard
                kind = self._home.file_of(name)
                number = self._home.number_in_file(name, places[name].id)
                batch = Batch(number, name, part.entries, part.state is ShardState.SEALED)
                if not self._home.is_run_file(kind):
                    shared.append(batch)
                elif part.place is None or not part.place.ordered_seq:
                    writer.make(kind, batch)
                else:
                    writer.extend(kind, [batch])
            if shared:
                writer.extend(self._home.shared_file(), shared)

    def _place(
        self, db: sqlite3.Connection, entries: Sequence[Entry], parts: list[_Part], places: dict[str, Place]
    ) -> None:
        """Put a batch on the timeline, and its shards where they are now. Within `writing()`."""
        types = {
            (entry.placed.receipt.shard, entry.placed.receipt.first_seq): frozenset(
                [record.type for record in entry.records if record is not None]
            )
            for entry in entries
        }
        ids = {name: place.id for name, place in places.items()}
        self._order.insert([entry.placed for entry in entries], ids, types)
        for part in parts:
            place = places[part.entries[0].placed.receipt.shard]
            if part.state is ShardState.PURGED:
                self._order.keep_more(place, part.entries)
            elif part.state is ShardState.OPEN and place.slot is None:
                place = self._order.give_slot(place)
            self._order.set_state(place, part.state)
            db.execute("UPDATE place SET ordered_seq = ? WHERE id = ?", (part.last_seq, place.id))

    # -- what a batch that was cut short has left ---------------------------------------------------------------

    def clean(self) -> None:
        """See that the files hold what is on the timeline and nothing more."""
        with alone_in(self._home.folder):
            self._unmake()

    def _unmake(self) -> None:
        with self._order.reading() as db:
            row = db.execute("SELECT value FROM meta WHERE name = 'ingesting'").fetchone()
        if row is None:
            return
        shared = []
        for place in self._order.names(json.loads(row[0])).values():
            kind = self._home.file_of(place.name)
            if not self._home.is_run_file(kind):
                shared.append((place.id << SEQ_BITS | place.ordered_seq, (place.id + 1) << SEQ_BITS))
            elif place.ordered_seq:
                self._cut(kind, [(place.ordered_seq, 1 << SEQ_BITS)])
            else:
                self._remove(kind)
        self._cut(self._home.shared_file(), shared)
        with self._order.writing() as db:
            db.executemany("DELETE FROM place WHERE id = ? AND ordered_seq = 0", [(id_,) for id_ in json.loads(row[0])])
            db.execute("DELETE FROM meta WHERE name = 'ingesting'")

    def _cut(self, kind: FileKind, ranges: list[tuple[int, int]]) -> None:
        if ranges and kind.path.exists():
            with self._files.use(kind) as file, transaction(file.db):
                file.db.executemany(UNMAKE, ranges)

    def _remove(self, kind: FileKind) -> None:
        self._files.forget(kind)
        with translated(f"removing {kind.path}"):
            for suffix in ("", "-wal", "-shm"):
                kind.path.with_name(kind.path.name + suffix).unlink(missing_ok=True)


def _fit(name: str, entries: list[Entry], place: Place | None, wanted: ShardState | None) -> _Part:
    """A shard's share, if it goes on where the shard ends here. Raises ConflictError if not."""
    purged = wanted is ShardState.PURGED
    if place is not None and place.state in OVER and not (purged and place.state is ShardState.PURGED):
        raise ConflictError(f"shard {name} was deleted here; its copy cannot go on")
    if place is not None and place.state not in OVER and purged:
        raise ConflictError(f"shard {name} holds events here: fence and purge it once they are all there")
    end = place.ordered_seq if place is not None else 0
    for entry in entries:
        receipt = entry.placed.receipt
        if receipt.first_seq != end + 1:
            raise ConflictError(f"shard {name} ends at seq {end} here, the copy goes on at {receipt.first_seq}")
        end = receipt.last_seq
    return _Part(place, entries, wanted or ShardState.OPEN)


def _occupied(problem: str) -> ConflictError:
    error = ConflictError(problem)
    error.remedy = "Name an empty folder, or one that is not there yet."
    return error
