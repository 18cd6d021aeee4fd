"""The port on SQLite files: puts the parts of this package together.

Promises: those of engine/log/port.py, in both layouts and between any number of processes on one machine.
Where to look: append.py, read.py, look.py (what is pending), order.py (the timeline), ending.py (seal and purge).
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from ...engine.errors import CorruptLogError, ReadOnlyError, UsageError
from ...engine.log.port import (
    GENESIS,
    Append,
    Copied,
    Entry,
    Epoch,
    Gate,
    GateState,
    Head,
    Outcome,
    Placed,
    Receipt,
    Shard,
    ShardState,
    Stored,
    Weight,
)
from .append import Appender
from .at_rest import connect_for_reading
from .connect import connect, sync_log, translated
from .doorbell import Doorbell, Writers, wall_us
from .ending import Ending
from .files import FileCache
from .gatekeeper import Gatekeeper
from .home import SYNCHRONOUS, Durability, FileKind, Home, Layout, find_layout, refuse_network_folder
from .look import Lookout, ring_for_the_dead
from .order import OrderFile
from .read import Reader
from .schema import ORDER_TABLES, SHARD_TABLES, alone_in, check_file, create_file, image, sync_names
from .shardfile import ShardFile
from .trim import Trimming
from .typed import TypedReader

if TYPE_CHECKING:
    from .ingest import Ingest


class _Writing:
    """What a backend opened for writing has besides: the bell, the looks at what is pending, the appends."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache, wall: Callable[[], int]) -> None:
        self.writers = Writers(home.writers)
        # Looked for once more behind the look at the writers: in between, another process may have made it and begun.
        if not home.doorbell.exists() and self.writers.others_live() and not home.doorbell.exists():
            raise CorruptLogError(
                f"{home.doorbell} was removed while other processes write here, who go on ringing the removed one: end "
                "them, then open the log again"
            )
        self.bell = Doorbell(
            home.doorbell,
            last_us=order.last_us,
            slots=lambda: [place.slot for place in order.open_shards() if place.slot is not None],
            wall=wall,
        )
        ring_for_the_dead(order, self.bell, self.writers)
        self.lookout = Lookout(home, order, files, self.bell, self.writers)
        self.appender = Appender(home, order, files, self.bell, self.writers)
        self.ending = Ending(home, order, files)

    def close(self) -> None:
        self.writers.leave()
        self.bell.close()


