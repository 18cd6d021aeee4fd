"""Questions about assets and their partitions. The view itself: assets.py; events of assets: asset_search.py."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from ..errors import UsageError
from ..events.asset import AssetMaterializationPlanned
from ..events.key import AssetKey
from ..events.run import RunStatus
from .arms import Written, ordered, walk
from .assets import ASSETS, EVENTS, FAILED, IN_PROGRESS, PARTITIONS, STATUSES, EventRow
from .question import Ask, Question, Tables, given, padded, several, spread
from .records import AssetEvent, AssetRecord, PartitionRecord, PlannedMaterialization
from .runs import FINISHED, RUNS
from .table import keyed

_PLANNED = AssetMaterializationPlanned.KIND.name
_metadata = msgspec.json.Decoder(dict[str, Any]).decode
_CHUNK = 500  #: keys in one statement
POSITIONS = {
    "ASSET_MATERIALIZATION": "materialized_position",
    "ASSET_FAILED_TO_MATERIALIZE": "failed_position",
    _PLANNED: "planned_position",
}  #: kinds of which the latest is known of each partition -> the column


# -- assets -------------------------------------------------------------------------------------------------------


def asset_keys(
    connection: sa.Connection, tables: Tables, *, prefix: AssetKey | None, after: AssetKey | None, limit: int
) -> list[AssetKey]:
    """Up to `limit` keys in order of their text: under `prefix`, past `after`."""
    arms = _arms(tables, [tables[ASSETS].c.asset_key], prefix, after)
    found = connection.execute(ordered(connection, arms, [("asset_key", True)], limit=limit))
    return [AssetKey.from_text(text) for (text,) in found]


class _Records(NamedTuple):
    """The form of a question for assets."""

    keys: int | None
    prefix: bool
    after: bool


def asset_records(
    ask: Ask,
    *,
    keys: Collection[AssetKey] | None = None,
    prefix: AssetKey | None = None,
    after: AssetKey | None = None,
    limit: int,
) -> list[AssetRecord]:
    """Up to `limit` assets in order of the text of their keys; those that are not there are left out."""
    wanted = None if keys is None else padded(sorted({text_of(key) for key in keys}))
    values: dict[str, Any] = {"most": limit, **spread("key", wanted or [])}
    values |= {} if after is None else {"after": text_of(after)}
    if prefix is not None:
        text = text_of(prefix)
        values |= {"prefix": text, "under": f"{text}/", "past": f"{text}0"}
    rows = ask(
        _records(_Records(None if wanted is None else len(wanted), prefix is not None, after is not None)), **values
    )
    events = _events(ask, [position for row in rows for position in row[2:6] if position is not None])
    return [
        AssetRecord(
            asset_key=AssetKey.from_text(key),
            storage_id=last or 0,
            materialization=events.get(made),
            observation=events.get(seen),
            planned=events.get(planned),
            failed=events.get(failed),
            wiped_us=wiped_us,
        )
        for key, last, made, seen, planned, failed, _, wiped_us in rows
    ]


@lru_cache(64)
def _records(form: _Records) -> Question:
    def build(tables: Tables, dialect: sa.Dialect) -> sa.Select[Any]:
        assets = tables[ASSETS]
        query = sa.select(assets).where(assets.c.last_position.is_not(None))
        if form.keys is not None:
            query = query.where(assets.c.asset_key.in_(several("key", form.keys)) if form.keys else sa.false())
        if form.after:
            query = query.where(assets.c.asset_key > given("after"))
        arms = [query]
        if form.prefix:
            under = assets.c.asset_key >= given("under"), assets.c.asset_key < given("past")
            arms = [query.where(assets.c.asset_key == given("prefix")), query.where(*under)]
        return ordered(Written(dialect), arms, [("asset_key", True)], limit=given("most"))

    return Question("assets", build)


#: a row if anything is known of an asset that was not wiped
HAS = Question(
    "assets",
    lambda t, _: sa.select(t[ASSETS].c.asset_key).where(
        t[ASSETS].c.asset_key == given("asset"), t[ASSETS].c.last_position.is_not(None)
    ),
)


def _latest(source: sa.Table, events: sa.Table, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    joined = source.join(events, sa.and_(events.c.position == source.c.materialized_position, events.c.item == 0))
    return sa.select(events.c.position, events.c.shard, events.c.seq, events.c.body).select_from(joined).where(*where)


#: position, shard, seq and bytes of the latest materialization of an asset
LATEST = Question("assets", lambda t, _: _latest(t[ASSETS], t[EVENTS], t[ASSETS].c.asset_key == given("asset")))
#: the same of one partition
LATEST_OF_PARTITION = Question(
    "assets",
    lambda t, _: _latest(
        t[PARTITIONS],
        t[EVENTS],
        t[PARTITIONS].c.asset_key == given("asset"),
        t[PARTITIONS].c.partition == given("partition"),
    ),
)


def latest_materializations(
    connection: sa.Connection, tables: Tables, keys: Iterable[AssetKey]
) -> dict[AssetKey, EventRow]:
    """The latest materialization of each asset that has one."""
    assets, events = tables[ASSETS], tables[EVENTS]
    wanted = {text_of(key): key for key in keys}
    texts = list(wanted)
    found: dict[AssetKey, EventRow] = {}
    for start in range(0, len(texts), _CHUNK):
        joined = assets.join(events, sa.and_(events.c.position == assets.c.materialized_position, events.c.item == 0))
        some = assets.c.asset_key.in_(texts[start : start + _CHUNK])
        for row in connection.execute(sa.select(events).select_from(joined).where(some)):
            found[wanted[row.asset_key]] = EventRow._make(row)
    return {key: found[key] for key in wanted.values() if key in found}


def latest_plan(
    connection: sa.Connection, tables: Tables, key: AssetKey, partition: str | None
) -> PlannedMaterialization | None:
    """The latest plan to make an asset, or one partition of it."""
    source, events = tables[ASSETS if partition is None else PARTITIONS], tables[EVENTS]
    where = [source.c.asset_key == text_of(key)]
    if partition is not None:
        where.append(source.c.partition == keyed(partition))
    joined = source.join(events, sa.and_(events.c.position == source.c.planned_position, events.c.item == 0))
    row = connection.execute(sa.select(events.c.position, events.c.run_id).select_from(joined).where(*where)).first()
    return None if row is None else PlannedMaterialization(storage_id=row.position, run_id=row.run_id)


# -- partitions ---------------------------------------------------------------------------------------------------


def partitions(
    connection: sa.Connection,
    tables: Tables,
    key: AssetKey,
    *,
    statuses: Collection[str] | None = None,
    names: Collection[str] | None = None,
    after: str | None = None,
    limit: int,
) -> list[PartitionRecord]:
    """Up to `limit` partitions of an asset, by name, past `after`.

    IN_PROGRESS is what runs have planned and not yet answered, and holds only while one of these runs is not over.
    When the last is over, FAILED if the run that planned last failed, else what it was before. Whether a run is over
    is asked of the view of runs, now: an end of a run is purged with it, while the row of a partition outlives it, so
    no row here may depend on one. A deleted run is over, and has not failed.
    """
    if statuses is not None and (isinstance(statuses, str) or not set(statuses) <= set(STATUSES)):
        raise UsageError(f"statuses={statuses!r}: a partition is {', '.join(STATUSES)}")
    source, events = tables[PARTITIONS], tables[EVENTS]
    shown = _status(tables).label("shown")
    joined = source.outerjoin(events, sa.and_(events.c.position == source.c.materialized_position, events.c.item == 0))
    query = sa.select(source, shown, events.c.data_version.label("version")).select_from(joined)
    query = query.where(source.c.asset_key == text_of(key))
    if after is not None:
        query = query.where(source.c.partition > keyed(after))
    if names is not None:
        query = query.where(source.c.partition.in_(sorted({keyed(name) for name in names})))
    arms = [query]
    if statuses is not None:  # what is stored as IN_PROGRESS may show as anything
        stored = sorted({*statuses, IN_PROGRESS})
        arms = [walk(query.where(source.c.status == one), source, "asset_key", "status") for one in stored]
        arms[stored.index(IN_PROGRESS)] = arms[stored.index(IN_PROGRESS)].where(shown.in_(sorted(set(statuses))))
    page = connection.execute(ordered(connection, arms, [("partition", True)], limit=limit))
    return [
        PartitionRecord(
            asset_key=key,
            partition=row.partition,
            status=row.shown,
            position=row.position,
            run_id=row.run_id,
            timestamp_us=row.timestamp_us,
            materialized_position=row.materialized_position,
            data_version=row.version,
        )
        for row in page
    ]


class _Parts(NamedTuple):
    """The form of a question for a column of partitions."""

    column: str
    names: int | None
    above: bool
    after: bool


def by_partition(
    ask: Ask,
    key: AssetKey,
    column: str,
    *,
    names: Collection[str] | None = None,
    above: int | None = None,
    after: str | None = None,
    limit: int,
) -> dict[str, int]:
    """A column with positions of each of up to `limit` partitions that have one, by name."""
    wanted = None if names is None else padded(sorted({keyed(name) for name in names}))
    values: dict[str, Any] = {"asset": text_of(key), "most": limit}
    if wanted is not None:
        values |= spread("name", wanted)
    if above is not None:
        values["above"] = above
    if after is not None:
        values["after"] = keyed(after)
    form = _Parts(column, None if wanted is None else len(wanted), above is not None, after is not None)
    return dict(ask(_parts(form), **values))


@lru_cache(128)
def _parts(form: _Parts) -> Question:
    def build(tables: Tables, _: sa.Dialect) -> sa.Select[Any]:
        source = tables[PARTITIONS].c
        position = source[form.column]
        query = sa.select(source.partition, position).where(source.asset_key == given("asset"), position.is_not(None))
        if form.names is not None:
            query = query.where(source.partition.in_(several("name", form.names)) if form.names else sa.false())
        if form.above:
            query = query.where(position > given("above"))
        if form.after:
            query = query.where(source.partition > given("after"))
        return query.order_by(source.partition).limit(given("most"))

    return Question("assets", build)


def _status(tables: Tables) -> sa.ColumnElement[str]:
    """The status as it shows."""
    source, runs = tables[PARTITIONS], tables[RUNS].alias("planner")
    plans = tables[EVENTS].alias("plan")
    under_way = sa.exists().where(
        plans.c.asset_key == source.c.asset_key,
        plans.c.partition == source.c.partition,
        plans.c.type == _PLANNED,
        plans.c.position >= source.c.since_position,
        sa.or_(
            plans.c.run_id.is_(None),
            sa.exists().where(runs.c.run_id == plans.c.run_id, runs.c.status.not_in(FINISHED)),
        ),
    )
    last = tables[RUNS].alias("last_planner")
    failed = sa.exists().where(last.c.run_id == source.c.run_id, last.c.status == str(RunStatus.FAILURE))
    return sa.case(
        (source.c.status != IN_PROGRESS, source.c.status),
        (under_way, sa.literal(IN_PROGRESS)),
        (failed, sa.literal(FAILED)),
        else_=source.c.settled_status,
    )


# -- small things -------------------------------------------------------------------------------------------------


def text_of(key: AssetKey) -> str:
    """An asset's key as the tables have it."""
    return keyed(key.to_text())


