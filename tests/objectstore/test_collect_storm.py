"""Writers, sequencers, compactions and collections at once, while days pass between any two of their requests: what was
acknowledged is there once, and each reader sees it as it is."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import pytest
from seam import DAY_S, Dated, append, catch_up, timeline, words

from foldlog import LogMoved, UnavailableError
from foldlog.backends.objectstore import compacting
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.engine.log.port import OPEN_GATE, Gate, GateState

MOVED = Gate(GateState.MOVED, "elsewhere")
SHARDS = ("run-a", "run-b", "run-c")


class Storm:
    """Threads that go on until they are told to end; the first error of any is told."""

    def __init__(self) -> None:
        self.ended = threading.Event()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, deed: Callable[[], object]) -> None:
        def run() -> None:
            try:
                while not self.ended.is_set():
                    deed()
            except BaseException as error:
                self.errors.append(error)
                self.ended.set()

        self._threads.append(threading.Thread(target=run, daemon=True))
        self._threads[-1].start()

    def end(self) -> None:
        self.ended.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()
        if self.errors:
            raise self.errors[0]


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_nothing_is_lost_and_nothing_is_there_twice(seed: int, moves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`moves`: the gate is shut now and then, and opened again."""
    monkeypatch.setattr(compacting, "FEW", 3)
    objects = Dated()
    acknowledged: Counter[str] = Counter()
    lock = threading.Lock()
    storm = Storm()
    garbage: Counter[str] = Counter()

    unknown: set[str] = set()

    def open_ended(word: str) -> None:
        with lock:
            unknown.add(word)

    def move() -> None:
        if not mover.set_gate(MOVED, expected=OPEN_GATE):
            return
        catch_up(mover)
        time.sleep(0.05)
        assert mover.set_gate(OPEN_GATE, expected=MOVED)
        time.sleep(0.2)

    def writer(number: int) -> Callable[[], None]:
        backend, dice, made = ObjectBackend(objects), random.Random(f"{seed} {number}"), [0]

        def write() -> None:
            made[0] += 1
            word = f"{number}.{made[0]}"
            key = UUID(int=dice.getrandbits(128))
            shard = dice.choice(SHARDS)
            while True:
                try:
                    append(backend, shard, word, key=key)
                except (UnavailableError, LogMoved):  # not known: a retry under its key tells
                    if storm.ended.is_set():
                        return open_ended(word)
                    time.sleep(0.002)
                    continue
                break
            with lock:
                acknowledged[word] += 1
            if dice.random() < 0.05:
                backend.seal(dice.choice(SHARDS))
            if dice.random() < 0.3:
                catch_up(backend)

        return write

    compactor, collector, mover = ObjectBackend(objects), ObjectBackend(objects), ObjectBackend(objects)
    reader, dice = ObjectBackend(objects), random.Random(seed)

    def collect() -> None:
        for kind, amount in collector.collect().garbage.items():
            garbage[kind] += amount.objects
        objects.sleep(dice.random() * 3 * DAY_S)

    for number in range(3):
        storm.start(writer(number))
    storm.start(compactor.compact)
    storm.start(collect)
    storm.start(lambda: words(reader, dice.choice(SHARDS)))
    if moves:
        storm.start(move)
    storm.ended.wait(3)
    storm.end()
    fresh = ObjectBackend(objects)
    found = Counter(timeline(fresh))
    assert Counter({word: times for word, times in found.items() if word not in unknown}) == acknowledged
    assert max(found.values()) == 1
    in_shards = Counter(word for shard in SHARDS for word in words(fresh, shard))
    assert found <= in_shards
    assert set(in_shards - found) <= unknown, "what landed, and nobody was told of"
    assert timeline(reader) == timeline(fresh)
    assert len(fresh.diagnose(full=True)) == len(in_shards - found)
    assert garbage["slots"] >= (1 if moves else 20), garbage
    assert moves or garbage["steps"] >= 20, garbage
    assert garbage["writers"] >= 1
