"""The façade: what it answers, in which order, how much at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import foldlog
from foldlog import AssetKey, Event, Instance, RunsFilter, RunStatus, ShardPurged, UsageError, events
from foldlog.engine.events import AssetMaterialization, AssetObservation, AssetWiped, UrlMetadata
from foldlog.engine.facade.reporting import asset_shard


@pytest.fixture
def instance() -> Instance:
    return Instance.ephemeral()


def runs_of(instance: Instance, count: int) -> list[str]:
    for number in range(count):
        tags = {"parity": "even" if number % 2 == 0 else "odd", "number": str(number)}
        with instance.run(f"job-{number % 3}", run_id=f"run-{number}", tags=tags):
            pass
    return [f"run-{number}" for number in range(count)]


def ids(records: list[foldlog.engine.views.records.RunRecord]) -> list[str]:
    return [record.run.run_id for record in records]


def test_the_example_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    instance = foldlog.Instance.from_url("sqlite:///./history")
    with instance.run("nightly-load", tags={"team": "growth"}) as run:
        with run.step("extract"):
            ...
        run.materialize(["raw", "orders"], partition="2026-11-20", metadata={"rows": 1234})

    (record,) = instance.get_run_records(tags={"team": "growth"})
    assert record.run.run_id == run.run_id
    assert record.run.is_success
    assert [step.step_key for step in instance.get_run_steps(run.run_id)] == ["extract"]
    event = instance.get_latest_materialization_event(["raw", "orders"])
    assert event is not None
    assert event.event.fact.metadata == {"rows": 1234}
    assert event.run_id == run.run_id
    instance.close()
    assert (tmp_path / "history" / "views.db").exists()


def test_runs_are_listed_by_what_is_asked(instance: Instance) -> None:
    runs_of(instance, 7)
    with pytest.raises(ValueError):
        with instance.run("job-0", run_id="bad", tags={"parity": "odd"}):
            raise ValueError("x")
    assert ids(instance.get_run_records()) == ["bad", *(f"run-{n}" for n in range(6, -1, -1))]
    assert ids(instance.get_run_records(ascending=True, limit=2)) == ["run-0", "run-1"]
    assert ids(instance.get_run_records(cursor="run-2")) == ["run-1", "run-0"]
    assert ids(instance.get_run_records(cursor="run-4", ascending=True)) == ["run-5", "run-6", "bad"]
    assert instance.get_run_records(cursor="unheard-of") == []
    assert ids(instance.get_run_records(job_name="job-0")) == ["bad", "run-6", "run-3", "run-0"]
    assert ids(instance.get_run_records(tags={"parity": "odd"})) == ["bad", "run-5", "run-3", "run-1"]
    assert ids(instance.get_run_records(tags={"parity": "odd"}, cursor="run-5")) == ["run-3", "run-1"]
    assert ids(instance.get_run_records(tags={"parity": "odd", "number": ["1", "2", "3"]})) == ["run-3", "run-1"]
    assert ids(instance.get_run_records(statuses=[RunStatus.FAILURE, RunStatus.CANCELED])) == ["bad"]
    assert ids(instance.get_run_records(statuses=["SUCCESS"], tags={"parity": "odd"}, limit=1)) == ["run-5"]
    assert ids(instance.get_run_records(RunsFilter(run_ids=["run-3", "run-4", "no"]))) == ["run-4", "run-3"]
    assert instance.get_run_records(RunsFilter(run_ids=[])) == []
    assert instance.get_runs_count() == 8
    assert instance.get_runs_count(tags={"parity": "odd"}, statuses=["SUCCESS"]) == 3
    run = instance.get_run_by_id("run-1")
    assert run is not None
    assert run.tags == {"parity": "odd", "number": "1"}
    assert instance.get_run_by_id("unheard-of") is None


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_limit_out_of_range_is_refused(instance: Instance, limit: int) -> None:
    for question in (instance.get_run_records, instance.get_asset_keys, instance.get_asset_records):
        with pytest.raises(UsageError, match=f"limit={limit} is out of range"):
            question(limit=limit)


def test_a_status_that_is_none_is_refused(instance: Instance) -> None:
    with pytest.raises(ValueError, match=r"statuses=.*DONE.*is not a list of statuses"):
        instance.get_run_records(statuses=["DONE"])


def test_a_run_that_continues_another_knows_the_root(instance: Instance) -> None:
    with instance.run("job", run_id="first"):
        pass
    with instance.run("job", run_id="second", parent_run_id="first"):
        pass
    with instance.run("job", run_id="third", parent_run_id="second"):
        pass
    runs = [instance.get_run_by_id(run_id) for run_id in ("second", "third")]
    assert [(run.parent_run_id, run.root_run_id) for run in runs if run] == [("first", "first"), ("second", "first")]


def test_assets_are_listed_by_prefix_and_in_pages(instance: Instance) -> None:
    names = ["a", "a/b", "a/b/c", "ab", "b", "a-b"]
    for name in names:
        instance.report_runless_asset_event(AssetMaterialization(asset_key=AssetKey.from_text(name)))
    assert [key.to_text() for key in instance.get_asset_keys()] == sorted(names)
    assert [key.to_text() for key in instance.get_asset_keys(prefix="a")] == ["a", "a/b", "a/b/c"]
    assert [key.to_text() for key in instance.get_asset_keys(prefix=["a", "b"])] == ["a/b", "a/b/c"]
    assert [key.to_text() for key in instance.get_asset_keys(cursor="a-b", limit=2)] == ["a/b", "a/b/c"]
    found = instance.get_asset_records(["b", "a", "unheard-of"])
    assert [record.asset_key.to_text() for record in found] == ["a", "b"]
    assert instance.has_asset_key("a/b")
    assert not instance.has_asset_key("a/c")


def test_the_latest_of_each_kind_is_told(instance: Instance) -> None:
    key = AssetKey(("raw", "orders"))
    instance.report_runless_asset_event(
        AssetMaterialization(
            asset_key=key,
            partition="p1",
            metadata={"rows": 5, "where": UrlMetadata("http://x"), "odd": float("nan")},
            code_version="c1",
            data_version="d1",
        )
    )
    instance.report_runless_asset_event(AssetMaterialization(asset_key=key, partition="p2"))
    instance.report_runless_asset_event(AssetObservation(asset_key=key, data_version="d2"))
    (record,) = instance.get_asset_records()
    assert record.materialization is not None
    assert record.observation is not None
    assert (record.materialization.partition, record.materialization.run_id) == ("p2", None)
    assert (record.observation.data_version, record.storage_id) == ("d2", 3)
    first, second = instance.get_materializations(key)[::-1]
    assert (first.code_version, first.data_version) == ("c1", "d1")
    assert first.metadata == {"rows": 5, "where": ["u", "http://x"], "odd": "nan"}
    assert instance.get_materializations(key, cursor=second.position) == [first]
    event = instance.get_latest_materialization_event(key, partition="p1")
    assert event is not None
    assert event.event.fact.metadata["where"] == UrlMetadata("http://x")  # the log has it whole
    assert event.position == first.position
    assert instance.get_latest_materialization_event(key, partition="p3") is None


def test_a_wiped_asset_is_gone_until_something_happens_to_it(instance: Instance) -> None:
    key = AssetKey("a")
    instance.report_runless_asset_event(AssetMaterialization(asset_key=key, partition="p"))
    instance.report_runless_asset_event(AssetWiped(asset_key=key))
    assert not instance.has_asset_key(key)
    assert (
        instance.get_asset_records() == instance.get_asset_partitions(key) == instance.get_materializations(key) == []
    )
    assert instance.get_latest_materialization_event(key) is None
    instance.report_runless_asset_event(AssetObservation(asset_key=key))
    (record,) = instance.get_asset_records()
    assert record.materialization is None
    assert record.observation is not None
    assert record.wiped_us is not None


def test_runless_events_go_to_one_of_sixteen_shards(instance: Instance) -> None:
    assert asset_shard(AssetKey(("raw", "orders"))) == "@asset-events/7"  # for ever: it is on disk
    receipts = [
        instance.report_runless_asset_event(AssetObservation(asset_key=AssetKey(str(number)))) for number in range(99)
    ]
    assert {receipt.shard for receipt in receipts} == {f"@asset-events/{number}" for number in range(16)}
    with pytest.raises(UsageError, match="RunStarted is no event of an asset"):
        instance.report_runless_asset_event(events.RunStarted())


def test_checks_are_told_newest_first(instance: Instance) -> None:
    with instance.run("job") as run:
        run.check("a", "fresh", True)
        run.check("a", "fresh", False, severity="WARN", metadata={"late": 3})
        run.check("a", "whole", True)
    found = instance.get_asset_checks("a")
    assert [(check.check_name, check.status) for check in found] == [
        ("whole", "PASSED"),
        ("fresh", "FAILED"),
        ("fresh", "PASSED"),
    ]
    (latest,) = instance.get_asset_checks("a", check_name="fresh", limit=1)
    assert (latest.severity, latest.metadata, latest.run_id) == ("WARN", {"late": 3}, run.run_id)


def test_a_deleted_run_is_gone_and_takes_no_events(instance: Instance) -> None:
    runs_of(instance, 2)
    assert len(instance.logs("run-0").records) == 3
    instance.delete_run("run-0")
    instance.delete_run("run-0")
    assert ids(instance.get_run_records()) == ["run-1"]
    assert instance.logs("run-0").records == []
    with pytest.raises(ShardPurged):
        instance.log.append("run-0", [Event.now(events.RunStarted())])
    with pytest.raises(UsageError, match="there is no run unheard-of"):
        instance.delete_run("unheard-of")


def test_it_tells_where_it_stands(instance: Instance) -> None:
    runs_of(instance, 1)
    instance.get_run_records()
    runs_of_more = instance.log.append("run-x", [Event.now(events.RunStarted())], wait="ordered")
    told = instance.status()
    assert (told["url"], told["head"]) == ("memory://", runs_of_more.first_seq + 3)
    assert {view["name"]: view["lag"] for view in told["views"]} == dict.fromkeys(instance.views.names, 1)
    assert instance.position == 3


@pytest.mark.parametrize("views", ["memory://x", "sqlite://", "sqlite:///", "s3://bucket", "views.db"])
def test_a_place_for_views_that_is_none_is_refused(views: str) -> None:
    with Instance.from_url("memory://", views=views) as instance:
        with pytest.raises(UsageError, match="write memory://, sqlite:///FILE, postgresql://"):
            instance.get_run_records()


def test_views_may_be_kept_on_a_server(tmp_path: Path, postgres_url: str) -> None:
    with Instance.from_url(f"sqlite:///{tmp_path}/h", views=postgres_url) as instance:
        runs_of(instance, 3)
        assert len(instance.get_run_records()) == 3
        assert instance.verify().ok
    assert not (tmp_path / "h" / "views.db").exists()


def test_it_can_be_closed_twice_and_says_so_when_it_is_asked_later(instance: Instance) -> None:
    instance.close()
    instance.close()
    with pytest.raises(UsageError, match="is closed"):
        instance.get_run_records()


def test_reporting_alone_does_not_load_sqlalchemy(tmp_path: Path) -> None:
    code = (
        "import sys, foldlog\n"
        f"with foldlog.Instance.from_url('sqlite:///{tmp_path}/h') as instance:\n"
        "    with instance.run('job') as run:\n"
        "        run.materialize('a')\n"
        "assert 'sqlalchemy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
