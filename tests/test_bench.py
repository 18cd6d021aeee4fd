"""`foldlog bench` on servers, small: every workload runs and checks its answer, and leaves nothing behind.

What the figures are is a matter of `foldlog bench` itself, not of these tests.
"""

from __future__ import annotations

import json
from contextlib import closing

import psycopg2
import pytest
from click.testing import CliRunner

from foldlog.benchmarks import contest, processes, questions as on_sqlite, report, subject, telling
from foldlog.benchmarks.history import Shape
from foldlog.benchmarks.servers import appending, copying, following, questions, reading
from foldlog.benchmarks.servers.loading import loaded
from foldlog.benchmarks.servers.server import server_at
from foldlog.engine.cli.bench import LONG_ON_SERVERS, NAMES, ON_SERVERS
from foldlog.engine.cli.main import cli
from foldlog.engine.errors import UnavailableError, UsageError

SMALL = 3_000  #: events of a history


@pytest.fixture
def postgres(postgres_url):
    return server_at(postgres_url)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """All of it in seconds."""
    for module, name, value in [
        (appending, "SINGLES", 5), (appending, "BATCHES", 1), (appending, "LONG", 3), (appending, "RUNS", 4),
        (processes, "SECONDS", 0.1), (reading, "RUN", 2_000), (following, "EVENTS", 5),
        (copying, "SHAPE", Shape(3, 100)), (on_sqlite, "REPEATS", 1),
        (questions, "SMALL", SMALL), (questions, "SIZES", (2 * SMALL,)),
    ]:  # fmt: skip
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(contest, "wait_for_quiet", lambda: None)


def bench(*args, code=0):
    done = CliRunner().invoke(cli, ["bench", *map(str, args)], prog_name="foldlog", env={"FOLDLOG_BENCH_URL": ""})
    assert done.exit_code == code, done.output
    return done


def spaces(url):
    """The schemas that a benchmark has made and not dropped."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'foldlog%'")
        return cursor.fetchall()


WORKLOADS = [
    "one event an append", "1000 events an append", "4 processes, a run each", "read a run of 10,000",
    "read the timeline of 10,000", "bytes an event", "follow: acknowledged to delivered, median",
    "copy from SQLite", "copy to SQLite", "loading",
]  # fmt: skip


def all_workloads(url, *more):
    """The title of the server, after all its workloads were run once."""
    document = json.loads(bench("servers", *more, "--url", url, "--rounds", 1, "--json").stdout)
    names = [one["workload"].partition(": ")[2] for one in document["workloads"]]
    assert names[: len(WORKLOADS)] == WORKLOADS
    assert names.count("latest materialization") == 1 + len(more)
    assert names.count("flat: latest materialization") == len(more)
    assert all(one["foldlog"] > 0 for one in document["workloads"])
    (title,) = {one["workload"].partition(": ")[0] for one in document["workloads"]}
    return title, document["machine"][title]


def test_all_workloads_run_on_postgresql(postgres_url):
    title, settings = all_workloads(postgres_url, "flat")
    assert title.startswith("PostgreSQL ")
    assert "fsync=on, synchronous_commit=on" in settings
    assert spaces(postgres_url) == []


def test_all_workloads_run_on_mysql(mysql_url):
    title, settings = all_workloads(mysql_url)
    assert title.startswith(("MariaDB ", "MySQL "))
    assert "innodb_flush_log_at_trx_commit=1" in settings


def test_a_place_is_dropped_when_the_workload_fails(postgres, postgres_url):
    def work(place):
        with closing(place.open_raw()) as raw:
            raw.append_one("run", subject.plain(1))
        assert len(spaces(postgres_url)) == 1  # of the raw side; the log would make its own
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), postgres.place() as place:
        work(place)
    assert spaces(postgres_url) == []


def raw_ways(server):
    with server.place() as place, closing(place.open_raw()) as raw:
        raw.append_one("run\u00e9", subject.plain(1))
        assert raw.count() == 1
        for number, put in enumerate(raw.batches().values(), start=1):
            put("run\u00e9", [subject.plain(number) for number in range(1_500)])
            assert raw.count() == number * 1_500 + 1
        assert raw.read_run() == raw.count()


def test_all_raw_ways_store_the_same_on_postgresql(postgres):
    raw_ways(postgres)


def test_all_raw_ways_store_the_same_on_mysql(mysql_url):
    raw_ways(server_at(mysql_url))


def test_questions_find_the_same_as_the_tables_made_by_hand(postgres):
    with postgres.place() as place, loaded(place, questions.shape_of(SMALL)) as history:
        for one in on_sqlite.asked(history.rows, history.instance):
            on_sqlite.agree(one)
        assert history.instance.position == SMALL


def test_a_wrong_answer_is_no_figure():
    with pytest.raises(AssertionError, match="9 events where 10 were written"):
        appending.expect(9, 10)


def test_without_a_server_it_says_how_to_name_one():
    done = bench("servers", code=2)
    assert "foldlog bench servers --url postgresql://" in done.stderr
    assert "FOLDLOG_BENCH_URL" in done.stderr
    assert "follow measures a server" in bench("follow", code=2).stderr


def test_what_no_server_has_is_refused():
    assert "serdes has nothing to do with a server" in bench("serdes", "--url", "postgresql://h/d", code=2).stderr
    assert "not sqlite://" in bench("append", "--url", "sqlite:///x", code=1).stderr
    assert "not sqlite://" in bench("--url", "sqlite:///x", code=1).stderr


def test_a_server_that_is_not_there_is_told_without_its_password():
    for url in ("postgresql://user:hunter2@127.0.0.1:1/name", "mysql://user:hunter2@127.0.0.1:1/name"):
        with pytest.raises(UnavailableError, match="gives no answer") as caught:
            server_at(url)
        assert "127.0.0.1:1/name" in str(caught.value)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read") as caught:
        server_at("postgresql://user:hunter2@host:port/name")
    assert "hunter2" not in str(caught.value)


def test_the_help_names_every_workload():
    text = " ".join(bench("--help").stdout.split())
    for name in {*NAMES, *ON_SERVERS, *LONG_ON_SERVERS}:
        assert f" {name}" in text, name


def test_a_figure_without_a_goal_is_told_alone():
    cells = dict(zip(report.HEADINGS, report.row(contest.figure("loading", 1234.4, "events/s", "why")), strict=True))
    assert {name: cell for name, cell in cells.items() if cell} == {
        "workload": "loading (why)",
        "foldlog": "1,234 events/s",
    }


def test_the_raw_code_is_that_of_the_servers_measured(postgres_url):
    done = bench("append", "--url", postgres_url, "--rounds", 1, "--raw-code")
    assert "import psycopg2" in done.stdout
    assert "PRAGMA synchronous=FULL" not in done.stdout


def test_what_takes_long_is_told_on_the_error_stream(monkeypatch, capsys):
    told = telling.Telling("loading", 200)
    told.at(100)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(telling, "EVERY_S", 0.0)
    told.at(100)
    assert "loading: 100 of 200" in capsys.readouterr().err
