"""The instance, as execution sees it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ..events.key import AssetLike
from ..log.log import EventLog, EventRecord
from ..log.writer import EventWriter

if TYPE_CHECKING:
    from ..artifacts import ComputeLogManager, LocalArtifactStorage
    from ..views.records import Run


class Deployment(Protocol):
    """What execution asks of an instance; `foldlog.Instance` has it all."""

    @property
    def log(self) -> EventLog: ...
    @property
    def writer(self) -> EventWriter: ...
    @property
    def local_artifact_storage(self) -> LocalArtifactStorage: ...
    @property
    def compute_log_manager(self) -> ComputeLogManager: ...
    @property
    def is_ephemeral(self) -> bool: ...
    def get_run_by_id(self, run_id: str) -> Run | None: ...
    def add_job_snapshot(self, job_name: str, document: Any) -> str: ...
    def add_plan_snapshot(self, document: Any, *, job_snapshot_id: str | None = None) -> str: ...
    def get_dynamic_partitions(self, name: str, *, limit: int = ..., cursor: str | None = None) -> Sequence[str]: ...
    def request_backfill(
        self,
        partitions: Sequence[str],
        *,
        asset_selection: Iterable[AssetLike] = ...,
        job_name: str | None = None,
        tags: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> str: ...
    def get_latest_materialization_event(
        self, asset_key: AssetLike, *, partition: str | None = None
    ) -> EventRecord | None: ...
    def get_data_version_by_partition(
        self, asset_key: AssetLike, partitions: Collection[str] | None = None, *, limit: int = ...
    ) -> dict[str, str | None]: ...
    def get_latest_storage_id_by_partition(
        self, asset_key: AssetLike, *, partitions: Collection[str] | None = None, limit: int = ...
    ) -> dict[str, int]: ...
