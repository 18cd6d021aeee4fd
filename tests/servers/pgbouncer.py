"""A throwaway PgBouncer before the session's PostgreSQL, pooling by transaction: on loopback, gone with its folder.

It is set as is usual, and so that state which code leaves in a session is noticed: few connections to the server, which
all clients share, and nothing that cleans them up between two clients.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import psycopg2

from . import postgres
from .process import ServerProcess, programs

PACKAGE = "pgbouncer"
SERVICE = "pgbouncer"  #: what the package would start with the system
URL_ENV = "FOLDLOG_TEST_PGBOUNCER_URL"  #: before the server of FOLDLOG_TEST_POSTGRES_URL, for any of its databases
NEEDS = "postgres"

SETTINGS = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": "4",
    "max_client_conn": "200",
    "server_reset_query": "",  # as by default it is not run in this mode
    "ignore_startup_parameters": "extra_float_digits",
}


class Pooled(NamedTuple):
    """An empty database: its URL through the proxy, and without."""

    url: str
    direct: str


def binary() -> Path | None:
    return next(programs("pgbouncer"), None)


def missing() -> str | None:
    return None if binary() else "pgbouncer is not in PATH or /usr/sbin"


class Server(ServerProcess):
    """One PgBouncer before the PostgreSQL at `server`, as the user of that URL."""

    NAME = "PgBouncer"
    USERS = ("postgres", "nobody")

    def __init__(self, server: str) -> None:
        found = binary()
        if found is None:
            raise FileNotFoundError(missing())
        self._binary = found
        self._server = urlsplit(server)
        super().__init__()

    @property
    def url(self) -> str:
        """As the server's, through the proxy."""
        who = self._server.netloc.rpartition("@")[0]
        return self._server._replace(netloc=f"{who}@127.0.0.1:{self.port}").geturl()

    def initialize(self) -> None:
        name, password = (unquote(part or "") for part in (self._server.username, self._server.password))
        quoted = (part.replace('"', '""') for part in (name, password))
        self.write("users", " ".join(f'"{part}"' for part in quoted) + "\n")

    def command(self) -> list[str]:
        here = {**SETTINGS, "listen_port": self.port, "auth_file": self.folder / "users"}
        lines = ["[databases]", f"* = host={self._server.hostname} port={self._server.port or 5432}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in here.items()]
        return [str(self._binary), "-q", str(self.write("ini", "\n".join(lines) + "\n"))]

    def answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            psycopg2.connect(self.url).close()
            return True
        return False


@contextlib.contextmanager
def fresh(server: str, direct: str) -> Iterator[Pooled]:
    """An empty database of the PostgreSQL at `direct`, which is behind the proxy at `server`; dropped at the end."""
    with postgres.fresh(direct) as url:
        yield Pooled(urlsplit(server)._replace(path=urlsplit(url).path).geturl(), url)
