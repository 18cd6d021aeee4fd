"""foldlog.yaml: what is right does what it says; what is wrong is named with file, line, key, and what is allowed."""

from __future__ import annotations

import json
import subprocess
import sys
import traceback
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner

import foldlog
from foldlog import ConfigurableClass, ConfigurableClassData, Instance, UsageError
from foldlog.engine.cli.main import cli
from foldlog.engine.config import (
    EnvFileSecretsLoader,
    either,
    flag,
    folder,
    integer,
    list_of,
    map_of,
    number,
    one_of,
    plain,
    section,
    text,
)
from foldlog.engine.config.checking import Context, check_section
from foldlog.engine.config.configuration import Configuration
from foldlog.engine.config.document import read
from foldlog.engine.config.place import Place
from foldlog.engine.urls import absolute

SECRET = "s3cr3t-never-shown"


class Strict(ConfigurableClass):
    """A part for these tests. Its constructor says what it was given, as a careless one would."""

    def __init__(self, **config):
        if config.get("fail"):
            raise ValueError(f"cannot use {config}")
        self.config = config

    @classmethod
    def config_schema(cls):
        return {
            "name": text(),
            "password": text(secret=True),
            "count": integer(default=3, minimum=1, maximum=9),
            "mode": one_of("fast", "safe", default="safe"),
            "fail": flag(default=False),
            "where": folder(default="data"),
        }


class NoPart:
    """Derives from nothing that a part must derive from."""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    return tmp_path


def write(home: Path, content: str) -> Path:
    file = home / "foldlog.yaml"
    file.write_text(dedent(content), encoding="utf-8")
    return file


def fault_of(home: Path, content: str) -> UsageError:
    """What `foldlog config check` says is wrong, which is also what a program that uses everything is told."""
    file = write(home, content)
    done = CliRunner().invoke(cli, ["config", "check"], prog_name="foldlog")
    assert done.exit_code == 1, done.output
    assert "what to do: " in done.stderr
    with pytest.raises(UsageError) as caught:
        use_all_of(file)
    assert f"foldlog: {caught.value}" in done.stderr
    return caught.value


def use_all_of(file: Path) -> None:
    with Instance.from_config(file) as instance:
        for part in ("local_artifact_storage", "compute_log_manager", "run_coordinator", "scheduler"):
            getattr(instance, part)
        if "run_launcher" in file.read_text():  # there is no other
            assert instance.run_launcher
        assert instance.secrets_loader
        instance.get_settings("retention")


COORDINATOR = """
run_coordinator:
  class: QueuedRunCoordinator
  config:
    {}
"""
LAUNCHER = """
run_launcher:
  class: ProcessRunLauncher
  config:
    {}
"""

