"""The projector: whom it takes turns with, what stops it, what it does with another history; verify and rebuild."""

from __future__ import annotations

import gc
import multiprocessing
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

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
    UnavailableError,
    UsageError,
    ViewStopped,
)
from foldlog.engine import events
from foldlog.engine.events import Topic
from foldlog.engine.views import assets, projector, rebuild, steps
from foldlog.engine.views.checkpoints import LATER
from foldlog.engine.views.database import Database
from foldlog.engine.views.projection import select_all
from foldlog.engine.views.projector import Projector
from foldlog.engine.views.question import Question
from foldlog.engine.views.rebuild import Builder
from foldlog.engine.views.registry import PROJECTIONS
from foldlog.engine.views.run_search import Search
from foldlog.engine.views.runs import RUNS
from foldlog.engine.views.store import BUILDING, PREVIOUS, Lost, Store
from foldlog.engine.views.table import Table
from foldlog.engine.views.views import Views


@pytest.fixture(params=["memory", "sqlite", "consolidated", "postgres", "views-in-mysql", "objects"])
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    views = None
    match request.param:
        case "memory":
            url = "memory://"
        case "views-in-mysql":
            url, views = "memory://", request.getfixturevalue("mysql_url")
        case "postgres":
            url = request.getfixturevalue("postgres_url")
        case "objects":
            url = f"file://{tmp_path}/h?durability=process"
        case layout:
            url = f"sqlite:///{tmp_path}/h?layout={layout.replace('sqlite', 'sharded')}&durability=process"
    with Instance.from_url(url, views=views) as instance:
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


