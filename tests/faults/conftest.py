"""What the fault tests share: a folder in memory, for those that lay out hundreds of homes and sync each; and a log on
a database server, on each kind in turn."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import served as kinds

MEMORY = Path("/dev/shm")
NEEDED = 64 * 1024 * 1024


def _room() -> bool:
    try:
        free = os.statvfs(MEMORY)
    except OSError:
        return False
    return os.access(MEMORY, os.W_OK) and free.f_bavail * free.f_frsize > NEEDED


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder whose syncs cost nothing, where the system has one; what is tested there is not the disk."""
    if not _room():
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(prefix="foldlog-", dir=MEMORY))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=kinds.KINDS)
def served(request: pytest.FixtureRequest) -> kinds.Served:
    """An empty log on a server of the session; the log's tables are made by who opens it first."""
    kind = request.param
    urls = [request.getfixturevalue(f"{kind}{name}") for name in ("_url", "_server_url")]
    return kinds.KINDS[kind](*urls)


@pytest.fixture(params=kinds.KINDS)
def own_server(request: pytest.FixtureRequest) -> kinds.OwnServer:
    """A server of the test's own, with a log on it."""
    return kinds.OwnServer(kinds.KINDS[request.param], request.getfixturevalue(f"{request.param}_server"))
