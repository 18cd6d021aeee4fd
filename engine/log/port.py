"""What a backend must do: keep records by seq within a shard and by position on the timeline.

A backend decodes no body and knows no run. Its conformance suite is `foldlog.testing`; the memory backend is the
model the others are compared with. Two levels, on every backend: `append` touches only its own shard; `place`,
called by the sequencer, gives committed receipts their positions.
Not here: what events mean (events/), bytes (serdes/), how receipts are ordered (sequencer.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable
from uuid import UUID

from ..errors import LogMoved, UsageError
from ..events.event import RETENTION_MASK, Record, Retention

__all__ = [
    "ANY",
    "GENESIS",
    "LIMITS",
    "MAX_SEQ",
    "NEW",
    "OPEN_GATE",
    "RETENTION_MASK",
    "TRIMMABLE",
    "Amount",
    "Append",
    "Backend",
    "CanBackup",
    "CanCompact",
    "CanGroup",
    "CanKeep",
    "CanMove",
    "CanPrompt",
    "CanRepair",
    "CanTell",
    "CanWait",
    "Collected",
    "Compacted",
    "Copied",
    "Entry",
    "Epoch",
    "Expect",
    "Expected",
    "Gate",
    "GateState",
    "HasDatabase",
    "HasHome",
    "Head",
    "Home",
    "Limits",
    "Outcome",
    "Placed",
    "Receipt",
    "Record",
    "Shard",
    "ShardState",
    "Stored",
    "Weight",
    "check_gate_step",
    "refusal",
]


class Expect(Enum):
    """What a writer may demand of a shard besides an exact last seq."""

    ANY = "any"
    NEW = "new"


ANY: Final = Expect.ANY  #: append wherever the shard ends
NEW: Final = Expect.NEW  #: append only if the shard holds nothing yet
Expected = Expect | int  #: ANY, NEW, or the last seq the writer has read (0 is NEW)


class Limits(NamedTuple):
    """Bounds every backend keeps, so that a log may move between them."""

    events: int = 10_000  #: events in one append
    bytes: int = 16 * 1024 * 1024  #: encoded bytes of one append
    shard_name: int = 200  #: bytes of a shard name in UTF-8
    page: int = 10_000  #: records in one read


LIMITS: Final = Limits()
TRIMMABLE: Final = (int(Retention.LOG), int(Retention.TICK))  #: retention classes that may go by age
MAX_SEQ: Final = 2**36  #: events of one shard, on any backend


class Receipt(NamedTuple):
    """The record of one append; what `append` answers and what the sequencer orders.

    `at_us` is when the store took it: microseconds since 1970-01-01 UTC, strictly increasing within a shard, by one
    clock that never steps back on one machine. `digest` covers the facts in canonical form.
    """

    shard: str
    first_seq: int
    last_seq: int
    key: UUID
    at_us: int
    digest: bytes
    duplicate: bool = False  #: True when `key` had recorded these facts before

    @property
    def size(self) -> int:
        """How many events it recorded."""
        return self.last_seq - self.first_seq + 1


class Append(NamedTuple):
    """One append as a backend takes it. `key` is None unless the caller gave one."""

    shard: str
    records: Sequence[Record]
    digest: bytes  #: 16 bytes over the facts in canonical form
    expected: Expected = ANY
    key: UUID | None = None


class Placed(NamedTuple):
    """A receipt with its place: `position` of its first event, and the hash chain up to and with this receipt."""

    position: int
    receipt: Receipt
    chain: bytes  #: 16 bytes

    @property
    def last_position(self) -> int:
        return self.position + self.receipt.size - 1


class Head(NamedTuple):
    """The end of the timeline: epoch, last position given, chain there."""

    log_id: UUID
    epoch: int
    position: int
    chain: bytes


class Epoch(NamedTuple):
    """A stretch of history under one order. Whatever rebuilds the order starts another one."""

    number: int
    after_position: int  #: the epoch's first event comes right after this position
    chain: bytes  #: the chain at `after_position`
    started_us: int
    reason: str


GENESIS: Final = bytes(16)  #: the chain before the first receipt


class Stored(NamedTuple):
    """One record as read back. `position` is None while its receipt is not placed; `record` is None where its body is
    gone: its run was purged, or its retention class was trimmed."""

    shard: str
    seq: int
    position: int | None
    record: Record | None


class ShardState(Enum):
    """Where a shard is in its life."""

    OPEN = "open"
    SEALED = "sealed"  #: finished; a late append opens it again
    FENCED = "fenced"  #: about to be purged: whole, but it refuses appends for ever
    PURGED = "purged"  #: deleted; only kept facts remain, and it refuses appends for ever


class Shard(NamedTuple):
    """One shard as the backend lists it. `ordered_seq` is the last seq with a position."""

    name: str
    state: ShardState
    ordered_seq: int


class Weight(NamedTuple):
    """How much of a log: a number of events, and the bytes of their bodies."""

    events: int = 0
    bytes: int = 0

    def plus(self, other: Weight) -> Weight:
        """Both together."""
        return Weight(self.events + other.events, self.bytes + other.bytes)


Outcome = Receipt | Exception  #: of one append in a group


class Entry(NamedTuple):
    """One receipt of the timeline with all it brings, as a log moves.

    `records`: those of its seqs, in order; None where the body is gone, by a purge or a trim.
    `keyed`: whether its key was the caller's, and answers a retry; of a purged shard, where nobody may retry, False.
    """

    placed: Placed
    keyed: bool
    records: Sequence[Record | None]

    @property
    def size(self) -> int:
        """Bytes of its bodies."""
        return sum([len(record.body) for record in self.records if record is not None])


class GateState(Enum):
    """Whether a log takes appends. The value is what backends store."""

    OPEN = 0
    MOVED = 1  #: it went elsewhere: no append, for ever; all else goes on, `place` too
    RECEIVING = 2  #: a copy is being put there: no append, and nothing is pending; `ingest` alone


class Gate(NamedTuple):
    """The gate of a whole log. `note`: where it went, or what it is a copy of; for people, and to tell gates apart."""

    state: GateState
    note: str = ""


OPEN_GATE: Final = Gate(GateState.OPEN)
_STEPS = ((GateState.OPEN, GateState.MOVED), (GateState.MOVED, GateState.OPEN), (GateState.RECEIVING, GateState.OPEN))


def check_gate_step(before: Gate, after: Gate) -> None:
    """Raise UsageError for a change of the gate that no log goes through."""
    if before.state is not after.state and (before.state, after.state) not in _STEPS:
        raise UsageError(f"a log that is {before.state.name} does not become {after.state.name}")


def refusal(url: str, gate: Gate) -> LogMoved:
    """What an append meets behind a gate that is not open."""
    if gate.state is GateState.RECEIVING:
        error = LogMoved(f"{url} takes no appends yet: {gate.note}")
        error.remedy = "Complete the copy: run the same `foldlog copy` again; it opens the log at its end."
        return error
    return LogMoved(f"{url} takes no appends any more: {gate.note}")


class Backend(Protocol):
    """Keeps records, by seq within a shard and by position on the timeline. Decodes no body. Thread-safe."""

    url: str  #: without credentials
    looks: int  #: how often `pending` must be asked for one consistent cut: 1 if it reads one snapshot, else 2

    def append(self, append: Append) -> Receipt:
        """All records or none, durably. A key seen before answers with its first receipt, marked duplicate."""

    def read_shard(
        self, shard: str, *, after_seq: int, limit: int, types: frozenset[str] | None, newest_first: bool
    ) -> list[Stored]:
        """Up to `limit` records with seq past `after_seq` (below it when `newest_first` and it is not 0), in order."""

    def pending(self, *, limit: int) -> list[Receipt]:
        """Committed receipts without a position, as one look finds them; of each shard a gapless run from its end."""

    def place(self, placed: Sequence[Placed], *, after: Head) -> bool:
        """Put receipts on the timeline behind `after`, durably; False, and no trace, if another was faster."""

    def head(self) -> Head:
        """The end of the timeline, as committed."""

    def epochs(self) -> list[Epoch]:
        """All epochs, oldest first."""

    def read(self, *, after: int, limit: int, types: frozenset[str] | None) -> list[Stored]:
        """Up to `limit` records of the timeline past position `after`, dense (all types) and final."""

    def read_back(self, *, before: int | None, limit: int, types: frozenset[str]) -> list[Stored]:
        """Up to `limit` records of some types with a position below `before` (None: from the end), newest first.

        Through the index by type: the work does not grow with what lies between. Purged records are left out."""

    def placed(self, *, after: int, limit: int) -> list[Placed]:
        """Up to `limit` placed receipts that end past position `after`, purged ones too, in timeline order."""

    def shards(self, *, after: str, limit: int) -> list[Shard]:
        """Up to `limit` shards with a name past `after`, by name in code point order."""

    def find_shard(self, name: str) -> Shard | None:
        """One shard by name, or None if nothing was ever appended to it."""

    def seal(self, shard: str) -> bool:
        """Mark a fully placed shard finished; False if an append came in between. A late append opens it again."""

    def fence(self, shard: str) -> None:
        """Refuse all appends to the shard from now on, for ever, also by writers that have it open. Idempotent; an
        unknown shard is left unknown."""

    def purge(self, shard: str, *, keep: bool) -> None:
        """Free the records of a fenced, fully placed shard; with `keep`, those of `Retention.KEPT` stay readable at
        their seq and position. Idempotent. Raises ConflictError if the shard is not fenced or not fully placed."""

    def weigh(self, retention: int | None, *, through: int, shard: str | None) -> dict[int, Weight]:
        """What can be read at positions up to `through`, by retention class: of one class, or of all that occur
        (None); in one shard, or everywhere (None). Changes nothing."""

    def trim(self, retention: int, *, through: int, shard: str | None) -> Weight:
        """Free the bodies of all placed records of one retention class at positions up to `through`, in one shard or
        everywhere, and give their storage back; what this call has freed. Seqs, positions, receipts and keys stay, and
        a freed record reads as purged. UsageError for a class that is not TRIMMABLE. Idempotent: killed anywhere, the
        same call completes it."""

    def stats(self) -> dict[str, int | float | str]:
        """Sizes and counts for people and metrics; cheap."""

    def close(self) -> None:
        """Free every handle. Idempotent."""


@runtime_checkable
class CanGroup(Protocol):
    """Optional: several appends in one commit. Elsewhere they go one by one."""

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        """Each append as `append` would answer; a refused one leaves the others untouched. All durable on return."""


@runtime_checkable
class CanWait(Protocol):
    """Optional: sleep until the timeline may have grown. Readers of other backends poll."""

    def wait(self, *, timeout_us: int) -> bool | None:
        """False if nothing has been placed meanwhile and a look at what is pending would cost more than it is worth
        now: wait again."""


@runtime_checkable
class CanPrompt(Protocol):
    """Optional: know whether anybody, in whatever process, waits in `wait` to be told of what is sequenced."""

    pass_s: float  #: seconds between two passes of one process, at least

    def is_followed(self) -> bool | None:
        """None: others may be about to sequence what this process has appended; ask again soon."""


@runtime_checkable
class CanTell(Protocol):
    """Optional: tell, in microseconds, that nothing has happened. Of other backends the head is asked for."""

    def mark(self) -> bytes | None:
        """A value that is another one as soon as an append has been acknowledged since, in whatever process, or entries
        were put in (`CanMove.ingest`); None if that cannot be told."""


@runtime_checkable
class CanRepair(Protocol):
    """Optional: look for damage and mend what can be mended without losing an acknowledged append."""

    def diagnose(self, *, full: bool) -> list[str]:
        """What does not add up, one sentence each with the remedy; empty when all is well."""

    def start_epoch(self, reason: str) -> Epoch:
        """Begin another epoch at the head."""


@runtime_checkable
class CanMove(Protocol):
    """Optional: hand a log over to another backend, and take one over. All of foldlog's own backends can.

    While the gate is not open, every append (in a group too) raises LogMoved, with the gate's note in the message, and
    writes nothing; what would be refused anyway may say so instead (ConflictError), and a retry of what was recorded
    may be answered with its receipt. A refused append makes no shard that shows. Reading, sealing, fencing, purging,
    trimming and epochs go on behind any gate.
    """

    def gate(self) -> Gate:
        """The gate as it stands."""

    def set_gate(self, gate: Gate, *, expected: Gate) -> bool:
        """Replace the gate that was expected, durably; False, and no trace, if it is another.

        To close it holds off the appends under way: when this has returned, none that had not committed ever will, in
        whatever process, and all that had are pending or have their positions. Killed while closing, it may leave
        appends refused (LogMoved) behind a gate that still reads OPEN; the same call completes it, and
        `set_gate(OPEN_GATE, expected=OPEN_GATE)` takes it back. Opening lets in those who have had the log open all
        along.

        OPEN to MOVED and back, RECEIVING to OPEN, and another note for the same state; UsageError for anything else.
        RECEIVING begins with `receive`.
        """

    def receive(self, log_id: UUID, epochs: Sequence[Epoch], *, note: str) -> None:
        """Become the destination of a copy: take over a log's id and its epochs, and put up the gate RECEIVING, in
        one step, durably.

        The log must be empty and its gate open; who has it open meanwhile must open it anew. Behind a gate that is
        RECEIVING with the same log id and the same note, at any head: replace the epochs. `epochs`: from 1 on, each
        after a position up to the head. Raises ConflictError for any other log, which is left as it was; so two copies
        never mix, and a note that another has changed (`set_gate`) ends this one.
        """

    def extract(self, *, after: int, limit: int, size: int) -> list[Entry]:
        """The entries that begin past position `after`, in timeline order: at least one if there is one, and then as
        many as hold up to `limit` events and about `size` bytes of bodies in all. Bodies are checked as by `read`."""

    def ingest(self, entries: Sequence[Entry], *, after: Head, states: Mapping[str, ShardState]) -> bool:
        """Put entries on the timeline right behind `after`, as they are, durably; False, and no trace, if the head is
        elsewhere. Killed in between, the timeline shows all or nothing of them, and the same call goes on from there.

        Everything is as at the source: seqs, positions, times, digests, chain, and keys, which answer retries where
        `keyed`. The caller has checked the chain and that positions are dense.
        `states`: of shards in `entries`, which state they have from now on: SEALED; or PURGED, for one that is new here
            or purged already, whose records are then the kept ones (Retention.KEPT) or None. OPEN where none is named.

        Raises UsageError unless the gate is RECEIVING, ConflictError for a receipt that does not begin right behind the
        end of its shard, or for a shard that is fenced, or purged and not named so.
        """


class Copied(NamedTuple):
    """A copy of a log, as it stood at one position."""

    folder: Path
    position: int
    shards: int  #: of which it holds events
    bytes: int


@runtime_checkable
class CanBackup(Protocol):
    """Optional: copy the log, as it stands, to a folder of its own while others go on."""

    def backup(
        self, folder: Path, *, beside: Sequence[str] = (), progress: Callable[[str, int, int], None] | None = None
    ) -> Copied:
        """A whole copy of what has positions, or no `folder` at all; it must not be there, or be empty. `beside`: what
        else lies in the log's own folder and is to be copied, if it is there. `progress`: what, how much of it, of how
        much."""


class Kept(NamedTuple):
    """A file that is kept beside a log."""

    name: str
    size: int  #: bytes
    modified_us: int  #: when it was written, by the store's clock


@runtime_checkable
class CanKeep(Protocol):
    """Optional: keep files beside the log that can be made again from it, for machines that have none of their own yet:
    snapshots of views. Names are ASCII, parts of [A-Za-z0-9._=@~-]+ joined by "/". Each call raises UnavailableError
    if the store gives no answer."""

    def keep(self, name: str, data: bytes) -> bool:
        """Keep a file that is not there, whole or not at all; False if there is one of that name, which stays."""

    def fetch(self, name: str) -> bytes | None:
        """The whole file; None if there is none."""

    def kept(self, prefix: str) -> list[Kept]:
        """Those whose names begin with `prefix`, which ends with "/", by name."""

    def drop(self, files: Sequence[str]) -> None:
        """Delete files; missing ones are no matter."""


class Amount(NamedTuple):
    """So many objects of a store, and the bytes in them."""

    objects: int = 0
    bytes: int = 0

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(self.objects + other.objects, self.bytes + other.bytes)


class Compacted(NamedTuple):
    """What a compaction has done."""

    shards: int  #: that lie in fewer objects now
    superseded: int  #: objects that this made garbage
    written: Mapping[str, Amount]  #: new objects, by kind


class Collected(NamedTuple):
    """What a collection has deleted; of a dry run, what it would have."""

    garbage: Mapping[str, Amount]  #: by kind
    unannounced: Sequence[
        str
    ]  #: old segments that nobody was told of: they stay, and `foldlog doctor --adopt` adds them
    dry_run: bool

    @property
    def total(self) -> Amount:
        """All kinds together."""
        return Amount(
            sum(one.objects for one in self.garbage.values()), sum(one.bytes for one in self.garbage.values())
        )


@runtime_checkable
class CanCompact(Protocol):
    """Optional: rewrite many small objects as few large ones, and delete what nobody needs any more. Others read and
    write meanwhile. Killed anywhere, the next call goes on from there. `progress`: what, how much of it, of how
    much."""

    def compact(self, *, progress: Callable[[str, int, int], None] | None = None) -> Compacted:
        """Put the events of finished shards, and long tails of others, together."""

    def collect(
        self,
        *,
        dry_run: bool = False,
        grace_s: float | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> Collected:
        """Delete what has been garbage for `grace_s` seconds, by the store's clock: by default for a day. `dry_run`:
        only tell. Raises UsageError for a grace that readers and writers could not rely on."""


@runtime_checkable
class HasDatabase(Protocol):
    """Optional: a database and its one bounded pool, for tables beside those of the log."""

    @property
    def engine(self) -> Any:
        """A `sqlalchemy.Engine`; the log closes it."""

    @property
    def schema(self) -> str:
        """The schema that holds the log's tables."""


class Home(Protocol):
    """A folder on this machine that is the log's own."""

    folder: Path


@runtime_checkable
class HasHome(Protocol):
    """Optional: files that can be made again from the log may lie in its folder."""

    @property
    def home(self) -> Home: ...