def _arms(
    tables: Tables, columns: Sequence[Any], prefix: AssetKey | None, after: AssetKey | None
) -> list[sa.Select[Any]]:
    column = tables[ASSETS].c.asset_key
    query = sa.select(*columns).where(tables[ASSETS].c.last_position.is_not(None))
    if after is not None:
        query = query.where(column > text_of(after))
    if prefix is None:
        return [query]
    text = text_of(prefix)
    # What lies under a key begins with it and a slash; "0" is the character after the slash.
    return [query.where(column == text), query.where(column >= f"{text}/", column < f"{text}0")]


def _events(ask: Ask, positions: Sequence[int]) -> dict[int | None, AssetEvent]:
    found: dict[int | None, AssetEvent] = {}
    wanted = sorted(set(positions))
    for start in range(0, len(wanted), _CHUNK):
        some = padded(wanted[start : start + _CHUNK])
        for row in ask(_at(len(some)), **spread("position", some)):
            found[row[0]] = asset_event(EventRow._make((*row, None)))
    return found


@lru_cache
def _at(count: int) -> Question:
    def build(tables: Tables, _: sa.Dialect) -> sa.Select[Any]:
        source = tables[EVENTS]
        columns = [column for column in source.c if column.name != "body"]  # which is what most of a row is
        return sa.select(*columns).where(source.c.position.in_(several("position", count)), source.c.item == 0)

    return Question("assets", build)


def asset_event(row: EventRow) -> AssetEvent:
    """A row as users see it."""
    return AssetEvent(
        position=row.position,
        type=row.type,
        asset_key=AssetKey.from_text(row.asset_key),
        partition=row.partition,
        run_id=row.run_id,
        step_key=row.step_key,
        shard=row.shard,
        seq=row.seq,
        timestamp_us=row.timestamp_us,
        code_version=row.code_version,
        data_version=row.data_version,
        metadata=_metadata(row.metadata) if row.metadata else {},
    )
