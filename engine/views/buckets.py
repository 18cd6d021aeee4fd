"""The newest runs of each of several buckets, in one answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..log.log import EventLog
from .filters import JobBucket, RunsFilter, TagBucket
from .question import Ask
from .records import RunRecord
from .run_queries import find
from .run_search import ORDERS


def find_in_buckets(
    ask: Ask,
    log: EventLog,
    filters: RunsFilter,
    bucket: JobBucket | TagBucket,
    *,
    order: str,
    ascending: bool,
    cursor: str | None,
    limit: int,
) -> list[RunRecord]:
    """Up to `bucket_limit` runs of each bucket, and `limit` of all, in order."""
    most = min(bucket.bucket_limit, limit)
    found = {
        record.run.run_id: record
        for one in _filters(filters, bucket)
        for record in find(ask, log, one, order=order, ascending=ascending, cursor=cursor, limit=most)
    }
    return sorted(found.values(), key=lambda record: _place(record, order), reverse=not ascending)[:limit]


def _filters(filters: RunsFilter, bucket: JobBucket | TagBucket) -> Iterator[RunsFilter]:
    """The filter of each bucket; none for a bucket that the filter itself shuts out."""
    if isinstance(bucket, JobBucket):
        for name in bucket.job_names:
            if filters.job_name in (None, name):
                yield replace(filters, job_name=name)
        return
    tags = dict(filters.tags or {})
    wanted = tags.get(bucket.tag_key)
    for value in bucket.tag_values:
        if wanted is None or value == wanted or (not isinstance(wanted, str) and value in wanted):
            yield replace(filters, tags={**tags, bucket.tag_key: value})


def _place(record: RunRecord, order: str) -> tuple[Any, int]:
    value = record.storage_id if order == "storage_id" else getattr(record, ORDERS[order])
    return value, record.storage_id
