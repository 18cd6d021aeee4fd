"""A short life of a log, told in steps that may each be told again; and the check of what is left after a crash in it.

Each step is idempotent (appends carry a key), so whoever finds a home in the middle of a story tells the rest of it,
from the step that was cut short on, and must come to the same end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from foldlog.engine.events.asset import AssetMaterialization
from foldlog.engine.events.event import Event
from foldlog.engine.events.key import AssetKey
from foldlog.engine.events.log import LogMessage
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog, EventRecord
from foldlog.engine.log.port import Receipt
from foldlog.engine.open import open_log

Note = Callable[[Any], None]
Step = Callable[[EventLog, Note], None]

LAYOUTS = ("sharded", "consolidated")


def url_of(folder: Path, layout: str = "sharded", durability: str = "full") -> str:
    return f"sqlite:///{folder}?layout={layout}&durability={durability}"


def line(text: str) -> Event[LogMessage]:
    """Goes with its run."""
    return Event(LogMessage(text=text), 0)


def asset(text: str) -> Event[AssetMaterialization]:
    """Outlives its run."""
    return Event(AssetMaterialization(asset_key=AssetKey((text,))), 0)


def text_of(record: EventRecord) -> str:
    fact = record.event.fact
    if isinstance(fact, LogMessage):
        return fact.text
    return fact.asset_key.parts[0] if isinstance(fact, AssetMaterialization) else record.event.type


def key_of(shard: str, texts: list[str]) -> UUID:
    return uuid5(NAMESPACE_OID, f"{shard}:{texts}")


def append(shard: str, *texts: str) -> Step:
    """One append; texts that begin with `asset` are facts that are kept."""

    def step(log: EventLog, note: Note) -> None:
        made = [asset(text) if text.startswith("asset") else line(text) for text in texts]
        receipt = log.append(shard, made, key=key_of(shard, list(texts)))
        note(("acknowledged", shard, receipt.first_seq, texts))

    return step


def group(*appends: tuple[str, str]) -> Step:
    """Several appends through one writer, which commits them together."""

    def step(log: EventLog, note: Note) -> None:
        with log.writer() as writer:
            futures = [writer.append(shard, [line(text)], key=key_of(shard, [text])) for shard, text in appends]
            writer.flush()
            for (shard, text), future in zip(appends, futures, strict=True):
                receipt: Receipt = future.result()
                note(("acknowledged", shard, receipt.first_seq, (text,)))

    return step


def sequence(log: EventLog, note: Note) -> None:
    log.catch_up()
    note(("ordered", str(log.cursor())))


def seal(shard: str) -> Step:
    def step(log: EventLog, note: Note) -> None:
        assert log.seal(shard)

    return step


def purge(run_id: str) -> Step:
    def step(log: EventLog, note: Note) -> None:
        note(("purging", run_id))
        log.purge(run_id, Event(RunDeleted(run_id=run_id), 0))

    return step


STORY: list[Step] = [
    append("run-1", "a"),
    append("run-1", "b", "c", "asset d"),
    append("run-2", "e"),
    sequence,
    append("@queue", "q"),
    group(("run-1", "f"), ("run-2", "g"), ("run-1", "h"), ("@queue", "r"), ("run-3", "i")),
    sequence,
    seal("run-2"),
    append("run-4", "j"),  # takes the slot that run-2 has left
    append("run-2", "late"),  # opens the sealed shard again
    append("run-2", "later"),
    seal("run-2"),
    seal("run-4"),
    purge("run-1"),
    append("run-5", "after", "the", "purge"),
    purge("run-4"),
    sequence,
]
END = {  # what each shard holds when the story is over
    "run-1": ["asset d"],
    "run-2": ["e", "g", "late", "later"],
    "run-3": ["i"],
    "run-4": [],
    "run-5": ["after", "the", "purge"],
    "@queue": ["q", "r"],
    "@instance": ["RUN_DELETED", "RUN_DELETED"],
}


def tell(log: EventLog, note: Note, *, start: int = 0, story: list[Step] = STORY) -> None:
    """Do the steps from `start` on."""
    for index in range(start, len(story)):
        note(("begun", index))
        story[index](log, note)


class Known:
    """What the world outside knew at the moment of the crash."""

    def __init__(self, notes: list[Any]) -> None:
        self.acknowledged = [note[1:] for note in notes if note[0] == "acknowledged"]
        self.cursors = [note[1] for note in notes if note[0] == "ordered"]
        self.purging = {note[1] for note in notes if note[0] == "purging"}
        self.at = max((note[1] for note in notes if note[0] == "begun"), default=0)


def check(log: EventLog, known: Known) -> None:
    """P1, P2, P3, P5, P11: what was acknowledged is there, once; seqs and positions are dense; cursors still hold."""
    cursor, seen, position = None, [], 0
    while True:
        page = log.read(after=cursor, limit=4)
        for record in page.records:
            first = record.first_position if not isinstance(record, EventRecord) else record.position
            assert first == position + 1, f"position {first} comes after {position}"
            position = record.position
            if isinstance(record, EventRecord):
                seen.append(record)
        cursor = page.cursor
        if page.at_head:
            break
    by_shard: dict[str, list[EventRecord]] = {}
    for record in seen:
        by_shard.setdefault(record.shard, []).append(record)
    for shard in log.shards():
        stored = log.read_shard(shard.name).records
        assert stored == by_shard.get(shard.name, []), f"{shard.name}: the shard and the timeline differ"
        if shard.name not in known.purging:
            assert [record.seq for record in stored] == list(range(1, len(stored) + 1)), shard.name
        counts = Counter(text_of(record) for record in stored)
        assert shard.name == "@instance" or max(counts.values(), default=1) == 1, f"{shard.name}: {counts}"
    for shard, first_seq, texts in known.acknowledged:
        held = {record.seq: text_of(record) for record in by_shard.get(shard, [])}
        for seq, text in enumerate(texts, start=first_seq):
            if shard not in known.purging or text.startswith("asset"):
                assert held.get(seq) == text, f"{shard} {seq}: {text!r} was acknowledged, {held.get(seq)!r} is there"
    for old in known.cursors:
        log.read(after=old)


def check_end(log: EventLog) -> None:
    """The story is over: each shard holds what it must, and no more."""
    log.catch_up()
    held = {shard.name: [text_of(record) for record in log.read_shard(shard.name).records] for shard in log.shards()}
    assert held == END


def reopen(folder: Path) -> EventLog:
    """The log in a folder, of whatever layout it is."""
    return open_log(f"sqlite:///{folder}")
