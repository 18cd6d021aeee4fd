"""A log on objects that are far away, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from ...backends.objectstore.backend import ObjectBackend
from ...backends.objectstore.stores import Objects
from ...backends.objectstore.stores.counting import Counted, Counts
from ...engine.log.log import EventLog
from ...serdes import Codec
from ..contest import Outcome, Timing

MONTH_S = 30 * 24 * 3600


class Handle(NamedTuple):
    """An open log, and its store as the bench counts what is asked of it."""

    log: EventLog
    counted: Counted


@contextmanager
def opened(objects: Objects) -> Iterator[Handle]:
    """A log in these objects, made if there is none; cold, as in a process of its own."""
    counted = Counted(objects)
    with EventLog(ObjectBackend(counted), Codec()) as log:
        yield Handle(log, counted)


def puts(counts: Counts) -> int:
    """The requests that S3 takes the price of a PUT for, without listings."""
    return counts.create + counts.put


def told(counts: Counts) -> str:
    """Requests by kind."""
    return f"{puts(counts):,} PUT, {counts.get:,} GET, {counts.list:,} LIST, {counts.delete:,} DELETE"


def held(name: str, amount: float, unit: str, *, most: float, note: str = "", than: float = 0.0) -> Outcome:
    """A count that must not be more than `most`. `than`: the least that it could be."""
    ratio = amount / than if than else 0.0
    return Outcome(
        name, f"<= {most:g}", amount <= most, ratio, (0, 0), Timing(than, 0.0), Timing(amount, 0.0), unit, note
    )
