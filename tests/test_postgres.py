"""What is special to PostgreSQL: commits in any order, URLs, schemas, rights, and servers and connections that go away.

What every backend does is in the conformance suite.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import UUID

import psycopg2
import pytest

from foldlog.backends import open_backend
from foldlog.backends.postgres import PostgresBackend
from foldlog.backends.postgres.dialect import BEGIN
from foldlog.backends.sql.appending import Order
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
from foldlog.engine.log.port import ANY, NEW, Append, Receipt, Record, ShardState
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


@contextlib.contextmanager
def uncommitted(backend: PostgresBackend, append: Append) -> Iterator[Callable[[], Receipt]]:
    """An append that has written and not committed; call what this gives to let it commit."""
    written, go = threading.Event(), threading.Event()
    writer = backend._writer
    order = Order.of(append)

    def work(tx):
        batch, times = writer._write(tx, [(order, writer._place(order))])
        written.set()
        assert go.wait(8)
        return batch[0].receipt(times[0])

    def commit() -> Receipt:
        go.set()
        return future.result(10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(backend._database.run, "test", work, mode=Mode.WRITE)
        try:
            assert written.wait(8)
            yield commit
        finally:
            go.set()


def in_thread(work: Callable[[], object]) -> Future:
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work)
    pool.shutdown(wait=False)
    return future


# -- commits in any order ---------------------------------------------------------------------------------------------


def test_a_slow_commit_is_not_skipped(backend, postgres_url):
    """P5, P7: A writes first and commits last; a reader that has passed B still gets A, and B does not wait."""
    with uncommitted(backend, an_append("run-a", b"A")) as commit:
        put(backend, "run-b", b"B")
        assert timeline(backend) == [b"B"]
        commit()
        assert timeline(backend) == [b"B", b"A"]


def test_a_slow_append_of_a_known_run_does_not_stop_the_order(backend):
    """P5, P7: the sequencer moves a shard on while an append to it is open, and others read on."""
    put(backend, "run-a", b"1")
    with uncommitted(backend, an_append("run-a", b"2")) as commit:
        put(backend, "run-b", b"3")
        assert timeline(backend) == [b"1", b"3"]
        commit()
        assert timeline(backend) == [b"1", b"3", b"2"]


def test_an_append_that_is_rolled_back_leaves_no_gap(backend, postgres_url):
    """P2, P5: neither in the shard nor on the timeline, nor a shard without events."""
    put(backend, "run-a", b"1")

    def fail(tx):
        for shard in ("run-a", "run-c"):
            order = Order.of(an_append(shard, b"never"))
            backend._writer._write(tx, [(order, backend._writer._place(order))])
        raise ConflictError("roll back")

    with pytest.raises(ConflictError):
        backend._database.run("test", fail, mode=Mode.WRITE)
    put(backend, "run-a", b"2")
    put(backend, "run-b", b"3")
    assert timeline(backend) == [b"1", b"2", b"3"]
    assert backend.find_shard("run-c") is None


@pytest.mark.parametrize("first", [True, False], ids=["new-shard", "known-shard"])
def test_two_writers_of_one_run_wait_for_each_other(backend, postgres_url, first):
    """P2: the primary key decides; the second one goes behind the first."""
    if not first:
        put(backend, "run-1", b"0")
    with contextlib.closing(opened(postgres_url)) as other, uncommitted(backend, an_append("run-1", b"A")) as commit:
        late = in_thread(lambda: put(other, "run-1", b"B"))
        time.sleep(0.2)
        assert not late.done()
        assert commit().last_seq + 1 == late.result(10).first_seq
        assert held(backend)[-2:] == [b"A", b"B"]


def test_one_key_at_once_is_one_append(backend, postgres_url):
    """P3: a retry that begins before the first try has committed finds it."""
    with contextlib.closing(opened(postgres_url)) as other:
        with uncommitted(backend, an_append("run-1", b"A", expected=NEW, key=7)) as commit:
            retry = in_thread(lambda: put(other, "run-1", b"A", expected=NEW, key=7))
            time.sleep(0.2)
            first = commit()
            assert retry.result(10) == first._replace(duplicate=True)
        assert held(backend) == [b"A"]


def test_one_key_from_many_sides_is_one_append(backend, postgres_url):
    """P3: whoever comes first."""
    with contextlib.closing(opened(postgres_url)) as other, ThreadPoolExecutor(4) as pool:
        for key in range(1, 21):
            work = [(handle, key) for handle in (backend, other) * 2]
            receipts = list(pool.map(lambda item: put(item[0], "run-1", b"%d" % item[1], key=item[1]), work))
            assert sorted(receipt.duplicate for receipt in receipts) == [False, True, True, True]
            assert len({receipt.first_seq for receipt in receipts}) == 1
    assert held(backend) == [b"%d" % key for key in range(1, 21)]


def test_a_fence_waits_for_an_append_under_way(backend, postgres_url):
    """P5, P9: what commits after a fence was acknowledged would come behind the tombstone."""
    put(backend, "run-1", b"0")
    with contextlib.closing(opened(postgres_url)) as other, uncommitted(backend, an_append("run-1", b"A")) as commit:
        fence = in_thread(lambda: other.fence("run-1"))
        time.sleep(0.2)
        assert not fence.done()
        commit()
        fence.result(10)
    assert timeline(backend) == [b"0", b"A"]
    with pytest.raises(ShardPurged):
        put(backend, "run-1", b"B")  # although this process remembers where the shard ends


def test_an_append_under_way_opens_a_sealed_shard_again(backend, postgres_url):
    """P5: the seal does not wait for it; it counts as open as soon as the append is there."""
    put(backend, "run-1", b"0")
    timeline(backend)
    with contextlib.closing(opened(postgres_url)) as other, uncommitted(backend, an_append("run-1", b"A")) as commit:
        assert other.seal("run-1") is True
        commit()
        for _ in ("pending", "placed"):
            shard = backend.find_shard("run-1")
            assert shard is not None
            assert shard.state is ShardState.OPEN
            assert timeline(backend) == [b"0", b"A"]


def test_a_remembered_end_makes_no_hole(backend, postgres_url):
    """P2: a backup is restored under a living process; what it remembers of the shard is gone."""
    for body in (b"1", b"2", b"3"):
        put(backend, "run-1", body)
    sql(postgres_url, "DELETE FROM foldlog.event WHERE seq > 1", "DELETE FROM foldlog.news WHERE first_seq > 1")
    assert put(backend, "run-1", b"again").first_seq == 2
    assert held(backend) == [b"1", b"again"]


def test_groups_of_two_processes_do_not_deadlock(backend, postgres_url):
    """P7: whatever order their appends are in."""
    with contextlib.closing(opened(postgres_url)) as other, ThreadPoolExecutor(2) as pool:
        for turn in range(10):
            groups = [(backend, ("run-a", "run-b", "run-c")), (other, ("run-c", "run-b", "run-a"))]
            work = [pool.submit(h.append_group, [an_append(s, b"%d" % turn) for s in shards]) for h, shards in groups]
            assert all(isinstance(outcome, Receipt) for future in work for outcome in future.result(20))
    assert [len(held(backend, shard)) for shard in ("run-a", "run-b", "run-c")] == [20, 20, 20]


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


def _log_id(url: str, pipe) -> None:
    pipe.recv()
    with contextlib.closing(opened(url)) as backend:
        pipe.send(str(backend.head().log_id))


def test_processes_that_open_at_once_make_one_log(postgres_url):
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(4)]
    children = [spawn.Process(target=_log_id, args=(postgres_url, theirs)) for _, theirs in pipes]
    for child in children:
        child.start()
    for ours, _ in pipes:
        ours.send("go")
    assert len({ours.recv() for ours, _ in pipes}) == 1
    for child in children:
        child.join(20)
        assert child.exitcode == 0


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


def test_nothing_is_left_in_a_session(backend, postgres_url):
    """A proxy that pools connections by transaction hands the session to somebody else."""
    before = sql(postgres_url, "SELECT name, setting FROM pg_settings WHERE name LIKE '%timeout'")
    put(backend)
    timeline(backend)
    backend.seal("run-1")
    backend.diagnose(full=True)
    with backend.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, setting FROM pg_settings WHERE name LIKE '%%timeout'").all()
        assert [tuple(row) for row in rows if row[0] != "tcp_user_timeout"] == [
            row for row in before if row[0] != "tcp_user_timeout"
        ]
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
        here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"  # others have theirs
        locks = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND {here}"
        assert connection.exec_driver_sql(locks).scalar() == 0


# -- connections and servers that go away -----------------------------------------------------------------------------


class Proxy:
    """Passes bytes to a server. `cut` says what befalls the next commit: "before" or "after" the server has it, or
    "late": the client is cut off, and the COMMIT comes to the server half a second later. `refuse`: no new connections.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.replace(f"{parts.hostname}:{parts.port}", f"127.0.0.1:{port}")
        self.cut: str | None = None
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refuse:
                    client.close()
                    continue
                server = socket.create_connection(self._server)
                threading.Thread(target=self._upward, args=(client, server), daemon=True).start()
                threading.Thread(target=self._downward, args=(server, client), daemon=True).start()

    def _upward(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError), client, server:
            while data := client.recv(1 << 16):
                # As transactions that write end; an append to a known shard commits by itself.
                if self.cut and (b"; COMMIT" in data or b".append_" in data):
                    cut, self.cut = self.cut, None
                    if cut != "after":
                        client.shutdown(socket.SHUT_RDWR)
                    else:
                        self._deaf = client  # the answer goes nowhere
                    if cut == "late":
                        time.sleep(0.5)
                    if cut != "before":
                        server.sendall(data)
                        time.sleep(0.3)
                    server.shutdown(socket.SHUT_RDWR)  # closing alone says nothing while another thread still receives
                    return
                server.sendall(data)

    def _downward(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 16):
                if getattr(self, "_deaf", None) is client:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[Proxy]:
    with contextlib.closing(Proxy(postgres_url)) as proxy:
        yield proxy


