"""What a run means to make, and what of it is still to be made."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator

from ..events.asset import AssetFailedToMaterialize, AssetMaterialization, AssetMaterializationPlanned
from ..events.errorinfo import ErrorInfo
from ..events.event import Fact
from ..events.key import AssetKey

Made = tuple[AssetKey, str | None]  #: an asset, or one partition of it


class Planned:
    """Plans without their materializations. Thread-safe."""

    def __init__(self, facts: Iterable[Fact] = ()) -> None:
        self._lock = threading.Lock()
        self._left: dict[Made, None] = {}  #: a dict, for its order
        self.take_in(facts)

    def take_in(self, facts: Iterable[Fact]) -> None:
        """Note what these facts plan and make."""
        with self._lock:
            for fact in facts:
                if isinstance(fact, AssetMaterializationPlanned):
                    for partition in fact.partitions or (fact.partition,):
                        self._left[fact.asset_key, partition] = None
                elif isinstance(fact, AssetMaterialization | AssetFailedToMaterialize):
                    self._left.pop((fact.asset_key, fact.partition), None)

    def left_of(self, made: Iterable[Made]) -> list[Made]:
        """Of these, what is left."""
        with self._lock:
            return [one for one in made if one in self._left]

    @property
    def left(self) -> list[Made]:
        """What was planned, and neither made nor given up."""
        with self._lock:
            return list(self._left)


def not_made(
    left: Iterable[Made], *, skipped: bool = False, reason: str | None = None, error: ErrorInfo | None = None
) -> Iterator[Fact]:
    """The facts that these were not made."""
    for key, partition in left:
        yield AssetFailedToMaterialize(asset_key=key, partition=partition, skipped=skipped, reason=reason, error=error)
