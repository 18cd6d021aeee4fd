"""What users of orchestrators expect of an instance, a row each, by its number in the inventory of such features."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import foldlog
from foldlog import (
    AssetKey,
    ConfigurableClass,
    ConfigurableClassData,
    Event,
    Instance,
    InstanceRef,
    InstanceType,
    LocalArtifactStorage,
    QueuedRunCoordinator,
    UsageError,
    events,
)
from foldlog.engine.artifacts import NoOpComputeLogManager
from foldlog.engine.artifacts.files import LocalFileHandle
from foldlog.engine.config import EnvFileSecretsLoader, integer
from foldlog.engine.coordination import DaemonScheduler, ProcessRunLauncher
from foldlog.engine.payload import DebugRunPayload

REPORT = """
import sys
from foldlog import Instance
with Instance.get() as instance, instance.run("job", run_id=sys.argv[1]) as run:
    run.materialize("raw/orders", metadata={"rows": 5})
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def this_module_can_be_named(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def configure(home: Path, content: str) -> None:
    (home / "foldlog.yaml").write_text(content)


def report(run_id: str) -> None:
    """A program of its own, which knows FOLDLOG_HOME and nothing else."""
    subprocess.run([sys.executable, "-P", "-c", REPORT, run_id], check=True)


class Extra(ConfigurableClass):
    """A class of the user's."""

    def __init__(self, size):
        self.size = size

    @classmethod
    def config_schema(cls):
        return {"size": integer(default=1)}


# -- the instance and its configuration -------------------------------------------------------------------------------


def test_row_001_one_instance_for_all_processes(home):
    with Instance.get() as instance:
        report("run-1")
        report("run-2")
        assert sorted(record.run.run_id for record in instance.get_run_records()) == ["run-1", "run-2"]
        assert instance.get_latest_materialization_event("raw/orders").run_id == "run-2"


def test_row_002_the_home_selects_the_instance(tmp_path, monkeypatch):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path / name))
        report(f"of-{name}")
        with Instance.get() as instance:
            assert [record.run.run_id for record in instance.get_run_records()] == [f"of-{name}"]
            assert instance.root_directory == tmp_path / name


def test_row_003_plug_ins_by_module_class_and_config(home):
    configure(
        home,
        """
        compute_logs: {module: foldlog.engine.artifacts, class: NoOpComputeLogManager}
        run_coordinator: {module: foldlog, class: QueuedRunCoordinator, config: {max_concurrent_runs: 4}}
        run_launcher:
          module: foldlog.engine.coordination
          class: ProcessRunLauncher
          config: {command: [worker, "{run_id}"]}
        """,
    )
    with Instance.get() as instance:
        assert isinstance(instance.compute_log_manager, NoOpComputeLogManager)
        assert isinstance(instance.run_launcher, ProcessRunLauncher)
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
        assert instance.run_coordinator.max_concurrent_runs == 4


def test_row_004_the_file_then_the_home_then_an_answer_instead_of_nothing(home, monkeypatch):
    with Instance.get() as instance:
        assert instance.log.backend.url == f"sqlite:///{home}/history"
    configure(home, "storage: sqlite:///elsewhere")
    with Instance.get() as instance:
        assert instance.log.backend.url == f"sqlite:///{home}/elsewhere"
    monkeypatch.delenv("FOLDLOG_HOME")
    with pytest.raises(UsageError, match="FOLDLOG_HOME is not set"):
        Instance.get()
    with Instance.get(fallback_ephemeral=True) as instance:
        assert instance.is_ephemeral


def test_row_005_the_layout_of_a_home(home):
    with Instance.get() as instance:
        with (
            instance.run("job", run_id="run-1"),
            instance.compute_log_manager.capture_logs(["run-1", "compute_logs", "s"]),
        ):
            os.write(1, b"x")
        schedules = instance.scheduler.get_logs_path("nightly")
        instance.scheduler.start_schedule("nightly")
    assert (home / "history/order.db").exists()
    assert len(list((home / "history/runs").glob("*/run-1.db"))) == 1
    assert (home / "history/system.db").exists()
    assert (home / "storage/run-1/compute_logs/s.out").read_bytes() == b"x"
    assert home / "storage" in schedules.parents


