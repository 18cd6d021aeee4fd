"""Appends to files of this machine, against a loop that makes a file each: durable, and without the syncs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

from ...engine.open import open_log
from .. import subject
from ..contest import Outcome, contest
from ..servers.appending import expect
from . import raw

SINGLES = 200
GOAL = 0.6


def local(folder: Path, rounds: int) -> Iterator[Outcome]:
    """One event an append. Raw: a file of the same event, written aside, synced, linked to its name, and the folder
    synced."""
    for durability in ("full", "process"):
        outcome = _local(folder / durability, durability, rounds)
        yield outcome if durability == "full" else outcome._replace(goal="", good=True)


def _local(folder: Path, durability: str, rounds: int) -> Outcome:
    (folder / "raw").mkdir(parents=True)
    events = [subject.materialization(number) for number in range(SINGLES)]
    plain = [subject.plain(number) for number in range(SINGLES)]
    numbers = count()

    def by_driver() -> int:
        for event in plain:
            raw.create(f"{folder}/raw", str(next(numbers)), raw.pack([event]), synced=durability == "full")
        return SINGLES

    with open_log(f"file://{folder}/log?durability={durability}") as log:

        def by_foldlog() -> int:
            for event in events:
                log.append("run", [event])
            return SINGLES

        outcome = contest(f"files, durability={durability}", by_driver, by_foldlog, goal=GOAL, rounds=rounds)
        expect(log.catch_up().position, (rounds + 1) * SINGLES)
    expect(len(list((folder / "raw").iterdir())), (rounds + 1) * SINGLES)
    return outcome
