"""Questions about runs and their steps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..log.log import ShardPage
from .base import LIMIT, Facade, check_limit, texts

if TYPE_CHECKING:
    from ..events.run import RunStatus
    from ..views.filters import JobBucket, RunsFilter, TagBucket
    from ..views.records import Run, RunAt, RunRecord, RunStats, StepAttempt, StepRecord


class RunQuestions(Facade):
    """What runs there are, and what happened in one."""

    def get_run_by_id(self, run_id: str) -> Run | None:
        """The run, or None."""
        record = self.get_run_record_by_id(run_id)
        return record.run if record else None

    def get_run_record_by_id(self, run_id: str) -> RunRecord | None:
        """The run with its times and its end, or None."""
        from ..views.filters import RunsFilter

        found = self.get_run_records(RunsFilter(run_ids=[run_id]), limit=1)
        return found[0] if found else None

    def get_run_records(
        self,
        filters: RunsFilter | None = None,
        *,
        limit: int = LIMIT,
        order_by: str | None = None,
        ascending: bool = False,
        cursor: str | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
        job_name: str | None = None,
        statuses: Collection[RunStatus | str] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> list[RunRecord]:
        """Runs that meet all conditions, the newest first (`ascending`: the oldest).

        `filters`: or, for the common ones, `job_name`, `statuses` and `tags` by themselves.
        `order_by`: `storage_id`, `created`, `updated`, `started` or `ended` (the last two: only runs that have); by
            default the time that the filter bounds, else `storage_id`, which is the order in which runs were created.
        `cursor`: the id of a run; the answer goes on behind it, and is empty if there is no such run.
        `bucket_by`: so many of each job, or of each value of a tag. `limit`: 1 to 10,000.

        Raises UsageError for a condition, order or limit that cannot be.
        """
        from ..views import run_queries

        check_limit(limit)
        chosen = _filter(filters, job_name=job_name, statuses=statuses, tags=tags)
        order = run_queries.order_of(order_by, chosen)
        with self.views.answering("runs") as ask:
            if bucket_by is not None:
                from ..views.buckets import find_in_buckets
                from ..views.filters import JobBucket, TagBucket

                if not isinstance(bucket_by, JobBucket | TagBucket):
                    raise UsageError(f"bucket_by={bucket_by!r:.80} is no JobBucket or TagBucket")
                return find_in_buckets(
                    ask, self.log, chosen, bucket_by, order=order, ascending=ascending, cursor=cursor, limit=limit
                )
            return run_queries.find(ask, self.log, chosen, order=order, ascending=ascending, cursor=cursor, limit=limit)

    def get_runs(
        self,
        filters: RunsFilter | None = None,
        *,
        limit: int = LIMIT,
        order_by: str | None = None,
        ascending: bool = False,
        cursor: str | None = None,
        bucket_by: JobBucket | TagBucket | None = None,
        job_name: str | None = None,
        statuses: Collection[RunStatus | str] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> list[Run]:
        """As `get_run_records`, the runs alone."""
        records = self.get_run_records(
            filters, limit=limit, order_by=order_by, ascending=ascending, cursor=cursor,
            bucket_by=bucket_by, job_name=job_name, statuses=statuses, tags=tags,
        )  # fmt: skip
        return [record.run for record in records]

    def get_run_ids(
        self, filters: RunsFilter | None = None, *, limit: int = LIMIT, cursor: str | None = None
    ) -> list[str]:
        """The ids of runs that meet all conditions, the newest first; what the runs carry is not read."""
        from ..views import run_queries

        check_limit(limit)
        with self.views.answering("runs") as ask:
            return run_queries.ids(ask, _filter(filters), cursor=cursor, limit=limit)

    def get_runs_count(
        self,
        filters: RunsFilter | None = None,
        *,
        job_name: str | None = None,
        statuses: Collection[RunStatus | str] | None = None,
        tags: Mapping[str, str | Collection[str]] | None = None,
    ) -> int:
        """How many runs meet all conditions; see `get_run_records`. Takes longer the more there are."""
        from ..views.run_search import Search
        from ..views.runs import RUNS

        chosen = _filter(filters, job_name=job_name, statuses=statuses, tags=tags)
        if chosen == _filter(None):  # the checkpoint knows
            with self.views.asking("runs") as (connection, _):
                digest = self.views.store.checkpoints(connection)["runs"].digests.get(RUNS.name)
            return digest.rows if digest else 0
        with self.views.answering("runs") as ask:
            return Search(ask, chosen).count()

    def has_run(self, run_id: str) -> bool:
        """Whether there is such a run; a deleted one there is not."""
        from ..views import run_queries
        from ..views.table import keyed

        return bool(self.views.ask(run_queries.EXISTS, run_id=keyed(run_id)))

    def get_run_group(self, run_id: str, *, limit: int = LIMIT) -> tuple[str, list[Run]] | None:
        """The first of the line of runs that this one repeats or continues, and all that go back to it, the oldest
        first: `(root_run_id, runs)`. None if there is no such run. `limit`: 1 to 10,000 runs."""
        from ..views import run_queries

        check_limit(limit)
        with self.views.answering("runs") as ask:
            found = run_queries.group(ask, self.log, run_id, limit=limit)
        return None if found is None else (found[0], [record.run for record in found[1]])

    # -- tags ---------------------------------------------------------------------------------------------------

    def get_run_tag_keys(self, *, cursor: str | None = None, limit: int = LIMIT) -> list[str]:
        """The keys of tags that some run has, ascending, past `cursor`. `limit`: 1 to 10,000."""
        from ..views import run_queries

        check_limit(limit)
        with self.views.asking("runs") as (connection, tables):
            return run_queries.tag_keys(connection, tables, after=cursor, limit=limit)

    def get_run_tags(
        self, tag_keys: Collection[str], *, value_prefix: str | None = None, limit: int = LIMIT
    ) -> list[tuple[str, list[str]]]:
        """For each key, the values that some run has, ascending; keys without one are left out.

        `value_prefix`: only values that begin so. `limit`: 1 to 10,000 values of each key.
        """
        from ..views import run_queries

        check_limit(limit)
        keys, found = texts("tag_keys", tag_keys), []
        with self.views.asking("runs") as (connection, tables):
            for key in keys:
                values = run_queries.tag_values(connection, tables, key, prefix=value_prefix, limit=limit)
                if values:
                    found.append((key, values))
        return found

    # -- one run ------------------------------------------------------------------------------------------------

    def get_run_steps(
        self, run_id: str, *, step_keys: Collection[str] | None = None, limit: int = LIMIT
    ) -> list[StepRecord]:
        """The steps of a run, in the order in which they began; only these, if some are named. `limit`: 1 to 10,000."""
        from ..views import step_queries

        check_limit(limit)
        keys = None if step_keys is None else texts("step_keys", step_keys)
        with self.views.asking("steps") as (connection, tables):
            return step_queries.steps(connection, tables, run_id, step_keys=keys, limit=limit)

    def get_run_step_stats(
        self, run_id: str, step_keys: Collection[str] | None = None, *, limit: int = LIMIT
    ) -> list[StepRecord]:
        """As `get_run_steps`."""
        return self.get_run_steps(run_id, step_keys=step_keys, limit=limit)

    def get_step_attempts(self, run_id: str, *, step_key: str | None = None, limit: int = LIMIT) -> list[StepAttempt]:
        """The attempts at the steps of a run, or at one, by step and number. `limit`: 1 to 10,000."""
        from ..views import step_queries

        check_limit(limit)
        with self.views.asking("steps") as (connection, tables):
            return step_queries.attempts(connection, tables, run_id, step_key=step_key, limit=limit)

    def get_run_stats(self, run_id: str) -> RunStats | None:
        """What a run amounts to: counts and times; None if there is no such run."""
        from ..views import assets, step_queries

        with self.views.asking("runs", "steps", "assets") as (connection, tables):
            return step_queries.stats(connection, tables, tables[assets.EVENTS], run_id)

    def run_at(self, run_id: str, position: int) -> RunAt:
        """One run as it stood when the timeline ended at `position`: folded from its own events, as the views are.

        Raises UsageError if there is no such run, if it was deleted, or if `position` lies before its first event or
        past the head.
        """
        from ..views.timetravel import run_at

        if type(position) is not int:
            raise UsageError(f"position={position!r:.80} is no whole number: a position counts events, from 1")
        return run_at(self.log, run_id, position)

    def logs(
        self, run_id: str, *, after_seq: int = 0, limit: int = LIMIT, types: Collection[str] | None = None
    ) -> ShardPage:
        """The events of a run, from the log itself, oldest first; see `EventLog.read_shard`."""
        wanted = None if types is None else texts("types", types)
        return self.log.read_shard(run_id, after_seq=after_seq, limit=limit, types=wanted)


def _filter(
    filters: RunsFilter | None,
    *,
    job_name: str | None = None,
    statuses: Collection[RunStatus | str] | None = None,
    tags: Mapping[str, str | Collection[str]] | None = None,
) -> RunsFilter:
    from ..views.filters import RunsFilter

    if filters is not None and job_name is statuses is tags is None and isinstance(filters, RunsFilter):
        return filters
    short = RunsFilter(job_name=job_name, statuses=statuses, tags=tags)
    if filters is None:
        return short
    if not isinstance(filters, RunsFilter):
        raise UsageError(f"filters={filters!r} is no RunsFilter")
    if short != RunsFilter():
        raise UsageError("job_name, statuses and tags are fields of the filter that was given; set them there")
    return filters
