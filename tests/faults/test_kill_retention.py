"""kill -9 in trims, retention and copies: at every point, and with processes really killed (P1, P2, P5, P9).

Each deed is done once, on tape. For each step of the tape the folder is laid out as kill -9 would have left it there:
nothing is damaged, readers read on, and the same call, made again, comes to the same end.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from children import start
from story import LAYOUTS, line, reopen, url_of
from tape import Tape, disks, lay_out, recording, telling

from foldlog import Event, Instance, events
from foldlog.engine.events.event import Retention
from foldlog.engine.log.chain import link
from foldlog.engine.log.log import EventLog, Purged
from foldlog.engine.log.port import ShardState, Weight
from foldlog.engine.open import open_log
from foldlog.engine.retention import AgeRule, RetentionPolicy, RunRule

PARTS = 2
TEXT = "something that was said, and takes its place " * 20
POLICY = RetentionPolicy(
    runs=RunRule(after_days=1, statuses=None), log_messages=AgeRule(after_days=1), ticks=AgeRule(after_days=1)
)


def later() -> int:
    return time.time_ns() // 1000 + 2 * 86_400_000_000


def fill(log: EventLog) -> None:
    """Two runs, one of them sealed, and ticks; the first event of most appends may go."""
    ended = Event(events.RunSucceeded(), 0)
    for number in range(6):
        log.append("run-a", [line(f"{TEXT} {number}"), Event(events.RunStarted(), 0), line(TEXT)])
        log.append("run-b", [Event(events.StepStarted(), 0, step_key="s"), line(TEXT)])
        skipped = events.TickSkipped(tick_id=f"tick-{number}", instigator=TEXT)
        log.append("@ticks", [Event(skipped, 0), Event(events.TickSucceeded(tick_id="t", instigator="s"), 0)])
    log.append("run-a", [ended], wait="ordered")
    log.append("run-c", [Event(events.RunStarted(), 0), line(TEXT)], wait="ordered")
    log.seal("run-a")


def told(folder: Path, layout: str, deed: Callable[[Path], None]) -> Tape:
    """A home is filled, then the deed is done; what comes behind the mark is the deed."""
    root = folder / "told"
    root.mkdir()
    with recording(root) as tape:
        with open_log(url_of(root / "home", layout)) as log:
            fill(log)
        with Instance.from_url(url_of(root / "home", layout)) as instance:
            instance.get_run_records()
        tape.mark("begun")
        deed(root)
    return tape


def cuts(tape: Tape, scratch: Path, part: int, wanted: Callable[[Tape, int], bool] = telling) -> Iterator[Path]:
    """What each step of the deed leaves, laid out."""
    begun = next(index for index, step in enumerate(tape.steps) if step.deed == "mark")
    for index, disk in disks(tape):
        if index > begun and index % PARTS == part and wanted(tape, index):
            left = lay_out(disk.after_kill(), scratch / "left")
            try:
                yield left
            except BaseException as error:
                error.add_note(f"killed after step {index}: {tape.steps[index - 1]._replace(data=b'')}")
                raise


def faults(log: EventLog) -> list[str]:
    found: list[str] = log.backend.diagnose(full=True, link=link)  # type: ignore[attr-defined]
    return [text for text in found if "delete it again" not in text and "delete the run again" not in text]


def positions(log: EventLog) -> list[int]:
    found: list[int] = []
    for record in log.read(limit=10_000).records:
        found += range(record.first_position, record.last_position + 1) if isinstance(record, Purged) else [
            record.position or 0
        ]  # fmt: skip
    return found


def nothing_left(home: Path, log: EventLog) -> None:
    """No body of the class, no entry of the index, no free page."""
    log.catch_up()
    for path in home.rglob("*.db"):
        if path.name != "views.db":
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                (free,) = db.execute("PRAGMA freelist_count").fetchone()
                assert free == 0, f"{path} has {free} free pages"
    backend: Any = log.backend
    with backend.order.reading() as db:
        sql = "SELECT count(*) FROM timeline_type JOIN type ON type.id = type WHERE name = 'LOG_MESSAGE'"
        assert db.execute(sql).fetchone() == (0,)


# -- a trim -----------------------------------------------------------------------------------------------------------


def trim(root: Path) -> None:
    with reopen(root / "home") as log:
        log.trim(Retention.LOG, log.head().position)


@pytest.fixture(scope="module")
def trims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tape]:
    return {layout: told(tmp_path_factory.mktemp("trim"), layout, trim) for layout in LAYOUTS}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trim_that_is_killed_is_completed(trims: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1, P2, P3, P5: at any step nothing is damaged, and the same call frees the rest, once."""
    cut_trims(trims[layout], scratch, part, telling)


@pytest.mark.long
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_trim_killed_after_each_write(trims: dict[str, Tape], scratch: Path, layout: str, part: int) -> None:
    """P1, P2, P3, P5: the same, also between two pages of one transaction."""
    cut_trims(trims[layout], scratch, part, lambda tape, index: True)


def cut_trims(tape: Tape, scratch: Path, part: int, wanted: Callable[[Tape, int], bool]) -> None:
    for left in cuts(tape, scratch, part, wanted):
        with reopen(left / "home") as log:
            assert faults(log) == []
            before = log.catch_up().position
            assert positions(log) == list(range(1, before + 1))
            through = 6 * 7 + 3  # the head before the deed
            log.trim(Retention.LOG, through)
            assert [record.event.type for record in log.read_shard("@instance").records] == ["HISTORY_TRIMMED"]
            assert positions(log) == list(range(1, through + 2))
            assert Retention.LOG not in log.weigh()
            assert log.weigh()[Retention.TICK] == Weight(6, log.weigh()[Retention.TICK].bytes)
            assert faults(log) == []
            assert log.append("run-b", [line("goes on")]).first_seq == 13
        with reopen(left / "home") as log:
            log.trim(Retention.LOG, log.catch_up().position)
            nothing_left(left / "home", log)


