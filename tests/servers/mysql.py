"""A throwaway MariaDB, or MySQL 8: durable as in production, on loopback, in a folder that goes away with it.

Whatever a distribution's configuration says is left out, so that the server has its own defaults: latin1 and an order
of names that takes A for a, REPEATABLE READ. Code which relies on something else without saying so fails here.
"""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

from .process import ServerProcess, programs

PACKAGE = "mariadb-server-core"  # the programs alone: no service, no system user, nothing that starts
SERVICE = None
URL_ENV = "FOLDLOG_TEST_MYSQL_URL"
NEEDS = None

SETTINGS = {
    "bind-address": "127.0.0.1",
    "skip-name-resolve": "ON",  # else 127.0.0.1 is localhost, and an account for % may not be the one that fits
    "innodb-flush-log-at-trx-commit": "1",
    "innodb-buffer-pool-size": "64M",
    "loose-innodb-log-file-size": "32M",
    "max-connections": "200",
    "loose-mysqlx": "OFF",  # MySQL's second port, which is a fixed one
    "loose-mysql-native-password": "ON",
}

DROP_S = 20  #: how long a test's database may be in use after its test

# What MariaDB's own script for new folders puts together; the script needs a program of another package.
SYSTEM_TABLES = ("mysql_system_tables.sql", "mysql_performance_tables.sql", "mysql_system_tables_data.sql")


def binary() -> Path | None:
    """The server's program."""
    return next(programs("mariadbd", "mysqld"), None)


def missing() -> str | None:
    found = binary()
    if found is None:
        return "neither mariadbd nor mysqld is in PATH or /usr/sbin"
    if _is_mariadb(found) and _share(found) is None:
        return f"{SYSTEM_TABLES[0]} is not beside {found}, in ../share"
    return None


class Server(ServerProcess):
    """One server in a folder of its own. `with` removes both at the end."""

    NAME = "MySQL"
    USERS = ("mysql", "nobody")

    def __init__(self) -> None:
        found = binary()
        if found is None:
            raise FileNotFoundError(missing())
        self._binary = found
        self._password = secrets.token_urlsafe(12)
        super().__init__()

    @property
    def url(self) -> str:
        """URL of its database `mysql`, as a user with all rights."""
        return f"mysql://foldlog:{self._password}@127.0.0.1:{self.port}/mysql"

    def command(self) -> list[str]:
        here = {"port": self.port, "socket": self.folder / "socket", "pid-file": self.folder / "pid"}
        return [*self._program(), *(f"--{name}={value}" for name, value in here.items())]

    def answers(self) -> bool:
        with contextlib.suppress(pymysql.err.OperationalError):
            connect(self.url).close()
            return True
        return False

    def initialize(self) -> None:
        if _is_mariadb(self._binary):
            self._make_tables()
        else:
            accounts = "DROP USER 'root'@'localhost';\n" + self._account("IDENTIFIED WITH mysql_native_password BY")
            init = self.write("accounts.sql", accounts)
            self._await(self.popen(*self._program(), "--initialize-insecure", f"--init-file={init}"))
            init.unlink()

    def _make_tables(self) -> None:
        share = _share(self._binary)
        if share is None:
            raise FileNotFoundError(missing())
        script = ["CREATE DATABASE mysql;", "USE mysql;", "SET @auth_root_socket = NULL;"]
        script += [(share / name).read_text() for name in SYSTEM_TABLES]
        script += ["DELETE FROM global_priv WHERE User <> 'mariadb.sys';", "FLUSH PRIVILEGES;"]
        script.append(self._account("IDENTIFIED BY"))
        (self.folder / "data").mkdir()
        self.own(self.folder / "data")
        with self.popen(*self._program(), "--bootstrap", stdin=subprocess.PIPE) as process:
            process.communicate("\n".join(script).encode())
        self._await(process)

    def _account(self, identified: str) -> str:
        who = "'foldlog'@'%'"
        return f"CREATE USER {who} {identified} '{self._password}';\nGRANT ALL ON *.* TO {who} WITH GRANT OPTION;\n"

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        if process.wait() != 0:
            raise RuntimeError(f"{self._binary} laid out no data:\n{self.said()}")

    def _program(self) -> list[str]:
        settings = {**SETTINGS, "datadir": str(self.folder / "data"), "tmpdir": str(self.folder)}
        return [str(self._binary), "--no-defaults", *(f"--{name}={value}" for name, value in settings.items())]


def connect(url: str, **options: Any) -> pymysql.connections.Connection:
    """A connection that commits each statement, unless `options` say otherwise."""
    parts = urlsplit(url)
    return pymysql.connect(
        **{
            "host": parts.hostname,
            "port": parts.port or 3306,
            "user": unquote(parts.username or ""),
            "password": unquote(parts.password or ""),
            "database": unquote(parts.path[1:]) or None,
            "autocommit": True,
            "charset": "utf8mb4",
            **options,
        }
    )


@contextlib.contextmanager
def fresh(server: str) -> Iterator[str]:
    """URL of an empty database at `server`, dropped at the end whoever is still connected."""
    name = f"foldlog_test_{secrets.token_hex(6)}"
    with contextlib.closing(connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        _drop(server, name)


def _drop(server: str, name: str) -> None:
    """DROP DATABASE waits for every transaction that has looked at a table of it: end their connections."""
    end = time.monotonic() + DROP_S
    with contextlib.closing(connect(server)) as connection, connection.cursor() as cursor:
        cursor.execute("SET SESSION lock_wait_timeout = 1")
        while True:
            cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (name,))
            for (who,) in cursor.fetchall():
                with contextlib.suppress(pymysql.err.OperationalError):  # it has gone by itself
                    cursor.execute("KILL %s", (who,))
            try:
                cursor.execute(f"DROP DATABASE {name}")
                return
            except pymysql.err.OperationalError:
                if time.monotonic() > end:
                    raise


def _is_mariadb(binary: Path) -> bool:
    return b"MariaDB" in subprocess.run([binary, "--version"], capture_output=True, check=True).stdout


def _share(binary: Path) -> Path | None:
    """The folder with MariaDB's scripts."""
    root = binary.resolve().parent.parent / "share"
    return next((root / name for name in ("mariadb", "mysql") if (root / name / SYSTEM_TABLES[0]).exists()), None)