#: what a user writes -> the line, the key, words of the message, words of the remedy
WRONG = {
    # keys of the file
    "a key that is misspelt": ("storge: x", 1, "storge", "did you mean 'storage'?", "Allowed here: storage, "),
    "a key of another program": ("telemetry: {enabled: false}", 1, "telemetry", "there is no key", "run_launcher"),
    "its plural": ("\n\nsecret: {}", 3, "secret", "did you mean 'secrets'?", ""),
    "an old name": (
        "local_artifact_storage: {}",
        1,
        "local_artifact_storage",
        "did you mean 'local_artifacts'?",
        "",
    ),
    "a hyphen": ("run-launcher: {}", 1, "run-launcher", "did you mean 'run_launcher'?", ""),
    "a key twice": ("storage: a\nscheduler:\nstorage: b", 3, "storage", "twice, first in line 1", ""),
    "a key twice, inside": (COORDINATOR.format("{a: 1, a: 2}"), 5, "run_coordinator.config.a", "twice", ""),
    "text instead of a mapping": ("just words", 1, "", "'just words' was given; wanted a mapping", ""),
    "a list instead of a mapping": ("- storage", 1, "", "a list of 1 was given; wanted a mapping", ""),
    "a merge": ("<<: {storage: x}", 1, "", "merging with <<", ""),
    "a tag": ("storage: !!python/name:os.system ''", 1, "storage", "tag", ""),
    "a list as a key": ("? [a, b]\n: c", 1, "", "a key is a word", ""),
    # storage
    "storage by a number": ("storage: 5", 1, "storage", "5 was given; wanted a URL", ""),
    "a folder for storage": ("storage: ./history", 1, "storage", "is no URL", ""),
    "an unknown scheme": ("storage: mongodb://h/db", 1, "storage", "no backend for mongodb:// URLs", ""),
    "a key in storage": ("storage: {uri: x}", 1, "storage.uri", "did you mean 'url'?", "{url: URL, views: URL}"),
    "storage with url and class": ("storage: {url: x, class: y}", 1, "storage.url", "there is no key 'url'", ""),
    "a class without a module": ("storage: {class: Y}", 1, "storage", "{module: ..., class: ...", ""),
    "an empty url": ("storage: {url: ''}", 1, "storage.url", "is empty", ""),
    "a url that is not set": (
        "storage:\n  url: {env: FOLDLOG_NOT_SET}",
        2,
        "storage.url",
        "the environment variable FOLDLOG_NOT_SET is not set",
        "Set FOLDLOG_NOT_SET",
    ),
    "storage that is not set": ("storage: {env: FOLDLOG_NOT_SET}", 1, "storage.url", "FOLDLOG_NOT_SET is not set", ""),
    "a storage class that is none": (
        "storage: {module: test_config, class: Strict}",
        1,
        "storage.class",
        "test_config.Strict is no LogStorage",
        "foldlog.engine.config.storage.LogStorage, as storage needs",
    ),
    # classes
    "a class by name alone": ("run_launcher: ProcessRunLauncher", 1, "run_launcher", "wanted a class", "{class: Proc"),
    "no class": ("scheduler:\n  config: {}", 1, "scheduler", "the key 'class' is missing", ""),
    "a class misspelt": (
        "compute_logs:\n  class: LocalComputeLogManger",
        2,
        "compute_logs.class",
        "did you mean 'LocalComputeLogManager'?",
        "foldlog's own: LocalComputeLogManager, NoOpComputeLogManager",
    ),
    "a class of somebody's without its module": (
        "run_launcher: {class: KubernetesLauncher}",
        1,
        "run_launcher.class",
        "foldlog has no 'KubernetesLauncher'",
        "need `module` as well",
    ),
    "a module that is not there": (
        "run_launcher:\n  module: acme_not_there.launch\n  class: L",
        2,
        "run_launcher.module",
        "there is no module 'acme_not_there'",
        "Install what has acme_not_there",
    ),
    "a module that imports what is not there": (
        "run_launcher: {module: imports_nothing, class: L}",
        1,
        "run_launcher.module",
        "imports_nothing was found, but what it imports was not: 'acme_not_there'",
        "Install acme_not_there",
    ),
    "a module that raises": (
        "run_launcher: {module: raises, class: L}",
        1,
        "run_launcher.module",
        "importing raises raised ZeroDivisionError",
        "",
    ),
    "a class that is not in the module": (
        "run_launcher:\n  module: foldlog.engine.coordination\n  class: ProcesRunLauncher",
        3,
        "run_launcher.class",
        "has no class 'ProcesRunLauncher'; did you mean 'ProcessRunLauncher'?",
        "",
    ),
    "a class of another part": (
        "scheduler: {module: foldlog, class: QueuedRunCoordinator}",
        1,
        "scheduler.class",
        "QueuedRunCoordinator is no Scheduler",
        "foldlog.engine.coordination.scheduler.Scheduler",
    ),
    "a function for a class": ("secrets: {module: os, class: getcwd}", 1, "secrets.class", "is no SecretsLoader", ""),
    "args for config": ("scheduler: {class: DaemonScheduler, args: {}}", 1, "scheduler.args", "no key 'args'", ""),
    "text for config": (
        "scheduler: {class: DaemonScheduler, config: fast}",
        1,
        "scheduler.config",
        "'fast' was given; wanted a mapping",
        "",
    ),
    "a key of a class without any": (
        "compute_logs: {class: NoOpComputeLogManager, config: {base_dir: x}}",
        1,
        "compute_logs.config.base_dir",
        "there is no key",
        "leave `config` out",
    ),
    # values
    "a required key that is missing": (
        "local_artifacts:\n  class: LocalArtifactStorage",
        1,
        "local_artifacts.config",
        "the key 'base_dir' is missing, which takes a path",
        "",
    ),
    "a required key without a value": (
        "local_artifacts: {class: LocalArtifactStorage, config: {base_dir: }}",
        1,
        "local_artifacts.config",
        "'base_dir' is missing",
        "",
    ),
    "a misspelt key": (
        COORDINATOR.format("max_concurent_runs: 5"),
        5,
        "run_coordinator.config.max_concurent_runs",
        "did you mean 'max_concurrent_runs'?",
        "tag_concurrency_limits",
    ),
    "text for a number": (
        COORDINATOR.format('max_concurrent_runs: "10"'),
        5,
        "run_coordinator.config.max_concurrent_runs",
        "'10' was given; wanted a whole number, -1 or more",
        "",
    ),
    "true for a number": (COORDINATOR.format("max_concurrent_runs: yes"), 5, "max_concurrent_runs", "true was", ""),
    "a fraction for a whole number": (COORDINATOR.format("max_concurrent_runs: 1.5"), 5, "_runs", "1.5 was given", ""),
    "a number out of range": (
        COORDINATOR.format("max_concurrent_runs: -2"),
        5,
        "run_coordinator.config.max_concurrent_runs",
        "-2 is out of range; wanted a whole number, -1 or more",
        "",
    ),
    "a number too large": (
        COORDINATOR.format("concurrency: {pools: {default_limit: 1001}}"),
        5,
        "run_coordinator.config.concurrency.pools.default_limit",
        "1001 is out of range; wanted a whole number from 0 to 1000",
        "",
    ),
    "not a number": (COORDINATOR.format("dequeue_interval_seconds: .nan"), 5, "interval_seconds", "nan was given", ""),
    "text for a flag": (COORDINATOR.format("dequeue_use_threads: maybe"), 5, "threads", "wanted true or false", ""),
    "a word that is none of these": (
        COORDINATOR.format("concurrency: {pools: {granularity: ops}}"),
        5,
        "run_coordinator.config.concurrency.pools.granularity",
        "'ops' is not one of run, op; did you mean 'op'?",
        "",
    ),
    "an item of a list": (
        COORDINATOR.format("tag_concurrency_limits:\n      - key: a\n        limit: 1\n      - key: b"),
        8,
        "run_coordinator.config.tag_concurrency_limits[1]",
        "the key 'limit' is missing",
        "",
    ),
    "a value of two forms": (
        COORDINATOR.format("tag_concurrency_limits: [{key: a, limit: 1, value: 7}]"),
        5,
        "run_coordinator.config.tag_concurrency_limits[0].value",
        "7 was given; wanted text, or a mapping with the keys applyLimitPerUniqueValue",
        "",
    ),
    "a mapping for a list": (
        COORDINATOR.format("tag_concurrency_limits: {key: a, limit: 1}"),
        5,
        "run_coordinator.config.tag_concurrency_limits",
        "a mapping with key, limit was given; wanted a list, each item a mapping with the keys key, value, limit",
        "",
    ),
    "text for a list": (LAUNCHER.format("command: python -m w"), 5, "run_launcher.config.command", "wanted a list", ""),
    "an empty command": (LAUNCHER.format("command: []"), 4, "run_launcher.config", "command is empty", ""),
    "an unknown signal": (
        LAUNCHER.format("command: [x]\n    stop_signal: SIGHUB"),
        6,
        "run_launcher.config.stop_signal",
        "'SIGHUB' is not one of SIGTERM, SIGINT, SIGKILL",
        "",
    ),
    "env with a number": (LAUNCHER.format("command: [{env: 5}]"), 5, "command[0]", "a mapping with env was", ""),
    # keys that do not go together
    "two coordinators": (
        "run_queue: {}\nrun_coordinator: {class: DefaultRunCoordinator}",
        1,
        "run_queue",
        "run_queue and run_coordinator exclude each other",
        "Keep one",
    ),
    "a key in run_queue": (
        "run_queue:\n  max_concurrent: 3",
        2,
        "run_queue.max_concurrent",
        "did you mean 'max_concurrent_runs'?",
        "",
    ),
    "a list for run_queue": ("run_queue: [1]", 1, "run_queue", "a list of 1 was given", ""),
    "both forms of pools": (
        COORDINATOR.format("{concurrency: {}, block_op_concurrency_limited_runs: {enabled: true}}"),
        4,
        "run_coordinator.config",
        "exclude each other",
        "",
    ),
    "a buffer without what it buffers": (
        COORDINATOR.format("block_op_concurrency_limited_runs: {enabled: false, op_concurrency_slot_buffer: 1}"),
        4,
        "run_coordinator.config",
        "op_concurrency_slot_buffer needs enabled: true",
        "",
    ),
    "a buffer of runs": (
        COORDINATOR.format("concurrency: {pools: {granularity: run, op_granularity_run_buffer: 1}}"),
        4,
        "run_coordinator.config",
        "needs granularity: op",
        "",
    ),
    "workers without threads": (COORDINATOR.format("dequeue_num_workers: 2"), 4, "config", "needs dequeue_use_", ""),
    "a limit twice": (
        COORDINATOR.format("tag_concurrency_limits: [{key: a, limit: 1}, {key: a, limit: 2}]"),
        4,
        "run_coordinator.config",
        "tag_concurrency_limits[1]: ",
        "",
    ),
    "a limit per value that is off": (
        COORDINATOR.format("tag_concurrency_limits: [{key: a, limit: 1, value: {applyLimitPerUniqueValue: no}}]"),
        4,
        "run_coordinator.config",
        "can only be true",
        "",
    ),
    # retention
    "retention by a number": ("retention: 30", 1, "retention", "", ""),
    "a key of retention": ("retention: {logs: {after_days: 30}}", 1, "retention", "logs", ""),
}


