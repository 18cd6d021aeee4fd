"""Questions about assets, their partitions and checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..events.key import AssetCheckKey, AssetKey, AssetLike
from ..log.log import EventRecord
from .base import LIMIT, Facade, at_most, check_limit, keys_of, position_of, texts

if TYPE_CHECKING:
    from ..views.records import (
        AssetEvent,
        AssetRecord,
        CheckRecord,
        CheckSummary,
        PartitionRecord,
        PlannedMaterialization,
    )

_MADE = "ASSET_MATERIALIZATION"


class AssetQuestions(Facade):
    """What assets there are, and the state of each. What was wiped does not answer any more."""

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
        keys = None if asset_keys is None else _keys(asset_keys)
        with self.views.answering("assets") as ask:
            return asset_queries.asset_records(
                ask, keys=keys, prefix=_key_or_none(prefix), after=_key_or_none(cursor), limit=limit
            )

    def has_asset_key(self, asset_key: AssetLike) -> bool:
        """Whether anything is known of the asset that was not wiped."""
        from ..views import asset_queries

        return bool(self.views.ask(asset_queries.HAS, asset=asset_queries.text_of(AssetKey.of(asset_key))))

    # -- the latest ---------------------------------------------------------------------------------------------

    def get_latest_materialization_event(
        self, asset_key: AssetLike, *, partition: str | None = None
    ) -> EventRecord | None:
        """The latest materialization of an asset, or of one partition of it, whole and typed."""
        from ..views.asset_queries import LATEST, LATEST_OF_PARTITION, text_of
        from ..views.table import keyed
        from ..views.whole import whole

        asset = text_of(AssetKey.of(asset_key))
        if partition is None:
            rows = self.views.ask(LATEST, asset=asset)
        else:
            rows = self.views.ask(LATEST_OF_PARTITION, asset=asset, partition=keyed(partition))
        for position, shard, seq, body in rows:
            return whole(self.log, shard=shard, seq=seq, position=position, type=_MADE, body=body)
        return None

    def get_latest_materialization_events(self, asset_keys: Iterable[AssetLike]) -> dict[AssetKey, EventRecord]:
        """The latest materialization of each of these assets that has one: up to 10,000 keys."""
        from ..views import asset_queries
        from ..views.asset_search import whole_event

        with self.views.asking("assets") as (connection, tables):
            rows = asset_queries.latest_materializations(connection, tables, _keys(asset_keys))
            return {key: whole_event(self.log, row) for key, row in rows.items()}

    def get_latest_materialization_code_versions(self, asset_keys: Iterable[AssetLike]) -> dict[AssetKey, str | None]:
        """The code version that each of these assets was last made with, or the id of the run if that told none; None
        for an asset that was never made."""
        from ..views import asset_queries

        keys = _keys(asset_keys)
        with self.views.asking("assets") as (connection, tables):
            rows = asset_queries.latest_materializations(connection, tables, keys)
        made = {key: row.code_version or row.run_id for key, row in rows.items()}
        return {key: made.get(key) for key in keys}

    def get_latest_planned_materialization_info(
        self, asset_key: AssetLike, *, partition: str | None = None
    ) -> PlannedMaterialization | None:
        """The latest plan to make an asset, or one partition of it, whatever became of it."""
        from ..views import asset_queries

        with self.views.asking("assets") as (connection, tables):
            return asset_queries.latest_plan(connection, tables, AssetKey.of(asset_key), partition)

    def get_materializations(
        self, asset_key: AssetLike, *, cursor: int | None = None, limit: int = LIMIT
    ) -> list[AssetEvent]:
        """The materializations of an asset as rows, the newest first; `fetch_materializations` gives whole events.

        `cursor`: a position; the answer goes on before it.
        """
        from ..views.asset_queries import asset_event
        from ..views.asset_search import EventQuery, find_events

        check_limit(limit)
        query = EventQuery(_MADE, AssetKey.of(asset_key), before=position_of(cursor))
        with self.views.answering("assets") as ask:
            return [asset_event(row) for row in find_events(ask, query, limit=limit)]

    def get_event_tags_for_asset(
        self,
        asset_key: AssetLike,
        *,
        filter_tags: Mapping[str, str | Collection[str]] | None = None,
        filter_event_id: int | None = None,
        limit: int = LIMIT,
    ) -> list[dict[str, str]]:
        """The tags of the materializations of an asset, the newest first; those without any are left out.

        `filter_tags`: only of those that have these too. `filter_event_id`: only of that one.
        """
        from ..views.asset_search import EventQuery, find_whole

        check_limit(limit)
        ids = None if filter_event_id is None else (filter_event_id,)
        query = EventQuery(_MADE, AssetKey.of(asset_key), ids=ids, tags=filter_tags)
        with self.views.answering("assets") as ask:
            found = [record.event.fact.tags for record in find_whole(ask, self.log, query, limit=limit)]
        return [dict(tags) for tags in found if tags]

    # -- partitions ---------------------------------------------------------------------------------------------

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
        with self.views.asking("assets", "runs") as (connection, tables):
            return asset_queries.partitions(
                connection, tables, AssetKey.of(asset_key), statuses=statuses, after=cursor, limit=limit
            )

    def get_status_by_partition(self, asset_key: AssetLike, partitions: Collection[str]) -> dict[str, str | None]:
        """The status of each of these partitions: IN_PROGRESS, FAILED, MATERIALIZED, or None. Up to 10,000."""
        from ..views import asset_queries
        from ..views.table import keyed

        names = _names(partitions)
        if not names:
            return {}
        with self.views.asking("assets", "runs") as (connection, tables):
            found = asset_queries.partitions(connection, tables, AssetKey.of(asset_key), names=names, limit=len(names))
        status = {one.partition: one.status for one in found if one.status != "MISSING"}
        return {name: status.get(keyed(name)) for name in names}

    def get_materialized_partitions(
        self,
        asset_key: AssetLike,
        *,
        after_storage_id: int | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> list[str]:
        """The partitions of an asset that were made, by name, past `cursor`.

        `after_storage_id`: only those made after that position."""
        from ..views import asset_queries

        check_limit(limit)
        key, column = AssetKey.of(asset_key), "materialized_position"
        return list(
            asset_queries.by_partition(self.views.ask, key, column, above=after_storage_id, after=cursor, limit=limit)
        )

    def get_latest_storage_id_by_partition(
        self,
        asset_key: AssetLike,
        event_type: str = _MADE,
        *,
        partitions: Collection[str] | None = None,
        cursor: str | None = None,
        limit: int = LIMIT,
    ) -> dict[str, int]:
        """The position of the latest event of a type of each partition that has one, by name.

        `event_type`: ASSET_MATERIALIZATION, ASSET_MATERIALIZATION_PLANNED or ASSET_FAILED_TO_MATERIALIZE.
        """
        from ..views import asset_queries

        check_limit(limit)
        column = asset_queries.POSITIONS.get(event_type)
        if column is None:
            raise UsageError(
                f"event_type={event_type!r}: known of each partition is {', '.join(asset_queries.POSITIONS)}"
            )
        names = None if partitions is None else _names(partitions)
        key = AssetKey.of(asset_key)
        return asset_queries.by_partition(self.views.ask, key, column, names=names, after=cursor, limit=limit)

    def get_data_version_by_partition(
        self, asset_key: AssetLike, partitions: Collection[str] | None = None, *, limit: int = LIMIT
    ) -> dict[str, str | None]:
        """The data version of the latest materialization of each partition that was made, by name."""
        from ..views import asset_queries

        check_limit(limit)
        names = None if partitions is None else _names(partitions)
        with self.views.asking("assets", "runs") as (connection, tables):
            found = asset_queries.partitions(connection, tables, AssetKey.of(asset_key), names=names, limit=limit)
        return {one.partition: one.data_version for one in found if one.materialized_position is not None}

    # -- checks -------------------------------------------------------------------------------------------------

    def get_asset_checks(
        self, asset_key: AssetLike, *, check_name: str | None = None, limit: int = LIMIT
    ) -> list[CheckRecord]:
        """Executions of the checks of an asset, or of one, the newest first."""
        from ..views import check_queries

        if check_name is not None:
            return self.get_asset_check_execution_history(
                AssetCheckKey(AssetKey.of(asset_key), check_name), limit=limit
            )
        check_limit(limit)
        with self.views.asking("checks", "assets", "runs") as (connection, tables):
            return check_queries.of_asset(connection, tables, self.log, AssetKey.of(asset_key), limit=limit)

    def get_asset_check_execution_history(
        self,
        check_key: AssetCheckKey,
        *,
        limit: int = LIMIT,
        cursor: int | None = None,
        status: Collection[str] | None = None,
        partition: str | None = None,
    ) -> list[CheckRecord]:
        """Executions of one check, the newest first.

        `status`: some of PLANNED, PASSED, FAILED, EXECUTION_FAILED, SKIPPED. `cursor`: a position; the answer goes on
        before it.
        """
        from ..views import check_queries

        check_limit(limit)
        key, before = _check_key(check_key), position_of(cursor)
        with self.views.asking("checks", "assets", "runs") as (connection, tables):
            return check_queries.history(
                connection, tables, self.log, key,
                statuses=status, partition=partition, before=before, limit=limit,
            )  # fmt: skip

    def get_latest_asset_check_execution_by_key(
        self, check_keys: Iterable[AssetCheckKey]
    ) -> dict[AssetCheckKey, CheckRecord]:
        """The latest execution of each of these checks that has one: up to 10,000 keys."""
        found = self.get_asset_check_summary_records(check_keys)
        return {key: one.latest for key, one in found.items() if one.latest is not None}

    def get_asset_check_summary_records(self, check_keys: Iterable[AssetCheckKey]) -> dict[AssetCheckKey, CheckSummary]:
        """Each of these checks by its latest execution and its latest result; every key is there."""
        from ..views import check_queries
        from ..views.records import CheckSummary

        keys = at_most(list(dict.fromkeys(map(_check_key, check_keys))))
        summaries = {}
        with self.views.asking("checks", "assets", "runs") as (connection, tables):
            for key in keys:
                latest = check_queries.history(connection, tables, self.log, key, limit=1)
                result = latest
                if latest and latest[0].status not in ("PASSED", "FAILED"):
                    some = ("PASSED", "FAILED")
                    result = check_queries.history(connection, tables, self.log, key, statuses=some, limit=1)
                summaries[key] = CheckSummary(
                    check_key=key,
                    latest=latest[0] if latest else None,
                    latest_result=result[0] if result else None,
                )
        return summaries


def _key_or_none(key: AssetLike | None) -> AssetKey | None:
    return None if key is None else AssetKey.of(key)


def _keys(given: Iterable[AssetLike]) -> list[AssetKey]:
    return at_most(keys_of("asset_keys", given))


def _names(given: Collection[str]) -> list[str]:
    return at_most(list(dict.fromkeys(texts("partitions", given))))


def _check_key(given: AssetCheckKey) -> AssetCheckKey:
    if not isinstance(given, AssetCheckKey):
        error = UsageError(f"{given!r:.80} is no AssetCheckKey")
        error.remedy = "Write foldlog.events.AssetCheckKey('raw/orders', 'no_nulls')."
        raise error
    return given