def test_row_007_an_ephemeral_instance(tmp_path):
    with Instance.ephemeral(folder=tmp_path, overrides={"run_queue": {}}) as instance:
        with instance.run("job", run_id="run-1"):
            pass
        assert instance.get_run_by_id("run-1").is_success
        assert instance.root_directory == tmp_path
        assert isinstance(instance.run_coordinator, QueuedRunCoordinator)
    with Instance.ephemeral() as instance:
        assert instance.get_run_by_id("run-1") is None
        folder = instance.root_directory
    assert not folder.exists()


def test_row_008_runs_of_elsewhere_are_preloaded(tmp_path):
    with Instance.local_temp(tmp_path) as production:
        with pytest.raises(ZeroDivisionError), production.run("job", run_id="bad"):
            1 / 0  # noqa: B018
        data = production.export_run("bad").to_bytes()
    with Instance.ephemeral(preload=[DebugRunPayload.from_bytes(data)]) as instance:
        record = instance.get_run_record_by_id("bad")
        assert (record.run.is_failure, record.failure_class) == (True, "ZeroDivisionError")
        assert [r.event.type for r in instance.logs("bad").records] == ["RUN_CREATED", "RUN_START", "RUN_FAILURE"]


def test_row_009_a_temporary_instance_that_persists(tmp_path):
    with Instance.local_temp(tmp_path, {"storage": "sqlite:///mine"}) as instance, instance.run("job", run_id="run-1"):
        assert instance.instance_type is InstanceType.PERSISTENT
    with Instance.local_temp(tmp_path, {"storage": "sqlite:///mine"}) as instance:
        assert instance.get_run_by_id("run-1").is_success
    assert (tmp_path / "mine").is_dir()


def test_row_010_get(home):
    report("run-1")
    with Instance.get() as one, Instance.get() as other:
        assert one.get_run_by_id("run-1") == other.get_run_by_id("run-1")


def test_row_011_configurable_classes():
    data = ConfigurableClassData("test_checklist", "Extra", {"size": 3})
    part = data.rehydrate(Extra)
    assert (part.size, part.inst_data) == (3, data)
    assert ConfigurableClassData("test_checklist", "Extra").rehydrate(Extra).size == 1
    with pytest.raises(UsageError, match="'3' was given; wanted a whole number"):
        ConfigurableClassData("test_checklist", "Extra", {"size": "3"}).rehydrate(Extra)


def test_row_012_configurable_class_data():
    data = ConfigurableClassData("acme.parts", "Extra", {"size": 3, "password": "hidden", "key": {"env": "KEY"}})
    document = data.to_dict()
    assert document["module"] == "acme.parts"
    assert ConfigurableClassData.from_dict(json.loads(json.dumps(document))) == data
    assert "hidden" not in repr(data)
    assert "KEY" in repr(data)
    for wrong in ({}, {"module": "m"}, {"module": "m", "class": "C", "args": {}}, {"module": 1, "class": "C"}):
        with pytest.raises(UsageError, match="a class is written as"):
            ConfigurableClassData.from_dict(wrong)


EVERY_PART = """
storage: sqlite:///log
local_artifacts: {class: LocalArtifactStorage, config: {base_dir: files}}
compute_logs: {class: LocalComputeLogManager, config: {base_dir: printed, polling_timeout_s: 0.5}}
run_coordinator: {class: QueuedRunCoordinator, config: {max_concurrent_runs: 4}}
run_launcher: {class: ProcessRunLauncher, config: {command: [worker]}}
scheduler: {class: DaemonScheduler, config: {max_catchup_runs: 9}}
secrets: {class: EnvFileSecretsLoader, config: {path: s.env}}
"""
TELL = """
import sys
from foldlog import Instance, InstanceRef
with Instance.from_ref(InstanceRef.from_environment()) as i:
    print(i.log.backend.url, i.local_artifact_storage, i.compute_log_manager, i.compute_log_manager.polling_timeout_s,
          i.run_coordinator.max_concurrent_runs, i.run_launcher._command, i.scheduler.max_catchup_runs,
          i.secrets_loader.load(), sep="|")
"""


