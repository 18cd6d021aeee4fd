"""The view of assets: every event of an asset, the latest of each kind, and the state of each partition.

`asset_events` has one row an event and partition, with the event as it is stored, so that an answer with whole events
opens no file of the log. `assets` and `asset_partitions` are made from those rows alone, and only from facts that
outlive a purge. So when a run goes and takes its asset facts along (`keep_assets=False`), what was the latest before it
shows again, as in a view that never heard of the run.
Promises: what is not later than a wipe of its asset, or of its partition, does not show.
Not here: questions (asset_queries.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from ..events.asset import (
    AssetFailedToMaterialize,
    AssetMaterialization,
    AssetMaterializationPlanned,
    AssetObservation,
    AssetWiped,
)
from ..events.event import Topic
from ..events.tombstone import RunDeleted
from .projection import Projection, Taken, select_all
from .rows import Rows
from .table import Key, Table, keyed, plain_json, words


class EventRow(NamedTuple):
    """One event of one asset; of several partitions, one row each."""

    position: int
    item: int  #: 0, or the number of the partition within the event
    asset_key: str  #: the parts joined by `/`
    partition: str | None
    type: str
    run_id: str | None  #: None: of no run
    step_key: str | None
    shard: str
    seq: int
    timestamp_us: int
    code_version: str | None
    data_version: str | None
    skipped: int  #: 1 for an asset that was planned and not tried
    metadata: str | None  #: JSON
    body: bytes | None  #: the event as stored; None where `item` is not 0, for a plan may name thousands of partitions


class EventTagRow(NamedTuple):
    """A tag of an event of an asset."""

    position: int
    key: str
    value: str
    asset_key: str


class AssetRow(NamedTuple):
    """One asset: where the latest event of each kind is. Without any, it was wiped and does not show."""

    asset_key: str
    last_position: int | None
    materialized_position: int | None
    observed_position: int | None
    planned_position: int | None
    failed_position: int | None
    wiped_position: int | None
    wiped_us: int | None


class PartitionRow(NamedTuple):
    """One partition of one asset, by its latest event."""

    asset_key: str
    partition: str
    status: str  #: IN_PROGRESS, FAILED, MATERIALIZED or MISSING; who planned it may be over: see asset_queries.py
    position: int
    run_id: str | None
    timestamp_us: int
    materialized_position: int | None
    failed_position: int | None
    planned_position: int | None
    settled_status: str  #: what it is if nothing comes of the plans since `since_position`
    since_position: int | None  #: of the first plan that nothing has answered


EVENTS: Final = Table(
    "asset_events_v2",
    EventRow,
    key=2,
    indexes=(
        ("asset_key", "type", "position"),
        ("asset_key", "partition", "type", "position"),
        ("run_id", "type"),
    ),
    late=(("type", "position"),),
    wide=True,
)
EVENT_TAGS: Final = Table("asset_event_tags_v2", EventTagRow, key=2, late=(("asset_key", "key", "value", "position"),))
ASSETS: Final = Table("assets_v2", AssetRow, key=1, hot=True)
PARTITIONS: Final = Table(
    "asset_partitions_v2",
    PartitionRow,
    key=2,
    late=(("asset_key", "status", "partition"),),
    also_short=("settled_status", "run_id"),
    hot=True,
)

_MADE, _SEEN = AssetMaterialization.KIND.name, AssetObservation.KIND.name
_PLANNED, _FAILED = AssetMaterializationPlanned.KIND.name, AssetFailedToMaterialize.KIND.name
_WIPED = AssetWiped.KIND.name
_KINDS: Final = (_MADE, _SEEN, _PLANNED, _FAILED)  #: that an asset has a latest of
_CHUNK = 100  #: events that are looked through at once
_DROPPED = 500  #: events that are dropped at once

IN_PROGRESS, FAILED, MATERIALIZED, MISSING = STATUSES = ("IN_PROGRESS", "FAILED", "MATERIALIZED", "MISSING")


# -- the fold ---------------------------------------------------------------------------------------------------


def fold(rows: Rows, record: Taken) -> None:
    fact = record.event.fact
    if isinstance(fact, RunDeleted):
        if record.run_id is None and not fact.keep_assets:
            _drop(rows, keyed(fact.run_id))
        return
    events = _rows_of(record)
    for event in events:
        rows.add(EVENTS, event)
    if events and (given := getattr(fact, "tags", None)):
        tags = {keyed(name): keyed(value) for name, value in given.items()}
        for name, value in tags.items():
            rows.add(EVENT_TAGS, EventTagRow(record.position, name, value, events[0].asset_key))
    if isinstance(fact, AssetWiped):
        _wipe(rows, fact, events)
        return
    for event in events:
        key = (event.asset_key,)
        rows.put(ASSETS, with_event(rows.get(ASSETS, key) or _blank(event.asset_key), event))
        if event.partition is not None and event.type != _SEEN:
            partition = rows.get(PARTITIONS, (event.asset_key, event.partition))
            rows.put(PARTITIONS, with_partition_event(partition, event))


def with_event(row: AssetRow, event: EventRow) -> AssetRow:
    """The asset after a later event."""
    key, _, made, seen, planned, failed, wiped, wiped_us = row
    kind, at = event.type, event.position
    if kind == _MADE:
        made = at
    elif kind == _PLANNED:
        planned = at
    elif kind == _SEEN:
        seen = at
    else:
        failed = at
    return AssetRow(key, at, made, seen, planned, failed, wiped, wiped_us)


def with_partition_event(row: PartitionRow | None, event: EventRow) -> PartitionRow:
    """The partition after a later event."""
    _, _, before, _, _, _, made, failed, planned, settled, since = row or _NOTHING
    if event.type == _PLANNED:
        status, planned = IN_PROGRESS, event.position
        since = since if before == IN_PROGRESS else event.position
    else:
        if event.type == _MADE:
            made = event.position
        else:
            failed = event.position
        since = None
        status = settled = partition_status(event, made)
    return PartitionRow(
        event.asset_key,
        event.partition or "",
        status,
        event.position,
        event.run_id,
        event.timestamp_us,
        made,
        failed,
        planned,
        settled,
        since,
    )


_NOTHING = PartitionRow("", "", MISSING, 0, None, 0, None, None, None, MISSING, None)


def partition_status(latest: EventRow, materialized_position: int | None) -> str:
    """What the latest event says of a partition, if it is no plan; one that was skipped is as it was."""
    if latest.type == _FAILED and not latest.skipped:
        return FAILED
    return MISSING if materialized_position is None else MATERIALIZED


def _wipe(rows: Rows, fact: AssetWiped, wipes: list[EventRow]) -> None:
    key = keyed(fact.asset_key.to_text())
    if fact.partitions is None:
        rows.clear(PARTITIONS, asset_key=key)
        rows.put(ASSETS, _blank(key)._replace(wiped_position=wipes[0].position, wiped_us=wipes[0].timestamp_us))
        return
    for wipe in wipes:
        rows.delete(PARTITIONS, (key, wipe.partition))
    _settle_asset(rows, key)


def _drop(rows: Rows, run_id: str) -> None:
    """Take a run's events away, and settle anew what they had a part in."""
    touched: dict[str, dict[str, None]] = {}
    wiped: dict[str, None] = {}
    for asset_key, partition, type in _dropped(rows, run_id):
        partitions = touched.setdefault(asset_key, {})
        if partition is not None:
            partitions[partition] = None
        elif type == _WIPED:
            wiped[asset_key] = None
    for asset_key, partitions in touched.items():
        _settle_asset(rows, asset_key)
        for partition in partitions:
            _settle_partition(rows, asset_key, partition)
        if asset_key in wiped:  # every partition that the wipe had hidden may show again
            for partition in _partitions_of(rows, asset_key):
                _settle_partition(rows, asset_key, partition)


