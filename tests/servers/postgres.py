"""A throwaway PostgreSQL: durable as in production (fsync on), on loopback, in a folder that goes away with it.

Sorting is by language where the release can do it (ICU), as most databases in use sort, so that code which relies on
byte order without saying so fails here. A random password keeps other users of the machine out.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2

PACKAGE = "postgresql"
URL_ENV = "FOLDLOG_TEST_POSTGRES_URL"

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


class Server:
    """One PostgreSQL in a folder of its own. `with` removes both at the end."""

    def __init__(self) -> None:
        found = binaries()
        if found is None:
            raise FileNotFoundError(missing())
        self._bin = found
        self._user = _unprivileged()
        self._password = secrets.token_urlsafe(12)
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._folder = Path(tempfile.mkdtemp(prefix="foldlog-postgres-"))
        try:
            self._initialize()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """URL of its database `postgres`, as a user with all rights."""
        return f"postgresql://foldlog:{self._password}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        """Start it and wait until it answers; after `stop` or `kill`, on the same port and the same data."""
        again = self._port != 0
        for _ in range(3):  # a free port may be taken by the time that PostgreSQL asks for it
            if not again:
                self._port = _free_port()
            with open(self._folder / "log", "ab") as log:
                where = ("-D", str(self._folder / "data"), "-p", str(self._port))
                self._process = self._popen("postgres", *where, out=log)
            end = time.monotonic() + 30
            while self._process.poll() is None and time.monotonic() < end:
                with contextlib.suppress(psycopg2.OperationalError):
                    psycopg2.connect(self.url).close()
                    return
                time.sleep(0.02)
            self.kill()
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._folder / 'log').read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Shut it down in good order, whoever is still connected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, as a crash does; the next start recovers from its write-ahead log."""
        self._end(signal.SIGQUIT)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()  # nobody will read the data again
        shutil.rmtree(self._folder, ignore_errors=True)

    def _initialize(self) -> None:
        secret = self._folder / "password"
        secret.write_text(self._password)
        if self._user is not None:  # PostgreSQL refuses to run as root
            for path in (self._folder, secret):
                os.chown(path, self._user.pw_uid, self._user.pw_gid)
        data = self._folder / "data"
        flags = ["-D", str(data), "-U", "foldlog", "--pwfile", str(secret), "-A", "scram-sha-256", "-E", "UTF8"]
        flags.append("--no-sync")  # of the empty cluster, on which nothing depends yet
        with open(self._folder / "log", "wb") as log:
            for locale in (["--locale=C", "--locale-provider=icu", "--icu-locale=en-US"], ["--locale=C"]):
                if self._popen("initdb", *flags, *locale, out=log).wait() == 0:
                    break
            else:
                raise RuntimeError(f"initdb failed:\n{(self._folder / 'log').read_text(errors='replace')}")
        secret.unlink()
        lines = [f"{name} = '{value}'\n" for name, value in SETTINGS.items()]
        with open(data / "postgresql.conf", "a") as conf:
            conf.writelines(lines)

    def _popen(self, program: str, *arguments: str, out: object) -> subprocess.Popen[bytes]:
        user = self._user
        rights = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return subprocess.Popen(
            [str(self._bin / program), *arguments],
            cwd=self._folder,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the tests
            **rights,
        )

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


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


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run the server as, where the tests run as root; None: as who we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise RuntimeError("PostgreSQL does not run as root, and this system has neither a user postgres nor nobody")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
