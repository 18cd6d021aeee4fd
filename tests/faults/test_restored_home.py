"""Older copies put back, and an order that is lost (P5, P11): history is told apart, nothing is skipped in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from story import LAYOUTS, STORY, append, asset, line, purge, reopen, seal, sequence, tell, text_of, url_of

from foldlog.backends.sqlite.repair import Rebuilt, adopt, diagnose, rebuild_order
from foldlog.engine.errors import CorruptLogError, HistoryDiverged, ShardPurged, UnavailableError, UsageError
from foldlog.engine.events.event import Event
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.chain import link
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log


def texts(log: EventLog, after: str | None = None) -> list[str]:
    return [text_of(record) for record in log.read(after=after, limit=10_000).events]


def write(home: Path, layout: str, *names: str) -> str:
    """Append, sequence, and close; the cursor at the end."""
    with open_log(url_of(home, layout)) as log:
        for name in names:
            log.append(f"run-{name[0]}", [line(name)])
        return str(log.read(limit=10_000).cursor)


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def faults(log: EventLog) -> list[str]:
    return diagnose(log.backend, full=True, link=link)  # type: ignore[arg-type]


# -- an older copy of the whole home ----------------------------------------------------------------------------------


@pytest.mark.parametrize("then", [[], ["b9"], ["b9", "c9"], ["b9", "c9", "d9", "e9"]], ids=len)
def test_an_older_copy_refuses_newer_cursors(tmp_path: Path, layout: str, then: list[str]) -> None:
    """P11: the copy is shorter than the cursor, as long, or has grown past it with other events: refused each time."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    old = write(home, layout, "a1", "b1")
    shutil.copytree(home, copy)
    new = write(home, layout, "b2", "c2")
    shutil.rmtree(home)
    shutil.copytree(copy, home)
    if then:
        write(home, layout, *then)
    with open_log(url_of(home, layout)) as log:
        assert texts(log, old) == then, "a cursor of before the copy goes on"
        with pytest.raises(HistoryDiverged):
            log.read(after=new)
        with pytest.raises(HistoryDiverged):
            next(iter(log.follow(after=new)))
        follower = log.follow(after=old)
        assert [text_of(next(follower)) for _ in then] == then  # type: ignore[arg-type]


def test_a_follower_notices_a_copy_put_back_under_it(tmp_path: Path, layout: str) -> None:
    """P11: the process that has the log open does not go on in a file that has lost its name."""
    home = tmp_path / "home"
    write(home, layout, "a1")
    shutil.copytree(home, tmp_path / "copy")
    with open_log(url_of(home, layout)) as log:
        log.append("run-a", [line("a2")])
        follower = log.follow()
        assert [text_of(next(follower)) for _ in range(2)] == ["a1", "a2"]  # type: ignore[arg-type]
        for path in (tmp_path / "copy").rglob("*.db"):
            shutil.copy(path, tmp_path / "new")
            (tmp_path / "new").rename(home / path.relative_to(tmp_path / "copy"))
        with pytest.raises(CorruptLogError):
            next(follower)
        with pytest.raises(CorruptLogError):
            log.append("run-a", [line("a3")])


def test_the_same_history_is_the_same(tmp_path: Path, layout: str) -> None:
    """P11: a copy of now is no other history; nothing is refused without need."""
    home = tmp_path / "home"
    cursor = write(home, layout, "a1", "b1", "a2")
    shutil.copytree(home, tmp_path / "moved")
    assert write(tmp_path / "moved", layout, "c1") != cursor
    with open_log(url_of(tmp_path / "moved", layout)) as log:
        assert texts(log, cursor) == ["c1"]
        assert faults(log) == []


# -- an older order.db alone ------------------------------------------------------------------------------------------


def test_an_older_order_is_told_and_adopts(tmp_path: Path) -> None:
    """P5, P11: runs the order has never heard of are not passed by in silence; adopted, they are on the timeline."""
    home = tmp_path / "home"
    write(home, "sharded", "a1", "b1")
    shutil.copy(home / "order.db", tmp_path / "order.db")
    with open_log(url_of(home)) as log:
        log.append("@queue", [line("q")])
        log.append("run-a", [line("a2")])
        log.append("run-c", [line("c2")])
        cursor = log.read(limit=100).cursor
        log.seal("run-c")
    shutil.copy(tmp_path / "order.db", home / "order.db")
    with open_log(url_of(home)) as log:
        assert any("run-c" in fault and "adopt" in fault for fault in diagnose(log.backend)), "a quick look tells"  # type: ignore[arg-type]
        for deed in (lambda: log.read_shard("run-c"), lambda: log.append("run-c", [line("c3")])):
            with pytest.raises(CorruptLogError, match="adopt"):
                deed()
        assert sorted(adopt(log.backend)) == ["@queue", "run-c"]  # type: ignore[arg-type]
        assert sorted(texts(log)) == ["a1", "a2", "b1", "c2", "q"]
        assert log.head().epoch == 2
        assert texts(log, str(cursor)) == [], "ordered by their times they came to stand as before"
        log.append("run-c", [line("c3")])
        assert adopt(log.backend) == []  # type: ignore[arg-type]
        assert faults(log) == []


