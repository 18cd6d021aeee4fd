"""Questions across runs on a server, each against tables made by hand for it there.

`questions` asks a history of 100,000 events. `flat` asks longer ones, against their raw tables and against the short
history beside them in the same rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..contest import Outcome, contest, figure
from ..questions import GOAL, Asked, agree, asked, often
from .loading import Loaded, loaded, shape_of
from .server import Place, Server

SMALL = 100_000
SIZES = (1_000_000,)  #: of `flat`, unless others are named
FLAT = 0.5  #: of the answers a second that the short history gives


def questions(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """Questions of an orchestrator's UI on 100,000 events."""
    with loaded(place, shape_of(SMALL)) as history:
        yield _loading(history, SMALL)
        for one in asked(history.rows, history.instance):
            yield _against_raw(one, SMALL, rounds)


def flat(server: Server, folder: Path, rounds: int, sizes: tuple[int, ...] = ()) -> Iterator[Outcome]:
    """The same on more events; and how that compares with 100,000."""
    with server.place() as place, loaded(place, shape_of(SMALL)) as short:
        for events in sizes or SIZES:
            with server.place() as more, loaded(more, shape_of(events)) as long:
                yield _loading(long, events)
                for here, there in zip(asked(short.rows, short.instance), asked(long.rows, long.instance), strict=True):
                    yield _against_raw(there, events, rounds)
                    yield _against_short(here, there, events, rounds)


def _loading(history: Loaded, events: int) -> Outcome:
    shape = shape_of(events)
    note = (
        f"{shape.total:,} events in {shape.runs:,} runs, views and raw tables as well; {history.seconds:,.0f} s, this "
        f"process at most {history.memory_mb:,.0f} MB"
    )
    return figure("loading", shape.total / history.seconds, "events/s", note)


def _against_raw(one: Asked, events: int, rounds: int) -> Outcome:
    agree(one)
    outcome = contest(one.name, often(one.raw), often(one.foldlog), goal=GOAL, rounds=rounds, unit="questions/s")
    return outcome._replace(note=f"{events:,} events")


def _against_short(here: Asked, there: Asked, events: int, rounds: int) -> Outcome:
    """In the column of the raw driver: foldlog on the short history."""
    name = f"flat: {there.name}"
    outcome = contest(name, often(here.foldlog), often(there.foldlog), goal=FLAT, rounds=rounds, unit="questions/s")
    return outcome._replace(goal=f">= {FLAT} of {SMALL:,} events", note=f"{events:,} events; raw: {SMALL:,}")
