"""Deleting a run through the log, whole and interrupted at each step."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ..engine.errors import ShardPurged, UnavailableError, UsageError
from ..engine.log.log import EventLog, EventRecord, Purged
from ..serdes import Codec
from .log import asset, line, pages, tombstone
from .store import Store, SuiteBase


class Tripwire:
    """A backend that gives no answer once: before or after it has done what `method` asks."""

    def __init__(self, backend: Any, method: str, *, turn: int, after: bool) -> None:
        self._backend, self._method, self._left, self._after = backend, method, turn, after

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._backend, name)
        if name != self._method:
            return value

        def tripped(*args: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and not self._after:
                raise UnavailableError("injected, before the deed")
            answer = value(*args, **named)
            if self._left == 0:
                raise UnavailableError("injected, after the deed")
            return answer

        return tripped


class DeletionTests(SuiteBase):
    def test_a_deleted_run_leaves_one_range(self, log: EventLog) -> None:
        """P5, P9: neighbouring purged positions come as one `Purged`; kept facts and other runs stay."""
        log.append("run-1", [line("a"), line("b"), asset("c")])
        log.append("run-2", [line("d")])
        log.append("run-1", [line("e")])
        log.append("run-1", [line("f"), line("g")])
        log.purge("run-1", tombstone("run-1"))
        records = log.read().records
        assert records[0] == Purged(1, 2)
        assert [(r.position, r.seq) for r in records[1:3] if isinstance(r, EventRecord)] == [(3, 3), (4, 1)]
        assert records[3] == Purged(5, 7)
        assert isinstance(records[4], EventRecord)
        assert (records[4].shard, records[4].position, len(records)) == ("@instance", 8, 5)
        assert [record.seq for record in log.read_shard("run-1").records] == [3]
        covered = [p for page in pages(log, limit=2) for r in page.records for p in _positions(r)]
        assert covered == list(range(1, 9))

    def test_a_deleted_run_takes_no_events(self, log: EventLog) -> None:
        """P5, P9: nothing follows the tombstone."""
        log.append("run-1", [line("a")], key=UUID(int=1))
        log.purge("run-1", tombstone("run-1"), keep=False)
        for key in (None, UUID(int=1)):
            with pytest.raises(ShardPurged):
                log.append("run-1", [line("a")], key=key)
        assert log.read().records[0] == Purged(1, 1)

    def test_what_cannot_be_deleted(self, log: EventLog) -> None:
        """P9: a run that never was, a system shard."""
        for name in ("run-1", "@queue"):
            with pytest.raises(UsageError, match=name):
                log.purge(name, tombstone(name))
        assert log.read().records == []

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize(
        ("method", "turn"),
        [("fence", 1), ("pending", 1), ("place", 1), ("append", 1), ("place", 2), ("head", 3), ("purge", 1)],
    )
    def test_an_interrupted_deletion_is_completed(self, store: Store, method: str, turn: int, after: bool) -> None:
        """P9: cut off before or after any step, the same call completes it; the tombstone is recorded once."""
        backend = store.open()
        log = EventLog(backend, Codec())
        backend.append(log.prepare("run-1", [line("a"), asset("b")]))
        log.append("run-2", [line("c")], wait="ordered")
        backend.append(log.prepare("run-1", [line("d")]))  # so that nobody else in this process gives positions
        tripwire: Any = Tripwire(backend, method, turn=turn, after=after)
        with pytest.raises(UnavailableError):
            EventLog(tripwire, Codec()).purge("run-1", tombstone("run-1"))
        log = EventLog(store.reopen(), Codec())
        receipt = log.purge("run-1", tombstone("run-1"))
        assert log.purge("run-1", tombstone("run-1")) == receipt._replace(duplicate=True)
        records = log.read().records
        assert [type(record) for record in records] == [Purged, EventRecord, EventRecord, Purged, EventRecord]
        last = records[-1]
        assert isinstance(last, EventRecord)
        assert (last.shard, last.seq, last.event.type) == ("@instance", 1, "RUN_DELETED")
        with pytest.raises(ShardPurged):
            log.append("run-1", [line("late")])


def _positions(record: EventRecord | Purged) -> range:
    if isinstance(record, Purged):
        return range(record.first_position, record.last_position + 1)
    assert record.position is not None
    return range(record.position, record.position + 1)
