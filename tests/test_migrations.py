"""Upgrades of logs that the release of format 1 wrote (golden/format1/): whole, killed, at once, under writers."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from click.testing import CliRunner
from format1_programs import MysqlProgram, PostgresProgram, SqlitePlacer, at_work, link, mysql_connection
from golden_logs import answers, rows_of

import foldlog
from foldlog import Event, events, migrations
from foldlog.backends.sqlite.schema import ORDER_TABLES
from foldlog.engine.cli.main import cli
from foldlog.engine.errors import CorruptLogError, FoldlogError, ReadOnlyError, UsageError
from foldlog.engine.log.port import CanRepair
from foldlog.migrations import registry, running
from foldlog.migrations.place import place_of
from foldlog.migrations.work import Work

GOLDEN = Path(__file__).parent / "golden/format1"
SAID = json.loads((GOLDEN / "answers.json").read_text(encoding="utf-8"))
RECEIPTS = len(SAID["sharded"]["as it lies"]["placed"])
MANY = 20_000
MILLION = 1_000_000


class Golden:
    """A golden log in a place of its own."""

    def __init__(self, name: str, url: str, restore: Callable[[], None]) -> None:
        self.name = name
        self.url = url
        self.restore = restore  #: back to how it was made
        self.said = SAID["postgres" if name == "mysql" else name]
        restore()


@pytest.fixture(params=["sharded", "consolidated", "postgres", "mysql"])
def golden(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Golden]:
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        yield Golden("postgres", url, lambda: load_postgres(url))
    elif request.param == "mysql":
        url = request.getfixturevalue("mysql_url")
        yield Golden("mysql", url, lambda: load_mysql(url))
    else:
        layout = "?layout=consolidated" if request.param == "consolidated" else ""
        home = tmp_path / request.param
        yield Golden(request.param, f"sqlite:///{home}{layout}", lambda: unpack(request.param, home))


@pytest.fixture
def home(tmp_path: Path) -> str:
    """URL of the golden log in a sharded home."""
    unpack("sharded", tmp_path / "home")
    return f"sqlite:///{tmp_path}/home"


def unpack(name: str, home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with tarfile.open(GOLDEN / f"{name}.tar.gz") as archive:
        archive.extractall(home, filter="data")


def load_postgres(url: str) -> None:
    with closing(psycopg2.connect(url)) as db, db, db.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS foldlog CASCADE")
        cursor.execute((GOLDEN / "postgres.sql").read_text(encoding="utf-8"))


def load_mysql(url: str) -> None:
    """The golden log of PostgreSQL in the tables that the first revision makes on MySQL."""
    with closing(mysql_connection(url)) as db, db.cursor() as cursor:
        cursor.execute("SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = DATABASE()")
        for name, kind in cursor.fetchall():
            cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} `{name}`")
        chained_to(url, "0001")
        cursor.execute("DROP TABLE alembic_version")  # as if its program had made it
        cursor.execute("DELETE FROM log")
        cursor.execute("DELETE FROM epoch")
        for table, rows in rows_of((GOLDEN / "postgres.sql").read_text(encoding="utf-8")).items():
            if table in ("log", "event", "timeline"):
                at = {"log": 3, "event": 7, "timeline": 5}[table]
                rows = [[*row[:at], row[at] and UUID(row[at]).bytes, *row[at + 1 :]] for row in rows]
            if table == "event":
                rows = [[*row, row[7] if row[8] else None] for row in rows]  # the key that a caller gave
            cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(rows[0]))})", rows)


def chained_to(url: str, revision: str = "head") -> None:
    """Run the chain from where alembic's table says."""
    place = place_of(url)
    with place.writing() as connection:
        running.chain(Work(place, connection), revision)


def faults(url: str) -> list[str]:
    with foldlog.open_log(url) as log:
        assert isinstance(log.backend, CanRepair)
        return log.backend.diagnose(full=True)


# -- a log of format 1 ------------------------------------------------------------------------------------------------


def test_an_upgraded_log_says_what_it_said_before(golden: Golden) -> None:
    done = migrations.upgrade(golden.url)
    assert (done.before.format, done.after.format, done.summed, done.doubtful) == (1, 2, RECEIPTS, ())
    assert answers(golden.url) == golden.said
    assert faults(golden.url) == []


def test_cursors_of_before_go_on(golden: Golden) -> None:
    migrations.upgrade(golden.url)
    with foldlog.open_log(golden.url) as log:
        for cursor in golden.said["as it lies"]["cursors"]:
            page = log.read(after=cursor, limit=10_000)
            assert page.cursor.position == golden.said["caught up"]["head"][2]


def test_an_upgraded_log_takes_appends_and_deletions(golden: Golden) -> None:
    migrations.upgrade(golden.url)
    with foldlog.Instance.from_url(golden.url) as instance:
        for shard in ("run-open", "run-sealed", "run-new", "@ticks"):
            instance.log.append(shard, [Event.now(events.LogMessage(text="of format 2"))], wait="ordered")
        for shard in ("run-gone", "run-gone-but-for-assets"):
            with pytest.raises(foldlog.ShardPurged):
                instance.log.append(shard, [Event.now(events.LogMessage(text="late"))])
        instance.delete_run("run-failed")
        assert instance.verify().ok
    assert faults(golden.url) == []
    assert migrations.status(golden.url).unsummed == 0


