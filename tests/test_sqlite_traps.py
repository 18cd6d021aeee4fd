"""Traps of the SQLite backend, each found by trying to break it: a promise, and what once broke it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from foldlog.backends.sqlite import SqliteBackend
from foldlog.backends.sqlite.doorbell import HEADER, Doorbell, Writers
from foldlog.backends.sqlite.order import OrderFile
from foldlog.backends.sqlite.trimmed import TrimmedOrder
from foldlog.engine.errors import ConflictError, CorruptLogError, ShardPurged, UsageError
from foldlog.engine.events.event import Retention
from foldlog.engine.log.port import ShardState
from foldlog.testing.store import an_append, bodies, held, put, record, sequence, timeline

LAYOUTS = ("sharded", "consolidated")
Opener = Callable[..., SqliteBackend]


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(tmp_path: Path, layout: str) -> Iterator[Opener]:
    """Opens handles on one home; each is like a process of its own but for the process."""
    handles: list[SqliteBackend] = []

    def opener(**options: Any) -> SqliteBackend:
        handles.append(SqliteBackend(tmp_path / "home", layout=layout, **options))  # type: ignore[arg-type]
        return handles[-1]

    yield opener
    for handle in handles:
        handle.close()


def everything(backend: SqliteBackend) -> list[bytes | None]:
    sequence(backend)
    return bodies(timeline(backend))


# -- seals and slots ---------------------------------------------------------------------------------------------------


def test_a_writer_rings_where_its_shard_is_now(opened: Opener) -> None:
    """P5, P8: sealed and opened again by others, a shard has another slot; who knew the old one must not ring there."""
    writer, sealer, other, reader = opened(), opened(), opened(), opened()
    put(writer, "run-1", b"a")
    sequence(sealer)
    assert sealer.seal("run-1")
    put(sealer, "run-2", b"b")  # takes the slot that run-1 has left
    put(other, "run-1", b"c")  # opens run-1 again, in a slot of its own
    assert everything(reader) == [b"a", b"b", b"c"]
    put(writer, "run-1", b"d")
    assert everything(reader) == [b"a", b"b", b"c", b"d"]
    put(writer, "run-1", b"e")
    assert everything(opened()) == [b"a", b"b", b"c", b"d", b"e"]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_group_rings_where_its_shards_are_now(opened: Opener, sealed: bool) -> None:
    """P5, P8: the same for appends in one commit, also where one of them lifts a seal."""
    writer, sealer, reader = opened(), opened(), opened()
    put(writer, "@a", b"a")
    put(writer, "@b", b"b")
    sequence(sealer)
    assert sealer.seal("@a")
    put(sealer, "@c", b"c")
    if not sealed:
        put(sealer, "@a", b"d")
    assert everything(reader)
    writer.append_group([an_append("@a", b"e"), an_append("@b", b"f")])
    assert set(everything(reader)) >= {b"e", b"f"}


def test_a_slot_is_used_again(opened: Opener, tmp_path: Path) -> None:
    """P5: the doorbell does not grow with the runs there ever were, and each ring is still heard."""
    backend, reader = opened(), opened()
    for number in range(30):
        put(backend, f"run-{number}", b"x")
        assert len(everything(reader)) == number + 1
        assert backend.seal(f"run-{number}")
    assert max(place.slot or 0 for place in backend.order.open_shards() or [backend.order.open_shard("run-x")]) < 3


# -- files under a writer ----------------------------------------------------------------------------------------------


def test_an_older_copy_under_a_closed_handle_is_no_hole(tmp_path: Path) -> None:
    """P2: the writer remembers an end that the copy put back has not; it must not write behind a gap."""
    backend = SqliteBackend(tmp_path / "home")
    put(backend, "run-1", b"a")
    kind = backend.home.file_of("run-1")
    backend.files.forget(kind)
    shutil.copy(kind.path, tmp_path / "old")
    put(backend, "run-1", b"b", b"c")
    backend.files.forget(kind)
    shutil.copy(tmp_path / "old", kind.path)
    with pytest.raises(CorruptLogError, match="run-1"):
        put(backend, "run-1", b"d")
    backend.close()


def test_a_file_of_another_run_is_refused(tmp_path: Path) -> None:
    """P2: a run file carries its shard's name; under another one it is not written to."""
    backend = SqliteBackend(tmp_path / "home")
    put(backend, "run-1", b"a")
    one, two = backend.home.file_of("run-1"), backend.home.file_of("run-2")
    backend.close()
    two.path.parent.mkdir()
    shutil.copy(one.path, two.path)
    backend = SqliteBackend(tmp_path / "home")
    with pytest.raises(CorruptLogError, match="run-2"):
        put(backend, "run-2", b"b")
    backend.close()


