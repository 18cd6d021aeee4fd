"""What lies in the store, by listings alone: objects and bytes of each kind, and what came in the last hour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ...engine.log.port import Amount
from . import names
from .order_log import wall_us
from .stores.counting import GET_PRICE, LIST_PRICE, PUT_PRICE, STORED_PRICE
from .stores.port import Objects
from .stores.probing import FOLDER as PROBES

HOUR_US: Final = 3600 * 1_000_000
GB: Final = 1e9
KINDS: Final = {
    "steps": names.ORDER,
    "blocks": names.BLOCKS,
    "checkpoints": names.CHECKPOINTS,
    "runs": names.RUNS,
    "writers": names.WRITERS,
    "markers": names.PENDING,
    "kept": names.KEPT,
    "probes": PROBES,
}


class Activity(NamedTuple):
    """What an hour has brought, and the requests that this takes at the least: a put for a segment and one for its
    marker, a get of each by who gives positions, and two listings and a put for a step."""

    segments: int
    steps: int

    @property
    def puts(self) -> int:
        return 2 * self.segments + self.steps

    @property
    def gets(self) -> int:
        return 2 * self.segments

    @property
    def lists(self) -> int:
        return 2 * self.steps

    @property
    def dollars(self) -> float:
        """At the list prices of S3."""
        return self.puts * PUT_PRICE + self.gets * GET_PRICE + self.lists * LIST_PRICE


class Holdings(NamedTuple):
    """A store of objects, as it was listed."""

    objects: Mapping[str, Amount]  #: by kind
    last_hour: Activity

    @property
    def dollars_a_month(self) -> float:
        """Of storage, at the list price of S3."""
        return sum(one.bytes for one in self.objects.values()) / GB * STORED_PRICE


def holdings(objects: Objects) -> Holdings:
    """List everything of the log. What is younger than an hour, by this machine's clock, came in the last."""
    since_us = wall_us() - HOUR_US
    found: dict[str, Amount] = {}
    fresh = {"segments": 0, "steps": 0}
    for kind, prefix in KINDS.items():
        for one in objects.list(prefix):
            of_runs = "packs" if names.is_pack(one.name) else "segments"
            name = of_runs if kind == "runs" else kind
            found[name] = found.get(name, Amount()).plus(Amount(1, one.size))
            if name in fresh and one.modified_us >= since_us:
                fresh[name] += 1
    return Holdings(found, Activity(**fresh))
