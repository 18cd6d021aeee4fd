"""The log over the memory backend: arguments, limits, cursors under race, errors. All else: foldlog.testing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest

import foldlog
from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import EncodingError, FoldlogError, ReadOnlyError, UsageError
from foldlog.engine.events.event import Event
from foldlog.engine.events.log import LogMessage
from foldlog.engine.log.log import EventLog, EventRecord, Purged
from foldlog.engine.log.port import LIMITS, NEW, Stored
from foldlog.serdes import Codec
from foldlog.testing.log import line, tombstone
from foldlog.testing.store import record


@pytest.fixture
def backend() -> MemoryBackend:
    return MemoryBackend()


@pytest.fixture
def log(backend: MemoryBackend) -> Iterator[EventLog]:
    with EventLog(backend, Codec()) as made:
        yield made


# -- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shard", ["", "../x", "a/b", "x" * 201, "a\0"])
def test_shard_names_are_checked(log: EventLog, shard: str) -> None:
    for deed in (
        lambda: log.append(shard, [line("a")]),
        lambda: log.read_shard(shard),
        lambda: log.seal(shard),
        lambda: log.purge(shard, tombstone("x")),
    ):
        with pytest.raises(UsageError, match="shard name"):
            deed()


@pytest.mark.parametrize("limit", [0, -1, LIMITS.page + 1])
def test_limits_are_checked(log: EventLog, limit: int) -> None:
    """Every read is bounded, and says so instead of giving another number of records."""
    for deed in (log.read, lambda limit: log.read_shard("run-1", limit=limit), log.shards):
        with pytest.raises(UsageError, match="limit"):
            deed(limit=limit)


def test_appends_are_bounded(log: EventLog) -> None:
    with pytest.raises(UsageError, match="1 to 10,000 events"):
        log.append("run-1", [])
    with pytest.raises(UsageError, match="10,001"):
        log.append("run-1", [line("x")] * 10_001)
    big = line("x" * (LIMITS.bytes // 2))
    log.append("run-1", [big])
    with pytest.raises(UsageError, match="run-1"):
        log.append("run-1", [big, big])
    assert log.catch_up().position == 1


def test_expected_is_checked(log: EventLog) -> None:
    with pytest.raises(UsageError, match="expected=-1"):
        log.append("run-1", [line("x")], expected=-1)
    assert log.append("run-1", [line("x")], expected=0).first_seq == 1


def test_what_cannot_be_encoded_is_refused(log: EventLog) -> None:
    """P2: nothing of the batch is written."""
    with pytest.raises(EncodingError):
        log.append("run-1", [line("good"), Event.now(LogMessage(text=b"bytes"))])  # type: ignore[arg-type]
    assert log.backend.find_shard("run-1") is None


def test_a_position_off_the_timeline_has_no_cursor(log: EventLog) -> None:
    log.append("run-1", [line("x")], wait="ordered")
    for position in (-1, 2):
        with pytest.raises(UsageError, match="timeline"):
            log.cursor(position)
    assert log.cursor(0).position == 0


# -- reading -------------------------------------------------------------------------------------------------------


def test_run_ids(log: EventLog) -> None:
    log.append("run-1", [line("a")])
    log.append("@queue", [line("b")])
    assert [record.run_id for record in log.read().events] == ["run-1", None]


def test_a_shard_is_read_in_pages(log: EventLog) -> None:
    log.append("run-1", [line(f"{n}") for n in range(7)])
    after, seqs, ends = 0, [], []
    while True:
        page = log.read_shard("run-1", after_seq=after, limit=3)
        seqs += [record.seq for record in page.records]
        ends.append(page.at_end)
        after = page.next_seq
        if page.at_end:
            break
    assert (seqs, ends, after) == ([1, 2, 3, 4, 5, 6, 7], [False, False, True], 7)
    assert log.read_shard("run-9") == ([], 0, True)


def test_wait_ordered_gives_a_position(log: EventLog) -> None:
    log.append("run-1", [line("a")])
    assert log.head().position == 0
    log.append("run-2", [line("b")], wait="ordered")
    assert log.head().position == 2


class Growing(MemoryBackend):
    """Another process sequences an append between two calls of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.before: dict[str, Callable[[], None]] = {}

    def __getattribute__(self, name: str) -> Any:
        before = super().__getattribute__("__dict__").get("before", {}).pop(name, None)
        if before is not None:
            before()
        return super().__getattribute__(name)


