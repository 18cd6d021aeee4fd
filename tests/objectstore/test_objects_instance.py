"""Runs, views, values, files and commands on a real log of objects: in a folder, and on an S3 server."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import foldlog
from foldlog import FileHandle, FileManager, Instance, UsageError, asset, execute_job, job, materialize, op, open_log
from foldlog.backends.objectstore import backend, names, stores
from foldlog.backends.objectstore.stores import Found, Objects, probing
from foldlog.engine.cli.main import cli
from foldlog.engine.errors import ReadOnlyError
from foldlog.engine.log.prompter import Prompter
from foldlog.engine.views.cached import CachedViews

OWN = (
    names.ORDER,
    names.BLOCKS,
    names.CHECKPOINTS,
    names.RUNS,
    names.WRITERS,
    names.PENDING,
    names.KEPT,
    probing.FOLDER,
)


class Watched:
    """A store that lets the log touch its own names only."""

    def __init__(self, objects: Objects, asked: list[str]) -> None:
        self.url = objects.url
        self._objects = objects
        self._asked = asked

    def create(self, name: str, data: bytes) -> bool:
        return self._objects.create(self._own("create", name), data)

    def put(self, name: str, data: bytes) -> None:
        self._objects.put(self._own("put", name), data)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return self._objects.get(self._own("get", name), start=start, end=end)

    def list(self, prefix: str) -> list[Found]:
        return self._objects.list(self._own("list", prefix))

    def delete(self, names: Sequence[str]) -> None:
        self._objects.delete([self._own("delete", name) for name in names])

    def close(self) -> None:
        self._objects.close()

    def _own(self, deed: str, name: str) -> str:
        self._asked.append(f"{deed} {name}")
        assert name.startswith(OWN), f"the log's own objects are not all it would {deed}: {name!r}"
        return name


@pytest.fixture(params=["file", "s3"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/log"
    bucket = request.getfixturevalue("s3_bucket")
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(bucket.options))
    return f"{bucket.url}/some/log"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Go over to another machine; "one" to begin with."""

    def go_to(name: str) -> None:
        monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "caches" / name))

    go_to("one")
    return go_to


def all_of(url: str) -> dict[str, int]:
    return {found.name: found.size for found in stores.open_objects(url, create=False).list("")}


@op(required_resource_keys={"file_manager"})
def fetch(file_manager: FileManager) -> Any:
    return file_manager.write_data(b"id\n1\n2\n", ext="csv")


@op(required_resource_keys={"file_manager"})
def count(file_manager: FileManager, raw: FileHandle) -> int:
    return file_manager.read_data(raw).count(b"\n") - 1


@job
def load() -> None:
    count(fetch())


@asset
def orders() -> list[int]:
    return [1, 2, 3]


@asset
def total(orders: list[int]) -> int:
    return sum(orders)


def some_runs(instance: Instance, runs: int = 3) -> None:
    for number in range(runs):
        with instance.run(f"job-{number % 2}", tags={"number": str(number)}) as run, run.step("load"):
            run.materialize("a", partition=f"p{number}")


# -- values and files beside the log ----------------------------------------------------------------------------------