def test_a_question_is_answered_while_others_never_stop_writing(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was there when it was asked is enough; who runs after a head that moves on never meets it."""
    some_runs(instance)
    read_raw, written = instance.log.read_raw, 0

    def and_meanwhile(**terms: Any) -> Any:
        nonlocal written
        written += 1
        instance.log.append("busy", [Event.now(events.LogMessage(text=str(written)))])
        return read_raw(**terms)

    monkeypatch.setattr(instance.log, "read_raw", and_meanwhile)
    assert instance.get_runs_count() == 3
    assert written <= 2
    assert instance.verify().problems() == []


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
        slow._took(PROJECTIONS, before["runs"].cursor, page, {})
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


def test_a_question_whose_sql_is_made_once_sees_what_was_acknowledged(instance: Instance) -> None:
    by_status = Question(
        "runs",
        lambda tables, dialect: (
            sa.select(tables[RUNS].c.run_id, tables[RUNS].c.job_name)
            .where(tables[RUNS].c.status == sa.bindparam("status"), tables[RUNS].c.ignored_ends == 0)
            .order_by(tables[RUNS].c.created_position)
            .limit(sa.bindparam("most"))
        ),
    )
    seen: list[str] = []
    for number in range(3):
        seen += some_runs(instance, 1)
        found = instance.views.ask(by_status, status="SUCCESS", most=2)
        assert [tuple(row) for row in found] == [(run_id, "job-0") for run_id in seen[:2]], number
    assert instance.views.ask(by_status, status="FAILURE", most=9) == []
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: len(instance.views.ask(by_status, status="SUCCESS", most=9)), range(40)))
    assert answers == [3] * 40
    instance.rebuild()
    some_runs(instance, 1)
    assert len(instance.views.ask(by_status, status="SUCCESS", most=9)) == 4


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
        with views.answering("runs") as ask:
            assert Search(ask, RunsFilter()).count() == 3
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


def test_what_a_fold_wrote_before_it_stopped_is_not_there_twice(instance: Instance) -> None:
    """A fold that looks among its rows writes first what it has; a stop later in the page must undo that."""
    (run_id, *_) = some_runs(instance, 2)
    instance.delete_run(run_id, keep_assets=False)
    instance.log.append("@instance", [unknown(255)])
    for _ in range(2):
        with pytest.raises(ViewStopped, match="OF_THE_FUTURE"):
            instance.get_run_records()
    instance.views.store.generations  # noqa: B018  # the views are whole up to there
    assert {view.stopped is None for view in instance.verify().views} >= {False}
    assert all(view.digest == view.rebuilt_digest == view.running_digest for view in instance.verify().views)


@pytest.mark.parametrize(
    ("topics", "stopped"),
    [
        (Topic.RUN, {"runs", "queue", "backfills", "snapshots"}),
        (Topic.STEP, {"steps"}),
        (Topic.ASSET, {"assets", "checks"}),
        (Topic.SCHEDULE, {"instigators", "ticks", "values"}),
        (Topic.POOL, {"pools"}),
        (Topic.LOG, set()),
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
        assert ask("SELECT asset_key, a.partition FROM {}assets a") == [("a", "p2")]
        assert ask("SELECT count(*) FROM {}asset_partitions") == [(3,)]
        assert ask("SELECT count(*) FROM {}asset_events") == [(3,)]
        assert ask("SELECT status, count(*) FROM {}asset_checks GROUP BY status ORDER BY status") == [
            ("FAILED", 1),
            ("PASSED", 2),
        ]
        assert ask("SELECT value FROM {}run_tags t WHERE t.key = 'number' ORDER BY value") == [("0",), ("1",), ("2",)]


# -- verify and rebuild -------------------------------------------------------------------------------------------


def test_an_altered_row_is_found_and_named(instance: Instance) -> None:
    ids = some_runs(instance)
    assert instance.verify().ok
    alter(instance, f"UPDATE {{}}runs_v2 SET status = 'FAILURE' WHERE run_id = '{ids[1]}'")
    alter(instance, "DELETE FROM {}asset_partitions_v2 WHERE asset_partitions_v2.partition = 'p0'")
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
    found = instance.verify().views
    assert [view.ok for view in found] == [view.rows == 0 for view in found]
    assert [view.ok for view in found][:4] == [False] * 4
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


def test_an_interrupted_rebuild_goes_on_where_it_stood(instance: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    some_runs(instance)
    instance.get_run_records()
    before = dump(instance.views.store)
    monkeypatch.setattr("foldlog.engine.views.rebuild.PAGE", 5)
    told: list[tuple[str, int, int]] = []

    def stop(*report: Any) -> None:
        told.append(report)
        if len(told) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instance.rebuild("runs", progress=stop)
    head = instance.log.head().position
    assert told == [("runs", 5, head), ("runs", 10, head), ("runs", 15, head)]
    assert dump(instance.views.store) == before
    assert instance.views.store.checkpoints(slot=BUILDING)["runs"].position == 15
    instance.rebuild(progress=lambda *report: told.append(report))  # of all: the others catch up first
    assert [position for _, position, _ in told[3:6]] == [5, 10, 15]
    assert instance.views.store.checkpoints(slot=BUILDING) == {}
    assert instance.verify().ok


def test_an_interrupted_rebuild_can_be_dropped(instance: Instance) -> None:
    some_runs(instance)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instance.rebuild("runs", progress=stop)
    assert instance.views.cancel_rebuild() == ["runs"]
    assert instance.views.cancel_rebuild() == []
    assert instance.views.store.checkpoints(slot=BUILDING) == {}
    with pytest.raises(sa.exc.DBAPIError, match="runs_v2_g2"):
        alter(instance, "SELECT count(*) FROM {}runs_v2_g2")
    instance.rebuild()
    assert instance.verify().ok


def test_half_built_tables_of_other_code_are_not_gone_on_with(instance: Instance) -> None:
    some_runs(instance)
    store = instance.views.store
    with store.database.write() as connection:
        left = store.generations.begin(connection, PROJECTIONS[0])
    alter(instance, "UPDATE {}foldlog_views SET code = 'another', position = 3 WHERE slot = 'building'")
    with store.database.write() as connection:
        begun = store.generations.begin(connection, PROJECTIONS[0])
    assert (begun.position, begun.generation) == (0, left.generation + 1)


def test_two_processes_that_rebuild_at_once_take_turns(instance: Instance) -> None:
    some_runs(instance, 10)
    instance.get_run_records()
    store = instance.views.store
    with store.database.write() as connection:
        begun = {p.name: store.generations.begin(connection, p) for p in PROJECTIONS}
    ahead, behind = (Builder(instance.log, store, begun, slot=BUILDING, page=7) for _ in range(2))
    ahead.step()
    with pytest.raises(Lost):
        behind.step()
    with ThreadPoolExecutor(3) as pool:
        reached = set(pool.map(lambda _: instance.rebuild(), range(3)))
    assert reached == {instance.log.head().position}
    assert instance.verify().ok
    assert store.checkpoints(slot=BUILDING) == {}


def test_a_rebuild_keeps_what_it_replaced_for_a_way_back(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    with pytest.raises(UsageError, match="no earlier generation of view runs"):
        instance.views.roll_back("runs")
    alter(instance, "UPDATE {}runs_v2 SET status = 'FAILURE'")
    instance.rebuild("runs")
    assert {record.run.status for record in instance.get_run_records()} == {"SUCCESS"}
    some_runs(instance, 1)
    instance.views.roll_back("runs")
    assert sorted(str(record.run.status) for record in instance.get_run_records()) == ["FAILURE"] * 3 + ["SUCCESS"]
    instance.views.roll_back("runs")  # and back again
    assert {record.run.status for record in instance.get_run_records()} == {"SUCCESS"}
    assert instance.verify().ok
    assert "runs" in instance.views.store.checkpoints(slot=PREVIOUS)
    assert instance.views.drop_old() != []
    assert instance.views.drop_old() == []
    assert instance.views.store.checkpoints(slot=PREVIOUS) == {}
    instance.rebuild()
    instance.rebuild()
    assert instance.verify().ok


def test_a_stopped_view_goes_on_when_it_is_tried_again() -> None:
    with Instance.ephemeral() as instance:
        some_runs(instance, 1)
        broken = True

        def fold(rows: Any, record: Any) -> None:
            if broken and record.event.type == "STEP_SUCCESS":
                poisoned()
            steps.fold(rows, record)

        bad = steps.PROJECTION._replace(fold=fold)
        views = Views(
            instance.log, Database.in_memory(), projections=[bad if p.name == "steps" else p for p in PROJECTIONS]
        )
        (status,) = views.retry("steps")
        assert "ZeroDivisionError" in (status.stopped or "")
        broken = False
        with pytest.raises(ViewStopped) as caught, views.asking("steps"):
            pass
        assert "foldlog retry --view steps" in caught.value.remedy
        (status,) = views.retry("steps")
        assert (status.stopped, status.lag) == (None, 0)
        with views.asking("steps"):
            pass


# -- old and new versions -----------------------------------------------------------------------------------------


class NextRow(NamedTuple):
    run_id: str
    step_key: str
    status: str
    events: int


def next_version(*, factor: int) -> list[Any]:
    """The projections of a later release, in which `steps` has another fold and so tables of its own."""
    table = Table("steps_v9", NextRow, key=2)

    def fold(rows: Any, record: Any) -> None:
        key = (record.run_id or "", record.event.step_key or "")
        row = rows.get(table, key) or NextRow(*key, "NEW", 0)
        rows.put(table, row._replace(events=row.events + factor))

    later = steps.PROJECTION._replace(
        version=9, tables=(table,), fold=fold, keys=lambda _: (), people={"steps": select_all(table)}
    )
    return [later if p.name == "steps" else p for p in PROJECTIONS]


def test_old_and_new_versions_go_on_side_by_side(instance: Instance) -> None:
    some_runs(instance, 2)
    old = instance.views
    instance.get_run_records()
    database = old.store.database
    later = Views(instance.log, database, projections=next_version(factor=10))
    people = f"SELECT DISTINCT status FROM {database.prefix}steps"

    def shown() -> set[str]:
        with database.read() as connection:
            return set(connection.execute(sa.text(people)).scalars())

    assert shown() == {"SUCCESS"}  # the new tables are there and empty; people go on seeing the old ones
    with later.asking("steps"):
        pass
    assert shown() == {"NEW"}
    some_runs(instance, 1)
    with old.asking("steps") as (connection, tables):  # the old process goes on
        assert len(connection.execute(sa.select(tables[steps.STEPS])).all()) == 3
    with later.asking("steps") as (connection, tables):
        assert len(connection.execute(sa.text(people)).all()) == 1
    assert {view.lag for view in (*old.status(), *later.status())} == {0}
    assert instance.verify().ok
    instance.rebuild("steps")  # by an old process, which leaves the names to the newer version
    assert shown() == {"NEW"}
    with pytest.raises(UsageError, match="show another version"):
        old.drop_old("steps")
    dropped = later.drop_old()
    names = {table.name for table in steps.PROJECTION.tables}
    assert names <= set(dropped)
    some_runs(instance, 1)
    old.projector.catch_up()  # the old process finds its tables gone, and makes them anew
    with old.asking("steps") as (connection, tables):
        assert len(connection.execute(sa.select(tables[steps.STEPS])).all()) == 4
    later.rebuild("runs")
    assert shown() == {"NEW"}
    if not instance.log.backend.url.startswith("sqlite"):
        return
    with Instance.from_url(instance.log.backend.url) as again:
        assert again.verify().ok


def test_views_that_hold_nothing_are_built_beside_their_tables(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "MANY", 1)
    monkeypatch.setattr(rebuild, "PAGE", 5)
    some_runs(instance)
    deleted = instance.get_run_records()[0].run.run_id
    instance.delete_run(deleted, keep_assets=False)  # whose fold looks for what the run has left
    store = instance.views.store
    with store.database.write() as connection:
        held = store.checkpoints(connection, lock=True)
        for projection in PROJECTIONS:
            store.empty(connection, projection, held[projection.name])
    assert instance.get_runs_count() == 2
    assert all(at.generation > held[name].generation + 1 for name, at in store.checkpoints().items())
    assert store.checkpoints(slot=BUILDING) == store.checkpoints(slot=PREVIOUS) == {}
    assert instance.verify().problems() == []
    assert indexed(store) == {(t.name, c) for p in PROJECTIONS for t in p.tables for c in (*t.indexes, *t.late)}


def indexed(store: Store) -> set[tuple[str, tuple[str, ...]]]:
    """The indexes that the live tables have."""
    with store.database.read() as connection:
        see = sa.inspect(connection)
        return {
            (table.name, tuple(index["column_names"]))
            for table in store.tables
            for index in see.get_indexes(table.name, schema=store.database.schema)
        }


def test_a_view_that_cannot_be_built_beside_its_tables_stops_where_it_would(
    instance: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projector, "MANY", 1)
    some_runs(instance, 1)
    position = instance.log.head().position
    instance.log.append("@instance", [unknown(Topic.STEP)])
    assert instance.get_runs_count() == 1
    with pytest.raises(ViewStopped):
        instance.views.projector.check("steps")
    held = instance.views.store.checkpoints()
    assert held["steps"].position == position
    assert held["runs"].position == position + 1


def test_the_registry_of_the_first_release_is_extended(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/h"
    with Instance.from_url(url) as instance:
        some_runs(instance)
        instance.get_run_records()
        at = instance.position
    with sqlite3.connect(tmp_path / "h" / "views.db") as db:
        for name in LATER:
            db.execute(f"ALTER TABLE foldlog_views DROP COLUMN {name}")
    with Instance.from_url(url) as instance:
        assert instance.position == at
        assert instance.get_runs_count() == 3
        assert instance.verify().ok
        instance.rebuild()
        assert instance.views.drop_old() != []


def test_what_a_killed_rebuild_leaves_is_gone_on_with_by_the_next(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    store = instance.views.store
    with store.database.write() as connection:
        for projection in PROJECTIONS:
            store.generations.begin(connection, projection)
    instance.rebuild()
    instance.rebuild("assets")
    assert store.checkpoints(slot=BUILDING) == {}
    assert instance.verify().ok
    some_runs(instance)
    assert instance.get_runs_count() == 6
    assert instance.verify().ok


def test_a_view_of_a_users_own_may_stand_on_the_stable_names(instance: Instance) -> None:
    some_runs(instance)
    instance.get_run_records()
    prefix = instance.views.store.database.prefix
    alter(instance, "CREATE VIEW {}my_failed AS SELECT run_id FROM {}runs WHERE status = 'FAILURE'")
    alter(instance, "UPDATE {}runs_v2 SET status = 'FAILURE'")
    instance.rebuild("runs")
    instance.views.roll_back("runs")
    instance.views.roll_back("runs")
    instance.rebuild()
    with instance.views.store.database.read() as connection:
        assert connection.execute(sa.text(f"SELECT count(*) FROM {prefix}my_failed")).scalar_one() == 0
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


def test_a_rebuild_is_the_first_thing_after_an_older_copy_was_put_back(url: str, tmp_path: Path) -> None:
    from shutil import copytree, move

    home = tmp_path / "h"

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
    copytree(home, tmp_path / "backup")
    with Instance.from_url(url) as instance:
        some_runs(instance, 3)
        instance.rebuild()
        with pytest.raises(KeyboardInterrupt):
            instance.rebuild("steps", progress=stop)  # which leaves half-built tables of a history that is lost
    move(home / "views.db", tmp_path / "backup" / "views.db")
    move(home, tmp_path / "lost")
    move(tmp_path / "backup", home)
    with Instance.from_url(url) as instance:
        instance.rebuild("runs")
        assert instance.get_runs_count() == 1
        instance.rebuild()
        instance.rebuild()
        assert instance.verify().ok


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


@pytest.mark.parametrize("table", ["runs", "customers"])
def test_a_database_of_another_program_is_left_alone(table: str, url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
    with sqlite3.connect(tmp_path / "h" / "views.db") as db:
        db.execute(f"CREATE TABLE {table} (name)")
    with Instance.from_url(url) as instance:
        with pytest.raises(CorruptLogError, match=f"no file of views: it holds {table}") as caught:
            instance.get_run_records()
        assert "Move" in caught.value.remedy
    with sqlite3.connect(tmp_path / "h" / "views.db") as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [(table,)]


def test_a_file_of_the_log_is_no_place_for_views(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url, views=f"sqlite:///{tmp_path}/h/order.db") as instance:
        with pytest.raises(CorruptLogError, match="no file of views"):
            instance.get_run_records()
    with Instance.from_url(url) as instance:
        assert instance.log.backend.diagnose(full=True) == []


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
    monkeypatch.setattr("foldlog.engine.views.sqlite_file.WAL_LIMIT", 50_000)
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


# -- the file, while it is open -----------------------------------------------------------------------------------


def throw_away(home: Path) -> None:
    for path in home.glob("views.db*"):
        path.unlink()


@pytest.mark.parametrize("asked_before", [False, True])
def test_views_thrown_away_while_two_have_them_open(url: str, tmp_path: Path, asked_before: bool) -> None:
    """P8: both go over to the new file, with all their connections."""
    with Instance.from_url(url) as one, Instance.from_url(url) as other:
        ids = some_runs(one, 1)
        one.views.projector.catch_up()
        other.views.projector.catch_up()
        if asked_before:
            assert one.get_runs_count() == other.get_runs_count() == 1
        throw_away(tmp_path / "h")
        assert other.get_runs_count() == 1
        ids += some_runs(one, 1)
        assert {record.run.run_id for record in one.get_run_records()} == set(ids)
        ids += some_runs(other, 1)
        assert {record.run.run_id for record in one.get_run_records()} == set(ids)
        assert {record.run.run_id for record in other.get_run_records()} == set(ids)
        assert one.verify().ok
        with sqlite3.connect(tmp_path / "h" / "views.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_threads_ask_while_views_are_thrown_away(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url + "?durability=process") as instance:
        some_runs(instance, 2)
        stop, database = threading.Event(), instance.views.store.database

        def ask() -> set[int]:
            found = set()
            while not stop.is_set():
                with suppress(UnavailableError):  # thrown away after it had caught up
                    found.add(len(instance.get_run_records()))
                    found.add(instance.get_runs_count())
            return found

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(ask) for _ in range(3)]
            try:
                for _ in range(10):
                    with database._gate:  # all three files at once
                        throw_away(tmp_path / "h")
                    assert instance.get_runs_count() == 2
            finally:
                stop.set()
            assert [one.result() for one in asking] == [{2}] * 3


def test_a_view_that_was_stopped_is_folded_up_to_there_in_a_new_file(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance)
        views = with_poison(instance.log, Database.in_file(tmp_path / "poisoned.db"), "STEP_SUCCESS")
        with pytest.raises(ViewStopped), views.asking("steps"):
            pass
        stood = views.store.checkpoints()["steps"].position
        for path in tmp_path.glob("poisoned.db*"):
            path.unlink()
        with pytest.raises(ViewStopped), views.asking("steps"):
            pass
        assert views.store.checkpoints()["steps"].position == stood > 0
        views.close()


def test_a_reader_is_told_that_the_views_were_thrown_away(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as writer, Instance.from_url(url, read_only=True) as reader:
        some_runs(writer, 1)
        assert writer.get_runs_count() == reader.get_runs_count() == 1
        throw_away(tmp_path / "h")
        for _ in range(2):
            with pytest.raises(ReadOnlyError):
                reader.get_runs_count()
        assert writer.get_runs_count() == reader.get_runs_count() == 1


def test_status_and_rebuild_are_of_the_file_that_is_there(url: str, tmp_path: Path) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
        at = instance.log.head().position
        for deed in (instance.views.status, instance.rebuild, lambda: instance.position):
            throw_away(tmp_path / "h")
            deed()
            with sqlite3.connect(tmp_path / "h" / "views.db") as db:
                assert {row for (row,) in db.execute("SELECT position FROM foldlog_views WHERE slot = 'live'")} == {at}


@pytest.mark.parametrize("place", ["file", "server", "borrowed"])
def test_a_forked_child_may_not_use_its_parents_views(
    place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The connections are the parent's: the child is told, and takes none of them with it."""
    url, views = f"sqlite:///{tmp_path}/h", None
    if place != "file":
        server = request.getfixturevalue("postgres_url")
        url, views = (url, server) if place == "server" else (server, None)
    script = """
import os, sys
sys.path[:0] = sys.argv[3:]
from foldlog import Instance, UsageError
from foldlog.engine.views.question import Question
instance = Instance.from_url(sys.argv[1], views=sys.argv[2] or None)
with instance.run("job"):
    pass
assert instance.get_runs_count() == 1
database = instance.views.store.database
child = os.fork()
if not child:
    for deed in (lambda: database.fetch("SELECT 1", ()), lambda: database.read().__enter__(),
                 lambda: database.write().__enter__(), lambda: database.snapshot().__enter__()):
        try:
            deed()
        except UsageError as error:
            assert "fork" in str(error), error
        else:
            os._exit(1)
    database.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
with instance.run("job"):
    pass
assert instance.get_runs_count() == 2
assert database.fetch("SELECT 1", ())[0][0] == 1
instance.close()
"""
    command = [sys.executable, "-c", script, url, views or "", *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_connection_in_use_when_the_views_are_closed_is_closed_too(tmp_path: Path) -> None:
    database = Database.in_file(tmp_path / "views.db")
    opened: list[sqlite3.Connection] = []
    answer = database.answer
    database.answer = lambda db, text, values: opened.append(db) or answer(db, text, values)
    with database.read() as connection, database.snapshot() as fetch:
        fetch("SELECT 1", ())
        opened.append(connection.connection.driver_connection)
        database.close()
        assert fetch("SELECT 2", ()) == [(2,)]
    for db in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            db.execute("SELECT 1")
    with pytest.raises(UsageError, match="closed"):
        database.fetch("SELECT 1", ())
    with pytest.raises(UsageError, match="closed"), database.read():
        pass


def test_the_end_of_a_snapshot_does_not_hide_what_ended_it(tmp_path: Path) -> None:
    database = Database.in_file(tmp_path / "views.db")

    def ends_its_transaction() -> None:
        with database.snapshot() as fetch:
            fetch("ROLLBACK", ())  # as SQLite does by itself when it is out of space
            poisoned()

    with pytest.raises(ZeroDivisionError):
        ends_its_transaction()
    database.close()


def test_questions_of_any_size_have_few_forms(url: str) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance, 3)
        prepared = instance.views.store._prepared
        for count in range(130):
            keys, parts = [["a"], *(["b", str(n)] for n in range(count))], [f"p{n}" for n in range(count)]
            assert len(instance.get_asset_records(keys)) == 1
            assert len(instance.get_latest_storage_id_by_partition("a", partitions=parts)) == min(count, 3)
        assert len(prepared) < 20
        assert instance.get_asset_records([]) == []
        assert len(instance.get_asset_records([["a"], *(["b", str(n)] for n in range(9_000))])) == 1


def test_what_was_made_for_a_question_goes_with_it(instance: Instance) -> None:
    some_runs(instance, 1)
    prepared = instance.views.store._prepared
    before = len(prepared)
    for _ in range(3):
        question = Question("runs", lambda tables, _: sa.select(tables[RUNS].c.run_id))
        assert len(instance.views.ask(question)) == 1
    del question
    gc.collect()
    assert len(prepared) == before
