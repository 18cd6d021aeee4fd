"""What is special to PostgreSQL: URLs, schemas, rights, settings, and what its tables look like when they are damaged.

What every backend does is in the conformance suite; what befalls a log on any server (transactions that stay open,
connections that are cut, crashes, replicas, proxies) in tests/faults/test_servers_*.py and test_pgbouncer.py.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import UUID

import psycopg2
import pytest

from foldlog.backends import open_backend
from foldlog.backends.postgres import PostgresBackend
from foldlog.backends.sql import writing
from foldlog.backends.sql.dialect import Mode
from foldlog.engine.errors import (
    ConflictError,
    CorruptLogError,
    FoldlogError,
    ReadOnlyError,
    ShardPurged,
    UnavailableError,
    UsageError,
)
from foldlog.engine.log.port import ANY, Append, Receipt, Record
from foldlog.engine.log.sequencer import Sequencer

PASSWORD = "s3cret/pw"


def opened(url: str, **options: bool) -> PostgresBackend:
    backend = open_backend(url, **options)
    assert isinstance(backend, PostgresBackend)
    return backend


@pytest.fixture
def backend(postgres_url: str) -> Iterator[PostgresBackend]:
    with contextlib.closing(opened(postgres_url)) as backend:
        yield backend


def an_append(shard: str = "run-1", *bodies: bytes, expected=ANY, key: int | None = None) -> Append:
    records = [Record("MARK", 1_700_000_000_000_000, 1, body) for body in bodies or (b"x",)]
    return Append(shard, records, b"".join(bodies).ljust(16)[:16], expected, UUID(int=key) if key else None)


def put(backend: PostgresBackend, shard: str = "run-1", *bodies: bytes, expected=ANY, key=None) -> Receipt:
    return backend.append(an_append(shard, *bodies, expected=expected, key=key))


def held(backend: PostgresBackend, shard: str = "run-1") -> list[bytes]:
    stored = backend.read_shard(shard, after_seq=0, limit=10_000, types=None, newest_first=False)
    assert [item.seq for item in stored] == list(range(1, len(stored) + 1))
    return [item.record.body for item in stored if item.record]


def timeline(backend: PostgresBackend) -> list[bytes]:
    Sequencer(backend).catch_up()
    stored = backend.read(after=0, limit=10_000, types=None)
    assert [item.position for item in stored] == list(range(1, len(stored) + 1))
    return [item.record.body for item in stored if item.record]


def sql(url: str, *statements: str) -> list[tuple]:
    """Run statements as the database's owner; the rows of the last one."""
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


# -- appends -----------------------------------------------------------------------------------------------------------


def test_a_remembered_end_makes_no_hole(backend, postgres_url):
    """P2: a backup is restored under a living process; what it remembers of the shard is gone."""
    for body in (b"1", b"2", b"3"):
        put(backend, "run-1", body)
    sql(postgres_url, "DELETE FROM foldlog.event WHERE seq > 1", "DELETE FROM foldlog.news WHERE first_seq > 1")
    assert put(backend, "run-1", b"again").first_seq == 2
    assert held(backend) == [b"1", b"again"]


@pytest.mark.parametrize(
    "odd",
    [Record("MARK", 1 << 70, 1, b"odd"), Record("M" * 5000, 1, 1, b"odd"), Record("M\0", 1, 1, b"odd")],
    ids=["ts", "long", "nul"],
)
def test_what_no_column_holds_is_refused_alone(backend, odd):
    """P2, P5: a number past 64 bits, or a type that the index of types could not hold, which would stop the order."""
    odd = an_append("run-1")._replace(records=[odd])
    first, second, third = backend.append_group([an_append("run-1", b"a"), odd, an_append("run-1", b"b")])
    assert isinstance(second, UsageError)
    assert isinstance(first, Receipt)
    assert isinstance(third, Receipt)
    with pytest.raises(UsageError):
        backend.append(odd)
    assert timeline(backend) == [b"a", b"b"]


