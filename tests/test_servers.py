"""The throwaway servers: started once, durable, gone at the end, and never silently absent."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import fsspec
import psycopg2
import pymysql
import pytest
import servers

TESTS = Path(__file__).parent
DATABASES = ("postgres", "mysql")
STORES = ("s3", "azure")
NOT_THERE = (psycopg2.OperationalError, pymysql.err.OperationalError)


def ask(url: str, question: str) -> object:
    """What the database answers: the first value of the first row."""
    mysql = url.startswith("mysql")
    connection = servers.kind_of("mysql").connect(url) if mysql else psycopg2.connect(url)
    with contextlib.closing(connection):
        if not mysql:
            connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0] if cursor.description else None


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """The name of a kind of database server."""
    return request.param


@pytest.fixture
def database_url(database: str, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{database}_url")


@pytest.fixture
def server_url(database: str, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{database}_server_url")


def started_session(tmp_path: Path, owner: int) -> Path:
    session = tmp_path / "session"
    session.mkdir()
    (session / "owner").write_text(str(owner))
    return session


TABLES = "SELECT count(*) FROM information_schema.tables WHERE table_schema IN ('public', '{}')"


def tables(url: str) -> object:
    return ask(url, TABLES.format(urlsplit(url).path[1:]))


def test_a_database_is_empty(database_url):
    assert tables(database_url) == 0
    ask(database_url, "CREATE TABLE left_over (n int)")  # the next test would find it
    assert tables(database_url) == 1


def test_the_next_database_is_another_one(database_url):
    assert tables(database_url) == 0


def test_writes_to_postgres_are_synced(postgres_url):
    assert ask(postgres_url, "SHOW fsync") == "on"
    assert ask(postgres_url, "SHOW synchronous_commit") == "on"


def test_writes_to_mysql_are_synced(mysql_url):
    assert ask(mysql_url, "SELECT @@innodb_flush_log_at_trx_commit") == 1
    assert ask(mysql_url, "SELECT @@innodb_doublewrite") in (1, "ON")


def test_an_open_transaction_does_not_keep_a_database(database, server_url):
    kind = servers.kind_of(database)
    with kind.fresh(server_url) as url:
        ask(url, "CREATE TABLE held (n int)")
        connection = kind.connect(url, autocommit=False) if database == "mysql" else psycopg2.connect(url)
        connection.cursor().execute("SELECT * FROM held")
    with pytest.raises(NOT_THERE):
        ask(url, "SELECT 1")
    with contextlib.suppress(*NOT_THERE):
        connection.close()


@pytest.fixture
def own_server(database: str, request: pytest.FixtureRequest) -> object:
    """A server of the test's own."""
    return request.getfixturevalue(f"{database}_server")


def test_a_killed_server_keeps_what_it_has_committed(own_server):
    ask(own_server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    own_server.kill()
    with pytest.raises(NOT_THERE):
        ask(own_server.url, "SELECT 1")
    own_server.start()
    assert ask(own_server.url, "SELECT n FROM kept") == 7
    own_server.stop()
    own_server.start()
    assert ask(own_server.url, "SELECT n FROM kept") == 7


def test_nobody_comes_in_without_the_password(own_server):
    parts = urlsplit(own_server.url)
    for who in (parts.username, "root", "postgres", "mysql", ""):
        with pytest.raises((*NOT_THERE, pymysql.err.InterfaceError)):
            ask(parts._replace(netloc=f"{who}:@{parts.hostname}:{parts.port}").geturl(), "SELECT 1")


@pytest.mark.usefixtures("server_url")
def test_a_server_ends_with_its_session_even_a_killed_one(database, tmp_path, monkeypatch):
    monkeypatch.delenv(servers.kind_of(database).URL_ENV, raising=False)
    if servers.kind_of(database).missing():
        pytest.skip("the tests use a server from elsewhere, and here is none to start")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as owner:
        session = started_session(tmp_path, owner.pid)
        url = servers.url(database, session)
        assert url == servers.url(database, session), "a second server was started"
        owner.kill()
    end = time.monotonic() + 30
    while session.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not session.exists()
    with pytest.raises(NOT_THERE):
        ask(url, "SELECT 1")


def test_a_server_from_elsewhere_is_used_as_it_is(database, tmp_path, monkeypatch):
    monkeypatch.setenv(servers.kind_of(database).URL_ENV, "scheme://user@somewhere/db")
    assert servers.url(database, started_session(tmp_path, os.getpid())) == "scheme://user@somewhere/db"


TAKERS = """
def test_it(postgres_url): pass
def test_before_it(pgbouncer): pass
def test_one_that_is_optional(azure_container): pass
"""


@pytest.mark.parametrize(("needed", "outcome"), [("1", "1 skipped, 2 errors"), ("0", "3 skipped")])
def test_a_missing_server_is_skipped_on_a_laptop_and_fails_in_ci(tmp_path, needed, outcome):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "servers").symlink_to(TESTS / "servers")
    (tmp_path / "test_it.py").write_text(TAKERS)
    hide = "from servers import azure, postgres; azure.missing = postgres.missing = lambda: 'it was hidden'"
    code = f"import sys, pytest; {hide}; sys.exit(pytest.main(['-ra', '-p', 'no:cacheprovider', 'test_it.py']))"
    gone = {"CI", "FOLDLOG_TEST_POSTGRES_URL", "FOLDLOG_TEST_AZURE_URL", "FOLDLOG_TEST_SESSION"}
    gone |= {"PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"}
    env = {name: value for name, value in os.environ.items() if name not in gone}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**env, "FOLDLOG_REQUIRE_SERVERS": needed, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "it was hidden" in done.stdout
    assert done.returncode == (1 if needed == "1" else 0)