@pytest.fixture(autouse=True)
def modules(tmp_path_factory, monkeypatch):
    """Modules that a configuration may name and that do not load; and this one."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "imports_nothing.py").write_text("import acme_not_there\n")
    (folder / "raises.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_with_its_line(name, home):
    content, line, key, words, remedy = WRONG[name]
    error = fault_of(home, content)
    assert str(error).startswith(f"{home}/foldlog.yaml:{line}: "), error
    assert key in str(error)
    assert words in str(error)
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("storage: [a", ":1:12"),
        ("storage: a\n\tscheduler: b", ":2:1"),
        ("storage: 'a", ":1:12"),
        ("a: b: c", ":1:5"),
        ("a: *nobody", ":1:4"),
        ("a: 1\n---\nb: 2", ":2:1"),
        ("a: \x01", ""),
        ("[" * 3000, ""),
    ],
)
def test_what_is_no_yaml_is_named_with_line_and_column(content, place, home):
    file = write(home, "")
    file.write_text(content)
    with pytest.raises(UsageError, match="this is no YAML") as caught:
        Configuration.read(file)
    assert str(caught.value).startswith(f"{file}{place}: ")


def test_a_file_that_cannot_be_read_is_named(home):
    with pytest.raises(UsageError, match=r"foldlog.yaml cannot be read: No such file"):
        Configuration.read(home / "foldlog.yaml")
    (home / "foldlog.yaml").write_bytes(b"storage: \xff")
    with pytest.raises(UsageError, match=r"foldlog.yaml cannot be read: it is not UTF-8"):
        Configuration.read(home / "foldlog.yaml")
    (home / "foldlog.yaml").write_bytes(b"#" * 1024 * 1025)
    with pytest.raises(UsageError, match=r"foldlog.yaml is 1,049,600 bytes long; 1,048,576 are allowed"):
        Configuration.read(home / "foldlog.yaml")
    (home / "foldlog.yaml").unlink()
    (home / "foldlog.yml").write_text("storage: memory://")
    with pytest.raises(UsageError, match=r"foldlog.yml is not read") as caught:
        Instance.get()
    assert caught.value.remedy == "Name it foldlog.yaml."


def test_aliases_of_aliases_are_bounded(home):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join(['*' + old] * 10)}]" for old, new in zip("abcdef", "bcdefg", strict=True)]
    with pytest.raises(UsageError, match="more than 10,000 values"):
        read("\n".join(lines), "f")
    assert read("a: &a [1]\nb: *a", "f")[0] == {"a": [1], "b": [1]}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-1", -1),
        ("1_000", 1000),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", "1e3"),
        ("1:30", "1:30"),
        ("010", "010"),
        ("2026-01-01", "2026-01-01"),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ('"yes"', "yes"),
        ("|\n  1", "1"),
        (".inf", float("inf")),
        ("-.inf", float("-inf")),
    ],
)
def test_values_are_what_people_mean(written, value):
    assert read(f"k: {written}", "f")[0] == {"k": value}


# -- what people write by habit --------------------------------------------------------------------------------------

OLD = {
    "storage: {postgres: {postgres_url: 'postgresql://me@h/db'}}": "storage: postgresql://me@h/db",
    f"storage: {{postgres: {{postgres_url: 'postgresql://me:{SECRET}@h/db'}}}}": "set it to postgresql://me:***@h/db",
    "storage: {postgres: {postgres_url: {env: PG_URL}}}": "storage:\n  url:\n    env: PG_URL",
    f"storage: {{postgres: {{postgres_db: {{user: me, password: {SECRET}, host: h, dbname: d, port: 5433}}}}}}": (
        "storage:\n  url:\n    env: FOLDLOG_URL   # set it to postgresql://me:PASSWORD@h:5433/d"
    ),
    "storage: {postgres: {postgres_db: {username: {env: U}, password: {env: P}, hostname: h, db_name: d}}}": (
        "postgresql://$U:PASSWORD@h/d"
    ),
    "storage: {mysql: {mysql_url: 'mysql+mysqlconnector://me@h/db'}}": "storage: mysql://me@h/db",
    "storage: {sqlite: {base_dir: /srv/x/}}": "storage: sqlite:////srv/x/foldlog",
    "storage: {sqlite: {base_dir: {env: B}}}": "storage: sqlite:///history",
    "run_storage: {module: m.sqlite, class: SqliteRunStorage, config: {base_dir: /srv}}": "sqlite:////srv/foldlog",
    "event_log_storage: {module: p, class: PostgresEventLogStorage, config: {postgres_url: {env: PG}}}": "env: PG",
    "schedule_storage: {module: m, class: MySQLScheduleStorage, config: {mysql_db: {username: u, db_name: d}}}": (
        "storage: mysql://u@localhost/d"
    ),
    "schedule_storage: {}": "storage: postgresql://USER@HOST:5432/DATABASE",
    "run_storage: nonsense": "storage: postgresql://USER@HOST:5432/DATABASE",
    "storage: {postgres: nonsense}": "storage: postgresql://USER@HOST:5432/DATABASE",
}


@pytest.mark.parametrize("written", OLD)
def test_old_keys_are_answered_with_what_takes_their_place(written, home):
    error = fault_of(home, written)
    assert OLD[written] in error.remedy
    assert SECRET not in f"{error}{error.remedy}"
    key = written.partition(":")[0]
    assert f"foldlog.yaml:1: {key}" in str(error)


@pytest.mark.parametrize(
    "written", [w for w in OLD if "postgres_url: 'postgresql://me@" in w or "{base_dir: /srv}" in w]
)
def test_the_answer_can_be_written_as_it_is(written, home):
    answer = fault_of(home, written).remedy.split("\n\n")[1]
    file = write(home, answer)
    assert Configuration.read(file).storage().url == answer.strip().removeprefix("storage: ")


def test_custom_storage_moves_up(home):
    error = fault_of(home, "storage: {custom: {module: m, class: C}}")
    assert "move module, class and config up" in error.remedy


# -- the environment and secrets -------------------------------------------------------------------------------------


def strict(**config):
    return ConfigurableClassData("test_config", "Strict", config)


def test_values_come_from_the_environment_as_what_is_wanted(monkeypatch, tmp_path):
    monkeypatch.setenv("COUNT", "7")
    monkeypatch.setenv("FAIL", "False")
    monkeypatch.setenv("NAME", "12")
    part = strict(count={"env": "COUNT"}, fail={"env": "FAIL"}, name={"env": "NAME"}).rehydrate(Strict)
    assert (part.config["count"], part.config["fail"], part.config["name"]) == (7, False, "12")
    assert type(part.config["name"]) is str
    context = Context(tmp_path)
    assert strict().rehydrate(Strict, context=context).config == {
        "name": None,
        "password": None,
        "count": 3,
        "mode": "safe",
        "fail": False,
        "where": str(tmp_path / "data"),
    }
    assert strict(where="/abs").rehydrate(Strict, context=context).config["where"] == "/abs"


@pytest.mark.parametrize("key", ["count", "mode", "fail", "name"])
def test_what_comes_from_the_environment_is_never_shown(key, monkeypatch):
    monkeypatch.setenv("THE_SECRET", SECRET)
    data = strict(**{key: {"env": "THE_SECRET"}, "fail": {"env": "THE_SECRET"} if key == "fail" else True})
    with pytest.raises(UsageError) as caught:
        data.rehydrate(Strict)
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert SECRET not in repr(data)
    assert key == "name" or "$THE_SECRET" in told


@pytest.mark.parametrize(
    ("variable", "written"),
    [
        (SECRET, "storage: {url: {env: X}}"),
        (SECRET, "storage: {env: X}"),
        (f"{SECRET}:abc", "storage: {env: X}"),
        (SECRET, "storage: {url: memory://, views: {env: X}}"),
        (SECRET, "run_launcher: {module: {env: X}, class: A}"),
        (f"{SECRET}.inner", "run_launcher: {module: {env: X}, class: A}"),
        (SECRET, "run_launcher: {module: json, class: {env: X}}"),
        (
            "987654",
            "run_queue: {dequeue_interval_seconds: 1, dequeue_num_workers: {env: X}, dequeue_use_threads: true}",
        ),
        ("-987654", "run_queue: {max_concurrent_runs: {env: X}}"),
        ("987654", "retention: {ticks: {after_days: {env: X}}}"),
        (SECRET, "retention: {runs: {after_days: 1, keep_assets: {env: X}}}"),
    ],
)
def test_a_value_of_the_environment_is_in_no_error(variable, written, home, monkeypatch):
    def use_all():
        with Instance.from_config(home) as instance:
            instance.get_runs()
            _ = instance.run_launcher, instance.run_coordinator, instance.get_settings("retention")

    monkeypatch.setenv("X", variable)
    write(home, written)
    done = CliRunner().invoke(cli, ["config", "check"])
    assert done.exit_code == 1, done.output
    assert SECRET not in done.output
    assert "987654" not in done.output
    with pytest.raises(UsageError) as caught:
        use_all()
    told = "".join(traceback.format_exception(caught.value))
    assert SECRET not in told
    assert "987654" not in told


def test_views_that_cannot_be_are_refused_when_the_instance_is_opened(home, monkeypatch):
    monkeypatch.setenv("X", f"sqlite:///{home}")
    write(home, "storage: {url: 'sqlite:///history', views: {env: X}}")
    with pytest.raises(UsageError, match=r"foldlog\.yaml:1: storage: views='\*\*\*' names a folder"):
        Instance.from_config(home)
    assert not (home / "history").exists()


def test_retention_takes_its_numbers_from_the_environment(home, monkeypatch):
    monkeypatch.setenv("DAYS", "30")
    monkeypatch.setenv("KEEP", "false")
    write(home, "retention: {runs: {after_days: {env: DAYS}, keep_assets: {env: KEEP}}, ticks: {after_days: 7}}")
    with Instance.from_config(home) as instance:
        expected = {"runs": {"after_days": 30, "keep_assets": False}, "ticks": {"after_days": 7}}
        assert instance.get_settings("retention") == expected
    done = CliRunner().invoke(cli, ["config", "check"])
    assert done.exit_code == 0, done.output
    assert "env: DAYS" in done.output
    assert "30" not in done.output


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("storage: postgresql://u@h:port/d", "cannot be read"),
        ("storage: postgresql://u@h/d?colour=red", "colour"),
        ("storage: sqlite:///history?colour=red", "unknown option 'colour'"),
        ("storage: memory://somewhere", "no path"),
        ("storage: {url: memory://, views: mssql://u@h/d}", "views=mssql://"),
        ("storage: {url: memory://, views: postgresql://u@h:port/d}", "cannot be read"),
        ("storage: {url: memory://, views: 'postgresql://u@h/d?colour=red'}", "colour"),
    ],
)
def test_the_check_finds_urls_that_opening_would_refuse(written, told, home):
    write(home, written)
    done = CliRunner().invoke(cli, ["config", "check"])
    assert done.exit_code == 1, done.output
    assert isinstance(done.exception, SystemExit)
    assert "foldlog.yaml:1: storage: " in done.output
    assert told in done.output


@pytest.mark.parametrize("config", [{"password": SECRET}, {"name": f"postgresql://u:{SECRET}@h/d"}])
def test_what_is_written_out_is_not_shown_either(config):
    with pytest.raises(UsageError) as caught:
        strict(**config, fail=True).rehydrate(Strict)
    assert "Strict refuses it: ValueError: cannot use" in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert SECRET not in repr(strict(**config))
    with pytest.raises(UsageError) as caught:
        strict(password=[SECRET]).rehydrate(Strict)
    assert SECRET not in str(caught.value)
    for field in (integer(), one_of("a", "b"), list_of(integer())):
        with pytest.raises(UsageError, match=r"^api_key") as caught:
            check_section({"api_key": field}, {"api_key": SECRET}, Place(), Context())
        assert SECRET not in str(caught.value)


def test_the_check_shows_no_secret(home, monkeypatch):
    monkeypatch.setenv("DB", f"postgresql://u:{SECRET}@h/d")
    write(
        home,
        f"""
        storage:
          url: {{env: DB}}
          views: postgresql://u:{SECRET}@h/views
        run_launcher:
          class: ProcessRunLauncher
          config: {{command: [x], env: {{TOKEN: {SECRET}, PLAIN: shown}}}}
        """,
    )
    for more in ([], ["--json"]):
        done = CliRunner().invoke(cli, ["config", "check", *more])
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
        assert "shown" in done.output
    answer = json.loads(done.stdout)
    assert answer["parts"][0]["config"] == {"url": {"env": "DB"}, "views": "postgresql://u:***@h/views"}
    assert {part["key"]: (part["class"], part["from"]) for part in answer["parts"]} == {
        "storage": ("by URL", "line 2"),
        "local_artifacts": ("LocalArtifactStorage", "default"),
        "compute_logs": ("LocalComputeLogManager", "default"),
        "file_manager": ("LocalFileManager", "default"),
        "run_coordinator": ("DefaultRunCoordinator", "default"),
        "run_launcher": ("foldlog.engine.coordination.ProcessRunLauncher", "line 5"),
        "scheduler": ("DaemonScheduler", "default"),
        "secrets": ("EnvFileSecretsLoader", "default"),
    }
    assert SECRET not in repr(Configuration.read(home / "foldlog.yaml").ref)


def test_the_environment_comes_before_the_secrets(home, monkeypatch):
    (home / "s.env").write_text(f"# ours\n\nexport A='one two'\nB=\"{SECRET}\"\nC=a=b#c\nD=\n")
    write(home, "secrets: {class: EnvFileSecretsLoader, config: {path: s.env}}")
    configuration = Configuration.read(home / "foldlog.yaml")
    assert configuration.secrets_loader().load() == {"A": "one two", "B": SECRET, "C": "a=b#c", "D": ""}
    lookup = configuration.context.lookup
    assert lookup("A") == "one two"
    monkeypatch.setenv("A", "of the environment")
    assert lookup("A") == "of the environment"
    assert lookup("NOBODY") is None


def test_the_secrets_beside_the_file_are_the_default(home):
    (home / ".env").write_text(f"LOG_URL=sqlite:///{home}/elsewhere\n")
    write(home, "storage: {url: {env: LOG_URL}}")
    with Instance.get() as instance:
        assert instance.log.backend.url == f"sqlite:///{home}/elsewhere"
        assert instance.secrets_loader.load() == {"LOG_URL": f"sqlite:///{home}/elsewhere"}


@pytest.mark.parametrize("line", [SECRET, f"={SECRET}", f"a b={SECRET}"])
def test_a_wrong_line_of_secrets_is_not_shown(line, tmp_path):
    (tmp_path / "f").write_text(f"A=1\n{line}\n")
    with pytest.raises(UsageError, match="f:2: ") as caught:
        EnvFileSecretsLoader(tmp_path / "f").load()
    assert SECRET not in str(caught.value)
    (tmp_path / "f").write_bytes(b"A=\xff")
    with pytest.raises(UsageError, match="cannot be read"):
        EnvFileSecretsLoader(tmp_path / "f").load()


# -- schemas ----------------------------------------------------------------------------------------------------------


def check(field, value, **context):
    return check_section({"k": field}, {"k": value}, Place(), Context(**context))["k"]


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        (text(), ["a"], ["", 1, True, [], {}]),
        (integer(maximum=5), [-3, 5], [6, 1.0, "1", True]),
        (number(minimum=0.5), [1, 0.5], [0.4, "1", float("nan"), float("inf"), True]),
        (flag(), [True, False], [0, "true"]),
        (one_of("a", "b"), ["a"], ["c", "A", 1]),
        (list_of(integer()), [[], [1, 2]], [["a"], {}, "ab"]),
        (map_of(text()), [{}, {"a": "b"}], [{"a": 1}, [], "a"]),
        (section({"a": integer()}), [{"a": 1}], [{"b": 1}, [], {"a": "x"}]),
        (either(text(), list_of(text())), ["a", ["a"]], [1, [1], {}]),
        (plain(), [1, "a", [1, {"b": None}], {"c": True}], []),
        (folder(), ["/a"], [1, "", "a\0b"]),
    ],
)
def test_a_field_takes_what_it_says(field, good, bad):
    for value in good:
        assert check(field, value) == value
    for value in bad:
        with pytest.raises(UsageError, match=r"^k"):
            check(field, value)
    assert check(field, None) is None


def test_defaults_are_filled_in_at_every_level():
    fields = {
        "outer": section({"inner": integer(default=3)}, default={}),
        "off": section({"inner": integer(default=3)}),
    }
    assert check_section(fields, {}, Place(), Context()) == {"outer": {"inner": 3}, "off": None}
    assert check_section(fields, {"off": {}}, Place(), Context())["off"] == {"inner": 3}


@pytest.mark.parametrize(
    ("url", "seen_from_srv"),
    [
        ("sqlite:///history", "sqlite:////srv/a%20b/history"),
        ("sqlite:///./history?layout=consolidated", "sqlite:////srv/a%20b/history?layout=consolidated"),
        ("sqlite:////abs", "sqlite:////abs"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///", "sqlite:///"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("memory://", "memory://"),
    ],
)
def test_relative_urls_are_seen_from_the_folder_of_the_file(url, seen_from_srv):
    assert absolute(url, Path("/srv/a b")) == seen_from_srv
    assert absolute("sqlite:///v.db", Path("/srv/a b"), quoted=False) == "sqlite:////srv/a b/v.db"


# -- the command line -------------------------------------------------------------------------------------------------


def invoke(*args):
    return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog")


def test_commands_work_on_what_the_file_names(home, monkeypatch, tmp_path_factory):
    write(home, "storage: {url: 'sqlite:///here?layout=consolidated', views: 'sqlite:///views/of.db'}")
    with Instance.get() as instance, instance.run("nightly"):
        pass
    (run,) = json.loads(invoke("runs", "--json").stdout)["runs"]
    assert run["job_name"] == "nightly"
    assert (home / "here" / "log.db").exists()
    assert (home / "views" / "of.db").exists()
    assert not (home / "here" / "views.db").exists()
    assert "foldlog.yaml" in invoke("status").stdout
    assert invoke("doctor").exit_code == 0
    assert invoke("tail", "--json").exit_code == 0
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("FOLDLOG_URL", f"sqlite:///{elsewhere}/none")
    assert f"there is no log at {elsewhere}/none" in invoke("runs").stderr
    assert f"there is no log at {elsewhere}/x" in invoke("runs", "--url", f"sqlite:///{elsewhere}/x").stderr


def test_commands_say_what_is_wrong_with_the_file(home):
    write(home, "storge: x")
    done = invoke("runs")
    assert done.exit_code == 1
    assert "foldlog.yaml:1: storge: there is no key 'storge'; did you mean 'storage'?" in done.stderr
    assert invoke("runs", "--url", f"sqlite:///{home}/x").stderr.startswith("foldlog: there is no log at")
    write(home, "storage: sqlite:///none")
    done = invoke("runs")
    assert "foldlog.yaml:1: storage: there is no log at" in done.stderr
    assert f"It is named by `storage` in {home}/foldlog.yaml." in done.stderr
    assert not (home / "none").exists()
    write(home, "storage: memory://")
    assert "a log in memory lives in one process" in invoke("runs").stderr


def test_the_check_takes_a_file_or_a_folder(tmp_path, monkeypatch):
    file = write(tmp_path, "storage: sqlite:///history")
    for given in (file, tmp_path):
        assert f"{file}: no faults" in invoke("config", "check", given).stdout
    assert not (tmp_path / "history").exists()
    assert "FOLDLOG_HOME is not set" in invoke("config", "check").stderr
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    assert invoke("config", "check").exit_code == 0
    file.unlink()
    done = invoke("config", "check")
    assert done.exit_code == 1
    assert "with all defaults" in done.stderr
    assert invoke("config", "chek").exit_code == 2


def test_the_check_looks_into_what_foldlog_does_not_load(home):
    write(home, "storage: {module: test_config, class: Strict}")
    assert invoke("config", "check").exit_code == 1
    write(home, "")
    assert invoke("config", "check").exit_code == 0


# -- what is not loaded -----------------------------------------------------------------------------------------------


def test_opening_by_url_loads_neither_yaml_nor_parts(tmp_path):
    code = f"""
