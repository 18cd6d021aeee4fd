"""The end of a shard: sealed when its run has finished, purged when it is deleted.

The order every crash relies on:
  seal     within a transaction of the order: the fence in the file, then the state
  purge    fenced in the file, ordered, kept facts and state in the order, then the file goes
A live file is never replaced by another: a writer that has it open would write to what is gone.
Locks within a process are taken in this order: look, file, order.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress

from ...engine.errors import ConflictError, CorruptLogError, UnavailableError
from ...engine.log.port import Record, ShardState
from .connect import transaction, translated
from .files import FileCache
from .home import FileKind, Home
from .order import OrderFile, Place
from .schema import sync_folder
from .shardfile import FREED, Fence, ShardFile

GONE = (ShardState.FENCED, ShardState.PURGED)


class Ending:
    """Seals and purges. Thread-safe."""

    def __init__(self, home: Home, order: OrderFile, files: FileCache) -> None:
        self._home = home
        self._order = order
        self._files = files

    def seal(self, shard: str) -> bool:
        with self._ending(shard) as (place, file, number):
            if place is None or file is None or place.state in GONE:
                return False
            if not place.ordered_seq and not file.knows(number):
                return False  # announced by a writer whose first append is still to come
            file.mark(number, shard)  # that it is this shard's
            # Within a transaction of the file: no append may come between the look at its end and the fence.
            with nullcontext() if file.db.in_transaction else transaction(file.db):
                if file.end(number).seq != place.ordered_seq:
                    return False
                file.set_fence(number, Fence.SEALED)
            self._order.set_state(place, ShardState.SEALED)
        kind = self._home.file_of(shard)
        if self._home.is_run_file(kind):
            self._compact(kind)
        return True

    def _compact(self, kind: FileKind) -> None:
        """Let a sealed run be one file, readable without a WAL; not while another process has it open."""
        try:
            with self._files.use(kind) as file:
                file.checkpoint()
                file.db.execute("PRAGMA busy_timeout=0")
                file.db.execute("PRAGMA journal_mode=DELETE").fetchall()
        except (UnavailableError, FileNotFoundError):
            pass  # as somebody reads it: it stays as it is, which costs a little at each opening and nothing else
        finally:
            self._files.forget(kind)

    def fence(self, shard: str) -> None:
        with self._ending(shard) as (place, file, number):
            if place is not None and place.state is not ShardState.PURGED:
                fenced = file is not None and file.set_fence(number, Fence.PURGED)
                if not fenced and not place.ordered_seq:
                    return  # announced and not written: without a fence to meet, its writer would pass by the state
                if place.slot is None:  # it was sealed, and is looked into until it is purged
                    place = self._order.give_slot(place)
                self._order.set_state(place, ShardState.FENCED)

    def purge(self, shard: str, *, keep: bool) -> None:
        with self._ending(shard) as (place, file, number):
            if place is None or place.state not in GONE:
                raise ConflictError(f"shard {shard} must be fenced before it is purged")
            if place.state is ShardState.FENCED:
                if file is not None and file.end(number).seq > place.ordered_seq:
                    raise ConflictError(f"shard {shard} has events without a position; sequence them first")
                kept, types = self._outliving(place, file, number, keep)
                self._order.keep(place, kept if keep else [], types)
                self._order.set_state(place, ShardState.PURGED)
            elif not keep:
                types = {row[1] for row in self._order.kept(place.id, 0, place.ordered_seq)}
                self._order.keep(place, [], types)
        self._free(shard)

    def _outliving(
        self, place: Place, file: ShardFile | None, number: int, keep: bool
    ) -> tuple[list[tuple[int, Record, int]], set[str]]:
        """What is kept of a shard, and the types of all its events."""
        if file is not None and file.end(number).seq == place.ordered_seq:
            kept, types = file.kept(number, place.name)
            return kept, self._order.all_types() if FREED in types else types
        if keep:
            raise CorruptLogError(
                f"{self._home.file_of(place.name).path} lacks events of shard {place.name}, and among them what a "
                "purge must keep: restore it from a backup, or purge with keep=False to give them up"
            )
        return [], self._order.all_types()

    def _free(self, shard: str) -> None:
        """Give back a purged shard's storage. Those who have its file open still meet the fence in it."""
        kind = self._home.file_of(shard)
        place = self._order.find(shard)
        try:
            with self._files.use(kind) as file:
                if place is not None:
                    file.erase(self._home.number_in_file(shard, place.id))
        except FileNotFoundError:
            pass
        if self._home.is_run_file(kind):
            self._files.forget(kind)
            with translated(f"removing {kind.path}"):
                for suffix in ("", "-wal", "-shm"):
                    kind.path.with_name(kind.path.name + suffix).unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    sync_folder(kind.path.parent)  # or a power loss would bring back what was deleted

    @contextmanager
    def _ending(self, shard: str) -> Iterator[tuple[Place | None, ShardFile | None, int]]:
        """The shard's row and file within a transaction of the order, for what changes both."""
        kind = self._home.file_of(shard)
        with self._files.use(kind) if kind.path.exists() else nullcontext() as file, self._order.writing():
            place = self._order.find(shard)
            yield place, file, self._home.number_in_file(shard, place.id) if place else 0
