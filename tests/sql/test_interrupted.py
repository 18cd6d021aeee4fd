"""A KeyboardInterrupt while a connection is on its way between the log and the pool, which the views share: nobody gets
a connection that is still in a transaction, or one that commits each statement by itself where a transaction is meant.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa

from foldlog.backends import open_backend
from foldlog.backends.sql.backend import SqlBackend
from foldlog.backends.sql.database import Transaction
from foldlog.backends.sql.dialect import Mode
from foldlog.engine.log.port import ANY, Append, Record

BESIDE = sa.Table("beside", sa.MetaData(), sa.Column("n", sa.Integer))


@pytest.fixture(params=["postgres", "mysql"])
def backend(request: pytest.FixtureRequest) -> Iterator[SqlBackend]:
    with contextlib.closing(open_backend(request.getfixturevalue(f"{request.param}_url"))) as backend:
        assert isinstance(backend, SqlBackend)
        BESIDE.create(backend.engine)
        yield backend


class At:
    """Interrupts at the line of a number that database.py executes."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.endswith("backends/sql/database.py"):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
        return self


def append(backend: SqlBackend, shard: str = "run-1") -> int:
    return backend.append(Append(shard, [Record("MARK", 1, 1, b"x")], bytes(16), ANY, None)).last_seq


def check_others(backend: SqlBackend) -> None:
    """What others roll back is not there."""
    with contextlib.ExitStack() as stack:
        idle = backend.engine.pool.checkedin()  # type: ignore[attr-defined]
        for connection in [stack.enter_context(backend.engine.connect()) for _ in range(max(idle, 1))]:
            connection.execute(BESIDE.insert().values(n=1))
            connection.rollback()
            assert connection.scalar(sa.select(sa.func.count()).select_from(BESIDE)) == 0


@pytest.mark.parametrize("deed", ["append", "append to a new shard", "seal"])
def test_an_interrupt_at_any_line(backend: SqlBackend, deed: str) -> None:
    append(backend)
    for number in range(1, 200):
        at, before = At(number), sys.gettrace()
        sys.settrace(at)
        try:
            if deed == "seal":
                backend.seal("run-1")
            else:
                append(backend, "run-1" if deed == "append" else f"run-{number}-{deed}")
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        gc.collect()
        check_others(backend)
        if at.left > 0:
            break
    else:
        raise AssertionError("it never ends")
    assert number > 10
    end = append(backend)
    assert [
        item.seq for item in backend.read_shard("run-1", after_seq=0, limit=500, types=None, newest_first=False)
    ] == [*range(1, end + 1)]


def test_a_connection_that_is_forgotten_in_a_transaction(backend: SqlBackend) -> None:
    append(backend)
    database = backend._database
    database._let_go()
    for _ in range(3):
        held = database._take("forgetting")
        Transaction(held.cursor, database.dialect, Mode.WRITE).execute("UPDATE foldlog.shard SET state = 1")
        del held
        gc.collect()
        check_others(backend)
        assert database.ask("looking", "SELECT state FROM foldlog.shard") == [(0,)]
        database._let_go()
    assert append(backend) == 2
