"""Dynamic partitions: keys that come and go. In `@partitions/<name>`, one shard for each definition."""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic

__all__ = ["PartitionsAdded", "PartitionsDeleted"]


class PartitionsAdded(Fact):
    """Keys were added to a definition, in this order. One that it had keeps its place. Recorded by whoever adds."""

    KIND = Kind("PARTITIONS_ADDED", Topic.PARTITION, Retention.KEPT)

    partitions_def: str  #: name of the definition
    keys: tuple[str, ...]


class PartitionsDeleted(Fact):
    """Keys were taken out of a definition; those it did not have are no matter. Recorded by whoever deletes."""

    KIND = Kind("PARTITIONS_DELETED", Topic.PARTITION, Retention.KEPT)

    partitions_def: str  #: name of the definition
    keys: tuple[str, ...]
