"""Processes killed with SIGKILL beside one that stays (P1, P2, P3, P5).

test_crash_points.py goes through every point of the story with what a kill would leave; here the kills are real, and a
process that had the log open all the time must find what the dead one has committed, acknowledged or not.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from children import start
from story import LAYOUTS, Known, check, key_of, line, reopen, text_of, url_of
from test_crash_points import examine, told

from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

POINTS = 10


def within(seconds: float, deed: Callable[[], None]) -> None:
    """Until it holds: what a dead process committed and told nobody of is found within a moment."""
    end = time.monotonic() + seconds
    while True:
        try:
            return deed()
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def killed_at(home: Path, layout: str, step: int) -> None:
    home.parent.mkdir(parents=True)
    stays = open_log(url_of(home, layout))
    stays.append("@queue", [line("open here too")])
    child = start("story", home, layout, step)
    told, _ = child.communicate(timeout=60)
    assert child.returncode == -9, f"the story was over before step {step}: {child.returncode}"
    known = Known([json.loads(note) for note in told.splitlines()])
    within(10, lambda: check(stays, known))
    stays.close()


@pytest.fixture(scope="module")
def lengths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many steps the story has, at least: ending the log takes some of the last."""
    return {layout: len(told(tmp_path_factory.mktemp("tape"), layout).steps) * 9 // 10 for layout in LAYOUTS}


@pytest.mark.parametrize("point", range(POINTS))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_that_stays_finds_all(
    lengths: dict[str, int], scratch: Path, layout: str, point: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, P5: what was acknowledged is there at once, what was committed within a moment, without opening anew."""
    monkeypatch.setattr("foldlog.backends.sqlite.look.DEATHS_EVERY_S", 0.1)
    first = 12  # before, the home is being opened
    step = first + (lengths[layout] - first) * point // POINTS
    killed_at(scratch / "told" / "home", layout, step)


@pytest.mark.long
@pytest.mark.parametrize("part", range(8))
@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_that_stays_finds_all_of_many(
    lengths: dict[str, int], scratch: Path, layout: str, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1, P5: the same at every step."""
    monkeypatch.setattr("foldlog.backends.sqlite.look.DEATHS_EVERY_S", 0.1)
    for step in range(12 + part, lengths[layout], 8):
        killed_at(scratch / str(step) / "home", layout, step)


def survivors(log: EventLog, acknowledged: list[Any]) -> None:
    """All that was acknowledged is there, once; batches whole; seqs dense; the shards agree with the timeline."""
    held: dict[str, list[str]] = {}
    cursor = None
    while True:
        page = log.read(after=cursor, limit=1000)
        for record in page.events:
            of_shard = held.setdefault(record.shard, [])
            of_shard.append(text_of(record))
            assert record.seq == len(of_shard), f"{record.shard}: seq {record.seq} is number {len(of_shard)}"
        cursor = page.cursor
        if page.at_head:
            break
    for shard, texts in held.items():
        assert len(set(texts)) == len(texts), f"{shard}: something was recorded twice"
        last = log.read_shard(shard, newest_first=True, limit=1).records[0]
        assert (last.seq, last.position is not None) == (len(texts), True), shard
    for shard, first_seq, texts in acknowledged:
        assert held[shard][first_seq - 1 : first_seq - 1 + len(texts)] == texts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_killed_again_and_again(scratch: Path, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """P1, P2, P3: two writers of the same and of other runs, killed six times; one log stays open."""
    monkeypatch.setattr("foldlog.backends.sqlite.look.DEATHS_EVERY_S", 0.1)
    dice = random.Random(layout)
    home = scratch / "told" / "home"
    home.parent.mkdir()
    stays = open_log(url_of(home, layout))
    acknowledged: list[Any] = []
    for turn in range(6):
        children = [start("loop", home, layout, f"{name}{turn}") for name in "ab"]
        for child in children:
            assert child.stdout is not None
            acknowledged.append(json.loads(child.stdout.readline()))
        time.sleep(dice.uniform(0.02, 0.3))
        for child in children:
            child.kill()
            rest, _ = child.communicate(timeout=30)
            acknowledged += [json.loads(note) for note in rest.splitlines()]
        within(10, partial(survivors, stays, acknowledged))
    for shard, _, texts in dice.sample(acknowledged, 20):
        assert stays.append(shard, [line(text) for text in texts], key=key_of(shard, texts)).duplicate
    stays.close()
    log = reopen(home)
    survivors(log, acknowledged)
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
    log.close()


def test_the_point_of_the_kill_is_reached(scratch: Path) -> None:
    """The method: a story killed in the middle has an end to come to, and is brought there by who comes next."""
    home = scratch / "told" / "home"
    home.parent.mkdir()
    child = start("story", home, "sharded", 150)
    told, _ = child.communicate(timeout=60)
    assert child.returncode == -9
    notes = [json.loads(note) for note in told.splitlines()]
    assert 1 < Known(notes).at < 12
    examine(home, Known(notes))
