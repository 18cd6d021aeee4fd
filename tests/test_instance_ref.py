"""An instance by its reference: another process opens the same log with the same parts. And by all other ways."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import foldlog
from foldlog import (
    ConflictError,
    CorruptLogError,
    Event,
    Instance,
    InstanceRef,
    InstanceType,
    ReadOnlyError,
    UsageError,
    events,
)
from foldlog.engine.payload import DebugRunPayload

CHILD = """
import sys, pickle, base64
from foldlog import Instance, InstanceRef
form, text = sys.argv[1:]
ref = pickle.loads(base64.b64decode(text)) if form == "pickle" else InstanceRef.from_json(text)
with Instance.from_ref(ref) as instance:
    with instance.run("child", run_id="of-" + form):
        pass
    print(instance.run_coordinator, instance.root_directory, instance.local_artifact_storage.base_dir)
"""


def in_child(instance: Instance, form: str, cwd: Path) -> str:
    import base64

    ref = instance.get_ref()
    text = base64.b64encode(pickle.dumps(ref)).decode() if form == "pickle" else ref.to_json()
    done = subprocess.run([sys.executable, "-P", "-c", CHILD, form, text], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert instance.get_run_by_id(f"of-{form}").is_success
    return done.stdout


@pytest.fixture
def elsewhere(tmp_path_factory):
    return tmp_path_factory.mktemp("elsewhere")


def ways(tmp_path):
    """Each way to open a persistent instance."""
    config = tmp_path / "conf"
    config.mkdir()
    (config / "foldlog.yaml").write_text("storage: sqlite:///h\nrun_queue: {max_concurrent_runs: 3}")
    return {
        "relative url": lambda: Instance.from_url("sqlite:///./rel", views="sqlite:///v.db"),
        "absolute url": lambda: Instance.from_url(f"sqlite:///{tmp_path}/abs?layout=consolidated"),
        "config": lambda: Instance.from_config(config),
        "local_temp": lambda: Instance.local_temp(tmp_path / "t", {"run_queue": {"max_concurrent_runs": 3}}),
        "home": Instance.get,
    }


@pytest.mark.parametrize("form", ["pickle", "json"])
@pytest.mark.parametrize("way", ["relative url", "absolute url", "config", "local_temp", "home"])
def test_a_spawned_process_opens_the_same_instance(way, form, tmp_path, elsewhere, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    with ways(tmp_path)[way]() as instance:
        monkeypatch.chdir(elsewhere)
        told = in_child(instance, form, elsewhere)
        assert str(instance.root_directory) in told
        assert str(instance.local_artifact_storage.base_dir) in told
        if way in ("config", "local_temp"):
            assert "'max_concurrent_runs': 3" in told
        ref = instance.get_ref()
        assert pickle.loads(pickle.dumps(ref)) == ref == InstanceRef.from_json(ref.to_json())
    assert list(elsewhere.iterdir()) == []


def _report(ref: InstanceRef, run_id: str) -> None:
    with Instance.from_ref(ref) as instance, instance.run("spawned", run_id=run_id):
        pass


def test_multiprocessing_takes_a_reference(tmp_path):
    with Instance.local_temp(tmp_path) as instance:
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=_report, args=(instance.get_ref(), f"run-{number}")) for number in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0]
        assert instance.get_runs_count() == 2


def test_a_reference_to_postgresql(postgres_url, tmp_path, monkeypatch):
    """The password travels where it was written out, and nowhere is it shown; by the environment it does not travel."""
    (tmp_path / "foldlog.yaml").write_text("storage: {url: {env: PG}}")
    monkeypatch.setenv("PG", postgres_url)
    for instance in (Instance.from_config(tmp_path), Instance.from_url(postgres_url, root=tmp_path)):
        with instance:
            form = "json" if "PG" in instance.get_ref().to_json() else "pickle"
            in_child(instance, form, tmp_path)
    assert postgres_url not in Instance.from_config(tmp_path).get_ref().to_json()
    shown = repr(InstanceRef(root="/", config={"storage": "postgresql://u:hidden@h/d"}))
    assert "hidden" not in shown


def test_a_reference_keeps_that_it_only_reads(tmp_path):
    with Instance.local_temp(tmp_path) as instance, instance.run("job"):
        pass
    with Instance.from_url(f"sqlite:///{tmp_path}/history", read_only=True) as reader:
        ref = InstanceRef.from_json(reader.get_ref().to_json())
    assert ref.read_only
    with Instance.from_ref(ref) as again, pytest.raises(ReadOnlyError):
        again.log.append("x", [Event.now(events.RunStarted())])


def test_some_instances_have_no_reference(tmp_path):
    with Instance.ephemeral() as instance, pytest.raises(UsageError, match="lives in one process"):
        instance.get_ref()
    with Instance(foldlog.open_log(f"sqlite:///{tmp_path}/h")) as instance:
        assert instance.scheduler  # makes a configuration, and no reference
        with pytest.raises(UsageError, match="made of a log"):
            instance.get_ref()
        assert instance.root_directory == tmp_path
    (tmp_path / "foldlog.yaml").write_text("storage: memory://")
    with Instance.from_config(tmp_path) as instance, pytest.raises(UsageError, match="lives in one process"):
        instance.get_ref()


@pytest.mark.parametrize("text", ["", "x", "{}", "[1]", "null", '{"root": 1}', '{"format": 1}'])
def test_what_is_no_reference_is_refused(text):
    with pytest.raises(UsageError, match="no reference to an instance"):
        InstanceRef.from_json(text)
    with pytest.raises(UsageError, match="format 2, this release reads 1"):
        InstanceRef.from_json('{"format": 2, "root": null, "config": {}, "read_only": false}')
    with pytest.raises(UsageError, match="FOLDLOG_INSTANCE_REF is not set"):
        InstanceRef.from_environment({})


def test_a_reference_of_another_release_is_checked_like_a_file():
    ref = InstanceRef(root="/", config={"storge": "x"})
    with pytest.raises(UsageError, match="did you mean 'storage'"):
        Instance.from_ref(ref)


# -- FOLDLOG_HOME -----------------------------------------------------------------------------------------------------


def test_without_a_file_the_log_is_in_the_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    with Instance.get() as instance:
        assert instance.log.backend.url == f"sqlite:///{tmp_path}/history"
        assert instance.root_directory == tmp_path
        assert instance.instance_type is InstanceType.PERSISTENT
        assert instance.local_artifact_storage.base_dir == tmp_path / "storage"
        assert instance.get_settings("retention") == {}
        with pytest.raises(UsageError, match="there are no settings 'retentoin'; did you mean 'retention'"):
            instance.get_settings("retentoin")


@pytest.mark.parametrize(
    ("value", "says", "remedy"),
    [
        (None, "FOLDLOG_HOME is not set", "export FOLDLOG_HOME="),
        ("", "FOLDLOG_HOME is not set", "Instance.from_url"),
        ("here", "FOLDLOG_HOME='here' is relative", "absolute path, for example '/"),
        ("~/foldlog", "is relative", "outside of quotes"),
        ("/nowhere/at/all", "FOLDLOG_HOME='/nowhere/at/all' does not exist", "mkdir -p /nowhere/at/all"),
        (__file__, "is no folder", "correct FOLDLOG_HOME"),
    ],
)
def test_a_home_that_is_none_is_told(value, says, remedy, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if value is not None:
        monkeypatch.setenv("FOLDLOG_HOME", value)
    with pytest.raises(UsageError, match=says) as caught:
        Instance.get()
    assert remedy in caught.value.remedy
    assert list(tmp_path.iterdir()) == []
    if not value:
        with Instance.get(fallback_ephemeral=True) as instance:
            assert instance.is_ephemeral
    else:
        with pytest.raises(UsageError, match=says):
            Instance.get(fallback_ephemeral=True)


def test_an_instance_without_a_folder_says_so(postgres_url, tmp_path, monkeypatch):
    with Instance.from_url(postgres_url) as instance:
        with pytest.raises(UsageError, match="has no folder on this machine") as caught:
            instance.compute_log_manager  # noqa: B018
        assert "FOLDLOG_HOME" in caught.value.remedy
        monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
        assert instance.compute_log_manager
        assert instance.root_directory == tmp_path


# -- in memory, and for a while ---------------------------------------------------------------------------------------


def test_an_ephemeral_instance_leaves_nothing():
    instance = Instance.ephemeral()
    folder = instance.root_directory
    with instance.compute_log_manager.capture_logs(["r", "compute_logs", "s-1"]):
        os.write(1, b"x")
    assert (folder / "storage/r/compute_logs/s-1.out").read_bytes() == b"x"
    assert instance.instance_type is InstanceType.EPHEMERAL
    instance.close()
    assert not folder.exists()
    forgotten = Instance.ephemeral().root_directory
    gc.collect()
    assert not forgotten.exists()
    code = "import foldlog; i = foldlog.Instance.ephemeral(); print(i.root_directory)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not Path(done.stdout.strip()).exists()


def test_an_ephemeral_instance_may_be_given_a_folder_and_parts(tmp_path):
    with Instance.ephemeral(folder=tmp_path, overrides={"run_queue": {"max_concurrent_runs": 1}}) as instance:
        assert instance.root_directory == tmp_path
        assert instance.run_coordinator.max_concurrent_runs == 1
    assert tmp_path.exists()
    with pytest.raises(UsageError, match=r"Instance.local_temp takes a storage"):
        Instance.ephemeral(overrides={"storage": "sqlite:///x"})
    with Instance.ephemeral(overrides={"run_queu": {}}) as instance, pytest.raises(UsageError, match="'run_queue'"):
        instance.run_coordinator  # noqa: B018


def test_a_temporary_instance_persists_while_it_is_open():
    instance = Instance.local_temp()
    folder = instance.root_directory
    with instance.run("job", run_id="first"):
        pass
    with Instance.from_ref(instance.get_ref()) as again:
        assert again.get_run_by_id("first").is_success
        assert again.instance_type is InstanceType.PERSISTENT
    assert folder.exists()
    instance.close()
    assert not folder.exists()


def test_a_temporary_instance_in_a_folder_of_the_callers_stays(tmp_path):
    with Instance.local_temp(tmp_path / "a/b") as instance, instance.run("job", run_id="first"):
        pass
    with Instance.local_temp(tmp_path / "a/b") as instance:
        assert instance.get_run_by_id("first").is_success


# -- runs that are carried --------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    with Instance.local_temp(tmp_path / "source") as instance:
        with instance.run("job", run_id="run-1", tags={"team": "growth"}) as run:
            with run.step("extract") as step:
                step.log("grün")
            run.materialize("raw/orders", metadata={"rows": 5})
        with instance.run("job", run_id="run-2"):
            pass
        instance.delete_run("run-2")
        yield instance


def facts(instance, run_id="run-1"):
    return [(record.event.timestamp_us, record.event) for record in instance.log.read_shard(run_id).records]


def test_an_exported_run_is_looked_at_elsewhere(source, tmp_path):
    source.export_run("run-1").write(tmp_path / "run.foldlog")
    payload = DebugRunPayload.read_file(tmp_path / "run.foldlog")
    assert payload == source.export_run("run-1")
    with Instance.ephemeral(preload=[payload]) as instance:
        assert facts(instance) == facts(source)
        assert [event for _, event in facts(instance)] == payload.events()
        assert instance.get_run_record_by_id("run-1").run == source.get_run_record_by_id("run-1").run
        assert instance.get_latest_materialization_event("raw/orders").event.fact.metadata == {"rows": 5}
        assert instance.verify().ok
        with pytest.raises(ConflictError):
            payload.load_into(instance.log)
    assert "run-1" in repr(payload)


def test_all_runs_of_another_instance_are_preloaded(source):
    with Instance.ephemeral(preload=source) as instance:
        assert [record.run.run_id for record in instance.get_run_records()] == ["run-1"]
        with instance.run("more", run_id="run-3"):
            pass
    assert source.get_run_by_id("run-3") is None


def test_a_long_run_is_carried_in_batches(tmp_path, monkeypatch):
    from foldlog.engine import payload as module

    monkeypatch.setattr(module, "PAGE", 7)
    monkeypatch.setattr(module, "BATCH_BYTES", 300)
    with Instance.ephemeral() as instance:
        lines = [Event.now(events.LogMessage(text="x" * (number % 90), level=20)) for number in range(50)]
        instance.log.append("run-1", lines)
        with Instance.ephemeral(preload=instance) as other:
            assert facts(other) == facts(instance)
        monkeypatch.setattr(module, "MAX_EVENTS", 20)
        with pytest.raises(UsageError, match="has more than 20 events"):
            instance.export_run("run-1")


def test_a_file_of_every_release_is_still_read():
    payload = DebugRunPayload.read_file(Path(__file__).parent / "golden/exported_run.v1.foldlog")
    assert payload.run_id == "4f1c2a7e-0b9d-4a43-8f0e-9d3f3a0f6d11"
    assert [(event.type, event.timestamp_us, event.step_key) for event in payload.events()] == [
        ("RUN_CREATED", 1_700_000_000_000_000, None),
        ("STEP_START", 1_700_000_000_000_001, "extract"),
        ("ASSET_MATERIALIZATION", 1_700_000_000_000_002, "extract"),
        ("RUN_SUCCESS", 1_700_000_000_000_003, None),
    ]
    assert payload.events()[2].fact.metadata == {"rows": 5}
    assert payload.to_bytes() == (Path(__file__).parent / "golden/exported_run.v1.foldlog").read_bytes()
    with Instance.ephemeral(preload=[payload]) as instance:
        assert instance.get_run_by_id(payload.run_id).is_success


def test_what_cannot_be_exported_is_told(source):
    for run_id, says in (("nobody", "there is no run nobody"), ("run-2", "it was deleted"), ("@instance", "no run")):
        with pytest.raises(UsageError, match=says):
            source.export_run(run_id)


def test_what_is_no_exported_run_is_told(source):
    data = source.export_run("run-1").to_bytes()
    for broken in (b"", b"x", data[:-1], data + b"x", b"\x94\x01\x01\x01\x90", json.dumps({}).encode()):
        with pytest.raises(CorruptLogError, match="no exported run"):
            DebugRunPayload.from_bytes(broken)
    newer = b"\x94\xabfoldlog run\x02\xa1r\x90"
    with pytest.raises(UsageError, match="format 2, this release reads 1"):
        DebugRunPayload.from_bytes(newer)