# -- URLs, schemas, rights --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "POSTGRESQL"])
def test_every_scheme_means_psycopg2(postgres_url, scheme):
    """Whatever driver SQLAlchemy takes by default."""
    with contextlib.closing(opened(scheme + postgres_url[postgres_url.index(":") :])) as backend:
        assert backend.engine.dialect.driver == "psycopg2"
        assert put(backend).first_seq == 1


@pytest.mark.parametrize(
    ("tail", "named"),
    [
        ("schema=Mine", "Mine"),
        ("schema=pg_mine", "pg_mine"),
        ("schema=a.b", "a.b"),
        ("schema=a&schema=b", "schema"),
        ("durability=none", "none"),
        ("shema=mine", "shema"),
    ],
)
def test_an_option_that_cannot_be_is_named(postgres_url, tail, named):
    with pytest.raises(UsageError, match=named):
        opened(f"{postgres_url}?{tail}")


def test_schemas_are_logs_of_their_own(postgres_url):
    with (
        contextlib.closing(opened(postgres_url)) as first,
        contextlib.closing(opened(f"{postgres_url}?schema=user")) as second,  # a reserved word
        contextlib.closing(opened(f"{postgres_url}?schema=user")) as third,
    ):
        put(first, "run-1", b"1")
        put(second, "run-1", b"2")
        assert (held(first), held(second), held(third)) == ([b"1"], [b"2"], [b"2"])
        assert first.head().log_id != second.head().log_id == third.head().log_id
        assert second.schema == "user"
        assert "schema=user" in second.url


def test_another_version_or_program_is_refused(postgres_url):
    opened(postgres_url).close()
    for other, remedy in ((1, "foldlog migrate upgrade"), (3, "newer")):
        sql(postgres_url, f"UPDATE foldlog.log SET format = {other}")
        with pytest.raises(UsageError, match=f"format {other}") as refused:
            opened(postgres_url)
        assert remedy in refused.value.remedy
    sql(postgres_url, "UPDATE foldlog.log SET program = 'other'")
    with pytest.raises(CorruptLogError, match="schema"):
        opened(postgres_url)
    sql(postgres_url, "DROP SCHEMA foldlog CASCADE", "CREATE SCHEMA foldlog", "CREATE TABLE foldlog.log (line text)")
    for read_only in (False, True):
        with pytest.raises(CorruptLogError, match="schema"):
            opened(postgres_url, read_only=read_only)