@pytest.mark.parametrize("read_only", [False, True])
def test_a_program_of_this_release_refuses_an_older_log(golden: Golden, read_only: bool) -> None:
    with pytest.raises(UsageError, match="format 1") as caught:
        foldlog.open_log(golden.url, read_only=read_only)
    assert "foldlog migrate upgrade" in caught.value.remedy


def test_a_log_of_a_newer_release_is_refused(golden: Golden) -> None:
    migrations.upgrade(golden.url)
    place = place_of(golden.url)
    with place.writing() as connection:
        place.set_format(Work(place, connection), 3)
    for refused in (foldlog.open_log, migrations.status, migrations.upgrade):
        with pytest.raises(FoldlogError, match="format 3") as caught:
            refused(golden.url)
        assert caught.value.remedy.startswith("Install")


def test_a_second_upgrade_finds_nothing(golden: Golden) -> None:
    first = migrations.upgrade(golden.url)
    assert first.after.up_to_date
    again = migrations.upgrade(golden.url)
    assert (again.before, again.after, again.summed) == (first.after, first.after, 0)


def test_a_new_log_needs_no_upgrade(tmp_path: Path, postgres_url: str, mysql_url: str) -> None:
    for url in (f"sqlite:///{tmp_path}/a", f"sqlite:///{tmp_path}/b?layout=consolidated", postgres_url, mysql_url):
        foldlog.open_log(url).close()
        assert migrations.status(url).up_to_date
        assert migrations.upgrade(url).after.up_to_date
        foldlog.open_log(url).close()


# -- it never writes --------------------------------------------------------------------------------------------------