def test_an_older_order_that_gave_numbers_away_is_refused(tmp_path: Path) -> None:
    """P2: a system shard's number now belongs to another; nothing is mixed, and rebuilding the order mends it."""
    home = tmp_path / "home"
    write(home, "sharded", "a1")
    shutil.copy(home / "order.db", tmp_path / "order.db")
    with open_log(url_of(home)) as log:
        log.append("@queue", [line("q")], wait="ordered")
    shutil.copy(tmp_path / "order.db", home / "order.db")
    with open_log(url_of(home)) as log:
        log.append("run-z", [line("z")])  # takes the number that @queue has in system.db
        with pytest.raises(CorruptLogError, match="@queue"):
            log.append("@queue", [line("q2")])
        with pytest.raises(CorruptLogError, match="rebuild"):
            adopt(log.backend)  # type: ignore[arg-type]
    (home / "order.db").unlink()
    rebuild_order(home)
    with open_log(url_of(home)) as log:
        log.append("@ticks", [line("t")])
        assert sorted(texts(log)) == ["a1", "q", "t", "z"]
        assert faults(log) == []


# -- order.db lost ----------------------------------------------------------------------------------------------------


def lose(home: Path) -> None:
    for path in home.glob("order.db*"):
        path.unlink()


@pytest.fixture
def lost(tmp_path: Path) -> tuple[Path, list[str], list[str]]:
    """A home without order.db; the texts it had in order, and a cursor behind each."""
    home = tmp_path / "home"
    with open_log(url_of(home)) as log:
        for number in range(12):
            log.append(f"run-{number % 3}", [line(f"{number}")])
            log.append("@queue", [asset(f"q{number}")])
        log.catch_up()
        log.seal("run-0")
        log.append("run-1", [line("not sequenced")])
        before = [text_of(record) for record in log.read(limit=100).events]
        cursors = [str(log.cursor(position)) for position in range(len(before) + 1)]
    lose(home)
    return home, before, cursors


def test_a_lost_order_is_refused_with_the_remedy(lost: tuple[Path, list[str], list[str]]) -> None:
    """P11: never a new, empty log in the place of the old one."""
    home, *_ = lost
    for options in ({}, {"read_only": True}):
        with pytest.raises(CorruptLogError, match="rebuild-order"):
            open_log(url_of(home), **options)  # type: ignore[arg-type]
    (home / "order.db-wal").write_bytes(b"x")
    shutil.rmtree(home / "runs")
    (home / "system.db").unlink()
    with pytest.raises(CorruptLogError, match=r"order\.db-wal"):
        open_log(url_of(home))


def test_a_lost_order_is_rebuilt(lost: tuple[Path, list[str], list[str]]) -> None:
    """P5, P11: the same events in a new epoch; a cursor goes on where the same history stands, and never skips."""
    home, before, cursors = lost
    said: list[tuple[str, int, int]] = []
    rebuilt = rebuild_order(home, progress=lambda *what: said.append(what))
    assert isinstance(rebuilt, Rebuilt)
    assert (rebuilt.epoch, rebuilt.shards, rebuilt.sealed) == (2, 4, ["run-0"])
    assert said[-1][1] == said[-1][2] == 3
    with pytest.raises(UsageError, match="has an order"):
        rebuild_order(home)
    with open_log(url_of(home)) as log:
        assert log.head()[1:3] == (2, 0), "nothing has a position until the next pass"
        assert log.read(limit=100).records == log.read(limit=100).records
        assert texts(log) == before, "by their times, which here are those of the old order"
        for position, cursor in enumerate(cursors):
            assert texts(log, cursor) == before[position:]
        assert log.backend.epochs()[0].after_position == 0
        log.append("run-0", [line("late")])
        assert log.append("@queue", [asset("q12")]).first_seq == 13
        assert texts(log)[len(before) :] == ["late", "q12"]
        assert log.seal("run-0")
        assert faults(log) == []
    lose(home)
    assert rebuild_order(home).epoch == 3, "the epoch outlives order.db"
    with open_log(url_of(home)) as log:
        assert log.catch_up().epoch == 3


def test_the_wal_of_the_lost_order_is_not_replayed(tmp_path: Path) -> None:
    """P5: left beside the new file, it would bring back pages of the old one."""
    home = tmp_path / "home"
    with open_log(url_of(home)) as log:
        for number in range(3):
            log.append(f"run-{number}", [line(f"{number}")], wait="ordered")
        wal = (home / "order.db-wal").read_bytes()
    lose(home)
    (home / "order.db-wal").write_bytes(wal)
    rebuild_order(home)
    with open_log(url_of(home)) as log:
        assert (log.head().epoch, log.head().position) == (2, 0)
        assert texts(log) == ["0", "1", "2"]
        assert faults(log) == []