class SqliteBackend:
    """One home. Thread-safe; any number of processes may have the same home open."""

    looks = 2  #: many files cannot be read in one snapshot

    def __init__(
        self,
        folder: Path,
        *,
        layout: Layout | None = None,
        durability: Durability = "full",
        read_only: bool = False,
        wall: Callable[[], int] = wall_us,
    ) -> None:
        # Absolute from the start: a program that changes its working directory must not end up writing elsewhere.
        folder = folder.absolute()
        with translated(f"opening {folder}"):
            found, exists = find_layout(folder, layout)
        self.home = Home(folder, found)
        self.url = f"sqlite:///{folder}" + ("?layout=consolidated" if found == "consolidated" else "")
        self.read_only = read_only
        self._synchronous = SYNCHRONOUS[durability]
        if not exists:
            if read_only:
                raise UsageError(f"there is no log at {folder}; open it for writing once to create it")
            refuse_network_folder(folder)
            with translated(f"creating {folder}"):
                _create_home(self.home, wall)
        if not read_only and not os.access(folder, os.W_OK | os.X_OK):
            raise ReadOnlyError(f"this process may not write in {folder}, where the log is")
        self.order, self._shared = self._open_order()
        if durability == "process" and not read_only:
            self.order.relax()
        self.files = FileCache(self._open_file)
        self._reader = Reader(self.home, self.order, self.files)
        self._typed = TypedReader(self.home, self.order, self.files)
        self._trimming = Trimming(self.home, self.order, self.files)
        self._gatekeeper = Gatekeeper(self.home, self.order, self.files)
        with translated(f"opening {folder}"):
            self._written = None if read_only else _Writing(self.home, self.order, self.files, wall)
        # A script that ends without closing must not look like a writer that was killed.
        self._finalizer = weakref.finalize(self, _release, os.getpid(), self._written, self.files, self.order)
        _open_here.add(self)

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, append: Append) -> Receipt:
        # A closed backend has closed files, which the appender meets: the usual path pays for no check of its own.
        written = self._written
        return written.appender.append(append) if written is not None else self._writing().appender.append(append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        return self._writing().appender.append_group(appends)

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        lookout = self._writing().lookout
        types = lookout.types(placed)
        settled = lookout.settled_by(placed)
        if self.home.layout == "sharded" and self.order.relaxed():
            # The order is durable at once: after a power loss it must not name events that are gone from their files.
            # They may be another process's, opened with durability=process while this one was not.
            for shard in {entry.receipt.shard for entry in placed}:
                sync_log(self.home.file_of(shard).path)
        if not self.order.place(placed, after=after, types=types, settled=settled):
            return False
        lookout.placed(placed, settled)
        return True

    def seal(self, shard: str) -> bool:
        return self._writing().ending.seal(shard)

    def fence(self, shard: str) -> None:
        writing = self._writing()
        writing.ending.fence(shard)
        writing.appender.forget(shard)

    def purge(self, shard: str, *, keep: bool) -> None:
        self._writing().ending.purge(shard, keep=keep)

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        self._check_open()
        return self._trimming.weigh(retention, through=through, shard=shard)

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        self._writing()
        return self._trimming.trim(retention, through=through, shard=shard)

    def start_epoch(self, reason: str) -> Epoch:
        from .repair import note_epoch

        now_us = self._writing().bell.now_us()
        note_epoch(self.home, self.order.log_id, self.order.head().epoch + 1)
        return self.order.start_epoch(now_us=now_us, reason=reason)

    def ring_all(self) -> None:
        """Have every open shard looked into: something other than an append has changed it."""
        bell = self._writing().bell
        for place in self.order.open_shards():
            if place.slot is not None:
                bell.ring(place.slot)

    # -- moving -------------------------------------------------------------------------------------------------

    def gate(self) -> Gate:
        self._check_open()
        return self._gatekeeper.gate()

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        self._writing()
        if expected.state is GateState.RECEIVING and gate.state is not GateState.RECEIVING:
            self._ingest().clean()
        return self._gatekeeper.set_gate(gate, expected=expected)

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        self._writing()
        self._ingest().receive(log_id, epochs, note=note)

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        from .extract import Extractor

        self._check_open()
        extractor = Extractor(self.home, self.order, self.files)
        return extractor.extract(after=after, limit=limit, size=size)

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        bell = self._writing().bell
        done = self._ingest().ingest(entries, after=after, states=states)
        bell.ring(0)  # whatever slot: who goes by `mark` must see that there is more
        return done

    def _ingest(self) -> Ingest:
        from .ingest import Ingest

        return Ingest(self.home, self.order, self.files)

    # -- reading ------------------------------------------------------------------------------------------------

    def pending(self, *, limit: int) -> list[Receipt]:
        self._check_open()
        return self._written.lookout.look(limit=limit) if self._written else []

    def mark(self) -> bytes | None:
        """The tokens of the doorbell: each append rings before it is acknowledged."""
        return self._written.bell.read() if self._written is not None and self._finalizer.alive else None

    def head(self) -> Head:
        self._check_open()
        return self.order.head()

    def epochs(self) -> list[Epoch]:
        self._check_open()
        return self.order.epochs()

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        self._check_open()
        return self.order.placed(after=after, limit=limit)

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        self._check_open()
        if types is not None:
            return self._typed.read(after=after, limit=limit, types=types)
        return self._reader.read(after=after, limit=limit)

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        self._check_open()
        return self._typed.read_back(before=before, limit=limit, types=types)

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        self._check_open()
        return self._reader.read_shard(shard, after_seq=after_seq, limit=limit, types=types, newest_first=newest_first)

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        self._check_open()
        return self._reader.shards(after=after, limit=limit)

    def find_shard(self, name: str) -> Shard | None:
        self._check_open()
        return self._reader.find_shard(name)

    def diagnose(self, *, full: bool, link: Callable[[bytes, Receipt], bytes] | None = None) -> list[str]:
        """`link`, that of the sequencer, has the hash chain recomputed too."""
        from .repair import diagnose

        self._check_open()
        return diagnose(self, full=full, link=link)

    def backup(
        self, folder: Path, *, beside: Sequence[str] = (), progress: Callable[[str, int, int], None] | None = None
    ) -> Copied:
        from .backup import backup

        self._check_open()
        more = {"progress": progress} if progress else {}
        return backup(self.home, self.order, folder, read_only=self.read_only, beside=beside, **more)

    def stats(self) -> dict[str, int | float | str]:
        head = self.head()
        return {
            "backend": f"sqlite {self.home.layout}",
            "sqlite": sqlite3.sqlite_version,
            "head": head.position,
            "epoch": head.epoch,
            **self.order.counts(),
            "pending": len(self.pending(limit=1000)),
            "open_files": len(self.files),
        }

    # -- opening and closing ------------------------------------------------------------------------------------

    def close(self) -> None:
        self._finalizer()

    def _writing(self) -> _Writing:
        self._check_open()
        if self._written is None:
            raise ReadOnlyError(f"{self.url} was opened for reading")
        return self._written

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise UsageError(f"{self.url} is closed, or was opened before this process was forked: open it here")

    def _open_order(self) -> tuple[OrderFile, ShardFile | None]:
        """The order file; in the consolidated layout also as the file of all shards, on the same connection."""
        path = self.home.order
        db = connect_for_reading(path) if self.read_only else connect(path)
        try:
            with translated(f"opening {path}"):
                log_id = check_file(path, db, kind=self.home.order_kind, log_id=None)
                if self.home.layout == "consolidated" and not self.read_only:
                    db.execute(f"PRAGMA synchronous={self._synchronous}")
        except BaseException:
            db.close()
            raise
        order = OrderFile(path, db, log_id)
        # A reader has a connection of its own for the shards: where it may create nothing, either may be opened anew.
        shared = self.home.layout == "consolidated" and not self.read_only
        return order, ShardFile(path, db, order.lock) if shared else None

    def _open_file(self, kind: FileKind) -> ShardFile:
        if self._shared is not None:
            return self._shared
        if not kind.path.exists():
            raise FileNotFoundError(kind.path)
        read_only = self.read_only
        db = connect_for_reading(kind.path) if read_only else connect(kind.path, synchronous=self._synchronous)
        try:
            with translated(f"opening {kind.path}"):
                check_file(kind.path, db, kind=kind.kind, log_id=self.order.log_id)
            return ShardFile(kind.path, db)
        except BaseException:
            db.close()
            raise


def _create_home(home: Home, wall: Callable[[], int]) -> None:
    """The file that makes a folder a home; whoever is first makes it, and the others take that."""
    top = next(folder for folder in home.folder.absolute().parents if folder.exists())
    home.folder.mkdir(parents=True, exist_ok=True)
    with alone_in(home.folder):  # or two that want two layouts would make both
        find_layout(home.folder, home.layout)
        epoch = ("INSERT INTO epoch VALUES (1, 0, ?, ?, 'created')", (GENESIS, wall()))
        tables = ORDER_TABLES + (SHARD_TABLES if home.layout == "consolidated" else "")
        create_file(home.order, image(tables, log_id=uuid4(), kind=home.order_kind, statements=[epoch]))
        sync_names(home.order.absolute(), top=top)


def _release(pid: int, written: _Writing | None, files: FileCache, order: OrderFile) -> None:
    if os.getpid() != pid:  # a forked child must not drop its parent's locks
        return
    files.close()
    order.close()
    if written is not None:
        written.close()


#: the backends of this process, for the child of a fork to give up
_open_here: weakref.WeakSet[SqliteBackend] = weakref.WeakSet()


def _give_up() -> None:
    """In a forked child: SQLite's handles and locks must be neither used nor closed on both sides of a fork."""
    for backend in list(_open_here):
        backend._finalizer.detach()
        backend.files.give_up()


os.register_at_fork(after_in_child=_give_up)