def _dropped(rows: Rows, run_id: str) -> Iterator[tuple[str, str | None, str]]:
    """Take away a run's events with their tags, a bounded number at a time; the asset, partition and type of each."""
    columns = ("position", "item", "asset_key", "partition", "type")
    while True:
        # In the order of the index; by the key, each time all of the run's events would be read and sorted.
        found = rows.select(EVENTS, run_id=run_id, columns=columns, order=("run_id", "type"), limit=_DROPPED)
        positions = list(dict.fromkeys(event[0] for event in found))
        for tag in rows.select(EVENT_TAGS, columns=("position", "key"), among={"position": positions}) if found else ():
            rows.delete(EVENT_TAGS, tag)
        for position, item, *told in found:
            rows.delete(EVENTS, (position, item))
            yield told[0], told[1], told[2]
        if len(found) < _DROPPED:
            return


# -- made from asset_events alone -------------------------------------------------------------------------------


def _settle_asset(rows: Rows, asset_key: str) -> None:
    """Set the row of an asset to what its events say."""
    row = _blank(asset_key)
    wiped = _latest_wipe(rows, asset_key)
    if wiped is not None:
        row = row._replace(wiped_position=wiped.position, wiped_us=wiped.timestamp_us)
    for kind in _KINDS:
        latest = _latest_showing(rows, asset_key, kind, wiped.position if wiped else 0)
        if latest is not None:
            last = row.last_position or 0
            row = with_event(row, latest)
            row = row._replace(last_position=max(last, latest.position))
    if row == _blank(asset_key):
        rows.delete(ASSETS, (asset_key,))
    else:
        rows.put(ASSETS, row)


