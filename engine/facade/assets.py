"""Questions about assets, their partitions and checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from ..events.key import AssetKey, AssetLike
from ..log.log import EventRecord
from .base import LIMIT, Facade, check_limit

if TYPE_CHECKING:
    from ..views.records import AssetEvent, AssetRecord, CheckRecord, PartitionRecord


class AssetQuestions(Facade):
    """What assets there are, and the state of each."""

    def get_asset_keys(
        self, *, prefix: AssetLike | None = None, cursor: AssetLike | None = None, limit: int = LIMIT
    ) -> list[AssetKey]:
        """Keys of the assets of which something is known and not wiped, in the order of their text.

        `prefix`: only this key and those under it. `cursor`: a key; the answer goes on behind it.
        """
        from ..views import asset_queries

        check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.asset_keys(
                connection, tables, prefix=_key_or_none(prefix), after=_key_or_none(cursor), limit=limit
            )

    def get_asset_records(
        self,
        asset_keys: Iterable[AssetLike] | None = None,
        *,
        prefix: AssetLike | None = None,
        cursor: AssetLike | None = None,
        limit: int = LIMIT,
    ) -> list[AssetRecord]:
        """Assets with the latest of each thing that happened to them, as `get_asset_keys` lists them."""
        from ..views import asset_queries

        check_limit(limit)
        keys = None if asset_keys is None else [AssetKey.of(key) for key in asset_keys]
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.asset_records(
                connection, tables, keys=keys, prefix=_key_or_none(prefix), after=_key_or_none(cursor), limit=limit
            )

    def has_asset_key(self, asset_key: AssetLike) -> bool:
        """Whether anything is known of the asset that was not wiped."""
        from ..views import asset_queries

        with self.views.asking("assets") as (connection, tables):
            return asset_queries.has_asset(connection, tables, AssetKey.of(asset_key))

    def get_latest_materialization_event(
        self, asset_key: AssetLike, *, partition: str | None = None
    ) -> EventRecord | None:
        """The latest materialization of an asset, or of one partition of it, whole and typed, from the log."""
        from ..views import asset_queries

        with self.views.asking("assets") as (connection, tables):
            found = asset_queries.latest_materialization(connection, tables, AssetKey.of(asset_key), partition)
        if found is None:
            return None
        records = self.log.read_shard(found.shard, after_seq=found.seq - 1, limit=1).records
        return next((r._replace(position=found.position) for r in records if r.seq == found.seq), None)

    def get_materializations(
        self, asset_key: AssetLike, *, cursor: int | None = None, limit: int = LIMIT
    ) -> list[AssetEvent]:
        """The materializations of an asset, the newest first. `cursor`: a position; the answer goes on before it."""
        from ..views import asset_queries

        check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.materializations(
                connection, tables, AssetKey.of(asset_key), before=cursor, limit=limit
            )

    def get_asset_partitions(
        self,
        asset_key: AssetLike,
        *,
        statuses: Collection[str] | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> list[PartitionRecord]:
        """The partitions of an asset, by name. `statuses`: IN_PROGRESS, FAILED, MATERIALIZED, MISSING."""
        from ..views import asset_queries

        check_limit(limit)
        with self.views.asking("assets") as (connection, tables):
            return asset_queries.partitions(
                connection, tables, AssetKey.of(asset_key), statuses=statuses, after=cursor, limit=limit
            )

    def get_asset_checks(
        self, asset_key: AssetLike, *, check_name: str | None = None, limit: int = LIMIT
    ) -> list[CheckRecord]:
        """Evaluations of the checks of an asset, the newest first."""
        from ..views import checks

        check_limit(limit)
        with self.views.asking("checks") as (connection, tables):
            return checks.of_asset(
                connection, tables[checks.CHECKS], AssetKey.of(asset_key), check_name=check_name, limit=limit
            )


def _key_or_none(key: AssetLike | None) -> AssetKey | None:
    return None if key is None else AssetKey.of(key)
