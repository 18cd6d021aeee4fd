"""Questions about runs and their steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..log.log import ShardPage
from .base import LIMIT, Facade, check_limit

if TYPE_CHECKING:
    from ..events.run import RunStatus
    from ..views.records import Run, RunRecord, StepRecord


class RunQuestions(Facade):
    """What runs there are, and what happened in one."""

    def get_run_by_id(self, run_id: str) -> Run | None:
        """The run, or None."""
        record = self.get_run_record_by_id(run_id)
        return record.run if record else None

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """The run with its times and its end, or None."""
        found = self.get_run_records(run_ids=[run_id], limit=1)
        return found[0] if found else None

    def get_run_records(
        self,
        *,
        limit: int = LIMIT,
        cursor: str | None = None,
        ascending: bool = False,
        run_ids: Collection[str] | None = None,
        job_name: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> list[RunRecord]:
        """Runs that meet all conditions, the newest first (`ascending`: the oldest).

        `cursor`: the id of a run; the answer goes on behind it, and is empty if there is no such run.
        `tags`: key to the value, or to several of which one must hold. `limit`: 1 to 10,000.
        """
        from ..views import run_queries

        check_limit(limit)
        query = run_queries.RunQuery(run_ids=run_ids, job_name=job_name, statuses=statuses, tags=tags)
        with self.views.asking("runs") as (connection, tables):
            if cursor is not None:
                at = run_queries.find(connection, tables, run_queries.RunQuery([cursor]), limit=1)
                if not at:
                    return []
                behind = at[0].storage_id
                query = query._replace(after=behind) if ascending else query._replace(before=behind)
            return run_queries.find(connection, tables, query, limit=limit, ascending=ascending)

    def get_runs_count(
        self,
        *,
        job_name: str | None = None,
        statuses: Collection[RunStatus] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> int:
        """How many runs meet all conditions; see `get_run_records`."""
        from ..views import run_queries

        query = run_queries.RunQuery(job_name=job_name, statuses=statuses, tags=tags)
        with self.views.asking("runs") as (connection, tables):
            return run_queries.count(connection, tables, query)

    def get_run_steps(self, run_id: str, *, limit: int = LIMIT) -> list[StepRecord]:
        """The steps of a run, in the order in which they began. `limit`: 1 to 10,000."""
        from ..views import steps

        check_limit(limit)
        with self.views.asking("steps") as (connection, tables):
            return steps.of_run(connection, tables[steps.STEPS], run_id, limit=limit)

    get_run_step_stats = get_run_steps

    def logs(
        self, run_id: str, *, after_seq: int = 0, limit: int = LIMIT, types: Collection[str] | None = None
    ) -> ShardPage:
        """The events of a run, from the log itself, oldest first; see `EventLog.read_shard`."""
        return self.log.read_shard(run_id, after_seq=after_seq, limit=limit, types=types)
