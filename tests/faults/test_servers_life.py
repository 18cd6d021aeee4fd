"""A log's life on a database server (P1, P2, P5, P11): callers that die in the middle of a deletion or a trim, runs
sealed and trimmed while others append, and an older copy of the database that is put back.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from caller import URL, told
from children import RACER, start
from served import Served
from story import asset, line, text_of
from test_servers_cuts import MANY
from test_servers_holes import sound
from test_servers_restart import writing
from wire import Wire

from foldlog.engine.errors import HistoryDiverged, ShardPurged, UnavailableError
from foldlog.engine.events.event import Event, Retention
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog, Purged
from foldlog.engine.open import open_log


def dense(log: EventLog) -> int:
    """The last position, if there is none missing before it, purged ones included."""
    cursor, last = None, 0
    while True:
        page = log.read(after=cursor, limit=5000)
        for record in page.records:
            assert (record.first_position if isinstance(record, Purged) else record.position) == last + 1
            last = record.position or 0
        if page.at_head:
            return last
        cursor = str(page.cursor)


def faults(log: EventLog) -> list[str]:
    """Other than that a deletion is to be done again."""
    found: list[str] = log.backend.diagnose(full=True)  # type: ignore[attr-defined]
    return [text for text in found if "again" not in text]


# -- callers that die ------------------------------------------------------------------------------------------------


def dies(wire: Wire, turn: int, how: str, deed: Callable[[EventLog], Any]) -> bool:
    """Whether the caller died in the deed: the server has what he had told it by then, and never hears of him again."""
    with open_log(wire.url) as log:
        log.head()
        wire.cut(turn, how)  # type: ignore[arg-type]
        wire.refuses = True
        with contextlib.suppress(UnavailableError):
            deed(log)
        wire.refuses = False
    died, _ = not wire.waits, wire.cut(10_000, "before")
    return died


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_deletion_whose_caller_dies(served: Served, how: str) -> None:
    """P1, P5: at any turn nothing is damaged, readers read on, and the same call completes it."""

    def delete(log: EventLog, name: str) -> None:
        log.purge(name, Event(RunDeleted(run_id=name), 0))

    with contextlib.closing(Wire(served.url)) as wire, open_log(served.url) as log:
        for turn in range(1 + (how == "after"), MANY, 3):
            name = f"run-{turn}"
            log.append(name, [line("goes"), asset("stays")], wait="ordered")
            log.append(name, [line("not sequenced")])
            died = dies(wire, turn, how, lambda log, name=name: delete(log, name))  # type: ignore[misc]
            dense(log)
            assert faults(log) == []
            delete(log, name)
            assert [text_of(record) for record in log.read_shard(name).records] == ["stays"]
            with pytest.raises(ShardPurged):
                log.append(name, [line("late")])
            dense(log)
            assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
            if not died:
                break
        assert turn > 3


@pytest.mark.parametrize("how", ["before", "after"])
def test_a_trim_whose_caller_dies(served: Served, how: str) -> None:
    """P1, P2, P5: the same call frees the rest; nothing else is freed, and no seq or position is lost."""
    with contextlib.closing(Wire(served.url)) as wire, open_log(served.url) as log:
        for number, turn in enumerate(range(1 + (how == "after"), MANY, 3), 1):
            for n in range(3):
                log.append(f"run-{n}", [line(f"{turn}"), asset(f"{turn}")], wait="ordered")
            through = log.head().position
            died = dies(wire, turn, how, lambda log, through=through: log.trim(Retention.LOG, through))  # type: ignore[misc]
            assert dense(log) >= through
            assert faults(log) == []
            log.trim(Retention.LOG, through)
            assert Retention.LOG not in log.weigh()
            assert len(log.read_shard("run-0").records) == number
            assert faults(log) == []
            if not died:
                break
        assert turn > 3


def test_trims_beside_writers(served: Served, tmp_path: Path) -> None:
    """P1, P2, P3, P5: trimmed again and again while three processes append; each event is seen or purged, once."""
    with open_log(served.url) as log:
        log.append("run-0", [line("first")], wait="ordered")
        cursor, seen, freed = None, 0, 0
        with writing(served.url, tmp_path) as children:
            end = time.monotonic() + 1.5
            while time.monotonic() < end or freed == 0:
                page = log.read(after=cursor, limit=200)
                for record in page.records:
                    first = record.first_position if isinstance(record, Purged) else record.position
                    assert first == seen + 1
                    seen = record.position or 0
                cursor = str(page.cursor)
                freed += log.trim(Retention.LOG, max(1, seen - 50)).freed.events
        acknowledged = [answer for child in children for answer in told(child)]
        assert len({(shard, seq) for shard, seq, _ in acknowledged}) == len(acknowledged) > 20
        head = log.catch_up()
        assert dense(log) == head.position
        log.trim(Retention.LOG, head.position)
        assert Retention.LOG not in log.weigh()
        assert faults(log) == []


# -- races of processes ----------------------------------------------------------------------------------------------


def race(served: Served, folder: Path, deed: str, processes: int, times: int) -> list[Any]:
    """What each of the processes has to say."""
    gate = folder / "gate"
    told_url = {URL: served.url}
    children = [
        start(deed, "-", "server", gate, f"p{n}", times, script=RACER, environment=told_url) for n in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    gate.touch()
    said = [child.communicate(timeout=90)[0] for child in children]
    assert [child.returncode for child in children] == [0] * processes
    return [json.loads(text) for text in said]


def test_a_counter_counts(served: Served, tmp_path: Path) -> None:
    """P4: each step is won by one; nobody's is lost, and nobody's is counted twice."""
    answers = race(served, tmp_path, "count", 4, 20)
    assert sorted(step for won, _ in answers for step in won) == list(range(1, 81))
    assert sum(conflicts for _, conflicts in answers) > 0, "they did not race"
    with open_log(served.url) as log:
        assert [text_of(record).split()[1] for record in log.read_shard("@counter").records] == [
            f"{n}" for n in range(1, 81)
        ]


def test_seals_and_late_appends(served: Served, tmp_path: Path) -> None:
    """P1, P5: while three processes seal runs and open them again, every acknowledged append is on the timeline."""
    with open_log(served.url) as stays:
        answers = race(served, tmp_path, "mix", 3, 15)
        acknowledged = [note for answer in answers for note in answer]
        records = stays.read(limit=10_000).events
        held = {(record.shard, record.seq): text_of(record) for record in records}
        assert held == {(shard, seq): text for shard, seq, text in acknowledged}
        sound(stays)
        for shard in stays.shards():
            stays.seal(shard.name)
        assert stays.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


# -- an older copy of the database -----------------------------------------------------------------------------------


@pytest.fixture
def copy_url(served: Served) -> Iterator[str]:
    """Another database on the same server, for a copy."""
    with served.beside() as url:
        yield url


def write(url: str, *names: str) -> str:
    """Append, sequence, and close; the cursor at the end."""
    with open_log(url) as log:
        for name in names:
            log.append(f"run-{name[0]}", [line(name)])
        return str(log.read(limit=10_000).cursor)


@pytest.mark.parametrize("then", [[], ["b9"], ["b9", "c9"], ["b9", "c9", "d9", "e9"]], ids=len)
def test_an_older_copy_refuses_newer_cursors(served: Served, copy_url: str, then: list[str]) -> None:
    """P11: the copy is shorter than the cursor, as long, or has grown past it with other events: refused each time."""
    old = write(served.url, "a1", "b1")
    served.copy_to(copy_url)
    new = write(served.url, "b2", "c2")
    type(served)(copy_url, served.server_url).copy_to(served.url)
    if then:
        write(served.url, *then)
    with open_log(served.url) as log:
        assert [text_of(record) for record in log.read(after=old).events] == then, "a cursor of before the copy goes on"
        with pytest.raises(HistoryDiverged):
            log.read(after=new)
        with pytest.raises(HistoryDiverged):
            next(iter(log.follow(after=new)))


def test_an_older_copy_is_put_back_under_a_living_process(served: Served, copy_url: str) -> None:
    """P2, P11: what it remembers of its runs is gone: its next append makes no hole, its follower skips nothing."""
    with open_log(served.url) as log, open_log(served.url) as reader:
        log.append("run-a", [line("a1")])
        with reader.follow() as follower:
            assert text_of(next(follower)) == "a1"
            reader.catch_up()
            served.copy_to(copy_url)
            for n in (2, 3, 4):
                log.append("run-a", [line(f"a{n}")])
            log.append("run-b", [line("b1")], wait="ordered")
            assert [text_of(next(follower)) for _ in range(4)] == ["a2", "a3", "a4", "b1"]
            type(served)(copy_url, served.server_url).copy_to(served.url)
            assert log.append("run-a", [line("other 2")]).first_seq == 2
            assert log.append("run-b", [line("other 1")]).first_seq == 1
            with pytest.raises(HistoryDiverged):
                next(follower)
        assert sound(log) == ["a1", "other 2", "other 1"]


def test_the_same_history_is_the_same(served: Served, copy_url: str) -> None:
    """P11: a copy of now is no other history; nothing is refused without need."""
    cursor = write(served.url, "a1", "b1", "a2")
    served.copy_to(copy_url)
    assert write(copy_url, "c1") != cursor
    with open_log(copy_url) as log:
        assert [text_of(record) for record in log.read(after=cursor).events] == ["c1"]
        assert sound(log) == ["a1", "b1", "a2", "c1"]
