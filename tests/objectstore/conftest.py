"""A server takes a hundred times as long as memory: there, most histories that are drawn by seeds are long tests.

Of the suite on Azure, which differs from S3 in its adapter alone, only the first parts are short ones.
"""

from __future__ import annotations

import pytest

SEEDS = 2  #: that are tried on S3 each time
ON_AZURE = ("append", "life", "shard")  #: parts of the suite


@pytest.hookimpl(tryfirst=True)  # before those that are marked are left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        module = getattr(getattr(item, "function", None), "__module__", "").rpartition(".")[2]
        is_long = "TestObjectsOnS3" in item.nodeid and params.get("seed", 0) >= SEEDS
        if is_long or ("TestObjectsOnAzure" in item.nodeid and module not in ON_AZURE):
            item.add_marker(pytest.mark.long)
