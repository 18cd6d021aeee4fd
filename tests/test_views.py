"""The projector: whom it takes turns with, what stops it, what it does with another history; verify and rebuild."""

from __future__ import annotations

import multiprocessing
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from test_views_histories import dump, in_memory, made, unknown

from foldlog import (
    AssetKey,
    CorruptLogError,
    Event,
    HistoryDiverged,
    Instance,
    ReadOnlyError,
    RunsFilter,
    UsageError,
    ViewStopped,
)
from foldlog.engine import events
from foldlog.engine.events import Topic
from foldlog.engine.views import assets, steps
from foldlog.engine.views.database import Database
from foldlog.engine.views.projector import Projector
from foldlog.engine.views.registry import PROJECTIONS
from foldlog.engine.views.run_search import Search
from foldlog.engine.views.store import BUILDING, Lost, Store
from foldlog.engine.views.views import Views


@pytest.fixture(params=["memory", "sqlite", "consolidated", "postgres"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    match request.param:
        case "memory":
            url = "memory://"
        case "postgres":
            url = request.getfixturevalue("postgres_url")
        case layout:
            url = f"sqlite:///{tmp_path}/h?layout={layout.replace('sqlite', 'sharded')}&durability=process"
    with Instance.from_url(url) as instance:
        yield instance


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/h"


def some_runs(instance: Instance, count: int = 3) -> list[str]:
    ids = []
    for number in range(count):
        with instance.run(f"job-{number % 2}", tags={"number": str(number)}) as run:
            with run.step("load"):
                run.materialize("a", partition=f"p{number}")
            run.check("a", "fresh", number > 0)
        ids.append(run.run_id)
    return ids


def alter(instance: Instance, statement: str) -> None:
    store = instance.views.store
    with store.database.write() as connection:
        connection.execute(sa.text(statement.replace("{}", store.database.prefix)))


def position_of(instance: Instance, name: str) -> int:
    return instance.views.store.checkpoints()[name].position


# -- catching up ------------------------------------------------------------------------------------------------


def test_an_answer_shows_what_was_acknowledged_before(instance: Instance) -> None:
    for number in range(5):
        with instance.run("job") as run:
            assert instance.get_run_by_id(run.run_id).status == "STARTED"
            run.materialize("a", partition=str(number))
            assert len(instance.get_asset_partitions("a")) == number + 1
        assert instance.get_run_by_id(run.run_id).status == "SUCCESS"
    assert instance.position == instance.log.head().position


def test_threads_project_at_once(instance: Instance) -> None:
    some_runs(instance, 8)
    views = [instance.views.projector] + [Projector(instance.log, instance.views.store, page=3) for _ in range(3)]
    failures: list[BaseException] = []

    def work(projector: Projector) -> None:
        try:
            projector.catch_up()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(one,)) for one in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert instance.verify().problems() == []
    assert position_of(instance, "runs") == instance.log.head().position


def test_threads_ask_one_instance_at_once(instance: Instance) -> None:
    def work(number: int) -> None:
        for n in range(5):
            with instance.run("job", run_id=f"run-{number}-{n}") as run:
                run.materialize("a", partition=f"{number}-{n}")
                assert instance.get_latest_materialization_event("a", partition=f"{number}-{n}") is not None
            assert instance.get_run_by_id(run.run_id).is_success

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert instance.verify().problems() == []


def project_for_ever(url: str) -> None:
    log = Instance.from_url(url, views="memory://").log
    while True:
        store = Store(Database.in_file(Path(log.backend.home.folder) / "views.db"), PROJECTIONS)
        Projector(log, store, page=2).catch_up()
        with store.database.write() as connection:
            held = store.checkpoints(connection)
            for projection in PROJECTIONS:
                store.empty(connection, projection, held[projection.name])
        store.close()


def test_killed_at_any_moment_the_views_are_whole(url: str) -> None:
    with Instance.from_url(url + "?durability=process") as instance:
        some_runs(instance, 20)
        for number in range(6):
            victim = multiprocessing.get_context("spawn").Process(target=project_for_ever, args=(url,))
            victim.start()
            while instance.views.store.checkpoints()["runs"].position == 0 and victim.is_alive():
                pass
            victim.join(0.05 * number)
            assert victim.is_alive()
            victim.kill()
            victim.join()
            assert instance.verify().problems() == []
            assert instance.get_runs_count() == 20


def work_in_a_process(url: str, number: int) -> None:
    with Instance.from_url(url) as instance:
        for n in range(10):
            with instance.run("job", run_id=f"run-{number}-{n}") as run:
                run.materialize("a", partition=f"{number}-{n}")
                # P8, while others append and project: this process sees what it has just written
                assert instance.get_latest_materialization_event("a", partition=f"{number}-{n}") is not None
            record = instance.get_run_record_by_id(run.run_id)
            assert record is not None
            assert record.run.is_success


def test_processes_project_at_once_and_read_their_writes(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work_in_a_process, args=(url, number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with Instance.from_url(url) as instance:
        assert instance.get_runs_count() == 30
        assert len(instance.get_asset_partitions("a")) == 30
        assert instance.verify().problems() == []


def test_a_projector_that_was_paused_changes_nothing(instance: Instance) -> None:
    some_runs(instance)
    store = instance.views.store
    before = store.checkpoints()
    page = instance.log.read_raw()
    slow = Projector(instance.log, store)
    instance.views.projector.catch_up()
    expected = dump(store)
    with pytest.raises(Lost):
        slow._take(PROJECTIONS, before["runs"].cursor, page)
    assert dump(store) == expected


def test_killed_between_rows_and_checkpoint_nothing_has_happened(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    some_runs(instance)
    store = instance.views.store
    before = dump(store)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Store, "move", killed)
            with pytest.raises(KeyboardInterrupt):
                instance.get_run_records()
        assert dump(store) == before
    assert len(instance.get_run_records()) == 3
    assert instance.verify().ok


def test_the_checkpoint_moves_past_what_concerns_no_view(instance: Instance) -> None:
    instance.log.append("@ticks", [Event.now(events.EngineEvent(text="x")) for _ in range(9)])
    assert instance.get_run_records() == []
    assert instance.position == 9
    ids = some_runs(instance, 1)
    instance.delete_run(ids[0], keep_assets=False)
    with in_memory() as store:  # sees only a purged range and the tombstone
        Projector(instance.log, store, page=2).catch_up()
        assert {at.position for at in store.checkpoints().values()} == {instance.log.head().position}


# -- what stops a view ------------------------------------------------------------------------------------------


def poisoned(*_: Any) -> None:
    raise ZeroDivisionError("by design")


def with_poison(log: Any, store_of: Database, kind: str) -> Views:
    """Views of which `steps` cannot take in one kind of event."""

    def fold(rows: Any, record: Any) -> None:
        if record.event.type == kind:
            rows.put(steps.STEPS, ("half",) * 10)  # what it did before it failed must not stay
            poisoned()
        steps.fold(rows, record)

    bad = steps.PROJECTION._replace(fold=fold)
    return Views(log, store_of, projections=[bad if p.name == "steps" else p for p in PROJECTIONS])


def test_a_fold_that_fails_stops_its_view_only() -> None:
    with Instance.ephemeral() as instance:
        some_runs(instance, 1)
        with instance.run("job") as run:
            run.log("x")
        with instance.run("last") as run, run.step("bad"):
            pass
        views = with_poison(instance.log, Database.in_memory(), "STEP_SUCCESS")
        first = instance.log.read(types=["STEP_SUCCESS"]).events[0].position
        for _ in range(2):
            with pytest.raises(ViewStopped, match=rf"view steps stopped before position {first}, a STEP_SUCCESS: Zero"):
                with views.asking("steps"):
                    pass
        with views.asking("runs") as (connection, tables):
            assert Search(connection, tables, RunsFilter()).count() == 3
        by_name = {view.name: view for view in views.status()}
        assert by_name["steps"].position == first - 1
        assert "ZeroDivisionError" in (by_name["steps"].stopped or "")
        assert by_name["runs"].lag == 0
        with views.asking() as (connection, tables):
            (row,) = connection.execute(sa.select(tables[steps.STEPS]))
            assert row.status == "STARTED"
        with pytest.raises(ViewStopped):
            views.rebuild("steps")
        assert views.store.checkpoints(slot=BUILDING) == {}
        # another process, with a sound fold, helps it over
        Projector(instance.log, Store(views.store.database, PROJECTIONS)).catch_up()
        with views.asking("steps"):
            pass
        assert {view.stopped for view in views.status()} == {None}


@pytest.mark.parametrize(
    ("topics", "stopped"),
    [
        (Topic.RUN, {"runs"}),
        (Topic.STEP, {"steps"}),
        (Topic.ASSET, {"assets", "checks"}),
        (Topic.SCHEDULE, set()),
        (0, set()),
    ],
)
def test_an_unknown_kind_stops_the_views_of_its_topics(topics: int, stopped: set[str]) -> None:
    with Instance.ephemeral() as instance:
        instance.log.append("@instance", [unknown(int(topics))])
        some_runs(instance, 1)
        for name in instance.views.names:
            if name in stopped:
                with pytest.raises(ViewStopped, match="does not know that kind") as caught:
                    instance.views.asking(name).__enter__()
                assert "Upgrade" in caught.value.remedy
            else:
                with instance.views.asking(name):
                    pass
        assert {view.name for view in instance.views.status() if view.stopped} == stopped


def test_folds_take_events_that_come_in_no_sensible_order() -> None:
    with Instance.ephemeral() as instance:
        instance.log.append("r", [Event(events.StepFailed(attempt=2), 5)])
        instance.log.append("r", [Event(events.RunStarted(), 6, job_name="found")])
        instance.log.append("@instance", [Event(events.RunSucceeded(), 7), Event(events.StepStarted(), 8)])
        (record,) = instance.get_run_records()
        assert (record.run.job_name, record.run.status, record.storage_id) == ("found", "STARTED", 2)
        (step,) = instance.get_run_steps("r")
        assert (step.step_key, step.status, step.attempts) == ("", "FAILURE", 2)


# -- what each view says ------------------------------------------------------------------------------------------


def test_the_first_end_of_a_run_stands() -> None:
    with Instance.ephemeral() as instance:
        facts = [events.RunCreated(job_name="j"), events.RunStarted(), events.RunCanceling()]
        late = [events.RunStarted(), events.RunCanceled(), events.RunSucceeded(), events.RunFailed()]
        instance.log.append("r", [Event(fact, 10 + n) for n, fact in enumerate([*facts, *late])])
        record = instance.get_run_record_by_id("r")
        assert record is not None
        assert (record.run.status, record.ended_us, record.ended_position) == ("CANCELED", 14, 5)
        assert (record.ignored_ends, record.ignored_status, record.started_us) == (2, "FAILURE", 11)
        assert record.last_position == 7


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([events.RunEnqueued()], "QUEUED"),
        ([events.RunStarting()], "STARTING"),
        ([events.RunStarted(), events.RunSuspended()], "SUSPENDED"),
        ([events.RunStarted(), events.RunSuspended(), events.RunResumed()], "STARTED"),
        ([events.RunStarted(), events.RunCanceling(), events.RunResumed()], "CANCELING"),
        ([events.RunCanceling(), events.RunSucceeded()], "SUCCESS"),
        ([events.RunFailed(), events.RunEnqueued()], "FAILURE"),
    ],
)
def test_the_status_of_a_run(facts: list[events.Fact], status: str) -> None:
    with Instance.ephemeral() as instance:
        instance.log.append("r", [Event.now(fact) for fact in (events.RunCreated(job_name="j"), *facts)])
        run = instance.get_run_by_id("r")
        assert run is not None
        assert run.status == status


def test_a_late_worker_does_not_undo_the_end_of_a_step() -> None:
    facts = [events.StepStarted(), events.StepSucceeded(), events.StepFailed()]
    with Instance.ephemeral() as instance:
        instance.log.append("r", [Event(fact, n, step_key="s") for n, fact in enumerate(facts)])
        assert [(s.status, s.ended_us) for s in instance.get_run_steps("r")] == [("SUCCESS", 1)]
        instance.log.append("r", [Event(events.StepRestarted(attempt=2), 5, step_key="s")])
        assert [(s.status, s.attempts, s.ended_us) for s in instance.get_run_steps("r")] == [("STARTED", 2, None)]


def test_the_status_of_a_partition() -> None:
    def failed(**more: Any) -> events.AssetFailedToMaterialize:
        return events.AssetFailedToMaterialize(asset_key=AssetKey("a"), partition="p", **more)

    planned = events.AssetMaterializationPlanned(asset_key=AssetKey("a"), partition="p")
    seen = events.AssetObservation(asset_key=AssetKey("a"), partition="p")
    story = [
        (planned, "IN_PROGRESS"),
        (failed(skipped=True), "MISSING"),
        (failed(), "FAILED"),
        (made("a", "p"), "MATERIALIZED"),
        (planned, "IN_PROGRESS"),
        (seen, "IN_PROGRESS"),
        (failed(skipped=True), "MATERIALIZED"),
    ]
    with Instance.ephemeral() as instance:
        for fact, status in story:
            instance.report_runless_asset_event(fact)
            assert [p.status for p in instance.get_asset_partitions("a")] == [status], fact


def test_people_can_use_plain_sql(instance: Instance) -> None:
    (run_id, *_) = some_runs(instance)
    instance.get_run_records()
    prefix = instance.views.store.database.prefix
    with instance.views.store.database.read() as connection:

        def ask(sql: str) -> list[tuple[Any, ...]]:
            return [tuple(row) for row in connection.execute(sa.text(sql.replace("{}", prefix)))]

        assert ask("SELECT status, count(*) FROM {}runs GROUP BY status") == [("SUCCESS", 3)]
        assert ask(f"SELECT status FROM {{}}steps WHERE run_id = '{run_id}'") == [("SUCCESS",)]
        assert ask("SELECT asset_key, partition FROM {}assets") == [("a", "p2")]
        assert ask("SELECT count(*) FROM {}asset_partitions") == [(3,)]
        assert ask("SELECT count(*) FROM {}asset_events") == [(3,)]
        assert ask("SELECT status, count(*) FROM {}asset_checks GROUP BY status ORDER BY status") == [
            ("FAILED", 1),
            ("PASSED", 2),
        ]
        assert ask("SELECT value FROM {}run_tags WHERE key = 'number' ORDER BY value") == [("0",), ("1",), ("2",)]


# -- verify and rebuild -------------------------------------------------------------------------------------------


def test_an_altered_row_is_found_and_named(instance: Instance) -> None:
    ids = some_runs(instance)
    assert instance.verify().ok
    alter(instance, f"UPDATE {{}}runs_v2 SET status = 'FAILURE' WHERE run_id = '{ids[1]}'")
    alter(instance, "DELETE FROM {}asset_partitions_v2 WHERE partition = 'p0'")
    alter(instance, "UPDATE {}steps_v2 SET step_key = 'forged' WHERE run_id = '" + ids[0] + "'")
    found = instance.verify()
    assert not found.ok
    assert {(a.table, a.column, a.live, a.rebuilt) for a in found.views[0].altered} == {
        ("runs_v2", "status", "FAILURE", "SUCCESS")
    }
    assert found.views[0].altered[0].key == {"run_id": ids[1]}
    told = "\n".join(found.problems())
    assert f"runs_v2 run_id='{ids[1]}': status is 'FAILURE', the log says 'SUCCESS'" in told
    assert "asset_partitions_v2 asset_key='a', partition='p0': the row is missing" in told
    assert "step_key='forged': the log knows no such row" in told
    assert "step_key='load': the row is missing" in told
    assert instance.verify("checks").ok
    instance.rebuild()
    assert instance.verify().ok


def test_an_altered_digest_is_found(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    alter(instance, "UPDATE {}foldlog_views SET digests = '{}'".replace("'{}'", "'{ }'"))
    assert [view.ok for view in instance.verify().views] == [False] * 4
    assert "checkpoint's digest was altered" in instance.verify().problems()[0]


def test_writers_and_deletions_go_on_while_views_are_verified_and_rebuilt(url: str) -> None:
    with Instance.from_url(url) as instance, Instance.from_url(url) as other:
        some_runs(instance, 5)
        done = threading.Event()
        failures: list[BaseException] = []

        def write() -> None:
            try:
                while not done.is_set():
                    first, *_ = some_runs(other, 2)
                    other.get_run_records(limit=1)
                    other.delete_run(first, keep_assets=False)
                    done.wait(0.02)  # a fold begun between two deletions is to have a chance to end between them
            except BaseException as error:
                failures.append(error)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(4):
                assert instance.verify().problems() == []
                instance.rebuild()
        finally:
            done.set()
            writer.join()
        assert not failures
        assert instance.verify().problems() == []


def test_a_rebuild_can_be_cancelled_and_tells_how_far_it_is(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    before = dump(instance.views.store)

    def stop(view: str, position: int, head: int) -> None:
        assert (view, position, head) == ("runs", instance.log.head().position, instance.log.head().position)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instance.rebuild("runs", progress=stop)
    assert dump(instance.views.store) == before
    assert instance.views.store.checkpoints(slot=BUILDING) == {}


def test_what_a_killed_rebuild_leaves_is_dropped_by_the_next(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    store = instance.views.store
    with store.database.write() as connection:
        for projection in PROJECTIONS:
            store.start_build(connection, projection)
    instance.rebuild()
    instance.rebuild("assets")
    assert store.checkpoints(slot=BUILDING) == {}
    assert instance.verify().ok
    some_runs(instance)
    assert instance.get_runs_count() == 6
    assert instance.verify().ok


def test_an_unknown_view_is_named() -> None:
    with Instance.ephemeral() as instance:
        with pytest.raises(UsageError, match="no view 'run'; there are runs, steps, assets, checks"):
            instance.rebuild("run")
        with pytest.raises(UsageError, match="no view"):
            instance.verify("run")


# -- another history ----------------------------------------------------------------------------------------------


def test_an_older_copy_of_the_log_has_its_views_folded_anew(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from shutil import copytree, move

    home = tmp_path / "h"
    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
    copytree(home, tmp_path / "backup")
    with Instance.from_url(url) as instance:
        some_runs(instance, 3)
        assert instance.get_runs_count() == 4
    copytree(home, tmp_path / "later")
    move(home / "views.db", tmp_path / "backup" / "views.db")
    move(home, tmp_path / "lost")
    move(tmp_path / "backup", home)
    with Instance.from_url(url) as instance:
        assert instance.get_runs_count() == 1
        assert instance.verify().ok
        assert "folded anew from the start" in caplog.text

    # The log has grown past the point where it was cut, and as far as the views of the lost one had got.
    with Instance.from_url(url) as instance:
        some_runs(instance, 3)
        there = instance.log.head().position
    for path in home.glob("views.db*"):
        path.unlink()
    for path in (tmp_path / "later").glob("views.db*"):
        move(path, home)
    with Instance.from_url(url) as instance:
        assert instance.log.head().position == there
        assert instance.verify().ok
        assert instance.get_runs_count() == 4
    assert caplog.text.count("folded anew from the start") == 8 // 4


def test_views_of_another_log_are_refused_where_somebody_chose_the_place(tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/views.db"
    with Instance.from_url(f"sqlite:///{tmp_path}/one", views=place) as one:
        some_runs(one, 1)
        assert one.get_runs_count() == 1
    with Instance.from_url(f"sqlite:///{tmp_path}/two", views=place) as two:
        some_runs(two, 1)
        with pytest.raises(HistoryDiverged, match="of another log"):
            two.get_runs_count()
    with Instance.from_url(f"sqlite:///{tmp_path}/one", views=place) as one:
        assert one.get_runs_count() == 1


def test_views_may_be_thrown_away(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as instance:
        ids = some_runs(instance)
        assert instance.get_runs_count() == 3
    for path in (tmp_path / "h").glob("views.db*"):
        path.unlink()
    with Instance.from_url(url) as instance:
        assert {record.run.run_id for record in instance.get_run_records()} == set(ids)


def test_a_damaged_file_says_what_to_do(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
        instance.get_run_records()
    (tmp_path / "h" / "views.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with Instance.from_url(url) as instance:
        with pytest.raises(CorruptLogError) as caught:
            instance.get_run_records()
        assert f"Delete {tmp_path}/h/views.db" in caught.value.remedy


# -- reading only -------------------------------------------------------------------------------------------------


def test_a_reader_answers_as_of_what_others_have_projected(url: str) -> None:
    with Instance.from_url(url) as writer:
        some_runs(writer, 2)
        with Instance.from_url(url, read_only=True) as reader:
            assert reader.status()["views"] == []
            with pytest.raises(ReadOnlyError) as caught:
                reader.get_run_records()
            assert "views='memory://'" in caught.value.remedy
        writer.get_run_records()
        at = writer.position
        some_runs(writer, 1)
        with Instance.from_url(url, read_only=True) as reader:
            assert (len(reader.get_run_records()), reader.position) == (2, at)
            assert reader.verify().ok
            with pytest.raises(ReadOnlyError):
                reader.rebuild()
            with pytest.raises(ReadOnlyError):
                reader.run("job").__enter__()
        writer.get_run_records()
        with Instance.from_url(url, read_only=True, views="memory://") as reader:
            assert len(reader.get_run_records()) == 3
            assert reader.position == writer.position


def test_a_wal_that_has_grown_is_moved_into_the_file(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foldlog.engine.views.database.WAL_LIMIT", 50_000)
    with Instance.from_url(url + "?durability=process") as instance:
        for _ in range(60):
            some_runs(instance, 1)
            instance.get_run_records(limit=1)
        assert (tmp_path / "h" / "views.db-wal").stat().st_size < 500_000
    with sqlite3.connect(tmp_path / "h" / "views.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_row_classes_have_only_what_every_database_has() -> None:
    for projection in PROJECTIONS:
        for table in projection.tables:
            assert table.name.endswith(f"_v{projection.version}")
            assert [c.name for c in table.declare(1).columns] == list(table.row._fields)
    assert assets.PROJECTION.types.isdisjoint(steps.PROJECTION.types - {"RUN_DELETED"})


def test_a_rebuilt_view_has_every_index(instance: Instance) -> None:
    def indexes() -> dict[str, set[tuple[str, ...]]]:
        store = instance.views.store
        see, schema = sa.inspect(store.database.engine), store.database.schema
        found = {table.name: see.get_indexes(table.name, schema=schema) for table in store.tables}
        return {name: {tuple(one["column_names"]) for one in some} for name, some in found.items()}

    some_runs(instance)
    instance.get_run_records()
    made = indexes()
    assert made == {table.name: {*table.indexes, *table.late} for table in instance.views.store.tables}
    for _ in range(2):
        instance.rebuild()
        assert indexes() == made
