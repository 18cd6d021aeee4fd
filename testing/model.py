"""The backend beside the memory backend: the same calls in dice's order, every answer compared.

The model's clock shows the times of the backend's own receipts, so both put the same receipts in the same order, and
even the hash chains are equal. Not compared: generated keys, log ids, the wording of errors.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import methodcaller
from typing import Any

import pytest

from ..backends.memory import MemoryBackend
from ..engine.errors import FoldlogError
from ..engine.events.event import Retention
from ..engine.log.port import (
    ANY,
    NEW,
    Append,
    Backend,
    CanGroup,
    CanRepair,
    Epoch,
    Expected,
    Head,
    Placed,
    Receipt,
    Stored,
)
from ..engine.log.sequencer import Sequencer
from .store import PLENTY, Store, SuiteBase, an_append, held, record

SHARDS = ["run-1", "run-2", "Run-1", "@queue", "caf\u00e9"]
KINDS = ["A", "B", "asset", "log", "tick"]
CLASSES = {"log": Retention.LOG, "tick": Retention.TICK}
EXPECTATIONS: list[Expected] = [ANY, ANY, ANY, ANY, NEW, NEW, 0, 1, 2, 4]
STEPS = 60


class Pair:
    """The backend under test and its model, asked the same questions."""

    def __init__(self, store: Store, dice: random.Random) -> None:
        self.store, self.dice = store, dice
        self.backend = store.open()
        self._times: Iterator[int] = iter(())
        self._now = 0
        self.model = MemoryBackend(clock_us=self._clock)
        self.told: list[str] = []  #: what was asked, for the message of a failure

    def _clock(self) -> int:
        self._now = next(self._times, self._now)
        return self._now

    def ask(self, told: str, deed: Callable[[Any], Any], *, model_deed: Callable[[Any], Any] | None = None) -> Any:
        """Ask both, compare, and give the backend's answer."""
        self.told.append(told)
        answer = outcome(deed, self.backend)
        self._times = iter([receipt.at_us for receipt in receipts_in(answer) if not receipt.duplicate])
        wanted = outcome(model_deed or deed, self.model)
        assert comparable(answer) == comparable(wanted), "\n".join(self.told)
        return answer

    # -- deeds ---------------------------------------------------------------------------------------------------

    def draw(self) -> Append:
        """An append out of few shards, sizes, keys and expectations, so that they collide."""
        dice = self.dice
        shard = dice.choice(SHARDS)
        read = len(held(self.model, shard))
        expected: Expected = dice.choice(EXPECTATIONS) if dice.random() < 0.8 else read
        key = dice.choice([None, None, dice.randint(1, 6)])
        kinds = dice.choices(KINDS, k=dice.choice([1, 1, 2, 5]))
        parts = [
            record(
                b"%d" % dice.randint(0, 1), type=kind, kept=kind == "asset", retention=CLASSES.get(kind, Retention.RUN)
            )
            for kind in kinds
        ]
        return an_append(shard, *parts, expected=expected, key=key)

    def append(self) -> None:
        append = self.draw()
        told = f"append {append.shard} {len(append.records)} {append.expected} {append.key}"
        self.ask(told, lambda it: it.append(append))
        if append.key and self.dice.random() < 0.4:
            self.ask(f"retry: {told}", lambda it: it.append(append))

    def append_group(self) -> None:
        if not isinstance(self.backend, CanGroup):
            return self.append()
        group = [self.draw() for _ in range(self.dice.randint(0, 6))]
        told = [f"{append.shard} {len(append.records)} {append.expected} {append.key}" for append in group]
        self.ask(f"append_group {told}", lambda it: it.append_group(group))

    def sequence(self) -> None:
        batch = self.dice.choice([1, 2, 3, 1000])
        self.ask(f"sequence, {batch} at a time", lambda it: Sequencer(it, batch=batch).catch_up())

    def seal(self) -> None:
        shard = self.dice.choice(SHARDS)
        self.ask(f"seal {shard}", lambda it: it.seal(shard))

    def purge(self) -> None:
        shard, keep = self.dice.choice(SHARDS), self.dice.random() < 0.7
        if self.dice.random() < 0.3:
            self.ask(f"fence {shard}", lambda it: it.fence(shard))
        if self.dice.random() < 0.3:
            self.sequence()
        self.ask(f"purge {shard} keep={keep}", lambda it: it.purge(shard, keep=keep))

    def trim(self) -> None:
        dice = self.dice
        retention, through = dice.choice([Retention.LOG, Retention.TICK]), dice.randint(0, 60)
        shard = dice.choice([None, *SHARDS, "none"])
        told = f"{retention.name} through {through} in {shard}"
        self.ask(f"weigh {told}", lambda it: it.weigh(int(retention), through=through, shard=shard))
        self.ask(f"trim {told}", lambda it: it.trim(int(retention), through=through, shard=shard))
        self.ask(f"weigh all through {through} in {shard}", lambda it: it.weigh(None, through=through, shard=shard))

    def reopen(self) -> None:
        self.told.append("reopen")
        self.backend = self.store.reopen()

    def another_handle(self) -> None:
        """Go on through another handle; the one before stays open, and grows stale."""
        if self.store.shared:
            self.told.append("another handle")
            handles = self.store.handles
            self.backend = self.store.open() if len(handles) < 4 else self.dice.choice(handles)

    def start_epoch(self) -> None:
        if isinstance(self.backend, CanRepair):
            self.ask("start_epoch", lambda it: it.start_epoch("dice"))

    def read_shard(self) -> None:
        dice = self.dice
        shard, after, limit = dice.choice([*SHARDS, "none"]), dice.randint(0, 12), dice.choice([1, 2, 5, PLENTY])
        types, down = self.some_types(), dice.random() < 0.5
        self.ask(
            f"read_shard {shard} after {after} limit {limit} types {types} newest_first {down}",
            lambda it: it.read_shard(shard, after_seq=after, limit=limit, types=types, newest_first=down),
        )

    def read(self) -> None:
        after, limit = self.dice.randint(0, 60), self.dice.choice([1, 3, 10, PLENTY])
        types = self.some_types()
        self.ask(f"read {after} {limit} {types}", lambda it: it.read(after=after, limit=limit, types=types))
        some = types or frozenset(KINDS)
        for before in (None, after):
            told = f"read_back {before} {limit} {some}"
            self.ask(told, methodcaller("read_back", before=before, limit=limit, types=some))
        self.ask(f"placed {after} {limit}", lambda it: it.placed(after=after, limit=limit))

    def some_types(self) -> frozenset[str] | None:
        dice = self.dice
        return dice.choice([None, frozenset(dice.sample(KINDS, dice.randint(0, 2)))])

    def compare_all(self) -> None:
        """Everything there is to see."""
        self.ask("head", lambda it: it.head())
        self.ask("epochs", lambda it: it.epochs())
        self.ask("pending", lambda it: sorted(map(comparable, it.pending(limit=PLENTY))))
        self.ask("shards", lambda it: it.shards(after="", limit=PLENTY))
        self.ask("counts", lambda it: [it.stats()[name] for name in ("head", "shards", "pending")])
        for types in (None, frozenset(["A"]), frozenset(["asset"]), frozenset(["log", "tick"])):
            self.ask(f"timeline {types}", methodcaller("read", after=0, limit=PLENTY, types=types))
        for shard in SHARDS:
            self.ask(f"find {shard}", methodcaller("find_shard", shard))
            self.ask(f"all of {shard}", partial(_held, shard))


