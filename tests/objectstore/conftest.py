"""A server takes a hundred times as long as memory: there, most histories that are drawn by seeds are long tests."""

from __future__ import annotations

import pytest

SEEDS = 4  #: that are tried on S3 each time


@pytest.hookimpl(tryfirst=True)  # before those that are marked are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "TestObjectsOnS3" in item.nodeid and params.get("seed", 0) >= SEEDS:
            item.add_marker(pytest.mark.long)
