"""Damage: find it, and mend what can be mended without losing an acknowledged append.

    diagnose        what does not add up, one sentence each with the remedy
    adopt           the order is older than the files: let it know those it does not
    rebuild_order   order.db is lost: order all there is anew, in an epoch of its own
    note_epoch      keep the epoch's number where it outlives order.db

Run files are the truth about events, order.db about positions. It can be made anew from the files, but not the
positions it gave, nor what it kept of deleted runs: keep a copy of order.db.
Not here: views (`foldlog verify`), the sequencer, whose `link` a caller may pass to have the hash chain recomputed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from ...engine.errors import CorruptLogError, FoldlogError, UnavailableError, UsageError
from ...engine.log.port import GENESIS, Receipt, ShardState
from .at_rest import connect_for_reading
from .connect import connect, transaction, translated
from .doorbell import Writers, wall_us
from .home import FileKind, Home
from .order import Place
from .schema import ORDER_TABLES, SHARD_TABLES, alone_in, check_file, create_file, image, sync_names
from .shardfile import Fence, Found, ShardFile, checked

if TYPE_CHECKING:
    from .backend import SqliteBackend

CHUNK = 1000  #: rows looked at in one go
MOVED_AWAY = "it moved to another place; which one, was noted in the order that was lost"
LEFT_OVER_S = 600  #: a temporary file of this age is nobody's any more

Progress = Callable[[str, int, int], None]  #: what is looked at, how many are done, of how many
Link = Callable[[bytes, Receipt], bytes]  #: the chain after a receipt: `engine.log.sequencer.link`


class Rebuilt(NamedTuple):
    """What `rebuild_order` has made, and what it could not."""

    log_id: UUID
    epoch: int
    shards: int  #: that the new order knows; none has a position yet, the next pass gives them all
    sealed: list[str]  #: they count as open until they are sealed again
    notes: list[str]  #: what is lost, or must be done by hand


def _quiet(what: str, done: int, total: int) -> None:
    return None


# -- looking -----------------------------------------------------------------------------------------------------------


def diagnose(
    backend: SqliteBackend, *, full: bool = False, link: Link | None = None, progress: Progress = _quiet
) -> list[str]:
    """What does not add up, one sentence each with the remedy; empty when all is well. Changes nothing.

    A quick look asks the order, the names of the files, and the ends of open shards. `full` reads every event too:
    pages and indexes, checksums, receipts against the timeline, the type index and, with `link`, the hash chain.
    """
    looks: list[Callable[[], Iterator[str]]] = [
        lambda: _order_faults(backend),
        lambda: _file_faults(backend),
        lambda: _shard_faults(backend, full, progress),
    ]
    if full:
        looks += [lambda: _page_faults(backend, progress), lambda: _timeline_faults(backend, link, progress)]
    faults: list[str] = []
    for look in looks:
        try:
            faults.extend(look())
        except UnavailableError:
            raise
        except FoldlogError as error:  # too damaged to look further this way
            faults.append(f"{error}: {error.remedy}")
    return list(dict.fromkeys(faults))


def _order_faults(backend: SqliteBackend) -> Iterator[str]:
    order = backend.order
    with order.lock, translated(f"reading {order.path}"):
        order.db.execute("BEGIN")  # one snapshot: others go on placing
        try:
            head = order.head()
            (ordered,) = order.db.execute("SELECT coalesce(sum(ordered_seq), 0) FROM place").fetchone()
            double = order.db.execute(
                "SELECT slot FROM place WHERE slot IN (SELECT slot FROM free_slot) OR slot < 0"
            ).fetchall()
            epochs = order.epochs()
            chains = {epoch.number: _chain_at(backend, epoch.after_position) for epoch in epochs}
        finally:
            order.db.execute("ROLLBACK")
    if ordered != head.position:
        yield (
            f"{order.path}: the shards have {ordered} events on the timeline, which ends at {head.position}: restore "
            "it from a backup, or rebuild the order"
        )
    if double:
        yield f"{order.path}: slots {[slot for (slot,) in double]} are both free and taken: restore it from a backup"
    for number, epoch in enumerate(epochs, start=epochs[0].number if epochs else 1):
        if epoch.number != number or epoch.after_position > head.position or chains[epoch.number] != epoch.chain:
            yield f"{order.path}: epoch {epoch.number} does not fit the timeline: restore it from a backup"
    if not epochs:
        yield f"{order.path} has no epoch: restore it from a backup"


def _chain_at(backend: SqliteBackend, position: int) -> bytes:
    """The chain of the receipt that ends at a position; empty if none does."""
    if position == 0:
        return GENESIS
    found = backend.order.placed(after=position - 1, limit=1)
    return bytes(found[0].chain) if found and found[0].last_position == position else b""


def _file_faults(backend: SqliteBackend) -> Iterator[str]:
    """Files that are there and should not be, or are not known."""
    home = backend.home
    if home.layout == "sharded":
        known = {home.file_of(place.name).path: place for place in _places(backend)}
        for path in home.run_files():
            place = known.get(path)
            if place is None:
                if backend.order.find(_name_in(path, backend.order.log_id)) is None:  # not announced since, either
                    yield (
                        f"{path} is not known to {home.order}, which was put back from an older copy: run `foldlog "
                        "doctor --adopt`"
                    )
            elif place.state is ShardState.PURGED and _still(backend, place):
                yield f"{path} was to be deleted with run {place.name}: delete the run again, which completes it"
    for path in _left_over(home):
        yield f"{path} was left over by a process that was killed: delete it"


def _left_over(home: Home) -> list[Path]:
    temporary = [*home.folder.glob(".*.tmp"), *home.writers.glob(".*"), *home.runs.glob("??/.*.tmp")]
    old = [path for path in temporary if _age_s(path) > LEFT_OVER_S]
    alone = [
        path
        for pattern in ("runs/??/*.db-wal", "*.db-wal")
        for path in home.folder.glob(pattern)
        if not path.with_name(path.name.removesuffix("-wal")).exists()
    ]
    return [*old, *(path for path in alone if path.exists())]


def _age_s(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0


def _shard_faults(backend: SqliteBackend, full: bool, progress: Progress) -> Iterator[str]:
    places = list(_places(backend))
    for done, place in enumerate(places):
        progress("shards", done, len(places))
        try:
            found = list(_faults_of(backend, place, full))
        except UnavailableError:
            raise
        except FoldlogError as error:
            found = [f"{error}: {error.remedy}"]
        if found and _still(backend, place):
            yield from found
    progress("shards", len(places), len(places))


def _faults_of(backend: SqliteBackend, place: Place, full: bool) -> Iterator[str]:
    if place.state is ShardState.FENCED:
        yield f"the deletion of {place.name} was begun and not completed: delete it again"
    if place.state is ShardState.PURGED:
        if full:
            yield from _kept_faults(backend, place)
        return
    kind = backend.home.file_of(place.name)
    number = backend.home.number_in_file(place.name, place.id)
    if not kind.path.exists():
        if place.ordered_seq:
            yield f"{kind.path} is missing, with {place.ordered_seq} events of {place.name}: restore it from a backup"
        return
    if place.slot is None and not full:
        return
    try:
        with backend.files.use(kind) as file:
            end = file.end(number)
            if place.ordered_seq or end.seq:  # else it may be announced, and not yet in a file of many shards
                fence = Fence(file.mark(number, place.name) & 3)
                if fence is Fence.PURGED and place.state is ShardState.OPEN:
                    yield f"the deletion of {place.name} was begun and not completed: delete it again"
    except FileNotFoundError:
        yield f"{kind.path} is missing: restore it from a backup"
        return
    if end.seq < place.ordered_seq:
        yield (
            f"{kind.path}: {place.name} ends at seq {end.seq}, the timeline has {place.ordered_seq} events of it: an "
            "older copy was put there, restore the newest"
        )
    elif end.seq > place.ordered_seq and place.slot is None:
        yield (
            f"{kind.path}: {place.name} has events that nobody looks for, since {backend.home.order} is older: run "
            "`foldlog doctor --adopt`"
        )
    if full:
        yield from _event_faults(backend, place, kind, number)


def _event_faults(backend: SqliteBackend, place: Place, kind: FileKind, number: int) -> Iterator[str]:
    """Every event and receipt of a shard, against their checksums and the timeline."""
    ordered = _ordered(backend, place)
    types = _Types(backend)
    after = 0
    while True:
        with backend.files.use(kind) as file:
            found = file.receipts(number, place.name, after_seq=after, chunk=CHUNK)
            if found:
                file.records(number, place.name, after + 1, found[-1].receipt.last_seq)
        for one in found:
            if one.receipt.first_seq <= place.ordered_seq:
                yield from _difference(place, one, next(ordered, None), types)
        if not found:
            break
        after = found[-1].receipt.last_seq
    if next(ordered, None) is not None:
        yield f"{kind.path} lacks events of {place.name} that have positions: restore it from a backup"
    yield from _key_faults(backend, place, kind, number)


def _difference(place: Place, found: Found, ordered: tuple[int, Receipt] | None, types: _Types) -> Iterator[str]:
    seq = found.receipt.first_seq
    if ordered is None or ordered[1] != found.receipt:
        yield f"{place.name}: the receipt at seq {seq} is not the one on the timeline: restore from a backup"
    elif not _indexed(types.at(ordered[0]), found):
        yield f"{place.name}: the index of types is wrong at position {ordered[0]}: restore order.db from a backup"


def _indexed(types: set[str], found: Found) -> bool:
    """Whether the index fits; a trim that was cut short leaves types in it of which there are no events any more."""
    return found.types <= types if found.freed else found.types == types


def _key_faults(backend: SqliteBackend, place: Place, kind: FileKind, number: int) -> Iterator[str]:
    """Keys are found through an index, and each must be."""
    with backend.files.use(kind) as file, translated(f"reading {kind.path}"):
        low, high = number << 36, (number + 1) << 36
        rows = file.db.execute("SELECT key FROM event WHERE id > ? AND id < ? AND keyed", (low, high))
        if any(len(key) != 16 or file.find_key(number, place.name, UUID(bytes=key)) is None for (key,) in rows):
            yield f"{kind.path}: the index of keys lacks some of {place.name}: restore it from a backup"


def _kept_faults(backend: SqliteBackend, place: Place) -> Iterator[str]:
    """What is kept of a purged shard: checksums, and that the index finds it."""
    types = _Types(backend)
    kept: dict[int, str] = {}
    for row in backend.order.kept(place.id, 0, place.ordered_seq):
        checked(backend.order.path, place.name, row)
        kept[row[0]] = row[1]
    for position, receipt in _ordered(backend, place):
        wanted = {kind for seq, kind in kept.items() if receipt.first_seq <= seq <= receipt.last_seq}
        if types.at(position) != wanted:
            yield f"{place.name}: the index of types is wrong at position {position}: restore order.db from a backup"


class _Types:
    """The type index, asked by position."""

    def __init__(self, backend: SqliteBackend) -> None:
        self._order = backend.order
        with self._order.lock, translated(f"reading {self._order.path}"):
            self._ids = dict(self._order.db.execute("SELECT id, name FROM type").fetchall())

    def at(self, position: int) -> set[str]:
        with self._order.lock, translated(f"reading {self._order.path}"):
            return {
                name
                for id_, name in self._ids.items()
                if self._order.db.execute(
                    "SELECT 1 FROM timeline_type WHERE type = ? AND position = ?", (id_, position)
                ).fetchone()
            }


def _ordered(backend: SqliteBackend, place: Place) -> Iterator[tuple[int, Receipt]]:
    """(position, receipt) of a shard as the timeline has them, in seq order."""
    after = 0
    while True:
        with backend.order.lock, translated(f"reading {backend.order.path}"):
            rows = backend.order.db.execute(
                "SELECT position, first_seq, count, key, at_us, digest FROM timeline WHERE shard = ? AND first_seq > ? "
                "AND first_seq <= ? ORDER BY first_seq LIMIT ?",
                (place.id, after, place.ordered_seq, CHUNK),
            ).fetchall()
        for position, first, count, key, at_us, digest in rows:
            yield position, Receipt(place.name, first, first + count - 1, UUID(bytes=key), at_us, digest)
        if len(rows) < CHUNK:
            return
        after = rows[-1][1]


def _page_faults(backend: SqliteBackend, progress: Progress) -> Iterator[str]:
    """SQLite's own check of pages and indexes, file by file."""
    home = backend.home
    kinds = {home.file_of(place.name) for place in _places(backend) if place.state is not ShardState.PURGED}
    checks: list[FileKind | None] = [None, *sorted(kind for kind in kinds if kind.path != home.order)]
    for done, kind in enumerate(checks):
        progress("files", done, len(checks))
        path = kind.path if kind else home.order
        try:
            if kind is None:
                with backend.order.lock, translated(f"checking {path}"):
                    said = backend.order.db.execute("PRAGMA integrity_check(10)").fetchall()
            else:
                with backend.files.use(kind) as file:
                    said = file.db.execute("PRAGMA integrity_check(10)").fetchall()
        except FileNotFoundError:
            continue  # told of already, if it should be there
        except CorruptLogError as error:
            yield f"{error}: {error.remedy}"
            continue
        for (text,) in said:
            if text != "ok":
                yield f"{path} is damaged, SQLite says: {' '.join(str(text).split())}: restore it from a backup"
    progress("files", len(checks), len(checks))


