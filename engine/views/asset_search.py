"""How the events of assets are found: by asset, partition, tag or type, each through an index that has the order.

Promises: a page reads no more of an index than its rows and what they have to pass: rows that a wipe hides, and rows
outside a bound of time, which no index has beside the position. What a wipe hides never answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..events.asset import AssetMaterializationPlanned, AssetWiped
from ..events.key import AssetKey
from ..log.log import EventLog, EventRecord
from .arms import ARMS, loose, ordered
from .assets import ASSETS, EVENT_TAGS, EVENTS, EventRow
from .filters import AssetRecordsFilter, EventRecordsFilter
from .table import Table, keyed
from .whole import whole

Tables = Mapping[Table, sa.Table]
_WIPED, _PLANNED = AssetWiped.KIND.name, AssetMaterializationPlanned.KIND.name


class EventQuery(NamedTuple):
    """Which events of assets, all of one type."""

    type: str
    asset_key: AssetKey | None = None
    partitions: Collection[str] | None = None
    after: int | None = None  #: positions
    before: int | None = None
    after_us: int | None = None
    before_us: int | None = None
    ids: Collection[int] | None = None
    tags: Mapping[str, str | Collection[str]] | None = None

    @classmethod
    def of_asset(cls, type: str, given: AssetRecordsFilter) -> EventQuery:
        """What a filter asks for."""
        return cls(
            type,
            AssetKey.of(given.asset_key),
            given.asset_partitions,
            given.after_storage_id,
            given.before_storage_id,
            given.after_timestamp_us,
            given.before_timestamp_us,
            given.storage_ids,
            given.tags,
        )

    @classmethod
    def of_any(cls, given: EventRecordsFilter) -> EventQuery:
        """What a filter asks for."""
        return cls(
            given.event_type,
            None if given.asset_key is None else AssetKey.of(given.asset_key),
            given.asset_partitions,
            given.after_cursor,
            given.before_cursor,
            given.after_timestamp_us,
            given.before_timestamp_us,
            given.storage_ids,
            given.tags,
        )


def find_events(
    connection: sa.Connection, tables: Tables, query: EventQuery, *, ascending: bool = False, limit: int
) -> list[EventRow]:
    """Up to `limit` events by position, each once, whatever the number of its partitions."""
    search = _Search(connection, tables, query)
    found: dict[int, EventRow] = {}
    for arms in search.statements():
        page = connection.execute(ordered(arms, [("position", ascending)], limit=limit))
        found.update((row.position, EventRow._make(row)) for row in page)
    return [found[position] for position in sorted(found, reverse=not ascending)[:limit]]


def whole_event(log: EventLog, row: EventRow) -> EventRecord:
    """The event of a row that has its bytes."""
    return whole(log, shard=row.shard, seq=row.seq, position=row.position, type=row.type, body=row.body or b"")


class _Search:
    def __init__(self, connection: sa.Connection, tables: Tables, query: EventQuery) -> None:
        self._connection = connection
        self._events, self._tags, self._assets = tables[EVENTS], tables[EVENT_TAGS], tables[ASSETS]
        self._query = query
        self._key = None if query.asset_key is None else keyed(query.asset_key.to_text())

    def statements(self) -> Iterator[list[sa.Select[Any]]]:
        """One list of arms a statement; as a rule there is one."""
        events, query = self._events, self._query
        names = None if query.partitions is None else list(dict.fromkeys(keyed(one) for one in query.partitions))
        where = [*self._bounds(), *self._tagged()]
        if query.type != _WIPED:
            where.append(self._shows(events))
        if query.ids is not None:
            lead = events.c.position.in_(query.ids)
            yield [self._select(lead, *self._of_asset(loosely=True), *self._of_partitions(names), *where)]
        elif self._key is not None and names is not None and (len(names) == 1 or query.type != _PLANNED):
            of_asset = list(self._of_asset())
            arms = [self._select(*of_asset, events.c.partition == name, *where, first_only=False) for name in names]
            for start in range(0, len(arms), ARMS):
                yield arms[start : start + ARMS]
        else:
            yield [self._select(*self._of_asset(), *self._of_partitions(names), *where)]

    def _select(self, *where: sa.ColumnElement[bool], first_only: bool = True) -> sa.Select[Any]:
        events = self._events
        columns = list(events.c)
        if not first_only:  # the bytes are on the first row of the event only
            first = events.alias("first")
            of_first = sa.select(first.c.body).where(first.c.position == events.c.position, first.c.item == 0)
            columns[-1] = sa.func.coalesce(events.c.body, of_first.scalar_subquery()).label("body")  # type: ignore[call-overload]
        query = sa.select(*columns).where(*where)
        return query.where(loose(self._connection, events.c.item) == 0) if first_only else query

    def _of_asset(self, *, loosely: bool = False) -> Iterator[sa.ColumnElement[bool]]:
        events = self._events.c
        if loosely:
            yield loose(self._connection, events.type) == self._query.type
        else:
            yield events.type == self._query.type
        if self._key is not None:
            yield (loose(self._connection, events.asset_key) if loosely else events.asset_key) == self._key

    def _of_partitions(self, names: Sequence[str] | None) -> Iterator[sa.ColumnElement[bool]]:
        """Some item of the event is of one of these partitions."""
        if names is not None:
            item = self._events.alias("item")
            yield sa.exists().where(
                item.c.position == self._events.c.position, loose(self._connection, item.c.partition).in_(names)
            )

    def _bounds(self) -> Iterator[sa.ColumnElement[bool]]:
        events, query = self._events.c, self._query
        position = events.position if query.ids is None else loose(self._connection, events.position)
        time = loose(self._connection, events.timestamp_us)
        if query.after is not None:
            yield position > query.after
        if query.before is not None:
            yield position < query.before
        if query.after_us is not None:
            yield time > query.after_us
        if query.before_us is not None:
            yield time < query.before_us

    def _tagged(self) -> Iterator[sa.ColumnElement[bool]]:
        for number, (key, values) in enumerate((self._query.tags or {}).items()):
            tag = self._tags.alias(f"tag{number}")
            texts = [keyed(value) for value in ([values] if isinstance(values, str) else values)]
            yield sa.exists().where(
                tag.c.position == self._events.c.position,
                tag.c.key == keyed(key),
                loose(self._connection, tag.c.value).in_(texts),
            )

    def _shows(self, events: sa.Table) -> sa.ColumnElement[bool]:
        """Neither a wipe of the asset nor one of its partition came after the event."""
        assets = self._assets.alias("of_asset")
        wiped = sa.select(assets.c.wiped_position).where(assets.c.asset_key == (self._key or events.c.asset_key))
        position = (
            events.c.position if self._key and self._query.ids is None else loose(self._connection, events.c.position)
        )
        after_wipe = position > sa.func.coalesce(wiped.scalar_subquery(), 0)
        if self._query.type != _PLANNED or self._query.partitions is not None:
            return sa.and_(after_wipe, ~wiped_later(events, self._events.alias("wipe")))
        item = self._events.alias("item_shown")  # of several partitions one is enough
        shown = sa.exists().where(item.c.position == events.c.position, ~wiped_later(item, self._events.alias("wipe")))
        return sa.and_(after_wipe, shown)


def wiped_later(rows: sa.FromClause, wipes: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a wipe of its partition came after a row. `wipes`: an alias of the events of assets."""
    return sa.exists().where(
        wipes.c.asset_key == rows.c.asset_key,
        wipes.c.partition == rows.c.partition,
        wipes.c.type == _WIPED,
        wipes.c.position > rows.c.position,
    )
