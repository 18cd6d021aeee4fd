"""Instances for runs to be recorded in. Three are shared by all tests: their views, with the runs of all of them, are
folded anew at the end, must give the same answers, and must prove equal to the log.

    memory      in memory: for what does not depend on the backend
    instance    memory, SQLite and PostgreSQL in turn: for a job that stands for a feature
    fresh       in memory, of the test's own: where earlier runs would be in the way
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import servers
import watching

from foldlog import Instance


@pytest.fixture(scope="session")
def memory() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found
        watching.check_rebuilt(found)


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    # A commit that may be lost with the power costs no sync; this is no test of the disk.
    folder = tmp_path_factory.mktemp("sqlite")
    with Instance.from_url(f"sqlite:///{folder}/history?durability=process") as found:
        yield found
        watching.check_rebuilt(found)


@pytest.fixture(scope="session")
def postgres(postgres_server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with servers.kind_of("postgres").fresh(postgres_server_url) as url:
        with Instance.from_url(url, root=tmp_path_factory.mktemp("postgres")) as found:
            yield found
            watching.check_rebuilt(found)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def instance(request: pytest.FixtureRequest) -> Instance:
    found: Instance = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def fresh() -> Iterator[Instance]:
    with Instance.ephemeral() as found:
        yield found
