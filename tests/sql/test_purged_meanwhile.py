"""A shard is purged between two statements of one read: what was kept of it is found all the same, and nothing is taken
for damage.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from foldlog.backends import open_backend
from foldlog.backends.sql.backend import SqlBackend
from foldlog.backends.sql.database import Database
from foldlog.engine.log.port import ANY, Append, Record
from foldlog.engine.log.sequencer import Sequencer

KEPT = 768
SHARD = "run-1"


@pytest.fixture(params=["postgres", "mysql"])
def backend(request: pytest.FixtureRequest) -> Iterator[SqlBackend]:
    with contextlib.closing(open_backend(request.getfixturevalue(f"{request.param}_url"))) as backend:
        assert isinstance(backend, SqlBackend)
        yield backend


@pytest.fixture
def fenced(backend: SqlBackend) -> SqlBackend:
    """A log whose one run has two appends: one event that goes and one that is kept in each."""
    for body in (b"1", b"2"):
        records = [Record("LINE", 1, 1, body), Record("ASSET", 1, 1 | KEPT, body)]
        backend.append(Append(SHARD, records, body * 16, ANY, None))
    Sequencer(backend).catch_up()
    backend.fence(SHARD)
    return backend


@pytest.mark.parametrize("statement", range(1, 6))
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("way", ["read", "read_back"])
def test_a_typed_read_finds_what_is_kept(fenced: SqlBackend, monkeypatch, way: str, after: int, statement: int) -> None:
    asked, count = Database.alone, 0

    def alone(self, *arguments, **options):
        nonlocal count
        count += 1
        if count == statement:
            fenced.purge(SHARD, keep=True)
        return asked(self, *arguments, **options)

    monkeypatch.setattr(Database, "alone", alone)
    types = frozenset({"ASSET"})
    if way == "read":
        page = fenced.read(after=after, limit=10, types=types)
    else:
        page = fenced.read_back(before=None, limit=10, types=types)[::-1]
    assert [(item.position, item.record.body) for item in page if item.record] == [(2, b"1"), (4, b"2")]
