"""How the events of assets are found: by asset, partition, tag or type, each through an index that has the order.

Promises: a page reads no more of an index than its rows and what they have to pass: rows that a wipe hides, and rows
outside a bound of time, which no index has beside the position. What a wipe hides never answers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from ..events.asset import AssetMaterializationPlanned, AssetWiped
from ..events.key import AssetKey
from ..log.log import EventLog, EventRecord
from .arms import ARMS, Written, loose, ordered, walk
from .assets import ASSETS, EVENT_TAGS, EVENTS, EventRow
from .filters import AssetRecordsFilter, EventRecordsFilter
from .question import Ask, Question, Tables, given, several, spread
from .table import keyed
from .whole import whole

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
    def of_asset(cls, type: str, asked: AssetRecordsFilter) -> EventQuery:
        """What a filter asks for."""
        return cls(
            type,
            AssetKey.of(asked.asset_key),
            asked.asset_partitions,
            asked.after_storage_id,
            asked.before_storage_id,
            asked.after_timestamp_us,
            asked.before_timestamp_us,
            asked.storage_ids,
            asked.tags,
        )

    @classmethod
    def of_any(cls, asked: EventRecordsFilter) -> EventQuery:
        """What a filter asks for."""
        return cls(
            asked.event_type,
            None if asked.asset_key is None else AssetKey.of(asked.asset_key),
            asked.asset_partitions,
            asked.after_cursor,
            asked.before_cursor,
            asked.after_timestamp_us,
            asked.before_timestamp_us,
            asked.storage_ids,
            asked.tags,
        )


class Form(NamedTuple):
    """What a question for events asks, without its values: one statement is written for each."""

    is_wipe: bool
    is_plan: bool
    of_asset: bool
    partitions: int | None  #: how many
    by_partition: bool  #: each partition has an arm, walked in order
    bounds: tuple[bool, bool, bool, bool]  #: after and before a position, after and before a time
    ids: int | None  #: how many
    tags: tuple[int, ...]  #: how many values of each key
    ascending: bool
    whole: bool  #: the columns of `_WHOLE` alone


#: what a whole event is made from; the other columns of a row are for people
_WHOLE: Final = ("position", "shard", "seq", "type", "body")
_BOUNDS: Final = ("after", "before", "after_us", "before_us")


def find_events(ask: Ask, query: EventQuery, *, ascending: bool = False, limit: int) -> list[EventRow]:
    """Up to `limit` events by position, each once, whatever the number of its partitions."""
    return [EventRow._make(row) for row in _find(ask, query, ascending, limit, whole=False)]


def find_whole(ask: Ask, log: EventLog, query: EventQuery, *, ascending: bool = False, limit: int) -> list[EventRecord]:
    """The same, as the log itself would give them."""
    return [
        whole(log, shard=shard, seq=seq, position=position, type=type, body=body or b"")
        for position, shard, seq, type, body in _find(ask, query, ascending, limit, whole=True)
    ]


def whole_event(log: EventLog, row: EventRow) -> EventRecord:
    """The event of a row that has its bytes."""
    return whole(log, shard=row.shard, seq=row.seq, position=row.position, type=row.type, body=row.body or b"")


def _find(ask: Ask, query: EventQuery, ascending: bool, limit: int, *, whole: bool) -> Sequence[Any]:
    names = None if query.partitions is None else list(dict.fromkeys(keyed(one) for one in query.partitions))
    by_partition = (
        query.ids is None
        and query.asset_key is not None
        and names is not None
        and (len(names) == 1 or query.type != _PLANNED)
    )
    values = _values(query, limit)
    if names is None or not by_partition:
        form = _form(query, None if names is None else len(names), False, ascending, whole)
        return ask(_page(form), **values, **spread("partition", names or []))
    found: dict[int, Any] = {}
    for start in range(0, len(names), ARMS):  # more would be more than SQLite compiles
        some = names[start : start + ARMS]
        form = _form(query, len(some), True, ascending, whole)
        found.update((row[0], row) for row in ask(_page(form), **values, **spread("partition", some)))
    return [found[position] for position in sorted(found, reverse=not ascending)[:limit]]


def _form(query: EventQuery, partitions: int | None, by_partition: bool, ascending: bool, whole: bool) -> Form:
    return Form(
        query.type == _WIPED,
        query.type == _PLANNED,
        query.asset_key is not None,
        partitions,
        by_partition,
        (query.after is not None, query.before is not None, query.after_us is not None, query.before_us is not None),
        None if query.ids is None else len(query.ids),
        tuple([len(_texts(values)) for values in (query.tags or {}).values()]),
        ascending,
        whole,
    )


def _values(query: EventQuery, limit: int) -> dict[str, Any]:
    values: dict[str, Any] = {"type": query.type, "most": limit}
    if query.asset_key is not None:
        values["asset"] = keyed(query.asset_key.to_text())
    values |= {name: bound for name in _BOUNDS if (bound := getattr(query, name)) is not None}
    values |= spread("id", list(query.ids or ()))
    for number, (key, wanted) in enumerate((query.tags or {}).items()):
        values[f"tag{number}"] = keyed(key)
        values |= spread(f"tag{number}", _texts(wanted))
    return values


def _texts(values: str | Collection[str]) -> list[str]:
    return [keyed(value) for value in ([values] if isinstance(values, str) else values)]


@lru_cache(512)
def _page(form: Form) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        written = Written(dialect)
        arms = _Writer(form, tables, written).arms()
        return ordered(written, arms, [("position", form.ascending)], limit=given("most"))

    return Question("assets", build)


class _Writer:
    def __init__(self, form: Form, tables: Tables, written: Written) -> None:
        self._form = form
        self._written = written
        self._events, self._tags, self._assets = tables[EVENTS], tables[EVENT_TAGS], tables[ASSETS]

    def arms(self) -> list[sa.Select[Any]]:
        events, form = self._events, self._form
        names = None if form.partitions is None else several("partition", form.partitions)
        where = [*self._bounds(), *self._tagged()]
        if not form.is_wipe:
            where.append(self._shows(events))
        if form.ids is not None:
            lead = events.c.position.in_(several("id", form.ids)) if form.ids else sa.false()
            some = self._select(lead, *self._of_asset(loosely=True), *self._of_partitions(names), *where)
            return [walk(some, events, "position")]
        if form.by_partition:
            of_asset = list(self._of_asset())
            each = [
                self._select(*of_asset, events.c.partition == name, *where, first_only=False) for name in names or ()
            ]
            return [walk(one, events, "asset_key", "partition", "type") for one in each]
        columns = ("asset_key", "type", "position") if form.of_asset else ("type", "position")
        return [walk(self._select(*self._of_asset(), *self._of_partitions(names), *where), events, *columns)]

    def _loose(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return loose(self._written, column)

    def _select(self, *where: sa.ColumnElement[bool], first_only: bool = True) -> sa.Select[Any]:
        events = self._events
        columns: list[Any] = [events.c[name] for name in _WHOLE] if self._form.whole else list(events.c)
        if not first_only:  # the bytes are on the first row of the event only
            first = events.alias("first")
            of_first = sa.select(first.c.body).where(first.c.position == events.c.position, first.c.item == 0)
            columns[-1] = sa.func.coalesce(events.c.body, of_first.scalar_subquery()).label("body")
        query = sa.select(*columns).where(*where)
        return query.where(self._loose(events.c.item) == 0) if first_only else query

    def _of_asset(self, *, loosely: bool = False) -> Iterator[sa.ColumnElement[bool]]:
        events = self._events.c
        yield (self._loose(events.type) if loosely else events.type) == given("type")
        if self._form.of_asset:
            yield (self._loose(events.asset_key) if loosely else events.asset_key) == given("asset")

    def _of_partitions(self, names: Sequence[Any] | None) -> Iterator[sa.ColumnElement[bool]]:
        """Some item of the event is of one of these partitions."""
        if names is not None:
            item = self._events.alias("item")
            among = self._loose(item.c.partition).in_(names) if names else sa.false()
            yield sa.exists().where(item.c.position == self._events.c.position, among)

    def _bounds(self) -> Iterator[sa.ColumnElement[bool]]:
        events = self._events.c
        position = events.position if self._form.ids is None else self._loose(events.position)
        time = self._loose(events.timestamp_us)
        every = (
            position > given("after"),
            position < given("before"),
            time > given("after_us"),
            time < given("before_us"),
        )
        yield from (one for one, wanted in zip(every, self._form.bounds, strict=True) if wanted)

    def _tagged(self) -> Iterator[sa.ColumnElement[bool]]:
        for number, count in enumerate(self._form.tags):
            tag = self._tags.alias(f"tag{number}_of")
            values = several(f"tag{number}", count)
            yield sa.exists().where(
                tag.c.position == self._events.c.position,
                tag.c.key == given(f"tag{number}"),
                self._loose(tag.c.value).in_(values) if values else sa.false(),
            )

    def _shows(self, events: sa.Table) -> sa.ColumnElement[bool]:
        """Neither a wipe of the asset nor one of its partition came after the event."""
        assets, form = self._assets.alias("of_asset"), self._form
        wiped = sa.select(assets.c.wiped_position).where(
            assets.c.asset_key == (given("asset") if form.of_asset else events.c.asset_key)
        )
        in_order = form.of_asset and form.ids is None
        position = events.c.position if in_order else self._loose(events.c.position)
        after_wipe = position > sa.func.coalesce(wiped.scalar_subquery(), 0)
        if not form.is_plan or form.partitions is not None:
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