def test_a_cursor_of_another_order_is_refused(lost: tuple[Path, list[str], list[str]]) -> None:
    """P11: where the new order is not the old one, each old cursor is refused past the point where they part."""
    home, before, cursors = lost
    moved = next((home / "runs").rglob("run-2.db"))
    shutil.copy(moved, home / "keep")
    moved.unlink()
    rebuild_order(home)
    with open_log(url_of(home)) as log:
        log.catch_up()
    (home / "keep").rename(moved)
    with open_log(url_of(home)) as log:
        assert adopt(log.backend) == ["run-2"]  # type: ignore[arg-type]
        after = texts(log)
        assert sorted(after) == sorted(before)
        assert after != before
        parted = next(index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
        for position, cursor in enumerate(cursors):
            if position <= parted:
                assert texts(log, cursor) == after[position:]
            else:
                with pytest.raises(HistoryDiverged):
                    log.read(after=cursor)
        assert log.head().epoch == 3
        assert faults(log) == []


def test_fences_outlive_the_order(tmp_path: Path) -> None:
    """P9: what was deleted or about to be stays so; what is lost with the order is told."""
    home = tmp_path / "home"
    with open_log(url_of(home)) as log:
        tell(log, lambda note: None, story=[append("run-1", "a", "asset b"), append("run-2", "c"), sequence])
        tell(log, lambda note: None, story=[purge("run-1"), append("run-3", "d"), seal("run-3")])
        log.backend.fence("run-2")  # and killed then
    lose(home)
    rebuilt = rebuild_order(home)
    assert rebuilt.sealed == ["run-3"]
    assert any("kept" in note for note in rebuilt.notes)
    with open_log(url_of(home)) as log:
        assert sorted(texts(log)) == ["RUN_DELETED", "c", "d"]
        with pytest.raises(ShardPurged):
            log.append("run-2", [line("x")])
        assert any("run-2" in fault for fault in faults(log))
        log.purge("run-2", Event(RunDeleted(run_id="run-2"), 0))
        assert faults(log) == []


def test_a_run_file_that_cannot_be_read_is_left_out_and_adopted_later(tmp_path: Path) -> None:
    """P5: one damaged file does not stand in the way of all others, and its run is not forgotten."""
    home = tmp_path / "home"
    write(home, "sharded", "a1", "b1", "c1")
    path = next((home / "runs").rglob("run-b.db"))
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    lose(home)
    rebuilt = rebuild_order(home)
    assert rebuilt.shards == 2
    assert any("run-b" in note and "adopt" in note for note in rebuilt.notes)
    path.write_bytes(whole)
    with open_log(url_of(home)) as log:
        assert texts(log) == ["a1", "c1"]
        assert adopt(log.backend) == ["run-b"]  # type: ignore[arg-type]
        assert texts(log) == ["a1", "c1", "b1"]


def test_the_order_is_not_rebuilt_under_a_writer(tmp_path: Path) -> None:
    """P5: a process that has the lost file open would give positions of its own; it is not let to, nor raced with."""
    home = tmp_path / "home"
    with open_log(url_of(home)) as log:
        log.append("run-1", [line("a")], wait="ordered")
        lose(home)
        with pytest.raises(UnavailableError, match="other processes"):
            rebuild_order(home)
        log.append("run-1", [line("b")])
        with pytest.raises(CorruptLogError):
            log.read()
    rebuild_order(home)
    with reopen(home) as log:
        assert texts(log) == ["a", "b"]


def test_files_of_another_log_are_refused(tmp_path: Path) -> None:
    """P11: a run file or an order of another home, put here by mistake, is named and not read."""
    write(tmp_path / "one", "sharded", "a1")
    write(tmp_path / "two", "sharded", "a2")
    path = next((tmp_path / "one" / "runs").rglob("run-a.db"))
    shutil.copy(path, tmp_path / "two" / path.relative_to(tmp_path / "one"))
    with open_log(url_of(tmp_path / "two")) as log:
        with pytest.raises(CorruptLogError, match="belongs to log"):
            log.read()
        assert any("belongs to log" in fault for fault in faults(log))


def test_the_whole_story_has_no_faults(tmp_path: Path, layout: str) -> None:
    """The method: doctor finds nothing where nothing is, and something where something is."""
    with open_log(url_of(tmp_path / "home", layout)) as log:
        tell(log, lambda note: None, story=STORY)
        assert faults(log) == []
        backend = log.backend
        backend.order.db.execute("UPDATE timeline SET digest = zeroblob(16) WHERE position = 1")  # type: ignore[attr-defined]
        assert any("receipt at position 1 is not what was written" in fault for fault in faults(log))
        backend.order.db.execute("DELETE FROM timeline_crc WHERE position = 1")  # type: ignore[attr-defined]
        found = faults(log)
        assert any("hash chain breaks at position 1" in fault for fault in found), found
    with open_log(url_of(tmp_path / "home", layout), read_only=True) as log:
        assert faults(log) == found
