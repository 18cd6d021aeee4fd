"""What only files can do wrong: races of processes, folders that come and go, full disks, leftovers."""

from __future__ import annotations

import errno
import multiprocessing
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from foldlog import ReadOnlyError, UnavailableError, UsageError
from foldlog.backends.objectstore.stores import folders, local as module, open_objects
from foldlog.backends.objectstore.stores.local import LocalObjects

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def store(tmp_path: Path) -> Any:
    return open_objects(f"file://{tmp_path}/log?durability=process", create=True)


def test_of_four_processes_that_make_one_object_one_wins(tmp_path):
    url = f"file://{tmp_path}/log"
    start, won = FORK.Event(), FORK.Queue()

    def race(number: int) -> None:
        objects = open_objects(url, create=True)
        start.wait()
        won.put((number, [turn for turn in range(80) if objects.create(f"o/{turn % 7}/{turn}", b"%d" % number * 999)]))

    racers = [FORK.Process(target=race, args=(number,)) for number in range(4)]
    for racer in racers:
        racer.start()
    start.set()
    winners = dict(won.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join()
    assert sorted(turn for turns in winners.values() for turn in turns) == list(range(80))
    objects = open_objects(url, create=False)
    for number, turns in winners.items():
        assert {objects.get(f"o/{turn % 7}/{turn}") for turn in turns} <= {b"%d" % number * 999}


def test_folders_that_are_emptied_go_and_no_create_fails_for_it(store, tmp_path):
    """Two make objects in one folder, each deletes its own: the folder goes and comes all the time."""
    failed: list[BaseException] = []

    def come_and_go(number: int) -> None:
        handle = LocalObjects(str(tmp_path / "log"), url="file://", durability="process")
        try:
            for turn in range(400):
                name = f"runs/00/r/{number}-{turn}"
                assert handle.create(name, b"x") is True
                assert handle.get(name) == b"x"
                handle.delete([name])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=come_and_go, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert list((tmp_path / "log").iterdir()) == []


def test_a_folder_that_another_process_removed_is_made_anew(store, tmp_path):
    store.create("a/b/1", b"x")
    other = open_objects(f"file://{tmp_path}/log?durability=process", create=False)
    other.delete(["a/b/1"])
    assert not (tmp_path / "log/a").exists()
    other.create("a/b/2", b"y")  # another folder of the same name
    assert store.create("a/b/3", b"z") is True
    assert sorted(path.name for path in (tmp_path / "log/a/b").iterdir()) == ["2", "3"]


def test_more_folders_than_are_kept_open(store, monkeypatch):
    monkeypatch.setattr(folders, "KEPT", 3)
    before = len(os.listdir("/proc/self/fd"))
    for turn in range(2):
        for number in range(20):
            assert store.create(f"f/{number}/{turn}", b"x") is True
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    store.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert store.get("f/7/1") == b"x"
    assert store.create("f/7/2", b"x") is True


@pytest.mark.parametrize("durability", ["full", "process"])
def test_syncs(tmp_path, monkeypatch, durability):
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}")
        synced.append("file" if "#" in path or "deleted" in path else os.path.relpath(path, tmp_path))
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    objects = open_objects(f"file://{tmp_path}/x/log?durability={durability}", create=True)
    if durability == "process":
        objects.create("a/b/1", b"x")
        objects.put("a/b/1", b"x")
        assert synced == []
        return
    assert synced == [".", "x"]  # each folder is synced in the one above it
    synced.clear()
    objects.create("a/b/1", b"x")
    assert synced == ["x/log", "x/log/a", "file", "x/log/a/b"]
    synced.clear()
    objects.create("a/b/2", b"x")
    objects.put("a/b/2", b"x")
    assert synced == ["file", "x/log/a/b"] * 2
    synced.clear()
    assert objects.create("a/b/2", b"x") is False
    assert synced == ["file", "x/log/a/b"]  # the one that is there may be this caller's, not synced yet
    synced.clear()
    open_objects(f"file://{tmp_path}/x/log", create=True).create("a/b/3", b"x")
    assert synced == ["x/log", "x/log/a", "file", "x/log/a/b"]  # who made the folders may not have come to it


def failing(monkeypatch: Any, function: str, code: int, times: int = 10**6) -> None:
    real, left = getattr(os, function), [times]

    def fail(*given: Any, **named: Any) -> Any:
        if left[0]:
            left[0] -= 1
            raise OSError(code, os.strerror(code))
        return real(*given, **named)

    monkeypatch.setattr(module.os, function, fail)


@pytest.mark.parametrize("is_nameless", [True, False])
def test_a_full_disk_is_an_error_with_a_remedy_and_leaves_nothing(store, tmp_path, monkeypatch, is_nameless):
    store._nameless = is_nameless
    store.create("a/1", b"x")
    with monkeypatch.context() as patch:
        failing(patch, "write", errno.ENOSPC)
        for call in (store.create, store.put):
            with pytest.raises(
                UnavailableError, match=r"/log: cannot (create|write) a/2: No space left on device"
            ) as caught:
                call("a/2", b"x")
            assert caught.value.remedy.startswith("Make room on the disk, then repeat the call")
    assert os.listdir(tmp_path / "log/a") == ["1"]
    assert store.create("a/2", b"x") is True


