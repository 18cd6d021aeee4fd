"""Processes beside one another on a log in a folder or a bucket: they race, are forked, and have wrong clocks."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from caller import URL
from children import RACER, start
from story import Known, check, line

from foldlog import EventLog, open_log
from foldlog.backends.objectstore import clock

SPAWN = multiprocessing.get_context("spawn")
MINUTE_NS = 60 * 1_000_000_000


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.long)])
def url(request: pytest.FixtureRequest, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "folder":
        return f"file://{scratch}/log"
    bucket = request.getfixturevalue("s3_bucket")
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(bucket.options))
    return f"{bucket.url}/log"


def race(url: str, deed: str, folder: Path, *, times: int, processes: int) -> list[Any]:
    """What each of the processes answers."""
    gate = folder / "gate"
    environment = {URL: url}
    children = [
        start(deed, folder, "server", gate, f"p{n}", times, script=RACER, environment=environment)
        for n in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
    gate.touch()
    answers = []
    for child in children:
        said, _ = child.communicate(timeout=100)
        assert child.returncode == 0
        answers.append(json.loads(said))
    return answers


def processes(url: str) -> int:
    return 8 if url.startswith("file") else 4


def test_many_append_to_one_run(url: str, tmp_path: Path) -> None:
    """P1, P2, P3: dense, each append whole and at the seq that was told, nothing twice."""
    open_log(url).close()
    answers = race(url, "any", tmp_path, times=12, processes=processes(url))
    with open_log(url) as log:
        stored = log.read_shard("run-1").records
        assert [one.seq for one in stored] == list(range(1, len(stored) + 1))
        assert len(stored) == 18 * len(answers)
        told = {first: f"p{n} {turn}" for n, firsts in enumerate(answers) for turn, first in enumerate(firsts)}
        assert len(told) == 12 * len(answers)
        for first, text in told.items():
            assert stored[first - 1].event.fact.text == text
        positions = [record.position for record in log.read(limit=1000).events]
        assert positions == list(range(1, len(stored) + 1))


def test_many_compare_and_set(url: str, tmp_path: Path) -> None:
    """P3: of those who expect the same seq one wins."""
    open_log(url).close()
    answers = race(url, "count", tmp_path, times=6, processes=processes(url))
    won = sorted(first for firsts, _ in answers for first in firsts)
    assert won == list(range(1, 6 * len(answers) + 1))


def test_many_open_what_is_not_there(url: str, tmp_path: Path) -> None:
    """P1: one log is made, and all are at it."""
    answers = race(url, "create", tmp_path, times=1, processes=processes(url))
    assert len({log_id for log_id, _ in answers}) == 1
    with open_log(url) as log:
        assert len(log.read().events) == 2 * len(answers)


def test_many_append_seal_and_sequence(url: str, tmp_path: Path) -> None:
    """P1, P2, P5: runs of all and of their own; sequenced by whoever comes."""
    open_log(url).close()
    answers = race(url, "mix", tmp_path, times=6, processes=processes(url))
    with open_log(url) as log:
        acknowledged = [["acknowledged", shard, first, [text]] for told in answers for shard, first, text in told]
        check(log, Known(acknowledged))
        assert len(log.read(limit=10_000).events) == len(acknowledged)
        assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


# -- clocks ------------------------------------------------------------------------------------------------------------


def serve(url: str, shift_ns: int, pipe: Any) -> None:
    """Append what is asked for, by a clock that is wrong."""
    clock.time = SimpleNamespace(**{**vars(time), "time_ns": lambda: time.time_ns() + shift_ns})  # type: ignore[assignment]
    with open_log(url) as log:
        while (asked := pipe.recv()) is not None:
            shard, text, wait = asked
            receipt = log.append(shard, [line(text)], wait=wait)
            pipe.send((receipt.first_seq, receipt.at_us))


@contextmanager
def machines(url: str, *shifts_ns: int) -> Iterator[list[Any]]:
    pipes, children = [], []
    for shift_ns in shifts_ns:
        here, there = SPAWN.Pipe()
        child = SPAWN.Process(target=serve, args=(url, shift_ns, there), daemon=True)
        child.start()
        there.close()
        pipes.append(here)
        children.append(child)
    yield pipes
    for pipe in pipes:
        pipe.send(None)
    for child in children:
        child.join(30)
        assert child.exitcode == 0


@pytest.mark.parametrize("wait", ["ordered", "durable"])
def test_two_machines_with_clocks_a_minute_apart(url: str, wait: str) -> None:
    """P6 as far as it is promised: with `ordered`, the order is that in which they happened; without, nothing is
    skipped, and of each machine, and of each run, the order is right."""
    open_log(url).close()
    told = []
    with machines(url, MINUTE_NS, 0) as pipes:
        for turn in range(12):
            name = turn % 2
            shard = "run-both" if turn % 4 > 1 else f"run-{name}"
            pipes[name].send((shard, f"{name} {turn}", wait))
            first_seq, at_us = pipes[name].recv()
            told.append((shard, first_seq, f"{name} {turn}", at_us))
    assert max(at for *_, at in told) - min(at for *_, at in told) > 50_000_000, "the clocks are not apart"
    with open_log(url) as log:
        check(log, Known([["acknowledged", shard, seq, [text]] for shard, seq, text, _ in told]))
        texts = [record.event.fact.text for record in log.read().events]  # type: ignore[union-attr]
    wanted = [text for _, _, text, _ in told]
    assert sorted(texts) == sorted(wanted)
    if wait == "ordered":
        assert texts == wanted
    for name in "01":
        own = [text for text in texts if text.startswith(name)]
        assert own == [text for text in wanted if text.startswith(name)]


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_fork_goes_on_beside_its_parent(url: str) -> None:
    """P1, P2: both append by the handle that the parent had; neither takes anything of the other's away."""
    log = open_log(url)
    log.append("run-1", [line("before")], wait="ordered")
    log.append("run-1", [line("before too")])
    child = os.fork()
    if child == 0:
        os._exit(_appends(log, "child"))
    assert _appends(log, "parent") == 0
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    known = [["acknowledged", f"run-{name}", 1, [f"{name} 0"]] for name in ("child", "parent")]
    check(log, Known(known))
    assert len(log.read_shard("run-1").records) == 12
    log.close()


def _appends(log: EventLog, name: str) -> int:
    try:
        for number in range(5):
            log.append("run-1", [line(f"{name} {number} too")])
            log.append(f"run-{name}", [line(f"{name} {number}")], wait="ordered" if number % 2 else "durable")
        return 0
    except BaseException:
        return 1
