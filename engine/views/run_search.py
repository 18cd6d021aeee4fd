"""How the runs that meet a filter are found: which condition's index leads, and in which order it is walked.

The rarest condition should lead, and no table says which that is: "failed runs of this backfill" may be a few of a
million failures, or a few failures among a million runs. So each condition is probed: its index is counted up to a
thousand entries, which takes a fraction of a millisecond whatever the table holds.
- One that has so few is fetched whole, tested against the others and sorted.
- If none has, all are common. One whose index has the order asked for is walked in that order until the page is full;
  if there is none, the index of the order itself. A page of common conditions fills soon. It does not where two common
  conditions hardly ever meet: that costs a walk over the shorter index, and only an index of both could spare it.

The statements depend on the form of a filter (`Form`: which conditions, with how many values) and not on its values, so
each is written once: run_conditions.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from .arms import ARMS, Written, ordered, past, walk
from .filters import RunsFilter
from .question import Ask, Question, Tables, given
from .run_conditions import Condition, Form, conditions, form_of, kinds, values_of
from .runs import BIRTHS, RUNS
from .table import keyed

VIEW: Final = "runs"
PROBE: Final = 1000  #: entries of an index that are counted to find out whether a condition is rare
ORDERS: Final[dict[str, str]] = {
    "storage_id": "created_position",
    "created": "created_us",
    "updated": "updated_us",
    "started": "started_us",
    "ended": "ended_us",
}  #: what runs may be ordered by -> the column
_FORMS: Final = 512  #: statements that are kept written


class Place(NamedTuple):
    """Where a run stands in an order; ties go by its first position."""

    value: int
    position: int


class _Way(NamedTuple):
    """How a page is found: one statement is written for each."""

    form: Form
    lead: int | None  #: number of the condition whose index leads; None: the index of the order itself
    order: str
    ascending: bool
    behind: bool
    ids_only: bool


class Search:
    """The runs that meet a filter, in one snapshot."""

    def __init__(self, ask: Ask, filters: RunsFilter) -> None:
        self._ask = ask
        self._form = form_of(filters)
        self._values = values_of(filters)

    def page(
        self, *, order: str, ascending: bool, behind: Place | None, limit: int, ids_only: bool = False
    ) -> Sequence[Any]:
        """Up to `limit` rows: the columns of `runs`, the bytes of RUN_CREATED, and two of the order; or ids first."""
        lead = self._leader(order)
        way = _Way(self._form, lead, order, ascending, behind is not None, ids_only)
        place = {} if behind is None else {"place": behind.value, "tie": behind.position}
        return self._ask(_page(way), most=limit, **self._values, **place)

    def count(self) -> int:
        """How many runs there are; the work grows with the matches of the rarest condition."""
        ((count,),) = self._ask(_count(self._form, self._leader(None)), **self._values)
        return int(count)

    def place_of(self, run_id: str, order: str) -> Place | None:
        """Where a run stands in an order; None if there is no such run, or it has no place there."""
        rows = self._ask(_place(order), run_id=keyed(run_id))
        return None if not rows or rows[0][0] is None else Place(*rows[0])

    def _leader(self, order: str | None) -> int | None:
        """The number of the condition whose index leads; None: the index of the order itself."""
        some = kinds(self._form)
        listed = next((number for number, one in enumerate(some) if one.bounded), None)
        if listed is not None or not some:
            return listed
        if len(some) == 1 and (order is None or order in some[0].orders):
            return 0
        (counts,) = self._ask(_probe(self._form), **self._values)
        least = min(counts)
        if least <= PROBE or order is None:
            return list(counts).index(least)
        return next((number for number, one in enumerate(some) if order in one.orders), None)


# -- statements, each written once --------------------------------------------------------------------------------


@lru_cache(_FORMS)
def _page(way: _Way) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        every = conditions(way.form, tables, dialect)
        lead = None if way.lead is None else every[way.lead]
        arms: Sequence[Any] = [None]
        place: sa.ColumnElement[Any] = tables[RUNS].c[ORDERS[way.order]]
        if lead is not None:
            in_order = way.order in lead.orders and len(lead.arms) <= ARMS
            arms = lead.arms if in_order else [lead.lead]
            place = lead.orders.get(way.order, place)
        follow = [one.follow for one in every if one is not lead]
        selects = [_select(way, Written(dialect), tables, lead, arm, place, follow) for arm in arms]
        names = ["place"] if way.order == "storage_id" else ["place", "tie"]
        return ordered(Written(dialect), selects, [(name, way.ascending) for name in names], limit=given("most"))

    return Question(VIEW, build)


@lru_cache(_FORMS)
def _count(form: Form, lead: int | None) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        every = conditions(form, tables, dialect)
        leading = None if lead is None else every[lead]
        where = [one.follow for one in every if one is not leading]
        if leading is not None:
            where.append(leading.lead)
        return sa.select(sa.func.count()).select_from(_source(tables, leading)).where(*where)

    return Question(VIEW, build)


@lru_cache(_FORMS)
def _probe(form: Form) -> Question:
    """How many entries the index of each condition has, up to one more than `PROBE`."""

    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        counts: list[Any] = []
        for one in conditions(form, tables, dialect):
            source = tables[RUNS] if one.tag is None else one.tag
            some: sa.Select[Any] = sa.select(sa.literal_column("1").label("one")).select_from(source).where(one.lead)
            some_of = some.limit(sa.literal_column(str(PROBE + 1))).subquery()
            counts.append(sa.select(sa.func.count()).select_from(some_of).scalar_subquery())
        return sa.select(*counts)

    return Question(VIEW, build)


@lru_cache(_FORMS)
def _place(order: str) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        columns = tables[RUNS].c
        return sa.select(columns[ORDERS[order]], columns.created_position).where(columns.run_id == given("run_id"))

    return Question(VIEW, build)


def _source(tables: Tables, lead: Condition | None) -> sa.FromClause:
    runs = tables[RUNS]
    return runs if lead is None or lead.tag is None else lead.tag.join(runs, runs.c.run_id == lead.tag.c.run_id)


def _walked(way: _Way, lead: Condition | None, arm: sa.ColumnElement[bool] | None) -> tuple[str, ...]:
    """The columns with which the index begins that is walked."""
    order = ORDERS[way.order]
    if lead is None:
        return (order,)
    in_order = way.order in lead.orders and arm is not lead.lead and order not in lead.columns
    return (*lead.columns, order) if in_order else lead.columns


def _select(
    way: _Way,
    written: Written,
    tables: Tables,
    lead: Condition | None,
    arm: sa.ColumnElement[bool] | None,
    place: sa.ColumnElement[Any],
    follow: Sequence[sa.ColumnElement[bool]],
) -> sa.Select[Any]:
    runs, births = tables[RUNS], tables[BIRTHS]
    source = _source(tables, lead)
    columns: list[Any] = [runs.c.run_id] if way.ids_only else [*runs.c, births.c.body.label("born")]
    if not way.ids_only:
        source = source.outerjoin(births, births.c.run_id == runs.c.run_id)
    tie = runs.c.created_position
    query: sa.Select[Any] = (
        sa.select(*columns, place.label("place"), tie.label("tie")).select_from(source).where(*follow)
    )
    if arm is not None:
        query = query.where(arm)
    query = walk(query, runs if lead is None or lead.tag is None else lead.tag, *_walked(way, lead, arm))
    if way.order in ("started", "ended"):
        query = query.where(place.is_not(None))
    if not way.behind:
        return query
    if way.order == "storage_id":
        return query.where(place > given("place") if way.ascending else place < given("place"))
    return query.where(past(written, (place, tie), (given("place"), given("tie")), ascending=way.ascending))
