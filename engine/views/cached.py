"""Views in a cache on this machine, of a log that keeps snapshots of them beside it.

Promises: a machine that has never seen the log begins with the newest snapshot, and folds only what came after it.
Here, cache (cache.py), snapshots (kept_views.py) and putting back (putting.py) are put together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ..errors import ReadOnlyError
from ..log.log import EventLog
from ..log.port import CanKeep
from .cache import Cache
from .database import Database
from .kept_views import KeptViews, fingerprint
from .projection import Projection
from .putting import Putter
from .registry import PROJECTIONS
from .views import Views

logger = logging.getLogger("foldlog.views")

FAR: Final = 200_000  #: events behind the newest snapshot from which on fetching it is quicker than folding them


class CachedViews(Views):
    """The views of one log in a cache on this machine. Thread-safe."""

    def __init__(self, log: EventLog, cache: Cache, kept: KeptViews, projections: Sequence[Projection]) -> None:
        self._putter: Putter | None = None
        self._cache = cache
        database = Database.in_cache(cache.path, cache)
        super().__init__(log, database, projections=projections, caught_up=self._caught_up)
        if not log.read_only:
            self._putter = Putter(log, self.store, cache, kept)

    def put_back(self, *, drop_older: bool = False) -> int:
        if self._putter is None:
            raise ReadOnlyError("the instance was opened with read_only=True; it puts no views back")
        self.projector.catch_up()
        return self._putter.put_back(drop_older=drop_older)

    def _rebuilt(self) -> None:
        if self._putter is not None:
            self._putter.rebuilt()

    def _caught_up(self, position: int) -> None:
        if self._putter is not None:
            self._putter.caught_up(position)

    def close(self) -> None:
        if self._putter is not None:
            self._putter.close()
        super().close()
        self._cache.close()


def open_cached(
    log: EventLog,
    store: CanKeep,
    *,
    check: Callable[[Path], None] = lambda folder: None,
    projections: Sequence[Projection] = PROJECTIONS,
) -> Views:
    """The views of a log in the cache of this machine. `check`: see `Cache`."""
    kept = KeptViews(log, store, projections)
    head = log.backend.head()
    try:
        cache = Cache(head.log_id, log.backend.url, fingerprint(projections), kept.fill, check=check)
    except OSError as error:
        logger.warning("the views of %s are folded in memory, for there is no folder: %s", log.backend.url, error)
        return Views(log, Database.in_memory(), projections=projections)
    views = CachedViews(log, cache, kept, projections)
    try:
        if _is_far_behind(views, head.position, kept):
            cache.replace()
    except BaseException:
        views.close()
        raise
    return views


def _is_far_behind(views: Views, head: int, kept: KeptViews) -> bool:
    reached = max(at.position for at in views.store.checkpoints().values())  # one that has stopped gets nowhere
    return head - reached > FAR and kept.newest() - reached > FAR
