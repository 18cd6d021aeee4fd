"""What is special to MySQL and MariaDB: locks, sessions, packets, names, URLs, rights, tables made bit by bit.

What every backend does is in the conformance suite.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from urllib.parse import quote, urlsplit
from uuid import UUID

import pymysql
import pytest
import servers
import sqlalchemy as sa

from foldlog.backends import check_url, open_backend
from foldlog.backends.mysql import MysqlBackend, making
from foldlog.backends.mysql.address import parse
from foldlog.backends.mysql.connection import LogConnection, context_of
from foldlog.backends.mysql.dialect import ADVANCE, FREE, SETTLE
from foldlog.backends.mysql.inserting import BODY
from foldlog.backends.sql import appending, writing
from foldlog.engine.errors import CorruptLogError, FoldlogError, ReadOnlyError, UnavailableError, UsageError
from foldlog.engine.log.port import ANY, Append, Gate, GateState, Receipt, Record
from foldlog.engine.log.sequencer import Sequencer

PASSWORD = "s3cret/pw"


def opened(url: str, **options: bool) -> MysqlBackend:
    backend = open_backend(url, **options)
    assert isinstance(backend, MysqlBackend)
    return backend


@pytest.fixture
def backend(mysql_url: str) -> Iterator[MysqlBackend]:
    with contextlib.closing(opened(mysql_url)) as backend:
        yield backend


def an_append(shard: str = "run-1", *bodies: bytes, expected=ANY, key: int | None = None) -> Append:
    records = [Record("T", 1, 0, body) for body in bodies or (b"body",)]
    digest = b"".join(bodies)[:16].ljust(16, b"\0")
    return Append(shard, records, digest, expected, UUID(int=key) if key is not None else None)


def put(backend: MysqlBackend, shard: str = "run-1", *bodies: bytes, expected=ANY, key=None) -> Receipt:
    return backend.append(an_append(shard, *bodies, expected=expected, key=key))


def held(backend: MysqlBackend, shard: str = "run-1") -> list[bytes]:
    found = backend.read_shard(shard, after_seq=0, limit=1000, types=None, newest_first=False)
    assert [stored.seq for stored in found] == list(range(1, len(found) + 1))
    return [stored.record.body for stored in found]


def timeline(backend: MysqlBackend) -> list[bytes | None]:
    Sequencer(backend).catch_up()
    found = backend.read(after=0, limit=1000, types=None)
    assert [stored.position for stored in found] == list(range(1, len(found) + 1))
    return [stored.record and stored.record.body for stored in found]


def connect(url: str, **options):
    return servers.kind_of("mysql").connect(url, ssl_disabled=True, **options)


def sql(url: str, *statements: str) -> list[tuple]:
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def uncommitted(url: str, backend: MysqlBackend, shard: str) -> Iterator[None]:
    """An append of another process that has been written and not committed."""
    with contextlib.closing(opened(url)) as other:
        end = other._writer._place(_order(shard))
        with other._database.outside("holding an append") as raw:
            cursor = raw.cursor()
            cursor.execute("START TRANSACTION")
            tx = _Doing(other, cursor)
            other._writer._write(tx, [(_order(shard), end)])
            yield
            cursor.execute("ROLLBACK")


def _order(shard: str):
    from foldlog.backends.sql.appending import Order

    return Order.of(an_append(shard))


def _Doing(other: MysqlBackend, cursor):
    from foldlog.backends.sql.database import Transaction

    return Transaction(cursor, other._dialect, None)


def quick(work) -> object:
    """The answer of something that must wait for nobody."""
    start = time.monotonic()
    answer = work()
    assert time.monotonic() - start < 5, "it waited for a lock"
    return answer


# -- locks ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def neighbours(backend: MysqlBackend) -> list[str]:
    """Shards whose rows lie side by side in each table."""
    names = [f"run-{n}" for n in range(1, 8)]
    for name in names:
        put(backend, name)
    return names


@pytest.mark.parametrize("at", [0, 3, 6])
def test_appends_of_different_shards_never_wait(backend, mysql_url, neighbours, at):
    with uncommitted(mysql_url, backend, neighbours[at]):
        for name in neighbours:
            if name != neighbours[at]:
                quick(lambda name=name: put(backend, name))
                quick(lambda name=name: put(backend, name, b"keyed", key=7))
        quick(lambda: put(backend, "run-35"))


@pytest.mark.parametrize("sealed", [False, True])
def test_the_sequencer_waits_for_no_append(backend, mysql_url, neighbours, sealed):
    if sealed:
        Sequencer(backend).catch_up()
        assert all(backend.seal(name) for name in neighbours)
        for name in neighbours:
            put(backend, name)
    with uncommitted(mysql_url, backend, neighbours[3]), uncommitted(mysql_url, backend, "run-new"):
        quick(lambda: Sequencer(backend).catch_up())
        assert backend.head().position == (14 if sealed else 7)
        assert quick(lambda: backend.seal(neighbours[0]))
        quick(lambda: backend.fence(neighbours[1]))
        quick(lambda: backend.purge(neighbours[1], keep=True))
    put(backend, neighbours[3])
    Sequencer(backend).catch_up()
    assert backend.head().position == (15 if sealed else 8)


def test_an_append_of_an_unknown_shard_does_not_stop_that_of_its_neighbour(backend, mysql_url):
    with uncommitted(mysql_url, backend, "run-1"):
        quick(lambda: put(backend, "run-0"))
        quick(lambda: put(backend, "run-2"))
        quick(lambda: put(backend, "run-1x"))


@pytest.mark.parametrize(
    ("statement", "values"),
    [
        (SETTLE, {"rows": "[[1, 1], [2, 1]]"}),
        (ADVANCE, {"rows": "[[1, 0, 1], [2, 0, 1]]"}),
        (FREE, {"rows": "[[1, 5], [2, 6]]", "id": 1}),
    ],
)
def test_rows_are_found_by_their_keys(backend, mysql_url, neighbours, statement, values):
    """A scan would stop at the first row of a transaction under way."""
    text = backend._dialect.spell(statement)
    with contextlib.closing(connect(mysql_url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {text}", values)
        names = [column[0] for column in cursor.description]
        plan = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    assert [step["type"] for step in plan if step["table"] != "v"] == ["eq_ref"]


def test_a_closed_gate_holds_off_appends(backend, mysql_url):
    put(backend)
    with uncommitted(mysql_url, backend, "run-1"):
        thread = threading.Thread(
            target=backend.set_gate, args=(Gate(GateState.MOVED, "elsewhere"),), kwargs={"expected": backend.gate()}
        )
        thread.start()
        thread.join(0.5)
        assert thread.is_alive(), "the gate was closed over an append under way"
    thread.join(10)
    assert not thread.is_alive()
    for bodies in [(b"a",), (b"a", b"b"), (b"x" * (BODY + 1),)]:
        with pytest.raises(FoldlogError, match="elsewhere"):
            put(backend, "run-1", *bodies)
        with pytest.raises(FoldlogError, match="elsewhere"):
            put(backend, "run-new", *bodies)
    assert held(backend) == [b"body"]


def test_a_remembered_end_makes_no_hole(backend, mysql_url):
    for bodies in [(b"a",), (b"a", b"b")]:
        put(backend, "run-1", b"1")
        last = put(backend, "run-1", b"2")
        for table, column in (("event", "seq"), ("news", "first_seq")):  # as if an older backup had come back
            sql(mysql_url, f"DELETE FROM {table} WHERE {column} = {last.first_seq}")
        assert put(backend, "run-1", *bodies).first_seq == last.first_seq
    held(backend)


def test_a_lost_race_for_a_lock_is_tried_again(backend, mysql_url):
    put(backend)
    with contextlib.closing(connect(mysql_url, autocommit=False)) as holder, holder.cursor() as cursor:
        cursor.execute("SELECT * FROM log FOR UPDATE")
        backend._database.alone("setting", lambda cursor: cursor.execute("SET innodb_lock_wait_timeout = 1"))
        thread = threading.Thread(target=Sequencer(backend).catch_up)
        thread.start()
        time.sleep(2.5)
        assert thread.is_alive()
        holder.rollback()
        thread.join(10)
    assert backend.head().position == 1


def test_a_transaction_that_the_server_has_ended_is_not_committed(backend, mysql_url):
    """The driver does not say so: what comes behind the end commits by itself."""
    from foldlog.backends.sql.dialect import Mode

    def work(tx):
        tx.execute("SELECT 1")
        tx.execute("ROLLBACK")  # as a server does by itself
        tx.execute("UPDATE foldlog.epoch SET reason = reason")

    with pytest.raises(UnavailableError, match="rolled the transaction back"):
        backend._database.run("changing", work, mode=Mode.WRITE)


# -- sessions ---------------------------------------------------------------------------------------------------------

HOSTILE = {
    "sql_mode": "'ANSI,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,IGNORE_SPACE,ONLY_FULL_GROUP_BY,NO_UNSIGNED_SUBTRACTION'",
    "completion_type": "'RELEASE'",
    "autocommit": "0",
    "time_zone": "'-11:00'",
    "sql_safe_updates": "1",
    "sql_select_limit": "3",
    "innodb_lock_wait_timeout": "1",
    "wait_timeout": "2",
    "unique_checks": "0",
    "sql_auto_is_null": "1",
    "sql_big_selects": "0",
    "max_join_size": "10",
}


def test_defaults_of_the_server_do_not_matter(mysql_server):
    server = mysql_server.url
    sql(server, "CREATE DATABASE here CHARACTER SET latin1 COLLATE latin1_german1_ci")
    sql(server, *(f"SET GLOBAL {name} = {value}" for name, value in HOSTILE.items()))
    url = urlsplit(server)._replace(path="/here").geturl()
    with contextlib.closing(opened(url)) as backend:
        body = bytes(range(256)) + b"'\\\"%s %(x)s \0\n"
        for n in range(5):
            put(backend, f'it\'s \\ "{n}" % ä 🙂', body)
        assert timeline(backend) == [body] * 5
        assert len(backend.shards(after="", limit=10)) == 5
        now = time.time() * 1e6
        assert abs(backend.pending(limit=1) == [] and backend.placed(after=0, limit=1)[0].receipt.at_us - now) < 60e6
        with backend.engine.begin() as connection:  # views on the same pool
            assert connection.execute(sa.text("SELECT 1 || 0")).scalar() == 1
        time.sleep(2.5)  # past the server's own wait_timeout
        put(backend)
        assert backend.diagnose(full=True) == []


def test_what_shares_the_pool_has_transactions(backend, mysql_url):
    sql(mysql_url, "CREATE TABLE other (id int primary key) ENGINE=InnoDB")
    held = [backend.engine.connect() for _ in range(3)]
    for connection in held:
        connection.close()
    put(backend)  # the log and others hand the same connections to each other
    for _ in range(3):
        with contextlib.suppress(ZeroDivisionError), backend.engine.begin() as connection:
            connection.execute(sa.text("INSERT INTO other VALUES (1)"))
            raise ZeroDivisionError
        put(backend)
    assert sql(mysql_url, "SELECT count(*) FROM other") == [(0,)]
    with backend.engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO other VALUES (1)"))
        assert sql(mysql_url, "SELECT count(*) FROM other") == [(0,)]
    assert sql(mysql_url, "SELECT count(*) FROM other") == [(1,)]
    with backend.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("INSERT INTO other VALUES (2)"))
        assert sql(mysql_url, "SELECT count(*) FROM other") == [(2,)]
    assert len(timeline(backend)) == 4


def test_an_append_is_one_round_trip(backend, monkeypatch):
    put(backend)
    sent = []
    monkeypatch.setattr(LogConnection, "_write_bytes", _counting(sent, LogConnection._write_bytes))
    for _ in range(10):
        put(backend)
    assert len(sent) == 10
    put(backend, "run-1", *[b"x" * 600] * 1000)
    assert len(sent) == 11
    backend.append_group([an_append("run-1"), an_append("run-1", b"2")])
    assert len(sent) == 12


def _counting(sent: list, write):
    def counted(self, data):
        sent.append(len(data))
        return write(self, data)

    return counted


def test_a_connection_on_which_an_answer_was_broken_off_is_given_up(backend, monkeypatch):
    """Its next statement would read the answer as its own."""
    put(backend)
    read = LogConnection._read_packet

    def interrupted(self, *args):
        monkeypatch.setattr(LogConnection, "_read_packet", read)
        raise KeyboardInterrupt

    for work in (
        lambda: put(backend, "run-1", b"lost?"),
        lambda: backend.head(),
        lambda: Sequencer(backend).catch_up(),
    ):
        monkeypatch.setattr(LogConnection, "_read_packet", interrupted)
        with pytest.raises(KeyboardInterrupt):
            work()
        put(backend, "run-1", b"more")
        assert backend.head().epoch == 1
    assert held(backend)[-1] == b"more"
    assert len(timeline(backend)) == len(held(backend))


# -- names and sizes --------------------------------------------------------------------------------------------------


def test_names_differ_by_their_bytes(backend):
    names = ["run", "Run", "RUN", "run ", "run  ", "rün", "run\t", "r\u0075\u0308n", "ß", "ss", "🙂", "🙃"]
    for n, name in enumerate(names):
        put(backend, name, b"%d" % n)
    for n, name in enumerate(names):
        assert held(backend, name) == [b"%d" % n]
    assert [shard.name for shard in backend.shards(after="", limit=100)] == sorted(names, key=str.encode)
    timeline(backend)
    types = ["T", "t", "t ", "tä", "ta"]
    backend.append(Append("types", [Record(type, 1, 0, type.encode()) for type in types], bytes(16), ANY, None))
    Sequencer(backend).catch_up()
    for type in types:
        found = backend.read(after=0, limit=100, types=frozenset({type}))
        assert [stored.record.type for stored in found if stored.shard == "types"] == [type]
        found = backend.read_shard("types", after_seq=0, limit=10, types=frozenset({type}), newest_first=False)
        assert [stored.record.body for stored in found] == [type.encode()]
    assert backend.diagnose(full=True) == []


SIZES = [0, 1, BODY - 1, BODY, BODY + 1, 2 * BODY, 2 * BODY + 1, 5 * BODY + 77]


def test_long_bodies(backend, mysql_url):
    dice = random.Random(5)
    bodies = [dice.randbytes(size) for size in SIZES]
    put(backend, "one", *bodies)
    for body in bodies:
        put(backend, "many", body)
    assert held(backend, "one") == held(backend, "many") == bodies
    assert timeline(backend) == bodies * 2
    found = backend.read(after=0, limit=100, types=frozenset({"T"}))
    assert [stored.record.body for stored in found] == bodies * 2
    assert backend.diagnose(full=True) == []
    weight = backend.weigh(None, through=100, shard=None)
    assert sum(one.bytes for one in weight.values()) == 2 * sum(SIZES)
    entries = backend.extract(after=0, limit=100, size=10**9)
    assert [record.body for entry in entries for record in entry.records] == bodies * 2
    backend.fence("one")
    backend.purge("one", keep=False)
    assert sql(mysql_url, "SELECT DISTINCT shard_id FROM piece") == [(2,)]
    assert held(backend, "many") == bodies


def test_a_body_that_lost_a_piece_is_damaged(backend, mysql_url):
    put(backend, "run-1", b"x" * (3 * BODY))
    sql(mysql_url, "DELETE FROM piece WHERE part = 1")
    with pytest.raises(CorruptLogError):
        held(backend)
    assert backend.diagnose(full=True)


def test_sixteen_mebibytes_pass_a_packet_of_one(mysql_server):
    server = mysql_server.url
    sql(server, "CREATE DATABASE here", "SET GLOBAL max_allowed_packet = 1048576")
    with contextlib.closing(opened(urlsplit(server)._replace(path="/here").geturl())) as backend:
        body = random.Random(1).randbytes(16 * 1024 * 1024)
        put(backend, "run-1", b"first")
        put(backend, "run-1", body)
        put(backend, "run-2", *[body[n : n + 16384] for n in range(0, len(body), 16384)])
        put(backend, "run-3", *[b""] * 20_000)
        names = [f"{n:04}" * 250 for n in range(900)]
        backend.append(Append("run-4", [Record(name, 1, 0, b"") for name in names], bytes(16), ANY, None))
        Sequencer(backend).catch_up()
        assert backend.read(after=1, limit=1, types=None)[0].record.body == body
        assert b"".join(held(backend, "run-2")[:1000]) == body[: 1000 * 16384]
        assert backend.head().position == 2 + 1024 + 20_000 + 900
        assert len(backend.read(after=0, limit=10, types=frozenset({names[7]}))) == 1
        sql(server, "SET GLOBAL max_allowed_packet = 524288")
        with pytest.raises(UsageError, match="max_allowed_packet"):
            opened(urlsplit(server)._replace(path="/here").geturl())


# -- URLs, rights and the schema --------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["mysql", "mariadb", "mysql+pymysql", "mariadb+pymysql", "MySQL"])
def test_every_scheme_means_pymysql(mysql_url, scheme):
    with contextlib.closing(opened(mysql_url.replace("mysql:", f"{scheme}:", 1))) as backend:
        put(backend)
        assert backend.engine.driver == "pymysql"


@pytest.mark.parametrize(
    ("tail", "named"),
    [
        ("h", "database"),
        ("h/d?schema=x", "schema"),
        ("h/d?durability=no", "durability"),
        ("h/d?durability=full&durability=full", "twice"),
        ("h/d?charset=latin1", "utf8mb4"),
        ("h/d?ssl_mode=sometimes", "ssl_mode"),
        ("h/d?ssl_mode=disabled&ssl_ca=/x", "ssl_mode"),
        ("h/d?ssl_mode=verify_ca", "ssl_ca"),
        ("h/d?connect_timeout=0", "connect_timeout"),
        ("u:p@q@h/d", "percent-encode"),
        ("h:port/d", "cannot be read"),
    ],
)
def test_what_a_url_cannot_be_is_named(tail, named):
    with pytest.raises(UsageError, match=named):
        check_url(f"mysql://{tail}")


def test_connections_are_encrypted_where_they_leave_the_machine(tmp_path):
    assert parse("mysql://h/d").tls == "preferred"
    assert parse("mysql://h/d?ssl_ca=/x").tls == "verify_ca"
    assert parse("mysql://localhost/d?ssl_mode=required").tls == "required"
    for here in ("mysql:///d", "mysql://127.0.0.1/d", "mysql://[::1]/d", "mysql://h/d?unix_socket=/s"):
        assert context_of(parse(here)) is None
    with pytest.raises(UsageError, match="certificates"):
        context_of(parse(f"mysql://h/d?ssl_ca={tmp_path}/none"))
    checked = context_of(parse("mysql://h/d?ssl_mode=verify_identity"))
    assert checked is not None
    assert checked.check_hostname


def test_a_server_without_tls_is_refused_where_it_is_required(mysql_url):
    if sql(mysql_url, "SELECT @@have_ssl") == [("YES",)]:
        pytest.skip("this server has TLS")
    with pytest.raises(FoldlogError, match="SSL"):
        opened(f"{mysql_url}?ssl_mode=required")
    with contextlib.closing(opened(f"{mysql_url}?ssl_mode=preferred")) as backend:
        put(backend)


def test_certificates_are_checked_where_that_is_asked_for(tmp_path, monkeypatch):
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate with")
    kind = servers.kind_of("mysql")
    if kind.missing():
        pytest.skip(kind.missing())
    with tempfile.TemporaryDirectory() as folder:  # the server's own user must get there
        os.chmod(folder, 0o755)
        key, certificate = f"{folder}/key.pem", f"{folder}/cert.pem"
        make = (
            "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
        )
        subprocess.run([*make.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
        os.chmod(key, 0o644)
        monkeypatch.setattr(kind, "SETTINGS", {**kind.SETTINGS, "ssl-cert": certificate, "ssl-key": key})
        with kind.Server() as server:
            server.start()
            sql(server.url, "CREATE DATABASE here")
            url = urlsplit(server.url)._replace(path="/here").geturl()
            named = url.replace("127.0.0.1", "localhost")
            encrypted = [
                f"{url}?ssl_mode=preferred",
                f"{url}?ssl_mode=required",
                f"{url}?ssl_ca={certificate}",
                f"{named}?ssl_ca={certificate}&ssl_mode=verify_identity",
            ]
            for secure in (*encrypted, url):
                with contextlib.closing(opened(secure)) as backend:
                    cipher = backend._database.ask("asking", "SHOW STATUS LIKE 'Ssl_cipher'")[0][1]
                    assert bool(cipher) == (secure != url)
                    put(backend)
            wrong = [f"{named}?ssl_mode=verify_identity", f"{url}?ssl_ca={certificate}&ssl_mode=verify_identity"]
            for refused in wrong:
                with pytest.raises(UsageError, match="certificate"):
                    opened(refused)


@pytest.fixture
def limited_url(mysql_url: str, mysql_server_url: str) -> Iterator[str]:
    """The URL of a user without rights on the database yet."""
    user = f"u{random.randrange(10**9)}"
    sql(mysql_server_url, f"CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD}'")
    parts = urlsplit(mysql_url)
    yield parts._replace(netloc=f"{user}:{quote(PASSWORD, safe='')}@{parts.hostname}:{parts.port}").geturl()
    sql(mysql_server_url, f"DROP USER '{user}'@'%'")


def grant(server: str, limited: str, rights: str) -> None:
    parts = urlsplit(limited)
    sql(server, f"GRANT {rights} ON `{parts.path[1:]}`.* TO '{parts.username}'@'%'")


def test_the_rights_on_its_database_are_enough(mysql_server_url, limited_url):
    with pytest.raises(UsageError, match="rror 1044"):
        opened(limited_url)
    grant(mysql_server_url, limited_url, "ALL")
    with contextlib.closing(opened(limited_url)) as backend:
        put(backend)
        assert timeline(backend) == [b"body"]
        assert backend.stats()["bytes"] > 0


def test_read_only_needs_no_right_to_write(backend, mysql_server_url, limited_url):
    grant(mysql_server_url, limited_url, "SELECT")
    put(backend)
    Sequencer(backend).catch_up()
    with contextlib.closing(opened(limited_url, read_only=True)) as reader:
        assert held(reader) == [b"body"]
        assert reader.read(after=0, limit=5, types=None)[0].position == 1
        assert reader.diagnose(full=True) == []
        with pytest.raises(ReadOnlyError):
            put(reader)
    with contextlib.closing(opened(limited_url)) as writer, pytest.raises(ReadOnlyError, match="1142"):
        put(writer)


def test_a_server_that_is_read_only(mysql_server):
    server = mysql_server.url
    sql(server, "CREATE DATABASE here", "CREATE USER me@'%' IDENTIFIED BY 'x'", "GRANT ALL ON here.* TO me@'%'")
    url = f"mysql://me:x@127.0.0.1:{urlsplit(server).port}/here"
    with contextlib.closing(opened(url)) as backend:
        put(backend)
        sql(server, "SET GLOBAL read_only = 1")
        with pytest.raises(ReadOnlyError):
            put(backend)
        assert held(backend) == [b"body"]


def test_the_password_is_never_shown(mysql_url, limited_url):
    wrong = limited_url.replace(quote(PASSWORD, safe=""), "w%2Fr0ng-secret")
    for url in (wrong, "mysql://u:w%2Fr0ng-secret@127.0.0.1:1/db", "mysql://u:w/r0ng-secret@h/db?x=y"):
        with pytest.raises(FoldlogError) as caught:
            opened(url)
        seen: BaseException | None = caught.value
        while seen is not None:
            assert "r0ng-secret" not in f"{seen} {seen!r}"
            seen = seen.__cause__
    assert "secret" not in repr(parse("mysql://u:secret@h/d"))


def _log_id(url: str, pipe) -> None:
    with contextlib.closing(opened(url)) as backend:
        pipe.send(backend.head().log_id)


def test_processes_that_open_at_once_make_one_log(mysql_url):
    spawn = multiprocessing.get_context("spawn")
    pipes = [spawn.Pipe() for _ in range(5)]
    processes = [spawn.Process(target=_log_id, args=(mysql_url, pipe)) for _, pipe in pipes]
    for process in processes:
        process.start()
    found = {pipe.recv() for pipe, _ in pipes if pipe.poll(60)}
    for process in processes:
        process.join(30)
        assert process.exitcode == 0
    assert len(found) == 1


@pytest.mark.parametrize("made", range(0, 12))
def test_tables_that_were_being_made_are_completed(mysql_url, made):
    """DDL commits by itself: whoever makes the tables may die between any two."""
    database = urlsplit(mysql_url).path[1:]
    sql(mysql_url, *(text.replace("foldlog.", f"`{database}`.") for text in making.statements()[:made]), "DO 1")
    with pytest.raises(UsageError, match="no log"):
        opened(mysql_url, read_only=True)
    with contextlib.closing(opened(mysql_url)) as backend:
        put(backend)
        assert timeline(backend) == [b"body"]


@pytest.mark.parametrize("table", ["log", "event", "kept", "piece"])
@pytest.mark.parametrize("rows", [0, 1])
def test_tables_of_another_program_are_refused(mysql_url, table, rows):
    sql(mysql_url, f"CREATE TABLE `{table}` (id int, program text)")
    sql(mysql_url, *[f"INSERT INTO `{table}` VALUES (1, 'mine')"] * rows, "DO 1")
    with pytest.raises(CorruptLogError, match=f"`{table}` there is not foldlog's") as caught:
        opened(mysql_url)
    assert "another database" in caught.value.remedy
    assert sql(mysql_url, f"SELECT count(*) FROM `{table}`") == [(rows,)]
    assert [name for (name,) in sql(mysql_url, "SHOW TABLES")] == [table]


def test_a_log_that_lost_its_row_is_damaged(backend, mysql_url):
    put(backend)
    sql(mysql_url, "DELETE FROM log")
    with pytest.raises(CorruptLogError):
        backend.head()
    with pytest.raises(CorruptLogError):
        opened(mysql_url)


def test_another_format_is_refused(backend, mysql_url):
    for format, remedy in ((99, "newer"), (1, "migrate upgrade")):
        sql(mysql_url, f"UPDATE log SET format = {format}")
        with pytest.raises(UsageError) as caught:
            opened(mysql_url)
        assert remedy in caught.value.remedy


def test_a_server_that_may_lose_commits_is_refused(mysql_server):
    server = mysql_server.url
    sql(server, "CREATE DATABASE here", "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
    url = urlsplit(server)._replace(path="/here").geturl()
    with pytest.raises(UsageError, match="innodb_flush_log_at_trx_commit") as caught:
        opened(url)
    assert "durability=process" in caught.value.remedy
    with contextlib.closing(opened(f"{url}?durability=process")) as backend:
        put(backend)
    with contextlib.closing(opened(url, read_only=True)) as backend:
        assert held(backend) == [b"body"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("5.5.5-10.11.18-MariaDB-0+deb12u1", (10, 11, 18)),
        ("11.4.2-MariaDB", (11, 4, 2)),
        ("8.0.36", (8, 0, 36)),
        ("8.4.0-log", (8, 4, 0)),
        ("9.1", (9, 1, 0)),
    ],
)
def test_versions_are_read(text, found):
    from foldlog.backends.mysql.connection import version

    assert version(text) == found


# -- connections ------------------------------------------------------------------------------------------------------


def kill_all(url: str) -> None:
    database = urlsplit(url).path[1:]
    with contextlib.closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM information_schema.processlist WHERE db = %s AND id <> connection_id()", (database,)
        )
        for (who,) in cursor.fetchall():
            with contextlib.suppress(pymysql.err.OperationalError):
                cursor.execute("KILL %s", (who,))


def test_killed_connections_are_not_noticed(backend, mysql_url):
    put(backend)
    for work in (lambda: held(backend), lambda: put(backend), lambda: Sequencer(backend).catch_up(), backend.stats):
        kill_all(mysql_url)
        work()
    assert held(backend) == [b"body"] * 2


def test_a_restart_of_the_server_is_not_noticed(mysql_server):
    sql(mysql_server.url, "CREATE DATABASE here")
    with contextlib.closing(opened(urlsplit(mysql_server.url)._replace(path="/here").geturl())) as backend:
        put(backend)
        mysql_server.stop()
        with pytest.raises(UnavailableError):
            put(backend)
        mysql_server.start()
        put(backend)
        assert held(backend) == [b"body"] * 2


def test_too_many_connections_are_told(mysql_server):
    server = mysql_server.url
    sql(server, "CREATE DATABASE here", "CREATE USER me@'%' IDENTIFIED BY 'x'", "GRANT ALL ON here.* TO me@'%'")
    with contextlib.closing(opened(f"mysql://me:x@127.0.0.1:{urlsplit(server).port}/here")) as backend:
        backend._database.engine.dispose()
        sql(server, "ALTER USER me@'%' WITH MAX_USER_CONNECTIONS 1")
        with backend.engine.connect():
            backend._database._at_hand.clear()
            with pytest.raises(UnavailableError, match="error 1226"):
                put(backend)


def test_a_commit_that_comes_late_between_two_looks_is_found(backend, mysql_url, monkeypatch):
    """The answer was lost; the first look finds nothing, and then the commit comes through."""
    put(backend)
    order = appending.Order.of(an_append("run-1", b"late"))
    order.tried.add(2)
    end = backend._writer._ends["run-1"]
    look = writing.look

    def late(ask, dialect, append):
        monkeypatch.setattr(writing, "look", look)
        backend._writer._alone("landing", [appending.written(order, end, end.shard_id)])
        return look(ask, dialect, append)

    monkeypatch.setattr(writing, "look", late)
    backend._writer._ends.clear()
    assert backend._writer._append(order).first_seq == 2
    assert held(backend) == [b"body", b"late"]