def test_a_job_runs_and_its_values_and_files_lie_beside_the_log(
    url: str, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    really = stores.open_objects
    monkeypatch.setattr(stores, "open_objects", lambda *given, **named: Watched(really(*given, **named), asked))
    with Instance.from_url(url) as instance:
        done = execute_job(load, instance=instance)
        assert done.output_for_node("count") == 2
        made = materialize([orders, total], instance=instance)
        assert made.asset_value("total") == 6
        assert {record.run.run_id for record in instance.get_run_records()} == {done.run_id, made.run_id}
        steps = [step.step_key for step in instance.get_run_step_stats(done.run_id)]
        assert sorted(steps) == ["count", "fetch"]
        assert [str(key) for key in instance.get_asset_keys()] == ["orders", "total"]
        log_id = instance.log.head().log_id
    monkeypatch.setattr(stores, "open_objects", really)
    before = all_of(url)
    others = {name: size for name, size in before.items() if not name.startswith(OWN)}
    assert {name.partition("/")[0] for name in others} == {"values", "files"}
    assert {name for name in others if name.startswith("values/")} == {
        *(f"values/{log_id}/runs/{done.run_id}/{step}/result.json" for step in ("count", "fetch")),
        *(name for name in others if name.startswith(f"values/{log_id}/assets/")),
    }
    assert len([name for name in others if name.startswith("files/")]) == 1

    monkeypatch.setattr(stores, "open_objects", lambda *given, **named: Watched(really(*given, **named), asked))
    machine("two")
    with Instance.from_url(url) as instance:  # on another machine: the next run reads what the last one has made
        assert instance.file_manager.read_data(done.output_for_node("fetch")) == b"id\n1\n2\n"
        again = materialize([orders, total], instance=instance, selection="total")
        assert again.success
        assert instance.verify().problems() == []
        assert instance.log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]
        instance.put_back_views()
        instance.put_back_views(drop_older=True)
        instance.delete_run(done.run_id)
        instance.rebuild()
    monkeypatch.setattr(backend, "LEAST_GRACE", 0)
    with open_log(url) as log:
        assert isinstance(log.backend, backend.ObjectBackend)
        assert log.backend.compact().superseded > 0
        log.backend.collect(grace_s=0.0)  # whatever is garbage, however new it is
    for own in ("kept/", "runs/", "pending/"):
        assert any(one.startswith(f"delete {own}") for one in asked)
    monkeypatch.setattr(stores, "open_objects", really)
    after = all_of(url)
    kept = {name for name in others if f"/{done.run_id}/" not in name}
    assert kept <= after.keys()
    with Instance.from_url(url) as instance:
        assert [record.run.run_id for record in instance.get_run_records()] == [again.run_id, made.run_id]
        assert instance.verify().problems() == []


def test_the_names_of_the_log_are_none_of_values_and_files() -> None:
    from foldlog.engine.artifacts.beside import FILES, VALUES

    for name in (VALUES, FILES):
        assert not any(f"{name}/".startswith(own) or own.startswith(f"{name}/") for own in OWN)


# -- views ------------------------------------------------------------------------------------------------------------


def test_a_cold_machine_begins_with_the_snapshot(url: str, machine: Callable[[str], None]) -> None:
    with Instance.from_url(url) as warm:
        some_runs(warm)
        assert isinstance(warm.views, CachedViews)
        position = warm.put_back_views()
        some_runs(warm, 1)
        expected = [record.run.run_id for record in warm.get_run_records()]
    machine("cold")
    with Instance.from_url(url) as cold:
        reads: list[int] = []
        really = cold.log.backend.read

        def read(*, after: int, **more: Any) -> Any:
            reads.append(after)
            return really(after=after, **more)

        cold.log.backend.read = read  # type: ignore[method-assign]
        assert [record.run.run_id for record in cold.get_run_records()] == expected
        assert min(reads) >= position
        assert cold.verify().problems() == []


def test_views_may_be_on_a_server(url: str, postgres_url: str, machine: Callable[[str], None]) -> None:
    with Instance.from_url(url, views=postgres_url) as instance:
        some_runs(instance)
        assert instance.get_runs_count() == 3
        with pytest.raises(UsageError, match=r"snapshot|cache"):
            instance.put_back_views()
    machine("two")
    with Instance.from_url(url, views=postgres_url) as instance:
        assert instance.position == instance.log.head().position
        assert instance.get_runs_count() == 3
    assert not any(name.startswith("kept/") for name in all_of(url))


