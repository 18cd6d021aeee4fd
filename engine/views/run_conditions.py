"""The conditions of a filter of runs: each as it leads, through its own index, and as it follows, tested row by row.

A filter has a form (`Form`: which conditions, with how many values each) and values. SQL is written for a form, with
parameters for the values.
Not here: which condition leads (run_search.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from .arms import Written, loose
from .filters import RunsFilter
from .question import Tables, given, several, spread
from .runs import RUNS, TAGS
from .table import keyed

TIMES: Final = ("created", "updated", "ended")
_CREATION: Final = frozenset({"storage_id"})
_BOTH: Final = frozenset({"storage_id", "updated"})


class Form(NamedTuple):
    """What a filter asks, without its values."""

    run_ids: int | None  #: how many
    tags: tuple[int, ...]  #: how many values of each key
    snapshot: bool
    job: bool
    statuses: int | None
    alone: bool  #: no runs of backfills
    times: tuple[tuple[bool, bool], ...]  #: of each of `TIMES`, whether it is bounded from below, from above


class Kind(NamedTuple):
    """What is known of a condition without writing it."""

    orders: frozenset[str]  #: orders that its index has
    bounded: bool = False  #: lists its runs by name, so that it has as many as it names


class Condition(NamedTuple):
    """One condition of a filter, as it leads and as it follows."""

    arms: Sequence[sa.ColumnElement[bool]]  #: one for each value; within an arm the index has its order
    lead: sa.ColumnElement[bool]  #: all arms together
    follow: sa.ColumnElement[bool]
    orders: Mapping[str, sa.ColumnElement[int]]  #: orders that the index has, by its own columns
    columns: tuple[str, ...]  #: with which its index begins
    tag: sa.FromClause | None = None  #: the table of tags, if it leads there


def form_of(filters: RunsFilter) -> Form:
    """The form of a filter."""
    tags = filters.tags or {}
    return Form(
        None if filters.run_ids is None else len(filters.run_ids),
        tuple([len(_texts(value)) for value in tags.values()]),
        filters.snapshot_id is not None,
        filters.job_name is not None,
        None if filters.statuses is None else len(filters.statuses),
        filters.exclude_subruns,
        tuple(
            [
                (_bound(filters, name, "after") is not None, _bound(filters, name, "before") is not None)
                for name in TIMES
            ]
        ),
    )


def values_of(filters: RunsFilter) -> dict[str, Any]:
    """The values of a filter, by the names of the parameters."""
    values: dict[str, Any] = {}
    if filters.run_ids is not None:
        values |= spread("run_id", [keyed(one) for one in filters.run_ids])
    for number, (key, wanted) in enumerate((filters.tags or {}).items()):
        values[f"tag{number}"] = keyed(key)
        values |= spread(f"tag{number}", _texts(wanted))
    if filters.snapshot_id is not None:
        values["snapshot"] = keyed(filters.snapshot_id)
    if filters.job_name is not None:
        values["job"] = keyed(filters.job_name)
    if filters.statuses is not None:
        values |= spread("status", [str(one) for one in filters.statuses])
    for name in TIMES:
        for side in ("after", "before"):
            if (bound := _bound(filters, name, side)) is not None:
                values[f"{name}_{side}"] = bound
    return values


@lru_cache(512)
def kinds(form: Form) -> tuple[Kind, ...]:
    """What is known of the conditions of a form, in their order."""
    return tuple(_kinds(form))


def _kinds(form: Form) -> Iterator[Kind]:
    if form.run_ids is not None:
        yield Kind(frozenset(), bounded=True)
    for _ in form.tags:
        yield Kind(_CREATION)
    if form.snapshot:
        yield Kind(_CREATION)
    if form.job:
        yield Kind(_BOTH)
    if form.statuses is not None:
        yield Kind(_BOTH)
    if form.alone:
        yield Kind(_CREATION)
    for name, bounds in zip(TIMES, form.times, strict=True):
        if any(bounds):
            yield Kind(frozenset({name}))


def conditions(form: Form, tables: Tables, dialect: sa.Dialect) -> list[Condition]:
    """The conditions of a form, those with the narrowest index first; as many as it has kinds."""
    made = list(_Writer(tables, Written(dialect)).conditions(form))
    assert [frozenset(one.orders) for one in made] == [kind.orders for kind in kinds(form)]
    return made


class _Writer:
    def __init__(self, tables: Tables, written: Written) -> None:
        self._tables = tables
        self._written = written
        self._runs = tables[RUNS].c
        self._by_creation = {"storage_id": self._runs.created_position}
        self._by_both = {**self._by_creation, "updated": self._runs.updated_us}

    def conditions(self, form: Form) -> Iterator[Condition]:
        runs = self._runs
        if form.run_ids is not None:
            named = runs.run_id.in_(several("run_id", form.run_ids)) if form.run_ids else sa.false()
            yield Condition([named], named, named, {}, ("run_id",))
        for number, count in enumerate(form.tags):
            yield self._tagged(f"tag{number}", count)
        if form.snapshot:
            yield self._equal(runs.job_snapshot_id, [given("snapshot")], self._by_creation)
        if form.job:
            yield self._equal(runs.job_name, [given("job")], self._by_both)
        if form.statuses is not None:
            yield self._equal(runs.status, several("status", form.statuses), self._by_both)
        if form.alone:
            alone, follow = runs.backfill_id.is_(None), self._loose(runs.backfill_id).is_(None)
            yield Condition([alone], alone, follow, self._by_creation, ("backfill_id",))
        for name, bounds in zip(TIMES, form.times, strict=True):
            if any(bounds):
                yield self._between(name, bounds)

    def _loose(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        return loose(self._written, column)

    def _equal(
        self, column: sa.Column[str], values: Sequence[Any], orders: Mapping[str, sa.ColumnElement[int]]
    ) -> Condition:
        if not values:
            return Condition([sa.false()], sa.false(), sa.false(), orders, (column.name,))
        arms, follow = [column == one for one in values], self._loose(column).in_(values)
        return Condition(arms, column.in_(values), follow, orders, (column.name,))

    def _tagged(self, name: str, count: int) -> Condition:
        tags = self._tables[TAGS]
        tag, also = tags.alias(name), tags.alias(f"{name}_also")
        orders = {"storage_id": tag.c.created_position}
        values = several(name, count)
        if not values:
            return Condition([sa.false()], sa.false(), sa.false(), orders, ("key", "value"), tag)
        arms = [sa.and_(tag.c.key == given(name), tag.c.value == value) for value in values]
        among = self._loose(also.c.value).in_(values)
        follow = sa.exists().where(also.c.run_id == self._runs.run_id, also.c.key == given(name), among)
        return Condition(
            arms, sa.and_(tag.c.key == given(name), tag.c.value.in_(values)), follow, orders, ("key", "value"), tag
        )

    def _between(self, name: str, bounds: tuple[bool, bool]) -> Condition:
        column = self._runs[f"{name}_us"]

        def within(column: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
            low, high = bounds
            parts = [column > given(f"{name}_after")] if low else []
            return sa.and_(*parts, *([column < given(f"{name}_before")] if high else []))

        return Condition([within(column)], within(column), within(self._loose(column)), {name: column}, (column.name,))


def _texts(values: str | Any) -> list[str]:
    return list(dict.fromkeys(keyed(value) for value in ([values] if isinstance(values, str) else values)))


def _bound(filters: RunsFilter, name: str, side: str) -> int | None:
    bound: int | None = getattr(filters, f"{name}_{side}_us")
    return bound