def test_status_never_writes(golden: Golden, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    before = contents(golden, tmp_path)
    found = migrations.status(golden.url)
    assert (found.format, found.revision, found.recorded, found.unsummed) == (1, "0001", None, RECEIPTS)
    assert [one[:4] for one in found.pending] == ["0002"]
    assert not found.up_to_date
    assert contents(golden, tmp_path) == before


def contents(golden: Golden, tmp_path: Path) -> Any:
    """All there is: the bytes of files, the catalog and the rows of a database."""
    if golden.name == "postgres":
        with closing(psycopg2.connect(golden.url)) as db, db, db.cursor() as cursor:
            cursor.execute(
                "SELECT c.oid, c.relname, c.relfilenode, pg_relation_size(c.oid), a.attname, a.xmin::text "
                "FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid "
                "WHERE c.relnamespace = 'foldlog'::regnamespace ORDER BY 1, 5"
            )
            return cursor.fetchall()
    # Reading a file in WAL mode makes shared memory, and an empty WAL, beside it.
    if golden.name == "mysql":
        with closing(mysql_connection(golden.url)) as sql, sql.cursor() as cursor:
            cursor.execute(
                "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"
            )
            names = [name for (name,) in cursor.fetchall()]
            return {name: mysql_table(cursor, name) for name in names}
    files = [path for path in (tmp_path / golden.name).rglob("*") if path.is_file() and not path.name.endswith("-shm")]
    files = [path for path in files if path.stat().st_size or not path.name.endswith("-wal")]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def mysql_table(cursor: Any, name: str) -> tuple[Any, ...]:
    """How a table was made, and what is in it."""
    cursor.execute(f"SHOW CREATE TABLE `{name}`")
    made = cursor.fetchone()
    cursor.execute(f"CHECKSUM TABLE `{name}`")
    return made, cursor.fetchone()


def test_status_needs_no_right_to_write(postgres_url: str) -> None:
    load_postgres(postgres_url)
    with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
        name = f"reader_{random.randrange(10**9)}"
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
        cursor.execute(f"GRANT USAGE ON SCHEMA foldlog TO {name}")
        cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA foldlog TO {name}")
    reader = as_role(postgres_url, name)
    try:
        assert migrations.status(reader).pending
        with pytest.raises(ReadOnlyError):
            migrations.upgrade(reader)
        assert migrations.status(postgres_url).format == 1
        migrations.upgrade(postgres_url)
        with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
            cursor.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA foldlog TO {name}")
        assert migrations.status(reader).up_to_date
    finally:
        with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
            cursor.execute(f"DROP OWNED BY {name}")
            cursor.execute(f"DROP ROLE {name}")


def test_status_needs_no_right_to_write_on_mysql(mysql_url: str) -> None:
    load_mysql(mysql_url)
    name = f"reader_{random.randrange(10**9)}"
    with closing(mysql_connection(mysql_url)) as db, db.cursor() as cursor:
        cursor.execute(f"CREATE USER {name} IDENTIFIED BY 'secret'")
        try:
            cursor.execute("SELECT DATABASE()")
            cursor.execute(f"GRANT SELECT ON `{cursor.fetchone()[0]}`.* TO {name}")  # type: ignore[index]
            reader = as_role(mysql_url, name)
            assert migrations.status(reader).pending
            with pytest.raises(ReadOnlyError):
                migrations.upgrade(reader)
            migrations.upgrade(mysql_url)
            assert migrations.status(reader).up_to_date
        finally:
            cursor.execute(f"DROP USER {name}")


def as_role(url: str, name: str) -> str:
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{name}:secret@{rest.rpartition('@')[2]}"


# -- killed, and at once ----------------------------------------------------------------------------------------------


UPGRADE = """
import os, signal, sys
from foldlog import migrations
from foldlog.migrations.work import Work

url, last = sys.argv[1], int(sys.argv[2])
done = 0

def die(self, name):
    global done
    done += 1
    if done == last:
        os.kill(os.getpid(), signal.SIGKILL)

Work.done = die
sys.stdin.readline()
print(migrations.upgrade(url).summed)
"""


def upgrading(url: str, *, killed_at: int = 0) -> subprocess.Popen[str]:
    """A process that upgrades, once it is told to; killed after so many steps, if it comes that far."""
    command = [sys.executable, "-P", "-c", UPGRADE, url, str(killed_at)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def killed_at(url: str, number: int) -> bool:
    """Upgrade in a process that is killed after so many steps; whether it came that far."""
    with upgrading(url, killed_at=number) as child:
        child.communicate("go\n", timeout=60)
    assert child.returncode in (0, -signal.SIGKILL)
    return child.returncode != 0


class Cut(BaseException):
    """Ends an upgrade where a test wants it to end."""


def cut_at(url: str, number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Upgrade, and end after so many steps; whether it came that far."""
    names: list[str] = []

    def end(self: Work, name: str) -> None:
        names.append(name)
        if len(names) == number:
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(Work, "done", end)
        try:
            migrations.upgrade(url)
        except Cut:
            return True
    return False


def test_ended_after_any_step_the_same_command_completes_it(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    number = 1
    while cut_at(golden.url, number, monkeypatch):
        assert not migrations.status(golden.url).up_to_date
        migrations.upgrade(golden.url)
        assert migrations.status(golden.url).up_to_date
        assert migrations.status(golden.url).format == 2
        if number % 3 == 1:
            assert answers(golden.url) == golden.said
        golden.restore()
        number += 1
    assert number > 3, "there are fewer steps than were thought"


def test_killed_at_every_step_in_turn(golden: Golden) -> None:
    """By the system, without a word; each try gets one step further than the one before."""
    number = 1
    while killed_at(golden.url, number):
        number += 1
    assert migrations.status(golden.url).up_to_date
    assert answers(golden.url) == golden.said


def test_several_processes_at_once(golden: Golden) -> None:
    number = 3 if golden.name == "consolidated" else 8
    children = [upgrading(golden.url) for _ in range(number)]
    time.sleep(1)  # all have loaded what they need
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    found = [child.communicate(timeout=60)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * number
    assert sorted(found) == ["0"] * (number - 1) + [str(RECEIPTS)]
    assert answers(golden.url) == golden.said


def test_behind_a_proxy_that_pools_connections(pgbouncer: Any) -> None:
    """A lock of a session, or a setting of one, would go to whoever gets the connection next."""
    load_postgres(pgbouncer.direct)
    children = [upgrading(pgbouncer.url) for _ in range(3)]
    found = [child.communicate("go\n", timeout=60)[0].strip() for child in children]
    assert sorted(found) == ["0", "0", str(RECEIPTS)]
    assert migrations.status(pgbouncer.url).up_to_date
    assert answers(pgbouncer.direct) == SAID["postgres"]


def test_who_waits_is_told(golden: Golden) -> None:
    told: list[str] = []
    holding, release = threading.Event(), threading.Event()

    def hold() -> None:
        with place_of(golden.url).alone(told.append):
            holding.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert holding.wait(30)
    threading.Timer(0.5, release.set).start()
    done = migrations.upgrade(golden.url, waiting=told.append)
    holder.join(30)
    assert done.summed == RECEIPTS
    assert len(told) == 1
    assert "another process" in told[0]


# -- under programs of the old release --------------------------------------------------------------------------------


def test_old_programs_go_on_while_their_log_is_upgraded(golden: Golden, tmp_path: Path) -> None:
    with at_work(*old_programs(golden, tmp_path)) as placed:
        before = sum(placed)
        for _ in range(3):
            migrations.upgrade(golden.url)
            time.sleep(0.1)
        now = list(placed)
        assert sum(now) > before
        end = time.monotonic() + 30
        while not all(later > then for later, then in zip(placed, now, strict=True)):
            assert time.monotonic() < end, "an old program does not get on"
            time.sleep(0.05)
    # What they have placed since has no checksum, and is taken as it is until the next upgrade.
    assert faults(golden.url) == []
    left = migrations.status(golden.url).unsummed
    assert left > 0
    assert migrations.upgrade(golden.url).summed == left
    assert migrations.status(golden.url).up_to_date
    assert faults(golden.url) == []
    with foldlog.open_log(golden.url) as log:
        page = log.read(limit=10_000, types=["ASSET_MATERIALIZATION"])
        assert len(page.events) >= 10


def old_programs(golden: Golden, tmp_path: Path) -> list[Callable[[], Any]]:
    if golden.name in ("postgres", "mysql"):
        kind = PostgresProgram if golden.name == "postgres" else MysqlProgram
        return [lambda: kind(golden.url, "run-old-1"), lambda: kind(golden.url, "run-old-2")]
    order = tmp_path / golden.name / ("log.db" if golden.name == "consolidated" else "order.db")
    return [lambda: SqlitePlacer(order), lambda: SqlitePlacer(order)]


@pytest.mark.parametrize("golden", ["postgres", "mysql"], indirect=True)
def test_a_long_reader_holds_nobody_up(golden: Golden) -> None:
    """A change of a table waits for a reader of it, and everybody else behind that: not for long, therefore."""
    on_postgres = golden.name == "postgres"
    program: Any = (PostgresProgram if on_postgres else MysqlProgram)(golden.url)
    with closing(psycopg2.connect(golden.url) if on_postgres else mysql_connection(golden.url)) as reader:
        with reader.cursor() as cursor:
            if not on_postgres:
                cursor.execute("START TRANSACTION READ ONLY")
            cursor.execute(f"SELECT count(*) FROM {'foldlog.' if on_postgres else ''}timeline")  # and stays open
        told: list[str] = []
        upgrade = threading.Thread(target=lambda: migrations.upgrade(golden.url, waiting=told.append))
        upgrade.start()
        with closing(program):
            longest, end = 0.0, time.monotonic() + 3
            while time.monotonic() < end or not told:
                assert time.monotonic() < end + 30
                began = time.monotonic()
                program.turn()
                longest = max(longest, time.monotonic() - began)
            assert upgrade.is_alive()
            reader.rollback()
            upgrade.join(60)
    assert longest < 4, "writers wait behind the upgrade"
    assert len(told) == 1
    assert "others hold the tables" in told[0]
    assert migrations.status(golden.url).format == 2


def test_what_was_fenced_or_deleted_gets_its_guard(postgres_url: str) -> None:
    """A deletion that was begun by the old release is completed by this one, and lets nothing in meanwhile."""
    load_postgres(postgres_url)
    with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
        cursor.execute("UPDATE foldlog.shard SET state = 2 WHERE name = 'run-failed'")
    migrations.upgrade(postgres_url)
    with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
        cursor.execute(
            "SELECT s.name, s.fence_seq - s.ordered_seq, e.type, e.crc, e.at_us FROM foldlog.shard s "
            "JOIN foldlog.event e ON e.shard_id = s.shard_id AND e.seq = s.fence_seq ORDER BY 1"
        )
        assert cursor.fetchall() == [
            (name, 1, "", 0, None) for name in ("run-failed", "run-gone", "run-gone-but-for-assets")
        ]
        # An old program cannot fence without a guard any more: this one's appends look for guards alone.
        with pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute("UPDATE foldlog.shard SET state = 2 WHERE name = 'run-open'")
    with foldlog.Instance.from_url(postgres_url) as instance:
        with pytest.raises(foldlog.ShardPurged):
            instance.log.append("run-failed", [Event.now(events.LogMessage(text="late"))])
        instance.delete_run("run-failed")
        assert instance.verify().ok
    assert faults(postgres_url) == []


# -- damage -----------------------------------------------------------------------------------------------------------


def test_damage_of_before_is_not_made_good(home: str, tmp_path: Path) -> None:
    """A checksum over a damaged row would hide the damage for ever."""
    with closing(sqlite3.connect(tmp_path / "home/order.db")) as db, db:
        (position,) = db.execute("SELECT position FROM timeline ORDER BY position LIMIT 1 OFFSET 20").fetchone()
        db.execute("UPDATE timeline SET digest = zeroblob(16) WHERE position = ?", (position,))
    done = migrations.upgrade(home)
    assert done.doubtful == (position,)
    assert done.summed == RECEIPTS - 1
    assert migrations.upgrade(home).doubtful == (position,)
    with foldlog.open_log(home) as log:
        assert any(f"position {position}" in fault or "not the one" in fault for fault in faults(home))
        assert log.backend.placed(after=0, limit=10_000)
    told = CliRunner().invoke(cli, ["migrate", "upgrade", "--url", home])
    assert told.exit_code == 3
    assert str(position) in told.output


@pytest.mark.parametrize(
    "change",
    ["first_seq = first_seq + 1", "count = count + 1", "at_us = 0", "key = zeroblob(16)", "digest = zeroblob(16)",
     "chain = zeroblob(16)", "digest = 7", "at_us = 'x'", "shard = (SELECT max(id) FROM place)"],
)  # fmt: skip
def test_a_damaged_receipt_is_found_where_it_is_read(home: str, tmp_path: Path, change: str) -> None:
    migrations.upgrade(home)
    with closing(sqlite3.connect(tmp_path / "home/order.db")) as db, db:
        db.execute("DROP INDEX timeline_shard")
        row = "SELECT max(position) FROM timeline WHERE shard = (SELECT id FROM place WHERE name = 'run-gone')"
        (position,) = db.execute(row).fetchone()
        db.execute(f"UPDATE timeline SET {change} WHERE position = {position}")
        db.execute("CREATE UNIQUE INDEX timeline_shard ON timeline (shard, first_seq)")
    with foldlog.open_log(home, read_only=True) as log, pytest.raises(CorruptLogError, match=f"position {position}"):
        log.backend.placed(after=0, limit=10_000)
    with foldlog.open_log(home) as log:
        assert isinstance(log.backend, CanRepair)
        assert any(f"position {position}" in fault for fault in log.backend.diagnose(full=True))


def test_a_copy_keeps_its_checksums(home: str, tmp_path: Path) -> None:
    migrations.upgrade(home)
    with foldlog.open_log(home) as log:
        log.backup(tmp_path / "copy")
    copy = f"sqlite:///{tmp_path}/copy"
    assert migrations.status(copy).up_to_date
    assert faults(copy) == []


def test_an_order_made_anew_has_checksums(home: str, tmp_path: Path) -> None:
    migrations.upgrade(home)
    for path in (tmp_path / "home").glob("order.db*"):
        path.unlink()
    done = CliRunner().invoke(cli, ["doctor", "--rebuild-order", "--url", home])
    assert done.exit_code == 0, done.output
    found = migrations.status(home)
    assert (found.format, found.recorded, found.unsummed, found.up_to_date) == (2, None, 0, True)
    assert faults(home) == []


def test_an_older_order_is_upgraded_when_it_is_put_back(home: str, tmp_path: Path) -> None:
    """As from a copy of before the upgrade: nothing that was written since is lost."""
    kept = {path.name: path.read_bytes() for path in (tmp_path / "home").glob("order.db*") if "shm" not in path.name}
    migrations.upgrade(home)
    with foldlog.open_log(home) as log:
        log.append("run-of-format-2", [Event.now(events.RunCreated(job_name="nightly-load"))], wait="ordered")
    for path in (tmp_path / "home").glob("order.db*"):
        path.unlink()
    for name, content in kept.items():
        (tmp_path / "home" / name).write_bytes(content)
    with pytest.raises(UsageError, match="format 1"):
        foldlog.open_log(home)
    assert migrations.upgrade(home).summed == RECEIPTS
    done = CliRunner().invoke(cli, ["doctor", "--adopt", "--url", home])
    assert done.exit_code == 0, done.output
    assert faults(home) == []
    with foldlog.open_log(home) as log:
        assert log.read_shard("run-of-format-2").records[0].position is not None


# -- migrated is as new -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["sharded", "consolidated"])
def test_a_migrated_home_is_as_a_new_one(layout: str, tmp_path: Path) -> None:
    option = "" if layout == "sharded" else "?layout=consolidated"
    unpack(layout, tmp_path / "old")
    migrations.upgrade(f"sqlite:///{tmp_path}/old{option}")
    foldlog.open_log(f"sqlite:///{tmp_path}/new{option}").close()
    name = "order.db" if layout == "sharded" else "log.db"
    assert sqlite_shape(tmp_path / "old" / name) == sqlite_shape(tmp_path / "new" / name)


def test_the_chain_makes_the_tables_of_sqlite_from_nothing(tmp_path: Path) -> None:
    from foldlog.migrations.on_sqlite import SqlitePlace

    foldlog.open_log(f"sqlite:///{tmp_path}/new").close()
    (tmp_path / "chain").mkdir()
    with closing(sqlite3.connect(tmp_path / "chain/order.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
    place = SqlitePlace(tmp_path / "chain", None)
    with place.writing() as connection:
        running.chain(Work(place, connection))
    assert sqlite_shape(tmp_path / "chain/order.db") == sqlite_shape(tmp_path / "new/order.db")
    with foldlog.open_log(f"sqlite:///{tmp_path}/chain") as log:
        log.append("run-1", [Event.now(events.RunStarted())], wait="ordered")
    assert faults(f"sqlite:///{tmp_path}/chain") == []


def sqlite_shape(path: Path) -> Any:
    pragmas = ("application_id", "user_version", "auto_vacuum", "journal_mode", "encoding", "page_size")
    with closing(sqlite3.connect(path)) as db:
        tables = db.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
        kept = [row for row in tables if "alembic_version" not in (row[1], row[2])]
        return kept, [db.execute(f"PRAGMA {name}").fetchone() for name in pragmas]


def test_a_migrated_schema_is_as_a_new_one(postgres_url: str) -> None:
    load_postgres(postgres_url)
    migrations.upgrade(postgres_url)
    new, chained = f"{postgres_url}?schema=new", f"{postgres_url}?schema=chained"
    foldlog.open_log(new).close()
    with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
        cursor.execute("CREATE SCHEMA chained")
    chained_to(chained)
    shapes = {name: postgres_shape(postgres_url, name) for name in ("foldlog", "chained", "new")}
    for part in shapes["new"]:
        assert shapes["foldlog"][part] == shapes["new"][part], part
        assert shapes["chained"][part] == shapes["new"][part], part
    with foldlog.open_log(chained) as log:
        log.append("run-1", [Event.now(events.RunStarted())], wait="ordered")
    assert faults(chained) == []


POSTGRES_SHAPE = {
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            coalesce(o.collname, ''), coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.attstorage
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_collation o ON o.oid = a.attcollation
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
        AND c.relname <> 'alembic_version'""",
    "tables": """
        SELECT c.relname, c.relkind, coalesce(c.reloptions::text, ''), c.relpersistence FROM pg_class c
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relname NOT LIKE 'alembic_version%%'""",
    "indexes": """
        SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = %(schema)s::regnamespace AND c.relname NOT LIKE 'alembic_version%%'""",
    "constraints": """
        SELECT t.relname, c.conname, c.contype, c.convalidated, pg_get_constraintdef(c.oid) FROM pg_constraint c
        JOIN pg_class t ON t.oid = c.conrelid
        WHERE c.connamespace = %(schema)s::regnamespace AND t.relname <> 'alembic_version'""",
    "functions": """
        SELECT p.proname, pg_get_functiondef(p.oid) FROM pg_proc p WHERE p.pronamespace = %(schema)s::regnamespace""",
    "gate": "SELECT g.one, g.state, g.note FROM {schema}.gate g",
    "log": "SELECT l.one, l.program, l.format FROM {schema}.log l",
}


def postgres_shape(url: str, schema: str) -> dict[str, list[Any]]:
    found = {}
    with closing(psycopg2.connect(url)) as db, db, db.cursor() as cursor:
        for part, sql in POSTGRES_SHAPE.items():
            cursor.execute(sql.replace("{schema}", schema), {"schema": schema})
            rows = [
                tuple(str(one).replace(f'"{schema}".', "").replace(f"{schema}.", "") for one in row)
                for row in cursor.fetchall()
            ]
            found[part] = sorted(rows)
    return found


def _unqualified(value: Any, schema: str) -> str:
    return str(value).replace(f'"{schema}".', "").replace(f"{schema}.", "")


def test_a_migrated_database_is_as_a_new_one(mysql_url: str) -> None:
    foldlog.open_log(mysql_url).close()
    new = mysql_shape(mysql_url)
    load_mysql(mysql_url)
    migrations.upgrade(mysql_url)
    found = mysql_shape(mysql_url)
    for part in new:
        assert found[part] == new[part], part


MYSQL_SHAPE = {
    "tables": """
        SELECT table_name, engine, row_format, table_collation FROM information_schema.tables
        WHERE table_schema = DATABASE()""",
    "columns": """
        SELECT table_name, column_name, column_type, is_nullable, column_default, extra, collation_name
        FROM information_schema.columns WHERE table_schema = DATABASE()""",
    "indexes": """
        SELECT table_name, index_name, seq_in_index, column_name, non_unique, sub_part, index_type
        FROM information_schema.statistics WHERE table_schema = DATABASE()""",
    "checks": """
        SELECT t.table_name, c.constraint_name, c.check_clause FROM information_schema.check_constraints c
        JOIN information_schema.table_constraints t ON t.constraint_schema = c.constraint_schema
            AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK'
        WHERE c.constraint_schema = DATABASE()""",
    "routines": """
        SELECT routine_name, routine_definition FROM information_schema.routines WHERE routine_schema = DATABASE()""",
    "gate": "SELECT 'gate', one, state, note FROM gate",
    "log": "SELECT 'log', one, program, format FROM log",
}


def mysql_shape(url: str) -> dict[str, list[Any]]:
    with closing(mysql_connection(url)) as db, db.cursor() as cursor:
        found = {}
        for part, sql in MYSQL_SHAPE.items():
            cursor.execute(sql)
            rows = [row for row in cursor.fetchall() if row[0] != "alembic_version"]
            found[part] = sorted(tuple(map(str, row)) for row in rows)
    return found


# -- many rows --------------------------------------------------------------------------------------------------------


def many(home: Path, number: int) -> str:
    """A home of format 1 with so many receipts, of a run that was purged."""
    home.mkdir()
    tables = ORDER_TABLES.replace("CREATE TABLE timeline_crc (position INTEGER PRIMARY KEY, crc INTEGER NOT NULL);", "")
    with closing(sqlite3.connect(home / "order.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA application_id=0x666F6C64")
        db.execute("PRAGMA user_version=1")
        db.executescript(f"CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;{tables}")
        db.execute("INSERT INTO meta VALUES ('log_id', randomblob(16)), ('kind', 'order')")
        db.execute("INSERT INTO epoch VALUES (1, 0, zeroblob(16), 0, 'created')")
        db.execute("INSERT INTO place (name, state, ordered_seq) VALUES ('run-1', 'purged', ?)", (number,))
        db.execute("BEGIN")
        db.executemany("INSERT INTO timeline VALUES (?,1,?,1,?,?,?,?)", chained(number))
        db.execute("COMMIT")
    return f"sqlite:///{home}"


def chained(number: int) -> Iterator[tuple[Any, ...]]:
    """(position, first_seq, at_us, key, digest, chain) of receipts of one event each."""
    chain = bytes(16)
    for position in range(1, number + 1):
        digest = position.to_bytes(16, "big")
        chain = link(chain, "run-1", position, 1, position, digest)
        yield position, position, position, digest, digest, chain


def many_on_postgres(url: str, number: int) -> str:
    """The golden log with so many receipts before it took its course; they are all it has."""
    import io

    load_postgres(url)
    rows = io.StringIO()
    for position, first, at_us, key, digest, chain in chained(number):
        rows.write(f"{position}\t1\t{first}\t1\t{at_us}\t{key.hex()}\t\\\\x{digest.hex()}\t\\\\x{chain.hex()}\n")
    rows.seek(0)
    with closing(psycopg2.connect(url)) as db, db, db.cursor() as cursor:
        cursor.execute(
            "TRUNCATE foldlog.event, foldlog.news, foldlog.shard, foldlog.timeline, foldlog.timeline_type, foldlog.kept"
        )
        cursor.execute("DELETE FROM foldlog.epoch WHERE number > 1")
        cursor.execute(
            "INSERT INTO foldlog.shard (shard_id, name, state, ordered_seq) OVERRIDING SYSTEM VALUE "
            "VALUES (1, 'run-1', 3, %s)",
            (number,),
        )
        cursor.copy_expert(
            "COPY foldlog.timeline (position, shard_id, first_seq, count, at_us, key, digest, chain) FROM STDIN", rows
        )
        cursor.execute("UPDATE foldlog.log SET epoch = 1, position = %s, chain = %s", (number, chain))
    return url


def many_on_mysql(url: str, number: int) -> str:
    """The same on MySQL."""
    load_mysql(url)
    with closing(mysql_connection(url)) as db, db.cursor() as cursor:
        for table in ("event", "news", "shard", "timeline", "timeline_type", "kept"):
            cursor.execute(f"TRUNCATE TABLE {table}")
        cursor.execute("DELETE FROM epoch WHERE number > 1")
        cursor.execute("INSERT INTO shard VALUES (1, 'run-1', 3, %s)", (number,))
        sql = (
            "INSERT INTO timeline (position, first_seq, at_us, `key`, digest, chain, shard_id, count) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"  # the driver sends many rows at once if all are placeholders
        )
        rows, chain = chained(number), b""
        while page := list(itertools.islice(rows, 5000)):
            cursor.executemany(sql, [(*row, 1, 1) for row in page])
            chain = page[-1][-1]
        cursor.execute("UPDATE log SET epoch = 1, position = %s, chain = %s", (number, chain))
    return url


def rewrite(url: str, number: int, *programs: Callable[[], Any]) -> float:
    """Upgrade under old programs: how long it took. Checks every row."""
    seen: list[tuple[str, int, int]] = []
    with at_work(*programs) as placed:
        began = time.monotonic()
        done = migrations.upgrade(url, progress=lambda *at: seen.append(at))
        took = time.monotonic() - began
        assert sum(placed) > 0
    assert done.after.format == 2
    assert done.summed >= number
    assert seen[0][1] < seen[-1][1] >= number
    migrations.upgrade(url)
    assert migrations.status(url).up_to_date
    with foldlog.open_log(url, read_only=True) as log:
        position = 0
        while page := log.backend.placed(after=position, limit=10_000):
            assert page[0].position == position + 1
            position = page[-1].last_position
        assert position == log.head().position >= number
    return took


def test_twenty_thousand_receipts_under_writers(tmp_path: Path) -> None:
    url = many(tmp_path / "home", MANY)
    rewrite(url, MANY, lambda: SqlitePlacer(tmp_path / "home/order.db"))
    assert faults(url) == []


def test_twenty_thousand_receipts_under_writers_on_postgres(postgres_url: str) -> None:
    url = many_on_postgres(postgres_url, MANY)
    rewrite(url, MANY, lambda: PostgresProgram(url, "run-2"), lambda: PostgresProgram(url, "run-3"))
    assert faults(url) == []


def test_twenty_thousand_receipts_under_writers_on_mysql(mysql_url: str) -> None:
    url = many_on_mysql(mysql_url, MANY)
    rewrite(url, MANY, lambda: MysqlProgram(url, "run-2"), lambda: MysqlProgram(url, "run-3"))
    assert faults(url) == []


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_receipts_under_writers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = many(tmp_path / "home", MILLION)
    took = rewrite(url, MILLION, lambda: SqlitePlacer(tmp_path / "home/order.db"))
    with capsys.disabled():
        print(f"\nSQLite: a million receipts rewritten in {took:.0f} s")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_receipts_under_writers_on_postgres(postgres_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = many_on_postgres(postgres_url, MILLION)
    took = rewrite(url, MILLION, lambda: PostgresProgram(url, "run-2"), lambda: PostgresProgram(url, "run-3"))
    with capsys.disabled():
        print(f"\nPostgreSQL: a million receipts rewritten in {took:.0f} s")


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_million_receipts_under_writers_on_mysql(mysql_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    url = many_on_mysql(mysql_url, MILLION)
    took = rewrite(url, MILLION, lambda: MysqlProgram(url, "run-2"), lambda: MysqlProgram(url, "run-3"))
    with capsys.disabled():
        print(f"\nMySQL: a million receipts rewritten in {took:.0f} s")


# -- alembic's table, the views' registry -----------------------------------------------------------------------------


def test_stamp(golden: Golden) -> None:
    assert migrations.stamp(golden.url, "0001").recorded == "0001"
    with pytest.raises(UsageError, match="format 1") as caught:
        migrations.stamp(golden.url, "0002")
    assert "foldlog migrate upgrade" in caught.value.remedy
    with pytest.raises(UsageError, match="0001, 0002"):
        migrations.stamp(golden.url, "0009")
    migrations.upgrade(golden.url)
    back = migrations.stamp(golden.url, "0001")
    assert (back.format, back.revision, back.up_to_date) == (2, "0001", False)
    foldlog.open_log(golden.url).close()  # programs look at the format alone
    assert migrations.upgrade(golden.url).after.up_to_date
    assert answers(golden.url) == golden.said


def test_the_registry_of_views_gets_its_columns(golden: Golden, tmp_path: Path) -> None:
    make = "CREATE TABLE {0}foldlog_views (name VARCHAR(100) NOT NULL, version INTEGER NOT NULL)"
    if golden.name == "postgres":
        with closing(psycopg2.connect(golden.url)) as db, db, db.cursor() as cursor:
            cursor.execute(make.format("foldlog."))
    elif golden.name == "mysql":
        with closing(mysql_connection(golden.url)) as sql, sql.cursor() as cursor:
            cursor.execute(make.format(""))
    else:
        with closing(sqlite3.connect(tmp_path / golden.name / "views.db")) as db:
            db.execute(make.format(""))
    assert migrations.status(golden.url).views_lack == tuple(registry.LATER)
    assert migrations.upgrade(golden.url).after.views_lack == ()
    assert migrations.status(golden.url).up_to_date


def test_the_registry_is_the_projectors() -> None:
    from foldlog.engine.views.checkpoints import LATER, REGISTRY

    assert REGISTRY.name == registry.TABLE
    assert tuple(registry.LATER) == LATER
    kinds = {name: str(REGISTRY.c[name].type) for name in LATER}
    assert kinds == registry.LATER


# -- around it --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///nowhere", "there is no log at"),
        ("memory://", "nothing to upgrade"),
        ("nonsense", "no URL"),
        ("sqlite:nonsense", "write sqlite:///DIR"),
    ],
)
def test_what_cannot_be_upgraded(url: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for ask in (migrations.status, migrations.upgrade):
        with pytest.raises(UsageError, match=words):
            ask(url)
    assert list(tmp_path.iterdir()) == []


def test_a_database_without_a_log(postgres_url: str) -> None:
    for ask in (migrations.status, migrations.upgrade):
        with pytest.raises(UsageError, match="there is no log"):
            ask(postgres_url)
    with closing(psycopg2.connect(postgres_url)) as db, db, db.cursor() as cursor:
        cursor.execute("CREATE SCHEMA foldlog; CREATE TABLE foldlog.log (line text)")
    for ask in (migrations.status, migrations.upgrade):
        with pytest.raises(CorruptLogError, match="not foldlog's"):
            ask(postgres_url)


def test_the_command(home: str) -> None:
    def invoke(*args: str) -> Any:
        return CliRunner().invoke(cli, ["migrate", *args, "--url", home])

    found = invoke("status")
    assert found.exit_code == 3
    assert "0002 checksums" in found.output
    assert json.loads(invoke("status", "--json").stdout)["unsummed"] == RECEIPTS
    done = invoke("upgrade")
    assert done.exit_code == 0, done.output
    assert "format 1 to 2" in done.output
    assert f"{RECEIPTS} receipts" in done.output
    assert "nothing to do" in invoke("upgrade").output
    assert invoke("status").exit_code == 0
    assert json.loads(invoke("stamp", "0001", "--json").stdout)["recorded"] == "0001"
    assert json.loads(invoke("upgrade", "--json").stdout)["after"]["up_to_date"] is True
    nowhere = CliRunner().invoke(cli, ["migrate", "status", "--url", "sqlite:///nowhere"])
    assert nowhere.exit_code == 1
    assert "how a URL is written" in nowhere.output


def test_other_commands_tell_which_command_upgrades(home: str) -> None:
    for command in (["status"], ["runs"], ["tail"], ["doctor"]):
        done = CliRunner().invoke(cli, [*command, "--url", home])
        assert done.exit_code in (1, 3), done.output
        assert "foldlog migrate upgrade" in done.output


def test_opening_a_log_loads_no_alembic(tmp_path: Path) -> None:
    program = (
        "import sys, foldlog, foldlog.migrations; foldlog.open_log('sqlite:///history').close(); "
        "sys.exit(any(name.partition('.')[0] in ('alembic', 'mako') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path).returncode == 0


def test_alembic_by_itself_says_what_to_call(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", running.SCRIPTS)
    with pytest.raises(UsageError, match="without a log"):
        command.upgrade(config, "head")