@pytest.mark.parametrize("types", [None, ["LOG_MESSAGE"], ["NONE"]], ids=str)
@pytest.mark.parametrize("method", ["read", "head"])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_a_read_while_the_timeline_grows(types: list[str] | None, method: str, limit: int) -> None:
    """P5: the cursor never passes an event that was not in the page, at whatever moment others sequence."""
    backend = Growing()
    log, other = EventLog(backend, Codec()), EventLog(backend, Codec())
    for number in range(3):
        log.append(f"run-{number}", [line(f"{number}")])
    log.catch_up()
    seen, after = [], None
    for turn in range(6):
        if turn < 3:
            backend.before[method] = lambda turn=turn: other.append("late", [line(f"late {turn}")], wait="ordered")
        page = log.read(after=after, limit=limit, types=types)
        seen += [record.position for record in page.events]
        after = page.cursor
    while not page.at_head:
        page = log.read(after=after, limit=limit, types=types)
        seen += [record.position for record in page.events]
        after = page.cursor
    assert seen == ([] if types == ["NONE"] else list(range(1, 7)))
    assert page.cursor.position == 6


def test_purged_ranges_join_only_where_they_touch(backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: within a page, neighbours are one range, also of two runs; an event between them keeps them apart."""
    log = EventLog(backend, Codec())
    for name in ("run-1", "run-2", "run-3", "run-1"):
        log.append(name, [line("x"), line("y")])
    log.purge("run-1", tombstone("run-1"))
    log.purge("run-2", tombstone("run-2"))
    shapes = [record if isinstance(record, Purged) else record.position for record in log.read().records]
    assert shapes == [Purged(1, 4), 5, 6, Purged(7, 8), 9, 10]
    pages = [log.read(after=log.cursor(position), limit=3).records for position in (0, 1, 3, 6)]
    assert [page[0] for page in pages] == [Purged(1, 3), Purged(2, 4), Purged(4, 4), Purged(7, 8)]
    assert Purged(7, 8).position == 8


def test_a_record_without_a_position_is_no_timeline(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that breaks its contract is named, not believed."""
    log.append("run-1", [line("a")], wait="ordered")
    monkeypatch.setattr(log.backend, "read", lambda **_: [Stored("run-1", 1, None, record())])
    with pytest.raises(foldlog.CorruptLogError, match="run-1"):
        log.read()


# -- the end -------------------------------------------------------------------------------------------------------


def test_a_closed_log_refuses(backend: MemoryBackend) -> None:
    log = EventLog(backend, Codec())
    log.close()
    log.close()
    assert log.closed
    deeds: list[Callable[[], object]] = [
        lambda: log.append("run-1", [line("a")]),
        log.read,
        lambda: log.read_shard("run-1"),
        log.catch_up,
        log.head,
        log.cursor,
        log.shards,
        log.stats,
        log.writer,
        lambda: log.seal("run-1"),
        lambda: log.purge("run-1", tombstone("run-1")),
    ]
    for deed in deeds:
        with pytest.raises(UsageError, match="closed"):
            deed()


def test_read_only_says_so(backend: MemoryBackend) -> None:
    log = EventLog(backend, Codec(), read_only=True)
    assert "read only" in repr(log)
    with pytest.raises(ReadOnlyError):
        log.append("run-1", [line("a")])
    assert log.read().records == []


def test_the_errors_have_a_remedy() -> None:
    for kind in (FoldlogError, *FoldlogError.__subclasses__()):
        assert kind.remedy.endswith(".")


def test_deletion_is_repeated_with_another_choice(log: EventLog) -> None:
    """P9: first with, then without the assets: two tombstones, each once."""
    log.append("run-1", [line("a")])
    kept = log.purge("run-1", tombstone("run-1"), keep=True)
    gone = log.purge("run-1", tombstone("run-1"), keep=False)
    assert (kept.first_seq, gone.first_seq) == (1, 2)
    assert log.purge("run-1", tombstone("run-1"), keep=False) == gone._replace(duplicate=True)


def test_appends_race_a_deletion(log: EventLog) -> None:
    """P5, P9: whatever a writer does meanwhile, nothing of the run has a position behind its tombstone."""
    log.append("run-1", [line("0")])
    stopped, begun = threading.Event(), threading.Event()

    def write() -> None:
        for number in range(100_000):
            try:
                log.append("run-1", [line(f"{number}")], key=UUID(int=number + 1))
            except foldlog.ShardPurged:
                break
            if number == 50:
                begun.set()
        stopped.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert begun.wait(30)
    receipt = log.purge("run-1", tombstone("run-1"))
    assert stopped.wait(30)
    thread.join()
    records = log.read(limit=10_000).records
    assert isinstance(records[0], Purged)
    assert isinstance(records[-1], EventRecord)
    assert (len(records), records[-1].shard, records[-1].seq) == (2, "@instance", receipt.first_seq)


def test_new_is_for_the_first(log: EventLog) -> None:
    log.append("run-1", [line("a")], expected=NEW)
    with pytest.raises(foldlog.ConflictError, match="run-1"):
        log.append("run-1", [line("b")], expected=NEW)
