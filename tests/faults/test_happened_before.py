"""The order agrees with happened-before (P6): who was acknowledged before another began has the smaller position.

Writers note, by one monotonic clock of the machine, when each append began and when it was acknowledged, while other
processes sequence as fast, or as slowly, as they can.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from itertools import count
from pathlib import Path
from time import monotonic_ns, sleep
from typing import Any

import delays
import pytest
from served import KINDS

from foldlog.backends import open_backend
from foldlog.engine.log.port import Backend
from foldlog.engine.log.sequencer import Sequencer
from foldlog.testing.order import Timed, disorder, inversion
from foldlog.testing.store import PLENTY, put

SPAWN = multiprocessing.get_context("spawn")
PROCESSES, THREADS = 3, 2
SECONDS = 1.5


def write(url: str, name: int, gate: Any, done: Any, pipe: Any) -> None:
    """Threads that append to runs of their own and to one of all, until told to stop."""
    backend = open_backend(url)
    if url.startswith("file"):
        delays.slow_objects(name)
    told: list[tuple[str, int, int, int]] = []

    def work(thread: int) -> None:
        dice = random.Random(name * THREADS + thread)
        gate.wait()
        for number in count():
            if done.is_set():
                return
            shard = dice.choice([f"run-{name}-{thread}-{number % 3}", f"run-{name}-{thread}-{number % 3}", "run-all"])
            begun = monotonic_ns()
            receipt = put(backend, shard, *[b"x"] * dice.choice([1, 1, 2]))
            told.append((shard, receipt.first_seq, begun, monotonic_ns()))
            if dice.random() < 0.5:
                sleep(dice.random() * 0.005)

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    pipe.send("ready")
    for thread in threads:
        thread.join()
    backend.close()
    pipe.send(told)


def sequence(url: str, name: int, gate: Any, done: Any, pipe: Any, hasty: bool = False) -> None:
    """Sequence without pause, slow between what it looks at. (Were one quick, the slow ones would lose every race.)"""
    if url.startswith("sqlite"):
        delays.slow_sqlite(name, rolled_back=0.0, look_s=0.01)
    backend = open_backend(url)
    if hasty:
        backend.looks = 1
    sequencer = Sequencer(backend, batch=(3, 1000)[name % 2])
    pipe.send("ready")
    gate.wait()
    passes = 0
    while not done.is_set():
        sequencer.catch_up()
        passes += 1
    backend.close()
    pipe.send(passes)


@pytest.mark.parametrize("store", ["sqlite", "sqlite-consolidated", "objects", *KINDS])
def test_order_agrees_with_happened_before(store: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """P6, P2: over processes, threads and shards; nothing lost, and each shard in seq order."""
    if store in KINDS:
        url = request.getfixturevalue(f"{store}_url")
    else:
        url = f"sqlite:///{tmp_path}/log" + ("?layout=consolidated" if store == "sqlite-consolidated" else "")
        url = f"file://{tmp_path}/log" if store == "objects" else url
    with closing(open_backend(url)):
        if store in KINDS:
            delays.SLOW[store](url, rolled_back=0.0)
        timed = history(url, sequence)
    assert len(timed) > 30
    assert inversion(timed) is None
    assert disorder(timed) is None


def test_control_one_look_inverts(tmp_path: Path) -> None:
    """The harness would notice: the same processes, sequencing after one look instead of two. Chance has a part in
    it, so there are some tries; most often one will do."""
    hasty = partial(sequence, hasty=True)
    assert any(inversion(history(f"sqlite:///{tmp_path}/log-{number}", hasty)) for number in range(8))


def history(url: str, sequencer: Callable[..., None]) -> list[Timed]:
    """What writers and sequencers of several processes make of a new log; nothing that was acknowledged is missing."""
    backend = open_backend(url)
    gate, done = SPAWN.Event(), SPAWN.Event()
    jobs = []
    for target, name in [(write, n) for n in range(PROCESSES)] + [(sequencer, n) for n in range(2)]:
        here, there = SPAWN.Pipe(duplex=False)
        child = SPAWN.Process(target=target, args=(url, name, gate, done, there), daemon=True)
        child.start()
        there.close()
        jobs.append((child, here))
    for _, here in jobs:
        assert here.recv() == "ready"
    gate.set()
    sleep(SECONDS)
    done.set()
    answers = [here.recv() for _, here in jobs]
    for child, _ in jobs:
        child.join(30)
        assert child.exitcode == 0
    Sequencer(backend).catch_up()
    positions = {(entry.receipt.shard, entry.receipt.first_seq): entry.position for entry in placed(backend)}
    told = [append for part in answers[:PROCESSES] for append in part]
    assert sum(answers[PROCESSES:]) > 2, "there were several passes"
    assert {append[:2] for append in told} == set(positions)
    backend.close()
    return [Timed(shard, seq, begun, end, positions[shard, seq]) for shard, seq, begun, end in told]


def placed(backend: Backend) -> Any:
    after = 0
    while part := backend.placed(after=after, limit=PLENTY):
        yield from part
        after = part[-1].last_position
