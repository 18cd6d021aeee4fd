"""The home of a SQLite log: names stay in their folder, handles stay few, other programs' files are left alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from foldlog.backends.sqlite import SqliteBackend, open_url
from foldlog.backends.sqlite.doorbell import SLOT, Doorbell, Writers, boot_id
from foldlog.backends.sqlite.home import Home, file_stem, refuse_network_folder
from foldlog.engine.errors import CorruptLogError, UsageError
from foldlog.engine.log.names import check_shard_name
from foldlog.testing.store import bodies, held, put, sequence, timeline

LAYOUTS = ("sharded", "consolidated")
Opener = Callable[..., SqliteBackend]


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def opened(tmp_path: Path, layout: str) -> Iterator[Opener]:
    """Opens handles on one home."""
    handles: list[SqliteBackend] = []

    def opener(**options: Any) -> SqliteBackend:
        handles.append(SqliteBackend(tmp_path / "home", layout=layout, **options))  # type: ignore[arg-type]
        return handles[-1]

    yield opener
    for handle in handles:
        handle.close()


# -- names ------------------------------------------------------------------------------------------------------------

NAMES = [
    "run-1", "Run-1", "RUN-1", "run-1 ", "run.1", "run_1", "con", "aux.db", "a" * 200, "a" * 120, "a" * 121, "~", "-",
    "%2e%2e", "café", unicodedata.normalize("NFD", "café"), "ß", "ss", "SS", "\u017f", "K", "k", "\u212a",
    "😀", "run-1.db", "run-1.db-wal", ".hidden", "..x", "x..", "a:b", "a*b?", "a'b\"c", "a;b", "a%b", "a#b", "@queue/a",
    "@queue/b", "@Queue/a", "@", "run~1", "Ⅷ", "viii",
]  # fmt: skip


def test_names_stay_apart_and_at_home(tmp_path: Path, layout: str) -> None:
    """P2: each name is a shard of its own, also where a file system or a collation would take two for one; no file
    lies outside of the home."""
    home = tmp_path / "home"
    with closing(SqliteBackend(home, layout=layout)) as backend:  # type: ignore[arg-type]
        for number, name in enumerate(NAMES):
            put(backend, name, f"{number}".encode())
        end = sequence(backend)
        assert end == len(NAMES) == len(set(NAMES))
        for number, name in enumerate(NAMES):
            assert bodies(held(backend, name)) == [f"{number}".encode()], name
            shard = backend.find_shard(name)
            assert shard is not None
            assert shard.name == name
        assert [shard.name for shard in backend.shards(after="", limit=100)] == sorted(NAMES)
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    lower = [str(path).lower() for path in home.rglob("*.db")]
    assert len(set(lower)) == len(lower), "two of them would be one file where case does not count"
    assert all(path.name.isascii() and len(path.name) < 140 for path in home.rglob("*"))


@pytest.mark.parametrize(
    "name", ["../x", "..", "a/../../x", "x\0y", "a" * 300, "/etc/x", "@a/../../x", "a/b", "\ud800"]
)
def test_names_that_leave_are_refused(name: str, tmp_path: Path) -> None:
    """DESIGN 8: by the log, before any backend sees them; and the file of a name would stay in its folder even so."""
    with pytest.raises(UsageError):
        check_shard_name(name)
    if name.isprintable():
        home = Home(tmp_path, "sharded")
        assert home.file_of(name).path.resolve().is_relative_to(tmp_path.resolve())


def test_plain_names_can_be_read_on_the_disk() -> None:
    """A person finds a run by its id."""
    assert file_stem("0b1c7e0a-5a3e-4a53-8f3c-2e0c4b1d9a77") == "0b1c7e0a-5a3e-4a53-8f3c-2e0c4b1d9a77"
    assert file_stem("Nightly Load").startswith("nightly_load~")


# -- other programs ---------------------------------------------------------------------------------------------------


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    """DESIGN 8: named, and left as they are."""
    for name in ("order.db", "log.db"):
        folder = tmp_path / name.removesuffix(".db")
        folder.mkdir()
        with closing(sqlite3.connect(folder / name)) as db:
            db.execute("CREATE TABLE theirs (x)")
        before = (folder / name).read_bytes()
        for options in ({}, {"read_only": True}):
            with pytest.raises(CorruptLogError, match="another program"):
                SqliteBackend(folder, **options)  # type: ignore[arg-type]
        (folder / name).write_bytes(b"not a database at all" * 500)
        with pytest.raises(CorruptLogError):
            SqliteBackend(folder)
        (folder / name).write_bytes(b"")
        with pytest.raises(CorruptLogError):
            SqliteBackend(folder)
        assert len(before) > 0


def test_another_format_is_refused(tmp_path: Path) -> None:
    """DESIGN 8: a log of a newer release is told as such."""
    SqliteBackend(tmp_path / "home").close()
    with closing(sqlite3.connect(tmp_path / "home/order.db")) as db:
        db.execute("PRAGMA user_version=3")
    with pytest.raises(CorruptLogError, match="format 3") as caught:
        SqliteBackend(tmp_path / "home")
    assert "newer foldlog" in caught.value.remedy


@pytest.mark.parametrize(
    "url",
    ["sqlite://home", "sqlite:///", "sqlite:///x?layout=flat", "sqlite:///x?durable=1", "sqlite:x", "sqlite://h/x"],
)
def test_urls_that_cannot_be(url: str) -> None:
    with pytest.raises(UsageError, match="sqlite"):
        open_url(url)


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        SqliteBackend(tmp_path / "file")
    SqliteBackend(tmp_path / "home", layout="consolidated").close()
    with pytest.raises(UsageError, match="consolidated"):
        SqliteBackend(tmp_path / "home", layout="sharded")


MOUNTS = "/dev/sda1 / ext4 rw 0 0\nserver:/x {mount} {kind} rw 0 0\n/dev/sdb {mount}/local ext4 rw 0 0\n"


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "ceph"])
def test_a_network_file_system_is_refused(tmp_path: Path, kind: str) -> None:
    """Trap 6: WAL shares memory between processes, which no network file system does between machines."""
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(mount="/srv/shared\\040data", kind=kind))
    refuse_network_folder(Path("/srv/local/history"), mounts)
    refuse_network_folder(Path("/srv/shared data/local/history"), mounts)
    with pytest.raises(UsageError, match=kind):
        refuse_network_folder(Path("/srv/shared data/history"), mounts)
    refuse_network_folder(tmp_path, tmp_path / "none")


# -- handles and opens ------------------------------------------------------------------------------------------------

_audited: list[str] | None = None


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _audited is not None and event == "sqlite3.connect":
        _audited.append(str(arguments[0]))


@pytest.fixture
def connects() -> Iterator[list[str]]:
    """The database files that were opened: counted rather than timed."""
    global _audited
    if not getattr(sys, "_foldlog_audits", False):
        sys.addaudithook(_audit)
        sys._foldlog_audits = True  # type: ignore[attr-defined]
    _audited = []
    yield _audited
    _audited = None


def test_ten_thousand_finished_runs_are_not_touched(tmp_path: Path, connects: list[str]) -> None:
    """DESIGN 4: a finished run costs no look and no open file: not when the log is opened, not when it is read on."""
    home = tmp_path / "home"
    with closing(SqliteBackend(home)) as backend:
        put(backend, "run-live", b"x")
        end = sequence(backend)
        with backend.order.writing() as db:
            db.executemany(
                "INSERT INTO place (name, state, slot, ordered_seq) VALUES (?, 'sealed', NULL, 0)",
                [(f"done-{number}",) for number in range(10_000)],
            )
    connects.clear()
    start = time.perf_counter()
    with closing(SqliteBackend(home)) as backend:
        put(backend, "run-live", b"y")
        sequence(backend)
        assert bodies(backend.read(after=end, limit=100, types=None)) == [b"y"]
        assert len(backend.shards(after="", limit=100)) == 100
    assert time.perf_counter() - start < 2
    assert not [path for path in connects if "done" in path], connects
    assert len(connects) <= 4, connects


def test_open_runs_without_news_are_not_looked_into(tmp_path: Path, connects: list[str]) -> None:
    """log-protocols 12: 1000 open runs, of which one has news: a fresh process opens that one."""
    home = tmp_path / "home"
    with closing(SqliteBackend(home, durability="process")) as backend:
        for number in range(300):
            put(backend, f"run-{number}", b"x")
        sequence(backend)
        with closing(SqliteBackend(home)) as other:
            put(other, "run-7", b"news")
            for fresh in (False, True):
                handle = SqliteBackend(home) if fresh else backend
                connects.clear()
                assert sequence(handle) == 301
                assert len(connects) <= 2, connects
                if fresh:
                    handle.close()


def test_handles_are_bounded(tmp_path: Path) -> None:
    """Trap 8: 500 runs, few descriptors; and a handle that was closed for another comes back when it is needed."""
    with closing(SqliteBackend(tmp_path / "home", durability="process")) as backend:
        for turn in range(2):
            for number in range(500):
                put(backend, f"run-{number}", f"{turn}".encode())
                assert len(backend.files) <= 128
        assert len(os.listdir("/proc/self/fd")) < 3 * 128 + 100
        assert sequence(backend) == 1000
        assert len(timeline(backend)) == 1000
        assert len(backend.files) <= 128
        assert bodies(held(backend, "run-3")) == [b"0", b"1"]


def test_no_transaction_begins_by_reading(opened: Opener, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trap 2: a deferred BEGIN that reads and then writes fails at once; ours say IMMEDIATE. The control shows it."""
    said: list[str] = []
    really = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = really(*arguments, **options)
        if options.get("uri"):  # a file's, not one in memory of which a new file is made
            db.set_trace_callback(said.append)
        return db

    monkeypatch.setattr("foldlog.backends.sqlite.connect.sqlite3.connect", traced)
    backend, other = opened(), opened()
    put(backend, "run-1", b"a", b"b")
    put(other, "run-1", b"c")
    sequence(backend)
    backend.seal("run-1")
    put(other, "run-1", b"d")
    sequence(other)
    backend.fence("run-1")
    backend.purge("run-1", keep=True)
    begins = {text.strip().upper() for text in said if text.strip().upper().startswith("BEGIN")}
    assert begins == {"BEGIN IMMEDIATE"}
    monkeypatch.undo()
    with closing(really(tmp_path / "x", isolation_level=None)) as one, closing(really(tmp_path / "x")) as two:
        one.execute("PRAGMA journal_mode=WAL")
        one.execute("CREATE TABLE t (x)")
        one.execute("BEGIN")
        one.execute("SELECT * FROM t").fetchall()
        two.execute("INSERT INTO t VALUES (1)")
        two.commit()
        with pytest.raises(sqlite3.OperationalError) as caught:
            one.execute("INSERT INTO t VALUES (2)")
        assert caught.value.sqlite_errorcode == sqlite3.SQLITE_BUSY_SNAPSHOT