import sys, foldlog
with foldlog.Instance.from_url('sqlite:///{tmp_path}/h') as instance:
    with instance.run('job'):
        pass
loaded = [name for name in sys.modules if name.split('.')[0] in ('yaml', 'sqlalchemy')
          or name.startswith(('foldlog.engine.config', 'foldlog.engine.artifacts', 'foldlog.engine.coordination'))]
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_parts_load_when_they_are_first_used(home):
    write(home, "run_launcher: {module: acme_not_there, class: X}")
    with Instance.get() as instance:
        with instance.run("job"):
            pass
        assert instance.get_runs_count() == 1
        with pytest.raises(UsageError, match=r"foldlog.yaml:1: run_launcher.module: there is no module"):
            instance.run_launcher  # noqa: B018


def test_the_manual_shows_a_file_that_is_right(home):
    manual = (Path(__file__).parent.parent / "docs/config.md").read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in manual.split("```yaml\n")[1:]]
    write(home, blocks[0])
    assert invoke("config", "check").exit_code == 0, invoke("config", "check").stderr
    configuration = Configuration.read(home / "foldlog.yaml")
    from foldlog.engine.config.configuration import KEYS

    assert set(configuration.ref.config) == set(KEYS) - {"run_queue"}, "the whole file has every key"
    assert configuration.make("run_coordinator", foldlog.QueuedRunCoordinator).max_concurrent_runs == 10