@pytest.mark.parametrize("cut", ["before", "after", "late"])
@pytest.mark.parametrize("key", [None, 7], ids=["no-key", "key"])
@pytest.mark.parametrize("known", [False, True], ids=["new-shard", "known-shard"])
def test_a_lost_answer_is_looked_up(backend, proxy, cut, key, known):
    """P2, P3: the connection dies around COMMIT; the append is recorded once, whether it had landed or not."""
    with contextlib.closing(opened(proxy.url)) as cut_off:
        before = [put(cut_off, "run-1", b"0")] if known else []
        proxy.cut = cut
        receipt = put(cut_off, "run-1", b"A", b"B", expected=1 if known else NEW, key=key)
        assert proxy.cut is None
        assert (receipt.first_seq, receipt.last_seq, receipt.duplicate) == (len(before) + 1, len(before) + 2, False)
        assert put(cut_off, "run-1", b"C").first_seq == receipt.last_seq + 1
    assert held(backend) == [b"0"] * known + [b"A", b"B", b"C"]
    assert [r.key for r in backend.pending(limit=9)][len(before)] == receipt.key


@pytest.mark.parametrize("cut", ["before", "after", "late"])
def test_a_lost_answer_to_a_group_is_looked_up(backend, proxy, cut):
    """P2, P3: each append of the group is recorded once; the refused one stays refused."""
    with contextlib.closing(opened(proxy.url)) as cut_off:
        put(cut_off, "run-1", b"0")
        proxy.cut = cut
        group = [an_append("run-2", b"A"), an_append("run-1", b"B", expected=NEW), an_append("run-1", b"C", key=3)]
        first, second, third = cut_off.append_group([*group, an_append("run-2", b"D")])[:3]
        assert isinstance(second, ConflictError)
        assert (first.first_seq, third.first_seq, third.duplicate) == (1, 2, False)
    assert held(backend, "run-1") == [b"0", b"C"]
    assert held(backend, "run-2") == [b"A", b"D"]


