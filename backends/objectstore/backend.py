"""The port on objects: which question goes to which module, and whether it may write."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from ...engine.errors import FoldlogError, ReadOnlyError, UsageError
from ...engine.log.port import (
    TRIMMABLE,
    Append,
    Collected,
    Compacted,
    Entry,
    Epoch,
    Gate,
    Head,
    Kept,
    Outcome,
    Placed,
    Receipt,
    Shard,
    ShardState,
    Stored,
    Weight,
)
from ..sql.forked import begin_anew_in_children
from . import audit, names
from .adopting import adopt
from .appending import Appender
from .collecting import GRACE_S, Collector
from .compacting import Compactor
from .gate import Gatekeeper
from .holdings import Holdings, holdings
from .library import Library
from .life import Life
from .markers import Writers
from .moving import Mover
from .naming import naming_the_log
from .order_log import STALL_S, OrderLog, wall_us
from .packing import Packer
from .pendings import Pendings
from .reading import Reader
from .state import State
from .step import Operation
from .stores.counting import Counted
from .stores.parallel import Parallel
from .stores.port import Objects
from .tails import Tails

LOOK_S: Final = 5.0  #: a follower lists what is pending at least so often; else it only asks for the next step
LEAST_GRACE: Final = 120  #: times STALL_S, which is an hour
POLL_S: Final = 0.5  #: between two such questions


@naming_the_log
class ObjectBackend:
    """One log below one prefix of a store of objects."""

    looks = 2  #: a listing, and the headers it leads to, are no snapshot
    pass_s = 1.0  #: what this process appends gets positions so often at most: a pass costs a list and a put

    def __init__(
        self, objects: Objects, *, read_only: bool = False, probes: bool = False, stall_s: float = STALL_S
    ) -> None:
        """`probes`: before a log is made, try whether the store keeps what logs build on."""
        self.url = objects.url
        self._read_only = read_only
        self._counted = Counted(objects)
        self._parallel = Parallel()
        self._order = OrderLog(self._counted, self._parallel, read_only=read_only, probes=probes, stall_s=stall_s)
        self._closed = threading.Event()
        self._looked = 0.0
        try:
            self._order.open()
            self._assemble()
        except BaseException:
            self._parallel.close()
            objects.close()
            raise
        begin_anew_in_children(self)

    def _assemble(self) -> None:
        order = self._order
        self._library = Library(self._counted, self._parallel)
        self._pendings = Pendings(order, self._library, read_only=self._read_only)
        self._tails = Tails(order, self._library)
        self._writers = Writers(order, self.url)
        self._appender = Appender(order, self._library, self._pendings, self._tails, self._writers)
        self._reader = Reader(order, self._library, self._pendings)
        self._life = Life(order, self._reader, self._pendings, self._tails, self._writers)
        self._gate = Gatekeeper(order, self._library, self._pendings)
        self._packer = Packer(order, self._library, self._reader)
        self._compactor = Compactor(order, self._library, self._reader, self._packer)
        self._collector = Collector(
            order, self._library, self._pendings, self._packer, self._gate, read_only=self._read_only
        )
        self._mover = Mover(order, self._reader, self._packer, self._tails)

    def begin_anew(self) -> None:
        """In a forked child: what was under way goes on in the parent."""
        self._order.begin_anew()
        self._closed = threading.Event()
        self._assemble()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}{' (read only)' if self._read_only else ''}>"

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, append: Append) -> Receipt:
        self._check_writable()
        return self._appender.append(append)

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        self._check_writable()
        return self._appender.append_group(appends)

    def pending(self, *, limit: int) -> list[Receipt]:
        self._looked = time.monotonic()
        return [one.receipt for one in self._pendings.look().pending[:limit]]

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        self._check_writable()
        return self._pendings.place(placed, after=after)

    def seal(self, shard: str) -> bool:
        self._check_writable()
        return self._life.seal(shard)

    def fence(self, shard: str) -> None:
        self._check_writable()
        self._life.fence(shard)

    def purge(self, shard: str, *, keep: bool) -> None:
        self._check_writable()
        self._packer.purge(shard, keep=keep)

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        self._check_writable()
        if retention not in TRIMMABLE:
            raise UsageError(f"records of retention class {retention} go with their run, or never; not by a trim")
        return self._packer.trim(retention, through=through, shard=shard)

    def start_epoch(self, reason: str) -> Epoch:
        self._check_writable()

        def decide(state: State) -> list[Operation]:
            last = state.epochs[-1].number
            return [["epoch", last + 1, state.position, state.chain, wall_us(), reason]]

        self._order.refresh()
        self._order.commit(decide)
        return self.epochs()[-1]

    # -- reading ------------------------------------------------------------------------------------------------

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        return self._reader.read_shard(shard, after_seq=after_seq, limit=limit, types=types, newest_first=newest_first)

    def head(self) -> Head:
        self._order.refresh()
        with self._order.lock:
            return self._order.state.head

    def epochs(self) -> list[Epoch]:
        self._order.refresh()
        with self._order.lock:
            return list(self._order.state.epochs)

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        return self._reader.read(after=after, limit=limit, types=types)

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        return self._reader.read_back(before=before, limit=limit, types=types)

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        return self._reader.placed(after=after, limit=limit)

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        return self._life.shards(after=after, limit=limit)

    def find_shard(self, name: str) -> Shard | None:
        return self._life.find_shard(name)

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        return self._packer.weigh(retention, through=through, shard=shard)

    def stats(self) -> dict[str, int | float | str]:
        look = self._pendings.look()
        counts = self._counted.snapshot()
        oldest = min((one.receipt.at_us for one in look.pending), default=None)
        with self._order.lock:
            state = self._order.state
            shards = len(state.lines) + len(look.ends.keys() - state.lines.keys())
            steps, position = state.k, state.position
        return {
            "backend": "objectstore",
            "shards": shards,
            "head": position,
            "pending": len(look.pending),
            "lag_s": 0.0 if oldest is None else max(0.0, (wall_us() - oldest) / 1e6),
            "steps": steps,
            "requests_put": counts.create + counts.put,
            "requests_get": counts.get,
            "requests_list": counts.list,
            "requests_delete": counts.delete,
            "bytes_read": counts.bytes_read,
            "bytes_written": counts.bytes_written,
            "dollars": round(counts.dollars, 6),
        }

    # -- waiting ------------------------------------------------------------------------------------------------

    def is_followed(self) -> bool | None:
        """Who follows is not known here, so what is appended is always given its position soon. By one process: while
        many append, whoever has waited longest places what all have appended, and the others need not list it."""
        waited = self._pendings.waited_s()
        if waited is None:
            return False
        return True if waited >= self.pass_s else None

    def wait(self, *, timeout_us: int) -> bool:
        """False: nobody has placed anything since, and what is pending was looked for a moment ago."""
        with self._order.lock:
            k = self._order.state.k
        if self._closed.wait(max(timeout_us / 1e6, POLL_S)):
            return True
        self._order.refresh()
        with self._order.lock:
            return self._order.state.k != k or time.monotonic() - self._looked > LOOK_S

    # -- moving -------------------------------------------------------------------------------------------------

    def gate(self) -> Gate:
        return self._gate.gate()

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        self._check_writable()
        return self._gate.set_gate(gate, expected=expected)

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        self._check_writable()
        self._gate.receive(log_id, epochs, note=note)

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        return self._mover.extract(after=after, limit=limit, size=size)

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        self._check_writable()
        return self._mover.ingest(entries, after=after, states=states)

    # -- files beside the log -----------------------------------------------------------------------------------

    def keep(self, name: str, data: bytes) -> bool:
        self._check_writable()
        return self._counted.create(names.KEPT + name, data)

    def fetch(self, name: str) -> bytes | None:
        return self._counted.get(names.KEPT + name)

    def kept(self, prefix: str) -> list[Kept]:
        found = self._counted.list(names.KEPT + prefix)
        return [Kept(one.name.removeprefix(names.KEPT), one.size, one.modified_us) for one in found]

    def drop(self, files: Sequence[str]) -> None:
        self._check_writable()
        self._counted.delete([names.KEPT + name for name in files])

    # -- upkeep and the end -------------------------------------------------------------------------------------

    def compact(self, *, progress: Callable[[str, int, int], None] | None = None) -> Compacted:
        self._check_writable()
        return self._compactor.run(progress)

    def collect(
        self,
        *,
        dry_run: bool = False,
        grace_s: float | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Collected:
        if not dry_run:
            self._check_writable()
        grace_s = GRACE_S if grace_s is None else grace_s
        if not grace_s >= LEAST_GRACE * self._order.stall_s:
            error = UsageError(f"a grace of {grace_s:g} s is too short: others may go by what they saw a moment ago")
            error.remedy = f"Give at least {LEAST_GRACE * self._order.stall_s:g} seconds; a day is the default."
            raise error
        return self._collector.run(grace_s=grace_s, dry_run=dry_run, progress=progress)

    def diagnose(self, *, full: bool) -> list[str]:
        return audit.diagnose(self._order, self._library, self._pendings, full=full)

    def adopt(self) -> list[str]:
        """Announce segments that landed, and whose writer ended before it did so; their names."""
        self._check_writable()
        return adopt(self._order, self._library, self._pendings, self._writers)

    def holdings(self) -> Holdings:
        """What lies in the store, and what came in the last hour; for people."""
        return holdings(self._counted)

    def close(self) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        try:
            self._writers.close()
        except FoldlogError:
            pass  # a registration that stays is reaped in time
        finally:
            self._appender.close()
            self._parallel.close()
            self._counted.close()

    def _check_writable(self) -> None:
        if self._read_only:
            raise ReadOnlyError(f"the log {self.url} was opened with read_only=True")
