import pytest
from foldlog.testing import BackendSuite, Store
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects


class TestObjectsInMemory(BackendSuite):
    @pytest.fixture
    def store(self):
        objects = MemoryObjects("memory:objects")
        with Store(opener=lambda read_only: ObjectBackend(objects, read_only=read_only)) as store:
            yield store
