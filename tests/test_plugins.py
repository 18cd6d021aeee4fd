"""Parts of a third party: a wheel of its own replaces every part by foldlog.yaml alone, and works in spawned children.

Its wheel is built and installed beside that of foldlog into a venv where the repository is not.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from textwrap import dedent

import pytest
from test_wheel import elsewhere, run, wheel  # noqa: F401  # fixtures

ACME = {
    "pyproject.toml": """
        [build-system]
        requires = ["setuptools>=77"]
        build-backend = "setuptools.build_meta"

        [project]
        name = "acme-foldlog"
        version = "1.0"

        [tool.setuptools]
        packages = ["acme"]
    """,
    "acme/__init__.py": "",
    "acme/storage.py": """
        from foldlog.backends import open_backend
        from foldlog.engine.config import LogStorage, folder, one_of

        class Vault(LogStorage):
            def __init__(self, path, layout):
                self.path, self.layout = path, layout

            @classmethod
            def config_schema(cls):
                return {"path": folder(required=True), "layout": one_of("wide", "one", default="wide")}

            def open_backend(self, *, read_only):
                layout = {"wide": "sharded", "one": "consolidated"}[self.layout]
                return open_backend(f"sqlite:///{self.path}?layout={layout}", read_only=read_only)
    """,
    "acme/files.py": """
        from contextlib import contextmanager
        from pathlib import Path
        from foldlog import ComputeLogManager, FileManager, LocalArtifactStorage
        from foldlog.engine.artifacts import LogData, LogMetadata
        from foldlog.engine.artifacts.compute_logs import read_cursor
        from foldlog.engine.config import folder, text

        class Shelves(LocalArtifactStorage):
            @classmethod
            def config_schema(cls):
                return {"base_dir": folder(required=True), "label": text(required=True)}

            def __init__(self, base_dir, label):
                super().__init__(base_dir)
                self.label = label

        class Numbered:
            def __init__(self, path):
                self.path_desc = str(path)

        class Drawer(FileManager):
            def __init__(self, folder):
                self.folder = Path(folder)

            @classmethod
            def config_schema(cls):
                return {"folder": folder(required=True)}

            def write(self, file_obj, mode="wb", ext=None):
                return self.write_data(file_obj.read(), ext)

            def write_data(self, data, ext=None):
                self.folder.mkdir(exist_ok=True)
                path = self.folder / f"{len(list(self.folder.iterdir()))}.{ext}"
                path.write_bytes(data)
                return Numbered(path)

            def read(self, file_handle, mode="rb"):
                return open(file_handle.path_desc, mode)

            def read_data(self, file_handle):
                return Path(file_handle.path_desc).read_bytes()

            def copy_handle_to_local_temp(self, file_handle):
                return file_handle.path_desc

            def delete_local_temp(self):
                pass

        class OneFile(ComputeLogManager):
            '''All that is written, of all keys, in one file.'''
            def __init__(self, path):
                self.path = Path(path)

            @classmethod
            def config_schema(cls):
                return {"path": folder(default="one.log")}

            @contextmanager
            def capture_logs(self, log_key):
                yield LogMetadata(str(self.path), str(self.path))

            @contextmanager
            def open_log_stream(self, log_key, io_type):
                with self.path.open("ab") as stream:
                    yield stream

            def is_capture_complete(self, log_key):
                return True

            def get_log_data(self, log_key, cursor=None, max_bytes=1000):
                start, _ = read_cursor(cursor)
                out = self.path.read_bytes()[start:start + max_bytes]
                return LogData(tuple(log_key), out, b"", f"{start + len(out)}:0")

            def get_log_metadata(self, log_key):
                return LogMetadata(str(self.path), None)

            def delete_logs(self, log_key=None, prefix=None):
                self.path.unlink(missing_ok=True)
    """,
    "acme/runs.py": """
        import os
        from foldlog import RunCoordinator, RunLauncher, Scheduler, Event, events
        from foldlog.engine.config import integer, text
        from foldlog.engine.coordination import WorkerHealth, WorkerStatus

        class Polite(RunCoordinator):
            '''Says so in the log, then launches.'''
            def __init__(self, words):
                self.words = words

            @classmethod
            def config_schema(cls):
                return {"words": text(default="please")}

            def submit_run(self, run_id):
                note = events.EngineEvent(text=f"{self.words}, {run_id}")
                self.instance.log.append(run_id, [Event.now(note)])
                return self.instance.launch_run(run_id)

        class AtOnce(RunLauncher):
            '''Does the work itself.'''
            def __init__(self, size, token):
                self.size, self.token = size, token

            @classmethod
            def config_schema(cls):
                return {"size": integer(default=1), "token": text(required=True, secret=True)}

            def start_worker(self, run):
                self.instance.log.append(run.run_id, [Event.now(events.RunStarted()), Event.now(events.RunSucceeded())])
                return {"size": str(self.size), "token_length": str(len(self.token))}

            def terminate(self, run_id):
                return False

            def check_health(self, run_id):
                return WorkerHealth(WorkerStatus.GONE, "done at once")

            def join(self, timeout_s=30.0):
                return True

        class ByHand(Scheduler):
            def start_schedule(self, schedule, *, code_location=None, cron=None, time_zone=None):
                fact = events.ScheduleStarted(schedule=schedule + " by hand")
                return self.instance.log.append("@ticks", [Event.now(fact)])

            def stop_schedule(self, schedule, *, code_location=None, reason=None):
                raise NotImplementedError

            def reset_schedule(self, schedule, *, code_location=None):
                raise NotImplementedError

            def debug_info(self):
                return "by hand"

            def get_logs_path(self, schedule):
                return self.instance.root_directory / "by-hand"
    """,
    "acme/vault.py": """
        from foldlog.engine.config import SecretsLoader, map_of, text

        class Envelope(SecretsLoader):
            def __init__(self, secrets):
                self.secrets = secrets

            @classmethod
            def config_schema(cls):
                return {"secrets": map_of(text(), required=True)}

            def load(self):
                return {name: value[::-1] for name, value in self.secrets.items()}
    """,
}

CONFIG = """
storage:
  module: acme.storage
  class: Vault
  config: {path: vault, layout: {env: ACME_LAYOUT}}
  views: sqlite:///views.db
