"""Questions about events: whole ones, from the views that keep them, and from the log where none does."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..log.log import EventRecord
from .base import LIMIT, LIMIT_MAX, Facade, check_limit, position_of

if TYPE_CHECKING:
    from ..views.asset_search import EventQuery
    from ..views.filters import (
        AssetRecordsFilter,
        EventRecordsFilter,
        EventRecordsResult,
        RunStatusChangeRecordsFilter,
    )

_MADE, _SEEN = "ASSET_MATERIALIZATION", "ASSET_OBSERVATION"
_PLANNED, _FAILED, _WIPED = "ASSET_MATERIALIZATION_PLANNED", "ASSET_FAILED_TO_MATERIALIZE", "ASSET_WIPED"
_OF_ASSETS = (_MADE, _SEEN, _PLANNED, _FAILED, _WIPED)

Ask = Callable[[int], Sequence[EventRecord]]  #: up to so many records, in order


class EventQuestions(Facade):
    """What happened. A storage id is the event's position on the timeline; a cursor is the text of one, and rests
    behind the last record that was given. `limit`: 1 to 10,000."""

    def get_event_records(
        self,
        filters: EventRecordsFilter,
        *,
        limit: int = LIMIT,
        cursor: str | int | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Events of one type, the newest first (`ascending`: the oldest).

        Events of assets and checks that were wiped do not show; nor do those of deleted runs, but for what they did
        to assets. Conditions on assets and tags are for types of assets and checks only: UsageError elsewhere.
        """
        from ..views.asset_search import EventQuery
        from ..views.check_queries import TYPES
        from ..views.filters import STATUS_TYPES, EventRecordsFilter, RunStatusChangeRecordsFilter
        from ..views.rare import TYPES as RARE_TYPES

        if not isinstance(filters, EventRecordsFilter):
            raise UsageError(f"filters={filters!r} is no EventRecordsFilter")
        query = EventQuery.of_any(filters)
        if query.type in _OF_ASSETS:
            return self._of_assets(query, limit, cursor, ascending)
        if query.type in TYPES:
            return self._of_checks(query, limit, cursor, ascending)
        if any(one is not None for one in (query.asset_key, query.partitions, query.tags)):
            raise UsageError(f"{query.type} is no event of an asset: asset_key, asset_partitions and tags do not apply")
        if query.type in STATUS_TYPES:
            changes = RunStatusChangeRecordsFilter(
                event_type=query.type,
                after_storage_id=query.after,
                before_storage_id=query.before,
                after_timestamp_us=query.after_us,
                before_timestamp_us=query.before_us,
                storage_ids=query.ids,
            )
            return self.fetch_run_status_changes(changes, limit=limit, cursor=cursor, ascending=ascending)
        query = _behind(query, cursor, ascending)
        if query.type in RARE_TYPES:
            return self._of_runs(query, limit, cursor, ascending)
        return _result(lambda count: _Scan(self, query, ascending).take(count), limit, cursor)

    def fetch_materializations(
        self,
        records_filter: AssetRecordsFilter | object,
        *,
        limit: int = LIMIT,
        cursor: str | int | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Materializations of one asset: by its key, or by a filter."""
        return self._fetch(_MADE, records_filter, limit, cursor, ascending)

    def fetch_observations(
        self,
        records_filter: AssetRecordsFilter | object,
        *,
        limit: int = LIMIT,
        cursor: str | int | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Observations of one asset: by its key, or by a filter."""
        return self._fetch(_SEEN, records_filter, limit, cursor, ascending)

    def fetch_failed_materializations(
        self,
        records_filter: AssetRecordsFilter | object,
        *,
        limit: int = LIMIT,
        cursor: str | int | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """What was planned of one asset and not made: by its key, or by a filter."""
        return self._fetch(_FAILED, records_filter, limit, cursor, ascending)

    def fetch_run_status_changes(
        self,
        records_filter: RunStatusChangeRecordsFilter | str,
        *,
        limit: int = LIMIT,
        cursor: str | int | None = None,
        ascending: bool = False,
    ) -> EventRecordsResult:
        """Events that may have changed the status of a run: of one type, as `RUN_FAILURE`, or by a filter."""
        from ..views import run_queries
        from ..views.filters import RunStatusChangeRecordsFilter

        chosen = records_filter
        if not isinstance(chosen, RunStatusChangeRecordsFilter):
            chosen = RunStatusChangeRecordsFilter(event_type=chosen)
        at = position_of(cursor)
        if at is not None and ascending:
            chosen = replace(chosen, after_storage_id=max(at, chosen.after_storage_id or 0))
        elif at is not None:
            chosen = replace(chosen, before_storage_id=_least(at, chosen.before_storage_id))
        query = run_queries.OfType(
            chosen.event_type,
            chosen.after_storage_id,
            chosen.before_storage_id,
            chosen.after_timestamp_us,
            chosen.before_timestamp_us,
            chosen.storage_ids,
            chosen.job_names,
        )

        def ask(count: int) -> Sequence[EventRecord]:
            return run_queries.changes(self.views.ask, self.log, query, ascending=ascending, limit=count)

        return _result(ask, limit, cursor)

    # -- one run ------------------------------------------------------------------------------------------------

    def get_records_for_run(
        self,
        run_id: str,
        *,
        cursor: str | None = None,
        of_type: str | Collection[str] | None = None,
        limit: int = LIMIT,
        ascending: bool = True,
    ) -> EventRecordsResult:
        """The events of a run, from the log itself, the oldest first; an unknown run has none.

        `cursor`: of an earlier answer in the same direction.
        """
        from ..views.filters import EventRecordsResult

        check_limit(limit)
        after = position_of(cursor) or 0
        if after == 1 and not ascending:  # there is nothing before the first
            return EventRecordsResult([], "1", False)
        types = [of_type] if isinstance(of_type, str) else of_type
        self.log.catch_up()  # so that each has its storage id
        page = self.log.read_shard(run_id, after_seq=after, limit=limit, types=types, newest_first=not ascending)
        end = page.records[-1].seq if page.records else after
        return EventRecordsResult(page.records, str(end), not page.at_end)

    def get_logs_for_run(
        self,
        run_id: str,
        *,
        cursor: str | None = None,
        of_type: str | Collection[str] | None = None,
        limit: int = LIMIT,
        ascending: bool = True,
    ) -> Sequence[EventRecord]:
        """As `get_records_for_run`, the records alone."""
        found = self.get_records_for_run(run_id, cursor=cursor, of_type=of_type, limit=limit, ascending=ascending)
        return found.records

    def get_maximum_record_id(self) -> int:
        """The storage id of the last event there is; 0 without any."""
        return self.log.catch_up().position

    # -- where they are -----------------------------------------------------------------------------------------

    def _fetch(
        self, type: str, given: object, limit: int, cursor: str | int | None, ascending: bool
    ) -> EventRecordsResult:
        from ..views.asset_search import EventQuery
        from ..views.filters import AssetRecordsFilter

        chosen = given if isinstance(given, AssetRecordsFilter) else AssetRecordsFilter(asset_key=given)  # type: ignore[arg-type]
        return self._of_assets(EventQuery.of_asset(type, chosen), limit, cursor, ascending)

    def _of_assets(
        self, query: EventQuery, limit: int, cursor: str | int | None, ascending: bool
    ) -> EventRecordsResult:
        from ..views.asset_search import find_whole

        query = _behind(query, cursor, ascending)

        def ask(count: int) -> Sequence[EventRecord]:
            with self.views.answering("assets") as several:
                return find_whole(several, self.log, query, ascending=ascending, limit=count)

        return _result(ask, limit, cursor)

    def _of_runs(self, query: EventQuery, limit: int, cursor: str | int | None, ascending: bool) -> EventRecordsResult:
        from ..views.run_queries import OfType, rare_events

        of_type = OfType(query.type, query.after, query.before, query.after_us, query.before_us, query.ids)

        def ask(count: int) -> Sequence[EventRecord]:
            return rare_events(self.views.ask, self.log, of_type, ascending=ascending, limit=count)

        return _result(ask, limit, cursor)

    def _of_checks(
        self, query: EventQuery, limit: int, cursor: str | int | None, ascending: bool
    ) -> EventRecordsResult:
        from ..views import check_queries

        if query.tags is not None:
            raise UsageError(f"{query.type} has no tags")
        query = _behind(query, cursor, ascending)

        def ask(count: int) -> Sequence[EventRecord]:
            with self.views.asking("checks", "assets", "runs") as (connection, tables):
                return check_queries.events(connection, tables, self.log, query, ascending=ascending, limit=count)

        return _result(ask, limit, cursor)


class _Scan:
    """Events of a type that no view keeps, through the log's own index by type."""

    def __init__(self, facade: Facade, query: EventQuery, ascending: bool) -> None:
        self._log = facade.log
        self._query = query
        self._ascending = ascending

    def take(self, count: int) -> list[EventRecord]:
        """Up to `count` events, in order."""
        if self._query.ids is not None:
            return self._named(count)
        found: list[EventRecord] = []
        pages = self._oldest_first(count) if self._ascending else self._newest_first(count)
        query = self._query
        bounded = (query.after, query.before, query.after_us, query.before_us) != (None,) * 4
        for page in pages:
            found += filter(self._matches, page) if bounded else page
            if len(found) >= count or (page and self._is_past(page[-1])):
                break
        return found[:count]

    def _oldest_first(self, count: int) -> Iterator[list[EventRecord]]:
        # From the start no cursor is needed, and whoever asks for one has the log look where it ends.
        after = self._query.after
        cursor = self._log.cursor(min(after, self._log.catch_up().position)) if after and after > 0 else None
        while True:
            page = self._log.read(after=cursor, limit=min(count, LIMIT_MAX), types={self._query.type})
            yield page.events
            if page.at_head:
                return
            cursor = page.cursor

    def _newest_first(self, count: int) -> Iterator[list[EventRecord]]:
        before, limit = self._query.before, min(count, LIMIT_MAX)
        if before is not None:
            before = max(before, 0)
        while True:
            page = self._log.read_back(types={self._query.type}, before=before, limit=limit)
            yield page
            if len(page) < limit:
                return
            before = page[-1].position

    def _named(self, count: int) -> list[EventRecord]:
        head = self._log.catch_up().position
        found: list[EventRecord] = []
        for position in sorted(self._query.ids or (), reverse=not self._ascending):
            record = self._log.read_at(position) if position <= head else None
            if record is not None and record.event.type == self._query.type and self._matches(record):
                found.append(record)
                if len(found) == count:
                    break
        return found

    def _is_past(self, record: EventRecord) -> bool:
        """Whether this record and all after it are outside."""
        if self._ascending:
            return self._query.before is not None and (record.position or 0) >= self._query.before
        return self._query.after is not None and (record.position or 0) <= self._query.after

    def _matches(self, record: EventRecord) -> bool:
        query, position, time = self._query, record.position or 0, record.event.timestamp_us
        return (
            (query.after is None or position > query.after)
            and (query.before is None or position < query.before)
            and (query.after_us is None or time > query.after_us)
            and (query.before_us is None or time < query.before_us)
        )


def _result(ask: Ask, limit: int, cursor: str | int | None) -> EventRecordsResult:
    """One page, and whether there is another: asks for one record more than it gives."""
    from ..views.filters import EventRecordsResult

    check_limit(limit)
    records = list(ask(limit + 1))
    more, records = len(records) > limit, records[:limit]
    end = records[-1].position if records else position_of(cursor)
    return EventRecordsResult(records, str(end or 0), more)


def _behind(query: EventQuery, cursor: str | int | None, ascending: bool) -> EventQuery:
    at = position_of(cursor)
    if at is None:
        return query
    return (
        query._replace(after=max(at, query.after or 0))
        if ascending
        else query._replace(before=_least(at, query.before))
    )


def _least(one: int, other: int | None) -> int:
    return one if other is None else min(one, other)