def test_system_shards_keep_apart_when_the_order_is_older(tmp_path: Path) -> None:
    """P2: an older order.db gives the number of one system shard to another; that must not mix their events."""
    backend = SqliteBackend(tmp_path / "home")
    put(backend, "run-1", b"a")
    backend.close()
    shutil.copy(tmp_path / "home/order.db", tmp_path / "old")
    backend = SqliteBackend(tmp_path / "home")
    put(backend, "@queue", b"q")
    backend.close()
    shutil.copy(tmp_path / "old", tmp_path / "home/order.db")
    backend = SqliteBackend(tmp_path / "home")
    with pytest.raises(CorruptLogError, match="@ticks"):
        put(backend, "@ticks", b"t")
    backend.close()


def test_an_order_put_back_under_a_process_is_noticed(tmp_path: Path, layout: str, opened: Opener) -> None:
    """P5: positions given in a file that has lost its name would be seen by this process alone."""
    backend = opened()
    put(backend, "run-1", b"a")
    sequence(backend)
    path = backend.home.order
    shutil.copy(path, tmp_path / "copy")
    os.replace(tmp_path / "copy", path)
    for deed in (lambda: put(backend, "run-3", b"b"), lambda: sequence(backend)):
        with pytest.raises(CorruptLogError):
            deed()


# -- reads by type -----------------------------------------------------------------------------------------------------


def read_both_ways(backend: SqliteBackend, kind: str) -> list[list[bytes | None]]:
    types = frozenset([kind])
    return [
        bodies(backend.read(after=0, limit=9, types=types)),
        bodies(backend.read_back(before=None, limit=9, types=types)[::-1]),
    ]


@pytest.mark.parametrize("deed", ["DELETE FROM event WHERE type = 'A'", "UPDATE event SET type = 'B' WHERE type = 'A'"])
def test_an_event_that_the_index_promises_is_missed(opened: Opener, layout: str, tmp_path: Path, deed: str) -> None:
    """P1: a read by type looks at no other rows, and must notice all the same that the one it came for is gone."""
    backend = opened()
    put(backend, "run-1", record(b"b", type="B"), record(b"a", type="A"), record(b"c", type="C"))
    put(backend, "run-1", record(b"d", type="C"))
    sequence(backend)
    assert read_both_ways(backend, "A") == [[b"a"], [b"a"]]
    path = next(tmp_path.rglob("run-1.db")) if layout == "sharded" else tmp_path / "home" / "log.db"
    with sqlite3.connect(path) as db:
        db.execute(deed)
    for read in (lambda: backend.read(after=0, limit=9, types=frozenset("A")),
                 lambda: backend.read_back(before=None, limit=9, types=frozenset("A"))):  # fmt: skip
        with pytest.raises(CorruptLogError, match="run-1"):
            read()


def test_a_receipt_that_the_timeline_lacks_is_missed(opened: Opener, layout: str, tmp_path: Path) -> None:
    """P5: what the index of types names must not be passed over because the timeline has lost it."""
    backend = opened()
    put(backend, "run-1", record(b"a", type="A"))
    put(backend, "run-2", record(b"b", type="A"))
    sequence(backend)
    with sqlite3.connect(tmp_path / "home" / ("order.db" if layout == "sharded" else "log.db")) as db:
        db.execute("DELETE FROM timeline WHERE position = 1")
    with pytest.raises(CorruptLogError, match="position 1"):
        backend.read_back(before=None, limit=9, types=frozenset("A"))