local_artifacts:
  module: acme.files
  class: Shelves
  config: {base_dir: shelves, label: third shelf}
compute_logs: {module: acme.files, class: OneFile}
file_manager: {module: acme.files, class: Drawer, config: {folder: drawer}}
run_coordinator: {module: acme.runs, class: Polite}
run_launcher:
  module: acme.runs
  class: AtOnce
  config: {size: 7, token: {env: ACME_TOKEN}}
scheduler: {module: acme.runs, class: ByHand}
secrets:
  module: acme.vault
  class: Envelope
  config: {secrets: {ACME_TOKEN: nekot, ACME_LAYOUT: eno}}
"""

#: opens the instance, then a spawned child opens it by reference; each uses every part
USE = """
import json, multiprocessing, sys
import foldlog
from foldlog import Event, Instance, events

def use(ref, run_id, answers):
    with Instance.from_ref(ref) as instance:
        instance.log.append(run_id, [Event.now(events.RunCreated(job_name="job"))])
        run = instance.submit_run(run_id)
        key = [run_id, "compute_logs", "s-1"]
        logs = instance.compute_log_manager
        with logs.open_log_stream(key, "stdout") as stream:
            stream.write(run_id.encode())
        heard = []
        subscription = logs.subscribe(key, lambda data: heard.append(data.stdout.decode()))
        while not subscription.is_over:
            pass
        instance.scheduler.start_schedule(run_id)
        files = instance.file_manager
        filed = files.write_data(run_id.encode(), "txt")
        assert files.read_data(filed) == run_id.encode()
        told = [record.event.fact for record in instance.log.read_shard(run_id).records]
        answers.put({
            "status": run.status,
            "types": [fact.KIND.name for fact in told],
            "said": told[1].text,
            "handle": told[-1].handle,
            "cancel": instance.cancel_run(run_id),
            "debug": instance.run_launcher.debug_info(run_id),
            "heard": heard,
            "label": instance.local_artifact_storage.label,
            "base": str(instance.local_artifact_storage.base_dir),
            "schedules": [r.event.fact.schedule for r in instance.log.read_shard("@ticks").records],
            "logs_path": str(instance.scheduler.get_logs_path("x")),
            "filed": filed.path_desc,
            "secrets": sorted(instance.secrets_loader.load()),
            "parts": sorted(type(part).__module__ + "." + type(part).__name__ for part in (
                instance.local_artifact_storage, instance.compute_log_manager, files, instance.run_coordinator,
                instance.run_launcher, instance.scheduler, instance.secrets_loader)),
        })

