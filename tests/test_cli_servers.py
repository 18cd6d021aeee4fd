"""The command line on servers: a user who may only read, URLs that are wrong, and what is said to do about it."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg2
import pytest
from click.testing import CliRunner
from servers import mysql

import foldlog
from foldlog.engine.cli.main import cli

PASSWORD = "p@/%:#?x y"
QUOTED = "p%40%2F%25%3A%23%3Fx%20y"
NOTE = "may not write to the log: the answer is as of what others have taken in"


class Place(NamedTuple):
    """A database with a log, and a second user of it."""

    url: str
    reader: str  #: as the user
    let: Callable[[str], None]  #: give the user rights on all tables that are there


def _postgres(url: str) -> Iterator[Place]:
    name = f"reader_{secrets.token_hex(4)}"

    def run(*statements: str) -> None:
        connection = psycopg2.connect(url)
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()

    def let(rights: str) -> None:
        run(f"GRANT USAGE ON SCHEMA foldlog TO {name}", f"GRANT {rights} ON ALL TABLES IN SCHEMA foldlog TO {name}")

    run(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
    yield Place(url, _as(url, name), let)
    run(f"DROP OWNED BY {name}", f"DROP ROLE {name}")


def _mysql(url: str) -> Iterator[Place]:
    name = f"reader_{secrets.token_hex(4)}"

    def run(statement: str) -> None:
        connection = mysql.connect(url)
        connection.cursor().execute(statement)
        connection.close()

    run(f"CREATE USER '{name}'@'%' IDENTIFIED BY '{PASSWORD}'")
    yield Place(
        url, _as(url, name), lambda rights: run(f"GRANT {rights} ON `{urlsplit(url).path[1:]}`.* TO '{name}'@'%'")
    )
    run(f"DROP USER '{name}'@'%'")


def _as(url: str, user: str, password: str = QUOTED) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{user}:{password}@{parts.hostname}:{parts.port}").geturl()


@pytest.fixture(params=["postgres", "mysql"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    url = request.getfixturevalue(f"{request.param}_url")
    with foldlog.Instance.from_url(url) as instance, instance.run("nightly", run_id="done"):
        pass
    with foldlog.Instance.from_url(url) as instance:
        assert instance.get_runs()  # and so the views are there
    yield from (_postgres if request.param == "postgres" else _mysql)(url)


def pend(url: str) -> None:
    """An append that was acknowledged and has no position yet."""
    with foldlog.open_log(url) as log:
        log.append("late", [foldlog.Event.now(foldlog.events.RunCreated(job_name="nightly"))])


def call(*args: str, code: int = 0) -> Any:
    done = CliRunner().invoke(cli, args, prog_name="foldlog", catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


ASKED = (["status"], ["runs"], ["runs", "show", "done"], ["tail"], ["log", "done"], ["verify"], ["assets"])


@pytest.mark.parametrize("behind", ["order", "views"])
def test_who_may_only_read_gets_what_others_have_taken_in(place, behind):
    place.let("SELECT")
    pend(place.url)
    if behind == "views":
        with foldlog.open_log(place.url) as log:
            log.catch_up()
    told = []
    for asked in ASKED:
        done = call(*asked, "--url", place.reader)
        told += [asked[0]] if NOTE in done.stderr else []
    of_views = {"status", "runs", "verify", "assets"}
    assert set(told) == (of_views if behind == "views" else of_views | {"tail", "log"})
    done = call("status", "--json", "--url", place.reader)
    assert json.loads(done.stdout)["runs"] == {"SUCCESS": 1}


def test_the_views_of_who_may_not_write_them(place):
    """Before any views are there, and where a command has to change them."""
    place.let("SELECT")
    done = call("rebuild", "--url", place.reader, code=1)
    assert "the views at " in done.stderr
    assert "denied" in done.stderr
    assert "user who may write" in done.stderr
    assert QUOTED not in done.stderr


def test_a_wrong_url_of_the_views(place, tmp_path, monkeypatch):
    wrong = _as(place.url, "nobody", "wrong")
    (tmp_path / "foldlog.yaml").write_text(f"storage: {{url: '{place.url}', views: '{wrong}'}}\n")
    monkeypatch.setenv("FOLDLOG_HOME", str(tmp_path))
    done = call("runs", code=1)
    assert "the views at " in done.stderr
    assert "password" in done.stderr.partition("what to do: ")[2]
    assert "wrong" not in done.stderr


@pytest.mark.parametrize("command", [["status"], ["migrate", "status"]])
def test_what_to_do_about_a_wrong_password(place, command):
    done = call(*command, "--url", _as(place.url, "nobody", "wrong"), code=1)
    assert "password" in done.stderr.partition("what to do: ")[2]


def test_what_to_do_about_missing_rights(place):
    done = call("status", "--url", place.reader, code=1)
    assert "what to do: Give the " in done.stderr
    assert "GRANT" in done.stderr or "rights" in done.stderr


def test_what_to_do_about_a_backup(place, tmp_path):
    assert "`foldlog export FILE`" in call("backup", str(tmp_path / "new"), "--url", place.url, code=1).stderr


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_password_with_an_at_and_a_slash_is_not_shown(scheme):
    done = call("status", "--url", f"{scheme}://me:p@ss/word@127.0.0.1/name", code=1)
    assert "has two @" in done.stderr
    assert "ss/" not in done.stderr


def test_nothing_to_upgrade(place):
    assert call("migrate", "upgrade", "--url", place.url).stdout.startswith("nothing to do")


def test_tail_tells_the_cursor_when_the_server_goes_away(place, monkeypatch):
    def away(self):
        raise foldlog.UnavailableError("the server has gone")

    monkeypatch.setattr("foldlog.engine.log.follow.Follower.__next__", away)
    done = call("tail", "-f", "--url", place.url, code=1)
    assert "cursor: v1:" in done.stderr


def test_a_bench_without_the_right_to_make_a_place(place):
    done = call("bench", "append", "--rounds", "1", "--url", place.reader, code=1)
    assert "what to do: Name a user who may make" in done.stderr


def test_an_export_to_a_folder_that_is_not_there(place, tmp_path):
    done = call("export", str(tmp_path / "no" / "file"), "--url", place.url, code=1)
    assert "there is no folder" in done.stderr
    assert ".tmp" not in done.stderr