@pytest.mark.parametrize("cut", ["before", "after"])
def test_a_lost_answer_that_cannot_be_looked_up_is_told(backend, proxy, cut):
    """P3: UnavailableError; the caller's retry with the same key is recorded once."""
    with contextlib.closing(opened(proxy.url)) as cut_off:
        put(cut_off, "run-1", b"0")
        proxy.cut, proxy.refuse = cut, True
        with pytest.raises(UnavailableError):
            put(cut_off, "run-1", b"A", key=7)
        proxy.refuse = False
        time.sleep(0.4)
        assert put(cut_off, "run-1", b"A", key=7).duplicate is (cut == "after")
    assert held(backend) == [b"0", b"A"]


def test_a_lost_answer_to_a_placing_is_harmless(backend, proxy):
    """P5: the second try finds the positions given, or gives them."""
    with contextlib.closing(opened(proxy.url)) as cut_off:
        put(cut_off, "run-1", b"A", b"B")
        for turn, cut in enumerate(("after", "before", "late")):
            put(cut_off, "run-1", b"C")
            proxy.cut = cut
            assert Sequencer(cut_off).catch_up().position == 3 + turn
            assert proxy.cut is None
        assert timeline(cut_off) == [b"A", b"B", b"C", b"C", b"C"]
    assert backend.diagnose(full=True) == []


