"""Who may only look (DESIGN 4, 8): a user with the right to select and no other, one whose transactions are read only
by default, and whoever asks a replica. Questions are answered as of what others have sequenced; writing is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from served import KINDS, PATIENCE_S, OwnServer, Served
from story import line, text_of

import foldlog
from foldlog.engine.errors import ReadOnlyError
from foldlog.engine.events.event import Event, Retention
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog

WRITES: dict[str, Callable[[EventLog], Any]] = {
    "append": lambda log: log.append("run-1", [line("never")]),
    "append to a new run": lambda log: log.append("run-9", [line("never")]),
    "ordered": lambda log: log.append("run-1", [line("never")], wait="ordered"),
    "seal": lambda log: log.seal("run-1"),
    "purge": lambda log: log.purge("run-1", Event(RunDeleted(run_id="run-1"), 0)),
    "trim": lambda log: log.trim(Retention.LOG, 1),
}


def lived(url: str) -> None:
    """A run that has ended, with views over it; and behind it an append that nobody has sequenced yet."""
    with foldlog.Instance.from_url(url) as instance:
        with instance.run("job", run_id="run-0", tags={"team": "growth"}) as run:
            run.materialize(["orders"])
        assert [run.run_id for run in instance.get_runs()] == ["run-0"]
        for n in range(3):
            instance.log.append("run-1", [line(f"{n}")])
        instance.log.catch_up()
        assert instance.get_run_by_id("run-0")
        instance.log.append("run-1", [line("not sequenced")])


def asks(url: str) -> EventLog:
    """What a reader asks, and how it is answered."""
    with foldlog.Instance.from_url(url, read_only=True) as instance:
        log = instance.log
        records = log.read().events
        assert [text_of(record) for record in records][-3:] == ["0", "1", "2"]
        assert records[-1].position == len(records) == log.head().position
        assert [text_of(record) for record in log.read_shard("run-1").records][:3] == ["0", "1", "2"]
        assert [record.position for record in log.read_back(types=["LOG_MESSAGE"], limit=1)] == [len(records)]
        assert {shard.name for shard in log.shards()} >= {"run-0", "run-1"}
        assert log.stats()["head"] == len(records)
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
        with log.follow(page=2) as follower:
            assert [next(follower) for _ in records] == records
        run = instance.get_run_by_id("run-0")
        assert run is not None
        assert run.tags["team"] == "growth"
        assert [run.run_id for run in instance.get_runs(foldlog.RunsFilter(tags={"team": "growth"}))] == ["run-0"]
        assert instance.has_asset_key(foldlog.AssetKey(["orders"]))


def refused(url: str) -> None:
    with foldlog.open_log(url, read_only=True) as log:
        before = log.read().events
        for write in WRITES.values():
            with pytest.raises(ReadOnlyError):
                write(log)
        assert log.read().events == before


@pytest.fixture(
    params=[(kind, way) for kind in KINDS for way in KINDS[kind].READERS], ids=lambda param: "-".join(param)
)
def limited(request: pytest.FixtureRequest) -> Iterator[tuple[Served, str]]:
    """A log, and its URL as a user who may not write to it."""
    kind, way = request.param
    served = KINDS[kind](*(request.getfixturevalue(f"{kind}{name}") for name in ("_url", "_server_url")))
    lived(served.url)
    with served.reader(way) as url:
        yield served, url


def test_a_reader_is_answered(limited: tuple[Served, str]) -> None:
    """As of what others have sequenced, and what they sequence later; what the reader asks changes nothing."""
    served, limited_url = limited
    asks(limited_url)
    with foldlog.open_log(limited_url, read_only=True) as log, foldlog.open_log(served.url) as other:
        cursor = log.read().cursor
        assert log.read(after=cursor).events == []
        other.catch_up()
        assert [text_of(record) for record in log.read(after=cursor).events] == ["not sequenced"]


def test_a_reader_changes_nothing(limited: tuple[Served, str]) -> None:
    refused(limited[1])


def test_who_may_only_select_is_refused_by_the_server_too(served: Served) -> None:
    """P1: opened for writing, by mistake, it is the server that says no; the error is the same."""
    lived(served.url)
    with served.reader("may only select") as url, foldlog.open_log(served.url) as owner:
        head = owner.head()
        with pytest.raises(ReadOnlyError), foldlog.open_log(url) as log:
            log.append("run-1", [line("never")])
        assert owner.head() == head


@pytest.fixture
def replica(own_server: OwnServer) -> Iterator[tuple[str, str]]:
    """A log on a server of the test's own, and where a replica of that server answers: their URLs."""
    with foldlog.open_log(own_server.url):  # there is a log to have a copy of
        pass
    with own_server.replicated() as url:
        yield own_server.url, url


def until(deed: Callable[[], Any]) -> None:
    """Until the replica has heard of what its primary has."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            deed()
            return
        except (AssertionError, foldlog.UsageError):
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def follows(url: str, position: int) -> None:
    with foldlog.open_log(url, read_only=True) as log:
        assert log.head().position >= position


def test_a_replica_answers(replica: tuple[str, str]) -> None:
    """The same questions with the same answers; it follows, also while it is asked; and it refuses to write."""
    primary, copy = replica
    lived(primary)
    with foldlog.open_log(primary, read_only=True) as log:
        position = log.head().position
    until(lambda: follows(copy, position))
    asks(copy)
    refused(copy)
    with foldlog.open_log(copy, read_only=True) as log, foldlog.open_log(primary) as source:
        cursor = log.cursor()
        with log.follow(after=cursor) as follower:
            source.append("run-1", [line("later")], wait="ordered")
            assert [text_of(next(follower)) for _ in range(2)] == ["not sequenced", "later"]


def test_a_replica_refuses_a_writer(replica: tuple[str, str]) -> None:
    """P1: whoever opens it for writing, by mistake or after a switch of the two, is told what it is."""
    primary, copy = replica
    with foldlog.open_log(primary) as log:
        log.append("run-1", [line("a")], wait="ordered")
    until(lambda: foldlog.open_log(copy, read_only=True).close())
    with pytest.raises(ReadOnlyError), foldlog.open_log(copy) as log:
        log.append("run-1", [line("never")])
