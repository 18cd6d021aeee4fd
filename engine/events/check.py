"""Asset checks: what was to be looked at, and what was found. In the shard of the run, or `@asset-events/<n>`."""

from __future__ import annotations

from .event import Fact, Kind, Retention, Topic
from .key import AssetKey
from .metadata import MetadataValue

__all__ = ["AssetCheckEvaluation", "AssetCheckEvaluationPlanned"]


class AssetCheckEvaluationPlanned(Fact):
    """A run means to evaluate a check. Recorded with RUN_CREATED, in one append."""

    KIND = Kind("ASSET_CHECK_EVALUATION_PLANNED", Topic.ASSET, Retention.KEPT)

    asset_key: AssetKey
    check_name: str
    partition: str | None = None


class AssetCheckEvaluation(Fact):
    """A check was evaluated. Recorded by the worker that did it."""

    KIND = Kind("ASSET_CHECK_EVALUATION", Topic.ASSET, Retention.KEPT)

    asset_key: AssetKey
    check_name: str
    passed: bool
    severity: str = "ERROR"  #: `ERROR` or `WARN`: how bad it is not to pass
    blocking: bool = False  #: whether what lies downstream waits for it to pass
    partition: str | None = None
    description: str | None = None
    metadata: dict[str, MetadataValue] = {}
    target_position: int | None = None  #: position of the materialization that was looked at
    target_run_id: str | None = None  #: the run that recorded that materialization
