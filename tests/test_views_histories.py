"""P9: whatever happened, in whatever order, with runs deleted in between, a view built anew is the live one, row for
row and digest for digest. Histories are made by hypothesis; `apply` plays one, `dump` reads all tables."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings, strategies as st

from foldlog import AssetKey, Event, Instance, RunStatus, events
from foldlog.engine.errors import ConflictError, ShardPurged
from foldlog.engine.events import AssetMaterialization, AssetWiped, Opaque, Retention, RunCreated, Topic
from foldlog.engine.events.event import RETENTION_MASK
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import Stored
from foldlog.engine.views import rebuild
from foldlog.engine.views.database import Database
from foldlog.engine.views.filters import STATUS_TYPES
from foldlog.engine.views.projector import Projector
from foldlog.engine.views.registry import PROJECTIONS
from foldlog.engine.views.rows import AtHand
from foldlog.engine.views.store import Store
from foldlog.serdes import Codec

RUNS = ("r0", "r1")
START_US = 1_700_000_000_000_000

# -- histories --------------------------------------------------------------------------------------------------

texts = st.sampled_from(["a", "b", "ünï", "x\x00y", "z" * 700])
keys = st.sampled_from([AssetKey("a"), AssetKey(("a", "b")), AssetKey("a/b")])
partitions = st.none() | st.sampled_from(["p0", "p1"])
metadata = st.dictionaries(texts, st.none() | st.booleans() | st.integers(-5, 2**63) | st.floats() | texts, max_size=2)
errors = st.none() | st.builds(events.ErrorInfo, class_name=texts, message=texts)
attempts = st.integers(1, 3) | st.just(2**64 - 1)
tag_keys = texts | st.sampled_from(["foldlog/backfill", "dagster/backfill"])
tags = st.dictionaries(tag_keys, texts, max_size=2)

run_facts = st.one_of(
    st.builds(
        RunCreated,
        job_name=texts,
        tags=tags,
        status=st.sampled_from([RunStatus.NOT_STARTED, RunStatus.MANAGED]),
        parent_run_id=st.none() | st.sampled_from(RUNS),
        run_config=st.dictionaries(texts, st.integers(0, 2), max_size=1),
        job_snapshot_id=st.none() | texts,
    ),
    st.builds(events.RunTagsAdded, tags=tags),
    st.builds(events.RunTagsRemoved, keys=st.tuples(tag_keys)),
    st.builds(events.RunFailed, error=errors, reason=st.none() | texts),
    *(st.just(getattr(events, name)()) for name in ("RunEnqueued", "RunStarting", "RunStarted", "RunResumed")),
    *(st.just(getattr(events, name)()) for name in ("RunSuspended", "RunCanceling", "RunSucceeded", "RunCanceled")),
)
step_facts = st.one_of(
    st.builds(events.StepStarted, attempt=attempts),
    st.builds(events.StepRestarted, attempt=attempts),
    st.builds(events.StepUpForRetry, attempt=attempts, error=errors),
    st.builds(events.StepSucceeded, attempt=attempts),
    st.builds(events.StepFailed, attempt=attempts, error=errors),
    st.just(events.StepSkipped()),
    st.builds(events.StepExpectationResult, success=st.booleans()),
)
asset_facts = st.one_of(
    st.builds(AssetMaterialization, asset_key=keys, partition=partitions, metadata=metadata, tags=tags),
    st.builds(events.AssetObservation, asset_key=keys, partition=partitions),
    st.builds(
        events.AssetMaterializationPlanned,
        asset_key=keys,
        partition=partitions,
        partitions=st.lists(st.sampled_from(["p0", "p1"]), max_size=3).map(tuple),
    ),
    st.builds(events.AssetFailedToMaterialize, asset_key=keys, partition=partitions, skipped=st.booleans()),
    st.builds(
        AssetWiped,
        asset_key=keys,
        partitions=st.none() | st.lists(st.sampled_from(["p0", "p1"]), max_size=2).map(tuple),
    ),
    st.builds(events.AssetCheckEvaluation, asset_key=keys, check_name=texts, passed=st.booleans()),
    st.builds(events.AssetCheckEvaluationPlanned, asset_key=keys, check_name=texts),
)
names = st.sampled_from(["n", "m"])
few_names = st.lists(st.sampled_from(["n", "m", "x\x00y"]), max_size=3).map(tuple)
numbers = st.integers(-2, 3) | st.just(2**63)
run_ids = st.sampled_from(RUNS)
step_keys = st.sampled_from("st")
locations = st.none() | st.just("loc")
cursors = st.none() | texts
tick = {
    "tick_id": st.sampled_from(["t0", "t1", "t2"]),
    "instigator": st.just("n") | names,
    "instigator_type": st.sampled_from(["SENSOR", "SENSOR", "SCHEDULE", "AUTOMATION"]),
    "scheduled_us": st.none() | numbers,
}
asked = st.lists(st.builds(events.RunRequested, run_id=run_ids, run_key=st.none() | names), max_size=2).map(tuple)
tick_facts = st.one_of(
    st.builds(events.TickStarted, **tick, attempt=attempts),
    st.builds(events.TickSkipped, **tick, reason=st.none() | texts),
    st.builds(events.TickRequested, **tick, runs=asked, cursor=cursors),
    st.builds(events.TickSucceeded, **tick, run_ids=few_names, run_keys=few_names),
    st.builds(events.TickFailed, **tick, failure_count=numbers, error=errors, cursor=cursors),
)
schedule_facts = st.one_of(
    st.builds(events.ScheduleStarted, schedule=names, code_location=locations, cron=st.none() | texts),
    st.builds(events.ScheduleStopped, schedule=names, code_location=locations, reason=st.none() | texts),
    st.builds(events.ScheduleReset, schedule=names, code_location=locations),
    st.builds(events.ScheduleAdvanced, schedule=names, through_us=numbers),
    st.builds(events.SensorStarted, sensor=names, minimum_interval_us=st.none() | numbers, automatic=st.booleans()),
    st.builds(events.SensorStopped, sensor=names),
    st.builds(events.SensorReset, sensor=names),
    st.builds(events.SensorCursorSet, sensor=names, cursor=cursors),
)
pool_facts = st.one_of(
    st.builds(events.PoolLimitSet, pool=names, limit=numbers, is_default=st.booleans()),
    st.builds(events.PoolDeleted, pool=names),
    st.builds(events.PoolSlotRequested, pool=names, run_id=run_ids, step_key=step_keys, priority=numbers),
    st.builds(events.PoolSlotClaimed, pool=names, run_id=run_ids, step_key=step_keys),
    st.builds(events.PoolSlotFreed, run_id=run_ids, step_key=st.none() | step_keys, pool=st.none() | names),
)
queue_facts = st.one_of(
    st.builds(events.RunAdmitted, run_id=run_ids, token=st.none() | numbers, attempt=attempts),
    st.builds(events.RunReleased, run_id=run_ids),
    st.builds(events.CodeLocationPaused, code_location=names, until_us=st.none() | numbers, reason=st.none() | texts),
    st.builds(events.CodeLocationResumed, code_location=names),
)
backfill_facts = st.one_of(
    st.builds(events.BackfillRequested, backfill_id=names, partitions=few_names, tags=st.just({"a": "b"})),
    st.builds(events.BackfillProgressed, backfill_id=names, partitions=few_names, run_ids=few_names, cursor=cursors),
    st.builds(events.BackfillCanceling, backfill_id=names),
    st.builds(events.BackfillCanceled, backfill_id=names),
    st.builds(events.BackfillCompleted, backfill_id=names, failed_partitions=few_names),
    st.builds(events.BackfillFailed, backfill_id=names, error=errors),
)
other_facts = st.one_of(
    st.builds(events.PartitionsAdded, partitions_def=names, keys=few_names),
    st.builds(events.PartitionsDeleted, partitions_def=names, keys=few_names),
    st.builds(events.JobSnapshot, snapshot_id=names, job_name=texts),
    st.builds(events.PlanSnapshot, snapshot_id=names, job_snapshot_id=st.none() | names),
    st.builds(events.ValuesSet, values=st.dictionaries(names, cursors, max_size=2)),
)
orchestration_facts = st.one_of(
    tick_facts, tick_facts, schedule_facts, pool_facts, queue_facts, backfill_facts, other_facts
)
#: of each shard what belongs there; and all of it where none belongs, which must do no harm
told_in_shards = st.one_of(
    st.tuples(st.just("@ticks"), st.lists(tick_facts | schedule_facts, min_size=1, max_size=4)),
    st.tuples(st.just("@ticks"), st.lists(tick_facts, min_size=1, max_size=4)),
    st.tuples(st.just("@pools"), st.lists(pool_facts, min_size=1, max_size=4)),
    st.tuples(st.just("@queue"), st.lists(queue_facts, min_size=1, max_size=3)),
    st.tuples(st.just("@instance"), st.lists(backfill_facts | other_facts, min_size=1, max_size=3)),
    st.tuples(st.sampled_from(["@other", *RUNS]), st.lists(orchestration_facts, min_size=1, max_size=3)),
)
#: in a run's shard, where they may go with the run, so nobody may obey them
tombstones = st.one_of(
    st.builds(events.RunDeleted, run_id=run_ids, keep_assets=st.booleans()),
    st.builds(
        events.HistoryTrimmed,
        retention=st.sampled_from([int(Retention.LOG), int(Retention.TICK)]),
        through_position=st.integers(1, 100),
    ),
)
facts = st.one_of(run_facts, step_facts, asset_facts, st.builds(events.LogMessage, text=texts), tombstones)
operations = st.one_of(
    st.tuples(st.just("append"), st.sampled_from(RUNS), st.lists(facts, min_size=1, max_size=4), st.sampled_from("st")),
    st.tuples(st.just("runless"), asset_facts),
    st.tuples(st.just("append"), st.sampled_from(RUNS), st.lists(asset_facts, min_size=1, max_size=3), st.just("s")),
    st.tuples(st.just("delete"), st.sampled_from(RUNS), st.booleans(), st.booleans()),
    st.tuples(st.just("project"), st.sampled_from([1, 2, 1000])),
    st.tuples(st.just("unknown"), st.sampled_from([0, int(Topic.LOG)])),
    st.tuples(st.just("told"), told_in_shards, st.just(0)),
)
operations |= st.tuples(st.just("free"), st.floats(0, 1), st.none(), st.just(Retention.LOG))
operations |= st.tuples(st.just("free"), st.floats(0, 1), st.just("@ticks"), st.just(Retention.TICK))
histories = st.lists(operations, min_size=3, max_size=25)
orchestration = st.one_of(
    *(st.tuples(st.just("told"), told_in_shards, st.integers(0, 3)) for _ in range(4)),
    st.tuples(
        st.just("append"), run_ids, st.lists(run_facts | step_facts, min_size=1, max_size=3), st.sampled_from("st")
    ),
    st.tuples(st.just("delete"), run_ids, st.booleans(), st.booleans()),
    st.tuples(st.just("project"), st.sampled_from([1, 2, 1000])),
    st.tuples(
        st.just("trim"),
        st.sampled_from([0.0, 0.5, 0.9, 1.0, 2.0]),
        st.sampled_from([None, None, "@ticks", "@pools", "@other", *RUNS]),
        st.sampled_from([Retention.TICK, Retention.TICK, Retention.LOG]),
    ),
)
orchestration |= st.tuples(
    st.just("free"), st.floats(0, 1), st.sampled_from(["@ticks", "@pools", "@other"]), st.just(Retention.TICK)
)
orchestrations = st.lists(orchestration, min_size=3, max_size=25)


def unknown(topics: int) -> Event[Any]:
    """An event of a kind that this process does not know."""
    (record,), _ = Codec().encode([Event(events.EngineEvent(text="x"), START_US)])
    return Event(Opaque(name="OF_THE_FUTURE", version=1, body=record.body, topics=topics), START_US)


def apply(instance: Instance, history: list[tuple[Any, ...]], *, live: Store) -> None:
    """Play a history; `live` is projected where it says so, in pages of the size it says."""
    clock = START_US
    for operation in history:
        clock += 1000
        match operation:
            case ("append", run_id, some, step_key):
                with contextlib.suppress(ShardPurged):
                    instance.log.append(run_id, [Event(fact, clock, step_key=step_key) for fact in some])
            case ("runless", fact):
                instance.log.append("@asset-events/0", [Event(fact, clock)])
            case ("delete", run_id, keep_assets, seen_before):
                if seen_before:
                    Projector(instance.log, live).catch_up()
                if instance.log.backend.find_shard(run_id) is not None:
                    instance.delete_run(run_id, keep_assets=keep_assets)
            case ("project", page):
                Projector(instance.log, live, page=page).catch_up()
            case ("told", (shard, some), late):  # by a clock that goes behind
                with contextlib.suppress(ShardPurged):
                    instance.log.append(shard, [Event(fact, clock - late * 5000) for fact in some])
            case ("trim", share, shard, retention):
                trim(instance, through=int(instance.log.catch_up().position * share), shard=shard, retention=retention)
            case ("free", share, shard, retention):  # the same, and it is gone
                head = instance.log.catch_up().position
                if head and (shard is None or instance.log.backend.find_shard(shard) is not None):
                    instance.log.trim(retention, max(1, int(head * share)), shard=shard)
            case ("unknown", topics):
                instance.log.append("@instance", [unknown(topics)])


def trim(instance: Instance, *, through: int, shard: str | None = None, retention: Retention = Retention.TICK) -> None:
    """Say that facts of a class went by age; `Trimmed` shows the log as it is then."""
    fact = events.HistoryTrimmed(retention=int(retention), through_position=through, shard=shard)
    instance.log.append("@instance", [Event(fact, START_US)])


class Trimmed:
    """A log without the facts that its own HISTORY_TRIMMED say are gone: their places are empty, as after a purge."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._trims = [
            (record.event.fact, record.position or 0)
            for record in log.read(limit=10_000, types={"HISTORY_TRIMMED"}).events
            if record.run_id is None
        ]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read_raw(self, **more: Any) -> Any:
        page = self._log.read_raw(**more)
        return page._replace(stored=[one._replace(record=None) if self._is_gone(one) else one for one in page.stored])

    def _is_gone(self, one: Stored) -> bool:
        return one.record is not None and any(
            one.record.topics & RETENTION_MASK == fact.retention
            and (one.position or 0) <= min(fact.through_position, position)
            and fact.shard in (None, one.shard)
            for fact, position in self._trims
        )


