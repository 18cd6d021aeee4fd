"""Backfills: many partitions made by many runs, as one undertaking."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from uuid import NAMESPACE_OID, uuid4, uuid5

from ..errors import UsageError
from ..events.key import AssetLike
from ..log.names import INSTANCE_SHARD
from ..log.port import Receipt
from .base import LIMIT, Facade, check_limit, check_name, check_statuses, keys_of, tags_of, texts

if TYPE_CHECKING:
    from ..views.orchestration_records import BackfillPartition, BackfillRecord


class Backfills(Facade):
    """Backfills that were asked for, and how far they are."""

    def request_backfill(
        self,
        partitions: Sequence[str],
        *,
        backfill_id: str | None = None,
        asset_selection: Iterable[AssetLike] = (),
        job_name: str | None = None,
        partition_set: str | None = None,
        tags: Mapping[str, str] | None = None,
        from_failure: bool = False,
        title: str | None = None,
        description: str | None = None,
        user: str | None = None,
    ) -> str:
        """Ask that these partitions be made, in this order, of assets or of a job. Its id.

        `backfill_id`: a name of the caller's, else a new one; the same request under the same id is recorded once.

        Raises AppendKeyConflict if another one was asked for under that id, UsageError for one that asks for nothing.
        """
        from ..events.backfill import BackfillRequested

        name = backfill_id or str(uuid4())
        if job_name is not None:
            check_name("job_name", job_name)
        fact = BackfillRequested(
            backfill_id=name,
            asset_selection=tuple(keys_of("asset_selection", asset_selection)),
            job_name=job_name,
            partition_set=partition_set,
            partitions=tuple(texts("partitions", partitions)),
            tags=tags_of(tags),
            from_failure=from_failure,
            title=title,
            description=description,
            user=user,
        )
        if not (fact.partitions or fact.asset_selection or job_name or partition_set):
            raise UsageError("the backfill asks for nothing: name partitions, assets, a job or a partition set")
        self._tell(INSTANCE_SHARD, fact, key=uuid5(NAMESPACE_OID, f"foldlog backfill {name}"))
        return name

    def cancel_backfill(self, backfill_id: str) -> Receipt | None:
        """Ask that it stop; the daemon does so. None if it has ended already.

        Raises UsageError if there is no such backfill.
        """
        from ..events.backfill import BackfillCanceling

        backfill = self.get_backfill(backfill_id)
        if backfill is None:
            raise UsageError(f"there is no backfill {backfill_id!r}")
        if backfill.is_finished:
            return None
        return self._tell(INSTANCE_SHARD, BackfillCanceling(backfill_id=backfill_id))

    def get_backfill(self, backfill_id: str) -> BackfillRecord | None:
        """The backfill, or None."""
        from ..views import backfill_queries, backfills

        with self.views.asking("backfills") as (connection, tables):
            return backfill_queries.one(connection, tables[backfills.BACKFILLS], backfill_id)

    def get_backfills(
        self, *, statuses: Collection[str] | None = None, cursor: str | None = None, limit: int = LIMIT
    ) -> list[BackfillRecord]:
        """Backfills, the newest first.

        `statuses`: REQUESTED, IN_PROGRESS, CANCELING, CANCELED, COMPLETED, FAILED.
        `cursor`: an id; the answer goes on behind it, and is empty if there is no such backfill.
        """
        from ..views import backfill_queries, backfills

        check_limit(limit)
        check_statuses(statuses, backfill_queries.STATUSES)
        with self.views.asking("backfills") as (connection, tables):
            source = tables[backfills.BACKFILLS]
            before = None
            if cursor is not None:
                at = backfill_queries.one(connection, source, cursor)
                if at is None:
                    return []
                before = at.storage_id
            return backfill_queries.find(connection, source, statuses=statuses, before=before, limit=limit)

    def get_backfills_count(self, *, statuses: Collection[str] | None = None) -> int:
        """How many backfills there are."""
        from ..views import backfill_queries, backfills

        check_statuses(statuses, backfill_queries.STATUSES)
        with self.views.asking("backfills") as (connection, tables):
            return backfill_queries.count(connection, tables[backfills.BACKFILLS], statuses)

    def get_backfill_partitions(
        self, backfill_id: str, *, cursor: str | None = None, limit: int = LIMIT
    ) -> list[BackfillPartition]:
        """Its partitions in the order in which they are to be made. `cursor`: a partition to go on behind."""
        from ..views import backfill_queries

        check_limit(limit)
        with self.views.asking("backfills") as (connection, tables):
            return backfill_queries.partitions(connection, tables, backfill_id, after=cursor, limit=limit)

    def get_backfill_run_ids(self, backfill_id: str, *, cursor: str | None = None, limit: int = LIMIT) -> list[str]:
        """The ids of its runs in the order in which they were asked for. `cursor`: an id to go on behind."""
        from ..views import backfill_queries

        check_limit(limit)
        with self.views.asking("backfills") as (connection, tables):
            return backfill_queries.run_ids(connection, tables, backfill_id, after=cursor, limit=limit)
