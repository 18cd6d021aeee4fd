"""The whole suite on a store that fails by a seed: refused, done with its reply lost, asked twice, slow.

What an adapter gets no answer for it asks again, so hardly anything of it reaches the log but this: a create that
answers False for its own object, at whatever object, and requests that overtake one another.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from faulty import Faulty
from retrying import Retrying

from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.testing import BackendSuite, Store

CHANCES = {"before": 0.05, "after": 0.1, "repeated": 0.15, "delay": 0.1}
SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))]


class TestObjectsThatFail(BackendSuite):
    @pytest.fixture(params=SEEDS)
    def store(self, request: pytest.FixtureRequest) -> Iterator[Store]:
        """P1 to P11, as on a store that never fails."""
        faulty = Faulty(MemoryObjects("memory:objects"), request.param, chances=CHANCES, delay_s=0.001)
        objects = Retrying(faulty)
        with Store(opener=lambda read_only: ObjectBackend(objects, read_only=read_only)) as store:
            yield store