def test_a_type_that_a_trim_left_in_the_index_is_passed_over(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: a trim killed before it told the index is no damage."""
    backend = opened()
    put(backend, "run-1", record(b"old", type="A", retention=Retention.LOG), record(b"b", type="B"))
    put(backend, "run-2", record(b"new", type="A"))
    sequence(backend)
    monkeypatch.setattr(TrimmedOrder, "unindex", lambda *_: None)
    assert backend.trim(int(Retention.LOG), through=2, shard=None).events == 1
    assert read_both_ways(backend, "A") == [[b"new"], [b"new"]]


def test_a_page_by_type_asks_no_more_of_a_longer_log(opened: Opener) -> None:
    """The work of a page grows with the page alone."""
    backend = opened()
    asked: list[list[str]] = []
    for rounds in range(2):
        for number in range(40 * rounds, 40 * rounds + 40):
            for _ in range(5):
                put(backend, f"run-{number}", *[record(type=kind) for kind in ("MARK", "A", "MARK")])
        sequence(backend)
        newest = backend.read_back(before=None, limit=20, types=frozenset("A"))
        files = [backend.files.get(backend.home.file_of(one.shard)).db for one in newest]
        said: list[str] = []
        for db in {id(db): db for db in [backend.order.db, *files]}.values():
            db.set_trace_callback(said.append)
        assert backend.read_back(before=None, limit=20, types=frozenset("A")) == newest
        for db in [backend.order.db, *files]:
            db.set_trace_callback(None)
        asked.append(said)
    assert len(asked[0]) == len(asked[1]) < 20


# -- purges ------------------------------------------------------------------------------------------------------------


def test_a_purge_within_a_filtered_read_skips_nothing(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: receipts that a purge has emptied meanwhile must not make the page look like the last one."""
    backend = opened()
    for _ in range(3):
        put(backend, "run-1", record(b"gone", type="A"))
    put(backend, "run-2", record(b"stays", type="A"))
    sequence(backend)
    backend.fence("run-1")
    spans = OrderFile.typed_spans

    def purging(order: OrderFile, **options: Any) -> Any:
        found = spans(order, **options)
        monkeypatch.setattr(OrderFile, "typed_spans", spans)
        backend.purge("run-1", keep=True)
        return found

    monkeypatch.setattr(OrderFile, "typed_spans", purging)
    assert bodies(backend.read(after=0, limit=2, types=frozenset(["A"]))) == [b"stays"]


def test_a_purge_within_a_shard_read_leaves_what_is_kept(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P9: who looked up the shard before the purge and its events after finds the kept ones all the same."""
    backend = opened()
    put(backend, "run-1", record(b"gone"), record(b"kept", kept=True))
    sequence(backend)
    backend.fence("run-1")
    find = OrderFile.find
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)  # killed before it: emptied, and still there

    def purging(order: OrderFile, name: str) -> Any:
        found = find(order, name)
        monkeypatch.setattr(OrderFile, "find", find)
        backend.purge("run-1", keep=True)
        return found

    monkeypatch.setattr(OrderFile, "find", purging)
    assert bodies(held(backend, "run-1")) == [b"kept"]


def test_what_is_kept_is_not_given_up_with_a_lost_file(tmp_path: Path) -> None:
    """P9: a purge that cannot read the file must not pass for one that found nothing to keep."""
    backend = SqliteBackend(tmp_path / "home")
    put(backend, "run-1", record(b"kept", kept=True))
    sequence(backend)
    backend.fence("run-1")
    backend.close()
    backend = SqliteBackend(tmp_path / "home")
    backend.home.file_of("run-1").path.unlink()
    with pytest.raises(CorruptLogError, match="run-1"):
        backend.purge("run-1", keep=True)
    backend.purge("run-1", keep=False)  # what is lost anyway may be given up, if one says so
    assert timeline(backend, types=frozenset(["MARK"])) == []
    assert bodies(timeline(backend)) == [None]
    backend.close()


def test_a_purged_run_refuses_also_behind_a_closed_handle(tmp_path: Path) -> None:
    """P9: the writer's handle was closed to spare descriptors; the file is gone when it comes back."""
    writer, other = SqliteBackend(tmp_path / "home"), SqliteBackend(tmp_path / "home")
    put(writer, "run-1", b"a")
    sequence(other)
    writer.files.forget(writer.home.file_of("run-1"))
    other.fence("run-1")
    other.purge("run-1", keep=True)
    for _ in range(2):
        with pytest.raises(ShardPurged):
            put(writer, "run-1", b"b")
        assert isinstance(writer.append_group([an_append("run-1", b"c"), an_append("run-1", b"d")])[0], ShardPurged)
    assert not writer.home.file_of("run-1").path.exists()
    writer.close()
    other.close()


def test_a_fence_does_not_pass_by_a_shard_being_made(opened: Opener) -> None:
    """P9: announced in the order, not yet in a file: the fence leaves it unknown, or the append meets the fence."""
    backend, writer = opened(), opened()
    backend.order.open_shard("run-1")
    backend.fence("run-1")
    put(writer, "run-1", b"a")
    assert everything(backend) == [b"a"]
    shard = backend.find_shard("run-1")
    assert shard is not None
    assert shard.state is ShardState.OPEN


# -- interrupted in the middle ---------------------------------------------------------------------------------------


def test_an_interrupted_group_leaves_no_hole(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P2: Ctrl-C within a group of appends rolls all of them back, also in the writer's memory."""
    backend = opened()
    put(backend, "@a", b"a")
    put(backend, "@b", b"b")
    bell = backend._written.bell  # type: ignore[union-attr]
    ring, calls = type(bell).now_us, []

    def interrupt(bell: Doorbell) -> int:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return ring(bell)

    monkeypatch.setattr(type(bell), "now_us", interrupt)
    with pytest.raises(KeyboardInterrupt):
        backend.append_group([an_append("@a", b"c"), an_append("@b", b"d")])
    put(backend, "@a", b"e")
    assert [item.seq for item in held(backend, "@a")] == [1, 2]
    assert everything(backend) == [b"a", b"b", b"e"]


def test_a_failed_checkpoint_fails_no_append(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: the event is durable before the WAL is tidied; an error then must not look like a failed append."""
    backend = opened()

    def fail(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[attr-defined]
        raise error

    put(backend, "run-1", b"a")
    sequence(backend)
    with monkeypatch.context() as patch:
        patch.setattr("foldlog.backends.sqlite.connect.sqlite3.connect", fail)  # the guard of a checkpoint
        for module in ("shardfile", "order"):
            patch.setattr(f"foldlog.backends.sqlite.{module}.WAL_LIMIT", 0)
        put(backend, "run-1", b"a")
        sequence(backend)
    assert everything(backend) == [b"a", b"a"]


# -- the doorbell ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 8, 63, HEADER, HEADER + 8, HEADER + 12, 4095])
def test_a_cut_doorbell_hides_nothing(opened: Opener, tmp_path: Path, size: int) -> None:
    """P5, P8: it is no record of anything; whatever happens to it, all that is committed reaches the timeline."""
    backend = opened()
    for number in range(3):
        put(backend, f"run-{number}", b"x")
    sequence(backend)
    put(backend, "run-0", b"y")
    put(backend, "run-4", b"z")
    backend.close()
    os.truncate(tmp_path / "home/doorbell", size)
    assert sorted(filter(None, everything(opened()))) == [b"x", b"x", b"x", b"y", b"z"]


def test_a_lost_doorbell_hides_nothing(opened: Opener, tmp_path: Path) -> None:
    """P5, P8: removed between processes it is made anew; under one that rings it, nobody takes another for it."""
    writer = opened()
    put(writer, "run-1", b"a")
    (tmp_path / "home/doorbell").unlink()
    with pytest.raises(CorruptLogError, match="doorbell was removed"):
        opened()
    writer.close()
    assert everything(opened()) == [b"a"]


def test_what_was_sequenced_meanwhile_is_no_damage(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """P1: between the looks at the end of a shard and at its place in the order, another appends and sequences."""
    other, writer = opened(), opened()
    put(other, "run-1", b"a")
    really, looks = OrderFile.find, []

    def find(self: OrderFile, name: str) -> Any:
        if self is writer.order:
            looks.append(name)
            if len(looks) == 2:  # the first is before the file is looked at
                put(other, "run-1", b"b")
                sequence(other)
        return really(self, name)

    monkeypatch.setattr(OrderFile, "find", find)
    put(writer, "run-1", b"c")
    assert looks[:2] == ["run-1", "run-1"]
    assert everything(opened()) == [b"a", b"b", b"c"]


def test_a_shard_that_is_just_being_opened_is_not_sealed(opened: Opener) -> None:
    """P1: a writer has announced its shard, and has not come to write it; another seals it meanwhile."""
    other, writer = opened(), opened()
    put(other, "run-0", b"a")
    writer.order.open_shard("run-1")
    assert other.seal("run-1") is False
    put(writer, "run-1", b"b")
    sequence(other)
    assert other.seal("run-1") is True
    assert everything(opened()) == [b"a", b"b"]


def test_a_doorbell_made_meanwhile_is_not_a_lost_one(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P11: two open a new home; the other has made the bell and begun to write between this one's two looks."""
    opened().close()
    really, writers = Writers.others_live, []

    def look(self: Writers) -> bool:
        if not writers:
            monkeypatch.setattr(Writers, "others_live", really)
            writers.append(opened())
            put(writers[0], "run-1", b"a")
        return really(self)

    (tmp_path / "home/doorbell").unlink()
    monkeypatch.setattr(Writers, "others_live", look)
    assert everything(opened()) == [b"a"]


def test_the_doorbell_grows_under_its_readers(tmp_path: Path) -> None:
    """P1: threads ring and read while the file grows under them."""
    bell = Doorbell(tmp_path / "bell", last_us=lambda: 0, slots=list)
    failures: list[BaseException] = []
    done = threading.Event()

    def loop(deed: Callable[[int], object]) -> None:
        try:
            turn = 0
            while not done.is_set():
                deed(turn)
                turn += 1
        except BaseException as error:
            failures.append(error)

    threads = [
        threading.Thread(target=loop, args=(deed,))
        for deed in (lambda turn: bell.ring(turn % 7), lambda turn: bell.read(), lambda turn: bell.now_us())
    ]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        other = Doorbell(tmp_path / "bell", last_us=lambda: 0, slots=list)
        for slot in range(600, 60_000, 600):
            (bell if slot % 1200 else other).ring(slot)
    finally:
        done.set()
        for thread in threads:
            thread.join()
        sys.setswitchinterval(old)
    assert not failures, failures
    other.close()
    bell.close()


def test_threads_that_make_the_doorbell_grow_lose_no_ring(tmp_path: Path) -> None:
    """P1: a lock of the file keeps no thread out, and a map made from a look at its length may come late."""
    slots = 20_000
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for turn in range(5):
            bell = Doorbell(tmp_path / f"bell-{turn}", last_us=lambda: 0, slots=list)

            def rings(first: int, bell: Doorbell = bell) -> None:
                for slot in range(first, slots, 4):
                    bell.ring(slot)

            with ThreadPoolExecutor(5) as threads:
                reading = [threads.submit(lambda bell=bell: [bell.read() for _ in range(200)])]
                for each in [*(threads.submit(rings, first) for first in range(4)), *reading]:
                    each.result()
            assert all(memoryview(bell.read()).cast("q")[:slots])
            bell.close()
    finally:
        sys.setswitchinterval(old)


# -- creating ----------------------------------------------------------------------------------------------------------


def test_two_layouts_at_once_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes that find no home and want another layout: one makes it, the other is told."""
    from foldlog.backends.sqlite import backend as module

    create = module._create_home

    def late(home: Any, *arguments: Any) -> None:
        monkeypatch.setattr(module, "_create_home", create)
        SqliteBackend(tmp_path / "home", layout="consolidated").close()
        create(home, *arguments)

    monkeypatch.setattr(module, "_create_home", late)
    with pytest.raises(UsageError, match="consolidated"):
        SqliteBackend(tmp_path / "home", layout="sharded")
    SqliteBackend(tmp_path / "home").close()
    assert not (tmp_path / "home/order.db").exists()


def test_a_conflict_is_no_doubt(opened: Opener) -> None:
    """P4: a refused append rings no bell and leaves the writer where it was."""
    backend = opened()
    put(backend, "run-1", b"a")
    for expected in (0, 2, 7):
        with pytest.raises(ConflictError):
            put(backend, "run-1", b"b", expected=expected)
    put(backend, "run-1", b"c", expected=1)
    assert everything(backend) == [b"a", b"c"]
