"""The writer that groups appends: order, outcomes, flush, back-pressure, failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest

from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import AppendKeyConflict, ConflictError, UnavailableError, UsageError
from foldlog.engine.log import writer as module
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import NEW, Append, CanGroup, Outcome, Receipt
from foldlog.engine.log.writer import EventWriter
from foldlog.serdes import Codec
from foldlog.testing.log import line


class Gated(MemoryBackend):
    """A memory backend whose commits wait to be let through, and can be made to fail."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[list[str]] = []
        self.open = threading.Event()
        self.open.set()
        self.arrived = threading.Semaphore(0)
        self.failure: Exception | None = None

    def append_group(self, appends: Sequence[Append]) -> list[Outcome]:
        self.groups.append([append.shard for append in appends])
        self.arrived.release()
        assert self.open.wait(30)
        if self.failure:
            raise self.failure
        return super().append_group(appends)


@pytest.fixture
def backend() -> Gated:
    return Gated()


@pytest.fixture
def log(backend: Gated) -> EventLog:
    return EventLog(backend, Codec())


@pytest.fixture
def writer(log: EventLog, backend: Gated) -> Iterator[EventWriter]:
    made = log.writer()
    yield made
    backend.open.set()
    backend.failure = None
    try:
        made.close()
    except Exception:  # what a test made fail is told once more when nobody asked before
        made.close()


def texts(log: EventLog, shard: str) -> list[str]:
    return [record.event.fact.text for record in log.read_shard(shard, limit=10_000).records]


def test_each_append_has_its_receipt(log: EventLog, writer: EventWriter) -> None:
    """P2: in the order they were queued."""
    futures = [writer.append(f"run-{n % 3}", [line(f"{n}")] * (1 + n % 2)) for n in range(60)]
    writer.flush()
    assert all(future.done() for future in futures)
    for shard in range(3):
        receipts = [future.result() for future in futures[shard::3]]
        ends = [0] + [receipt.last_seq for receipt in receipts]
        assert [receipt.first_seq for receipt in receipts] == [end + 1 for end in ends[:-1]]
    assert texts(log, "run-1") == [f"{n}" for n in range(1, 60, 3) for _ in range(1 + n % 2)]


def test_the_next_group_gathers_while_one_is_in_flight(writer: EventWriter, backend: Gated) -> None:
    """No fixed window: one commit under way, everything queued meanwhile is the next."""
    backend.open.clear()
    writer.append("run-0", [line("x")])
    assert backend.arrived.acquire(timeout=30)
    for number in range(1, 8):
        writer.append(f"run-{number}", [line("x")])
    backend.open.set()
    writer.flush()
    assert backend.groups == [["run-0"], [f"run-{number}" for number in range(1, 8)]]


