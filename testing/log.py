"""The backend under an `EventLog` with foldlog's own codec: pages, cursors, followers, writers, read only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from ..backends.memory import MemoryBackend
from ..engine.errors import ConflictError, HistoryDiverged, ReadOnlyError, UsageError
from ..engine.events.asset import AssetMaterialization
from ..engine.events.event import Event
from ..engine.events.key import AssetKey
from ..engine.events.log import LogMessage
from ..engine.events.tombstone import RunDeleted
from ..engine.log.cursor import Cursor
from ..engine.log.log import EventLog, EventRecord, Page
from ..engine.log.port import NEW, CanRepair
from ..serdes import Codec
from .store import Store, SuiteBase


def line(text: str) -> Event[LogMessage]:
    """A line of a log: goes with its run."""
    return Event.now(LogMessage(text=text))


def asset(name: str) -> Event[AssetMaterialization]:
    """An asset fact: outlives its run."""
    return Event.now(AssetMaterialization(asset_key=AssetKey((name,))))


def tombstone(run_id: str) -> Event[RunDeleted]:
    return Event.now(RunDeleted(run_id=run_id))


def pages(log: EventLog, *, limit: int, types: list[str] | None = None) -> Iterator[Page]:
    """Every page of the timeline up to its head."""
    after: str | None = None
    while True:
        page = log.read(after=after, limit=limit, types=types)
        yield page
        if page.at_head:
            return
        after = page.cursor


class LogTests(SuiteBase):
    @pytest.fixture
    def fifteen(self, log: EventLog) -> EventLog:
        """15 events of three runs, receipts of 1 to 5 events, every fifth event an asset's."""
        number = 0
        for turn, count in enumerate([1, 5, 2, 4, 3]):
            batch = [asset(f"{n}") if n % 5 == 0 else line(f"{n}") for n in range(number, number + count)]
            log.append(f"run-{turn % 3}", batch)
            number += count
        return log

    def test_a_read_includes_what_was_acknowledged(self, store: Store) -> None:
        """P5, P8: every append acknowledged before the call, whoever made it."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        writer, reader = EventLog(store.open(), Codec()), EventLog(store.open(), Codec())
        for number in range(20):
            writer.append(f"run-{number % 3}", [line(f"{number}")])
            page = reader.read(after=None, limit=1000)
            assert [record.event.fact.text for record in page.events] == [f"{n}" for n in range(number + 1)]
            assert page.at_head

    def test_events_come_back_as_they_were(self, log: EventLog) -> None:
        """P12: the fact, and its envelope."""
        events: list[Event[Any]] = [
            Event(LogMessage(text="caf\u00e9 \0 \U0001f600"), 0),
            Event(LogMessage(text="b", level=40), 5, step_key="s[1]", job_name="j", level=30, message="m"),
            asset("a"),
        ]
        receipt = log.append("run-1", events, wait="ordered", key=UUID(int=1))
        assert (receipt.key, log.head().position) == (UUID(int=1), 3)
        assert [record.event for record in log.read_shard("run-1").records] == events
        assert log.read().records == [EventRecord("run-1", n, n, event) for n, event in enumerate(events, 1)]

    @pytest.mark.parametrize("limit", [1, 2, 3, 7, 15, 16])
    def test_pages_never_skip(self, fifteen: EventLog, limit: int) -> None:
        """P5: each event once, in order, and a cursor rests inside a receipt as well as between two."""
        found = []
        for page in pages(fifteen, limit=limit):
            assert len(page.records) <= limit
            found += page.events
            assert page.cursor.position == (found[-1].position if found else 0)
        assert [record.position for record in found] == list(range(1, 16))
        for position in range(16):
            page = fifteen.read(after=fifteen.cursor(position), limit=limit)
            assert page.events == found[position : position + limit]
            assert page.at_head == (position + limit >= 15)

    @pytest.mark.parametrize("limit", [1, 2, 100])
    def test_a_filtered_reader_moves_to_the_head(self, fifteen: EventLog, limit: int) -> None:
        """P5: past what it does not want too, so that it never looks there again; and it misses nothing."""
        kind = asset("x").type
        found = [record for page in pages(fifteen, limit=limit, types=[kind]) for record in page.events]
        assert [record.position for record in found] == [1, 6, 11]
        last = list(pages(fifteen, limit=limit, types=[kind]))[-1]
        assert last.at_head
        assert last.cursor.position == 15
        none = fifteen.read(limit=limit, types=["NEVER"])
        assert (none.records, none.cursor.position, none.at_head) == ([], 15, True)
        fifteen.append("run-9", [line("no"), asset("late")])
        assert [record.position for record in fifteen.read(after=last.cursor, types=[kind]).events] == [17]

    def test_the_cursor_at_the_head_waits(self, fifteen: EventLog) -> None:
        """P5: nothing new gives an empty page and the same cursor."""
        page = fifteen.read(after=None, limit=1000)
        again = fifteen.read(after=page.cursor, limit=1000)
        assert (again.records, again.cursor, again.at_head) == ([], page.cursor, True)
        assert fifteen.cursor() == page.cursor

    def test_cursors_outlive_the_handle(self, fifteen: EventLog, store: Store) -> None:
        """P1, P11: a cursor is text, good in any process, also for the log opened anew and in a later epoch."""
        fifteen.catch_up()
        cursors = [str(fifteen.cursor(position)) for position in range(16)]
        backend = store.reopen()
        log = EventLog(backend, Codec())
        for _ in range(2):
            for position, cursor in enumerate(cursors):
                assert log.read(after=cursor).records == log.read().records[position:]
            if isinstance(backend, CanRepair):
                backend.start_epoch("a test")

    def test_a_cursor_of_another_history_is_refused(self, fifteen: EventLog) -> None:
        """P11: another log, a log restored from an older copy, other events at the position: never silently skipped."""
        foreign = EventLog(MemoryBackend(), Codec())
        foreign.append("run-0", [line("x")])
        parts = fifteen.read(limit=4).cursor.parts
        head = fifteen.head()
        strangers = [
            foreign.read().cursor,
            Cursor.build(head.log_id, head.epoch, head.position + 1, head.chain),
            Cursor.build(parts.log_id, parts.epoch, parts.position, b"\1" * 8),
            Cursor.build(parts.log_id, parts.epoch, parts.position + 4, parts.chain),
            Cursor.build(head.log_id, head.epoch + 1, head.position, head.chain),
        ]
        for stranger in strangers:
            with pytest.raises(HistoryDiverged):
                fifteen.read(after=stranger)
            with pytest.raises(HistoryDiverged):
                next(iter(fifteen.follow(after=stranger)))
        with pytest.raises(UsageError):
            fifteen.read(after="v1:nonsense")

    def test_conflicts_come_through(self, fifteen: EventLog) -> None:
        """P3, P4: the facts decide what a retry is, not the envelope."""
        first = fifteen.append("run-9", [line("a")], expected=NEW, key=UUID(int=3))
        retry = fifteen.append("run-9", [line("a")], expected=NEW, key=UUID(int=3))
        assert retry == first._replace(duplicate=True)
        with pytest.raises(ConflictError):
            fifteen.append("run-9", [line("b")], expected=NEW)
        with pytest.raises(ConflictError):
            fifteen.append("run-9", [line("b")], key=UUID(int=3))

    # -- follow --------------------------------------------------------------------------------------------------

    def test_followers_see_everything_once(self, store: Store) -> None:
        """P5: two that run beside the writers see one order, and nothing twice."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        wanted = 60
        writers = [EventLog(store.open(), Codec()) for _ in range(2)]
        readers = [EventLog(store.open(), Codec()) for _ in range(2)]
        seen: list[list[tuple[str, int, int | None]]] = [[], []]

        def follow(index: int) -> None:
            with readers[index].follow(page=7) as follower:
                for record in islice(follower, wanted):
                    assert isinstance(record, EventRecord)
                    seen[index].append((record.shard, record.seq, record.position))

        def write(index: int) -> None:
            for number in range(20):
                writers[index].append(f"run-{index}-{number % 2}", [line("x")] * (1 + number % 2))

        threads = [threading.Thread(target=deed, args=(n,)) for n in range(2) for deed in (follow, write)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert seen[0] == seen[1]
        assert [position for *_, position in seen[0]] == list(range(1, wanted + 1))
        assert len({(shard, seq) for shard, seq, _ in seen[0]}) == wanted

    # -- read only -----------------------------------------------------------------------------------------------

    def test_read_only(self, store: Store) -> None:
        """P5: answers as of what others have sequenced, and says which position that is; writes nothing."""
        if not store.shared:
            pytest.skip("handles of this store do not see one another")
        log = EventLog(store.open(), Codec())
        log.append("run-1", [line("a"), line("b")], wait="ordered")
        reader = EventLog(store.open(read_only=True), Codec(), read_only=True)
        log.backend.append(log.prepare("run-1", [line("c")]))  # nobody in this process gives it a position
        page = reader.read()
        assert (len(page.records), page.cursor.position, page.at_head) == (2, 2, True)
        assert [record.position for record in reader.read_shard("run-1").records] == [1, 2, None]
        assert reader.catch_up().position == 2
        for deed in (
            lambda: reader.append("run-1", [line("x")]),
            lambda: reader.seal("run-1"),
            lambda: reader.purge("run-1", tombstone("run-1")),
            lambda: reader.writer(),
        ):
            with pytest.raises(ReadOnlyError):
                deed()
        log.catch_up()
        assert [record.position for record in reader.read(after=page.cursor).events] == [3]

    def test_a_writer_groups_and_loses_nothing(self, store: Store) -> None:
        """P1, P2: every future has its receipt, a conflict fails alone, and after `flush` all is durable."""
        log = EventLog(store.open(), Codec())
        writer = log.writer()
        futures = [writer.append(f"run-{n % 5}", [line(f"{n}")], key=UUID(int=n + 1)) for n in range(200)]
        refused = writer.append("run-0", [line("no")], expected=NEW)
        with pytest.raises(ConflictError):
            writer.flush()
        assert isinstance(refused.exception(), ConflictError)
        assert [future.result().first_seq for future in futures] == [1 + n // 5 for n in range(200)]
        writer.close()
        log = EventLog(store.reopen(), Codec())
        assert log.catch_up().position == 200
        assert [record.event.fact.text for record in log.read_shard("run-3").records] == [
            f"{n}" for n in range(3, 200, 5)
        ]