def _timeline_faults(backend: SqliteBackend, link: Link | None, progress: Progress) -> Iterator[str]:
    """Positions without a hole, and the hash chain over all receipts."""
    head = backend.order.head()
    position, chain = 0, GENESIS
    while position < head.position:
        progress("positions", position, head.position)
        page = backend.order.placed(after=position, limit=CHUNK)
        for entry in page:
            if entry.position != position + 1:
                yield f"{backend.order.path}: position {position + 1} is missing: restore it from a backup"
            if link is not None and link(chain, entry.receipt) != entry.chain:
                yield (
                    f"{backend.order.path}: the hash chain breaks at position {entry.position}, in "
                    f"{entry.receipt.shard}: the timeline was altered or damaged, restore it from a backup"
                )
            position, chain = entry.last_position, entry.chain
        if not page:
            yield f"{backend.order.path}: positions past {position} are missing: restore it from a backup"
            break
    progress("positions", head.position, head.position)


def _places(backend: SqliteBackend) -> Iterator[Place]:
    after = ""
    while page := backend.order.page(after=after, limit=CHUNK):
        yield from page
        after = page[-1].name


def _still(backend: SqliteBackend, place: Place) -> bool:
    """Whether a shard is in the state in which a fault of it was found: it may have ended meanwhile."""
    now = backend.order.find(place.name)
    return now is not None and now.state is place.state


