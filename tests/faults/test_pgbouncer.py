"""Behind a proxy that pools by transaction: each transaction of a client may come to another session of the server, and
each session to another client after it. So nothing may be kept in a session: no prepared statement, no setting, no
temporary table, no lock, no LISTEN.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from caller import call, told
from served import Postgres
from story import Known, asset, check, check_end, line, tell, text_of
from test_servers_holes import begun, sound
from test_servers_restart import follow, writing

import foldlog
from foldlog.engine.events.event import Event, Retention
from foldlog.engine.events.log import LogMessage
from foldlog.engine.events.tombstone import RunDeleted
from foldlog.engine.log.log import EventLog
from foldlog.engine.open import open_log

POOLED = 4  #: sessions that the proxy has for a database (tests/servers/pgbouncer.py)
SOON_S = 5  #: a reader that polls is there by then

PROXYS_OWN = "'application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings'"

# What a session shows of those who used it before. `source` is "session" for what SET has changed and nobody reset; the
# proxy itself sets a few for each client.
TRACES = {
    "settings": f"SELECT name FROM pg_settings WHERE source = 'session' AND name NOT IN ({PROXYS_OWN})",
    "prepared statements": "SELECT statement FROM pg_prepared_statements",
    "cursors": "SELECT name FROM pg_cursors WHERE is_holdable",
    "channels": "SELECT pg_listening_channels()",
    "temporary tables": "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema()",
    "locks": "SELECT locktype FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'",
}


@contextlib.contextmanager
def sessions(url: str) -> Iterator[list[Any]]:
    """A transaction in each of the sessions that the proxy has for the database."""
    with contextlib.ExitStack() as stack:
        cursors = []
        for _ in range(POOLED):
            connection = stack.enter_context(contextlib.closing(psycopg2.connect(url)))
            cursors.append(connection.cursor())
            cursors[-1].execute("SELECT pg_backend_pid()")
        assert len({cursor.fetchone()[0] for cursor in cursors}) == POOLED, "the proxy does not pool as it should"
        yield cursors


def traces(url: str) -> dict[str, set[str]]:
    """What was left in the sessions."""
    found: dict[str, set[str]] = {}
    with sessions(url) as cursors:
        for what, question in TRACES.items():
            for cursor in cursors:
                cursor.execute(question)
                if rows := cursor.fetchall():
                    found.setdefault(what, set()).update(str(row[0]) for row in rows)
    return found


def live(log: EventLog) -> None:
    """Appends of each kind, every reading, and every change of a run's life."""
    notes: list[Any] = []
    tell(log, notes.append)
    check(log, Known(notes))
    check_end(log)
    log.append("run-6", [Event(LogMessage(text="dated"), 0), asset("asset kept")], wait="ordered")
    assert log.read_back(types=["LOG_MESSAGE"], limit=1)
    log.trim(Retention.LOG, log.head().position)
    log.append("run-7", [line("x" * 300_000)] * 3, wait="ordered")
    log.append("run-8", [line(f"{n}") for n in range(5000)], wait="ordered")
    log.purge("run-8", Event(RunDeleted(run_id="run-8"), 0))
    assert log.stats()
    assert log.backend.diagnose(full=True) == []  # type: ignore[attr-defined]


def test_a_whole_life(pgbouncer: Any) -> None:
    """P1 to P5: everything works through the proxy as without, at once by several clients, and leaves no trace."""
    with open_log(pgbouncer.url) as log:
        live(log)
        with ThreadPoolExecutor(8) as pool:
            seqs = pool.map(lambda n: log.append("run-all", [line(f"{n}")], wait="ordered").first_seq, range(40))
            assert sorted(seqs) == list(range(1, 41))
        with open_log(pgbouncer.direct) as direct:
            assert direct.read(limit=10_000).records == log.read(limit=10_000).records
            assert direct.head() == log.head()
        assert traces(pgbouncer.url) == {}
    assert traces(pgbouncer.url) == {}


def test_what_is_looked_for_would_be_found(pgbouncer: Any) -> None:
    """The method: a client that leaves each of these behind is found out."""
    with contextlib.closing(psycopg2.connect(pgbouncer.url)) as connection:
        connection.autocommit = True
        for statement in (
            "SET lock_timeout = '3s'",
            "PREPARE left_over AS SELECT 1",
            "BEGIN; DECLARE left_over CURSOR WITH HOLD FOR SELECT 1; COMMIT",
            "LISTEN left_over",
            "CREATE TEMP TABLE left_over (n int)",
            "SELECT pg_advisory_lock(1)",
        ):
            connection.cursor().execute(statement)
    assert set(traces(pgbouncer.url)) == set(TRACES)


