"""A log on a database server, and what tests may do to it behind its back: hold a transaction, end a session, ask.

One class a kind of server; tests are written once. Transactions are held by triggers on the log's tables, so that
the code under test is left as it is.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import psycopg2
import servers
from servers import mysql

HELD = "ASSET_MATERIALIZATION"  #: appends of this type of event are those that `hold("append")` holds
PATIENCE_S = 15  #: how long anything may take that does not wait for what a test holds


class Moment(NamedTuple):
    """A place in a transaction, by the statement that has just been carried out there."""

    table: str
    verb: str  #: INSERT, UPDATE or DELETE
    when: str = "true"  #: condition on a row, which may name `new` in an INSERT or UPDATE


MOMENTS = {
    "append": Moment("event", "INSERT", f"new.type = '{HELD}'"),
    "placing": Moment("timeline", "INSERT"),
    "indexing": Moment("timeline_type", "INSERT"),
    "settling": Moment("news", "DELETE"),
    "advancing": Moment("shard", "UPDATE", "new.ordered_seq <> old.ordered_seq"),
    "moving": Moment("log", "UPDATE"),
}
SEQUENCING = ("placing", "indexing", "settling", "advancing", "moving")  #: after its lock, before its commit


class Served:
    """A log in a database of a server, which may be used by other tests too."""

    kind: ClassVar[str]
    READERS: ClassVar[tuple[str, ...]]  #: the ways in which a user may be limited to reading

    def __init__(self, url: str, server_url: str) -> None:
        self.url = url
        self.server_url = server_url

    @property
    def database(self) -> str:
        return urlsplit(self.url).path[1:]

    def beside(self) -> contextlib.AbstractContextManager[str]:
        """URL of another database of the same server."""
        return servers.kind_of(self.kind).fresh(self.server_url)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the database's owner, each in a transaction; the rows of the last one."""
        with contextlib.closing(self.connect(alone=True)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    @contextlib.contextmanager
    def hold(self, moment: str, *, idle_s: int = 0, anew: bool = False) -> Iterator[Hold]:
        """From now on transactions stop at a moment, until released; `anew`: they have been held there before.

        `idle_s`: a stopped client's transaction is ended after this long, if the backend has set a limit at all.
        """
        if not anew:
            self.stop_at(moment, *MOMENTS[moment], idle_s)
        hold = Hold(self)
        try:
            yield hold
        finally:
            hold.release()

    @contextlib.contextmanager
    def reader(self, way: str) -> Iterator[str]:
        """The URL as a user who may look at the log, which is there already; `way`: one of READERS."""
        name, password = f"reader_{secrets.token_hex(6)}", secrets.token_urlsafe(9)
        self.limit(name, password, way)
        place = urlsplit(self.url).netloc.rpartition("@")[2]
        try:
            yield urlsplit(self.url)._replace(netloc=f"{name}:{password}@{place}").geturl()
        finally:
            self.forget(name)

    # What a kind of server says of itself.

    holding: str  #: a statement with which transactions at their moment are held

    def connect(self, url: str | None = None, *, alone: bool = False) -> Any:
        """A connection beside the log's; it begins a transaction with its first statement, or never, `alone`."""
        raise NotImplementedError

    def stop_at(self, name: str, table: str, verb: str, when: str, idle_s: int) -> None:
        raise NotImplementedError

    def held(self) -> list[int]:
        """The sessions that are stopped at a moment."""
        raise NotImplementedError

    def end_session(self, session: int) -> None:
        raise NotImplementedError

    def end_sessions(self) -> int:
        """End those of everybody in this database; how many there were."""
        raise NotImplementedError

    def copy_to(self, url: str) -> None:
        """Make the database at `url`, which may be lived in already, a copy of this one."""
        raise NotImplementedError

    def limit(self, name: str, password: str, way: str) -> None:
        raise NotImplementedError

    def forget(self, name: str) -> None:
        raise NotImplementedError

    @classmethod
    def log_on(cls, server: Any) -> str:
        """URL of a database for a log on a server of the test's own."""
        raise NotImplementedError

    @classmethod
    def replicated(cls, server: Any, url: str) -> contextlib.AbstractContextManager[str]:
        """A URL where what is at `url` is served by a replica."""
        raise NotImplementedError


class Postgres(Served):
    kind = "postgres"
    READERS = ("may only select", "read only by default")
    holding = "SELECT pg_advisory_lock(1)"

    def connect(self, url: str | None = None, *, alone: bool = False) -> Any:
        connection = psycopg2.connect(url or self.url)
        connection.autocommit = alone
        return connection

    def stop_at(self, name: str, table: str, verb: str, when: str, idle_s: int) -> None:
        limit = "idle_in_transaction_session_timeout"
        shorten = f"PERFORM set_config('{limit}', '{idle_s}s', true)"
        idle = f"IF current_setting('{limit}') <> '0' THEN {shorten}; END IF;" if idle_s else ""
        self.sql(
            "CREATE SCHEMA IF NOT EXISTS holds",
            f"CREATE FUNCTION holds.at_{name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"{idle} PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$",
            f"CREATE TRIGGER at_{name} AFTER {verb} ON foldlog.{table} FOR EACH ROW "
            f"WHEN ({when}) EXECUTE FUNCTION holds.at_{name}()",
        )

    def held(self) -> list[int]:
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        waiting = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {here}"
        return [row[0] for row in self.sql(waiting)]

    def end_session(self, session: int) -> None:
        self.sql(f"SELECT pg_terminate_backend({session})")

    def end_sessions(self) -> int:
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        return len(self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))

    def copy_to(self, url: str) -> None:
        self.end_sessions()  # of a database in use no copy is made
        name = urlsplit(url).path[1:]
        server = Postgres(self.server_url, self.server_url)
        server.sql(f"DROP DATABASE {name} WITH (FORCE)", f"CREATE DATABASE {name} TEMPLATE {self.database}")

    def limit(self, name: str, password: str, way: str) -> None:
        self.sql(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
            f"GRANT USAGE ON SCHEMA foldlog TO {name}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA foldlog TO {name}",
        )
        if way == "read only by default":
            self.sql(
                f"ALTER ROLE {name} SET default_transaction_read_only = on",
                f"GRANT ALL ON ALL TABLES IN SCHEMA foldlog TO {name}",
            )

    def forget(self, name: str) -> None:
        self.sql(f"DROP OWNED BY {name}", f"DROP ROLE {name}")

    @classmethod
    def log_on(cls, server: Any) -> str:
        return str(server.url)

    @classmethod
    @contextlib.contextmanager
    def replicated(cls, server: Any, url: str) -> Iterator[str]:
        with servers.kind_of(cls.kind).Replica(server) as replica:
            replica.start()
            yield urlsplit(replica.url)._replace(path=urlsplit(url).path).geturl()


