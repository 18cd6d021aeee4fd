"""A throwaway PostgreSQL: durable as in production (fsync on), on loopback, in a folder that goes away with it.

Sorting is by language where the release can do it (ICU), as most databases in use sort, so that code which relies on
byte order without saying so fails here. A random password keeps other users of the machine out.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

from .process import ServerProcess

PACKAGE = "postgresql"
SERVICE = None  # it starts clusters, and there is none
URL_ENV = "FOLDLOG_TEST_POSTGRES_URL"
NEEDS = None

SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "shared_buffers": "64MB",
    "max_connections": "200",
    "max_wal_size": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "timezone": "UTC",
}


def binaries() -> Path | None:
    """The folder with `initdb` and `postgres`, the newest release of the system first."""
    versions = Path("/usr/lib/postgresql").glob("*/bin")
    folders = sorted(versions, key=lambda path: [int(n) for n in re.findall(r"\d+", path.parent.name)], reverse=True)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folders.append(Path(subprocess.check_output(["pg_config", "--bindir"], text=True).strip()))
    folders += [Path(folder) for folder in os.get_exec_path()]
    return next((f for f in folders if os.access(f / "initdb", os.X_OK) and os.access(f / "postgres", os.X_OK)), None)


def missing() -> str | None:
    return None if binaries() else "initdb and postgres are not in /usr/lib/postgresql/*/bin, by pg_config or in PATH"


class Server(ServerProcess):
    """One PostgreSQL in a folder of its own. `with` removes both at the end."""

    NAME = "PostgreSQL"
    USERS = ("postgres", "nobody")
    STOP = signal.SIGINT
    KILL = signal.SIGQUIT  # what pg_ctl calls immediate; a child that outlived SIGKILL would keep the next start out

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError(missing())
        self._bin = found
        self._password = secrets.token_urlsafe(12)
        super().__init__()

    @property
    def url(self) -> str:
        """URL of its database `postgres`, as a user with all rights."""
        return f"postgresql://foldlog:{self._password}@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        return [str(self._bin / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port)]

    def answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(self.url).close()
            return True
        return False

    def initialize(self) -> None:
        secret = self.write("password", self._password)
        data = self.folder / "data"
        flags = ["-D", str(data), "-U", "foldlog", "--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8"]
        flags.append("--no-sync")  # of the empty cluster, on which nothing depends yet
        for locale in (["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"], ["--locale=C"]):
            if self.popen(str(self._bin / "initdb"), *flags, *locale).wait() == 0:
                break
        else:
            raise RuntimeError(f"initdb failed:\n{self.said()}")
        secret.unlink()
        lines = [f"{name} = '{value}'\n" for name, value in SETTINGS.items()]
        with open(data / "postgresql.conf", "a") as conf:
            conf.writelines(lines)


class Replica(Server):
    """A standby of a running server, which it follows; it answers and takes no writes."""

    def __init__(self, primary: Server) -> None:
        self._primary = primary
        super().__init__()
        self._password = primary._password  # accounts are the primary's

    def initialize(self) -> None:
        source = ["-d", self._primary.url, "-X", "stream", "-c", "fast", "--no-sync", "-R"]
        copying = self.popen(str(self._bin / "pg_basebackup"), "-D", str(self.folder / "data"), *source)
        if copying.wait() != 0:
            raise RuntimeError(f"pg_basebackup failed:\n{self.said()}")


@contextlib.contextmanager
def fresh(server: str) -> Iterator[str]:
    """URL of an empty database at `server`, dropped at the end whoever is still connected."""
    name = f"foldlog_test_{secrets.token_hex(6)}"
    _execute(server, f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()