LISTENS = {"postgres": "SHOW listen_addresses", "mysql": "SELECT @@bind_address"}


def test_the_server_answers_on_loopback_only(database, server_url):
    if servers.kind_of(database).URL_ENV in os.environ:
        pytest.skip("the tests use a server from elsewhere")
    assert urlsplit(server_url).hostname == "127.0.0.1"
    assert ask(server_url, LISTENS[database]) == "127.0.0.1"


def test_mysql_has_the_defaults_that_code_must_not_rely_on(mysql_url, mysql_server_url):
    if servers.kind_of("mysql").URL_ENV in os.environ:
        pytest.skip("the tests use a server from elsewhere")
    assert "_ci" in ask(mysql_url, "SELECT @@collation_database")
    assert ask(mysql_url, "SELECT 'a' = 'A'") == 1
    name = "tx_isolation" if "MariaDB" in ask(mysql_url, "SELECT version()") else "transaction_isolation"
    assert ask(mysql_url, f"SELECT @@{name}") == "REPEATABLE-READ"


def test_a_proxy_stands_before_the_same_database(pgbouncer):
    ask(pgbouncer.url, "CREATE TABLE proof (n int)")
    assert tables(pgbouncer.direct) == 1
    assert urlsplit(pgbouncer.url).port != urlsplit(pgbouncer.direct).port


def test_a_proxy_pools_by_transaction(pgbouncer):
    """What one client leaves in its session, another one finds: this is what code must be proof against."""
    with contextlib.closing(psycopg2.connect(pgbouncer.url)) as first:
        first.autocommit = True
        first.cursor().execute("SET lock_timeout = '123ms'")
        with contextlib.closing(psycopg2.connect(pgbouncer.url)) as second:
            second.autocommit = True
            with second.cursor() as cursor:
                cursor.execute("SHOW lock_timeout")
                assert cursor.fetchone() == ("123ms",)


@pytest.fixture(params=STORES)
def store_kind(request: pytest.FixtureRequest) -> Any:
    """A kind of server for objects."""
    request.getfixturevalue(f"{request.param}_server_url")  # or the test is skipped
    return servers.kind_of(request.param)


@pytest.fixture
def room(store_kind: Any, request: pytest.FixtureRequest) -> Any:
    """An empty bucket or container."""
    return request.getfixturevalue({"s3": "s3_bucket", "azure": "azure_container"}[store_kind.__name__.split(".")[-1]])


def opened(room: Any) -> Any:
    return fsspec.filesystem(urlsplit(room.url).scheme, **room.options, use_listings_cache=False)


def created(store: Any, url: str, data: bytes) -> bool:
    """Whether the object was made; False if there was one."""
    try:
        store.pipe_file(url, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:  # radosgw does not name the condition that was not met
        if getattr(error.__cause__, "response", {}).get("Error", {}).get("Code") != "PreconditionFailed":
            raise
        return False
    return True


def test_a_bucket_is_empty_whole_and_removed(store_kind, request):
    url = request.getfixturevalue(f"{store_kind.__name__.split('.')[-1]}_server_url")
    with store_kind.fresh(url) as room:
        store = opened(room)
        assert store.find(room.url) == []
        assert created(store, f"{room.url}/a", b"1")
        assert not created(store, f"{room.url}/a", b"2")  # what the server must be able to refuse
        assert store.cat_file(f"{room.url}/a") == b"1"
        store.pipe({f"{room.url}/more/{number}": b"x" for number in range(20)})
    with pytest.raises(FileNotFoundError):
        store.ls(room.url)


def test_of_creates_at_once_one_wins(room):
    store = opened(room)
    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            url = f"{room.url}/{number}"
            made = pool.map(created, [store] * 8, [url] * 8, [b"%d" % writer for writer in range(8)])
            won = [writer for writer, did in enumerate(made) if did]
            assert len(won) == 1, number
            assert store.cat_file(url) == b"%d" % won[0]


def test_a_list_has_all_that_was_put_before_it(room):
    """While others put: the server's own books must not be looked at and changed at once."""
    store = opened(room)

    def put(writer: int) -> None:
        for number in range(30):
            store.pipe_file(f"{room.url}/{writer}/{number:02}", b"x")
            assert len(store.find(f"{room.url}/{writer}")) == number + 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(4)))


def test_a_store_answers_on_loopback_only_and_is_gone_when_stopped(store_kind):
    if store_kind.missing():
        pytest.skip("there is none to start")
    with store_kind.Server() as server:
        server.start()
        where = urlsplit(server.url)
        assert where.hostname == "127.0.0.1"
        assert listens(where.port) == ["127.0.0.1"]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port), timeout=5)


def listens(port: int) -> list[str]:
    """The addresses that sockets of this machine listen at, on this port."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    found = [row[1].split(":")[0] for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) == port]
    return [socket.inet_ntoa(struct.pack("=I", int(one, 16))) if len(one) == 8 else one for one in found]