class Mysql(Served):
    """On MariaDB and MySQL. A replica is the server itself, set to take writes from nobody but its administrator."""

    kind = "mysql"
    READERS = ("may only select",)

    @property
    def holding(self) -> str:  # type: ignore[override]
        return f"SELECT GET_LOCK('{self.database}.hold', 10)"

    def connect(self, url: str | None = None, *, alone: bool = False) -> Any:
        return mysql.connect(url or self.url, autocommit=alone)

    def stop_at(self, name: str, table: str, verb: str, when: str, idle_s: int) -> None:
        limits = ("idle_transaction_timeout", "idle_write_transaction_timeout") if idle_s and self.is_mariadb else ()
        shorten = (f"IF @@{limit} <> 0 THEN SET SESSION {limit} = {idle_s}; END IF;" for limit in limits)
        lock = f"'{self.database}.hold'"
        self.sql(
            f"CREATE TRIGGER at_{name} AFTER {verb} ON {table} FOR EACH ROW BEGIN IF {when} THEN "
            f"{' '.join(shorten)} DO GET_LOCK({lock}, 30); DO RELEASE_LOCK({lock}); END IF; END"
        )

    @property
    def is_mariadb(self) -> bool:
        return "MariaDB" in self.sql("SELECT version()")[0][0]

    def held(self) -> list[int]:
        return [row[0] for row in self.sql(f"{_OTHERS} AND state = 'User lock'")]

    def end_session(self, session: int) -> None:
        self.sql(f"KILL {session}")

    def end_sessions(self) -> int:
        found = self.sql(_OTHERS)
        for (session,) in found:
            self.end_session(session)
        return len(found)

    def copy_to(self, url: str) -> None:
        there = Mysql(url, self.server_url)
        there.sql(f"DROP DATABASE {there.database}", f"CREATE DATABASE {there.database}")
        for name, kind in self.sql("SHOW FULL TABLES"):
            if kind == "BASE TABLE":
                there.sql(
                    f"CREATE TABLE {there.database}.{name} LIKE {self.database}.{name}",
                    f"INSERT INTO {there.database}.{name} SELECT * FROM {self.database}.{name}",
                )

    def limit(self, name: str, password: str, way: str) -> None:
        self.sql(
            f"CREATE USER {name}@'%' IDENTIFIED BY '{password}'", f"GRANT SELECT ON {self.database}.* TO {name}@'%'"
        )

    def forget(self, name: str) -> None:
        self.sql(f"DROP USER {name}@'%'")

    @classmethod
    def log_on(cls, server: Any) -> str:
        cls(server.url, server.url).sql("CREATE DATABASE history")
        return urlsplit(server.url)._replace(path="/history").geturl()

    @classmethod
    @contextlib.contextmanager
    def replicated(cls, server: Any, url: str) -> Iterator[str]:
        served = cls(url, server.url)
        parts = urlsplit(url)
        served.sql(
            "CREATE USER replica@'%' IDENTIFIED BY 'replica'",
            f"GRANT ALL ON {served.database}.* TO replica@'%'",
            "SET GLOBAL read_only = ON",
        )
        yield parts._replace(netloc=f"replica:replica@{parts.netloc.rpartition('@')[2]}").geturl()


_OTHERS = "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"


class Hold:
    """Transactions are being held, by a connection that has what they wait for."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._holder = served.connect(alone=True)
        self._holder.cursor().execute(served.holding)

    def stopped(self, count: int = 1) -> list[int]:
        """Wait until so many sessions have come to the moment; who they are."""
        end = time.monotonic() + PATIENCE_S
        while len(found := self._served.held()) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} transactions came to the moment"
            time.sleep(0.01)
        return found

    def release(self) -> None:
        """Let them go on, and all that come later. Idempotent."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


class OwnServer:
    """A server that is the test's own, and a log on it: to be ended and started again."""

    def __init__(self, kind: type[Served], process: Any) -> None:
        self._process = process
        self.kind = kind
        self.url = kind.log_on(process)
        self.start, self.stop, self.kill = process.start, process.stop, process.kill

    def replicated(self) -> contextlib.AbstractContextManager[str]:
        """A URL where the same log is served by a replica."""
        return self.kind.replicated(self._process, self.url)


KINDS: dict[str, type[Served]] = {"postgres": Postgres, "mysql": Mysql}