# -- mending -----------------------------------------------------------------------------------------------------------


def adopt(backend: SqliteBackend, *, progress: Progress = _quiet) -> list[str]:
    """Let an order that is older than the files know what it does not, as after order.db was put back from a copy.

    Starts an epoch if there is anything to adopt: positions given since the copy are given again, to other events.
    Returns the shards that were adopted; the next pass gives them positions. Raises CorruptLogError where the order has
    meanwhile given a system shard's number to another: rebuild the order then.
    """
    if backend.read_only:
        raise UsageError("open the log for writing to adopt files")
    home, order = backend.home, backend.order
    if home.layout == "consolidated":
        return []  # one file: never older than itself
    paths = home.run_files()
    found = _system_shards_unknown(backend)  # first, for their numbers are given
    for done, path in enumerate(paths):
        progress("run files", done, len(paths))
        name, fence, end = _run_in(path, order.log_id)
        place = order.find(name)
        if place is None or (place.slot is None and place.state is ShardState.SEALED and end > place.ordered_seq):
            found.append((name, fence, None))
    if not found:
        return []
    backend.start_epoch(f"{len(found)} shards were adopted that {home.order.name} did not know")
    for name, fence, number in found:
        with order.writing() as db:
            place = order.find(name)
            if place is None:
                sql = "INSERT INTO place (id, name, state) VALUES (?, ?, 'open')"
                db.execute(sql, (number, name))
                place = order.find(name)
            if place is not None and place.slot is None:
                place = order.give_slot(place)
                order.set_state(place, ShardState.FENCED if fence is Fence.PURGED else ShardState.OPEN)
    backend.ring_all()
    progress("run files", len(paths), len(paths))
    return [name for name, *_ in found]