def test_an_order_made_anew_takes_what_was_trimmed(scratch: Path) -> None:
    """P2, P5: the freed records get positions like all others, and the index of types is that of what is left."""
    from foldlog.backends.sqlite.repair import rebuild_order

    home = scratch / "home"
    with open_log(url_of(home)) as log:
        fill(log)
        log.trim(Retention.LOG, 20)
        left = log.weigh()
    for name in ("order.db", "order.db-wal", "order.db-shm"):
        (home / name).unlink(missing_ok=True)
    rebuild_order(home)
    with reopen(home) as log:
        head = log.catch_up().position
        assert positions(log) == list(range(1, head + 1))
        assert log.weigh() == left
        assert faults(log) == []
        log.trim(Retention.LOG, head)
        assert faults(log) == []
        nothing_left(home, log)


# -- retention --------------------------------------------------------------------------------------------------------


def let_go(root: Path) -> None:
    with Instance.from_url(f"sqlite:///{root}/home") as instance:
        instance.apply_retention(POLICY, now_us=later())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_retention_that_is_killed_is_completed(tmp_path: Path, scratch: Path, layout: str) -> None:
    """P5, P9: the next pass completes what was begun; views are what the log says, and nothing is left over."""
    tape = told(tmp_path, layout, let_go)
    for number, left in enumerate(cuts(tape, scratch, 0)):
        if number % 3:
            continue
        with Instance.from_url(f"sqlite:///{left}/home") as instance:
            log = instance.log
            assert faults(log) == []
            instance.apply_retention(POLICY, now_us=later())
            assert [record.run.run_id for record in instance.get_run_records()] == ["run-c"]
            shard = log.backend.find_shard("run-a")
            assert shard is not None
            assert shard.state is ShardState.PURGED
            assert set(log.weigh()) == {Retention.RUN, Retention.KEPT}
            assert positions(log) == list(range(1, log.head().position + 1))
            assert log.backend.diagnose(full=True, link=link) == []  # type: ignore[attr-defined]
            assert instance.verify().ok
            assert instance.apply_retention(POLICY, now_us=later())[:3] == (0, 0, 0)


# -- a copy -----------------------------------------------------------------------------------------------------------


def copy(root: Path) -> None:
    with Instance.from_url(f"sqlite:///{root}/home") as instance:
        instance.backup(root / "copy")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_a_copy_is_never_taken_for_a_whole_one(tmp_path: Path, scratch: Path, layout: str) -> None:
    """P1, P11: there is none, or it is whole; the original is as it was; the next copy clears away what was left."""
    tape = told(tmp_path, layout, copy)
    wholes = 0
    for left in cuts(tape, scratch, 0):
        if (left / "copy").exists():
            wholes += 1
        else:
            with reopen(left / "home") as log:
                assert faults(log) == []
                log.backup(left / "copy")
        with reopen(left / "copy") as log:
            assert faults(log) == []
            assert log.catch_up().position == 6 * 7 + 3
        assert {path.name for path in left.iterdir()} == {"home", "copy"} or wholes
    assert wholes > 0


# -- while others work ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_while_four_processes_append(tmp_path: Path, layout: str) -> None:
    """P1, P2, P3, P5: trimmed again and again beside them; each append is recorded once, and seen or purged once."""
    home = tmp_path / "home"
    with open_log(url_of(home, layout)) as log:
        log.append("@queue", [line("open")], wait="ordered")
        writers = [start("loop", home, layout, name) for name in "abcd"]
        try:
            cursor, seen, freed = None, [], 0
            end = time.monotonic() + 20
            while time.monotonic() < end and (freed < 1000 or len(seen) < 3000):
                page = log.read(after=cursor, limit=500)
                for record in page.records:
                    first = record.first_position if isinstance(record, Purged) else record.position or 0
                    seen += range(first, (record.position or 0) + 1)
                cursor = str(page.cursor)
                freed += log.trim(Retention.LOG, max(1, len(seen) - 300)).freed.events
        finally:
            for writer in writers:
                writer.kill()
            notes = [note for writer in writers for note in _notes(writer.communicate()[0])]
        assert freed > 0
        assert seen == list(range(1, len(seen) + 1))
        assert len({(shard, seq) for shard, seq, _ in notes}) == len(notes) > 100
        head = log.catch_up()
        assert positions_paged(log) == head.position
        assert faults(log) == []
        log.trim(Retention.LOG, head.position)
        assert Retention.LOG not in log.weigh()
        assert faults(log) == []


def _notes(said: bytes) -> list[Any]:
    return [json.loads(text) for text in said.splitlines() if text.endswith(b"]")]


def positions_paged(log: EventLog) -> int:
    """The last position, if there is no hole before it."""
    cursor, last = None, 0
    while True:
        page = log.read(after=cursor, limit=5000)
        for record in page.records:
            assert (record.first_position if isinstance(record, Purged) else record.position) == last + 1
            last = record.position or 0
        if page.at_head:
            return last
        cursor = str(page.cursor)
