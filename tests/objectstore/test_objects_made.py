"""A log is made in a store that is a place for one, and nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foldlog import UsageError, open_log
from foldlog.backends.objectstore import stores
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.counting import Counted
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.errors import fault


class Overwriting(MemoryObjects):
    def create(self, name: str, data: bytes) -> bool:
        self.put(name, data)
        return True


class Denying(MemoryObjects):
    """Credentials that may read."""

    def create(self, name: str, data: bytes) -> bool:
        raise fault(f"{self.url}: cannot create {name}: access was refused", "Ask for rights.")

    def delete(self, names: Any) -> None:
        raise fault(f"{self.url}: cannot delete {names[0]}: access was refused", "Ask for rights.")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have URLs open a store of the test's own."""

    def open_instead(objects: Any) -> None:
        monkeypatch.setattr(stores, "open_objects", lambda url, *, create: objects)

    return open_instead


def test_a_store_that_overwrites_is_refused_and_holds_nothing_after(opened: Any) -> None:
    objects = Overwriting("s3://bucket/log")
    opened(objects)
    for _ in range(2):
        with pytest.raises(UsageError, match="s3://bucket/log is no place for a log: it replaces an object") as caught:
            open_log("s3://bucket/log")
        assert "If-None-Match" in caught.value.remedy
        assert objects.list("") == []


def test_a_store_is_tried_once_for_each_log(opened: Any) -> None:
    objects = Counted(MemoryObjects("s3://bucket/log"))
    opened(objects)
    open_log("s3://bucket/log").close()
    made = objects.snapshot()
    assert made.delete == 1
    open_log("s3://bucket/log").close()
    open_log("s3://bucket/log", read_only=True).close()
    since = objects.snapshot().since(made)
    assert (since.create, since.put, since.delete) == (0, 0, 0)
    assert [found.name for found in objects.list("")] == [f"order/{0:020d}"]


def test_who_may_only_read_makes_no_log_and_is_told_the_first_error(opened: Any) -> None:
    opened(Denying("s3://bucket/log"))
    with pytest.raises(UsageError, match=r"cannot create probe/[0-9a-f]+: access was refused"):
        open_log("s3://bucket/log")
    with pytest.raises(UsageError, match="there is no log at s3://bucket/log; open it for writing once to create it"):
        open_log("s3://bucket/log", read_only=True)


def test_who_may_only_read_reads(opened: Any) -> None:
    objects = MemoryObjects("s3://bucket/log")
    backend = ObjectBackend(objects, read_only=False)
    denying = Denying("s3://bucket/log")
    denying._held, denying._names = objects._held, objects._names
    opened(denying)
    with open_log("s3://bucket/log", read_only=True) as log:
        assert log.head().log_id == backend.head().log_id
    with open_log("s3://bucket/log") as log:  # nothing is written by opening what is there
        assert log.head().log_id == backend.head().log_id
    backend.close()


def test_what_the_trial_needs_is_gone_in_a_folder_and_on_s3(
    tmp_path: Path, s3_bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOLDLOG_STORAGE_OPTIONS", json.dumps(s3_bucket.options))
    open_log(f"file://{tmp_path}/log").close()
    assert [path.name for path in (tmp_path / "log").iterdir()] == ["order"]
    open_log(f"{s3_bucket.url}/log").close()
    assert [found.name for found in stores.open_objects(f"{s3_bucket.url}/log", create=False).list("")] == [
        f"order/{0:020d}"
    ]
