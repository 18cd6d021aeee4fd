"""One run in the process that executes it: its plan, configuration, resources, and what was learnt on the way."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..definitions.assets import AssetsDefinition
from ..definitions.job import JobDefinition
from ..definitions.job_text import job_text
from ..definitions.partitions import (
    IdentityPartitionMapping,
    MultiPartitionsDefinition,
    PartitionsDefinition,
    TimeWindow,
    TimeWindowPartitionsDefinition,
)
from ..definitions.run_config import RunConfig
from ..errors import fault
from ..events.key import AssetKey
from ..log.log import EventRecord
from ..reporting.planned import Planned
from ..reporting.recorder import Recorder
from .deployment import Deployment
from .frontier import Frontier
from .interruption import Interruption
from .plan import ExecutionPlan

if TYPE_CHECKING:
    from ..views.records import AssetEvent

ALL_LIMIT = 10_000  #: partitions asked for at a time


@dataclass(eq=False, kw_only=True)
class RunContext:
    """What is shared by all steps of a run."""

    instance: Deployment
    plan: ExecutionPlan
    run_id: str
    tags: Mapping[str, str]
    partition_key: str | None  #: the partition that the run is of
    config: RunConfig
    recorder: Recorder
    frontier: Frontier
    planned: Planned
    interruption: Interruption
    now: datetime  #: of the start of the run: partitions are listed as of then
    dice: random.Random = field(default_factory=random.Random)  #: for the jitter of pauses
    resources: dict[str, Any] = field(default_factory=dict)
    io_resources: dict[str, Any] = field(default_factory=dict)  #: IO manager to what it requires, as it is told
    data_versions: dict[tuple[AssetKey, str | None], str] = field(default_factory=dict)  #: of what this run has made
    _latest: dict[tuple[AssetKey, str | None], EventRecord | None] = field(default_factory=dict)
    _observed: dict[AssetKey, AssetEvent | None] = field(default_factory=dict)

    @property
    def job(self) -> JobDefinition:
        return self.plan.job

    def partition_of(self, definition: AssetsDefinition) -> str | None:
        """The partition that the run makes of an asset; None if that has none."""
        return self.partition_key if definition.partitions_def is not None else None

    def time_window(self, key: str) -> TimeWindow:
        """The time that a partition of the job is of; of two dimensions, in the one by time. Raises UsageError if it is
        of none, or of two."""
        partitions = self.job.partitions_def
        if isinstance(partitions, TimeWindowPartitionsDefinition):
            return partitions.time_window_for_partition_key(key)
        windows: list[TimeWindow] = []
        if isinstance(partitions, MultiPartitionsDefinition):
            values = partitions.parse_key(key).keys_by_dimension
            windows = [
                one.time_window_for_partition_key(values[name])
                for name, one in partitions.dimensions
                if isinstance(one, TimeWindowPartitionsDefinition)
            ]
        if len(windows) != 1:
            said = "several dimensions" if windows else "no partitions"
            raise fault(f"{job_text(self.job.name)} has {said} by time", "Use context.partition_key.")
        return windows[0]

    def upstream_partitions(self, definition: AssetsDefinition, upstream: AssetKey) -> tuple[str, ...] | None:
        """The partitions of an asset upstream that this run's partition is made of; None if that has none."""
        assets = self.job.assets
        above = assets.partitions_of(upstream) if assets is not None else None
        if assets is None or above is None:
            return None
        mapping = assets.mapping(definition, upstream)
        if mapping is None:
            return None
        own, key = assets.own_partitions(definition, upstream), self.partition_key
        keys = [] if own is None or key is None else [key]
        if (
            keys
            and isinstance(mapping, IdentityPartitionMapping)
            and has_partition(self.instance, above, keys[0], self.now)
        ):
            return tuple(keys)  # no need to list all there are, as each run of a backfill would
        return tuple(mapping.upstream_keys(keys, downstream=own, upstream=above, now=self.now, dynamic=self.dynamic))

    def latest(self, asset: AssetKey, partition: str | None) -> EventRecord | None:
        """The latest materialization of an asset that other runs have made; asked for once in a run."""
        key = (asset, partition)
        if key not in self._latest:
            self._latest[key] = self.instance.get_latest_materialization_event(asset, partition=partition)
        return self._latest[key]

    def observed(self, asset: AssetKey) -> AssetEvent | None:
        """The latest observation of an asset that is made elsewhere; of others it does not count. Asked for once."""
        if self.job.assets is None or asset in self.job.assets.maker:
            return None
        if asset not in self._observed:
            found = self.instance.get_asset_records([asset])
            self._observed[asset] = found[0].observation if found else None
        return self._observed[asset]

    def target(self, asset: AssetKey, partition: str | None) -> tuple[int | None, str | None]:
        """Position and run of the materialization that a check of an asset looks at. What this run itself has made has
        no position yet."""
        if (asset, partition) in self.data_versions:
            return None, self.run_id
        record = self.latest(asset, partition)
        return (None, None) if record is None else (record.position, record.run_id)

    def dynamic(self, name: str) -> list[str]:
        """The keys of dynamic partitions, all of them."""
        return all_dynamic(self.instance, name)


def partition_of_check(job: JobDefinition, asset: AssetKey, partition_key: str | None) -> str | None:
    """The partition that a check of an asset looks at in a run of `partition_key`; None if the asset has none."""
    partitioned = job.assets is not None and job.assets.partitions_of(asset) is not None
    return partition_key if partitioned else None


def all_dynamic(instance: Deployment, name: str) -> list[str]:
    """The keys of dynamic partitions, in the order in which they were added."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = instance.get_paginated_dynamic_partitions(name, limit=ALL_LIMIT, cursor=cursor)
        found += page.keys
        if not page.has_more:
            return found
        cursor = page.cursor


def has_partition(instance: Deployment, partitions: PartitionsDefinition, key: str, now: datetime) -> bool:
    """Whether there is the partition; of dynamic ones only this key is asked for, however many there are."""

    def dynamic(name: str) -> list[str]:
        # The key of partitions of two dimensions has the keys of both in it, with a bar between them.
        return sorted(instance.get_existing_dynamic_partitions(name, {key, *key.split("|")}))

    return partitions.has_partition_key(key, now=now, dynamic=dynamic)
