"""Ends of a move, for the tests of moving: every kind of place a log can be at, filled with what happens to logs."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from foldlog import AssetKey, Event, EventLog, events, open_log
from foldlog.backends.memory import MemoryBackend
from foldlog.engine.errors import AppendKeyConflict, ShardPurged
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import CanMove
from foldlog.serdes import Codec

#: a name for the test's id -> the URL; `{folder}` is a fresh one; servers by the fixture that gives an empty database
ENDS = {
    "memory": "memory",
    "sqlite": "sqlite:///{folder}/log",
    "consolidated": "sqlite:///{folder}/log?layout=consolidated",
    "postgres": "postgres_url",
    "mysql": "mysql_url",
    "objects": "file://{folder}/log",
    "s3": "s3_bucket",
}
SERVED = ("postgres", "mysql", "s3")  #: of each there is one empty database a test
#: every pair; a bucket over HTTP is slow, and differs from a folder of objects by that alone
PAIRS = [
    pytest.param(
        start,
        to,
        id=f"{start}-{to}",
        marks=[pytest.mark.long] if "s3" in (start, to) and {start, to}.isdisjoint({"objects"}) else [],
    )
    for start in ENDS
    for to in ENDS
]
RUNS = [f"run-{number}" for number in range(6)]


def end_at(name: str, folder: Path, request: pytest.FixtureRequest) -> str | EventLog:
    """A place for a log: a URL, or an open log in memory. Skips where the backend cannot move logs."""
    if name == "memory":
        return EventLog(MemoryBackend(), Codec())
    if name in SERVED:
        given = request.getfixturevalue(ENDS[name])
        if name == "s3":
            request.getfixturevalue("monkeypatch").setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(given.options))
        url = f"{given.url}/log" if name == "s3" else str(given)
        with open_log(url) as log:
            if not isinstance(log.backend, CanMove):
                pytest.skip(f"{name} moves no logs")
        return url
    folder.mkdir(parents=True, exist_ok=True)
    return ENDS[name].format(folder=folder)


@contextmanager
def at(end: str | EventLog) -> Iterator[EventLog]:
    """The log at an end, open."""
    if isinstance(end, EventLog):
        yield end
    else:
        with open_log(end) as log:
            yield log


def fill(log: EventLog, *, seed: int = 0, steps: int = 60, runs: list[str] = RUNS) -> None:
    """Appends with and without keys, seals, deletions and trims, in dice's order."""
    dice = random.Random(seed)
    deeds: dict[Callable[[EventLog, random.Random, str], Any], float] = {append: 20, seal: 2, delete: 0.6, trim: 0.5}
    for deed in dice.choices(list(deeds), list(deeds.values()), k=steps):
        deed(log, dice, dice.choice(runs))


def append(log: EventLog, dice: random.Random, run: str) -> None:
    shard = dice.choice([run, run, run, "@ticks", "@asset-events/3"])
    some: list[Any] = [
        events.StepStarted(),
        events.LogMessage(text="line " * dice.randint(0, 40)),
        events.AssetMaterialization(
            asset_key=AssetKey(["raw", dice.choice("ab")]), metadata={"rows": dice.randint(0, 9)}
        ),
        events.RunStarted(),
    ]
    if shard == "@ticks":
        some = [events.TickSkipped(tick_id="t", instigator="n", instigator_type="SENSOR")]
    facts = dice.choices(some, k=dice.choice([1, 1, 2, 30]))
    key = dice.choice([None, None, UUID(int=dice.randint(1, 10**6))])
    try:
        log.append(shard, [Event.now(fact, step_key="load") for fact in facts], key=key)
    except (AppendKeyConflict, ShardPurged):
        return


def seal(log: EventLog, dice: random.Random, run: str) -> None:
    log.seal(run)


def delete(log: EventLog, dice: random.Random, run: str) -> None:
    if log.backend.find_shard(run) is not None:
        keep = dice.random() < 0.7
        log.purge(run, Event.now(events.RunDeleted(run_id=run, keep_assets=keep)), keep=keep)


def trim(log: EventLog, dice: random.Random, run: str) -> None:
    head = log.catch_up().position
    if head:
        log.trim(Retention.LOG, dice.randint(1, head))


def everything(log: EventLog) -> dict[str, Any]:
    """What a move keeps, in one piece."""
    head = log.catch_up()
    return {
        "head": (head.log_id, head.position, head.chain),
        "placed": log.backend.placed(after=0, limit=10_000),
        "timeline": log.backend.read(after=0, limit=10_000, types=None),
        "states": log.shards(limit=10_000),
    }
