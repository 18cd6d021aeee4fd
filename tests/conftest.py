"""What all tests share: the servers of the session, and a clean environment.

    postgres_url      URL of an empty PostgreSQL database, dropped after the test
    postgres_server   a PostgreSQL of the test's own, to stop, kill and start (takes seconds: for faults only)
    mysql_url         URL of an empty MariaDB or MySQL database, dropped after the test
    mysql_server      a MariaDB or MySQL of the test's own, as `postgres_server`
    pgbouncer         an empty PostgreSQL database behind a proxy that pools by transaction: `url`, and `direct` to it
    s3_bucket         an empty bucket, removed after the test: `url`, and the `options` to open it with
    azure_container   an empty container for Azure's blobs, as `s3_bucket`

Without a server, a test that asks for it is skipped; with CI=true or FOLDLOG_REQUIRE_SERVERS=1 it fails, but for one of
`azure_container`, which is optional. The summary names the servers that were used.

No test reaches further than this machine: it fails with the address that it asked for (`loopback`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import loopback as only_loopback
import pytest
import servers
from hypothesis import settings

SESSION = "FOLDLOG_TEST_SESSION"  #: names the folder that the processes of one session share

# A disk that syncs has no deadline; a failure in CI must be the same one on a laptop.
settings.register_profile("foldlog", deadline=None, derandomize=os.environ.get("CI", "").lower() in ("1", "true"))
settings.load_profile("foldlog")


def pytest_configure(config: pytest.Config) -> None:
    for name in ("FOLDLOG_HOME", "FOLDLOG_URL", "FOLDLOG_STORAGE_OPTIONS"):  # the developer's own
        os.environ.pop(name, None)
    only_loopback.alone(os.environ)
    only_loopback.allow(filter(None, (os.environ.get(servers.kind_of(name).URL_ENV) for name in servers.KINDS)))
    only_loopback.watch()
    if SESSION not in os.environ:  # neither a worker nor a pytest within a test
        folder = Path(tempfile.mkdtemp(prefix="foldlog-tests-"))
        (folder / "owner").write_text(str(os.getpid()))
        os.environ[SESSION] = str(folder)
        os.environ["FOLDLOG_CACHE"] = str(folder / "caches")  # of views
        config.add_cleanup(lambda: _end_session(folder))
    os.environ["FOLDLOG_CACHE"] = str(Path(os.environ[SESSION]) / "cache")


def _end_session(folder: Path) -> None:
    os.environ.pop(SESSION, None)
    servers.stop_all(folder)
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    used = servers.used(Path(os.environ[SESSION]))
    terminalreporter.write_line(f"servers: {', '.join(used) or 'none used'}")


@pytest.fixture(autouse=True)
def loopback() -> Iterator[None]:
    """Fails a test that has asked for an address outside this machine, even if it took the error for another one."""
    only_loopback.reached()  # what threads of tests before have left
    yield
    if reached := only_loopback.reached():
        pytest.fail(f"the test reached for {', '.join(dict.fromkeys(reached))}", pytrace=False)


@pytest.fixture(scope="session")
def server_session() -> Path:
    """The folder that the processes of this session share."""
    return Path(os.environ[SESSION])


@pytest.fixture(scope="session")
def postgres_server_url(server_session: Path) -> str:
    """URL of the session's PostgreSQL itself, with all rights: for what concerns the whole server."""
    return _server("postgres", server_session)


@pytest.fixture
def postgres_url(postgres_server_url: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database, dropped after the test."""
    with servers.kind_of("postgres").fresh(postgres_server_url) as url:
        yield url


@pytest.fixture
def postgres_server() -> Iterator[Any]:
    """A running PostgreSQL of the test's own, with `url`, `start`, `stop` and `kill`."""
    yield from _own_server("postgres")


@pytest.fixture(scope="session")
def mysql_server_url(server_session: Path) -> str:
    """URL of the session's MariaDB or MySQL itself, with all rights: for what concerns the whole server."""
    return _server("mysql", server_session)


@pytest.fixture
def mysql_url(mysql_server_url: str) -> Iterator[str]:
    """URL of an empty MariaDB or MySQL database, dropped after the test."""
    with servers.kind_of("mysql").fresh(mysql_server_url) as url:
        yield url


@pytest.fixture
def mysql_server() -> Iterator[Any]:
    """A running MariaDB or MySQL of the test's own, with `url`, `start`, `stop` and `kill`."""
    yield from _own_server("mysql")


@pytest.fixture(scope="session")
def pgbouncer_server_url(server_session: Path) -> str:
    """URL of the session's PgBouncer, before the session's PostgreSQL."""
    return _server("pgbouncer", server_session)


@pytest.fixture
def pgbouncer(pgbouncer_server_url: str, postgres_server_url: str) -> Iterator[Any]:
    """An empty PostgreSQL database, dropped after the test: its `url` through PgBouncer, and its `direct` one."""
    with servers.kind_of("pgbouncer").fresh(pgbouncer_server_url, postgres_server_url) as pooled:
        yield pooled


@pytest.fixture(scope="session")
def s3_server_url(server_session: Path) -> str:
    """URL of the session's S3 server, with the credentials of a user who may make buckets."""
    return _server("s3", server_session)


@pytest.fixture
def s3_bucket(s3_server_url: str) -> Iterator[Any]:
    """An empty bucket, removed after the test: `url`, and the `options` to open it with."""
    with servers.kind_of("s3").fresh(s3_server_url) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def azure_server_url(server_session: Path) -> str:
    """URL of the session's Azurite, with its account and key."""
    return _server("azure", server_session)


@pytest.fixture
def azure_container(azure_server_url: str) -> Iterator[Any]:
    """An empty container, removed after the test: `url`, and the `options` to open it with."""
    with servers.kind_of("azure").fresh(azure_server_url) as container:
        yield container


def _server(name: str, session: Path) -> str:
    try:
        return servers.url(name, session)
    except servers.NoServer as error:
        _give_up(name, str(error))


def _own_server(name: str) -> Iterator[Any]:
    kind = servers.kind_of(name)
    if (lack := kind.missing()) is not None:
        _give_up(name, f"no server for {name}: {lack}; run `make servers`")
    with kind.Server() as server:
        server.start()
        yield server


def _give_up(name: str, reason: str) -> Any:
    if servers.required(name):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