def test_row_013_a_reference_carries_every_part_to_children(home, tmp_path_factory):
    configure(home, EVERY_PART)
    (home / "s.env").write_text("A=b")
    with Instance.get() as instance:
        env = os.environ | {"FOLDLOG_INSTANCE_REF": instance.get_ref().to_json()}
    env.pop("FOLDLOG_HOME")
    command, cwd = [sys.executable, "-P", "-c", TELL], tmp_path_factory.mktemp("elsewhere")
    told = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=True).stdout
    assert told.strip().split("|") == [
        f"sqlite:///{home}/log",
        f"<LocalArtifactStorage {home}/files>",
        f"<LocalComputeLogManager {home}/printed>",
        "0.5",
        "4",
        "['worker']",
        "9",
        "{'A': 'b'}",
    ]


def test_row_014_local_artifact_storage(home):
    configure(home, "local_artifacts: {class: LocalArtifactStorage, config: {base_dir: /srv/files}}")
    with Instance.get() as instance:
        assert isinstance(instance.local_artifact_storage, LocalArtifactStorage)
        assert instance.local_artifact_storage.base_dir == Path("/srv/files")
        assert instance.local_artifact_storage.path("run-1", "a", "b") == Path("/srv/files/run-1/files/a/b")


# -- one program, many deployments ------------------------------------------------------------------------------------


def answers(instance: Instance) -> list[object]:
    event = instance.get_latest_materialization_event("raw/orders")
    records = instance.get_run_records()
    return [
        [(record.run.run_id, record.run.status, record.storage_id) for record in records],
        (event.position, event.seq, event.event.fact),
        [record.event.type for record in instance.log.read().events],
        instance.verify().ok,
    ]


def test_row_068_local_and_production_differ_in_the_file_alone(home, postgres_url):
    found = []
    for storage in ("sqlite:///history", json.dumps(postgres_url)):
        configure(home, f"storage: {storage}")
        report("run-1")
        with Instance.get() as instance:
            found.append(answers(instance))
    assert found[0] == found[1]
    assert found[0][0] == [("run-1", "SUCCESS", 1)]


def test_row_073_backends_can_be_exchanged(home, postgres_url):
    """No lock-in: what one backend holds another answers alike, and the runs of one can be taken to another."""
    found = {}
    for storage in ("memory://", "sqlite:///wide", "sqlite:///one?layout=consolidated", postgres_url):
        configure(home, f"storage: {json.dumps(storage)}")
        with Instance.get() as instance:
            with instance.run("job", run_id="run-1") as run:
                run.materialize("raw/orders", metadata={"rows": 5})
            found[storage] = answers(instance)
            payload = instance.export_run("run-1")
        with Instance.ephemeral(preload=[payload]) as copy:
            assert answers(copy) == found[storage]
    assert len(set(map(str, found.values()))) == 1


def test_row_110_settings_under_allowed_keys(home):
    with Instance.get() as instance:
        assert instance.get_settings("retention") == {}
        with pytest.raises(UsageError, match="there are no settings 'telemetry'") as caught:
            instance.get_settings("telemetry")
        assert caught.value.remedy == "Allowed here: retention."
    configure(home, "telemetry: {enabled: true}")
    with pytest.raises(UsageError, match=r"foldlog.yaml:1: telemetry: there is no key"):
        Instance.get()


def test_row_111_secrets_by_default_from_a_file_of_the_home(home, monkeypatch):
    (home / ".env").write_text("WHERE=sqlite:///hidden\nLIMIT=2\n")
    configure(home, "storage: {env: WHERE}\nrun_queue: {max_concurrent_runs: {env: LIMIT}}")
    with Instance.get() as instance:
        assert instance.log.backend.url == f"sqlite:///{home}/hidden"
        assert instance.run_coordinator.max_concurrent_runs == 2
        assert isinstance(instance.secrets_loader, EnvFileSecretsLoader)
        assert "hidden" not in instance.get_ref().to_json()
    monkeypatch.setenv("LIMIT", "7")
    with Instance.get() as instance:
        assert instance.run_coordinator.max_concurrent_runs == 7


def test_row_112_ephemeral_or_persistent(home):
    with Instance.ephemeral() as instance:
        assert instance.instance_type is InstanceType.EPHEMERAL
    with Instance.get() as instance:
        assert instance.instance_type is InstanceType.PERSISTENT
        assert isinstance(instance.scheduler, DaemonScheduler)
        assert isinstance(instance.get_ref(), InstanceRef)
    assert [str(kind) for kind in InstanceType] == ["EPHEMERAL", "PERSISTENT"]


