"""A copy of a home that is in use: consistent, as of one position, while others append, seal and delete.

The order comes first, then the files of the shards that it knows: each holds by then all that the order promises of it,
and what it holds beyond is cut off in the copy. A run that was deleted in between leaves a hole; then another round
follows, which copies the order anew and only the files that lack something. Should deletions win again and again, the
last round holds the order's write lock, without which nobody deletes.
The copy is made under another name beside its place, synced, and renamed: half a copy never has a whole one's name.
Files are read through SQLite alone: opening and closing one that is in use would drop this process's locks on it.
Not here: what else may lie in the folder of a home (the caller names it).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import NamedTuple

from ...engine.errors import CorruptLogError, UnavailableError
from ...engine.log.port import Copied, ShardState
from .connect import connect, transaction, translated
from .copying import copy_file, new_folder, room_for, sync_tree
from .home import Home
from .order import OrderFile, Place
from .schema import SEQ_BITS, alone_in
from .shardfile import Fence, ShardFile

ROUNDS = 4  #: the last one holds the order's write lock
PATIENCE_S = 10.0  #: for deletions that are under way to come to their end
PAGE = 1000
DELETING = f"SELECT 1 FROM place WHERE state = '{ShardState.FENCED.value}'"

Progress = Callable[[str, int, int], None]  #: what is copied, how much of it, of how much

_FENCES = {ShardState.SEALED: Fence.SEALED, ShardState.FENCED: Fence.PURGED}


class Held(NamedTuple):
    """What the copy of a file holds of a shard."""

    end: int
    fence: int


def backup(
    home: Home,
    order: OrderFile,
    folder: Path,
    *,
    read_only: bool = False,
    beside: Sequence[str] = (),
    progress: Progress = lambda what, done, total: None,
) -> Copied:
    """Copy a home to `folder`, which must not be there or be empty. `beside`: other SQLite files of the home.

    Raises UsageError for a folder that is taken, UnavailableError if the disk is full or deletions go on without end.
    """
    folder = folder.absolute()
    room_for(home.folder, folder)
    with new_folder(home.folder, folder) as place:
        # Trims wait meanwhile: they would free what the copied order promises.
        with alone_in(home.folder):
            for name in beside:  # first, so that the log they were made from is not behind them
                if (home.folder / name).exists():
                    copy_file(home.folder / name, place / name, read_only=read_only)
            work = _Copy(home, order, Home(place, home.layout), read_only, progress)
            position, shards = work.consolidated() if home.layout == "consolidated" else work.sharded()
        size = sync_tree(place)
    return Copied(folder, position, shards, size)


class _Copy:
    """One copy on its way."""

    def __init__(self, home: Home, order: OrderFile, target: Home, read_only: bool, progress: Progress) -> None:
        self._home = home
        self._order = order
        self._target = target
        self._read_only = read_only
        self._progress = progress
        self._held: dict[str, Held] = {}  #: shard -> what was copied of it
        self._patient_until = time.monotonic() + PATIENCE_S

    def consolidated(self) -> tuple[int, int]:
        """One file is one snapshot."""
        while True:
            self._wait_for_deletions()
            copy_file(
                self._home.order,
                self._target.order,
                read_only=self._read_only,
                progress=lambda done, total: self._progress("pages", done, total),
            )
            if not self._is_deleting():
                break
        return self._position(), sum(_promises(place) for place in self._places())

    def sharded(self) -> tuple[int, int]:
        rounds = 0
        while rounds < ROUNDS:
            last = rounds == ROUNDS - 1 and not self._read_only
            self._wait_for_deletions()
            with self._order.writing() if last else nullcontext():
                copy_file(self._home.order, self._target.order, read_only=self._read_only)
                if self._is_deleting():
                    continue
                lost = self._round()
            if lost is None:
                return self._position(), self._finish()
            rounds += 1
        if self._read_only:
            raise UnavailableError("runs were deleted again and again while they were copied: begin anew")
        raise CorruptLogError(f"{lost} is missing or lacks events that are on the timeline")

    def _round(self) -> Path | None:
        """Copy what is lacking of the shards that the copied order knows. A file that could not be had, if any."""
        (total,) = self._ask("SELECT count(*) FROM place")
        lost, system = None, False
        for done, place in enumerate(self._places()):
            self._progress("files", done, total)
            if not _promises(place) or self._held.get(place.name, Held(0, 0)).end >= place.ordered_seq:
                continue
            if place.name.startswith("@"):
                system = True
            elif not self._copy_run(place):
                lost = self._home.file_of(place.name).path
        if system and not self._copy_system():
            lost = self._home.shared_file().path
        self._progress("files", total, total)
        return lost

    def _copy_run(self, place: Place) -> bool:
        """Whether the file held all that the order promises."""
        source, target = self._home.file_of(place.name).path, self._target.file_of(place.name).path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            copy_file(source, target, read_only=self._read_only)
        except FileNotFoundError:
            for suffix in ("-wal", "-shm"):  # made by an opening that came too late; the run never comes back
                source.with_name(source.name + suffix).unlink(missing_ok=True)
            return False
        self._held[place.name] = self._look(target, [(0, place.name)])[place.name]
        return self._held[place.name].end >= place.ordered_seq

    def _copy_system(self) -> bool:
        source, target = self._home.shared_file().path, self._target.shared_file().path
        try:
            copy_file(source, target, read_only=self._read_only)
        except FileNotFoundError:
            return False
        with closing(connect(target)) as db:
            shards = db.execute("SELECT number, name FROM shard").fetchall()
        self._held |= self._look(target, shards)
        system = (place for place in self._places() if _promises(place) and place.name.startswith("@"))
        return all(self._held.get(place.name, Held(0, 0)).end >= place.ordered_seq for place in system)

    def _look(self, path: Path, shards: list[tuple[int, str]]) -> dict[str, Held]:
        with closing(connect(path)) as db, translated(f"reading {path}"):
            file = ShardFile(path, db)
            return {name: Held(file.end(number).seq, file.mark(number, name) & 3) for number, name in shards}

    def _finish(self) -> int:
        """Cut off what the order does not know, and let shards be in the state that it says."""
        shards = 0
        known: dict[int, Place] = {}
        for place in self._places():
            path = self._target.file_of(place.name).path
            if place.name.startswith("@"):
                known[place.id] = place
            elif not _promises(place):
                path.unlink(missing_ok=True)  # deleted since it was copied
            elif self._held[place.name] != Held(place.ordered_seq, _FENCES.get(place.state, Fence.NONE)):
                self._cut(path, {0: place})
            shards += _promises(place)
        system = self._target.shared_file().path
        if system.exists():
            self._cut(system, known)
        return shards

    def _cut(self, path: Path, known: dict[int, Place]) -> None:
        with closing(connect(path)) as db, translated(f"writing {path}"), transaction(db):
            for (number,) in db.execute("SELECT number FROM shard").fetchall():
                place = known.get(number)
                end = place.ordered_seq if place and _promises(place) else 0
                db.execute(
                    "DELETE FROM event WHERE id > ? AND id < ?", (number << SEQ_BITS | end, (number + 1) << SEQ_BITS)
                )
                if place is None:
                    db.execute("DELETE FROM shard WHERE number = ?", (number,))
                else:
                    fence = _FENCES.get(place.state, Fence.NONE)
                    db.execute("UPDATE shard SET fence = (fence & ~3) | ? WHERE number = ?", (fence, number))

    def _places(self) -> Iterator[Place]:
        """The shards that the copied order knows."""
        with closing(connect(self._target.order)) as db:
            order = OrderFile(self._target.order, db, self._order.log_id)
            after = ""
            while page := order.page(after=after, limit=PAGE):
                yield from page
                after = page[-1].name

    def _position(self) -> int:
        row = self._ask("SELECT coalesce(max(position + count - 1), 0) FROM timeline WHERE position = "
                        "(SELECT max(position) FROM timeline)")  # fmt: skip
        return int(row[0])

    def _ask(self, sql: str) -> tuple[int, ...]:
        with closing(connect(self._target.order)) as db, translated(f"reading {self._target.order}"):
            row: tuple[int, ...] = db.execute(sql).fetchone()
        return row

    # A deletion under way would be one in the copy too, and doctor would ask to complete it there. One that was cut
    # short long ago is never over, and is copied as it is.

    def _wait_for_deletions(self) -> None:
        """Until no deletion is under way, as long as there is patience."""
        while time.monotonic() < self._patient_until:
            with self._order.reading() as db:
                if db.execute(DELETING).fetchone() is None:
                    return
            time.sleep(0.01)

    def _is_deleting(self) -> bool:
        """Whether the copied order has caught a deletion all the same, and another try may not."""
        (deleting,) = self._ask(f"SELECT EXISTS ({DELETING})")
        return bool(deleting) and time.monotonic() < self._patient_until


def _promises(place: Place) -> bool:
    """Whether the order promises events of a shard in its file."""
    return place.ordered_seq > 0 and place.state is not ShardState.PURGED