if __name__ == "__main__":
    with Instance.get() as instance:
        ref = instance.get_ref()
        shown = repr(ref) + ref.to_json()
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        child = context.Process(target=use, args=(ref, "of-the-child", answers))
        child.start()
        found = answers.get(timeout=60)
        child.join()
        assert child.exitcode == 0
        found["runs"] = {r.run.run_id: r.run.status for r in instance.get_run_records()}
        found["url"] = instance.log.backend.url
        found["shown"] = shown
        print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def plugged(elsewhere, tmp_path_factory):  # noqa: F811
    """A venv with foldlog and the wheel of the third party."""
    source, out = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("acme-wheel")
    for name, content in ACME.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(dedent(content))
    import sys

    pip = (sys.executable, "-P", "-m", "pip")
    run(*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", out, source, cwd=out)
    (built,) = out.glob("acme_foldlog-*.whl")
    run(*pip, "--python", elsewhere / "bin/python", "install", "--quiet", "--no-deps", built, cwd=out)
    return elsewhere


def in_home(venv: Path, home: Path, *command: object) -> str:
    (home / "use.py").write_text(USE)
    os.environ["FOLDLOG_HOME"] = str(home)
    try:
        return run(*command, cwd=home)
    finally:
        del os.environ["FOLDLOG_HOME"]


def test_every_part_is_replaced_by_the_file_alone(plugged, tmp_path):
    (tmp_path / "foldlog.yaml").write_text(CONFIG)
    told = json.loads(in_home(plugged, tmp_path, plugged / "bin/python", "use.py"))
    assert told["parts"] == [
        "acme.files.Drawer",
        "acme.files.OneFile",
        "acme.files.Shelves",
        "acme.runs.AtOnce",
        "acme.runs.ByHand",
        "acme.runs.Polite",
        "acme.vault.Envelope",
    ]
    assert told["status"] == "SUCCESS"
    assert told["types"] == ["RUN_CREATED", "ENGINE_EVENT", "RUN_STARTING", "RUN_START", "RUN_SUCCESS", "RUN_LAUNCHED"]
    assert told["said"] == "please, of-the-child"
    assert told["handle"] == {"size": "7", "token_length": "5"}
    assert told["debug"].endswith("done at once")
    assert told["cancel"] is False
    assert told["heard"] == ["of-the-child"]
    assert (told["label"], told["base"]) == ("third shelf", str(tmp_path / "shelves"))
    assert told["schedules"] == ["of-the-child by hand"]
    assert told["logs_path"] == str(tmp_path / "by-hand")
    assert told["filed"] == str(tmp_path / "drawer/0.txt")
    assert told["secrets"] == ["ACME_LAYOUT", "ACME_TOKEN"]
    assert told["runs"] == {"of-the-child": "SUCCESS"}
    assert told["url"].startswith(f"sqlite:///{tmp_path}/vault")
    assert (tmp_path / "vault/log.db").exists()
    assert (tmp_path / "views.db").exists()
    assert "token" not in told["shown"].replace("ACME_TOKEN", "").replace('"token"', "").replace("'token'", "")


def test_the_command_line_works_on_it(plugged, tmp_path):
    (tmp_path / "foldlog.yaml").write_text(CONFIG)
    in_home(plugged, tmp_path, plugged / "bin/python", "use.py")
    command = plugged / "bin/foldlog"
    checked = json.loads(in_home(plugged, tmp_path, command, "config", "check", "--json"))
    assert {part["key"]: part["class"] for part in checked["parts"]} == {
        "storage": "acme.storage.Vault",
        "local_artifacts": "acme.files.Shelves",
        "compute_logs": "acme.files.OneFile",
        "file_manager": "acme.files.Drawer",
        "run_coordinator": "acme.runs.Polite",
        "run_launcher": "acme.runs.AtOnce",
        "scheduler": "acme.runs.ByHand",
        "secrets": "acme.vault.Envelope",
    }
    assert "nekot" not in json.dumps(checked)
    (one,) = json.loads(in_home(plugged, tmp_path, command, "runs", "--json"))["runs"]
    assert one["run_id"] == "of-the-child"
    assert "acme.storage.Vault" in in_home(plugged, tmp_path, command, "status")
    assert "identical" in in_home(plugged, tmp_path, command, "verify")


STORED = """
from foldlog import Instance
with Instance.get() as instance:
    with instance.run("job", run_id="run-1"):
        pass
    print(instance.get_run_by_id("run-1").status, instance.instance_type, len(instance.log.read().events))
"""


def test_storage_in_memory_and_on_a_server_by_the_file_alone(plugged, tmp_path, postgres_url):
    (tmp_path / "stored.py").write_text(STORED)
    (tmp_path / "foldlog.yaml").write_text("storage: memory://")
    for _ in range(2):  # each process begins anew
        assert in_home(plugged, tmp_path, plugged / "bin/python", "stored.py") == "SUCCESS EPHEMERAL 3\n"
    (tmp_path / "foldlog.yaml").write_text("storage: {url: {env: PG_URL}}")
    (tmp_path / ".env").write_text(f"PG_URL={postgres_url}\n")
    assert in_home(plugged, tmp_path, plugged / "bin/python", "stored.py") == "SUCCESS PERSISTENT 3\n"
    (one,) = json.loads(in_home(plugged, tmp_path, plugged / "bin/foldlog", "runs", "--json"))["runs"]
    assert one["run_id"] == "run-1"
