"""What users of orchestrators expect of an instance, a row each, by its number in the inventory of such features."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import foldlog
from foldlog import AssetKey, Event, Instance, events


@pytest.fixture
def instance() -> Iterator[Instance]:
    """A run that failed, one that succeeded with three materializations, and one that waits."""
    with Instance.ephemeral() as instance:
        with pytest.raises(ValueError, match="by design"):
            with instance.run("load", run_id="failed", tags={"team": "growth"}):
                raise ValueError("by design")
        with instance.run("load", run_id="good", tags={"team": "core"}, plan=["raw/orders"]) as run:
            with run.step("extract") as step:
                step.log("reading")
                for day in ("mon", "tue"):
                    step.materialize("raw/orders", partition=day, metadata={"rows": 3}, code_version="v1")
                step.observe("raw/orders", metadata={"seen": 1})
            run.check("raw/orders", "fresh", passed=True)
            run.materialize("raw/users")
        waiting = [events.RunCreated(job_name="load"), events.RunEnqueued()]
        instance.log.append("waits", [Event.now(fact) for fact in waiting])
        yield instance


def ids(records: list[foldlog.RunRecord]) -> list[str]:
    return [record.run.run_id for record in records]


def test_row_081_delete_run(instance: Instance) -> None:
    instance.delete_run("good")
    assert not instance.has_run("good")
    assert list(instance.get_logs_for_run("good", of_type="RUN_SUCCESS")) == []
    assert instance.has_asset_key("raw/orders")  # what is known of assets stays


def test_row_082_fetch_materializations(instance: Instance) -> None:
    page = instance.fetch_materializations("raw/orders", limit=1)
    assert [record.event.fact.partition for record in page.records] == ["tue"]
    assert page.has_more
    page = instance.fetch_materializations("raw/orders", limit=1, cursor=page.cursor)
    assert [record.event.fact.partition for record in page.records] == ["mon"]


def test_row_083_fetch_observations(instance: Instance) -> None:
    (seen,) = instance.fetch_observations(foldlog.AssetRecordsFilter(asset_key="raw/orders")).records
    assert seen.event.fact.metadata == {"seen": 1}


def test_row_084_fetch_run_status_changes(instance: Instance) -> None:
    (failure,) = instance.fetch_run_status_changes("RUN_FAILURE").records
    assert (failure.run_id, failure.event.fact.error.message) == ("failed", "by design")


def test_row_085_get_asset_keys(instance: Instance) -> None:
    assert instance.get_asset_keys(prefix=["raw"], limit=1) == [AssetKey(["raw", "orders"])]
    assert instance.get_asset_keys(prefix=["raw"], cursor="raw/orders") == [AssetKey(["raw", "users"])]


def test_row_086_get_asset_records(instance: Instance) -> None:
    (record,) = instance.get_asset_records(["raw/orders", "never/made"])
    assert record.materialization is not None
    assert record.materialization.partition == "tue"


def test_row_087_get_event_records(instance: Instance) -> None:
    (line,) = instance.get_event_records(foldlog.EventRecordsFilter(event_type="LOG_MESSAGE")).records
    assert (line.event.fact.text, line.event.step_key) == ("reading", "extract")


def test_row_088_latest_materialization_code_versions(instance: Instance) -> None:
    versions = instance.get_latest_materialization_code_versions(["raw/orders", "raw/users", "never/made"])
    assert list(versions.values()) == ["v1", "good", None]  # the run's id where no version was told


def test_row_089_latest_materialization_event(instance: Instance) -> None:
    latest = instance.get_latest_materialization_event("raw/orders")
    assert latest is not None
    assert latest.event.fact.metadata == {"rows": 3}
    assert instance.get_latest_materialization_event("never/made") is None


def test_row_090_run_record_by_id(instance: Instance) -> None:
    record = instance.get_run_record_by_id("good")
    assert record is not None
    assert record.started_us is not None
    assert record.ended_us is not None
    assert record.created_us <= record.started_us <= record.ended_us
    assert instance.get_run_record_by_id("none") is None


def test_row_091_run_records(instance: Instance) -> None:
    load = foldlog.RunsFilter(job_name="load")
    assert ids(instance.get_run_records(load, limit=2)) == ["waits", "good"]
    assert ids(instance.get_run_records(load, cursor="good")) == ["failed"]
    assert ids(instance.get_run_records(load, order_by="updated", ascending=True, limit=1)) == ["failed"]
    by_team = foldlog.TagBucket(tag_key="team", tag_values=["core", "growth"], bucket_limit=1)
    assert ids(instance.get_run_records(load, bucket_by=by_team)) == ["good", "failed"]


def test_row_092_status_by_partition(instance: Instance) -> None:
    lives = [
        events.RunCreated(job_name="load"),
        events.AssetMaterializationPlanned(asset_key=AssetKey.of("raw/orders"), partitions=("tue", "wed")),
    ]
    instance.log.append("lives", [Event.now(fact) for fact in lives])
    days = ("mon", "tue", "wed", "thu")
    status = instance.get_status_by_partition("raw/orders", days)
    assert status == {"mon": "MATERIALIZED", "tue": "IN_PROGRESS", "wed": "IN_PROGRESS", "thu": None}
    instance.log.append("lives", [Event.now(events.RunFailed())])
    status = instance.get_status_by_partition("raw/orders", days)
    assert status == {"mon": "MATERIALIZED", "tue": "FAILED", "wed": "FAILED", "thu": None}


def test_row_093_has_asset_key(instance: Instance) -> None:
    assert instance.has_asset_key(AssetKey(["raw", "orders"]))
    assert not instance.has_asset_key("raw")


def test_row_094_report_runless_asset_event(instance: Instance) -> None:
    instance.report_runless_asset_event(events.AssetMaterialization(asset_key=AssetKey("elsewhere")))
    latest = instance.get_latest_materialization_event("elsewhere")
    assert latest is not None
    assert latest.run_id is None


def test_row_095_wipe_assets(instance: Instance) -> None:
    instance.wipe_assets(["raw/orders"])
    assert instance.get_asset_keys() == [AssetKey(["raw", "users"])]
    assert list(instance.fetch_materializations("raw/orders").records) == []


def test_row_096_run(instance: Instance) -> None:
    run = instance.get_run_by_id("failed")
    assert run is not None
    assert (run.job_name, run.tags, run.is_failure, run.is_finished) == ("load", {"team": "growth"}, True, True)
    good = instance.get_run_by_id("good")
    assert good is not None
    assert good.asset_selection == (AssetKey(["raw", "orders"]),)
    assert good.is_success
    assert not good.is_failure_or_canceled


def test_row_097_run_status() -> None:
    assert {status.value for status in foldlog.RunStatus} == {
        "QUEUED", "NOT_STARTED", "MANAGED", "STARTING", "STARTED", "SUSPENDED", "SUCCESS", "FAILURE", "CANCELING",
        "CANCELED",
    }  # fmt: skip


def test_row_098_runs_filter(instance: Instance) -> None:
    chosen = foldlog.RunsFilter(job_name="load", statuses=["SUCCESS", "FAILURE"], tags={"team": ["growth", "core"]})
    assert instance.get_run_ids(chosen) == ["good", "failed"]
    assert instance.get_runs_count(chosen) == 2
    with pytest.raises(foldlog.UsageError, match="has no field status; it has run_ids, job_name, statuses"):
        foldlog.RunsFilter(status="SUCCESS")  # type: ignore[call-arg]


def test_row_099_run_record(instance: Instance) -> None:
    failed, good, waits = instance.get_run_records(ascending=True)
    assert failed.storage_id < good.storage_id < waits.storage_id
    assert failed.failure_message == "by design"
    assert (waits.run.status, waits.started_us, waits.ended_us) == ("QUEUED", None, None)
    assert waits.enqueued_us is not None


def test_row_100_event(instance: Instance) -> None:
    (record,) = instance.get_logs_for_run("good", of_type="LOG_MESSAGE")
    event = record.event
    assert (event.type, event.step_key, event.level) == ("LOG_MESSAGE", "extract", 20)
    assert event.timestamp_us > 0


def test_row_101_event_record(instance: Instance) -> None:
    page = instance.get_records_for_run("good", limit=2)
    first, second = page.records
    assert first.position is not None
    assert second.position == first.position + 1
    assert page.has_more
    assert instance.get_records_for_run("good", cursor=page.cursor, limit=1).records[0].seq == 3


def test_row_102_event_records_filter(instance: Instance) -> None:
    chosen = foldlog.EventRecordsFilter(
        event_type="ASSET_MATERIALIZATION", asset_key="raw/orders", asset_partitions=["mon"]
    )
    (made,) = instance.get_event_records(chosen).records
    assert made.event.fact.partition == "mon"


def test_row_103_a_cursor_over_all_runs(instance: Instance) -> None:
    """Older systems need a cursor of two parts here; positions are one order over all runs."""
    found = []
    page = instance.get_event_records(foldlog.EventRecordsFilter(event_type="RUN_CREATED"), limit=1, ascending=True)
    while page.records:
        found += [record.shard for record in page.records]
        page = instance.get_event_records(
            foldlog.EventRecordsFilter(event_type="RUN_CREATED"), limit=1, ascending=True, cursor=page.cursor
        )
    assert found == ["failed", "good", "waits"]


def test_row_104_asset_record(instance: Instance) -> None:
    orders, users = instance.get_asset_records()
    assert orders.observation is not None
    assert orders.storage_id >= orders.observation.position
    assert users.observation is None


def test_row_105_filters_and_result(instance: Instance) -> None:
    chosen = foldlog.RunStatusChangeRecordsFilter(event_type="RUN_START", job_names=["load"])
    page = instance.fetch_run_status_changes(chosen, limit=10)
    assert isinstance(page, foldlog.EventRecordsResult)
    assert ([record.shard for record in page.records], page.has_more) == (["good", "failed"], False)
    assert int(page.cursor) == page.records[-1].position
