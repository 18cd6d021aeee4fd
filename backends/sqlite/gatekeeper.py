"""Closing and opening a home to all appends.

The order every crash relies on: the order says that the gate closes, so that no shard is begun or opened again; then a
fence goes up in every file that a writer may have open; then the order says that it is closed. To open it, the order
says so, and whoever meets a fence of a gate that is open takes it down (append.py).
"""

from __future__ import annotations

from pathlib import Path

from ...engine.log.port import Gate, GateState, check_gate_step
from .connect import transaction, translated
from .files import FileCache
from .gate import CLOSING, as_gate, store, stored
from .home import FileKind, Home
from .order import OrderFile, Place
from .schema import SHARD_TABLES, create_file, image, sync_names
from .shardfile import Fence

KNOW = "INSERT OR IGNORE INTO shard (number, name) VALUES (?, ?)"
FENCE_ALL = f"UPDATE shard SET fence = fence | {Fence.MOVED} WHERE fence & 3 = {Fence.NONE}"


class Gatekeeper:
    """The gate of one home. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def gate(self) -> Gate:
        with self._order.reading() as db:
            return as_gate(*stored(db))

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        check_gate_step(expected, gate)
        closes = gate.state is GateState.MOVED and expected.state is GateState.OPEN
        with self._order.writing() as db:
            if as_gate(*stored(db)) != expected:
                return False
            if closes and self._home.layout == "consolidated":
                # One file, one transaction: whoever writes comes before or after it.
                db.executemany(KNOW, [(place.id, place.name) for place in self._order.open_shards()])
                db.execute(FENCE_ALL)
                closes = False
            store(db, CLOSING if closes else gate.state.value, gate.note)
        return not closes or self._close(gate.note)

    def _close(self, note: str) -> bool:
        places = self._order.open_shards()
        self._fence_shared([place for place in places if place.name.startswith("@")])
        for place in places:
            if not place.name.startswith("@"):
                self._fence_run(place)
        with self._order.writing() as db:
            if stored(db) != (CLOSING, note):
                return False  # another has opened it again, or closes it with another note
            store(db, GateState.MOVED.value, note)
        return True

    def _fence_shared(self, places: list[Place]) -> None:
        """All system shards at once. Those that were announced and not written are known first: their writers would
        make the row, without a fence."""
        kind = self._home.shared_file()
        if not places:
            return
        self._made(kind, [])
        with self._files.use(kind) as file, transaction(file.db):
            file.db.executemany(KNOW, [(place.id, place.name) for place in places])
            file.db.execute(FENCE_ALL)

    def _fence_run(self, place: Place) -> None:
        """One run; if its writer has not made the file yet, made here, with the fence in it."""
        kind = self._home.file_of(place.name)
        row = ("INSERT INTO shard (number, name, fence) VALUES (0, ?, ?)", (place.name, int(Fence.MOVED)))
        if place.ordered_seq == 0 and self._made(kind, [row]):
            return
        try:
            with self._files.use(kind) as file:
                file.db.execute(FENCE_ALL)
        except FileNotFoundError:
            return  # purged meanwhile, or lost: then no writer can have it open either

    def _made(self, kind: FileKind, rows: list[tuple[str, tuple[object, ...]]]) -> bool:
        """Make a file of shards if it is not there; whether it was made here."""
        if kind.path.exists():
            return False
        content = image(SHARD_TABLES, log_id=self._order.log_id, kind=kind.kind, statements=rows)
        return _create(kind.path, content, self._home.folder)


def _create(path: Path, content: bytes, top: Path) -> bool:
    with translated(f"creating {path}"):
        made = create_file(path, content)
        sync_names(path, top=top)
    return made
