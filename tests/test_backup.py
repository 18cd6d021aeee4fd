"""A copy of a log that is in use: whole, consistent, a log of its own; or none at all."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import foldlog
from foldlog import Event, HistoryDiverged, Instance, Purged, UnavailableError, UsageError, events
from foldlog.engine.cli.main import cli
from foldlog.engine.events.event import Retention
from foldlog.engine.log.chain import link
from foldlog.engine.log.log import EventLog
from foldlog.engine.log.port import ShardState

LAYOUTS = ("sharded", "consolidated")


def line(text: str = "x") -> Event[events.LogMessage]:
    return Event(events.LogMessage(text=text), 0)


def report(instance: Instance, run_id: str) -> None:
    with instance.run("nightly", run_id=run_id) as run:
        with run.step("extract") as step:
            step.log("reading")
        run.materialize(["raw", "orders"])


@pytest.fixture(params=LAYOUTS)
def instance(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Instance]:
    with Instance.from_url(f"sqlite:///{tmp_path}/history?layout={request.param}") as instance:
        for number in range(4):
            report(instance, f"run-{number}")
        instance.get_run_records()
        yield instance


def prove(folder: Path) -> list[str]:
    """That a copy is a log of its own, with nothing wrong in it; its runs."""
    with Instance.from_url(f"sqlite:///{folder}") as copy:
        assert copy.log.backend.diagnose(full=True, link=link) == []  # type: ignore[attr-defined]
        assert copy.verify().ok
        assert dense(copy.log)
        report(copy, "run-new")
        assert copy.log.backend.diagnose(full=True, link=link) == []  # type: ignore[attr-defined]
        return sorted(record.run.run_id for record in copy.get_run_records())


def dense(log: EventLog) -> bool:
    cursor, last = None, 0
    while True:
        page = log.read(after=cursor, limit=1000)
        for record in page.records:
            first = record.first_position if isinstance(record, Purged) else record.position
            assert first == last + 1
            last = record.position or 0
        if page.at_head:
            return last == log.head().position
        cursor = str(page.cursor)


def test_a_copy_is_a_log_of_its_own(instance: Instance, tmp_path: Path) -> None:
    instance.log.seal("run-1")
    instance.delete_run("run-2")
    instance.log.append("run-0", [line("not yet placed")])
    copied = instance.backup(tmp_path / "copy")
    head = instance.log.head()
    assert copied.folder == tmp_path / "copy"
    assert copied.position == head.position
    assert copied.shards == 4
    assert copied.bytes == sum(path.stat().st_size for path in copied.folder.rglob("*") if path.is_file())
    assert (copied.folder / "views.db").exists()
    with foldlog.open_log(f"sqlite:///{copied.folder}") as copy:
        assert copy.head() == head
        assert copy.read(limit=1000) == instance.log.read(limit=1000)
    assert prove(copied.folder) == ["run-0", "run-1", "run-3", "run-new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "history"]


def test_cursors_up_to_the_copy_are_good_and_later_ones_are_refused(instance: Instance, tmp_path: Path) -> None:
    before = str(instance.log.cursor())
    copied = instance.backup(tmp_path / "copy")
    instance.log.append("run-0", [line("only in the original")], wait="ordered")
    after = str(instance.log.cursor())
    with foldlog.open_log(f"sqlite:///{copied.folder}") as copy:
        assert copy.read(after=before).at_head
        with pytest.raises(HistoryDiverged):
            copy.read(after=after)
        copy.append("run-0", [line("only in the copy"), line()], wait="ordered")
        with pytest.raises(HistoryDiverged):
            copy.read(after=after)
        assert len(copy.read(after=before).records) == 2


def test_what_came_later_is_not_in_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the order and the files: appends to a sealed run, new runs, new system shards, a seal, a fence."""
    from foldlog.backends.sqlite import backup as module

    with Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        for number in range(4):
            report(instance, f"run-{number}")
        instance.log.append("@queue", [line()])
        instance.log.append("run-0", [line("opens it again")])
        really = module.copy_file

        def copy_file(source: Path, target: Path, **more: object) -> None:
            really(source, target, **more)  # type: ignore[arg-type]
            if source.name == "order.db":
                monkeypatch.setattr(module, "copy_file", really)
                instance.log.append("run-1", [line("late")], wait="ordered")
                instance.log.append("run-2", [line("late")])
                instance.log.append("run-9", [line("late")], wait="ordered")
                instance.log.append("@late", [line("late")], wait="ordered")
                instance.log.append("@queue", [line("late")], wait="ordered")
                instance.log.seal("run-0")
                instance.log.backend.fence("run-3")

        monkeypatch.setattr(module, "copy_file", copy_file)
        position = instance.log.catch_up().position
        assert instance.backup(tmp_path / "copy").position == position
    with foldlog.open_log(f"sqlite:///{tmp_path}/copy") as copy:
        assert copy.catch_up().position == position
        assert [shard.name for shard in copy.shards()] == ["@queue", "run-0", "run-1", "run-2", "run-3"]
        assert {shard.name: shard.state for shard in copy.shards()} == {
            "@queue": ShardState.OPEN, "run-0": ShardState.OPEN, "run-1": ShardState.SEALED,
            "run-2": ShardState.SEALED, "run-3": ShardState.SEALED,
        }  # fmt: skip
        for name in ("run-0", "run-1", "run-3"):
            copy.append(name, [line("goes on")], wait="ordered")
        assert len(copy.read_shard("@queue").records) == 1
    assert prove(tmp_path / "copy")


