"""An append whose reply is lost (P3): it was committed, the writer does not know, and asks again with the key.

The failure comes after SQLite has committed and before the caller is told: as an error of the disk, as Ctrl-C, as a
lack of memory. Recorded once it is, and readers see it whether or not anybody asks again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from story import LAYOUTS, line, text_of, url_of

from foldlog.backends.sqlite import append as appending
from foldlog.backends.sqlite.shardfile import ShardFile
from foldlog.engine.errors import AppendKeyConflict, UnavailableError
from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import NEW
from foldlog.engine.open import open_log

KEY = UUID(int=7)


def io_error() -> BaseException:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]
    return error


LOSSES = {"disk": (io_error, UnavailableError), "ctrl-c": (KeyboardInterrupt,) * 2, "memory": (MemoryError,) * 2}


@pytest.fixture(params=LAYOUTS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(tmp_path / "home", request.param)


@pytest.fixture
def log(url: str) -> Iterator[EventLog]:
    with open_log(url) as log:
        log.append("run-1", [line("first")])
        log.append("@queue", [line("first")])
        yield log


def texts(log: EventLog) -> list[str]:
    return [text_of(record) for record in log.read().events]


def lose_after(monkeypatch: pytest.MonkeyPatch, name: str, error: Callable[[], BaseException]) -> None:
    """The next call of a method of ShardFile does its work, and fails."""
    really = getattr(ShardFile, name)

    def lost(*arguments: Any, **options: Any) -> Any:
        really(*arguments, **options)
        monkeypatch.setattr(ShardFile, name, really)
        raise error()

    monkeypatch.setattr(ShardFile, name, lost)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("point", ["insert", "settle"])
def test_asked_again_with_the_key(
    log: EventLog, url: str, monkeypatch: pytest.MonkeyPatch, count: int, loss: str, point: str
) -> None:
    """P3: recorded once, by this handle and by another; other facts under the key are refused."""
    error, told = LOSSES[loss]
    batch = [line(f"{n}") for n in range(count)]
    lose_after(monkeypatch, "insert_one" if (count, point) == (1, "insert") else point, error)
    with pytest.raises(told):
        log.append("run-1", batch, key=KEY, expected=1)
    with open_log(url) as other:
        assert texts(other) == ["first", "first", *(f"{n}" for n in range(count))], "committed, so everybody sees it"
        for handle in (other, log):
            again = handle.append("run-1", batch, key=KEY, expected=1)
            assert (again.first_seq, again.last_seq, again.duplicate) == (2, 1 + count, True)
            with pytest.raises(AppendKeyConflict):
                handle.append("run-1", [line("else")], key=KEY)
    log.append("run-1", [line("next")], expected=1 + count)
    assert [record.seq for record in log.read_shard("run-1").records] == list(range(1, 3 + count))


@pytest.mark.parametrize("count", [1, 3])
def test_lost_before_it_was_written(log: EventLog, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """P3: the other half of the doubt: nothing had landed, and asking again writes it, once."""
    name = "insert" if count > 1 else "insert_one"
    really = getattr(ShardFile, name)

    def refused(*_: Any, **__: Any) -> Any:
        monkeypatch.setattr(ShardFile, name, really)
        raise io_error()

    monkeypatch.setattr(ShardFile, name, refused)
    batch = [line(f"{n}") for n in range(count)]
    with pytest.raises(UnavailableError):
        log.append("run-1", batch, key=KEY)
    assert not log.append("run-1", batch, key=KEY).duplicate
    assert log.append("run-1", batch, key=KEY).duplicate
    assert texts(log) == ["first", "first", *(f"{n}" for n in range(count))]


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_group_asked_again(
    log: EventLog, url: str, monkeypatch: pytest.MonkeyPatch, loss: str, committed: bool
) -> None:
    """P2, P3: all of a group or nothing of it; asked again one by one, each is there once and no seq is left out."""
    error, told = LOSSES[loss]
    really = appending.transaction

    @contextmanager
    def lost(db: sqlite3.Connection) -> Iterator[None]:
        monkeypatch.setattr(appending, "transaction", really)
        with really(db):
            yield
            if not committed:
                raise error()
        raise error()

    appends = [log.prepare("@queue" if n % 2 else "@ticks", [line(f"{n}")], key=UUID(int=n + 10)) for n in range(5)]
    appends += [log.prepare("@queue", [line("no")], expected=NEW)]
    monkeypatch.setattr(appending, "transaction", lost)
    backend: Any = log.backend
    if told is UnavailableError:
        assert {type(outcome) for outcome in backend.append_group(appends)} == {UnavailableError}
    else:
        with pytest.raises(told):
            backend.append_group(appends)
    with open_log(url) as other:
        assert sorted(texts(other)[2:]) == ([f"{n}" for n in range(5)] if committed else [])
        for append in appends[:-1]:
            assert other.backend.append(append).duplicate is committed
        for outcome in backend.append_group(appends)[:-1]:
            assert outcome.duplicate
    log.append("@queue", [line("next")])
    assert [record.seq for record in log.read_shard("@queue").records] == [1, 2, 3, 4]


def test_a_purge_asked_again(log: EventLog, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3, P9: wherever a deletion was cut short, the same call completes it; one tombstone."""
    tombstone = Event(RunDeleted(run_id="run-1"), 0)
    for name in ("set_fence", "insert_one", "erase"):
        lose_after(monkeypatch, name, io_error)
        with pytest.raises(UnavailableError):
            log.purge("run-1", tombstone)
    log.purge("run-1", tombstone)
    assert texts(log) == ["first", "RUN_DELETED"]
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
