"""How the runs that meet a filter are found: which condition's index leads, and in which order it is walked.

The rarest condition should lead, and no table says which that is: "failed runs of this backfill" may be a few of a
million failures, or a few failures among a million runs. So each condition is probed: its index is counted up to a
thousand entries, which takes a fraction of a millisecond whatever the table holds.
- One that has so few is fetched whole, tested against the others and sorted.
- If none has, all are common. One whose index has the order asked for is walked in that order until the page is full;
  if there is none, the index of the order itself. A page of common conditions fills soon. It does not where two common
  conditions hardly ever meet: that costs a walk over the shorter index, and only an index of both could spare it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from .arms import ARMS, loose, ordered
from .filters import RunsFilter
from .runs import BIRTHS, RUNS, TAGS
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]

PROBE: Final = 1000  #: entries of an index that are counted to find out whether a condition is rare
ORDERS: Final[dict[str, str]] = {
    "storage_id": "created_position",
    "created": "created_us",
    "updated": "updated_us",
    "started": "started_us",
    "ended": "ended_us",
}  #: what runs may be ordered by -> the column


class Place(NamedTuple):
    """Where a run stands in an order; ties go by its first position."""

    value: int
    position: int


class _Condition(NamedTuple):
    """One condition of a filter, as it leads and as it follows."""

    arms: Sequence[sa.ColumnElement[bool]]  #: one for each value; within an arm the index has its order
    lead: sa.ColumnElement[bool]  #: all arms together
    follow: sa.ColumnElement[bool]
    orders: Mapping[str, sa.ColumnElement[int]]  #: orders that the index has, by its own columns
    tag: sa.FromClause | None = None  #: the table of tags, if it leads there
    bounded: bool = False  #: lists its runs by name, so that it has as many as it names


class Search:
    """The runs that meet a filter, in one snapshot."""

    def __init__(self, connection: sa.Connection, tables: Tables, filters: RunsFilter) -> None:
        self._connection = connection
        self._runs = tables[RUNS]
        self._tags = tables[TAGS]
        self._births = tables[BIRTHS]
        self._conditions = list(self._made(filters))

    def page(
        self, *, order: str, ascending: bool, behind: Place | None, limit: int, ids_only: bool = False
    ) -> Sequence[sa.Row[Any]]:
        """Up to `limit` rows: the columns of `runs` and the bytes of RUN_CREATED; or run ids alone."""
        lead = self._leader(order)
        arms: Sequence[Any] = [None]
        place: sa.ColumnElement[Any] = self._runs.c[ORDERS[order]]
        if lead is not None:
            in_order = order in lead.orders and len(lead.arms) <= ARMS
            arms = lead.arms if in_order else [lead.lead]
            place = lead.orders.get(order, place)
        selects = [self._select(lead, arm, place, behind, ascending, ids_only) for arm in arms]
        names = ["place"] if order == "storage_id" else ["place", "tie"]
        query = ordered(selects, [(name, ascending) for name in names], limit=limit)
        return self._connection.execute(query).all()

    def count(self) -> int:
        """How many runs there are; the work grows with the matches of the rarest condition."""
        lead = self._leader(None)
        source = self._source(lead)
        where = [one.follow for one in self._conditions if one is not lead]
        if lead is not None:
            where.append(lead.lead)
        return self._connection.execute(sa.select(sa.func.count()).select_from(source).where(*where)).scalar_one()

    def place_of(self, run_id: str, order: str) -> Place | None:
        """Where a run stands in an order; None if there is no such run, or it has no place there."""
        columns = self._runs.c
        query = sa.select(columns[ORDERS[order]], columns.created_position).where(columns.run_id == keyed(run_id))
        row = self._connection.execute(query).first()
        return None if row is None or row[0] is None else Place(*row)

    # -- one statement ------------------------------------------------------------------------------------------

    def _source(self, lead: _Condition | None) -> sa.FromClause:
        runs = self._runs
        return runs if lead is None or lead.tag is None else lead.tag.join(runs, runs.c.run_id == lead.tag.c.run_id)

    def _select(
        self,
        lead: _Condition | None,
        arm: sa.ColumnElement[bool] | None,
        place: sa.ColumnElement[Any],
        behind: Place | None,
        ascending: bool,
        ids_only: bool,
    ) -> sa.Select[Any]:
        runs, births = self._runs, self._births
        source = self._source(lead)
        columns: list[Any] = [runs.c.run_id] if ids_only else [*runs.c, births.c.body.label("born")]
        if not ids_only:
            source = source.outerjoin(births, births.c.run_id == runs.c.run_id)
        tie = runs.c.created_position
        query = sa.select(*columns, place.label("place"), tie.label("tie")).select_from(source)
        query = query.where(*(one.follow for one in self._conditions if one is not lead))
        if arm is not None:
            query = query.where(arm)
        if place.name in ("started_us", "ended_us"):
            query = query.where(place.is_not(None))
        if behind is None:
            return query
        if place.name == "created_position":
            return query.where(place > behind.value if ascending else place < behind.value)
        here, there = sa.tuple_(place, tie), sa.tuple_(sa.literal(behind.value), sa.literal(behind.position))
        return query.where(here > there if ascending else here < there)

    # -- which leads --------------------------------------------------------------------------------------------

    def _leader(self, order: str | None) -> _Condition | None:
        """None: the index of the order itself."""
        some = self._conditions
        listed = next((one for one in some if one.bounded), None)
        if listed is not None or not some:
            return listed
        if len(some) == 1 and (order is None or order in some[0].orders):
            return some[0]
        counts = [self._probe(one) for one in some]
        least = min(counts)
        if least <= PROBE or order is None:
            return some[counts.index(least)]
        return next((one for one in some if order in one.orders), None)

    def _probe(self, one: _Condition) -> int:
        source = self._runs if one.tag is None else one.tag
        some = sa.select(sa.literal(1).label("one")).select_from(source).where(one.lead).limit(PROBE + 1).subquery()
        return self._connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()

    # -- the conditions, those with the narrowest index first ------------------------------------------------------

    def _made(self, filters: RunsFilter) -> Iterator[_Condition]:
        runs = self._runs.c
        by_creation = {"storage_id": runs.created_position}
        by_both = {**by_creation, "updated": runs.updated_us}
        if filters.run_ids is not None:
            named = runs.run_id.in_([keyed(one) for one in filters.run_ids])
            yield _Condition([named], named, named, {}, bounded=True)
        for number, (key, values) in enumerate((filters.tags or {}).items()):
            yield self._tagged(f"tag{number}", key, [values] if isinstance(values, str) else list(values))
        if filters.snapshot_id is not None:
            yield self._equal(runs.job_snapshot_id, [keyed(filters.snapshot_id)], by_creation)
        if filters.job_name is not None:
            yield self._equal(runs.job_name, [keyed(filters.job_name)], by_both)
        if filters.statuses is not None:
            yield self._equal(runs.status, [str(one) for one in filters.statuses], by_both)
        if filters.exclude_subruns:
            alone, follow = runs.backfill_id.is_(None), loose(self._connection, runs.backfill_id).is_(None)
            yield _Condition([alone], alone, follow, by_creation)
        for name in ("created", "updated", "ended"):
            yield from self._between(name, getattr(filters, f"{name}_after_us"), getattr(filters, f"{name}_before_us"))

    def _equal(
        self, column: sa.ColumnElement[str], values: Sequence[str], orders: Mapping[str, sa.ColumnElement[int]]
    ) -> _Condition:
        follow = loose(self._connection, column).in_(values)
        return _Condition([column == value for value in values] or [sa.false()], column.in_(values), follow, orders)

    def _tagged(self, name: str, key: str, values: Sequence[str]) -> _Condition:
        tag, also = self._tags.alias(name), self._tags.alias(f"{name}_also")
        texts = list(dict.fromkeys(keyed(value) for value in values))
        arms = [sa.and_(tag.c.key == keyed(key), tag.c.value == text) for text in texts] or [sa.false()]
        among = loose(self._connection, also.c.value).in_(texts)
        follow = sa.exists().where(also.c.run_id == self._runs.c.run_id, also.c.key == keyed(key), among)
        lead = sa.and_(tag.c.key == keyed(key), tag.c.value.in_(texts))
        return _Condition(arms, lead, follow, {"storage_id": tag.c.created_position}, tag)

    def _between(self, name: str, after: int | None, before: int | None) -> Iterator[_Condition]:
        column = self._runs.c[ORDERS[name]]
        plain, other = ([] for _ in range(2))
        for operator, bound in (("__gt__", after), ("__lt__", before)):
            if bound is not None:
                plain.append(getattr(column, operator)(bound))
                other.append(getattr(loose(self._connection, column), operator)(bound))
        if plain:
            yield _Condition([sa.and_(*plain)], sa.and_(*plain), sa.and_(*other), {name: column})