def test_a_group_is_bounded(writer: EventWriter, backend: Gated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GROUP", 10)
    backend.open.clear()
    for _ in range(26):
        writer.append("run-1", [line("x")])
    backend.open.set()
    writer.flush()
    assert max(map(len, backend.groups)) == 10
    assert sum(map(len, backend.groups)) == 26


def test_a_conflict_fails_alone(log: EventLog, writer: EventWriter, backend: Gated) -> None:
    """P3, P4: its future has the error, `flush` raises the first one, once."""
    backend.open.clear()
    good = [writer.append("run-1", [line("a")], expected=NEW), writer.append("run-1", [line("b")], key=UUID(int=1))]
    bad = [writer.append("run-1", [line("c")], expected=NEW), writer.append("run-1", [line("d")], key=UUID(int=1))]
    last = writer.append("run-1", [line("e")], expected=2)
    backend.open.set()
    with pytest.raises(ConflictError) as caught:
        writer.flush()
    assert caught.value is bad[0].exception()
    assert [type(future.exception()) for future in bad] == [ConflictError, AppendKeyConflict]
    assert [future.result().first_seq for future in [*good, last]] == [1, 2, 3]
    assert texts(log, "run-1") == ["a", "b", "e"]
    writer.flush()


def test_a_failed_commit_reaches_every_caller(log: EventLog, writer: EventWriter, backend: Gated) -> None:
    """P3: each may retry with its key; the writer goes on."""
    backend.failure = UnavailableError("no answer")
    futures = [writer.append("run-1", [line(f"{n}")], key=UUID(int=n + 1)) for n in range(5)]
    with pytest.raises(UnavailableError):
        writer.flush()
    assert all(isinstance(future.exception(), UnavailableError) for future in futures)
    backend.failure = None
    again = [writer.append("run-1", [line(f"{n}")], key=UUID(int=n + 1)) for n in range(5)]
    writer.flush()
    assert [future.result().first_seq for future in again] == [1, 2, 3, 4, 5]


def test_what_can_be_refused_at_once_is(writer: EventWriter, log: EventLog) -> None:
    for shard, events in (("../x", [line("a")]), ("run-1", [])):
        with pytest.raises(UsageError):
            writer.append(shard, events)
    writer.flush()
    assert log.read().records == []


def test_a_slow_store_slows_its_writers(log: EventLog, backend: Gated) -> None:
    """Back-pressure: beyond `max_pending`, `append` waits for room."""
    writer = log.writer(max_pending=3)
    backend.open.clear()
    writer.append("run-1", [line("in flight")])
    assert backend.arrived.acquire(timeout=30)
    for number in range(3):
        writer.append("run-1", [line(f"{number}")])
    with ThreadPoolExecutor(1) as pool:
        blocked = pool.submit(writer.append, "run-1", [line("more")])
        with pytest.raises(TimeoutError):
            blocked.result(0.05)
        backend.open.set()
        assert blocked.result(30).result(30).first_seq == 5
    writer.close()
    with pytest.raises(UsageError, match="max_pending"):
        log.writer(max_pending=0)


def test_flush_waits_for_what_was_queued_before_it(log: EventLog, writer: EventWriter, backend: Gated) -> None:
    """And no longer, however much others queue meanwhile."""
    backend.open.clear()
    first = writer.append("run-1", [line("a")])
    assert backend.arrived.acquire(timeout=30)
    with pytest.raises(TimeoutError, match="1 append"):
        writer.flush(timeout=0.02)
    flushed = threading.Event()

    def flush() -> None:
        writer.flush()
        flushed.set()

    def keep_queueing(_: Any) -> None:  # in the writer's thread, before it can tell that anything is durable
        if not flushed.is_set():
            writer.append("run-2", [line("more")]).add_done_callback(keep_queueing)

    first.add_done_callback(keep_queueing)
    thread = threading.Thread(target=flush)
    thread.start()
    backend.open.set()
    assert flushed.wait(30)
    thread.join()
    assert first.done()


def test_a_cancelled_append_is_not_written(log: EventLog, writer: EventWriter, backend: Gated) -> None:
    backend.open.clear()
    writer.append("run-1", [line("a")])
    assert backend.arrived.acquire(timeout=30)
    dropped = writer.append("run-1", [line("b")])
    writer.append("run-1", [line("c")])
    assert dropped.cancel()
    backend.open.set()
    writer.flush()
    assert texts(log, "run-1") == ["a", "c"]


def test_a_group_of_cancelled_appends(log: EventLog, writer: EventWriter, backend: Gated) -> None:
    backend.open.clear()
    writer.append("run-1", [line("a")])
    assert backend.arrived.acquire(timeout=30)
    assert writer.append("run-1", [line("b")]).cancel()
    backend.open.set()
    writer.flush()
    writer.append("run-1", [line("c")])
    writer.flush()
    assert texts(log, "run-1") == ["a", "c"]


def test_closing_writes_what_is_queued(log: EventLog, backend: Gated) -> None:
    """P1: then refuses; closing again is no error."""
    backend.open.clear()
    with log.writer() as writer:
        futures = [writer.append("run-1", [line(f"{n}")]) for n in range(5)]
        backend.open.set()
    assert [future.result(0).first_seq for future in futures] == [1, 2, 3, 4, 5]
    writer.close()
    with pytest.raises(UsageError, match="closed"):
        writer.append("run-1", [line("late")])


def test_closing_raises_what_failed(log: EventLog, backend: Gated) -> None:
    """A program that never looks at its futures learns of a loss all the same."""
    writer = log.writer()
    backend.failure = UnavailableError("no answer")
    writer.append("run-1", [line("a")])
    with pytest.raises(UnavailableError):
        writer.close()


class OneByOne(MemoryBackend):
    append_group = None  # type: ignore[assignment]  # how a class says that it lacks what its base has


def test_a_backend_that_cannot_group() -> None:
    """The same answers, one by one."""
    log = EventLog(OneByOne(), Codec())
    assert not isinstance(log.backend, CanGroup)
    with log.writer() as writer:
        first, second = writer.append("run-1", [line("a")]), writer.append("run-1", [line("b")], expected=NEW)
        third = writer.append("run-1", [line("c")])
        with pytest.raises(ConflictError):
            writer.flush()
        assert (first.result().first_seq, third.result().first_seq) == (1, 2)
        assert isinstance(second.exception(), ConflictError)


def test_many_threads(log: EventLog, writer: EventWriter) -> None:
    """P2: every append lands once, those of one thread in its order."""

    def work(name: int) -> None:
        for number in range(100):
            writer.append("run-all", [line(f"{name}:{number}")])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    writer.flush()
    found = texts(log, "run-all")
    assert len(found) == len(set(found)) == 800
    for name in range(8):
        assert [text for text in found if text.startswith(f"{name}:")] == [f"{name}:{number}" for number in range(100)]


def taken(outcome: Outcome) -> Receipt:
    """The receipt, or the error raised."""
    if isinstance(outcome, Receipt):
        return outcome
    raise outcome


@pytest.mark.parametrize("in_groups", [True, False])
def test_what_comes_after_one_without_an_answer_is_not_tried(
    log: EventLog, writer: EventWriter, backend: Gated, monkeypatch: pytest.MonkeyPatch, in_groups: bool
) -> None:
    """Nor what comes after that; others are, and so are those after one that was refused for good."""
    monkeypatch.setattr(writer, "_can_group", in_groups)
    if not in_groups:
        monkeypatch.setattr(backend, "append", lambda append: taken(backend.append_group([append])[0]))
    backend.open.clear()
    first = writer.append("run-1", [line("a")])
    assert backend.arrived.acquire(timeout=30)  # it is being tried
    second = writer.append("run-1", [line("b")], after=first)
    third = writer.append("run-1", [line("c")], after=second)
    other = writer.append("run-2", [line("x")])
    backend.failure = UnavailableError("no answer")
    backend.open.set()
    assert isinstance(first.exception(), UnavailableError)
    backend.failure = None
    assert isinstance(second.exception(), UnavailableError)
    assert isinstance(third.exception(), UnavailableError)
    assert other.exception() is None or isinstance(other.exception(), UnavailableError)
    assert texts(log, "run-1") == []
    again = writer.append("run-1", [line("a")])
    refused = writer.append("run-1", [line("no")], expected=NEW, after=again)
    behind = writer.append("run-1", [line("b")], after=refused)
    assert behind.result().last_seq == 2
    assert isinstance(refused.exception(), ConflictError)
    assert texts(log, "run-1") == ["a", "b"]
