"""A long history put into a log on a server, and into the raw tables beside it, in bounded memory."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import NamedTuple

from ...engine.instance import Instance
from .. import history
from ..history import Shape
from ..telling import Telling
from .raw_views import Prepared
from .server import Place, Rows

EVERY = 50  #: runs after which the views take in what is new

LENGTH = 500  #: events of a run


class Loaded(NamedTuple):
    """A history that may be asked, both ways."""

    instance: Instance
    rows: Rows
    seconds: float  #: it took, with views and raw tables
    memory_mb: float  #: of this process, at most since it began


def shape_of(events: int) -> Shape:
    """So many events, in runs of 500; at least a run."""
    return Shape(max(1, events // LENGTH), LENGTH)


@contextmanager
def loaded(place: Place, shape: Shape) -> Iterator[Loaded]:
    """The history in both. Events go in ten an append, as workers record them, many appends a commit."""
    began = time.perf_counter()
    with Instance.from_url(place.quick_url) as instance, closing(place.open_rows()) as rows:
        prepared = Prepared(rows)
        telling = Telling("loading events, views and raw tables", shape.total)
        with instance.log.writer() as writer:
            for first in range(0, shape.runs, EVERY):
                numbers = range(first, min(first + EVERY, shape.runs))
                for number in numbers:
                    told = history.run_events(number, shape)
                    for start in range(0, len(told), history.APPEND):
                        writer.append(history.run_id(number), told[start : start + history.APPEND])
                    prepared.take(number, told)
                writer.flush()
                for number in numbers:
                    instance.log.seal(history.run_id(number))
                instance.get_runs_count()
                telling.at(numbers.stop * shape.events)
        prepared.finish()
        place.weigh()  # has the server clear up and look at its tables, which in time it does by itself
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        yield Loaded(instance, rows, time.perf_counter() - began, memory)