def test_writers_of_two_runs_do_not_wait(tmp_path: Path) -> None:
    """P7: one file is locked; whoever writes to another does not notice."""
    with closing(SqliteBackend(tmp_path / "home")) as backend:
        put(backend, "run-1", b"a")
        put(backend, "run-2", b"a")
        with closing(sqlite3.connect(backend.home.file_of("run-1").path, isolation_level=None)) as db:
            db.execute("BEGIN IMMEDIATE")
            waiting = threading.Thread(target=put, args=(backend, "run-1", b"b"))
            waiting.start()
            start = time.perf_counter()
            put(backend, "run-2", b"b")
            assert time.perf_counter() - start < 2
            assert waiting.is_alive()
            db.execute("ROLLBACK")
            waiting.join(40)
        assert bodies(held(backend, "run-1")) == [b"a", b"b"]


# -- processes and clocks ---------------------------------------------------------------------------------------------


def test_a_forked_child_is_refused(tmp_path: Path, layout: str) -> None:
    """Trap 7: SQLite's handles and locks must not be used on both sides of a fork; the child is told, and at its end
    does not take the parent's locks with it."""
    script = """
import os, sys
sys.path[:0] = sys.argv[3:]
from pathlib import Path
from foldlog.backends.sqlite import SqliteBackend
from foldlog.engine.errors import UsageError
from foldlog.testing.store import put, sequence
backend = SqliteBackend(Path(sys.argv[1]), layout=sys.argv[2])
put(backend, "run-1", b"a")
child = os.fork()
if not child:
    for deed in (lambda: put(backend, "run-1", b"b"), backend.head, backend.epochs,
                 lambda: backend.placed(after=0, limit=1), lambda: backend.find_shard("run-1"), backend.stats):
        try:
            deed()
        except UsageError as error:
            assert "fork" in str(error), error
        else:
            os._exit(1)
    backend.close()
    fresh = SqliteBackend(Path(sys.argv[1]), layout=sys.argv[2])
    put(fresh, "run-1", b"child")
    fresh.close()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
put(backend, "run-1", b"c")
assert sequence(backend) == 3
other = SqliteBackend(Path(sys.argv[1]), layout=sys.argv[2])
assert not other._written.writers.dead()
assert other._written.writers.others_live()
other.close()
backend.close()
"""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", script, str(tmp_path / "home"), layout, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_clock_never_steps_back(opened: Opener) -> None:
    """P6: the wall is set back an hour, forward, back; appends of all handles keep the order they were made in."""
    wall = [1_700_000_000_000_000]
    handles = []
    for number, step in enumerate((0, -3_600_000_000, 7_200_000_000, -9_000_000_000)):
        wall[0] += step
        handles.append(opened(wall=lambda: wall[0]))
        for handle in handles:
            put(handle, f"run-{number}", f"{number}".encode())
            put(handle, f"run-{number}-{len(handles)}", f"{number}".encode())
    last = opened(wall=lambda: 5)
    put(last, "run-0", b"4")
    sequence(last)
    placed = last.placed(after=0, limit=100)
    times = [entry.receipt.at_us for entry in placed]
    assert times == sorted(times)
    assert bodies(timeline(last)) == sorted(bodies(timeline(last)), key=lambda body: body or b"")
    assert 0 < times[0] < 2**52


