"""foldlog's own backends pass the suite that foldlog.testing exports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from foldlog.backends.memory import MemoryBackend
from foldlog.testing import BackendSuite, Store

#: a name for the test's id -> the store's URL; `{folder}` is a fresh one, `{postgres}` and `{mysql}` an empty database
STORES = {
    "memory": "memory://",
    "sqlite": "sqlite:///{folder}/log",
    "sqlite-consolidated": "sqlite:///{folder}/log?layout=consolidated",
    "sqlite-process": "sqlite:///{folder}/log?durability=process",
    "postgres": "{postgres}",
    "mysql": "{mysql}",
}


class TestBackends(BackendSuite):
    @pytest.fixture(params=STORES)
    def store(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
        url = STORES[request.param]
        if request.param == "memory":
            made = Store.of(MemoryBackend())
        elif request.param in ("postgres", "mysql"):
            made = Store(request.getfixturevalue(f"{request.param}_url"))  # skips, or fails in CI, without a server
        else:
            made = Store(url.format(folder=tmp_path))
        with made:
            yield made


def test_no_part_of_the_suite_hides_another() -> None:
    """A test or a fixture of the same name in two parts would run in one of them only."""
    names = [name for part in BackendSuite.__mro__[1:-1] for name in vars(part) if not name.startswith("_")]
    assert sorted(names) == sorted(set(names))
