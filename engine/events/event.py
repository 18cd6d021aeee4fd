"""An event: one fact with its envelope; and the record, the same thing as a backend sees it.

Not here: the kinds of facts (one module a subject, beside this one) and their bytes (serdes/).
"""

from __future__ import annotations

import time
from enum import IntFlag
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar, dataclass_transform

import msgspec


class Topic(IntFlag):
    """What a fact concerns, and how long it is kept; stored beside each record, readable without knowing the kind.

    The low byte are topics: an unknown kind stops only views of its topics. The next two bits are the retention
    class: see `Retention`.
    """

    RUN = 1
    STEP = 2
    ASSET = 4
    PARTITION = 8
    SCHEDULE = 16
    POOL = 32
    QUEUE = 64
    LOG = 128


class Retention(IntFlag):
    """What a purge does with a fact. One of four, in bits 8 and 9 of `Record.topics`."""

    RUN = 0  #: goes with its run
    LOG = 256  #: chatter: goes with its run, and may go earlier by age
    TICK = 512  #: detail of a system shard (a tick that asked for nothing, a slot claimed): may go by age
    KEPT = 768  #: asset facts, wipes, partitions, admissions, tombstones: outlives the purge, at its seq and position


RETENTION_MASK = 768
MAX_DEPTH = 64  #: lists and dicts inside one another, in the plain documents that facts carry


class Record(NamedTuple):
    """One event as a backend sees it: enough to index and route, the rest opaque."""

    type: str  #: stable name of the kind, as `STEP_START`; never empty
    ts_us: int  #: the event's own time: microseconds since 1970-01-01 UTC, by its writer's clock
    topics: int  #: `Topic` and `Retention` bits
    body: bytes

    @property
    def kept(self) -> bool:
        """Whether the record outlives the purge of its shard."""
        return self.topics & RETENTION_MASK == Retention.KEPT


class Kind(NamedTuple):
    """What is declared once for each kind of fact, in the body of its class."""

    name: str  #: stable: on disk for ever, whatever becomes of the class
    topics: int  #: `Topic` bits
    retention: int = Retention.RUN
    version: int = 1  #: 1 to 127; the newest this code knows

    @property
    def flags(self) -> int:
        """What `Record.topics` holds: the topics and the retention class."""
        return int(self.topics | self.retention)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Fact(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of every kind of fact: frozen, keyword-only, past tense. Times are integer microseconds, UTC.

    A default is part of the wire format: it is left out of the bytes, so changing one needs a new version.
    Facts and events are out of the garbage collector's sight (`gc=False`): frozen trees of plain values hold no cycle,
    and a page of thousands is read a third faster.
    """

    KIND: ClassVar[Kind]


class Opaque(Fact):
    """A fact this process does not know: of a newer release, or of a kind nobody registered here. Kept whole.

    Its bytes are copied on as they were, envelope and all. Made by decoding only.
    """

    name: str
    version: int
    body: bytes  #: the record's body, byte for byte
    topics: int = int(Retention.KEPT) | 255  #: as stored beside the record; unknown: concerns everything, is kept

    @property
    def KIND(self) -> Kind:  # type: ignore[override]  # the kind of this one fact, not of the class
        return Kind(self.name, self.topics & 255, self.topics & RETENTION_MASK, self.version)


F = TypeVar("F", bound=Fact)


class Event(msgspec.Struct, Generic[F], frozen=True, array_like=True, gc=False):
    """One fact with its envelope: what happened, when, in which step."""

    fact: F
    timestamp_us: int  #: microseconds since 1970-01-01 UTC, on the writer's clock
    step_key: str | None = None
    job_name: str | None = None
    level: int | None = None  #: as the standard logging levels: 10 debug ... 50 critical
    message: str | None = None  #: one line for people

    @property
    def type(self) -> str:
        """The stable name of the kind of fact, as `STEP_START`; readable also when the kind is unknown here."""
        return self.fact.KIND.name

    @classmethod
    def now(cls, fact: F, **envelope: Any) -> Event[F]:
        """An event that happens now, by this machine's clock."""
        return cls(fact, time.time_ns() // 1000, **envelope)