def _held(shard: str, it: Backend) -> list[Stored]:
    return held(it, shard)


def outcome(deed: Callable[[Any], Any], it: Any) -> Any:
    """The answer, or the type of the FoldlogError."""
    try:
        return deed(it)
    except FoldlogError as error:
        return type(error)


def receipts_in(answer: Any) -> Iterable[Receipt]:
    if isinstance(answer, Receipt):
        yield answer
    elif isinstance(answer, list):
        yield from (item for item in answer if isinstance(item, Receipt))


def comparable(answer: Any) -> Any:
    """The answer without what two backends may make up differently."""
    match answer:
        case Receipt():
            given = answer.key.int <= 6  # the keys that the dice give; others are generated
            return tuple(answer._replace(key=answer.key if given else None))  # type: ignore[arg-type]
        case Placed(position, receipt, chain):
            return position, comparable(receipt), chain
        case Head():
            return answer[1:]
        case Epoch():
            return answer.number, answer.after_position, answer.chain
        case Exception():
            return type(answer)
        case list():
            return [comparable(item) for item in answer]
    return answer


class ModelTests(SuiteBase):
    @pytest.mark.parametrize("seed", range(20))
    def test_agrees_with_the_model(self, store: Store, seed: int) -> None:
        """P1 to P5, P9 to P11: what the contract says as plain code, this backend does, answer by answer."""
        dice = random.Random(seed)
        pair = Pair(store, dice)
        deeds = {
            Pair.append: 30, Pair.append_group: 6, Pair.sequence: 10, Pair.seal: 6, Pair.purge: 4, Pair.trim: 6,
            Pair.reopen: 2,
            Pair.another_handle: 6, Pair.start_epoch: 1, Pair.read_shard: 10, Pair.read: 10,
        }  # fmt: skip
        for deed in dice.choices(list(deeds), list(deeds.values()), k=STEPS):
            deed(pair)
            if dice.random() < 0.1:
                pair.compare_all()
        pair.compare_all()
        pair.sequence()
        pair.compare_all()
