"""A log on a database server, and what tests may do to it behind its back: hold a transaction, end a session, ask.

One class a kind of server; tests are written once. Transactions are held by triggers on the log's tables, so that
the code under test is left as it is.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg2
import servers

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


class Postgres:
    """A log in a database of a PostgreSQL."""

    kind = "postgres"

    def __init__(self, url: str, server_url: str) -> None:
        self.url = url
        self.server_url = server_url

    @property
    def database(self) -> str:
        return urlsplit(self.url).path[1:]

    def connect(self, url: str | None = None) -> Any:
        """A connection beside the log's; it begins a transaction with its first statement."""
        return psycopg2.connect(url or self.url)

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the database's owner, each in a transaction; the rows of the last one."""
        with contextlib.closing(self.connect()) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def hold(self, moment: str, *, idle_s: float | None = None) -> Iterator[Hold]:
        """From now on transactions stop at a moment, until released.

        `idle_s`: a stopped client's transaction is ended after this long, if the backend has set a limit at all.
        """
        table, verb, when = MOMENTS[moment]
        name = "idle_in_transaction_session_timeout"
        shorten = f"PERFORM set_config('{name}', '{(idle_s or 0) * 1000:.0f}', true)"
        idle = idle_s and f"IF current_setting('{name}') <> '0' THEN {shorten}; END IF;"
        self.sql(
            "CREATE SCHEMA IF NOT EXISTS holds",
            f"CREATE FUNCTION holds.at_{moment}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"{idle or ''} PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$",
            f"CREATE TRIGGER at_{moment} AFTER {verb} ON foldlog.{table} FOR EACH ROW "
            f"WHEN ({when}) EXECUTE FUNCTION holds.at_{moment}()",
        )
        with contextlib.closing(self.connect()) as holder:
            holder.autocommit = True
            holder.cursor().execute("SELECT pg_advisory_lock(1)")
            yield Hold(self, holder)

    def held(self) -> list[int]:
        """The sessions that are stopped at a moment."""
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        waiting = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND {here}"
        return [row[0] for row in self.sql(waiting)]

    @contextlib.contextmanager
    def reader(self, *, read_only_by_default: bool = False) -> Iterator[str]:
        """The URL as a user who may look at the log, which is there already, and no more; with `read_only_by_default`
        as one whose transactions are read only unless they say otherwise."""
        name, password = f"reader_{secrets.token_hex(6)}", secrets.token_urlsafe(9)
        self.sql(
            f"CREATE ROLE {name} LOGIN PASSWORD '{password}'",
            f"GRANT USAGE ON SCHEMA foldlog TO {name}",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA foldlog TO {name}",
        )
        if read_only_by_default:
            self.sql(
                f"ALTER ROLE {name} SET default_transaction_read_only = on",
                f"GRANT ALL ON ALL TABLES IN SCHEMA foldlog TO {name}",
            )
        place = urlsplit(self.url).netloc.rpartition("@")[2]
        try:
            yield urlsplit(self.url)._replace(netloc=f"{name}:{password}@{place}").geturl()
        finally:
            self.sql(f"DROP OWNED BY {name}", f"DROP ROLE {name}")

    @classmethod
    @contextlib.contextmanager
    def replicated(cls, server: Any) -> Iterator[str]:
        """URL of a server that follows another one and takes no writes."""
        with servers.kind_of(cls.kind).Replica(server) as replica:
            replica.start()
            yield replica.url

    def end_session(self, session: int) -> None:
        self.sql(f"SELECT pg_terminate_backend({session})")

    def end_sessions(self) -> int:
        """Those of everybody in this database; how many there were."""
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        return len(self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))


class Hold:
    """Transactions are being held. The connection that does it is given up with the block."""

    def __init__(self, served: Postgres, holder: Any) -> None:
        self._served = served
        self._holder = holder

    def stopped(self, count: int = 1) -> list[int]:
        """Wait until so many sessions have come to the moment; who they are."""
        end = time.monotonic() + PATIENCE_S
        while len(found := self._served.held()) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} transactions came to the moment"
            time.sleep(0.01)
        return found

    def release(self) -> None:
        """Let them go on, and all that come later."""
        self._holder.close()


def fresh_beside(served: Postgres) -> contextlib.AbstractContextManager[str]:
    """Another database of the same server."""
    return servers.kind_of(served.kind).fresh(served.server_url)


KINDS = {"postgres": Postgres}
