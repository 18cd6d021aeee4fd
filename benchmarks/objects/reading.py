"""A run of 10,000 events in appends of 100, read from a distant store by a process that has read nothing of it yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from ...backends.objectstore.stores.memory import MemoryObjects
from ...engine.events.asset import AssetMaterialization
from ...engine.log.log import EventLog
from .. import subject
from ..contest import Outcome
from ..latency import Latency
from ..servers.appending import expect
from . import raw
from .distant import opened, told
from .timing import took

RUN = 10_000
APPEND = 100
PAGE = 1000
MOST_MS = 500.0


def reading(folder: Path, rounds: int) -> Iterator[Outcome]:
    """By the shard, and by the timeline; typed, and each event touched. Opening is not in it.

    Raw: as many objects, fetched 32 at once, and a plain msgpack decode.
    """
    memory = MemoryObjects()
    plain = [subject.plain(number) for number in range(RUN)]
    with opened(memory) as (log, _):
        for start in range(0, RUN, APPEND):
            log.append("run", [subject.materialization(number) for number in range(start, start + APPEND)])
        log.catch_up()
    stored = MemoryObjects()
    for start in range(0, RUN, APPEND):
        stored.create(f"raw/{start}", raw.pack(plain[start : start + APPEND]))
    names = [one.name for one in stored.list("")]
    distant = Latency(stored)
    for name, ask in (("run", shard), ("timeline", timeline)):
        yield _read(f"read the {name} of {RUN:,}", lambda: raw.read(distant.get, names), memory, ask, rounds)


def _read(
    name: str, by_driver: Callable[[], int], memory: MemoryObjects, ask: Callable[[EventLog], int], rounds: int
) -> Outcome:
    """Each time by another handle, opened beforehand."""
    with ExitStack() as stack:
        handles = [stack.enter_context(opened(Latency(memory))) for _ in range(rounds)]
        first = handles[0].counted
        before, cold = first.snapshot(), iter(handles)
        outcome = took(
            name,
            lambda: expect(by_driver(), RUN),
            lambda: expect(ask(next(cold).log), RUN),
            most_ms=MOST_MS, rounds=rounds,
        )  # fmt: skip
        return outcome._replace(note=told(first.snapshot().since(before)))


def shard(log: EventLog) -> int:
    """Read the run in pages; how many events were as they should be."""
    seen = after = 0
    at_end = False
    while not at_end:
        records, after, at_end = log.read_shard("run", after_seq=after, limit=PAGE)
        for record in records:
            fact = record.event.fact
            seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
    return seen


def timeline(log: EventLog) -> int:
    """The same of the whole timeline."""
    seen = 0
    page = log.read(limit=PAGE)
    while True:
        for record in page.events:
            fact = record.event.fact
            seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
        if page.at_head:
            return seen
        page = log.read(after=page.cursor, limit=PAGE)