def test_the_clock_starts_behind_the_last_receipt(opened: Opener, tmp_path: Path) -> None:
    """P6: also after a reboot with a clock that was set back, when the doorbell knows nothing."""
    first = opened(wall=lambda: 2_000_000_000_000_000)
    put(first, "run-1", b"a")
    sequence(first)
    first.close()
    bell = tmp_path / "home/doorbell"
    bell.write_bytes(bell.read_bytes()[:8] + bytes(16) + bell.read_bytes()[24:])
    second = opened(wall=lambda: 1_000_000_000_000_000)
    put(second, "run-2", b"b")
    sequence(second)
    one, two = second.placed(after=0, limit=9)
    assert one.receipt.at_us < two.receipt.at_us


def test_tokens_never_come_back(tmp_path: Path) -> None:
    """The ABA of a doorbell: settled at one ring, rung twice more, a slot must not show the settled token again."""
    seen: set[bytes] = set()
    for _ in range(20):
        bell = Doorbell(tmp_path / "bell", last_us=lambda: 0, slots=list)
        for _ in range(200):
            bell.ring(1)
            token = bell.read()[SLOT : 2 * SLOT]
            assert token not in seen
            assert 0 < int.from_bytes(token, "little") < 2**63, "SQLite must be able to keep it"
            seen.add(token)
        bell.close()


