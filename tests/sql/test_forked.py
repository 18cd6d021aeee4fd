"""A process is forked from one that has a log open (multiprocessing's way on Linux until 3.14): connections and threads
are the parent's.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from foldlog.backends import open_backend
from foldlog.backends.sql.backend import SqlBackend
from foldlog.engine.log.port import ANY, Append, Record


@pytest.fixture(params=["postgres", "mysql"])
def backend(request: pytest.FixtureRequest) -> Iterator[SqlBackend]:
    with contextlib.closing(open_backend(request.getfixturevalue(f"{request.param}_url"))) as backend:
        assert isinstance(backend, SqlBackend)
        yield backend


def append(backend: SqlBackend) -> int:
    return backend.append(Append("run-1", [Record("MARK", 1, 1, b"x")], bytes(16), ANY, None)).last_seq


def forked(work: Callable[[], object], seconds: float = 10) -> int | None:
    """The exit code of a child that does some work; None if it has not ended in time."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def session(backend: SqlBackend) -> object:
    sql = "pg_catalog.pg_backend_pid()" if backend.stats()["backend"] == "postgres" else "connection_id()"
    return backend._database.ask("looking for the session", f"SELECT {sql}")[0][0]


def test_a_child_that_closes_the_log_leaves_the_parents_connections(backend: SqlBackend) -> None:
    append(backend)
    before = session(backend)
    assert forked(backend.close) == 0
    assert session(backend) == before
    assert append(backend) == 2


def test_a_child_that_uses_the_log_has_connections_of_its_own(backend: SqlBackend) -> None:
    append(backend)
    before = session(backend)

    def work() -> None:
        assert append(backend) == 2
        assert session(backend) != before
        backend.close()

    assert forked(work) == 0
    assert session(backend) == before
    assert append(backend) == 3


def test_a_lock_held_at_the_fork_is_not_held_in_the_child(backend: SqlBackend) -> None:
    append(backend)
    with backend._database._lock, backend._writer._lock:
        assert forked(lambda: (append(backend), backend.close())) == 0


def test_a_child_closes_a_log_that_its_parent_follows(postgres_url: str) -> None:
    with contextlib.closing(open_backend(postgres_url)) as backend:
        follower = threading.Thread(target=lambda: backend.wait(timeout_us=3_000_000))  # type: ignore[attr-defined]
        follower.start()
        time.sleep(0.5)
        assert forked(backend.close, 2) == 0
        follower.join()
