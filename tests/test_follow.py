"""Followers: where they stand, when they end, and that they miss nothing."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any

import pytest

from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import UnavailableError, UsageError
from foldlog.engine.log import follow as module
from foldlog.engine.log.log import EventLog, EventRecord, Purged
from foldlog.engine.log.port import CanWait
from foldlog.serdes import Codec
from foldlog.testing.log import asset, line, tombstone


class Polled:
    """The memory backend without `wait`, as a backend whose readers poll."""

    def __init__(self) -> None:
        self._backend = MemoryBackend()

    def __getattr__(self, name: str) -> Any:
        if name == "wait":
            raise AttributeError(name)
        return getattr(self._backend, name)


@pytest.fixture(params=[MemoryBackend, Polled], ids=["waits", "polls"])
def log(request: pytest.FixtureRequest) -> EventLog:
    return EventLog(request.param(), Codec())


def texts(records: Any) -> list[str]:
    return [record.event.fact.text for record in records]


def test_the_double_polls() -> None:
    assert isinstance(MemoryBackend(), CanWait)
    assert not isinstance(Polled(), CanWait)


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_it_goes_on_from_its_cursor(log: EventLog, page: int) -> None:
    """P5: stopped after any number of events, also inside a page and a receipt, nothing is lost and nothing doubled."""
    for number in range(4):
        log.append(f"run-{number % 2}", [line(f"{number}a"), line(f"{number}b"), line(f"{number}c")])
    wanted = texts(log.read().events)
    for stop in range(13):
        with log.follow(page=page) as follower:
            first = texts(islice(follower, stop))
            cursor = follower.cursor
            assert cursor.position == stop
        with log.follow(after=cursor, page=page) as follower:
            assert follower.cursor == cursor, "asking where it stands moves nobody"
            assert first + texts(islice(follower, 12 - stop)) == wanted
            assert follower.cursor == log.cursor()


def test_the_cursor_of_a_filtered_follower_passes_what_it_leaves_out(log: EventLog) -> None:
    """P5: so that the next one does not look through it again."""
    log.append("run-1", [asset("a"), line("1"), line("2")])
    kind = asset("x").type
    with log.follow(types=[kind]) as follower:
        next(follower)
        assert follower.cursor.position == 3
    log.append("run-1", [line("3"), asset("b")])
    with log.follow(after=follower.cursor, types=[kind]) as follower:
        record = next(follower)
        assert isinstance(record, EventRecord)
        assert record.position == 5


def test_purged_ranges_are_passed(log: EventLog) -> None:
    log.append("run-1", [line("a"), line("b")])
    log.append("run-2", [line("c")])
    log.purge("run-1", tombstone("run-1"))
    with log.follow() as follower:
        assert next(follower) == Purged(1, 2)
        assert follower.cursor.position == 2
        assert [record.position for record in islice(follower, 2)] == [3, 4]


def test_it_waits_for_more(log: EventLog) -> None:
    """P5: at the head it sleeps, and is there when another thread appends."""
    seen: list[str] = []
    first, done = threading.Event(), threading.Event()

    def read() -> None:
        with log.follow() as follower:
            for record in islice(follower, 3):
                seen.extend(texts([record]))
                first.set()
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    for text in ("a", "b", "c"):
        log.append("run-1", [line(text)])
        assert first.wait(30)
    assert done.wait(30)
    thread.join()
    assert seen == ["a", "b", "c"]


@pytest.mark.parametrize("closed", ["follower", "log"])
def test_closing_ends_the_loop(log: EventLog, closed: str) -> None:
    """From another thread, while it waits at the head."""
    log.append("run-1", [line("a")])
    follower = log.follow()
    begun = threading.Event()

    def read() -> None:
        for _ in follower:
            begun.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(30)
    (follower if closed == "follower" else log).close()
    thread.join(30)
    assert not thread.is_alive()
    assert list(follower) == []


def test_what_was_fetched_is_given_before_it_ends(log: EventLog) -> None:
    log.append("run-1", [line("a"), line("b")])
    follower = log.follow()
    next(follower)
    follower.close()
    assert texts(follower) == ["b"]


def test_the_log_is_closed_during_a_read(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the backend then raises, the loop ends; an error of an open log comes through."""
    errors = iter([UnavailableError("no answer"), UsageError("closed")])

    def read(**_: Any) -> Any:
        error = next(errors)
        if isinstance(error, UsageError):
            log.close()
        raise error

    monkeypatch.setattr(log.backend, "read", read)
    follower = log.follow()
    with pytest.raises(UnavailableError):
        next(follower)
    assert list(follower) == []


def test_an_idle_follower_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pauses double up to a bound, and are short again after news."""
    log = EventLog(Polled(), Codec())  # type: ignore[arg-type]
    follower = log.follow()
    pauses: list[float] = []

    def wait(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 9:
            log.append("run-1", [line("news")])
        if len(pauses) == 11:
            follower.close()

    monkeypatch.setattr(follower, "_wait", wait)
    assert texts(follower) == ["news"]
    assert pauses[:3] == [module.QUICKEST_S, 2 * module.QUICKEST_S, 4 * module.QUICKEST_S]
    assert max(pauses) == pauses[8] == module.SLOWEST_S
    assert pauses[9] == module.QUICKEST_S
