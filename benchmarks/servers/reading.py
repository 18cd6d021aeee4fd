"""A run of 10,000 events read in pages of 1000, typed, each touched; against SELECT and a plain msgpack decode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from ...engine.events.asset import AssetMaterialization
from ...engine.open import open_log
from .. import subject
from ..contest import Outcome, contest
from .appending import expect
from .server import Place

RUN = 10_000
APPEND = 10
PAGE = 1000


def reading(place: Place, folder: Path, rounds: int) -> Iterator[Outcome]:
    """By the shard, and by the timeline."""
    with closing(place.open_raw()) as raw, open_log(place.log_url) as log:
        put = next(iter(raw.batches().values()))
        for start in range(0, RUN, PAGE):
            put("run", [subject.plain(number) for number in range(start, start + PAGE)])
        for start in range(0, RUN, APPEND):
            log.append("run", [subject.materialization(number) for number in range(start, start + APPEND)])
        log.catch_up()

        def shard() -> int:
            seen = after = 0
            at_end = False
            while not at_end:
                records, after, at_end = log.read_shard("run", after_seq=after, limit=PAGE)
                for record in records:
                    fact = record.event.fact
                    seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
            return expect(seen, RUN)

        def timeline() -> int:
            seen = 0
            page = log.read(limit=PAGE)
            while True:
                for record in page.events:
                    fact = record.event.fact
                    seen += isinstance(fact, AssetMaterialization) and fact.metadata["rows"] == 123_456
                if page.at_head:
                    return expect(seen, RUN)
                page = log.read(after=page.cursor, limit=PAGE)

        def by_driver() -> int:
            return expect(raw.read_run(), RUN)

        yield contest("read a run of 10,000", by_driver, shard, goal=0.7, rounds=rounds)
        yield contest("read the timeline of 10,000", by_driver, timeline, goal=0.7, rounds=rounds)