# -- the questions of an instance -------------------------------------------------------------------------------------
# -- dynamic partitions ------------------------------------------------------------------------------------------------


def test_row_077_add_dynamic_partitions() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme", "zeta"])
        instance.add_dynamic_partitions("customers", ["zeta", "acme", "new"])  # idempotent: each keeps its place
        assert instance.get_dynamic_partitions("customers") == ["acme", "zeta", "new"]


def test_row_078_delete_dynamic_partition() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme", "zeta"])
        instance.delete_dynamic_partition("customers", "acme")
        instance.delete_dynamic_partition("customers", "acme")  # silent
        instance.delete_dynamic_partition("unknown", "acme")
        assert instance.get_dynamic_partitions("customers") == ["zeta"]


def test_row_079_get_dynamic_partitions() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["zeta", "acme", "new"])
        page = instance.get_paginated_dynamic_partitions("customers", limit=2)
        assert (page.keys, page.has_more) == (("zeta", "acme"), True)  # in the order in which they were added
        page = instance.get_paginated_dynamic_partitions("customers", limit=1, cursor=page.cursor)
        assert (page.keys, page.has_more) == (("new",), False)


def test_row_080_has_dynamic_partition() -> None:
    with Instance.ephemeral() as instance:
        instance.add_dynamic_partitions("customers", ["acme"])
        assert instance.has_dynamic_partition("customers", "acme")
        assert not instance.has_dynamic_partition("customers", "zeta")
        assert not instance.has_dynamic_partition("unknown", "acme")


# -- what one may ask of an instance ---------------------------------------------------------------------------------


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


# -- storages and compute logs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("store", ["memory", "sharded", "consolidated", "postgres"])
def test_rows_015_to_022_and_032_one_storage_for_runs_events_and_schedules(store, tmp_path, request):
    """Run, event and schedule storage are views of one log, on each backend; what others write is followed."""
    url = f"sqlite:///{tmp_path}/h?layout={store}"
    if store in ("memory", "postgres"):
        url = "memory://" if store == "memory" else request.getfixturevalue("postgres_url")
    with Instance.from_url(url) as instance:
        with instance.log.follow() as follower:
            with instance.run("load", run_id="run-1") as run:
                run.log("a line")
            instance.start_schedule("nightly", cron="0 2 * * *")
            seen = [next(follower).event.type for _ in range(5)]
        assert seen == ["RUN_CREATED", "RUN_START", "LOG_MESSAGE", "RUN_SUCCESS", "SCHEDULE_STARTED"]
        assert instance.get_run_by_id("run-1").is_success
        assert instance.get_logs_for_run("run-1")[2].event.fact.text == "a line"
        assert [state.name for state in instance.get_schedule_states()] == ["nightly"]
        assert instance.verify().ok


def test_rows_023_to_027_compute_logs(home):
    key = ["run-1", "compute_logs", "step.1"]
    with Instance.get() as instance:
        manager = instance.compute_log_manager
        with manager.capture_logs(key):
            os.write(1, b"out")
            os.write(2, b"err")
            assert not manager.is_capture_complete(key)
        assert manager.is_capture_complete(key)
        data = manager.get_log_data(key, max_bytes=2)
        assert (data.stdout, data.stderr) == (b"ou", b"er")
        assert manager.get_log_data(key, cursor=data.cursor).stdout == b"t"
        manager.delete_logs(log_key=key)
        assert manager.get_log_data(key).stdout == b""
    configure(home, "compute_logs: {class: NoOpComputeLogManager}")
    with Instance.get() as instance:
        with instance.compute_log_manager.capture_logs(key):
            pass
        assert instance.compute_log_manager.get_log_data(key).stdout in (b"", None)


def test_rows_074_to_076_file_manager(home):
    with Instance.get() as instance:
        manager = instance.file_manager
        with (home / "a.csv").open("wb+") as file:
            file.write(b"id\n1\n")
            file.seek(0)
            written = manager.write(file, ext="csv")
        assert written == LocalFileHandle(written.path_desc)
        assert written.path_desc.startswith(f"{home}/storage/files~/")
        with manager.read(written) as file:
            assert file.read() == manager.read_data(written) == b"id\n1\n"
        copy = Path(manager.copy_handle_to_local_temp(manager.write_data(b"id")))
        assert copy.read_bytes() == b"id"
        manager.delete_local_temp()
        assert not copy.exists()