@pytest.mark.parametrize("times", [1, 3, 99], ids=["once", "thrice", "always"])
def test_a_run_that_is_deleted_meanwhile_starts_another_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """However often: the last round is one in which nobody can delete."""
    from foldlog.backends.sqlite import backup as module

    with Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        for number in range(6):
            report(instance, f"run-{number}")
        really, left = module.copy_file, [f"run-{number}" for number in range(min(times, 5))]
        threads: list[threading.Thread] = []

        def copy_file(source: Path, target: Path, **more: object) -> None:
            deleted = left.pop() if source.name == "order.db" and left else None
            if deleted and not instance.log.backend.order.db.in_transaction:  # type: ignore[attr-defined]
                instance.log.append(deleted, [line("copied too early")], wait="ordered")
            really(source, target, **more)  # type: ignore[arg-type]
            if deleted:
                thread = threading.Thread(target=instance.delete_run, args=(deleted,))
                threads.append(thread)
                thread.start()
                thread.join(timeout=2)  # in the last round it has to wait

        monkeypatch.setattr(module, "copy_file", copy_file)
        copied = instance.backup(tmp_path / "copy")
        for thread in threads:
            thread.join()
        assert len(threads) == min(times, 4)
        assert copied.position <= instance.log.head().position
    runs = prove(tmp_path / "copy")
    gone = min(times, 3)
    assert len(runs) == 6 - gone + 1


def test_while_runs_are_written_sealed_and_deleted(instance: Instance, tmp_path: Path) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def work(name: str) -> None:
        number = 0
        try:
            with Instance.from_url(instance.log.backend.url) as other:
                while not stop.is_set():
                    number += 1
                    report(other, f"{name}-{number}")
                    other.log.seal(f"{name}-{number}")
                    if number > 2:
                        other.delete_run(f"{name}-{number - 2}", keep_assets=number % 2 == 0)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    try:
        copies = [instance.backup(tmp_path / f"copy-{number}") for number in range(3)]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed
    for copied in copies:
        assert {f"run-{number}" for number in range(4)} <= set(prove(copied.folder))