def test_a_sync_that_fails_is_an_unknown_outcome(tmp_path, monkeypatch):
    objects = open_objects(f"file://{tmp_path}/log", create=True)
    objects.create("a/1", b"x")
    with monkeypatch.context() as patch:
        failing(patch, "fsync", errno.EIO)
        with pytest.raises(UnavailableError, match="cannot create a/2: Input/output error"):
            objects.create("a/2", b"x")
    assert objects.create("a/2", b"x") is True  # the file was not synced, so it has got no name


def test_a_file_system_without_nameless_files_is_as_good(store, tmp_path, monkeypatch):
    real = os.open
    tried: list[int] = []

    def refuse(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if hasattr(os, "O_TMPFILE") and flags & os.O_TMPFILE == os.O_TMPFILE:
            tried.append(flags)
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real(path, flags, *given, **named)

    monkeypatch.setattr(module.os, "open", refuse)
    assert store.create("a/1", b"x") is True
    assert store.create("a/2", b"x") is True
    assert store.create("a/2", b"x") is False
    assert len(tried) == 1
    assert sorted(os.listdir(tmp_path / "log/a")) == ["1", "2"]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_links_is_refused(store, monkeypatch, code):
    failing(monkeypatch, "link", code)
    store._nameless = False
    with pytest.raises(UsageError, match="the file system makes no hard links here") as caught:
        store.create("a", b"x")
    assert "sqlite:///" in caught.value.remedy


@pytest.mark.parametrize(
    ("code", "kind"), [(errno.EACCES, ReadOnlyError), (errno.EROFS, ReadOnlyError), (errno.EIO, UnavailableError)]
)
def test_other_failures_name_the_object(store, monkeypatch, code, kind):
    store.create("a/1", b"x")
    failing(monkeypatch, "open", code)
    with pytest.raises(kind, match=f"log: cannot create a/2: {os.strerror(code)}") as caught:
        store.create("a/2", b"x")
    assert caught.value.has_own_remedy
    with pytest.raises((UsageError, UnavailableError), match=f"log: cannot read a/1: {os.strerror(code)}") as caught:
        store.get("a/1")
    assert isinstance(caught.value, UnavailableError) == (kind is UnavailableError)
    assert not isinstance(caught.value, ReadOnlyError)


def test_a_file_in_the_place_of_a_folder(store, tmp_path):
    (tmp_path / "log/order").write_text("not a folder")
    with pytest.raises(UsageError, match="cannot create order/1"):
        store.create("order/1", b"x")
    assert store.get("order/1") is None


def test_a_folder_that_is_gone_is_told(store, tmp_path):
    store.create("a/1", b"x")
    (tmp_path / "log").rename(tmp_path / "elsewhere")
    with pytest.raises(UnavailableError, match="log: cannot create b/1: No such file or directory"):
        store.create("b/1", b"x")


def test_what_a_crash_left_is_not_listed_and_goes_after_a_day(store, tmp_path):
    store.create("a/1", b"x")
    new, old, other = (tmp_path / "log/a" / name for name in ("#17-ab", "#18-cd", "a stranger's.txt"))
    for path in (new, old, other):
        path.write_text("half")
    day_ago = time.time() - 25 * 3600
    for path in (old, other):
        os.utime(path, (day_ago, day_ago))
    assert [found.name for found in store.list("")] == ["a/1"]
    assert (new.exists(), old.exists(), other.exists()) == (True, False, True)


def test_a_writer_that_was_taken_for_dead_writes_again(store, tmp_path, monkeypatch):
    store._nameless = False
    store.create("a/1", b"x")
    real, taken = os.link, []

    def link(source: str, *given: Any, **named: Any) -> None:
        if not taken:
            taken.append(source)
            os.unlink(tmp_path / "log/a" / source)
        real(source, *given, **named)

    monkeypatch.setattr(module.os, "link", link)
    assert store.create("a/2", b"whole") is True
    assert taken
    assert store.get("a/2") == b"whole"


def test_a_folder_is_made_only_on_demand(tmp_path):
    objects = open_objects(f"file://{tmp_path}/no", create=False)
    assert objects.list("") == []
    assert objects.get("order/0") is None
    assert not (tmp_path / "no").exists()
    open_objects(f"file://{tmp_path}/no/where/yet", create=True)
    assert (tmp_path / "no/where/yet").is_dir()


def test_a_relative_folder_stays_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = open_objects("file:///./history", create=True)
    monkeypatch.chdir("/")
    objects.create("a", b"x")
    assert (tmp_path / "history/a").read_bytes() == b"x"
    assert objects.url == f"file://{tmp_path}/history"
