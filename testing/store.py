"""The store under test, and the few helpers that all parts of the suite share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from types import TracebackType
from typing import Self
from uuid import UUID

import pytest

from ..backends import open_backend
from ..engine.events.event import Record, Retention, Topic
from ..engine.log.chain import number
from ..engine.log.log import EventLog
from ..engine.log.port import ANY, Append, Backend, Expected, Placed, Receipt, Stored
from ..engine.log.sequencer import Sequencer
from ..serdes import Codec

PLENTY = 10_000  #: a limit that no test of the suite reaches, save those about limits


class Store:
    """A place where a backend keeps one log, opened as often as a test asks, closed at the end.

    `url`: passed to `foldlog.backends.open_backend`, in this process and, with `processes`, in others.
    `opener`: called with `read_only=` instead, for a backend without a URL of its own.
    `shared`: whether all handles in one process see one log.
    `processes`: whether other processes may open `url` at the same time.
    """

    def __init__(
        self,
        url: str = "",
        *,
        opener: Callable[..., Backend] | None = None,
        shared: bool = True,
        processes: bool = True,
    ) -> None:
        self.url = url
        self.shared = shared
        self.processes = processes and bool(url)
        self._opener = opener
        self._opened: list[Backend] = []

    @classmethod
    def of(cls, backend: Backend) -> Store:
        """The store of a backend that is all there is: each handle is that one."""
        return cls(opener=lambda read_only: backend)

    def open(self, *, read_only: bool = False) -> Backend:
        """One more handle on the store."""
        handle = self._opener(read_only=read_only) if self._opener else open_backend(self.url, read_only=read_only)
        self._opened.append(handle)
        return handle

    @property
    def handles(self) -> list[Backend]:
        """The handles that are open."""
        return list(self._opened)

    def reopen(self) -> Backend:
        """A fresh handle after every other was closed."""
        self.close()
        return self.open()

    def and_reopened(self, handle: Backend) -> Iterator[Backend]:
        """First this handle, then, once the caller is done with it, the store opened anew."""
        yield handle
        yield self.reopen()

    def close(self) -> None:
        """Close every handle."""
        while self._opened:
            self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store {self.url or self._opener!r}>"


class SuiteBase:
    """The fixtures of every part of the suite."""

    @pytest.fixture
    def store(self) -> Store:
        raise NotImplementedError("override the fixture `store` in your subclass of BackendSuite")

    @pytest.fixture
    def backend(self, store: Store) -> Backend:
        return store.open()

    @pytest.fixture
    def other(self, store: Store, backend: Backend) -> Backend:
        """A second handle on the store of `backend`, opened after it."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        return store.open()

    @pytest.fixture
    def log(self, store: Store) -> EventLog:
        """The store as callers see it, with foldlog's own codec."""
        return EventLog(store.open(), Codec())


def record(
    body: bytes = b"x",
    *,
    type: str = "MARK",
    kept: bool = False,
    retention: Retention = Retention.RUN,
    ts_us: int = 1_700_000_000_000_000,
) -> Record:
    """One record; `kept` ones outlive the purge of their shard, those of LOG and TICK may go by a trim."""
    topics = Topic.ASSET | Retention.KEPT if kept else Topic.RUN | retention
    return Record(type, ts_us, int(topics), body)


def digest_of(records: Sequence[Record]) -> bytes:
    """A digest over types and bodies, as a codec makes one: not over times."""
    digest = blake2b(digest_size=16)
    for type, _, topics, body in records:
        digest.update(b"%d %d %d " % (len(type.encode()), topics, len(body)) + type.encode() + body)
    return digest.digest()


def an_append(shard: str, *records: Record | bytes, expected: Expected = ANY, key: UUID | int | None = None) -> Append:
    """An append of records or bodies; a whole number for `key` stands for the UUID of that number."""
    made = [record(item) if isinstance(item, bytes) else item for item in records or (b"x",)]
    return Append(shard, made, digest_of(made), expected, UUID(int=key) if isinstance(key, int) else key)


def put(
    backend: Backend, shard: str, *records: Record | bytes, expected: Expected = ANY, key: UUID | int | None = None
) -> Receipt:
    """Append records or bodies."""
    return backend.append(an_append(shard, *records, expected=expected, key=key))


def held(backend: Backend, shard: str) -> list[Stored]:
    """All that a shard holds, in seq order."""
    return backend.read_shard(shard, after_seq=0, limit=PLENTY, types=None, newest_first=False)


def bodies(stored: Sequence[Stored]) -> list[bytes | None]:
    """What was read, bodies alone; None where purged."""
    return [item.record.body if item.record else None for item in stored]


def sequence(backend: Backend) -> int:
    """Give every receipt its position, as the log does it; the last position."""
    return Sequencer(backend).catch_up().position


def place_only(backend: Backend, *receipts: Receipt) -> list[Placed]:
    """Put these receipts on the timeline, in this order."""
    head = backend.head()
    placed = number(receipts, after=head)
    assert backend.place(placed, after=head), "nobody else sequences here, so the head cannot have moved"
    return placed


def timeline(backend: Backend, *, page: int = PLENTY, types: frozenset[str] | None = None) -> list[Stored]:
    """The whole timeline, read in pages."""
    found: list[Stored] = []
    after = 0
    while part := backend.read(after=after, limit=page, types=types):
        assert len(part) <= page
        found += part
        assert part[-1].position is not None, "a record on the timeline has a position"
        assert part[-1].position > after, "a page goes on past the one before it"
        after = part[-1].position
    return found