def test_a_trim_waits_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the copied files would lack what the copied order does not yet know to be gone."""
    from foldlog.backends.sqlite import backup as module

    with Instance.from_url(f"sqlite:///{tmp_path}/history") as instance:
        report(instance, "run-1")
        head = instance.log.catch_up().position
        really, threads = module.copy_file, []

        def copy_file(source: Path, target: Path, **more: object) -> None:
            really(source, target, **more)  # type: ignore[arg-type]
            if source.name == "order.db" and not threads:
                threads.append(threading.Thread(target=instance.log.trim, args=(Retention.LOG, head)))
                threads[0].start()
                threads[0].join(timeout=1)
                assert threads[0].is_alive()

        monkeypatch.setattr(module, "copy_file", copy_file)
        instance.backup(tmp_path / "copy")
        threads[0].join()
        assert Retention.LOG not in instance.log.weigh()
    with foldlog.open_log(f"sqlite:///{tmp_path}/copy") as copy:
        assert copy.weigh()[Retention.LOG].events == 1
    prove(tmp_path / "copy")


def test_a_reader_may_copy_too(instance: Instance, tmp_path: Path) -> None:
    head = instance.log.catch_up()
    with foldlog.open_log(instance.log.backend.url, read_only=True) as reader:
        assert reader.backup(tmp_path / "copy").position == head.position
    assert prove(tmp_path / "copy")


# -- where it cannot be done ------------------------------------------------------------------------------------------


def test_the_place_must_be_free(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    for taken in ("file", "full", "history/copy", "history", "."):
        with pytest.raises(UsageError) as caught:
            instance.backup(tmp_path / taken)
        assert caught.value.remedy == "Name a folder that is not there yet, or an empty one."
    assert (tmp_path / "file").read_text() == (tmp_path / "full" / "file").read_text() == "mine"
    assert prove(instance.backup(tmp_path / "empty").folder)
    assert prove(instance.backup(tmp_path / "new" / "and" / "deep").folder)


def test_a_log_that_is_no_folder_says_how(postgres_url: str) -> None:
    with foldlog.open_log("memory://") as log, pytest.raises(UsageError, match="no folder") as caught:
        log.backup("copy")
    assert "no copy of a log in memory" in caught.value.remedy
    with foldlog.open_log(postgres_url) as log, pytest.raises(UsageError) as caught:
        log.backup("copy")
    assert "foldlog export" in caught.value.remedy
    assert not Path("copy").exists()


def test_a_disk_without_room_is_told_before(
    instance: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(UnavailableError, match="1,000 bytes left") as caught:
        instance.backup(tmp_path / "copy")
    assert "Make room" in caught.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history"]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_rights_is_told(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(foldlog.ReadOnlyError) as caught:
        instance.backup(tmp_path / "closed" / "copy")
    assert "where this user may write" in caught.value.remedy


def test_what_a_killed_copy_has_left_is_cleared_away(instance: Instance, tmp_path: Path) -> None:
    left = tmp_path / ".copy.0123456789ab.tmp"
    left.mkdir()
    (left / "order.db").write_bytes(b"half")
    another = tmp_path / ".copy2.0123456789ab.tmp"
    another.mkdir()
    instance.backup(tmp_path / "copy")
    assert not left.exists()
    assert another.exists()


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_copies(instance: Instance, tmp_path: Path) -> None:
    def invoke(*args: object):  # type: ignore[no-untyped-def]
        return CliRunner().invoke(cli, [str(arg) for arg in args], prog_name="foldlog")

    url = instance.log.backend.url
    done = invoke("backup", tmp_path / "copy", "--url", url)
    assert done.exit_code == 0, done.output
    assert f"sqlite:///{tmp_path}/copy" in done.stdout
    form = json.loads(invoke("backup", tmp_path / "copy2", "--url", url, "--json").stdout)
    assert form["position"] == instance.log.head().position
    assert form["shards"] == 4
    assert form["folder"] == str(tmp_path / "copy2")
    assert invoke("doctor", "--full", "--url", form["url"]).exit_code == 0
    assert invoke("verify", "--url", form["url"]).exit_code == 0
    again = invoke("backup", tmp_path / "copy", "--url", url)
    assert again.exit_code == 1
    assert "is not empty" in again.stderr
