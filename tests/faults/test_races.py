"""Processes that race (P2, P4, P5, P7): on one run, on a home that is not there yet, on seals and on the order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from children import RACER, start
from story import LAYOUTS, line, text_of, url_of

from foldlog.backends.sqlite.repair import diagnose
from foldlog.engine.log.chain import link
from foldlog.engine.open import open_log


def begin(folder: Path, deed: str, layouts: list[str], times: int) -> list[subprocess.Popen[bytes]]:
    """One process for each layout named, all let go at one moment."""
    gate = folder / "gate"
    children = [
        start(deed, folder / "home", layout, gate, f"p{n}", times, script=RACER) for n, layout in enumerate(layouts)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    gate.touch()
    return children


def race(folder: Path, deed: str, layouts: list[str], times: int) -> list[Any]:
    """What each of the processes has to say."""
    answers = []
    for child in begin(folder, deed, layouts, times):
        said, _ = child.communicate(timeout=60)
        assert child.returncode == 0
        answers.append(json.loads(said))
    return answers


@pytest.mark.parametrize("processes", [2, 6])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_counter_counts(scratch: Path, layout: str, processes: int) -> None:
    """P4: each step is won by one; nobody's is lost, and nobody's is counted twice."""
    times = 120 // processes
    answers = race(scratch, "count", [layout] * processes, times)
    won = [seq for steps, _ in answers for seq in steps]
    assert sorted(won) == list(range(1, processes * times + 1))
    if processes > 2:  # two may miss each other on a busy machine
        assert sum(conflicts for _, conflicts in answers) > 0, "they did not race"
    with open_log(url_of(scratch / "home", layout)) as log:
        for n, (steps, _) in enumerate(answers):
            held = {record.seq: text_of(record) for record in log.read_shard("@counter").records}
            assert {held[seq] for seq in steps} == {f"p{n} {seq}" for seq in steps}
        assert log.catch_up().position == processes * times


@pytest.mark.parametrize("processes", [2, 6])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_append_to_one_run(scratch: Path, layout: str, processes: int) -> None:
    """P2: dense, whole, each once, in the order each process wrote them."""
    times = 120 // processes
    answers = race(scratch, "any", [layout] * processes, times)
    with open_log(url_of(scratch / "home", layout)) as log:
        held = [text_of(record) for record in log.read_shard("run-1", limit=1000).records]
        assert Counter(held) == {f"p{p} {n}": 1 + n % 2 for p in range(processes) for n in range(times)}
        for p, firsts in enumerate(answers):
            assert [held[first - 1] for first in firsts] == [f"p{p} {n}" for n in range(times)]
            assert all(held[first - 1] == held[first] for n, first in enumerate(firsts) if n % 2)
        assert [record.seq for record in log.read(limit=1000).events] == list(range(1, len(held) + 1))


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_home_is_made_once(scratch: Path, layout: str, turn: int) -> None:
    """P2, P11: four processes find nothing there; one log comes of it."""
    answers = race(scratch, "create", [layout] * 4, 1)
    assert len({log_id for log_id, _ in answers}) == 1, answers
    with open_log(url_of(scratch / "home", layout)) as log:
        assert sorted(text_of(record) for record in log.read().events) == sorted(["p0", "p1", "p2", "p3"] * 2)
        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]


def test_a_home_has_one_layout(scratch: Path) -> None:
    """Two of them want another layout: who comes second is told, and nothing is spoilt."""
    answers = race(scratch, "create", ["sharded", "consolidated"] * 2, 1)
    refused = [answer for answer in answers if answer[0] == "UsageError"]
    made = [answer for answer in answers if answer not in refused]
    assert (len(refused), len({log_id for log_id, _ in made})) == (2, 1), answers
    assert all("layout" in message for _, message in refused)
    assert len([path for path in (scratch / "home").glob("*.db") if path.name in ("order.db", "log.db")]) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_seals_and_late_appends(scratch: Path, layout: str) -> None:
    """P1, P5: while runs are sealed and opened again by three processes, and slots change hands, every acknowledged
    append is on the timeline, in one that stays and in one that is new."""
    with open_log(url_of(scratch / "home", layout)) as stays:
        stays.append("run-0", [line("stays")])
        answers = race(scratch, "mix", [layout] * 3, 25)
        acknowledged = [note for answer in answers for note in answer]
        with open_log(url_of(scratch / "home", layout)) as fresh:
            timelines = [log.read(limit=10_000).events for log in (stays, fresh)]
        assert timelines[0] == timelines[1]
        held = {(record.shard, record.seq): text_of(record) for record in timelines[0]}
        assert len(held) == len(acknowledged) + 1
        for shard, seq, text in acknowledged:
            assert held[shard, seq] == text
        assert diagnose(stays.backend, full=True, link=link) == []  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sequencer_that_was_stopped(scratch: Path, layout: str) -> None:
    """P5: paused between its look and its placing, it comes back when all is placed, and its pass is refused."""
    with open_log(url_of(scratch / "home", layout)) as log:
        for n in range(5):
            log.append(f"run-{n}", [line(f"{n}")])
        (child,) = begin(scratch, "place", [layout], 1)
        assert child.stdout is not None
        assert child.stdout.readline() == b"stopping\n"
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        before = log.read().records
        assert len(before) == 5
        log.append("run-9", [line("9")])
        os.kill(child.pid, signal.SIGCONT)
        said, _ = child.communicate(timeout=60)
        assert json.loads(said) == 6, "the pass was refused, and the next took in what was new"
        assert log.read().records[:5] == before
        assert diagnose(log.backend, full=True, link=link) == []  # type: ignore[arg-type]
