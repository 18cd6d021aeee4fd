"""What each question and each filter means, on every backend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foldlog import (
    AssetKey,
    AssetRecordsFilter,
    Event,
    EventRecordsFilter,
    Instance,
    JobBucket,
    RunsFilter,
    RunStatusChangeRecordsFilter,
    TagBucket,
    UsageError,
    events,
)
from foldlog.engine.events import AssetCheckKey

START_US = 1_700_000_000_000_000


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


def tell(instance: Instance, run_id: str, *facts: Any, at: int = 0, step: str | None = None) -> None:
    """Record facts of a run, a microsecond apart from `at`."""
    instance.log.append(run_id, [Event(fact, START_US + at + n, step_key=step) for n, fact in enumerate(facts)])


def created(job: str = "job", **more: Any) -> events.RunCreated:
    return events.RunCreated(job_name=job, **more)


def made(key: str = "a", partition: str | None = None, **more: Any) -> events.AssetMaterialization:
    return events.AssetMaterialization(asset_key=AssetKey.of(key), partition=partition, **more)


def planned(key: str = "a", *partitions: str) -> events.AssetMaterializationPlanned:
    return events.AssetMaterializationPlanned(asset_key=AssetKey.of(key), partitions=partitions)


def ids(records: Any) -> list[str]:
    return [record.run.run_id for record in records]


def some_runs(instance: Instance) -> None:
    """Six runs, 100 us apart: r0 failed, r1 succeeded, r2 canceled, r3 started, r4 queued, r5 only created."""
    lives: list[list[Any]] = [
        [events.RunEnqueued(), events.RunStarting(), events.RunStarted(), events.RunFailed(reason="STEP_FAILURE")],
        [events.RunEnqueued(), events.RunStarting(), events.RunStarted(), events.RunSucceeded()],
        [events.RunStarted(), events.RunCanceling(), events.RunCanceled()],
        [events.RunStarted()],
        [events.RunEnqueued()],
        [],
    ]
    for n, life in enumerate(lives):
        tags = {"parity": "odd" if n % 2 else "even", "number": str(n)}
        if n in (1, 4):
            tags["dagster/backfill" if n == 1 else "foldlog/backfill"] = "b1"
        born = created(
            f"job-{n % 2}",
            tags=tags,
            run_config={"n": n},
            job_snapshot_id=f"snap-{n % 3}",
            root_run_id="r0" if n in (2, 3) else None,
            parent_run_id={2: "r0", 3: "r2"}.get(n),
        )
        tell(instance, f"r{n}", born, *life, at=100 * n)


# -- runs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "543210"),
        ({"run_ids": ["r1", "r4", "none"]}, "41"),
        ({"run_ids": []}, ""),
        ({"job_name": "job-1"}, "531"),
        ({"statuses": ["FAILURE", "STARTED"]}, "30"),
        ({"statuses": []}, ""),
        ({"tags": {"parity": "even"}}, "420"),
        ({"tags": {"number": ["0", "3", "9"]}}, "30"),
        ({"tags": {"parity": "even", "number": ["0", "3"]}}, "0"),
        ({"snapshot_id": "snap-1"}, "41"),
        ({"exclude_subruns": True}, "5320"),
        ({"exclude_subruns": True, "tags": {"parity": "odd"}}, "53"),
        ({"created_after_us": START_US + 100, "created_before_us": START_US + 400}, "32"),
        ({"updated_after_us": START_US + 104, "updated_before_us": START_US + 500}, "432"),
        ({"job_name": "job-0", "statuses": ["FAILURE", "CANCELED", "QUEUED"], "tags": {"parity": "even"}}, "420"),
        ({"job_name": "job-0", "snapshot_id": "snap-0", "created_before_us": START_US + 1}, "0"),
        ({"statuses": ["SUCCESS"], "tags": {"number": "0"}}, ""),
        ({"run_ids": ["r0", "r1"], "statuses": ["SUCCESS"], "tags": {"parity": "odd"}}, "1"),
    ],
)
def test_all_conditions_of_a_filter_hold(instance: Instance, filters: dict[str, Any], found: str) -> None:
    some_runs(instance)
    wanted = [f"r{n}" for n in found]
    chosen = RunsFilter(**filters)
    assert ids(instance.get_run_records(chosen)) == wanted
    assert ids(instance.get_run_records(chosen, ascending=True)) == wanted[::-1]
    assert [run.run_id for run in instance.get_runs(chosen)] == wanted
    assert instance.get_run_ids(chosen) == wanted
    assert instance.get_runs_count(chosen) == len(wanted)
    for order in ("storage_id", "created", "updated"):
        assert sorted(ids(instance.get_run_records(chosen, order_by=order))) == sorted(wanted)
        paged = []
        cursor = None
        while page := ids(instance.get_run_records(chosen, order_by=order, cursor=cursor, limit=2)):
            paged += page
            cursor = page[-1]
        assert paged == ids(instance.get_run_records(chosen, order_by=order))


def test_runs_by_several_orders(instance: Instance) -> None:
    some_runs(instance)
    tell(instance, "r1", events.RunTagsAdded(tags={"late": "yes"}), at=5000)
    tell(instance, "early", created(), at=-50)
    assert ids(instance.get_run_records()) == ["early", "r5", "r4", "r3", "r2", "r1", "r0"]
    assert ids(instance.get_run_records(order_by="created")) == ["r5", "r4", "r3", "r2", "r1", "r0", "early"]
    assert ids(instance.get_run_records(order_by="updated", limit=3)) == ["r1", "r5", "r4"]
    assert ids(instance.get_run_records(order_by="started")) == ["r3", "r2", "r1", "r0"]
    assert ids(instance.get_run_records(order_by="ended", ascending=True)) == ["r0", "r1", "r2"]
    assert ids(instance.get_run_records(order_by="ended", cursor="r1")) == ["r0"]
    assert ids(instance.get_run_records(order_by="ended", cursor="r5")) == []  # it has no place there
    started = RunsFilter(statuses=["FAILURE", "SUCCESS"], job_name="job-0")
    assert ids(instance.get_run_records(started, order_by="started")) == ["r0"]
    # a bound of time brings its own order
    assert ids(instance.get_run_records(RunsFilter(updated_after_us=START_US + 200), limit=2)) == ["r1", "r5"]
    with pytest.raises(UsageError, match="order_by='job': runs are ordered by storage_id, created, updated"):
        instance.get_run_records(order_by="job")


def test_ties_of_time_go_by_position(instance: Instance) -> None:
    for n in range(7):
        tell(instance, f"r{n}", created(), at=0)
    paged, cursor = [], None
    while page := ids(instance.get_run_records(order_by="updated", cursor=cursor, limit=2)):
        paged += page
        cursor = page[-1]
    assert paged == [f"r{n}" for n in range(6, -1, -1)]


def test_runs_in_buckets(instance: Instance) -> None:
    some_runs(instance)
    by_job = JobBucket(job_names=["job-0", "job-1", "none"], bucket_limit=2)
    assert ids(instance.get_run_records(bucket_by=by_job)) == ["r5", "r4", "r3", "r2"]
    assert ids(instance.get_run_records(bucket_by=by_job, limit=3)) == ["r5", "r4", "r3"]
    assert ids(instance.get_run_records(bucket_by=by_job, cursor="r3")) == ["r2", "r1", "r0"]
    assert ids(instance.get_run_records(RunsFilter(job_name="job-1"), bucket_by=by_job)) == ["r5", "r3"]
    by_tag = TagBucket(tag_key="parity", tag_values=["odd", "even"], bucket_limit=1)
    assert ids(instance.get_run_records(bucket_by=by_tag)) == ["r5", "r4"]
    assert ids(instance.get_run_records(bucket_by=by_tag, ascending=True)) == ["r0", "r1"]
    odd = RunsFilter(tags={"parity": "odd"}, statuses=["SUCCESS", "STARTED"])
    assert [run.run_id for run in instance.get_runs(odd, bucket_by=by_tag)] == ["r3"]
    with pytest.raises(UsageError, match="bucket_limit=5001 is not 1 to 5,000"):
        TagBucket(tag_key="t", tag_values=["a", "b"], bucket_limit=5001)


def test_a_run_has_what_it_was_created_with(instance: Instance) -> None:
    fact = created(
        "j",
        run_config={"ops": {"a": {"config": [1, None, "x"]}}},
        asset_selection=(AssetKey("a"),),
        asset_check_selection=(AssetCheckKey(AssetKey("a"), "fresh"),),
        op_selection=("a*",),
        step_keys=("a", "b"),
        job_snapshot_id="js",
        plan_snapshot_id="ps",
        code_location="loc",
        repository="repo",
        pools={"db": 2},
    )
    tell(instance, "r", fact, events.RunStarted(), events.RunSucceeded())
    run = instance.get_run_by_id("r")
    assert run is not None
    assert run.is_success
    names = "run_config asset_selection asset_check_selection op_selection step_keys job_snapshot_id plan_snapshot_id"
    for name in (*names.split(), "code_location", "repository", "pools"):
        assert getattr(run, name) == getattr(fact, name), name
    assert run == instance.get_runs()[0]
    instance.log.append("bare", [Event.now(events.RunStarted())])  # tells of itself without RUN_CREATED
    bare = instance.get_run_by_id("bare")
    assert bare is not None
    assert (bare.run_config, bare.step_keys) == ({}, None)


def test_tags_of_runs(instance: Instance) -> None:
    some_runs(instance)
    assert instance.get_run_tag_keys() == ["dagster/backfill", "foldlog/backfill", "number", "parity"]
    assert instance.get_run_tag_keys(cursor="foldlog/backfill", limit=1) == ["number"]
    assert instance.get_run_tags(["parity", "none", "number"], limit=4) == [
        ("parity", ["even", "odd"]),
        ("number", ["0", "1", "2", "3"]),
    ]
    assert instance.get_run_tags(["parity"], value_prefix="o") == [("parity", ["odd"])]
    instance.add_run_tags("r0", {"parity": "changed", "new": "x"})
    instance.remove_run_tags("r0", ["number", "none"])
    run = instance.get_run_by_id("r0")
    assert run is not None
    assert run.tags == {"parity": "changed", "new": "x"}
    instance.remove_run_tags("r1", ["dagster/backfill"])
    assert ids(instance.get_run_records(RunsFilter(exclude_subruns=True))) == ["r5", "r3", "r2", "r1", "r0"]
    instance.add_run_tags("r1", {"foldlog/backfill": "b2"})
    assert ids(instance.get_run_records(RunsFilter(exclude_subruns=True))) == ["r5", "r3", "r2", "r0"]
    for call in (lambda: instance.add_run_tags("none", {"a": "b"}), lambda: instance.remove_run_tags("none", ["a"])):
        with pytest.raises(UsageError, match="there is no run none"):
            call()
    with pytest.raises(UsageError, match=r"write tag_keys=\['parity'\]"):
        instance.get_run_tags("parity")


def test_the_group_of_a_run(instance: Instance) -> None:
    some_runs(instance)
    for run_id in ("r0", "r2", "r3"):
        root, runs = instance.get_run_group(run_id) or ("", [])
        assert (root, [run.run_id for run in runs]) == ("r0", ["r0", "r2", "r3"])
    assert [run.run_id for run in (instance.get_run_group("r1") or ("", []))[1]] == ["r1"]
    assert instance.get_run_group("none") is None
    assert instance.has_run("r1")
    assert not instance.has_run("none")
    instance.delete_run("r1")
    assert not instance.has_run("r1")
    assert instance.get_runs_count() == 5
    instance.delete_run("r0")  # the root: its line still goes back to it
    assert [run.run_id for run in (instance.get_run_group("r3") or ("", []))[1]] == ["r2", "r3"]


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: RunsFilter(job="x"), r"RunsFilter has no field job; it has run_ids, job_name, statuses"),
        (lambda: RunsFilter(statuses=["DONE"]), "is not a list of statuses, which are QUEUED, NOT_STARTED"),
        (lambda: RunsFilter(statuses="FAILURE"), "statuses='FAILURE' is not a list"),
        (lambda: RunsFilter(run_ids="r1"), "run_ids='r1' is not a list of texts"),
        (lambda: RunsFilter(tags={"a": 1}), "is not texts as keys and values"),
        (lambda: RunsFilter(updated_after_us=1.5), r"updated_after_us=1\.5 is not microseconds"),
        (lambda: EventRecordsFilter(event_type=None), "event_type=None is not the name of a type"),
        (lambda: EventRecordsFilter(event_type="X", storage_ids=["1"]), "is not positions"),
        (lambda: AssetRecordsFilter(asset_key="a", asset_partitions="p"), "asset_partitions='p' is not a list"),
        (lambda: RunStatusChangeRecordsFilter(event_type="STEP_START"), "is not one of RUN_ENQUEUED, RUN_STARTING"),
        (lambda: JobBucket(job_names=["a"], bucket_limit=0), "bucket_limit=0 is not 1 to 10,000"),
    ],
)
def test_a_bad_field_or_value_is_refused(make: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make()


def test_a_filter_and_shortcuts_do_not_mix() -> None:
    with Instance.ephemeral() as instance:
        with pytest.raises(UsageError, match="are fields of the filter that was given"):
            instance.get_run_records(RunsFilter(), job_name="j")
        with pytest.raises(UsageError, match="is no RunsFilter"):
            instance.get_run_records({"job_name": "j"})
        with pytest.raises(UsageError, match="is no EventRecordsFilter"):
            instance.get_event_records("RUN_START")


def test_a_condition_may_be_common_or_rare(instance: Instance) -> None:
    """Above a thousand matches another index leads; the answers are the same."""
    from foldlog.engine.views import run_search

    facts = [created("j", tags={"all": "x", "rare": "y" if n in (5, 40) else "n"}) for n in range(60)]
    for n, fact in enumerate(facts):
        tell(instance, f"r{n:02}", fact, events.RunStarted(), *([events.RunSucceeded()] if n % 4 else []), at=10 * n)
    wanted = {
        name: [ids(instance.get_run_records(one, order_by=order)) for order in run_search.ORDERS]
        for name, one in (
            ("rare tag", RunsFilter(tags={"all": "x", "rare": "y"}, statuses=["SUCCESS", "STARTED"])),
            ("common", RunsFilter(tags={"all": "x"}, job_name="j", statuses=["SUCCESS"])),
            ("values", RunsFilter(tags={"rare": ["y", "n"]}, statuses=["STARTED"], exclude_subruns=True)),
        )
    }
    assert wanted["rare tag"][0] == ["r40", "r05"]
    with pytest.MonkeyPatch.context() as patch:
        for most in (0, 2, 16):
            patch.setattr(run_search, "PROBE", most)
            assert wanted["common"] == [
                ids(
                    instance.get_run_records(
                        RunsFilter(tags={"all": "x"}, job_name="j", statuses=["SUCCESS"]), order_by=order
                    )
                )
                for order in run_search.ORDERS
            ]
            assert wanted["rare tag"] == [
                ids(
                    instance.get_run_records(
                        RunsFilter(tags={"all": "x", "rare": "y"}, statuses=["SUCCESS", "STARTED"]), order_by=order
                    )
                )
                for order in run_search.ORDERS
            ]
            assert wanted["values"] == [
                ids(
                    instance.get_run_records(
                        RunsFilter(tags={"rare": ["y", "n"]}, statuses=["STARTED"], exclude_subruns=True),
                        order_by=order,
                    )
                )
                for order in run_search.ORDERS
            ]


def test_a_condition_may_list_many_values(instance: Instance) -> None:
    """Up to 200 they are one walk down the index each, in one statement; above that, several statements or a sort."""
    for n in range(250):
        tell(instance, f"r{n}", created(f"j{n}", tags={"k": f"v{n}"}), events.RunSucceeded(), made("a", f"p{n}"))
    for count in (199, 200, 201, 250):
        wanted = [f"r{n}" for n in range(count)][::-1]
        names = {letter: [f"{letter}{n}" for n in range(count)] for letter in "jvp"}
        assert ids(instance.get_run_records(RunsFilter(tags={"k": names["v"]}))) == wanted
        succeeded = RunStatusChangeRecordsFilter(event_type="RUN_SUCCESS", job_names=names["j"])
        assert [record.shard for record in instance.fetch_run_status_changes(succeeded).records] == wanted
        of_asset = AssetRecordsFilter(asset_key="a", asset_partitions=names["p"])
        assert [record.shard for record in instance.fetch_materializations(of_asset).records] == wanted
        assert [record.shard for record in instance.fetch_materializations(of_asset, limit=7).records] == wanted[:7]
        assert set(instance.get_status_by_partition("a", names["p"]).values()) == {"MATERIALIZED"}


# -- steps --------------------------------------------------------------------------------------------------------


def test_attempts_and_stats(instance: Instance) -> None:
    error = events.ErrorInfo(class_name="E", message="m")
    tell(instance, "r", created(), events.RunEnqueued(), events.RunStarting(), events.RunStarted())
    tell(
        instance, "r",
        events.StepStarted(), events.StepExpectationResult(success=False),
        events.StepUpForRetry(attempt=1, error=error), events.StepRestarted(attempt=2),
        events.StepSucceeded(attempt=1), made("a"), events.StepSucceeded(attempt=2),
        at=10, step="a",
    )  # fmt: skip
    tell(instance, "r", events.StepStarted(), events.StepFailed(error=error), at=20, step="b")
    tell(instance, "r", events.StepSkipped(), at=30, step="c")
    tell(instance, "r", events.RunFailed(), events.StepStarted(), at=40, step="d")
    attempts = instance.get_step_attempts("r")
    assert [(a.step_key, a.attempt, a.status, a.started_us, a.ended_us, a.error_class) for a in attempts] == [
        ("a", 1, "UP_FOR_RETRY", START_US + 10, START_US + 12, "E"),
        ("a", 2, "SUCCESS", START_US + 13, START_US + 16, None),  # the late end of the first attempt changed nothing
        ("b", 1, "FAILURE", START_US + 20, START_US + 21, "E"),
        ("d", 1, "STARTED", START_US + 41, None, None),
    ]
    assert [a.attempt for a in instance.get_step_attempts("r", step_key="a", limit=1)] == [1]
    assert [(s.step_key, s.status) for s in instance.get_run_step_stats("r", ["c", "a"])] == [
        ("a", "SUCCESS"),
        ("c", "SKIPPED"),
    ]
    stats = instance.get_run_stats("r")
    assert stats is not None
    assert (stats.steps_succeeded, stats.steps_failed, stats.materializations, stats.expectations) == (1, 1, 1, 1)
    times = (stats.enqueued_us, stats.launched_us, stats.started_us, stats.ended_us)
    assert times == (START_US + 1, START_US + 2, START_US + 3, START_US + 40)
    assert instance.get_run_stats("none") is None


# -- assets -------------------------------------------------------------------------------------------------------


def test_materializations_by_filter(instance: Instance) -> None:
    for n in range(6):
        fact = made("a", f"p{n % 3}", tags={"n": str(n), "parity": str(n % 2)}, code_version=f"v{n}")
        tell(instance, f"r{n}", fact, made("b"), at=100 * n)
    tell(instance, "r0", made("a"), at=1000)

    def found(**more: Any) -> list[str]:
        page = instance.fetch_materializations(AssetRecordsFilter(asset_key="a", **more))
        assert not page.has_more
        return [record.event.fact.tags.get("n", "-") for record in page.records]

    everything = instance.fetch_materializations("a", ascending=True).records
    positions = [record.position or 0 for record in everything]
    assert [record.shard for record in everything] == ["r0", "r1", "r2", "r3", "r4", "r5", "r0"]
    for record in everything:
        assert instance.log.read_at(record.position) == record  # whole, as the log has it
    assert found() == ["-", "5", "4", "3", "2", "1", "0"]
    assert found(asset_partitions=["p1"]) == ["4", "1"]
    assert found(asset_partitions=["p0", "p2", "none"]) == ["5", "3", "2", "0"]
    assert found(asset_partitions=[]) == []
    assert found(after_storage_id=positions[1], before_storage_id=positions[4]) == ["3", "2"]
    assert found(after_timestamp_us=START_US + 100, before_timestamp_us=START_US + 400) == ["3", "2"]
    assert found(storage_ids=[positions[0], positions[3], 9999]) == ["3", "0"]
    assert found(storage_ids=positions, asset_partitions=["p0"]) == ["3", "0"]
    assert found(tags={"parity": "1"}) == ["5", "3", "1"]
    assert found(tags={"parity": ["0", "1"], "n": ["2", "3"]}, asset_partitions=["p0"]) == ["3"]
    page = instance.fetch_materializations("a", limit=3)
    assert page.has_more
    assert page.cursor == str(positions[4])
    rest = instance.fetch_materializations("a", cursor=page.cursor)
    assert [record.position for record in rest.records] == positions[3::-1]
    end = instance.fetch_materializations("a", cursor=rest.cursor)
    assert (list(end.records), end.cursor, end.has_more) == ([], rest.cursor, False)
    assert instance.get_event_tags_for_asset("a", filter_tags={"parity": "0"}, limit=2) == [
        {"n": "4", "parity": "0"},
        {"n": "2", "parity": "0"},
    ]
    assert instance.get_event_tags_for_asset("a", filter_event_id=positions[1]) == [{"n": "1", "parity": "1"}]
    with pytest.raises(UsageError, match="cursor='x' is no cursor"):
        instance.fetch_materializations("a", cursor="x")


def test_observations_and_failures(instance: Instance) -> None:
    key = AssetKey("a")
    tell(instance, "r", events.AssetObservation(asset_key=key, data_version="1"), made())
    tell(instance, "r", events.AssetFailedToMaterialize(asset_key=key, partition="p"))
    assert [r.event.fact.data_version for r in instance.fetch_observations("a").records] == ["1"]
    assert [r.event.fact.partition for r in instance.fetch_failed_materializations(key).records] == ["p"]


def test_the_latest_of_several_assets(instance: Instance) -> None:
    tell(instance, "r0", made("a", code_version="1"), made("b"), made("x"))
    tell(instance, "r1", made("a", "p"), events.AssetMaterializationPlanned(asset_key=AssetKey("c")))
    latest = instance.get_latest_materialization_events(["b", "a", "c", "none"])
    assert [(str(key), record.shard) for key, record in latest.items()] == [("b", "r0"), ("a", "r1")]
    versions = instance.get_latest_materialization_code_versions(["a", "b", "c"])
    assert versions == {AssetKey("a"): "r1", AssetKey("b"): "r0", AssetKey("c"): None}
    plan = instance.get_latest_planned_materialization_info("c")
    assert plan is not None
    assert plan.run_id == "r1"
    assert instance.get_latest_planned_materialization_info("a") is None
    with pytest.raises(UsageError, match="asset_keys='a' is one text"):
        instance.get_latest_materialization_events("a")


def test_asset_keys_by_prefix_and_cursor(instance: Instance) -> None:
    for key in ("a", "a/b", "a/c/d", "ab", "a0", "b"):
        instance.report_runless_asset_event(made(key))
    assert [str(key) for key in instance.get_asset_keys(prefix="a")] == ["a", "a/b", "a/c/d"]
    assert [str(key) for key in instance.get_asset_keys(prefix="a", cursor="a/b")] == ["a/c/d"]
    assert [str(key) for key in instance.get_asset_keys(limit=2, cursor="a/c/d")] == ["a0", "ab"]
    assert [str(one.asset_key) for one in instance.get_asset_records(["b", "a", "none"])] == ["a", "b"]


def status(instance: Instance, *names: str) -> list[str | None]:
    found = instance.get_status_by_partition("a", names)
    assert list(found) == list(names)
    for one in instance.get_asset_partitions("a"):
        if one.partition in found:
            assert (found[one.partition] or "MISSING") == one.status
            assert one in instance.get_asset_partitions("a", statuses=[one.status])
    return list(found.values())


def test_a_planned_partition_is_in_progress_while_its_run_lives(instance: Instance) -> None:
    key = AssetKey("a")
    tell(instance, "old", created(), made("a", "made"), events.AssetFailedToMaterialize(asset_key=key, partition="bad"))
    assert status(instance, "made", "bad", "new") == ["MATERIALIZED", "FAILED", None]
    for run_id in ("lives", "succeeds", "fails", "canceled", "deleted"):
        tell(instance, run_id, created(), events.RunStarted(), planned("a", "made", "bad", "new"), made("a", run_id))
    everything = ["IN_PROGRESS"] * 3
    assert status(instance, "made", "bad", "new") == everything
    tell(instance, "fails", events.RunFailed())
    tell(instance, "succeeds", events.RunSucceeded())
    tell(instance, "canceled", events.RunCanceled())
    assert status(instance, "made", "bad", "new") == everything  # two still live
    tell(instance, "lives", events.RunSucceeded())
    assert status(instance, "made", "bad", "new") == everything  # one does
    instance.delete_run("deleted")
    # the one that planned last is gone, and not known to have failed: as it was before
    assert status(instance, "made", "bad", "new") == ["MATERIALIZED", "FAILED", None]
    tell(instance, "again", created(), planned("a", "made", "bad", "new"), events.RunFailed())
    assert status(instance, "made", "bad", "new") == ["FAILED"] * 3
    tell(instance, "mends", created(), planned("a", "made", "bad", "new"), made("a", "bad"), events.RunSucceeded())
    assert status(instance, "made", "bad", "new") == ["MATERIALIZED", "MATERIALIZED", None]
    before = instance.get_asset_partitions("a")
    assert instance.verify().ok
    instance.rebuild()
    assert instance.get_asset_partitions("a") == before


def test_a_plan_of_no_run_waits_for_an_answer(instance: Instance) -> None:
    instance.report_runless_asset_event(planned("a", "p"))
    assert status(instance, "p") == ["IN_PROGRESS"]
    instance.report_runless_asset_event(made("a", "p"))
    assert status(instance, "p") == ["MATERIALIZED"]


def test_positions_and_versions_by_partition(instance: Instance) -> None:
    tell(instance, "r", made("a", "p0", data_version="1"), made("a", "p1"), made("a", "p0", data_version="2"))
    tell(instance, "r", planned("a", "p1", "p2"))
    records = instance.fetch_materializations("a", ascending=True).records
    latest = {"p0": records[2].position, "p1": records[1].position}
    assert instance.get_latest_storage_id_by_partition("a") == latest
    assert instance.get_latest_storage_id_by_partition("a", partitions=["p1", "none"]) == {"p1": latest["p1"]}
    assert set(instance.get_latest_storage_id_by_partition("a", "ASSET_MATERIALIZATION_PLANNED")) == {"p1", "p2"}
    assert instance.get_materialized_partitions("a") == ["p0", "p1"]
    assert instance.get_materialized_partitions("a", limit=1, cursor="p0") == ["p1"]
    assert instance.get_materialized_partitions("a", after_storage_id=latest["p1"]) == ["p0"]
    assert instance.get_data_version_by_partition("a") == {"p0": "2", "p1": None}
    assert instance.get_data_version_by_partition("a", ["p0"]) == {"p0": "2"}
    with pytest.raises(UsageError, match="known of each partition is ASSET_MATERIALIZATION"):
        instance.get_latest_storage_id_by_partition("a", "ASSET_OBSERVATION")
    with pytest.raises(UsageError, match="a partition is IN_PROGRESS, FAILED"):
        instance.get_asset_partitions("a", statuses=["DONE"])


# -- wipes --------------------------------------------------------------------------------------------------------


def test_a_wiped_asset_answers_no_question(instance: Instance) -> None:
    key, check = AssetKey("a"), AssetCheckKey(AssetKey("a"), "fresh")
    evaluated = events.AssetCheckEvaluation(asset_key=key, check_name="fresh", passed=True)
    tell(instance, "r", created(), planned("a", "p"), made("a", "p", tags={"t": "x"}), evaluated, made("b"))
    instance.wipe_assets(["a", "never heard of"])
    assert [str(one) for one in instance.get_asset_keys()] == ["b"]
    assert [str(one.asset_key) for one in instance.get_asset_records()] == ["b"]
    assert not instance.has_asset_key("a")
    assert instance.get_asset_partitions("a") == instance.get_materializations("a") == []
    assert instance.get_status_by_partition("a", ["p"]) == {"p": None}
    assert instance.get_latest_materialization_event("a") is None
    assert instance.get_latest_materialization_events(["a"]) == {}
    assert instance.get_latest_materialization_code_versions(["a"]) == {key: None}
    assert instance.get_latest_planned_materialization_info("a") is None
    assert instance.get_latest_planned_materialization_info("a", partition="p") is None
    assert instance.get_materialized_partitions("a") == []
    assert instance.get_latest_storage_id_by_partition("a") == instance.get_data_version_by_partition("a") == {}
    assert instance.get_event_tags_for_asset("a") == []
    assert instance.get_asset_checks("a") == instance.get_asset_check_execution_history(check) == []
    assert instance.get_latest_asset_check_execution_by_key([check]) == {}
    for kind in ("ASSET_MATERIALIZATION", "ASSET_MATERIALIZATION_PLANNED", "ASSET_CHECK_EVALUATION"):
        of_asset = EventRecordsFilter(event_type=kind, asset_key="a")
        assert list(instance.get_event_records(of_asset).records) == []
        everywhere = instance.get_event_records(EventRecordsFilter(event_type=kind)).records
        assert [str(record.event.fact.asset_key) for record in everywhere] == ["b"] * (kind == "ASSET_MATERIALIZATION")
    tell(instance, "r", made("a", "q"), evaluated)
    assert instance.get_materialized_partitions("a") == ["q"]
    assert len(instance.get_asset_checks("a")) == 1
    assert instance.verify().ok


def test_a_wiped_partition_answers_no_question(instance: Instance) -> None:
    evaluated = events.AssetCheckEvaluation(asset_key=AssetKey("a"), check_name="c", passed=True, partition="p0")
    tell(instance, "r", created(), planned("a", "p0", "p1"), made("a", "p1"), made("a", "p0"), evaluated)
    instance.wipe_asset_partitions("a", ["p0"])
    found = instance.fetch_materializations("a").records
    assert [record.event.fact.partition for record in found] == ["p1"]
    by_partition = AssetRecordsFilter(asset_key="a", asset_partitions=["p0", "p1"])
    assert [r.event.fact.partition for r in instance.fetch_materializations(by_partition).records] == ["p1"]
    assert instance.get_materialized_partitions("a") == ["p1"]
    assert instance.get_latest_materialization_event("a", partition="p0") is None
    latest = instance.get_latest_materialization_event("a")
    assert latest is not None
    assert latest.event.fact.partition == "p1"
    assert instance.get_asset_checks("a") == []
    plans = EventRecordsFilter(event_type="ASSET_MATERIALIZATION_PLANNED", asset_key="a")
    assert len(instance.get_event_records(plans).records) == 1  # it was of p1 as well
    instance.wipe_asset_partitions("a", ["p1"])
    assert list(instance.get_event_records(plans).records) == []
    assert instance.get_asset_keys() == []
    instance.wipe_asset_partitions("a", [])
    with pytest.raises(UsageError, match=r"write partitions=\['p'\]"):
        instance.wipe_asset_partitions("a", "p")
    with pytest.raises(UsageError, match="is one "):
        instance.wipe_assets("a")


# -- checks -------------------------------------------------------------------------------------------------------


def test_the_history_of_a_check(instance: Instance) -> None:
    key = AssetKey("a")
    check = AssetCheckKey(key, "fresh")

    def plan(name: str = "fresh") -> events.AssetCheckEvaluationPlanned:
        return events.AssetCheckEvaluationPlanned(asset_key=key, check_name=name)

    def done(passed: bool, **more: Any) -> events.AssetCheckEvaluation:
        return events.AssetCheckEvaluation(asset_key=key, check_name="fresh", passed=passed, **more)

    tell(instance, "r0", created(), plan(), done(True, metadata={"m": 1}), events.RunSucceeded())
    tell(instance, "r1", created(), plan(), done(False, partition="p"), events.RunSucceeded())  # another partition's
    tell(instance, "r2", created(), plan(), events.RunFailed())
    tell(instance, "r3", created(), plan(), events.RunStarted())
    history = instance.get_asset_check_execution_history(check)
    assert [one.status for one in history] == ["PLANNED", "EXECUTION_FAILED", "FAILED", "SKIPPED", "PASSED"]
    assert [one.run_id for one in history] == ["r3", "r2", "r1", "r1", "r0"]
    assert history[-1].metadata == {"m": 1}
    assert history[-1].event == instance.log.read_at(history[-1].position)
    assert instance.get_asset_check_execution_history(check, limit=1, cursor=history[0].position) == [history[1]]
    for one in history:
        assert one in instance.get_asset_check_execution_history(check, status=[one.status])
    assert [o.status for o in instance.get_asset_check_execution_history(check, status=["PASSED", "SKIPPED"])] == [
        "SKIPPED",
        "PASSED",
    ]
    assert [o.run_id for o in instance.get_asset_check_execution_history(check, partition="p")] == ["r1"]
    assert instance.get_asset_checks("a") == history
    other = AssetCheckKey(key, "other")
    assert instance.get_latest_asset_check_execution_by_key([check, other]) == {check: history[0]}
    summaries = instance.get_asset_check_summary_records([check, other])
    assert (summaries[check].latest, summaries[check].latest_result) == (history[0], history[2])
    assert (summaries[other].latest, summaries[other].latest_result) == (None, None)
    instance.delete_run("r3")
    assert instance.get_asset_check_execution_history(check)[0].status == "SKIPPED"
    with pytest.raises(UsageError, match="an execution of a check is PLANNED, PASSED"):
        instance.get_asset_check_execution_history(check, status=["BAD"])


# -- events -------------------------------------------------------------------------------------------------------


def test_events_of_any_type(instance: Instance) -> None:
    for n in range(5):
        tell(instance, f"r{n}", created(f"j{n % 2}"), events.RunStarted(), at=100 * n)
        tell(instance, f"r{n}", events.StepStarted(), events.LogMessage(text=str(n)), made(), at=100 * n + 50, step="s")
        tell(instance, f"r{n}", events.RunSucceeded(), at=100 * n + 90)
    by_type: dict[str, list[Any]] = {}
    for record in instance.log.read().events:
        by_type.setdefault(record.event.type, []).append(record)
    kinds = ("STEP_START", "LOG_MESSAGE", "RUN_START", "RUN_SUCCESS", "RUN_CREATED", "ASSET_MATERIALIZATION")
    for kind in kinds:
        wanted = by_type[kind]
        places = [record.position for record in wanted]

        def found(ascending: bool = False, kind: str = kind, **more: Any) -> list[Any]:
            chosen = EventRecordsFilter(event_type=kind, **more)
            whole = list(instance.get_event_records(chosen, ascending=ascending).records)
            paged: list[Any] = []
            page = instance.get_event_records(chosen, ascending=ascending, limit=2)
            while page.records:
                paged += page.records
                assert page.has_more == (len(paged) < len(whole))
                page = instance.get_event_records(chosen, ascending=ascending, limit=2, cursor=page.cursor)
            assert paged == whole
            return whole

        assert found(ascending=True) == wanted
        assert found() == wanted[::-1]
        assert found(after_cursor=places[0], before_cursor=places[3]) == wanted[2:0:-1]
        assert found(ascending=True, after_cursor=places[0], before_cursor=places[3]) == wanted[1:3]
        times = [record.event.timestamp_us for record in wanted]
        assert found(after_timestamp_us=times[1], before_timestamp_us=times[4]) == wanted[3:1:-1]
        assert found(ascending=True, after_timestamp_us=times[1]) == wanted[2:]
        others = [record.position for record in by_type[kinds[kinds.index(kind) - 1]]]
        assert found(storage_ids=[places[2], places[0], others[0], 10**6]) == [wanted[2], wanted[0]]
    assert list(instance.get_event_records(EventRecordsFilter(event_type="NEVER")).records) == []
    with pytest.raises(UsageError, match="STEP_START is no event of an asset: asset_key"):
        instance.get_event_records(EventRecordsFilter(event_type="STEP_START", asset_key="a"))
    assert instance.get_maximum_record_id() == instance.log.head().position


def test_changes_of_status(instance: Instance) -> None:
    for n in range(6):
        tell(instance, f"r{n}", created(f"j{n % 3}"), events.RunStarted(), events.RunSucceeded(), at=100 * n)

    def found(**more: Any) -> list[str]:
        chosen = RunStatusChangeRecordsFilter(event_type="RUN_SUCCESS", **more)
        return [record.shard for record in instance.fetch_run_status_changes(chosen).records]

    assert found() == ["r5", "r4", "r3", "r2", "r1", "r0"]
    assert found(job_names=["j0"]) == ["r3", "r0"]
    assert found(job_names=["j0", "j2", "none"]) == ["r5", "r3", "r2", "r0"]
    assert found(job_names=[]) == []
    places = [r.position for r in instance.fetch_run_status_changes("RUN_SUCCESS", ascending=True).records]
    assert found(after_storage_id=places[3]) == ["r5", "r4"]
    assert found(before_storage_id=places[2], job_names=["j1"]) == ["r1"]
    assert found(after_timestamp_us=START_US + 402) == ["r5"]
    assert found(storage_ids=[places[0], places[4]], job_names=["j1"]) == ["r4"]
    page = instance.fetch_run_status_changes("RUN_SUCCESS", limit=2)
    assert (page.cursor, page.has_more) == (str(places[4]), True)
    for record in page.records:
        assert instance.log.read_at(record.position) == record
    instance.delete_run("r5")
    assert found() == ["r4", "r3", "r2", "r1", "r0"]


def test_the_records_of_a_run(instance: Instance) -> None:
    tell(instance, "r", created(), *(events.LogMessage(text=str(n)) for n in range(5)), events.RunSucceeded())
    instance.log.catch_up()
    whole = instance.log.read_shard("r").records
    for ascending in (True, False):
        got: list[Any] = []
        page = instance.get_records_for_run("r", limit=3, ascending=ascending)
        while page.records:
            got += page.records
            if not page.has_more:
                break
            page = instance.get_records_for_run("r", limit=3, ascending=ascending, cursor=page.cursor)
        assert got == (whole if ascending else whole[::-1])
        assert all(record.position for record in got)
    end = instance.get_records_for_run("r", cursor="7")
    assert (list(end.records), end.cursor, end.has_more) == ([], "7", False)
    assert list(instance.get_records_for_run("r", cursor="1", ascending=False).records) == []
    assert [r.seq for r in instance.get_logs_for_run("r", of_type="RUN_SUCCESS")] == [7]
    assert [r.seq for r in instance.get_logs_for_run("r", of_type={"RUN_SUCCESS", "RUN_CREATED"})] == [1, 7]
    assert list(instance.get_logs_for_run("none")) == []


ONE_TEXT = {
    "backfill": lambda one: one.request_backfill("p1"),
    "backfill assets": lambda one: one.request_backfill(["p1"], asset_selection="abc"),
    "plan": lambda one: one.run("job", plan="abc"),
    "values": lambda one: one.get_values("ab"),
    "existing": lambda one: one.get_existing_dynamic_partitions("z", "xy"),
    "added": lambda one: one.add_dynamic_partitions("z", "xy"),
    "steps": lambda one: one.get_run_steps("r", step_keys="ab"),
    "step stats": lambda one: one.get_run_step_stats("r", "ab"),
    "ticks": lambda one: one.get_ticks_by_ids("ab"),
    "tick statuses": lambda one: one.get_ticks(statuses="FAILURE"),
    "tags": lambda one: one.get_run_tags("ab"),
    "tags off": lambda one: one.remove_run_tags("r", "ab"),
    "wiped": lambda one: one.wipe_assets("raw/orders"),
    "wiped partitions": lambda one: one.wipe_asset_partitions("raw/orders", "ab"),
    "partitions": lambda one: one.get_status_by_partition("raw/orders", "ab"),
    "latest": lambda one: one.get_latest_materialization_events("raw/orders"),
    "logs": lambda one: one.logs("r", types="RUN_START"),
}


@pytest.mark.parametrize("ask", ONE_TEXT.values(), ids=ONE_TEXT)
def test_one_text_is_no_list(ask: Any) -> None:
    with Instance.ephemeral() as instance, pytest.raises(UsageError, match=r"is one text; write \w+=\['"):
        ask(instance)


WRONG = {
    "cursor of materializations": (lambda one: one.get_materializations("raw/o", cursor="abc"), "cursor='abc'"),
    "cursor of checks": (
        lambda one: one.get_asset_check_execution_history(AssetCheckKey("a", "n"), cursor="abc"),
        "cursor='abc'",
    ),
    "limit": (lambda one: one.get_runs(limit="5"), "limit='5' is no whole number"),
    "limit of the log": (lambda one: one.logs("r", limit="5"), "limit='5' is no whole number"),
    "partition name": (lambda one: one.add_dynamic_partitions(5, ["a"]), "name=5"),
    "partition key": (lambda one: one.add_dynamic_partitions("z", [5]), "keys holds 5"),
    "partition off": (lambda one: one.delete_dynamic_partition("z", 5), "keys holds 5"),
    "partition name off": (lambda one: one.delete_dynamic_partition("", "a"), "name=''"),
    "cursor of partitions": (lambda one: one.get_dynamic_partitions("z", cursor=5), "cursor=5"),
    "values": (lambda one: one.get_values([1]), "names holds 1"),
    "set values": (lambda one: one.set_values(["a"]), "no mapping"),
    "asset cursor": (lambda one: one.get_asset_keys(cursor=5), "not 5"),
    "policy": (lambda one: one.plan_retention({"ticks": {"after_days": 1}}), "no RetentionPolicy"),
    "policy to apply": (lambda one: one.apply_retention({"ticks": {"after_days": 1}}), "no RetentionPolicy"),
    "buckets": (lambda one: one.get_run_records(bucket_by="job"), "bucket_by='job'"),
    "check key": (lambda one: one.get_asset_check_execution_history("x"), "no AssetCheckKey"),
    "check keys": (lambda one: one.get_asset_check_summary_records("x"), "no AssetCheckKey"),
    "check asset": (lambda one: AssetCheckKey(5, "n"), "not 5"),
    "check name": (lambda one: AssetCheckKey("a", 5), "not 5"),
    "position": (lambda one: one.run_at("r", "5"), "position='5' is no whole number"),
    "tags in a list": (lambda one: one.add_run_tags("r", ["a"]), "no mapping"),
    "no tags": (lambda one: one.add_run_tags("r", {}), "nothing to set"),
    "tags of a run": (lambda one: one.run("job", tags=["a"]), "no mapping"),
    "schedule": (lambda one: one.start_schedule(""), "name=''"),
    "sensor": (lambda one: one.set_sensor_cursor("", "7"), "name=''"),
    "pool": (lambda one: one.set_pool_limit("", 3), "pool=''"),
    "pool limit": (lambda one: one.set_pool_limit("db", "3"), "limit='3'"),
    "job": (lambda one: one.run(""), "job_name=''"),
    "job snapshot": (lambda one: one.add_job_snapshot("", {}), "job_name=''"),
    "backfill": (lambda one: one.request_backfill([]), "asks for nothing"),
    "backfill of a job": (lambda one: one.request_backfill(["p"], job_name=""), "job_name=''"),
}


@pytest.mark.parametrize(("ask", "told"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_named(ask: Any, told: str) -> None:
    with Instance.ephemeral() as instance:
        with pytest.raises(UsageError, match=re.escape(told)):
            ask(instance)
        assert instance.log.head().position == 0  # nothing meaningless was recorded


def test_runs_alone_are_found_as_their_records_are(instance: Instance) -> None:
    for job, team in (("a", "x"), ("b", "x"), ("b", "y")):
        with instance.run(job, tags={"team": team}):
            pass
    asked: dict[str, Any] = {"job_name": "b", "statuses": ["SUCCESS"], "tags": {"team": "x"}, "order_by": "ended"}
    found = instance.get_runs(**asked)
    assert [run.job_name for run in found] == ["b"]
    assert found == [record.run for record in instance.get_run_records(**asked)]


def test_a_check_key_takes_the_text_of_an_asset() -> None:
    assert AssetCheckKey("raw/orders", "n") == AssetCheckKey(AssetKey(["raw", "orders"]), "n")
