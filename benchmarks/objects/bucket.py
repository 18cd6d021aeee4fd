"""A bucket that is really there, in turns with s3fs (or whatever opens its URL) alone: appends, a run read, opening.

It works below a prefix of its own, and empties that at the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from ...backends.objectstore.stores import open_objects
from ...engine.secrecy import options_for
from .. import subject
from ..contest import Outcome, figure
from ..servers.appending import expect
from . import raw
from .distant import opened, puts, told
from .reading import APPEND, RUN, shard
from .timing import took

SINGLES = 50  #: in one round


class Bucket:
    """The place at a URL."""

    def __init__(self, url: str) -> None:
        self.url = f"{url.rstrip('/')}/foldlog-bench-{secrets.token_hex(5)}"
        self.title = url.partition("?")[0]

    def measure(self, folder: Path, rounds: int) -> Iterator[Outcome]:
        """All there is to measure on it."""
        with self._emptied() as store:
            for size in (1, 100):
                yield from self._appends(store, size, rounds)
            yield self._reading(store, rounds)
            yield self._opening(store, rounds)

    @contextmanager
    def _emptied(self) -> Iterator[Any]:
        store, place = raw.store_at(self.url, options_for(None, is_local=False))
        try:
            yield store
        finally:
            store.invalidate_cache()
            if store.exists(place):
                store.rm(place, recursive=True)

    def _appends(self, store: Any, size: int, rounds: int) -> Iterator[Outcome]:
        events = [subject.materialization(number) for number in range(size)]
        data = raw.pack([subject.plain(number) for number in range(size)])
        paths = (f"{self.url}/raw-{size}/{number}" for number in count())
        with opened(open_objects(f"{self.url}/log-{size}", create=True)) as (log, counted):
            log.append("run", events)
            before = counted.snapshot()
            yield took(
                f"an append of {size}, median", lambda: store.pipe_file(next(paths), data),
                lambda: log.append("run", events), most_ms=None, rounds=rounds, times=SINGLES,
            )  # fmt: skip
            expect(log.catch_up().position, (1 + rounds * SINGLES) * size)
            counts, written = counted.snapshot().since(before), rounds * SINGLES * size
        yield figure(f"PUTs per 1000 events, {size} an append", puts(counts) * 1000 / written, "PUTs", told(counts))

    def _reading(self, store: Any, rounds: int) -> Outcome:
        with opened(open_objects(f"{self.url}/log", create=True)) as (log, _), log.writer() as writer:
            for start in range(0, RUN, APPEND):
                plain = [subject.plain(number) for number in range(start, start + APPEND)]
                store.pipe_file(f"{self.url}/raw/{start}", raw.pack(plain))
                writer.append("run", [subject.materialization(number) for number in range(start, start + APPEND)])
            writer.flush()
            log.catch_up()
        paths = [f"{self.url}/raw/{start}" for start in range(0, RUN, APPEND)]

        def by_foldlog() -> None:
            with opened(open_objects(f"{self.url}/log", create=True)) as (log, _):
                expect(shard(log), RUN)

        by_driver = lambda: expect(sum(map(raw.touch, store.cat(paths).values())), RUN)  # noqa: E731
        return took(f"open, and read a run of {RUN:,}", by_driver, by_foldlog, most_ms=None, rounds=rounds)

    def _opening(self, store: Any, rounds: int) -> Outcome:
        def by_foldlog() -> None:
            with opened(open_objects(f"{self.url}/log", create=True)) as (log, _):
                expect(log.backend.head().position, RUN)

        def by_driver() -> None:
            store.invalidate_cache()
            store.ls(f"{self.url}/raw", detail=False)
            store.cat_file(f"{self.url}/raw/0")

        return took("open, raw: a listing and a get", by_driver, by_foldlog, most_ms=None, rounds=rounds)