def test_a_reader_answers_and_writes_nothing(url: str, machine: Callable[[str], None]) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance)
        assert instance.get_runs_count() == 3
    before = all_of(url)
    machine("two")
    with Instance.from_url(url, read_only=True) as reader:
        assert reader.get_runs_count() == 3
        with pytest.raises(ReadOnlyError):
            reader.put_back_views()
        with pytest.raises(ReadOnlyError), reader.run("job"):
            pass
    assert all_of(url) == before


# -- commands ---------------------------------------------------------------------------------------------------------


def call(*given: str, code: int = 0) -> Result:
    done = CliRunner().invoke(cli, list(given), prog_name="foldlog")
    assert done.exit_code == code, f"{done.output}\n{done.exception!r}"
    return done


def answer(*given: str) -> Any:
    return json.loads(call(*given, "--json").stdout)


def test_the_commands_work(url: str, machine: Callable[[str], None], tmp_path: Path) -> None:
    told = call("status", "--url", url, code=1).stderr
    assert f"there is no log at {url}" in told
    assert "A log is made by the first program that writes to it" in told
    with Instance.from_url(url) as instance, instance.run("nightly", run_id="there") as run, run.step("load"):
        run.materialize("a")
    found = answer("status", "--url", url)
    assert found["runs"] == {"SUCCESS": 1}
    assert found["log"]["backend"] == "objectstore"
    assert [run["run_id"] for run in answer("runs", "--url", url)["runs"]] == ["there"]
    assert "STEP_SUCCESS" in call("log", "there", "--url", url).stdout
    assert "RUN_SUCCESS" in call("tail", "-n", "1", "--url", url).stdout
    call("verify", "--url", url)
    call("rebuild", "--url", url)
    call("verify", "--url", url)
    checked = answer("doctor", "--full", "--url", url)
    assert checked["ok"]
    assert checked["notes"] == []
    call("export", str(tmp_path / "file"), "--url", url)
    call("import", str(tmp_path / "file"), f"sqlite:///{tmp_path}/copied")
    assert answer("status", "--url", f"sqlite:///{tmp_path}/copied")["runs"] == {"SUCCESS": 1}
    call("retention", "plan", "--runs-days", "9", "--url", url)
    call("delete-run", "there", "--yes", "--url", url)
    assert answer("runs", "--url", url)["runs"] == []
    assert answer("doctor", "--full", "--url", url)["ok"]


