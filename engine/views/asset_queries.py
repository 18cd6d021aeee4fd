"""Questions about assets. The view itself: assets.py."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from ..events.asset import AssetMaterialization
from ..events.key import AssetKey
from .assets import ASSETS, EVENTS, PARTITIONS, AssetRow, EventRow, PartitionRow
from .records import AssetEvent, AssetRecord, PartitionRecord
from .table import Table, keyed

Tables = Mapping[Table, sa.Table]


def asset_keys(
    connection: sa.Connection, tables: Tables, *, prefix: AssetKey | None, after: AssetKey | None, limit: int
) -> list[AssetKey]:
    """Up to `limit` keys in order of their text: under `prefix`, past `after`."""
    assets = tables[ASSETS]
    query = sa.select(assets.c.asset_key).where(*_conditions(assets, prefix, after))
    found = connection.execute(query.order_by(assets.c.asset_key).limit(limit))
    return [AssetKey.from_text(text) for (text,) in found]


def asset_records(
    connection: sa.Connection,
    tables: Tables,
    *,
    keys: Collection[AssetKey] | None = None,
    prefix: AssetKey | None = None,
    after: AssetKey | None = None,
    limit: int,
) -> list[AssetRecord]:
    """Up to `limit` assets in order of the text of their keys; those that are not there are left out."""
    assets = tables[ASSETS]
    query = sa.select(assets).where(*_conditions(assets, prefix, after))
    if keys is not None:
        query = query.where(assets.c.asset_key.in_([text_of(key) for key in keys]))
    rows = [AssetRow._make(row) for row in connection.execute(query.order_by(assets.c.asset_key).limit(limit))]
    events = _events(connection, tables, (position for row in rows for position in row[2:6] if position is not None))
    return [
        AssetRecord(
            asset_key=AssetKey.from_text(row.asset_key),
            storage_id=row.last_position or 0,
            materialization=events.get(row.materialized_position or 0),
            observation=events.get(row.observed_position or 0),
            planned=events.get(row.planned_position or 0),
            failed=events.get(row.failed_position or 0),
            wiped_us=row.wiped_us,
        )
        for row in rows
    ]


def has_asset(connection: sa.Connection, tables: Tables, key: AssetKey) -> bool:
    assets = tables[ASSETS]
    query = sa.select(assets.c.asset_key).where(assets.c.asset_key == text_of(key), assets.c.last_position.is_not(None))
    return connection.execute(query).first() is not None


def latest_materialization(
    connection: sa.Connection, tables: Tables, key: AssetKey, partition: str | None
) -> AssetEvent | None:
    """Of the asset, or of one partition of it."""
    asset = text_of(key)
    if partition is None:
        source = tables[ASSETS]
        where = [source.c.asset_key == asset]
    else:
        source = tables[PARTITIONS]
        where = [source.c.asset_key == asset, source.c.partition == keyed(partition)]
    position = connection.execute(sa.select(source.c.materialized_position).where(*where)).scalar()
    return _events(connection, tables, [position]).get(position) if position is not None else None


def materializations(
    connection: sa.Connection, tables: Tables, key: AssetKey, *, before: int | None, limit: int
) -> list[AssetEvent]:
    """Up to `limit` materializations of an asset, the newest first; also those a wipe of partitions hides."""
    events = tables[EVENTS]
    query = sa.select(events).where(events.c.asset_key == text_of(key), events.c.type == AssetMaterialization.KIND.name)
    wiped = sa.select(tables[ASSETS].c.wiped_position).where(tables[ASSETS].c.asset_key == text_of(key))
    query = query.where(events.c.position > sa.func.coalesce(wiped.scalar_subquery(), 0))
    if before is not None:
        query = query.where(events.c.position < before)
    query = query.order_by(events.c.position.desc()).limit(limit)
    return [_event(EventRow._make(row)) for row in connection.execute(query)]


def partitions(
    connection: sa.Connection,
    tables: Tables,
    key: AssetKey,
    *,
    statuses: Collection[str] | None,
    after: str | None,
    limit: int,
) -> list[PartitionRecord]:
    """Up to `limit` partitions of an asset, by name, past `after`."""
    source = tables[PARTITIONS]
    query = sa.select(source).where(source.c.asset_key == text_of(key))
    if statuses is not None:
        query = query.where(source.c.status.in_(list(statuses)))
    if after is not None:
        query = query.where(source.c.partition > keyed(after))
    rows = (PartitionRow._make(row) for row in connection.execute(query.order_by(source.c.partition).limit(limit)))
    return [
        PartitionRecord(
            asset_key=key,
            partition=row.partition,
            status=row.status,
            position=row.position,
            run_id=row.run_id,
            timestamp_us=row.timestamp_us,
            materialized_position=row.materialized_position,
        )
        for row in rows
    ]


def text_of(key: AssetKey) -> str:
    """An asset's key as the tables have it."""
    return keyed(key.to_text())


def _conditions(assets: sa.Table, prefix: AssetKey | None, after: AssetKey | None) -> Iterable[sa.ColumnElement[bool]]:
    column = assets.c.asset_key
    yield assets.c.last_position.is_not(None)
    if prefix is not None:
        text = text_of(prefix)
        # What lies under a key begins with it and a slash; "0" is the character after the slash.
        yield sa.or_(column == text, sa.and_(column >= f"{text}/", column < f"{text}0"))
    if after is not None:
        yield column > text_of(after)


def _events(connection: sa.Connection, tables: Tables, positions: Iterable[int]) -> dict[int, AssetEvent]:
    source = tables[EVENTS]
    query = sa.select(source).where(source.c.position.in_(sorted(set(positions))), source.c.item == 0)
    rows = (EventRow._make(row) for row in connection.execute(query))
    return {row.position: _event(row) for row in rows}


def _event(row: EventRow) -> AssetEvent:
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
        metadata=json.loads(row.metadata) if row.metadata else {},
    )