def _system_shards_unknown(backend: SqliteBackend) -> list[tuple[str, Fence, int | None]]:
    path = backend.home.shared_file().path
    if not path.exists():
        return []
    with closing(connect_for_reading(path)) as db, translated(f"reading {path}"):
        rows = db.execute("SELECT number, name, fence FROM shard ORDER BY number").fetchall()
    found: list[tuple[str, Fence, int | None]] = []
    for number, name, fence in rows:
        place = backend.order.find(name)
        taken = backend.order.db.execute("SELECT 1 FROM place WHERE id = ?", (number,)).fetchone()
        if place is None and taken is None:
            found.append((name, Fence(fence & 3), number))
        elif place is None or place.id != number:
            raise CorruptLogError(
                f"{path} knows {name} as number {number}, which {backend.home.order} has since given to another shard: "
                "move order.db away and rebuild the order"
            )
    return found


def rebuild_order(folder: Path, *, progress: Progress = _quiet) -> Rebuilt:
    """Make order.db anew from the files of a home that has lost it, in the next epoch; nothing has a position yet.

    The next pass orders all events by their times. A cursor of before is accepted if the same receipts come to stand
    up to its position, and refused otherwise; it never skips. Sealed shards are open until sealed again, and what was
    being deleted stays fenced. What was kept of deleted runs was in order.db alone, and is lost with it.

    Raises UsageError if there is an order, UnavailableError while other processes write here, CorruptLogError if the
    files are not of one log.
    """
    home = Home(folder, "sharded")
    if home.order.exists() or (folder / "log.db").exists():
        raise UsageError(f"{folder} has an order; move {home.order} away if it is damaged, then rebuild it")
    if not home.run_files() and not home.shared_file().path.exists():
        raise UsageError(f"{folder} holds no shards to order")
    with alone_in(folder), translated(f"rebuilding {home.order}"):
        if Writers(home.writers).others_live():
            raise UnavailableError(f"other processes write in {folder}; end them first")
        system, epoch, log_id = _system(home)
        runs, log_id, notes = _runs(home, log_id, progress)
        shards = [(number, name, fence) for number, name, fence in system]
        first = max((number for number, *_ in system), default=0) + 1
        shards += [(id_, name, fence) for id_, (name, fence) in enumerate(runs, start=first)]
        _make_order(home, log_id, epoch + 1, shards)
    if any(name == "@instance" for _, name, _ in system):
        notes.append("if runs were deleted here, the facts that were kept of them are lost with order.db")
    sealed = [name for _, name, fence in shards if fence is Fence.SEALED]
    return Rebuilt(log_id, epoch + 1, len(shards), sealed, notes)