def test_killed_connections_are_not_noticed(backend, postgres_url):
    """P1: the server ends every connection of the pool; the next calls find new ones."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: put(backend, f"run-{n % 4}"), range(16)))
    for turn in range(3):
        sql(
            postgres_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        time.sleep(0.1)
        assert put(backend, "run-1").first_seq == 5 + turn
        assert len(timeline(backend)) == 17 + turn


def test_an_append_killed_before_its_commit_is_tried_again(backend, postgres_url, monkeypatch):
    """P2: nothing was committed, so nothing is there twice."""
    writer, calls = backend._writer, []
    write = writer._write

    def killed(tx, going, batch=None):
        answer = write(tx, going, batch)
        calls.append(going)
        if len(calls) == 1:
            pid = tx.one("SELECT pg_backend_pid()")[0]
            sql(postgres_url, f"SELECT pg_terminate_backend({pid})")
            tx.execute("SELECT 1")
        return answer

    monkeypatch.setattr(writer, "_write", killed)
    assert put(backend, "run-1", b"A").first_seq == 1
    assert len(calls) == 2
    assert held(backend) == [b"A"]


def test_a_restart_of_the_server_is_not_noticed(postgres_server):
    """P1: while it is down the answer is UnavailableError, afterwards every pooled connection is a new one."""
    with contextlib.closing(opened(postgres_server.url)) as backend:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: put(backend, f"run-{n}"), range(4)))
        for end in (postgres_server.stop, postgres_server.kill):
            count = len(held(backend, "run-1"))
            end()
            with pytest.raises(UnavailableError):
                put(backend, "run-1", b"down", key=99)
            with pytest.raises(UnavailableError):
                backend.head()
            postgres_server.start()
            assert put(backend, "run-1", b"up").first_seq == count + 1
            end()
            postgres_server.start()
            assert put(backend, "run-1", b"up").first_seq == count + 2
            assert len(timeline(backend)) == count + 5
        with pytest.raises(UnavailableError) as caught:
            opened(postgres_server.url.replace("/postgres", "/nothing"))
        assert "nothing" in str(caught.value)


def test_a_stuck_sequencer_is_put_aside(backend, postgres_url, monkeypatch):
    """P5: a process that stops in the middle of a pass gives the order back."""
    limits = "SET LOCAL idle_in_transaction_session_timeout = '300ms'", "SET LOCAL lock_timeout = '5s'"
    monkeypatch.setitem(BEGIN, Mode.WRITE, (*BEGIN[Mode.WRITE], *limits))
    put(backend, "run-1", b"A")

    def stuck(tx):
        tx.one("SELECT position FROM foldlog.log FOR UPDATE")
        time.sleep(1)
        tx.one("SELECT 1")

    holder = in_thread(lambda: backend._database.run("test", stuck, mode=Mode.WRITE))
    time.sleep(0.1)
    assert timeline(backend) == [b"A"]
    with pytest.raises(UnavailableError):
        holder.result(10)


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
