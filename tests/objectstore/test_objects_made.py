"""Making a log on objects: the store is looked at once, before the log is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from foldlog import UsageError
from foldlog.backends.objectstore import open_url, stores
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.counting import Counted
from foldlog.backends.objectstore.stores.local import LocalObjects
from foldlog.backends.objectstore.stores.probing import probe


class Replacing(LocalObjects):
    """Objects of a store that takes no notice of the condition."""

    def create(self, name: str, data: bytes) -> bool:
        self.put(name, data)
        return True


def test_a_store_that_replaces_what_it_should_create_gets_no_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Replacing(str(tmp_path), url="file:///x")
    monkeypatch.setattr(stores, "open_objects", lambda url, *, create: objects)
    with pytest.raises(UsageError, match="is no place for a log") as raised:
        open_url("file:///x")
    assert "sqlite:///" in raised.value.remedy
    assert not objects.list("")


def test_a_log_that_is_there_is_opened_without_a_write(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/log"
    open_url(url).close()
    counted = Counted(stores.open_objects(url, create=False))
    backend = ObjectBackend(counted, check=probe)
    backend.close()
    assert counted.requests["create"] == counted.requests["put"] == 0


def test_a_log_that_is_not_there_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no log at") as raised:
        open_url(f"file://{tmp_path}", read_only=True)
    assert raised.value.remedy == "Correct the URL, or open the log for writing once."
    assert not list(tmp_path.iterdir())
