"""The suite that every backend passes; for authors of backends, foldlog's own among them.

    from foldlog.testing import BackendSuite, Store

    class TestMine(BackendSuite):
        @pytest.fixture
        def store(self, tmp_path):
            with Store(f"mine://{tmp_path}/log") as store:  # opened by URL, through `foldlog.backends`
                yield store

pytest then collects the suite's tests in `TestMine`. Each says in its docstring which promise (P1 to P12 of the README)
it guards. `Store` has switches for a store that only one process, or only one handle, can reach. An optional ability
(`CanGroup`, `CanWait`, `CanRepair`, `CanMove`, `CanKeep`) is tested where the backend has it. Needs pytest and nothing
else.
Not here: crashes of the machine, a failing disk or server. Each backend's own tests inject these.
"""

from __future__ import annotations

import pytest

_PARTS = (
    "append chain deletion gate group handles keeping life log model moving processes purge shard store timeline trim"
)
# Before these are imported, so that their asserts show what they compared.
pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in _PARTS.split()))

from .append import AppendTests  # noqa: E402
from .chain import ChainTests  # noqa: E402
from .deletion import DeletionTests  # noqa: E402
from .gate import GateTests  # noqa: E402
from .group import GroupTests  # noqa: E402
from .handles import HandleTests  # noqa: E402
from .keeping import KeepingTests  # noqa: E402
from .life import LifeTests  # noqa: E402
from .log import LogTests  # noqa: E402
from .model import ModelTests  # noqa: E402
from .moving import MovingTests  # noqa: E402
from .processes import ProcessTests  # noqa: E402
from .purge import PurgeTests  # noqa: E402
from .shard import ShardTests  # noqa: E402
from .store import Store  # noqa: E402
from .timeline import TimelineTests  # noqa: E402
from .trim import TrimTests  # noqa: E402

__all__ = ["BackendSuite", "Store"]


class BackendSuite(
    AppendTests,
    ShardTests,
    HandleTests,
    TimelineTests,
    ChainTests,
    LifeTests,
    PurgeTests,
    TrimTests,
    GroupTests,
    GateTests,
    MovingTests,
    KeepingTests,
    LogTests,
    DeletionTests,
    ModelTests,
    ProcessTests,
):
    """All tests of a backend. Override the fixture `store` with your own `Store`."""