def _system(home: Home) -> tuple[list[tuple[int, str, Fence]], int, UUID | None]:
    """The system shards, the last epoch and the log's id, as system.db has them."""
    path = home.shared_file().path
    if not path.exists():
        return [], 1, None
    with closing(connect(path)) as db, translated(f"reading {path}"):
        log_id = check_file(path, db, kind="system", log_id=None)
        rows = db.execute("SELECT number, name, fence FROM shard ORDER BY number").fetchall()
        (epoch,) = db.execute("SELECT coalesce(max(value), 1) FROM meta WHERE name = 'epoch'").fetchone()
    return [(number, name, Fence(fence & 3)) for number, name, fence in rows], int(epoch), log_id


def _runs(home: Home, log_id: UUID | None, progress: Progress) -> tuple[list[tuple[str, Fence]], UUID, list[str]]:
    """The runs, from their files; a file that cannot be read is noted, to be adopted once it is restored."""
    paths = home.run_files()
    runs, notes = [], []
    for done, path in enumerate(paths):
        progress("run files", done, len(paths))
        try:
            if log_id is None:
                with closing(connect_for_reading(path)) as db, translated(f"reading {path}"):
                    log_id = check_file(path, db, kind="run", log_id=None)
            name, fence, _ = _run_in(path, log_id)
            runs.append((name, fence))
        except CorruptLogError as error:
            notes.append(f"{error}; its run is not in the order: restore the file, then run `foldlog doctor --adopt`")
    if log_id is None:
        raise CorruptLogError(f"no file of {home.folder} says which log it is: restore the home from a backup")
    progress("run files", len(paths), len(paths))
    return runs, log_id, notes


