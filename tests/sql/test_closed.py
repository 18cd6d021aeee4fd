"""A log is closed while other threads are in the middle of questions."""

from __future__ import annotations

import contextlib
import gc
import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from foldlog.backends import open_backend
from foldlog.backends.sql.backend import SqlBackend

SLOW = {"postgres": "SELECT pg_catalog.pg_sleep(1)", "mysql": "SELECT SLEEP(1)"}
OTHERS = {
    "postgres": "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND pid <> "
    "pg_catalog.pg_backend_pid() AND backend_type = 'client backend'",
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}


@pytest.fixture(params=SLOW)
def backends(request: pytest.FixtureRequest) -> Iterator[tuple[str, SqlBackend, SqlBackend]]:
    """Two of one log."""
    url = request.getfixturevalue(f"{request.param}_url")
    with contextlib.closing(open_backend(url)) as one, contextlib.closing(open_backend(url)) as other:
        assert isinstance(one, SqlBackend)
        assert isinstance(other, SqlBackend)
        other._database._let_go()
        yield request.param, one, other


def test_no_connection_stays_open(backends: tuple[str, SqlBackend, SqlBackend]) -> None:
    kind, log, judge = backends
    ask = sa.text(OTHERS[kind])
    with judge.engine.connect() as connection:
        threads = [threading.Thread(target=log._database.ask, args=("asking", SLOW[kind])) for _ in range(4)]
        gc.disable()  # it would close them, some time
        try:
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            log.close()
            for thread in threads:
                thread.join()
            end = time.monotonic() + 5
            while connection.scalar(ask) and time.monotonic() < end:
                connection.rollback()
                time.sleep(0.05)
            connection.rollback()
            assert connection.scalar(ask) == 0
        finally:
            gc.enable()
