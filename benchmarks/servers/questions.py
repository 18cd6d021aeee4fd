"""Questions across runs on a server, each against tables made by hand for it there.

`questions` asks a history of 100,000 events. `flat` asks longer ones, too, and gives the time of each question there as
a multiple of its time at 100,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..contest import Outcome, Timing, contest, figure
from ..questions import GOAL, agree, asked, often
from .loading import loaded, shape_of
from .server import Place, Server

SMALL = 100_000
SIZES = (1_000_000,)  #: of `flat`, unless others are named
FLAT = 0.5  #: of the answers a second at 100,000 events


def questions(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Questions of an orchestrator's UI on 100,000 events."""
    yield from _at(place, SMALL, rounds)


def flat(server: Server, folder: Path, rounds: int, sizes: tuple[int, ...] = ()) -> Iterator[Outcome]:
    """The same on 100,000 events and on more, and how many times as long each takes there."""
    small: dict[str, Outcome] = {}
    for events in (SMALL, *(sizes or SIZES)):
        with server.place() as place:
            for outcome in _at(place, events, rounds):
                yield outcome
                if events == SMALL:
                    small[outcome.name] = outcome
                elif outcome.name in small and outcome.raw.rate:
                    yield _flat(outcome, small[outcome.name], events)


def _flat(large: Outcome, small: Outcome, events: int) -> Outcome:
    ratio = large.foldlog.rate / small.foldlog.rate
    raw = large.raw.rate / small.raw.rate
    return Outcome(
        f"flat: {large.name}", f">= {FLAT} of {SMALL:,}", ratio >= FLAT, ratio, (0, 0),
        Timing(small.foldlog.rate, 0), Timing(large.foldlog.rate, 0), large.unit,
        f"{events:,} events; the raw tables: {raw:.2f}",
    )  # fmt: skip


def _at(place: Place, events: int, rounds: int) -> Iterator[Outcome]:
    shape = shape_of(events)
    said = f"{shape.total:,} events in {shape.runs:,} runs"
    with loaded(place, shape) as history:
        note = f"{said}, views and raw tables as well; {history.seconds:,.0f} s, {history.memory_mb:,.0f} MB at most"
        yield figure("loading", shape.total / history.seconds, "events/s", note)
        for one in asked(history.rows, history.instance):
            agree(one)
            outcome = contest(
                one.name, often(one.raw), often(one.foldlog), goal=GOAL, rounds=rounds, unit="questions/s"
            )
            yield outcome._replace(note=said)