@pytest.fixture
def limited_url(postgres_url: str) -> Iterator[str]:
    """The URL as a role that may connect and nothing else; its name is `urlsplit(...).username`."""
    role = f"reader_{time.time_ns()}"
    sql(postgres_url, f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'")
    host = urlsplit(postgres_url).netloc.rpartition("@")[2]
    yield urlsplit(postgres_url)._replace(netloc=f"{role}:{PASSWORD.replace('/', '%2F')}@{host}").geturl()
    sql(postgres_url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_read_only_needs_no_right_to_write(backend, postgres_url, limited_url):
    put(backend, "run-1", b"1", b"2")
    timeline(backend)
    role = urlsplit(limited_url).username
    with pytest.raises(UsageError):
        opened(limited_url, read_only=True)
    sql(
        postgres_url,
        f"GRANT USAGE ON SCHEMA foldlog TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA foldlog TO {role}",
    )
    with contextlib.closing(opened(limited_url, read_only=True)) as reader:
        assert held(reader) == [b"1", b"2"]
        assert [item.position for item in reader.read(after=0, limit=9, types=frozenset(["MARK"]))] == [1, 2]
        assert reader.head() == backend.head()
        assert reader.diagnose(full=True) == []
        assert reader.pending(limit=9) == []
        assert reader.stats()["head"] == 2
        with pytest.raises(ReadOnlyError):
            put(reader)
        with pytest.raises(ReadOnlyError):
            reader.start_epoch("never")
    with contextlib.closing(opened(limited_url)) as writer, pytest.raises(ReadOnlyError):
        put(writer)  # it could open, and learns from the server that it may not write
    assert held(backend) == [b"1", b"2"]


def test_read_only_makes_nothing(postgres_url):
    with pytest.raises(UsageError, match="no log in schema foldlog"):
        opened(postgres_url, read_only=True)
    assert sql(postgres_url, "SELECT 1 FROM pg_namespace WHERE nspname = 'foldlog'") == []


def test_a_schema_may_be_made_by_somebody_else(postgres_url, limited_url):
    """A role without the right to make schemas is given one."""
    with pytest.raises(ReadOnlyError):
        opened(limited_url)
    sql(postgres_url, f"CREATE SCHEMA foldlog AUTHORIZATION {urlsplit(limited_url).username}")
    with contextlib.closing(opened(limited_url)) as backend:
        assert put(backend).first_seq == 1


def test_the_password_is_never_shown(postgres_url, limited_url):
    sql(postgres_url, f"GRANT CREATE ON DATABASE {urlsplit(postgres_url).path[1:]} TO {urlsplit(limited_url).username}")
    shown = []
    with contextlib.closing(opened(limited_url)) as backend:
        shown += [backend.url, repr(backend), repr(backend.engine), repr(vars(backend))]
        with pytest.raises(ConflictError) as caught:
            put(backend, expected=5)
        shown += traceback.format_exception(caught.value)
    unreachable = limited_url.replace(f":{urlsplit(limited_url).port}/", ":1/")
    for url in (
        unreachable,
        unreachable + "?password=s3cret/pw",
        limited_url + "?schema=No",
        limited_url + "?nonsense=1",
        f"postgresql://user:{PASSWORD}@x@127.0.0.1:1/db",
        f"postgresql://user:{PASSWORD}@127.0.0.1:port/db",
        f"mysql+postgresql://user:{PASSWORD}@127.0.0.1:1/db",
    ):
        with pytest.raises(FoldlogError) as refused:
            opened(url)
        shown += [str(refused.value), *traceback.format_exception(refused.value)]
    lines = [line for text in shown for line in text.splitlines()]
    assert not [line for line in lines if "s3cret" in line and "opened(" not in line and "PASSWORD" not in line]


def test_settings_of_the_database_do_not_matter(postgres_url):
    """P1, P5: a database whose owner has chosen another isolation, durability or order of names."""
    name = urlsplit(postgres_url).path[1:]
    sql(
        postgres_url,
        f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'",
        f"ALTER DATABASE {name} SET synchronous_commit = off",
        f"ALTER DATABASE {name} SET search_path = nowhere",
        f"ALTER DATABASE {name} SET standard_conforming_strings = off",
        f"ALTER DATABASE {name} SET bytea_output = 'escape'",
        f"ALTER DATABASE {name} SET statement_timeout = '1ms'",
    )
    asked = "SELECT current_setting('transaction_isolation'), current_setting('synchronous_commit')"
    with contextlib.closing(opened(postgres_url + "?options=-cstatement_timeout%3D0")) as backend:
        put(backend, "run-1", b"\\\0'\xff")
        assert timeline(backend) == [b"\\\0'\xff"]
        assert backend._database.run("test", lambda tx: tx.one(asked), mode=Mode.WRITE) == ("read committed", "on")
    with contextlib.closing(opened(postgres_url + "?durability=process&options=-cstatement_timeout%3D0")) as backend:
        assert put(backend, "run-1", b"2").first_seq == 2
        assert timeline(backend) == [b"\\\0'\xff", b"2"]


def test_a_database_that_is_not_there_is_named(postgres_server_url):
    with pytest.raises(UnavailableError) as caught:
        opened(urlsplit(postgres_server_url)._replace(path="/nothing").geturl())
    assert "nothing" in str(caught.value)


# -- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "reading", "said"),
    [
        ("UPDATE foldlog.event SET body = 'altered' WHERE seq = 2", True, "run-1: seq 2"),
        ("UPDATE foldlog.event SET ts_us = 1 WHERE seq = 3", True, "run-1: seq 3"),
        ("UPDATE foldlog.event SET seq = 9 WHERE seq = 3", True, "run-1"),
        ("DELETE FROM foldlog.event WHERE seq = 3", True, "run-1"),
        ("UPDATE foldlog.timeline SET digest = '0123456789abcdef' WHERE position = 1", False, "position 1"),
        ("DELETE FROM foldlog.timeline WHERE position = 1", False, "position 3"),
        ("DELETE FROM foldlog.timeline WHERE position = 3", False, "ends at 2"),
        ("UPDATE foldlog.log SET position = 9", False, "position 9"),
        ("UPDATE foldlog.log SET epoch = 9", False, "epoch 9"),
        ("DELETE FROM foldlog.timeline_type WHERE position = 3", False, "position 3"),
        ("DELETE FROM foldlog.news", False, "seq 4"),
        ("DELETE FROM foldlog.event WHERE seq = 4", False, "seq 4"),
    ],
)
def test_damage_is_found_and_named(backend, postgres_url, damage, reading, said):
    put(backend, "run-1", b"1", b"2")
    put(backend, "run-1", b"3")
    timeline(backend)
    put(backend, "run-1", b"4")
    assert backend.diagnose(full=True) == []
    sql(postgres_url, damage)
    assert [finding for finding in backend.diagnose(full=True) if said in finding]
    if reading:
        with pytest.raises(CorruptLogError, match="run-1: seq"):
            backend.read(after=0, limit=9, types=None)


def test_a_log_that_lost_its_row_is_damaged(backend, postgres_url):
    sql(postgres_url, "DELETE FROM foldlog.log")
    with pytest.raises(CorruptLogError, match="log"):
        backend.head()
    with pytest.raises(CorruptLogError):
        opened(postgres_url)


def test_positions_are_never_given_over_a_gap(backend):
    """P5: whatever a sequencer says, a shard's receipts go on the timeline in the order of their seqs."""
    put(backend, "run-1", b"1")
    second = put(backend, "run-1", b"2")

    class Careless:
        looks = 1
        head, place = staticmethod(backend.head), staticmethod(backend.place)

        def pending(self, *, limit: int) -> list[Receipt]:
            return [second]

    with pytest.raises(CorruptLogError, match="not those that wait"):
        Sequencer(Careless()).catch_up()
    assert backend.head().position == 0
    assert timeline(backend) == [b"1", b"2"]


def test_a_purge_frees_its_rows(backend, postgres_url):
    put(backend, "run-1", b"1", b"2")
    put(backend, "run-2", b"3")
    timeline(backend)
    backend.fence("run-1")
    backend.purge("run-1", keep=True)
    assert sql(postgres_url, "SELECT seq, type FROM foldlog.event ORDER BY shard_id") == [(3, ""), (1, "MARK")]
    assert sql(postgres_url, "SELECT position FROM foldlog.timeline_type") == [(3,)]
    assert backend.diagnose(full=True) == []


@pytest.mark.parametrize("lost", ["DELETE FROM foldlog.event WHERE seq = 1", "DELETE FROM foldlog.timeline"])
def test_an_event_that_the_index_promises_is_missed(postgres_url: str, backend: PostgresBackend, lost: str) -> None:
    """P1: a read by type looks at no other rows, and must notice all the same that the one it came for is gone."""
    put(backend)
    Sequencer(backend).catch_up()
    types = frozenset(["MARK"])
    assert len(backend.read_back(before=None, limit=9, types=types)) == 1
    sql(postgres_url, lost)
    with pytest.raises(CorruptLogError, match="position 1"):
        backend.read_back(before=None, limit=9, types=types)
    with pytest.raises(CorruptLogError, match="position 1"):
        backend.read(after=0, limit=9, types=types)


def test_a_shard_that_was_made_and_purged_meanwhile_takes_nothing(backend, postgres_url, monkeypatch):
    """Between the look, which finds no such shard, and the commit it is made, filled, fenced and purged elsewhere."""
    looked = writing.look

    def look(*arguments):
        found = looked(*arguments)
        monkeypatch.setattr(writing, "look", looked)
        with contextlib.closing(opened(postgres_url)) as other:
            put(other)
            Sequencer(other).catch_up()
            other.fence("run-1")
            other.purge("run-1", keep=False)
        return found

    monkeypatch.setattr(writing, "look", look)
    with pytest.raises(ShardPurged):
        put(backend)
    assert backend.diagnose(full=True) == []