def test_views(pgbouncer: Any) -> None:
    """P8, P9: written, asked and rebuilt through the proxy."""
    with foldlog.Instance.from_url(pgbouncer.url) as instance:
        for n in range(5):
            with instance.run("job", run_id=f"run-{n}", tags={"n": f"{n}"}) as run:
                run.materialize([f"asset-{n}"])
        assert len(instance.get_runs(foldlog.RunsFilter(statuses=[foldlog.RunStatus.SUCCESS]))) == 5
        assert instance.has_asset_key(foldlog.AssetKey(["asset-3"]))
        instance.views.rebuild()
        assert [run.run_id for run in instance.get_runs(foldlog.RunsFilter(tags={"n": "3"}))] == ["run-3"]
        with foldlog.Instance.from_url(pgbouncer.direct, read_only=True) as direct:
            assert len(direct.get_runs()) == 5
    assert traces(pgbouncer.url) == {}


def test_a_follower_is_there_without_listen(pgbouncer: Any) -> None:
    """P5: what others append, through the proxy or past it, comes soon, though no notice can be waited for."""
    seen: list[tuple[str, float]] = []

    def follow() -> None:
        with open_log(pgbouncer.url) as reader, reader.follow() as follower:
            for record in follower:
                seen.append((text_of(record), time.monotonic()))
                if seen[-1][0] == "end":
                    return

    thread = threading.Thread(target=follow, daemon=True)
    with open_log(pgbouncer.url) as log, open_log(pgbouncer.direct) as direct:
        log.append("run-1", [line("begin")], wait="ordered")
        thread.start()
        sent = {}
        for n, writer in enumerate([log, direct, log, direct]):
            time.sleep(0.3)  # the reader has come to rest
            sent[f"{n}"] = time.monotonic()
            writer.append(f"run-{n}", [line(f"{n}")], wait="ordered" if n < 2 else "durable")
        log.append("run-1", [line("end")])
        thread.join(30)
        assert [text for text, _ in seen] == ["begin", "0", "1", "2", "3", "end"]
        late = {text: at - sent[text] for text, at in seen if text in sent and at - sent[text] > SOON_S}
        assert not late


def test_a_crowd(pgbouncer: Any, tmp_path: Path) -> None:
    """P2, P3, P5: three processes append and one follows, over four sessions of the server."""
    open_log(pgbouncer.url).close()
    reader = begun(follow, pgbouncer.url)
    with writing(pgbouncer.url, tmp_path) as children:
        time.sleep(1)
    acknowledged = [answer for child in children for answer in told(child)]
    with open_log(pgbouncer.url) as log:
        log.append("run-end", [line("end")])
        seen = reader.result(60)
        assert [text_of(record) for record in seen] == sound(log)
        held = {(record.shard, record.seq): text_of(record) for record in seen}
        for shard, first_seq, texts in acknowledged:
            assert [held[shard, first_seq + n] for n in range(len(texts))] == texts
        assert len(acknowledged) > 20
    assert traces(pgbouncer.url) == {}


def test_a_client_that_is_killed_leaves_its_session_clean(pgbouncer: Any, postgres_server_url: str) -> None:
    """P2: in the middle of its transaction; the session is given to nobody before that is undone or done."""
    with open_log(pgbouncer.url) as log:
        log.append("run-1", [line("a")])
        with Postgres(pgbouncer.direct, postgres_server_url).hold("append") as hold:
            child = call(pgbouncer.url, "held", "run-1", "A")
            hold.stopped()
            child.kill()
            child.wait()
            hold.release()
        log.append("run-1", [line("b")])
        assert sound(log) in (["a", "b"], ["a", "A", "b"])
    assert traces(pgbouncer.url) == {}


def test_the_proxy_goes_away_and_comes_back(postgres_server_url: str) -> None:
    """P1: its restart is noticed as that of a server is: by UnavailableError while it is away, and no longer."""
    import servers

    kind = servers.kind_of("pgbouncer")
    if (lack := kind.missing()) is not None:
        pytest.skip(f"there is none to start: {lack}")
    with kind.Server(postgres_server_url) as proxy:
        proxy.start()
        with kind.fresh(proxy.url, postgres_server_url) as pooled, open_log(pooled.url) as log:
            log.append("run-1", [line("a")])
            proxy.kill()
            with pytest.raises(foldlog.UnavailableError):
                log.append("run-1", [line("never")], expected=99)
            proxy.start()
            log.append("run-1", [line("b")])
            proxy.stop()
            proxy.start()
            log.append("run-1", [line("c")])
            assert sound(log) == ["a", "b", "c"]