def test_the_log_is_found_by_the_environment_and_by_the_file(
    url: str, machine: Callable[[str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Instance.from_url(url) as instance:
        some_runs(instance, 1)
    monkeypatch.setenv("FOLDLOG_URL", url)
    assert answer("status")["runs"] == {"SUCCESS": 1}
    assert f"log {url} (from FOLDLOG_URL)" in call("status").stdout
    monkeypatch.delenv("FOLDLOG_URL")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("FOLDLOG_HOME", str(home))
    (home / "foldlog.yaml").write_text(f"storage:\n  url: {url}\n")
    assert answer("status")["runs"] == {"SUCCESS": 1}
    with Instance.get() as instance:
        assert instance.log.backend.url == url
        ref = instance.get_ref()
    with Instance.from_ref(foldlog.InstanceRef.from_json(ref.to_json())) as instance:
        assert instance.get_runs_count() == 1
    assert answer("config", "check")["parts"][0]["config"]["url"] == url


def test_a_relative_folder_is_seen_from_the_file_and_from_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/foldlog.yaml").write_text("storage: file:///./history\n")
    monkeypatch.chdir(tmp_path)
    with Instance.from_config(tmp_path / "home") as instance:
        some_runs(instance, 1)
        assert instance.log.backend.url == f"file://{tmp_path}/home/history"
    with Instance.from_url("file:///./home/../home/history") as instance:
        monkeypatch.chdir("/")
        assert instance.get_runs_count() == 1
        assert instance.log.backend.url == f"file://{tmp_path}/home/history"
        with Instance.from_ref(instance.get_ref()) as other:
            assert other.get_runs_count() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home"]


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_a_bucket_that_is_not_there_is_told(s3_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    for deed in (
        lambda: open_log("s3://foldlog-test-is-not-there/log"),
        lambda: open_log("s3://foldlog-test-is-not-there/log", read_only=True),
    ):
        with pytest.raises(UsageError, match="there is no 'foldlog-test-is-not-there'") as caught:
            deed()
        assert caught.value.remedy == (
            "Make 'foldlog-test-is-not-there' with the tools of the store, or correct the URL; foldlog makes none."
        )
    told = call("status", "--url", "s3://foldlog-test-is-not-there/log", code=1).stderr
    assert "foldlog makes none" in told
    assert s3_bucket.options["secret"] not in told


@pytest.mark.parametrize(
    ("url", "message", "remedy"),
    [
        ("file://x", "file://x: a file:// URL has no host, and three slashes", "Write file:///./x for a folder"),
        ("file:///", "file:/// names no folder", "Write file:///path/of/a/folder."),
        ("s3://bucket//x", "s3://bucket//x: the prefix cannot be one of objects", "Use letters, digits"),
        ("s3://me:hunter2@bucket/x", "a s3:// URL takes no credentials", "Put them into FOLDLOG_STORAGE_OPTIONS"),
        ("s3://bucket/x?secret=hunter2", "s3://bucket/x: a s3:// URL takes no options", "Put them into"),
        ("file:///no/such/folder", "there is no log at file:///no/such/folder", "A log is made by the first program"),
        ("s3a://bucket/x", "no backend for s3a:// URLs; known are", "Check the URL."),
    ],
)
def test_wrong_urls_are_told_by_every_way(url: str, message: str, remedy: str, tmp_path: Path) -> None:
    told = call("status", "--url", url, code=1).stderr
    assert f"foldlog: {message}" in told
    assert remedy in told
    with pytest.raises(UsageError) as caught:
        Instance.from_url(url, read_only=True)
    assert str(caught.value).startswith(message)
    if "no log" not in message:
        (tmp_path / "foldlog.yaml").write_text(f"storage: {url}\n")
        with pytest.raises(UsageError) as caught:
            Instance.from_config(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path}/foldlog.yaml:1: storage: {message}")
        told += str(caught.value)
    assert "hunter2" not in told


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for package in ("s3fs", "gcsfs", "adlfs"):
        monkeypatch.setitem(sys.modules, package, None)
    for url, name in (("s3://bucket/x", "s3"), ("gs://bucket/x", "gcs"), ("az://box/x", "azure")):
        told = call("status", "--url", url, code=1).stderr
        assert f"{url}: the package for {url.partition(':')[0]}:// URLs is not installed" in told
        assert f"pip install 'foldlog[{name}]'" in told


def test_who_may_not_write_has_answers_as_of_what_others_have_taken_in(
    tmp_path: Path, machine: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/log"
    with Instance.from_url(url) as instance:
        some_runs(instance, 2)
    monkeypatch.setattr(Prompter, "appended", lambda self: None)
    with open_log(url) as log:
        log.append("left", [foldlog.Event(foldlog.events.RunCreated(job_name="late"), 1)])  # and given no position

        class Denying(Watched):
            def create(self, name: str, data: bytes) -> bool:
                error = ReadOnlyError(f"{self.url}: cannot create {name}: access was refused")
                error.remedy = "Let these credentials write."
                raise error

            def delete(self, names: Sequence[str]) -> None:
                raise ReadOnlyError(f"{self.url}: cannot delete {names[0]}: access was refused")

        really = stores.open_objects
        monkeypatch.setattr(stores, "open_objects", lambda *given, **named: Denying(really(*given, **named), []))
        machine("two")
        for command in ("runs", "status", "verify"):
            done = call(command, "--url", url)
            assert "this user may not write to the log: the answer is as of what others have taken in" in done.stderr
        assert "cannot create" in call("delete-run", "left", "--yes", "--url", url, code=1).stderr
        assert answer("doctor", "--url", url)["ok"]
