"""The log on objects passes the one suite: in memory, in a folder, on an S3 server, and on an Azure one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.testing import BackendSuite, Store


class TestObjectsInMemory(BackendSuite):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        objects = MemoryObjects("memory:objects")
        with Store(opener=lambda read_only: ObjectBackend(objects, read_only=read_only)) as store:
            yield store


class TestObjectsInAFolder(BackendSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        with Store(f"file://{tmp_path}/log") as store:
            yield store


class TestObjectsOnS3(BackendSuite):
    @pytest.fixture
    def store(self, s3_bucket: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
        monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
        with Store(f"{s3_bucket.url}/log") as store:
            yield store


class TestObjectsOnAzure(BackendSuite):
    @pytest.fixture
    def store(self, azure_container: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
        monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(azure_container.options))
        with Store(f"{azure_container.url}/log") as store:
            yield store
