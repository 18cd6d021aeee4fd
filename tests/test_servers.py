"""The throwaway servers: started once, durable, gone at the end, and never silently absent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest
import servers

TESTS = Path(__file__).parent


def ask(url: str, question: str) -> object:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def started_session(tmp_path: Path, owner: int) -> Path:
    session = tmp_path / "session"
    session.mkdir()
    (session / "owner").write_text(str(owner))
    return session


def test_a_database_is_empty_and_writes_are_synced(postgres_url):
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    assert ask(postgres_url, "SHOW fsync") == "on"
    assert ask(postgres_url, "SHOW synchronous_commit") == "on"
    ask(postgres_url, "CREATE TABLE left_over (n int)")  # the next test would find it


def test_the_next_database_is_another_one(postgres_url):
    assert ask(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0


def test_an_open_connection_does_not_keep_a_database(postgres_server_url):
    with servers.kind_of("postgres").fresh(postgres_server_url) as url:
        connection = psycopg2.connect(url)
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)
    connection.close()


def test_a_killed_server_keeps_what_it_has_committed(postgres_server):
    ask(postgres_server.url, "CREATE TABLE kept AS SELECT 7 AS n")
    postgres_server.kill()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(postgres_server.url)
    postgres_server.start()
    assert ask(postgres_server.url, "SELECT n FROM kept") == 7
    postgres_server.stop()
    postgres_server.start()
    assert ask(postgres_server.url, "SELECT n FROM kept") == 7


@pytest.mark.usefixtures("postgres_server_url")
def test_a_server_ends_with_its_session_even_a_killed_one(tmp_path, monkeypatch):
    monkeypatch.delenv(servers.kind_of("postgres").URL_ENV, raising=False)
    if servers.kind_of("postgres").missing():
        pytest.skip("the tests use a server from elsewhere, and here is none to start")
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as owner:
        session = started_session(tmp_path, owner.pid)
        url = servers.url("postgres", session)
        assert url == servers.url("postgres", session), "a second server was started"
        owner.kill()
    end = time.monotonic() + 30
    while session.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not session.exists()
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)


def test_a_server_from_elsewhere_is_used_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv(servers.kind_of("postgres").URL_ENV, "postgresql://user@somewhere/db")
    assert servers.url("postgres", started_session(tmp_path, os.getpid())) == "postgresql://user@somewhere/db"


@pytest.mark.parametrize(("needed", "outcome"), [("1", "errors=1"), ("0", "skipped=1")])
def test_a_missing_server_is_skipped_on_a_laptop_and_fails_in_ci(tmp_path, needed, outcome):
    (tmp_path / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (tmp_path / "servers").symlink_to(TESTS / "servers")
    (tmp_path / "test_it.py").write_text("def test_it(postgres_url): pass")
    hide = "import servers.postgres as p; p.missing = lambda: 'it was hidden'"
    code = f"import sys, pytest; {hide}; sys.exit(pytest.main(['-ra', '-p', 'no:cacheprovider', 'test_it.py']))"
    gone = {"CI", "FOLDLOG_TEST_POSTGRES_URL", "FOLDLOG_TEST_SESSION", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS"}
    env = {name: value for name, value in os.environ.items() if name not in gone}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**env, "FOLDLOG_REQUIRE_SERVERS": needed, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
    )
    count, what = outcome.split("=")[1], outcome.split("=")[0].rstrip("s")
    assert f"{count} {what}" in done.stdout, done.stdout + done.stderr
    assert "it was hidden" in done.stdout
    assert done.returncode == (1 if needed == "1" else 0)


def test_the_server_answers_on_loopback_only(postgres_server_url):
    if servers.kind_of("postgres").URL_ENV in os.environ:
        pytest.skip("the tests use a server from elsewhere")
    assert urlsplit(postgres_server_url).hostname == "127.0.0.1"
    assert ask(postgres_server_url, "SHOW listen_addresses") == "127.0.0.1"


def test_a_bucket_is_empty_whole_and_removed(s3_server_url):
    import fsspec

    with servers.kind_of("s3").fresh(s3_server_url) as bucket:
        store = fsspec.filesystem("s3", **bucket.options, use_listings_cache=False)
        assert store.find(bucket.url) == []
        store.pipe_file(f"{bucket.url}/a", b"1", mode="create")
        with pytest.raises(FileExistsError):  # what the server must be able to refuse
            store.pipe_file(f"{bucket.url}/a", b"2", mode="create")
        assert store.cat_file(f"{bucket.url}/a") == b"1"
    with pytest.raises(FileNotFoundError):
        store.ls(bucket.url)


def test_an_s3_server_answers_on_loopback_only_and_is_gone_when_stopped():
    s3 = servers.kind_of("s3")
    if s3.missing():
        pytest.skip("there is none to start")
    with s3.Server() as server:
        server.start()
        where = urlsplit(server.url)
        assert where.hostname == "127.0.0.1"
        socket.create_connection((where.hostname, where.port), timeout=5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((where.hostname, where.port), timeout=5)