def _settle_partition(rows: Rows, asset_key: str, partition: str) -> None:
    """Set the row of a partition to what its events say."""
    whole, own = _latest_wipe(rows, asset_key), _latest_wipe(rows, asset_key, partition)
    above = max(whole.position if whole else 0, own.position if own else 0)
    latest = [
        event
        for kind in (_MADE, _PLANNED, _FAILED)
        for event in rows.select(
            EVENTS,
            asset_key=asset_key,
            partition=partition,
            type=kind,
            above={"position": above},
            newest_first=True,
            limit=1,
        )
    ]
    row = None
    for event in sorted(latest, key=lambda event: event.position):
        row = with_partition_event(row, event)
    if row is None:
        rows.delete(PARTITIONS, (asset_key, partition))
        return
    if row.status == IN_PROGRESS:
        answered = max(above, row.materialized_position or 0, row.failed_position or 0)
        of_kind: dict[str, Any] = {"asset_key": asset_key, "partition": partition, "type": _PLANNED}
        (first,) = rows.select(EVENTS, above={"position": answered}, limit=1, **of_kind)
        row = row._replace(since_position=first.position)
    rows.put(PARTITIONS, row)


def _latest_wipe(rows: Rows, asset_key: str, partition: str | None = None) -> EventRow | None:
    found = rows.select(EVENTS, asset_key=asset_key, partition=partition, type=_WIPED, newest_first=True, limit=1)
    return found[0] if found else None


def _latest_showing(rows: Rows, asset_key: str, kind: str, above: int) -> EventRow | None:
    """The latest event of a kind that no wipe hides."""
    of_kind: dict[str, Any] = {"asset_key": asset_key, "type": kind, "columns": ("position", "item", "partition")}
    below: int | None = None
    while True:
        found: list[tuple[int, int, str | None]] = rows.select(
            EVENTS,
            above={"position": above},
            below={"position": below} if below is not None else None,
            newest_first=True,
            limit=_CHUNK,
            **of_kind,
        )
        if len(found) == _CHUNK:  # which may have ended inside an event of several partitions
            position, item, _ = found[-1]
            found += rows.select(EVENTS, position=position, below={"item": item}, **of_kind)
        for position, item, partition in found:
            wipe = None if partition is None else _latest_wipe(rows, asset_key, partition)
            if wipe is None or wipe.position < position:
                event: EventRow = rows.get(EVENTS, (position, item))
                return event
        if len(found) < _CHUNK:
            return None
        below = found[-1][0]


