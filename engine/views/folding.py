"""Fold a page of the timeline into the rows of views: deal it out, fold it, say where a view cannot go on.

Not here: which page, and where the rows go (projector.py, rebuild.py).
"""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ..errors import CorruptLogError, FoldlogError, ViewStopped
from ..events.event import Opaque
from ..log.log import EventLog
from ..log.names import is_system_shard
from ..log.port import Stored
from .checkpoints import Stop
from .projection import Projection, Taken
from .rows import Rows

logger = logging.getLogger("foldlog.views")

_OF_DATABASES: Final = frozenset(("sqlalchemy", "sqlite3", "psycopg2", "pymysql"))  #: modules of their exceptions
UNKNOWN: Final = "this process does not know"


@contextmanager
def no_collector() -> Iterator[None]:
    """Without the collector of cycles for one page. A page is tens of thousands of tuples and no cycle; looking through
    them time and again takes a tenth of a rebuild."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def deal(log: EventLog, projections: Sequence[Projection], stored: Iterable[Stored]) -> dict[str, list[Taken]]:
    """What of a page concerns each view, in order; kinds nobody here knows among it.

    What no view takes in is not decoded: log lines and the chatter of steps are most of a log.
    """
    hands: dict[str, list[Taken]] = {projection.name: [] for projection in projections}
    routes: dict[str, tuple[int, list[list[Taken]]]] = {}
    decode, new = log.decode, tuple.__new__  # half the cost of Taken(...)
    runs: dict[str, str | None] = {}
    begun: set[str] = set()
    for shard, seq, position, record in stored:
        if seq == 1 and not is_system_shard(shard):
            begun.add(shard)
        if record is None:
            continue
        name, _, topics, body = record
        if name not in routes:
            routes[name] = log.version_of(name), [hands[p.name] for p in projections if name in p.types]
        version, wanting = routes[name]
        if not body or body[-1] > version:
            wanting = [hands[p.name] for p in projections if topics & p.topics or name in p.types]
        if not wanting:
            continue
        if position is None:
            raise CorruptLogError(f"an event of shard {shard} was read from the timeline without a position")
        if shard not in runs:
            runs[shard] = None if is_system_shard(shard) else shard
        taken = new(Taken, (shard, seq, position, decode(record), body, runs[shard], shard in begun))
        for hand in wanting:
            hand.append(taken)
    return hands


def fold_page(projection: Projection, rows: Rows, records: Sequence[Taken]) -> Stop | None:
    """Fold the records that concern a view. Where it cannot go on, if so: `rows` is void then."""
    rows.fetch(projection, (record for record in records if type(record.event.fact) is not Opaque))
    fold = projection.fold
    for record in records:
        fact = record.event.fact
        if type(fact) is Opaque:
            known = "a newer version of it" if fact.name in projection.types else "that kind"
            return Stop(record.position, fact.name, f"{UNKNOWN} {known} (version {fact.version})")
        rows.fresh = record.fresh
        try:
            fold(rows, record)
        except FoldlogError:
            raise  # the database, not the fold
        except Exception as error:
            if _is_of_database(error):
                raise
            logger.debug("view %s at position %s", projection.name, record.position, exc_info=True)
            return Stop(record.position, record.event.type, f"{type(error).__name__}: {error}")
    return None


def view_stopped(name: str, stop: Stop) -> ViewStopped:
    """The error that says where a view stands and what to do."""
    error = ViewStopped(f"view {name} stopped before position {stop.position}, a {stop.type}: {stop.reason}")
    if stop.reason.startswith(UNKNOWN):
        error.remedy = (
            "Upgrade foldlog here, or register the kind (`foldlog --import MODULE` does); "
            "the view then goes on by itself."
        )
    else:
        error.remedy = (
            f"Correct the fold of view {name}, then `foldlog retry --view {name}` goes on from there; "
            f"`foldlog rebuild --view {name}` folds anew what it had taken in before."
        )
    return error


def _is_of_database(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in _OF_DATABASES
