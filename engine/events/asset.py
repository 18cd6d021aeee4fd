"""What happened to assets. In the shard of the run that did it, or in `@asset-events/<n>` when no run did.

Asset facts are kept when their run is purged: what is known of an asset does not depend on how long runs are kept.
"""

from __future__ import annotations

from .errorinfo import ErrorInfo
from .event import Fact, Kind, Retention, Topic
from .key import AssetCheckKey, AssetKey
from .metadata import MetadataValue

__all__ = [
    "AssetCheckKey",
    "AssetFailedToMaterialize",
    "AssetFreshnessChanged",
    "AssetKey",
    "AssetMaterialization",
    "AssetMaterializationPlanned",
    "AssetObservation",
    "AssetWiped",
]

_ASSET = Topic.ASSET | Topic.PARTITION


class AssetMaterialization(Fact):
    """An asset, or one partition of it, was made. Recorded by the step's worker, or by whoever made it elsewhere."""

    KIND = Kind("ASSET_MATERIALIZATION", _ASSET, Retention.KEPT)

    asset_key: AssetKey
    partition: str | None = None
    metadata: dict[str, MetadataValue] = {}
    tags: dict[str, str] = {}
    code_version: str | None = None
    data_version: str | None = None
    description: str | None = None
    input_data_versions: dict[str, str] = {}  #: text of the upstream asset's key to the data version that was read
    input_positions: dict[str, int] = {}  #: the same, to the position of the materialization that was read


class AssetObservation(Fact):
    """Somebody looked at an asset without making it. Recorded by whoever looked."""

    KIND = Kind("ASSET_OBSERVATION", _ASSET, Retention.KEPT)

    asset_key: AssetKey
    partition: str | None = None
    metadata: dict[str, MetadataValue] = {}
    tags: dict[str, str] = {}
    data_version: str | None = None
    description: str | None = None


class AssetMaterializationPlanned(Fact):
    """A run means to make an asset, or some partitions of it. Recorded with RUN_CREATED, in one append."""

    KIND = Kind("ASSET_MATERIALIZATION_PLANNED", _ASSET, Retention.KEPT)

    asset_key: AssetKey
    partition: str | None = None  #: the only one
    partitions: tuple[str, ...] = ()  #: or several


class AssetFailedToMaterialize(Fact):
    """What was planned was not made. Recorded by the step's worker, or the run's for what no step came to."""

    KIND = Kind("ASSET_FAILED_TO_MATERIALIZE", _ASSET, Retention.KEPT)

    asset_key: AssetKey
    partition: str | None = None
    skipped: bool = False  #: not tried, rather than tried in vain
    #: `FAILED_TO_MATERIALIZE`, `UPSTREAM_FAILED_TO_MATERIALIZE`, `RUN_TERMINATED`, `SKIPPED_OPTIONAL` (its step gave
    #: none), `UPSTREAM_SKIPPED`, ...
    reason: str | None = None
    error: ErrorInfo | None = None
    metadata: dict[str, MetadataValue] = {}
    tags: dict[str, str] = {}


class AssetWiped(Fact):
    """What was known of an asset before this is no longer to be shown. The data itself is not touched.

    Recorded by whoever wipes, in `@asset-events/<n>`.
    """

    KIND = Kind("ASSET_WIPED", _ASSET, Retention.KEPT)

    asset_key: AssetKey
    partitions: tuple[str, ...] | None = None  #: only these; None: the whole asset


class AssetFreshnessChanged(Fact):
    """An asset became fresh, stale or something between. Recorded by the freshness daemon, only on a change."""

    KIND = Kind("ASSET_FRESHNESS_CHANGED", Topic.ASSET, Retention.KEPT)

    asset_key: AssetKey
    state: str  #: `PASS`, `WARN`, `FAIL`, `UNKNOWN`, `NOT_APPLICABLE`
    metadata: dict[str, MetadataValue] = {}