def _partitions_of(rows: Rows, asset_key: str) -> Iterator[str]:
    """Every partition of which there is an event, and the one with the empty name in any case."""
    partition = ""
    while True:
        yield partition
        # From one name to the next in the index, whatever the number of events between them.
        found = rows.select(
            EVENTS,
            asset_key=asset_key,
            columns=("partition",),
            order=("partition",),
            above={"partition": partition},
            limit=1,
        )
        if not found:
            return
        ((partition,),) = found


# -- from events to rows ----------------------------------------------------------------------------------------


def _rows_of(record: Taken) -> list[EventRow]:
    event = record.event
    fact: Any = event.fact
    asset_key = keyed(fact.asset_key.to_text())
    given = getattr(fact, "metadata", None)
    metadata = plain_json(given) if given else None
    return [
        EventRow(
            record.position,
            item,
            asset_key,
            None if partition is None else keyed(partition),
            event.type,
            record.run_id,
            words(event.step_key),
            record.shard,
            record.seq,
            event.timestamp_us,
            words(getattr(fact, "code_version", None)),
            words(getattr(fact, "data_version", None)),
            int(getattr(fact, "skipped", False)),
            metadata,
            record.body if item == 0 else None,
        )
        for item, partition in enumerate(_partitions_in(fact))
    ]


def _partitions_in(fact: Any) -> list[str | None]:
    """The partitions an event is about, each once; None for the asset as a whole."""
    if isinstance(fact, AssetWiped):
        return [None] if fact.partitions is None else list(dict.fromkeys(fact.partitions))
    if isinstance(fact, AssetMaterializationPlanned) and fact.partitions:
        one = [] if fact.partition is None else [fact.partition]
        return list(dict.fromkeys([*one, *fact.partitions]))
    return [fact.partition]


def _blank(asset_key: str) -> AssetRow:
    return AssetRow(asset_key, None, None, None, None, None, None, None)


def keys(record: Taken) -> Iterator[tuple[Table, Key]]:
    fact: Any = record.event.fact
    if isinstance(fact, RunDeleted):
        return
    asset_key = keyed(fact.asset_key.to_text())
    yield ASSETS, (asset_key,)
    for partition in _partitions_in(fact):
        if partition is not None and not isinstance(fact, AssetObservation):
            yield PARTITIONS, (asset_key, keyed(partition))


_LATEST = """
SELECT {text:a.asset_key}, m.position AS materialized_position, {text:m.run_id}, {text:m.partition},
  m.timestamp_us AS materialized_us, {text:m.code_version}, {text:m.data_version}, {text:m.metadata},
  a.observed_position, a.planned_position, a.failed_position, a.wiped_us
FROM {prefix}assets_v2 a
LEFT JOIN {prefix}asset_events_v2 m ON m.position = a.materialized_position AND m.item = 0
WHERE a.last_position IS NOT NULL
"""

PROJECTION: Final = Projection(
    name="assets",
    version=2,
    topics=Topic.ASSET | Topic.PARTITION,
    types=frozenset((*_KINDS, _WIPED, RunDeleted.KIND.name)),
    tables=(EVENTS, EVENT_TAGS, ASSETS, PARTITIONS),
    keys=keys,
    fold=fold,
    people={
        "assets": _LATEST,
        "asset_partitions": select_all(PARTITIONS),
        "asset_events": select_all(EVENTS, but=("body",)),
        "asset_event_tags": select_all(EVENT_TAGS),
    },
)