@contextlib.contextmanager
def in_memory() -> Iterator[Store]:
    store = Store(Database.in_memory(), PROJECTIONS)
    yield store
    store.close()


def dump(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, in order of the key; and the digests that the checkpoints claim."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with store.database.read() as connection:
        for table, source in store.tables.items():
            order = [source.c[name] for name in table.columns[: table.key]]
            found[table.name] = [tuple(row) for row in connection.execute(sa.select(source).order_by(*order))]
        for name, at in store.checkpoints(connection).items():
            found[f"{name} checkpoint"] = [(at.position, at.cursor, sorted(at.digests.items()), at.stopped)]
    return found


def built(log: EventLog | Trimmed, *, page: int) -> dict[str, list[tuple[Any, ...]]]:
    """All tables, folded from the start in pages of this size."""
    store = scratch()
    with store.database.write() as connection:
        for projection in PROJECTIONS:
            store.empty(connection, projection, store.checkpoints(connection)[projection.name])
    Projector(log, store, page=page).catch_up()
    return _without_empty(dump(store))


@cache
def scratch() -> Store:
    """Tables that are emptied before each use: to make them anew takes longer than to fold a history."""
    return Store(Database.in_memory(), PROJECTIONS)


def _without_empty(found: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    """A table that was touched and is empty again has a digest of nothing, another one has none yet."""
    for name in [name for name in found if name.endswith(" checkpoint")]:
        ((position, cursor, digests, stopped),) = found[name]
        found[name] = [(position, cursor, [one for one in digests if one[1] != (0, 0)], stopped)]
    return found


KINDS = (
    "ASSET_MATERIALIZATION",
    "ASSET_OBSERVATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_FAILED_TO_MATERIALIZE",
)


def told_of_assets(log: EventLog) -> tuple[set[tuple[Any, ...]], set[tuple[Any, ...]]]:
    """What `assets` and `asset_partitions` must hold, found the plain way: all that the log still has, at once."""
    told: dict[str, list[tuple[int, str, str | None, Any]]] = {}
    for record in log.read(limit=10_000).events:
        fact = record.event.fact
        if record.event.type in (*KINDS, "ASSET_WIPED"):
            among = getattr(fact, "partitions", ()) or ()
            own = getattr(fact, "partition", None)
            names = {own, *among} - {None} if among else {own}
            if record.event.type == "ASSET_WIPED":
                names = {None} if fact.partitions is None else set(among)
            of_asset = told.setdefault(fact.asset_key.to_text(), [])
            of_asset += [(record.position or 0, record.event.type, name, fact) for name in names]
    assets, parts = set(), set()
    for key, events_of in told.items():
        wiped = {
            name: max(e[0] for e in events_of if e[1:3] == ("ASSET_WIPED", name))
            for name in {e[2] for e in events_of if e[1] == "ASSET_WIPED"}
        }
        seen = [e for e in events_of if e[1] != "ASSET_WIPED" and e[0] > max(wiped.get(None, 0), wiped.get(e[2], 0))]
        latest = [max((e[0] for e in seen if e[1] == kind), default=None) for kind in KINDS]
        if seen or None in wiped:
            assets.add((key, max((e[0] for e in seen), default=None), *latest, wiped.get(None)))
        for name in {e[2] for e in seen if e[1] != "ASSET_OBSERVATION"} - {None}:
            last = max(e[0] for e in seen if e[2] == name and e[1] != "ASSET_OBSERVATION")
            made, planned, failed = (
                max((e[0] for e in seen if e[2] == name and e[1] == kind), default=None)
                for kind in (KINDS[0], KINDS[2], KINDS[3])
            )
            answered = max(made or 0, failed or 0)
            settled = "MISSING" if made is None else "MATERIALIZED"
            if answered and answered == failed:
                tried = next(e[3] for e in seen if e[:2] == (failed, KINDS[3]) and e[2] == name)
                settled = settled if tried.skipped else "FAILED"
            open_plans = [e[0] for e in seen if e[1:3] == (KINDS[2], name) and e[0] > answered]
            status = "IN_PROGRESS" if open_plans else settled
            since = min(open_plans, default=None)
            parts.add((key, name, status, last, made, failed, planned, settled, since))
    return assets, parts


def told_of_changes(log: EventLog) -> set[tuple[int, str]]:
    """What `run_changes` must hold: every event of the log that may change a run's status, with its run."""
    return {
        (record.position or 0, record.shard)
        for record in log.read(limit=10_000).events
        if record.run_id is not None and record.event.type in STATUS_TYPES
    }


# -- tests ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
@settings(max_examples=30)
@given(orchestrations)
def test_live_views_of_orchestration_are_the_rebuilt_ones(history: list[tuple[Any, ...]]) -> None:
    with Instance.ephemeral() as instance:
        agrees(instance, history, pages=(1, 7, 1000))


@pytest.mark.timeout(300)
@settings(max_examples=30)
@given(histories)
def test_live_views_are_the_rebuilt_ones(history: list[tuple[Any, ...]]) -> None:
    with Instance.ephemeral() as instance:
        live = instance.views.store
        apply(instance, history, live=live)
        instance.get_run_records()
        expected = _without_empty(dump(live))
        assets, parts = told_of_assets(instance.log)
        assert {row[:7] for row in expected["assets_v2"]} == assets
        assert {(*row[:4], *row[6:]) for row in expected["asset_partitions_v2"]} == parts
        assert {row[:2] for row in expected["run_changes_v2"]} == told_of_changes(instance.log)
        for page in (1, 7, 1000):
            assert built(instance.log, page=page) == expected
        assert instance.verify().problems() == []
        instance.rebuild()
        generations = {at.generation for at in live.checkpoints().values()}
        assert generations == {2}
        assert _without_empty(dump(live)) == expected


@pytest.mark.parametrize("layout", ["sharded", "consolidated"])
def test_they_are_on_sqlite_as_well(layout: str) -> None:
    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
    @given(histories | orchestrations)
    def check(history: list[tuple[Any, ...]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            with Instance.from_url(f"sqlite:///{folder}/h?layout={layout}&durability=process") as instance:
                agrees(instance, history)

    check()


def test_they_are_on_postgresql_as_well(postgres_url: str) -> None:
    schemas = iter(range(1000))

    @settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow])
    @given(histories | orchestrations)
    def check(history: list[tuple[Any, ...]]) -> None:
        mark = "&" if "?" in postgres_url else "?"
        with Instance.from_url(f"{postgres_url}{mark}schema=s{next(schemas)}") as instance:
            agrees(instance, history)

    check()


def test_they_are_in_mysql_as_well(mysql_url: str) -> None:
    @settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
    @given(histories | orchestrations)
    def check(history: list[tuple[Any, ...]]) -> None:
        with Instance.from_url("memory://", views=mysql_url) as instance:
            agrees(instance, history)
            dropped = instance.views.store.database
            with dropped.write() as connection:
                for table in (*sa.inspect(connection).get_table_names(), *sa.inspect(connection).get_view_names()):
                    kind = "TABLE" if table in sa.inspect(connection).get_table_names() else "VIEW"
                    connection.execute(sa.text(f"DROP {kind} {table}"))

    check()


@settings(max_examples=20)
@given(histories)
def test_a_rebuild_that_lets_rows_go_is_the_same(history: list[tuple[Any, ...]]) -> None:
    with Instance.ephemeral() as instance, pytest.MonkeyPatch.context() as patch:
        patch.setattr(AtHand, "MOST", 1)  # it keeps the rows of some tables from page to page, up to a bound
        patch.setattr(rebuild, "PAGE", 3)
        agrees(instance, history)


def agrees(instance: Instance, history: list[tuple[Any, ...]], *, pages: tuple[int, ...] = (7,)) -> None:
    live = instance.views.store
    apply(instance, history, live=live)
    instance.get_run_records()
    expected = _without_empty(dump(live))
    for page in pages:
        assert built(Trimmed(instance.log), page=page) == expected
    assert built(instance.log, page=7) == expected
    assert instance.verify().problems() == []
    instance.rebuild()
    assert _without_empty(dump(live)) == expected
    assert instance.verify().ok


_DIGESTS = """
import sys
from foldlog import Instance
for url in sys.argv[1:]:
    with Instance.from_url(url, views="memory://") as instance:
        instance.views.projector.catch_up()
        at = instance.views.store.checkpoints()
        print(sorted((name, sorted(one.digests.items())) for name, one in at.items()))
"""


def test_another_order_of_sets_changes_nothing(tmp_path: Path) -> None:
    """The same histories, folded by processes whose sets and dicts of text have other orders."""
    urls: list[str] = []

    @settings(max_examples=8, database=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(histories, orchestrations)
    def record(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> None:
        urls.append(f"sqlite:///{tmp_path}/{len(urls)}?durability=process")
        with Instance.from_url(urls[-1]) as instance:
            apply(instance, [*one, *other], live=instance.views.store)

    record()
    answers = {
        subprocess.run(
            [sys.executable, "-c", _DIGESTS, *urls],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(answers) == 1
    assert answers.pop().count("\n") == len(urls) >= 8


# -- what hypothesis found, and what it might forget ---------------------------------------------------------------


def made(key: str, partition: str | None = None, **more: Any) -> AssetMaterialization:
    return AssetMaterialization(asset_key=AssetKey(key), partition=partition, **more)


def test_a_deleted_run_gives_way_to_what_was_before(tmp_path: Path) -> None:
    with Instance.from_url(f"sqlite:///{tmp_path}/h") as instance:
        for run_id in ("old", "new"):
            with instance.run("job", run_id=run_id) as run:
                run.materialize("a", partition="p", metadata={"by": run_id})
        assert instance.get_asset_records()[0].materialization.metadata == {"by": "new"}
        instance.delete_run("new", keep_assets=True)
        assert instance.get_run_by_id("new") is None
        assert instance.get_asset_records()[0].materialization.metadata == {"by": "new"}
        instance.delete_run("new", keep_assets=False)  # the second time, with the assets
        (asset,) = instance.get_asset_records()
        assert asset.materialization.metadata == {"by": "old"}
        (partition,) = instance.get_asset_partitions("a")
        assert (partition.run_id, partition.status) == ("old", "MATERIALIZED")
        instance.delete_run("old", keep_assets=False)
        assert instance.get_asset_keys() == []
        assert instance.get_asset_partitions("a") == []
        assert instance.verify().ok
        with pytest.raises(ConflictError):
            instance.run("job", run_id="old").__enter__()


def test_a_tombstone_in_the_shard_of_a_run_is_not_obeyed() -> None:
    with Instance.ephemeral() as instance:
        key = AssetKey("a")
        told = (
            events.RunCreated(job_name="j", tags={"k": "v"}),
            events.StepStarted(),
            events.StepFailed(),
            made("a", "p"),
            events.AssetCheckEvaluation(asset_key=key, check_name="c", passed=True),
        )
        instance.log.append("y", [Event.now(fact, step_key="s") for fact in told])
        before = shown(instance, "y")
        assert all(before.values())
        created = Event.now(events.RunCreated(job_name="j"))
        instance.log.append("x", [created, Event.now(events.RunDeleted(run_id="y", keep_assets=False))])
        assert shown(instance, "y") == before
        head = instance.log.catch_up().position
        assert instance.run_at("x", head).record.run.run_id == "x"
        instance.delete_run("x", keep_assets=False)
        assert instance.verify().problems() == []
        assert shown(instance, "y") == before


def shown(instance: Instance, run_id: str) -> dict[str, list[tuple[Any, ...]]]:
    """What the views have of a run, by table."""
    instance.get_run_records()
    store = instance.views.store
    with store.database.read() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(sa.select(source).where(source.c.run_id == run_id))]
            for table, source in store.tables.items()
            if table.name.startswith(("runs_", "run_tags", "run_births", "step", "asset_ev", "asset_ch", "rare"))
            and "run_id" in table.columns
        }


def test_a_wipe_that_goes_with_its_run_shows_the_asset_again() -> None:
    with Instance.ephemeral() as instance:
        instance.report_runless_asset_event(made("a", "p0"))
        instance.log.append("r", [Event.now(AssetWiped(asset_key=AssetKey("a")))])
        assert not instance.has_asset_key("a")
        instance.delete_run("r", keep_assets=False)
        assert instance.has_asset_key("a")
        assert [p.partition for p in instance.get_asset_partitions("a")] == ["p0"]
        assert instance.verify().ok


def test_what_a_wipe_of_its_partition_hid_stays_hidden_when_a_run_goes() -> None:
    with Instance.ephemeral() as instance:
        instance.report_runless_asset_event(made("a", "p"))
        instance.report_runless_asset_event(AssetWiped(asset_key=AssetKey("a"), partitions=("p",)))
        instance.log.append("r", [Event.now(made("a", "p"))])
        assert [p.partition for p in instance.get_asset_partitions("a")] == ["p"]
        instance.delete_run("r", keep_assets=False)
        assert instance.get_asset_partitions("a") == []
        assert instance.get_asset_keys() == []
        assert instance.verify().ok


def test_the_latest_shows_past_many_wiped_partitions() -> None:
    with Instance.ephemeral() as instance:
        names = [f"p{n:03}" for n in range(350)]
        planned = events.AssetMaterializationPlanned(asset_key=AssetKey("a"), partitions=tuple(names))
        instance.report_runless_asset_event(made("a", "stays"))
        for name in names:
            instance.report_runless_asset_event(made("a", name))
        instance.report_runless_asset_event(planned)
        instance.report_runless_asset_event(AssetWiped(asset_key=AssetKey("a"), partitions=tuple(names[1:])))
        (asset,) = instance.get_asset_records()
        assert asset.materialization is not None
        assert asset.materialization.partition == "p000"
        assert asset.planned is not None  # for p000 it was
        instance.report_runless_asset_event(AssetWiped(asset_key=AssetKey("a"), partitions=("p000",)))
        (asset,) = instance.get_asset_records()
        assert asset.materialization is not None
        assert (asset.materialization.partition, asset.planned) == ("stays", None)
        assert [p.partition for p in instance.get_asset_partitions("a")] == ["stays"]
        assert instance.verify().ok
