"""Files that are kept beside a log: whole or not at all, never replaced, listed by name."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from ..engine.log.port import Backend, CanKeep
from .store import Store, SuiteBase, an_append


def keeping(backend: Backend) -> CanKeep:
    """The backend, if it keeps files."""
    if not isinstance(backend, CanKeep):
        pytest.skip("this backend keeps no files beside the log")
    return backend


class KeepingTests(SuiteBase):
    def test_a_file_is_kept_as_it_is(self, store: Store) -> None:
        """All bytes of it, for every handle, those that only read among them; beside a log that nothing is seen of."""
        backend = store.open()
        content = {"views/1/a": b"a", "views/1/b.parts/000000": bytes(range(256)) * 5000, "views/1/b-c_d=e@f~": b"\n"}
        for name, data in content.items():
            assert keeping(backend).keep(name, data)
        assert backend.head().position == 0
        assert backend.shards(after="", limit=9) == []
        handles = [*store.and_reopened(backend), store.open(read_only=True)]
        for handle in handles[1:]:
            files = keeping(handle)
            assert {name: files.fetch(name) for name in content} == content
            assert [(one.name, one.size) for one in files.kept("views/")] == sorted(
                (name, len(data)) for name, data in content.items()
            )
            assert [one.name for one in files.kept("views/1/b.parts/")] == ["views/1/b.parts/000000"]

    def test_what_is_not_there_is_none(self, backend: Backend) -> None:
        """Neither to fetch, nor in a list, nor to drop."""
        files = keeping(backend)
        assert files.keep("views/1/a", b"a")
        assert files.fetch("views/1") is None
        assert files.fetch("views/1/ab") is None
        assert files.kept("view/") == files.kept("views/2/") == []
        files.drop(["views/1/b"])
        files.drop([])
        assert files.fetch("views/1/a") == b"a"

    def test_a_file_is_never_replaced(self, backend: Backend) -> None:
        """Who comes second is told so, and changes nothing; once it is dropped, the name is free."""
        files = keeping(backend)
        with ThreadPoolExecutor(4) as pool:
            told = list(pool.map(lambda number: files.keep("views/1/a", b"%d" % number * 1000), range(4)))
        assert told.count(True) == 1
        assert files.fetch("views/1/a") == b"%d" % told.index(True) * 1000
        assert not files.keep("views/1/a", b"other")
        files.drop(["views/1/a", "views/1/b"])
        assert files.fetch("views/1/a") is None
        assert files.kept("views/1/") == []
        assert files.keep("views/1/a", b"other")
        assert files.fetch("views/1/a") == b"other"

    def test_files_tell_when_they_were_written(self, backend: Backend) -> None:
        """By one clock, within its resolution."""
        files = keeping(backend)
        for number in range(3):
            files.keep(f"views/{number}", b"a")
        times = [one.modified_us for one in files.kept("views/")]
        assert times == sorted(times)
        assert times[0] > 1_500_000_000_000_000

    def test_files_are_no_part_of_the_log(self, backend: Backend) -> None:
        """Appended to, it holds what was appended."""
        files = keeping(backend)
        files.keep("views/1/a", b"a")
        backend.append(an_append("run-1", b"x"))
        files.drop(["views/1/a"])
        stored = backend.read_shard("run-1", after_seq=0, limit=9, types=None, newest_first=False)
        assert [one.record.body for one in stored if one.record] == [b"x"]
