"""Views in a cache on each machine: begun with a snapshot, put back now and then, thrown away when damaged.

Another machine is another FOLDLOG_CACHE; the log, with the files beside it, is keeping.py's.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from keeping import KIND, KeepingBackend, keeping
from test_views_histories import dump

from foldlog import Instance, ReadOnlyError, UnavailableError, UsageError
from foldlog.engine.errors import CorruptLogError
from foldlog.engine.log.port import CanKeep, Stored
from foldlog.engine.views import cache, cached, kept_views, putting, snapshot_file
from foldlog.engine.views.cached import CachedViews
from foldlog.engine.views.putting import due_after
from foldlog.engine.views.registry import PROJECTIONS
from foldlog.engine.views.sqlite_file import file_at
from foldlog.testing.keeping import KeepingTests
from foldlog.testing.store import Store

ROOT = Path(__file__).parent


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Go over to another machine; "one" to begin with."""

    def go_to(name: str) -> Path:
        monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "caches" / name))
        return tmp_path / "caches" / name

    go_to("one")
    return go_to


@pytest.fixture(params=["sqlite", "objects"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(KIND, request.param)
    return tmp_path / "place"


class TestKeeping(KeepingTests):
    """What the other tests stand on."""

    @pytest.fixture
    def store(self, place: Path) -> Iterator[Store]:
        with Store(opener=lambda read_only: KeepingBackend(place, read_only=read_only)) as store:
            yield store


def some_runs(instance: Instance, count: int = 3) -> None:
    for number in range(count):
        with instance.run(f"job-{number % 2}", tags={"number": str(number)}) as run:
            with run.step("load"):
                run.materialize("a", partition=f"p{number}")
            run.check("a", "fresh", number > 0)


def backend_of(instance: Instance) -> KeepingBackend:
    backend = instance.log.backend
    assert isinstance(backend, KeepingBackend)
    return backend


def file_of(instance: Instance) -> Path:
    path = instance.views.store.database.path
    assert path is not None
    return path


def snapshots(place: Path) -> list[Path]:
    """The headings, the oldest first."""
    return sorted(path for path in (place / "kept").glob("views/*/*/*-*-*") if path.is_file())


def log_in(place: Path) -> list[Path]:
    """The folders of the log itself."""
    return [path for path in place.iterdir() if path.name != "kept"]


def parts_of(heading: Path) -> list[Path]:
    return sorted((heading.parent.with_name(f"{heading.parent.name}.parts") / heading.name).glob("*"))


def check_whole(instance: Instance) -> None:
    """The views say what the log says, and one row for one what views folded from the start have."""
    assert instance.verify().problems() == []
    assert instance.position == instance.log.head().position
    with sqlite3.connect(file_of(instance)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def settled(instance: Instance) -> None:
    """What was begun in the background is done."""
    views = instance.views
    assert isinstance(views, CachedViews)
    assert views._putter is not None
    if (thread := views._putter._thread) is not None:
        thread.join()


def with_a_snapshot(place: Path, *, runs_after: int = 1) -> int:
    """A log with a snapshot, and some runs since; its position."""
    with keeping(place) as instance:
        some_runs(instance)
        position = instance.put_back_views()
        assert position == instance.log.head().position
        some_runs(instance, runs_after)
        assert instance.get_runs_count() == 3 + runs_after
    return position


# -- a cold machine -----------------------------------------------------------------------------------------------


def test_a_cold_machine_folds_only_what_came_after_the_snapshot(place: Path, machine: Callable[[str], Path]) -> None:
    position = with_a_snapshot(place)
    with keeping(place) as warm:
        assert warm.get_runs_count() == 4
        machine("cold")
        with keeping(place) as cold:
            assert [one.run.run_id for one in cold.get_run_records()] == [
                one.run.run_id for one in warm.get_run_records()
            ]
            assert backend_of(cold).events_read == cold.log.head().position - position
            assert file_of(cold) != file_of(warm)
            assert dump(cold.views.store) == dump(warm.views.store)
            live = dump(cold.views.store)
            cold.rebuild()
            assert dump(cold.views.store) == live
            check_whole(cold)


def test_a_log_without_snapshots_is_folded_from_the_start(place: Path, machine: Callable[[str], Path]) -> None:
    with keeping(place) as instance:
        some_runs(instance)
        assert instance.get_runs_count() == 3
        check_whole(instance)
    machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == 3
        assert backend_of(cold).events_read == cold.log.head().position


def test_a_reader_has_a_cache_of_its_own(place: Path, machine: Callable[[str], Path]) -> None:
    position = with_a_snapshot(place)
    machine("reader")
    with keeping(place, read_only=True) as reader:
        assert reader.get_runs_count() == 4
        assert backend_of(reader).events_read == reader.log.head().position - position
        with pytest.raises(ReadOnlyError):
            reader.put_back_views()
        with keeping(place) as writer:
            some_runs(writer, 1)
            writer.log.catch_up()
        assert reader.get_runs_count() == 5
        check_whole(reader)
        assert not [asked for asked in backend_of(reader).asked if asked.startswith(("keep ", "drop "))]


def test_what_is_there_is_not_replaced_by_nothing(place: Path) -> None:
    with keeping(place) as instance:
        some_runs(instance)
        assert instance.get_runs_count() == 3
        views = instance.views
        assert isinstance(views, CachedViews)
        before = file_at(file_of(instance))
        views._cache.replace()
        assert file_at(file_of(instance)) == before


@pytest.mark.parametrize("call", ["kept", "fetch"])
def test_a_store_that_gives_no_snapshot_is_no_hindrance(
    place: Path,
    machine: Callable[[str], Path],
    call: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with_a_snapshot(place)

    def refuse(self: KeepingBackend, name: str) -> None:
        raise UnavailableError("the bucket is on holiday")

    monkeypatch.setattr(KeepingBackend, call, refuse)
    folder = machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == 4
        assert "on holiday" in caplog.text
        check_whole(cold)
    assert not list(folder.rglob(".fill-*"))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_views, "PART", 65536)
    monkeypatch.setattr(snapshot_file, "PART", 65536)


@pytest.mark.usefixtures("small_parts")
def test_a_large_snapshot_is_put_and_fetched_in_parts(place: Path, machine: Callable[[str], Path]) -> None:
    position = with_a_snapshot(place)
    (heading,) = snapshots(place)
    about = snapshot_file.read_heading(heading.read_bytes())
    assert len(about.parts) == len(parts_of(heading)) > kept_views.ABREAST
    assert 0 < len(about.parts) * 65536 - about.size < 65536
    machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == 4
        assert backend_of(cold).events_read == cold.log.head().position - position
        check_whole(cold)


def damages(whole: bytes) -> list[bytes | None]:
    """Cut short, altered by a bit, gone."""
    short = [whole[:size] for size in (0, 5, 20, len(whole) // 2, len(whole) - 1)]
    altered = [
        whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in (0, 9, 40, len(whole) // 2, len(whole) - 1)
    ]
    return [*short, *altered, None]


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("what", ["heading", "first part", "last part"])
def test_a_damaged_snapshot_is_passed_over(
    place: Path, machine: Callable[[str], Path], what: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = with_a_snapshot(place)
    with keeping(place) as instance:
        assert instance.put_back_views() > first
    older, newer = snapshots(place)
    said = newer.read_bytes()
    victim = {"heading": newer, "first part": parts_of(newer)[0], "last part": parts_of(newer)[-1]}[what]
    for number, damage in enumerate(damages(victim.read_bytes())):
        newer.write_bytes(said)
        victim.unlink() if damage is None else victim.write_bytes(damage)
        machine(f"cold-{number}")
        caplog.clear()
        with keeping(place, read_only=number % 2 == 1) as cold:
            assert cold.get_runs_count() == 4
            assert backend_of(cold).events_read == cold.log.head().position - first
        if victim.exists() or victim != newer:
            assert "is passed over" in caplog.text
            assert newer.exists() == (number % 2 == 1)  # whoever may write drops it
    assert older.exists()


def forge(heading: Path, content: bytes) -> None:
    """Let a snapshot hold this file, with all checksums right."""
    about = snapshot_file.read_heading(heading.read_bytes())
    (part,) = parts_of(heading)
    part.write_bytes(zlib.compress(content))
    digests = [snapshot_file.digest_of(part.read_bytes())]
    heading.write_bytes(snapshot_file.write_heading(about._replace(size=len(content), parts=digests)))


def test_a_snapshot_that_lies_is_passed_over(place: Path, machine: Callable[[str], Path], tmp_path: Path) -> None:
    """Its checksums are right, and what it holds is not."""
    with_a_snapshot(place)
    (path,) = snapshots(place)
    (part,) = parts_of(path)
    said, whole, file = path.read_bytes(), zlib.decompress(part.read_bytes()), tmp_path / "whole.db"
    lies = {"torn": whole[: 4096 * 3] + bytes(4096 * 3) + whole[4096 * 6 :], "no database": b"foldlog" * 1000}
    for name, statement in {
        "of another log": "UPDATE foldlog_views SET cursor = replace(cursor, ':1:', ':2:') WHERE name = 'runs'",
        "no cursor": "UPDATE foldlog_views SET cursor = 'here' WHERE name = 'runs'",
        "a view less": "DELETE FROM foldlog_views WHERE name = 'runs'",
        "no views": "DROP TABLE foldlog_views",
    }.items():
        file.write_bytes(whole)
        with sqlite3.connect(file) as db:
            db.execute(statement)
        db.close()
        lies[name] = file.read_bytes()
    for name, content in lies.items():
        path.parent.mkdir(parents=True, exist_ok=True)  # one with no other snapshot in it is gone from a store
        path.write_bytes(said)
        forge(path, content)
        machine(name)
        with keeping(place) as cold:
            assert cold.get_runs_count() == 4
            assert backend_of(cold).events_read == cold.log.head().position
            check_whole(cold)
        assert not path.exists()


def test_bytes_that_expand_without_end_are_refused() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    about = snapshot_file.Heading("0" * 32, 1, "c", 1000, 1000, [snapshot_file.digest_of(bomb)])
    with pytest.raises(CorruptLogError, match="does not hold 1,000"):
        snapshot_file.expand(about, 0, bomb)


def test_a_heading_is_read_as_it_was_written() -> None:
    about = snapshot_file.Heading("0" * 32, 1, "c", 1000, 600, ["a", "b"])
    assert snapshot_file.read_heading(snapshot_file.write_heading(about)) == about
    with pytest.raises(CorruptLogError, match="2 parts"):
        snapshot_file.read_heading(snapshot_file.write_heading(about._replace(size=1201)))


def test_a_snapshot_of_other_versions_is_ignored(
    place: Path, machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_a_snapshot(place)
    (path,) = snapshots(place)
    newer = [PROJECTIONS[0]._replace(version=PROJECTIONS[0].version + 1), *PROJECTIONS[1:]]
    mine, others = path.parent, path.parent.with_name(kept_views.fingerprint(newer))
    assert mine.name == kept_views.fingerprint(PROJECTIONS) != others.name
    parts = mine.with_name(f"{mine.name}.parts").rename(others.with_name(f"{others.name}.parts"))
    mine.rename(others)
    machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == 4
        assert backend_of(cold).events_read == cold.log.head().position
        cold.put_back_views()
    assert len(snapshots(place)) == 2  # those of other releases are left alone
    for one in [*others.rglob("*"), *parts.rglob("*")]:
        os.utime(one, (1_000_000_000, 1_000_000_000))
    with keeping(place) as instance:
        some_runs(instance, 1)
        instance.put_back_views()
    assert {one.parent for one in snapshots(place)} == {mine}  # until nobody has used them for a month
    assert not [one for one in parts.rglob("*") if one.is_file()]


@pytest.mark.parametrize("grown", [False, True])
def test_a_snapshot_of_a_history_that_was_lost_is_refused(
    place: Path, machine: Callable[[str], Path], tmp_path: Path, grown: bool
) -> None:
    """An older copy of the log was put back: the snapshot is beyond its head, or of other events up to there."""
    with keeping(place) as instance:
        some_runs(instance, 2)
        instance.put_back_views()
        old = instance.log.head().position
    for path in log_in(place):
        shutil.copytree(path, tmp_path / "copy" / path.name)
    with keeping(place) as instance:
        some_runs(instance, 1)
        lost = instance.put_back_views()
    for path in log_in(place):
        shutil.rmtree(path)
    shutil.copytree(tmp_path / "copy", place, dirs_exist_ok=True)
    with keeping(place) as instance:
        if grown:
            some_runs(instance, 4)
            assert instance.log.catch_up().position > lost
        machine("cold")
        with keeping(place) as cold:
            assert cold.get_runs_count() == (6 if grown else 2)
            assert backend_of(cold).events_read == cold.log.head().position - old
            fetched = [asked for asked in backend_of(cold).asked if asked.startswith("fetch ")]
            assert not [asked for asked in fetched if f"/{lost:020d}-" in asked]  # its name tells
            assert len(fetched) == 2
            check_whole(cold)
            cold.put_back_views()
        assert not [one for one in snapshots(place) if one.name.startswith(f"{lost:020d}")]
        machine("one")  # which has folded what was lost
        assert instance.get_runs_count() == (6 if grown else 2)
        check_whole(instance)


def test_two_copies_of_a_log_have_caches_of_their_own(place: Path, tmp_path: Path) -> None:
    with keeping(place) as instance:
        some_runs(instance, 1)
    shutil.copytree(place, tmp_path / "fork")
    with keeping(place) as one, keeping(tmp_path / "fork") as other:
        some_runs(one, 1)
        some_runs(other, 2)
        assert one.log.head().log_id == other.log.head().log_id
        assert (one.get_runs_count(), other.get_runs_count()) == (2, 3)
        assert file_of(one) != file_of(other)


def test_a_cache_far_behind_is_replaced(
    place: Path, machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with keeping(place) as old:
        some_runs(old)
        assert old.get_runs_count() == 3
        machine("two")
        with keeping(place) as instance:
            assert instance.get_runs_count() == 3
        machine("other")
        with keeping(place) as instance:
            some_runs(instance, 4)
            position = instance.put_back_views()
            some_runs(instance, 1)
        machine("two")
        with keeping(place) as near:
            assert near.get_runs_count() == 8
            assert backend_of(near).asked == []
        machine("one")
        monkeypatch.setattr(cached, "FAR", 20)
        with keeping(place) as behind:
            assert behind.get_runs_count() == 8
            assert backend_of(behind).events_read == behind.log.head().position - position
            assert old.get_runs_count() == 8  # it has had the other file open
            assert backend_of(old).events_read < behind.log.head().position
            check_whole(old)
            check_whole(behind)
        with keeping(place) as near:
            assert near.get_runs_count() == 8
            assert backend_of(near).asked == []


def test_a_log_of_objects(tmp_path: Path, machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it, with a backend of foldlog's own."""
    url = f"file://{tmp_path}/objects"
    with Instance.from_url(url) as instance:
        some_runs(instance)
        position = instance.put_back_views()
        some_runs(instance, 1)
        assert instance.get_runs_count() == 4
        folder = machine("cold")
        with Instance.from_url(url, read_only=True) as cold:
            read, backend_read = [], cold.log.backend.read

            def noted(**terms: Any) -> list[Stored]:
                read.append(backend_read(**terms))
                return read[-1]

            monkeypatch.setattr(cold.log.backend, "read", noted)
            assert cold.get_runs_count() == 4
            assert [one.position for page in read for one in page] == list(
                range(position + 1, cold.log.head().position + 1)
            )
            assert file_of(cold).is_relative_to(folder)
            assert dump(cold.views.store) == dump(instance.views.store)
        with Instance.from_url(url) as cold:
            some_runs(cold, 1)
            assert cold.get_runs_count() == instance.get_runs_count() == 5
            check_whole(cold)
        with Instance.from_url(url, views=f"sqlite:///{tmp_path}/elsewhere.db") as elsewhere:
            assert elsewhere.get_runs_count() == 5
            assert file_of(elsewhere) == tmp_path / "elsewhere.db"


# -- a cache that is no good ----------------------------------------------------------------------------------------


def garbage(path: Path) -> None:
    path.write_bytes(b"not a database, and long enough to be looked at" * 100)


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def holes(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[4096:] = bytes(len(whole) - 4096)
    path.write_bytes(whole)


@pytest.mark.parametrize("deed", [garbage, cut_short, holes])
def test_a_damaged_cache_is_made_anew(
    place: Path, deed: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    position = with_a_snapshot(place)
    with keeping(place) as instance:
        path = file_of(instance)
    deed(path)
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        assert "are damaged, and are made anew" in caplog.text
        assert backend_of(instance).events_read == instance.log.head().position - position
        check_whole(instance)


def test_a_cache_that_is_damaged_while_two_have_it_open(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with_a_snapshot(place)
    with keeping(place) as one, keeping(place) as other:
        assert one.get_runs_count() == other.get_runs_count() == 4
        path = file_of(one)
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        content = bytearray(path.read_bytes())
        content[4096:] = b"\xff" * (len(content) - 4096)
        with path.open("r+b") as file:  # the same file
            file.write(content)
        some_runs(one, 1)
        for instance in (one, other, one):
            for _ in range(3):
                with suppress(UnavailableError):  # a question under way is to be asked again
                    assert len(instance.get_run_records()) == 5
                    break
            else:
                pytest.fail("it was not made anew")
            check_whole(instance)
        assert caplog.text.count("are made anew: ") == 1


def test_a_cache_that_was_copied_from_another_log_is_folded_anew(place: Path, tmp_path: Path) -> None:
    with keeping(place) as one, keeping(tmp_path / "other") as other:
        some_runs(one, 3)
        some_runs(other, 1)
        assert (one.get_runs_count(), other.get_runs_count()) == (3, 1)
        source, target = file_of(one), file_of(other)
    shutil.copy(source, target)
    with keeping(tmp_path / "other") as other:
        assert other.get_runs_count() == 1
        check_whole(other)


def test_a_cache_that_was_deleted_while_it_was_open_is_fetched(place: Path) -> None:
    position = with_a_snapshot(place)
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        shutil.rmtree(file_of(instance).parent)
        backend_of(instance).events_read = 0
        assert instance.get_runs_count() == 4
        assert backend_of(instance).events_read == instance.log.head().position - position
        check_whole(instance)


def test_a_wal_of_a_file_that_is_gone_is_not_taken_for_another_ones(
    place: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with_a_snapshot(place)
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        path = file_of(instance)
        with sqlite3.connect(path) as db:  # so that the WAL holds some pages, not all
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        some_runs(instance, 2)
        assert instance.get_runs_count() == 6
        left = {name: (path.parent / name).read_bytes() for name in ("views.db-wal", "views.db-shm")}
        assert left["views.db-wal"]
    path.unlink()
    for name, content in left.items():
        (path.parent / name).write_bytes(content)
    with keeping(place) as instance:
        assert instance.get_runs_count() == 6
        assert caplog.text == ""
        check_whole(instance)


def test_a_file_is_not_replaced_while_it_is_being_opened(place: Path) -> None:
    """SQLite opens file and WAL one after the other, and must not get them of two files."""
    with_a_snapshot(place)
    with keeping(place) as instance:
        views = instance.views
        assert isinstance(views, CachedViews)
        with views._cache.opening() as file:
            thread = threading.Thread(target=views._cache.replace)
            thread.start()
            thread.join(0.5)
            assert thread.is_alive()
            assert file_at(file_of(instance)) == file
        thread.join()
        assert file_at(file_of(instance)) != file
        assert instance.get_runs_count() == 4
        check_whole(instance)


@pytest.mark.parametrize("problem", ["a file in the way", "a network", "no folder for a home", "no home"])
def test_where_no_folder_can_be_made_the_views_are_of_this_process_alone(
    place: Path,
    tmp_path: Path,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    position = with_a_snapshot(place)
    match problem:
        case "a file in the way":
            (tmp_path / "file").touch()
            monkeypatch.setenv("FOLDLOG_CACHE", str(tmp_path / "file" / "below"))
        case "no folder for a home":
            monkeypatch.delenv("FOLDLOG_CACHE")
            monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
            monkeypatch.setenv("HOME", "/dev/null")
        case "no home":
            monkeypatch.setenv("FOLDLOG_CACHE", "~nobody-of-this-name/cache")
        case _:

            def refuse(folder: Path) -> None:
                raise UsageError(f"{folder} lies on nfs4")

            monkeypatch.setattr("foldlog.backends.sqlite.home.refuse_network_folder", refuse)
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        assert backend_of(instance).events_read == instance.log.head().position - position
        folder = file_of(instance).parent
        assert "FOLDLOG_CACHE" in caplog.text
    assert not folder.exists()


def test_where_the_cache_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    log_id = UUID(int=7)

    def folder(url: str = "s3://b/l", views: str = "abc", **environment: str) -> str:
        return str(cache.folder_of(log_id, url, views, environment))

    assert re.fullmatch(f"/c/{log_id.hex}-[0-9a-f]{{8}}/abc", folder(FOLDLOG_CACHE="/c", XDG_CACHE_HOME="/x"))
    assert folder(url="s3://b/copy", FOLDLOG_CACHE="/c") != folder(FOLDLOG_CACHE="/c")
    assert folder(XDG_CACHE_HOME="/x").startswith(f"/x/foldlog/{log_id.hex}-")
    monkeypatch.setenv("HOME", "/h")
    for environment in ({}, {"XDG_CACHE_HOME": "relative"}):
        assert folder(**environment).startswith(f"/h/.cache/foldlog/{log_id.hex}-")


def test_without_any_folder_the_views_are_in_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_a_snapshot(place)

    def refuse(*_: object, **__: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory")

    monkeypatch.setattr(cache, "TemporaryDirectory", refuse)
    monkeypatch.setenv("FOLDLOG_CACHE", "/dev/null/below")
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        assert "in memory" in caplog.text


def test_a_release_with_other_views_has_a_file_of_its_own(place: Path, machine: Callable[[str], Path]) -> None:
    """And what no release has used for a month goes."""
    newer = [PROJECTIONS[0]._replace(version=PROJECTIONS[0].version + 1), *PROJECTIONS[1:]]
    with_a_snapshot(place)
    with keeping(place) as instance:
        backend, mine = backend_of(instance), file_of(instance)
        views = cached.open_cached(instance.log, backend, projections=newer)
        other = views.store.database.path
        assert other is not None
        assert other.parent.parent == mine.parent.parent
        views.close()
        for path in mine.parent.glob("views.db*"):
            path.unlink()
        assert instance.get_runs_count() == 4
        assert other.exists()
        for path in other.parent.glob("views.db*"):
            os.utime(path, (1_000_000_000, 1_000_000_000))
        for path in mine.parent.glob("views.db*"):
            path.unlink()
        assert instance.get_runs_count() == 4
        assert not other.parent.exists()
        check_whole(instance)


def test_views_in_a_place_that_somebody_chose_have_no_snapshots(place: Path, tmp_path: Path) -> None:
    with_a_snapshot(place)
    for url in ("memory://", f"sqlite:///{tmp_path}/chosen.db"):
        with Instance(keeping(place).log, views=url) as instance:
            assert instance.get_runs_count() == 4
            assert backend_of(instance).events_read == instance.log.head().position
            with pytest.raises(UsageError, match="in no cache"):
                instance.put_back_views()
            assert backend_of(instance).asked == []


def test_only_a_log_that_keeps_files_has_a_cache(tmp_path: Path, machine: Callable[[str], Path]) -> None:
    with Instance.from_url(f"sqlite:///{tmp_path}/plain") as instance:
        assert not isinstance(instance.log.backend, CanKeep)
        assert file_of(instance) == tmp_path / "plain" / "views.db"
        with pytest.raises(UsageError, match="in no cache"):
            instance.put_back_views()
    assert not machine("one").exists()


# -- putting back -------------------------------------------------------------------------------------------------


def test_when_another_snapshot_is_worth_it() -> None:
    assert due_after(0) == due_after(1) - 1 == 20_000
    assert due_after(1_000_000) == 1_111_111  # a tenth of the log


def test_views_are_put_back_now_and_then(
    place: Path, machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)
    put = []
    with keeping(place) as instance:
        for _ in range(30):
            some_runs(instance, 1)
            assert instance.get_runs_count() == len(put) + 1
            settled(instance)
            put.append(len(snapshots(place)))
        per_run = instance.log.head().position // 30
        assert put[: 30 // per_run] == [0] * (30 // per_run)
        assert put[-1] == kept_views.KEPT  # older ones are dropped
        assert len([asked for asked in backend_of(instance).asked if asked.startswith("keep ")]) > kept_views.KEPT
        newest = int(snapshots(place)[-1].name[:20])
        assert due_after(newest) > instance.log.head().position
    machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == 30
        assert backend_of(cold).events_read == cold.log.head().position - newest
        check_whole(cold)


def test_nothing_is_put_back_on_an_idle_log(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)
    with keeping(place) as instance:
        some_runs(instance, 5)
        assert instance.get_runs_count() == 5
        settled(instance)
        assert len(snapshots(place)) == 1
        backend_of(instance).asked.clear()
        for _ in range(5):
            assert instance.get_runs_count() == 5
            instance.views.projector.retry()  # or it would not even look
        settled(instance)
        assert backend_of(instance).asked == []
    with keeping(place) as another:
        assert another.get_runs_count() == 5
        settled(another)
        assert backend_of(another).asked == []


def test_a_rebuild_replaces_what_was_put_before(place: Path, machine: Callable[[str], Path]) -> None:
    """It may hold what the rebuild has mended."""
    with keeping(place) as instance:
        some_runs(instance)
        instance.put_back_views()
        some_runs(instance, 1)
        assert instance.get_runs_count() == 4
        store = instance.views.store
        with store.database.write() as connection:
            connection.exec_driver_sql(f"UPDATE runs_v{PROJECTIONS[0].version} SET job_name = 'altered'")
        instance.put_back_views()
        assert len(snapshots(place)) == 2
        assert not instance.verify().ok
        instance.rebuild()
        settled(instance)
        assert [int(one.name[:20]) for one in snapshots(place)] == [instance.log.head().position]
        assert {at.generation for at in store.checkpoints(slot="previous").values()} == {1}
    machine("cold")
    with keeping(place) as cold:
        assert {one.run.job_name for one in cold.get_run_records()} == {"job-0", "job-1"}
        assert cold.views.store.checkpoints(slot="previous") == {}  # no snapshot carries it
        check_whole(cold)


def test_what_was_deleted_goes_with_the_older_snapshots(place: Path) -> None:
    with keeping(place) as instance:
        some_runs(instance)
        with instance.run("job", tags={"mail": "somebody@there"}) as run:
            pass
        instance.put_back_views()
        (part,) = parts_of(snapshots(place)[0])
        assert b"somebody@there" in zlib.decompress(part.read_bytes())
        instance.delete_run(run.run_id)
        instance.put_back_views(drop_older=True)
    (heading,) = snapshots(place)
    (part,) = parts_of(heading)
    assert b"somebody@there" not in zlib.decompress(part.read_bytes())
    assert len(list((place / "kept").glob("views/1/*.parts/*/*"))) == 1


def test_a_rebuild_of_a_log_without_snapshots_puts_none_back(place: Path) -> None:
    with keeping(place) as instance:
        some_runs(instance)
        instance.rebuild()
        settled(instance)
        assert snapshots(place) == []


def test_a_failure_is_logged_and_no_answer_is_the_worse_for_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)

    def refuse(self: KeepingBackend, name: str, data: bytes) -> bool:
        raise UnavailableError("the bucket is on holiday")

    monkeypatch.setattr(KeepingBackend, "keep", refuse)
    with keeping(place) as instance:
        some_runs(instance, 5)
        for _ in range(3):
            assert instance.get_runs_count() == 5
            settled(instance)
            instance.views.projector.retry()
        assert caplog.text.count("on holiday") == 1
        with pytest.raises(UnavailableError):
            instance.put_back_views()
        assert not list(file_of(instance).parent.glob(".put-*"))


def test_a_short_process_puts_back_what_it_has_begun_to(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)
    with keeping(place) as instance:
        some_runs(instance, 5)
        assert instance.get_runs_count() == 5
    assert len(snapshots(place)) == 1


def test_without_a_thread_there_is_an_answer(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)

    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with keeping(place) as instance:
        some_runs(instance, 5)
        monkeypatch.setattr(threading.Thread, "start", refuse)
        for _ in range(2):
            assert instance.get_runs_count() == 5
            instance.views.projector.retry()
        assert caplog.text.count("can't start new thread") == 1
    assert snapshots(place) == []


def test_an_answer_does_not_wait_and_closing_waits_for_a_while(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting, "EVERY", 30)
    monkeypatch.setattr(putting, "CLOSING_S", 0.1)
    begun, held, keep = threading.Event(), threading.Event(), KeepingBackend.keep

    def slowly(self: KeepingBackend, name: str, data: bytes) -> bool:
        begun.set()
        assert held.wait(30)
        return keep(self, name, data)

    monkeypatch.setattr(KeepingBackend, "keep", slowly)
    with keeping(place) as instance:
        some_runs(instance, 5)
        assert instance.get_runs_count() == 5
        assert begun.wait(30)
        some_runs(instance, 5)
        assert instance.get_runs_count() == 10
        thread = next(one for one in threading.enumerate() if one.name == "foldlog-put-back")
    assert thread.is_alive()
    held.set()
    thread.join()


def test_put_back_under_writers(place: Path, machine: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(putting, "EVERY", 20)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with keeping(place) as instance:
                for _ in range(8):
                    some_runs(instance, 1)
                    instance.get_runs_count()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    with keeping(place) as instance:
        while any(thread.is_alive() for thread in threads):
            if instance.log.catch_up().position:
                instance.put_back_views()
    for thread in threads:
        thread.join()
    assert not failures
    assert 1 <= len(snapshots(place)) <= kept_views.KEPT + 2
    monkeypatch.setattr(putting, "EVERY", 20_000)
    for number, path in enumerate(reversed(snapshots(place))):
        machine(f"cold-{number}")
        assert parts_of(path)
        with keeping(place) as cold:
            assert cold.get_runs_count() == 24
            assert backend_of(cold).events_read == cold.log.head().position - int(path.name[:20])
            check_whole(cold)
        path.unlink()


# -- killed, and several at once ------------------------------------------------------------------------------------

CHILD = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from keeping import keeping
from foldlog.engine.views import cache, cached, kept_views, putting

def kill(step):
    if step == sys.argv[3]:
        os.kill(os.getpid(), signal.SIGKILL)

cache.passed = kept_views.passed = putting.passed = kill
with keeping(Path(sys.argv[2])) as instance:
    exec(sys.argv[4])
"""


def child(place: Path, code: str, step: str = "") -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-P", "-c", CHILD, str(ROOT), str(place), step, code])


@pytest.mark.parametrize("step", ["filled", "made"])
def test_killed_while_it_fetches(place: Path, machine: Callable[[str], Path], step: str) -> None:
    with_a_snapshot(place)
    folder = machine("cold")
    assert child(place, "instance.get_runs_count()", step).wait() == -signal.SIGKILL
    with keeping(place) as cold:
        assert cold.get_runs_count() == 4
        check_whole(cold)
        assert not list(folder.rglob(".fill-*"))


@pytest.mark.parametrize("step", ["removed views.db", "removed views.db-wal", "removed views.db-shm", "filled", "made"])
def test_killed_while_it_throws_a_damaged_one_away(place: Path, step: str) -> None:
    with_a_snapshot(place)
    with keeping(place) as instance:
        path = file_of(instance)
    garbage(path)
    assert child(place, "instance.get_runs_count()", step).wait() == -signal.SIGKILL
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        check_whole(instance)


@pytest.mark.parametrize("step", ["removed views.db", "removed views.db-wal", "removed views.db-shm", "filled"])
def test_killed_while_it_replaces_one_that_is_behind(place: Path, step: str) -> None:
    with_a_snapshot(place)
    assert child(place, "instance.views._cache.replace()", step).wait() == -signal.SIGKILL
    with keeping(place) as instance:
        assert instance.get_runs_count() == 4
        check_whole(instance)


@pytest.mark.parametrize("step", ["copied", "part", "kept", "dropped"])
def test_killed_while_it_puts_back(place: Path, machine: Callable[[str], Path], step: str) -> None:
    with keeping(place) as instance:
        for _ in range(kept_views.KEPT + 1):
            some_runs(instance, 1)
            instance.put_back_views()
        some_runs(instance, 1)
    code = "instance.rebuild(); instance.views._putter._thread.join()"
    assert child(place, code, step).wait() == -signal.SIGKILL
    machine("cold")
    with keeping(place) as cold:
        assert cold.get_runs_count() == kept_views.KEPT + 2
        check_whole(cold)
    machine("one")
    with keeping(place) as instance:
        some_runs(instance, 1)
        instance.put_back_views()
        assert 1 <= len(snapshots(place)) <= kept_views.KEPT
        in_progress = {one.parent.name for one in (place / "kept").glob("views/1/*.parts/*/*")}
        assert len(in_progress - {one.name for one in snapshots(place)}) == (step == "part")
        for one in (place / "kept").glob("views/1/*.parts/*/*"):
            if one.parent.name not in {heading.name for heading in snapshots(place)}:
                os.utime(one, (1_000_000_000, 1_000_000_000))
        instance.put_back_views()
        assert {one.parent.name for one in (place / "kept").glob("views/1/*.parts/*/*")} == {
            one.name for one in snapshots(place)
        }
        check_whole(instance)
        assert not list(file_of(instance).parent.glob(".put-*"))


def test_processes_on_a_cold_machine_begin_at_once(place: Path, machine: Callable[[str], Path]) -> None:
    with_a_snapshot(place, runs_after=4)
    folder = machine("cold")
    code = """
for number in range(3):
    with instance.run("job"):
        pass
    instance.get_runs_count()
assert instance.verify().problems() == []
"""
    children = [child(place, code) for _ in range(3)]
    assert [one.wait() for one in children] == [0, 0, 0]
    with keeping(place) as instance:
        assert instance.get_runs_count() == 7 + 9
        check_whole(instance)
    assert not list(folder.rglob(".fill-*"))


def test_processes_ask_while_the_cache_is_thrown_away(place: Path) -> None:
    with_a_snapshot(place)
    code = """
from contextlib import suppress
from foldlog import UnavailableError
for number in range(40):
    with suppress(UnavailableError):  # it was thrown away after this had caught up
        assert instance.get_runs_count() == 4
assert instance.views.projector.catch_up() is None
assert instance.verify().problems() == []
"""
    children = [child(place, code) for _ in range(2)]
    with keeping(place) as instance:
        views = instance.views
        assert isinstance(views, CachedViews)
        while any(one.poll() is None for one in children):
            views._cache.replace()
            with suppress(UnavailableError):
                assert instance.get_runs_count() == 4
        assert [one.returncode for one in children] == [0, 0]
        check_whole(instance)