def _name_in(path: Path, log_id: UUID) -> str:
    return _run_in(path, log_id)[0]


def _run_in(path: Path, log_id: UUID) -> tuple[str, Fence, int]:
    """The run in a file: its name, its fence, its last seq. Raises CorruptLogError if the file is not in its place."""
    with closing(connect_for_reading(path)) as db, translated(f"reading {path}"):
        check_file(path, db, kind="run", log_id=log_id)
        row = db.execute("SELECT name, fence FROM shard WHERE number = 0").fetchone()
        end = ShardFile(path, db).end(0).seq
    folder = path.parent.parent.parent
    if row is None or Home(folder, "sharded").file_of(row[0]).path != path:
        raise CorruptLogError(
            f"{path} holds run {row and row[0]!r}, which belongs elsewhere: put it under its own name"
        )
    return row[0], Fence(row[1] & 3), end


def _make_order(home: Home, log_id: UUID, epoch: int, shards: list[tuple[int, str, Fence]]) -> None:
    path = home.shared_file().path
    if not path.exists():
        create_file(path, image(SHARD_TABLES, log_id=log_id, kind="system", statements=[]))
        sync_names(path, top=home.folder)
    _put_epoch(path, epoch)
    # A WAL of the lost file would be replayed into the new one; the doorbell's slots are given anew.
    for name in ("order.db-wal", "order.db-shm", "doorbell"):
        with suppress(FileNotFoundError):
            (home.folder / name).unlink()
    rows: list[tuple[str, tuple[object, ...]]] = [
        ("INSERT INTO epoch VALUES (?, 0, ?, ?, 'the order was lost and made anew')", (epoch, GENESIS, wall_us()))
    ]
    for slot, (id_, name, fence) in enumerate(shards):
        state = ShardState.FENCED if fence is Fence.PURGED else ShardState.OPEN
        sql = "INSERT INTO place (id, name, state, slot) VALUES (?, ?, ?, ?)"
        rows.append((sql, (id_, name, state.value, slot)))
    if any(fence is Fence.MOVED for *_, fence in shards):  # or the log would go on in two places
        rows += [("INSERT INTO meta VALUES (?, ?)", row) for row in (("gate", 1), ("gate_note", MOVED_AWAY))]
    create_file(home.order, image(ORDER_TABLES, log_id=log_id, kind="order", statements=rows))
    sync_names(home.order, top=home.folder)


def note_epoch(home: Home, log_id: UUID, number: int) -> None:
    """Keep the epoch's number in system.db, so that an order made anew takes the next one. Before order.db has it."""
    if home.layout == "consolidated":
        return
    path = home.shared_file().path
    with translated(f"writing {path}"):
        if not path.exists():
            create_file(path, image(SHARD_TABLES, log_id=log_id, kind="system", statements=[]))
            sync_names(path, top=home.folder)
        _put_epoch(path, number)


def _put_epoch(path: Path, number: int) -> None:
    with closing(connect(path)) as db, translated(f"writing {path}"), transaction(db):
        sql = "INSERT INTO meta VALUES ('epoch', ?) ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)"
        db.execute(sql, (number,))