def test_a_slow_ring_is_news(opened: Opener) -> None:
    """P5: a writer committed long ago and rings only now, after others have rung and all was settled."""
    slow, quick = opened(), opened()
    put(slow, "run-1", b"a")
    put(quick, "run-1", b"b")
    assert sequence(quick) == 2
    writing = slow._written
    assert writing is not None
    really, writing.bell.ring = writing.bell.ring, lambda slot: None  # type: ignore[method-assign]
    put(slow, "run-1", b"c")
    assert sequence(quick) == 2, "nobody has told"
    writing.bell.ring = really  # type: ignore[method-assign]
    writing.bell.ring(0)
    assert sequence(quick) == 3


def test_a_dead_writer_is_found(opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P5: killed between its commit and its ring; whoever has the log open looks into all open shards for it."""
    monkeypatch.setattr("foldlog.backends.sqlite.look.DEATHS_EVERY_S", 0.0)
    stays = opened()
    put(stays, "run-1", b"a")
    assert sequence(stays) == 1
    dying = SqliteBackend(tmp_path / "home")
    put(dying, "run-1", b"b")
    assert sequence(stays) == 2
    writing = dying._written
    assert writing is not None
    monkeypatch.setattr(writing.bell, "ring", lambda slot: None)
    put(dying, "run-1", b"c")
    assert sequence(stays) == 2
    (path, handle), writing.writers._mine = writing.writers._mine, None  # type: ignore[misc,assignment]
    os.close(handle)  # what a kill does: the lock goes, the file stays
    assert sequence(stays) == 3
    assert not path.exists()
    dying.close()


def test_writers_tell_the_dead_from_the_living(tmp_path: Path) -> None:
    one, two = Writers(tmp_path / "writers"), Writers(tmp_path / "writers")
    assert (one.dead(), one.others_live()) == ([], False)
    one.join()
    one.join()
    assert (two.dead(), two.others_live(), one.others_live()) == ([], True, False)
    one.leave()
    assert (two.dead(), two.others_live()) == ([], False)
    assert list((tmp_path / "writers").iterdir()) == []


def test_after_a_reboot_all_open_shards_are_looked_into(opened: Opener, tmp_path: Path, connects: list[str]) -> None:
    """log-protocols 12: the doorbell is not durable; another boot id means that nothing in it counts."""
    backend = opened()
    for number in range(5):
        put(backend, f"run-{number}", b"x")
    sequence(backend)
    put(backend, "run-3", b"late")
    backend.close()
    bell = tmp_path / "home/doorbell"
    data = bytearray(bell.read_bytes())
    assert data[8:24] == boot_id()
    data[8:24] = b"an earlier boot "
    data[64:] = bytes(len(data) - 64)  # what was rung last never reached the disk
    bell.write_bytes(data)
    assert sequence(opened()) == 6
