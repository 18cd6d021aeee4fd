"""What is put around a store: counting, probing, requests side by side, faults by a seed."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from faulty import Faulty

from foldlog import UnavailableError, UsageError
from foldlog.backends.objectstore.stores import Found
from foldlog.backends.objectstore.stores.counting import Counted, Counts
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.backends.objectstore.stores.parallel import Parallel, get_many
from foldlog.backends.objectstore.stores.probing import probe
from foldlog.benchmarks.latency import Latency


def test_requests_and_bytes_are_counted():
    objects = Counted(MemoryObjects("memory://"))
    assert objects.url == "memory://"
    assert objects.create("a/1", b"12345") is True
    assert objects.create("a/1", b"12345") is False
    objects.put("a/2", b"123")
    assert objects.get("a/1") == b"12345"
    assert objects.get("a/1", start=1, end=3) == b"23"
    assert objects.get("none") is None
    assert [found.name for found in objects.list("a/")] == ["a/1", "a/2"]
    objects.list("none/")
    objects.delete([])
    before = objects.snapshot()
    objects.delete(["a/1", "a/2"])
    assert objects.requests == {"create": 2, "put": 1, "get": 3, "list": 2, "delete": 1}
    assert (objects.bytes_written, objects.bytes_read) == (13, 7)
    assert objects.dollars == pytest.approx((3 + 2) * 0.005 / 1000 + 3 * 0.0004 / 1000)
    assert objects.snapshot().since(before) == Counts(0, 0, 0, 0, 1, 0, 0)


def test_each_page_counts():
    objects = Counted(MemoryObjects())
    names = [f"a/{number}" for number in range(2001)]
    for name in names:
        objects.put(name, b"x")
    objects.list("")
    objects.delete(names)
    assert (objects.requests["list"], objects.requests["delete"]) == (3, 3)


def test_threads_lose_no_count():
    objects = Counted(MemoryObjects())

    def put() -> None:
        for _ in range(2000):
            objects.put("a", b"xy")

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert objects.requests["put"] == 8000
    assert objects.bytes_written == 16000


# -- probing


class Overwriting(MemoryObjects):
    def create(self, name: str, data: bytes) -> bool:
        self.put(name, data)
        return True


class OverwritingInSilence(MemoryObjects):
    def create(self, name: str, data: bytes) -> bool:
        self.put(name, data)
        return False


class Late(MemoryObjects):
    def list(self, prefix: str) -> Sequence[Found]:  # type: ignore[override]
        return []


class Whole(MemoryObjects):
    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        return super().get(name)


class Keeping(MemoryObjects):
    def delete(self, names: Sequence[str]) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (Overwriting, "it replaces an object that was to be made only if there is none"),
        (OverwritingInSilence, "it replaces an object that was to be made only if there is none"),
        (Late, "an object that was written is not listed"),
        (Whole, "a part of an object is not read as it was written"),
        (Keeping, "an object that was deleted is still read"),
    ],
)
def test_a_store_that_is_unfit_is_refused(kind, problem):
    objects = kind("s3://bucket/x")
    with pytest.raises(UsageError, match=f"s3://bucket/x is no place for a log: {problem}") as caught:
        probe(objects)
    assert "If-None-Match" in caught.value.remedy
    if kind is not Keeping:
        assert MemoryObjects.list(objects, "") == []


def test_a_probe_whose_first_request_is_repeated_is_no_refusal():
    probe(Faulty(MemoryObjects(), 1, chances={"repeated": 1.0}, only=["create"]))


# -- side by side


@pytest.fixture
def parallel() -> Any:
    made = Parallel(threads=4)
    yield made
    made.close()


def test_calls_run_side_by_side_and_answer_in_order(parallel):
    meeting = threading.Barrier(5, timeout=20)  # the caller and four threads: all at once, or never

    def call(number: int) -> int:
        meeting.wait()
        return number

    assert parallel.run([lambda number=number: call(number) for number in range(5)]) == [0, 1, 2, 3, 4]
    assert parallel.run([]) == []


def test_a_call_alone_stays_in_its_thread(parallel):
    assert parallel.run([threading.get_ident]) == [threading.get_ident()]
    first, *others = parallel.run([threading.get_ident, threading.get_ident])
    assert first == threading.get_ident()
    assert others != [first]


def test_all_have_ended_before_the_first_error_is_raised(parallel):
    ended: list[int] = []

    def call(number: int) -> None:
        time.sleep(number * 0.02)
        ended.append(number)
        if number in (0, 2):
            raise ValueError(number)

    with pytest.raises(ValueError, match="0"):
        parallel.run([lambda number=number: call(number) for number in range(5)])
    assert sorted(ended) == [0, 1, 2, 3, 4]


def test_no_more_threads_than_allowed_and_none_after_the_end():
    parallel = Parallel(threads=3)
    seen = set(parallel.run([lambda: (time.sleep(0.002), threading.get_ident())[1] for _ in range(60)]))
    assert len(seen) <= 4
    parallel.close()
    deadline = time.monotonic() + 10
    while any(thread.name == "foldlog-objects" and thread.ident in seen for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert parallel.run([lambda: 1, lambda: 2]) == [1, 2]
    parallel.close()


def test_many_callers_at_once(parallel):
    wrong: list[Any] = []

    def call() -> None:
        for _ in range(100):
            given = parallel.run([lambda number=number: number for number in range(6)])
            if given != [0, 1, 2, 3, 4, 5]:
                wrong.append(given)

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)
    assert wrong == []


def test_a_forked_child_makes_threads_of_its_own(parallel):
    parallel.run([lambda: 1] * 5)
    child = os.fork()
    if child == 0:
        os._exit(7 if parallel.run([lambda: 1, lambda: 2, lambda: 3]) == [1, 2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_the_end_of_a_program_waits_for_no_request():
    program = """
    import threading, time
    from foldlog.backends.objectstore.stores.parallel import Parallel
    begun = threading.Event()
    parallel = Parallel()
    caller = threading.Thread(target=parallel.run, args=([int, lambda: (begun.set(), time.sleep(60))],), daemon=True)
    caller.start()
    begun.wait()
    """
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-P", "-c", textwrap.dedent(program)], timeout=50, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert time.monotonic() - began < 30


def test_many_objects_at_once(parallel):
    objects = MemoryObjects()
    for number in range(0, 50, 2):
        objects.put(f"a/{number}", b"%d" % number)
    found = get_many(objects, [f"a/{number}" for number in range(50)], parallel, at_once=7)
    assert found == [b"%d" % number if number % 2 == 0 else None for number in range(50)]
    assert get_many(objects, [], parallel) == []


def test_of_many_objects_the_first_that_fails_ends_it(parallel):
    objects = Counted(Faulty(MemoryObjects(), 1, chances={"before": 1.0}))
    with pytest.raises(UnavailableError):
        get_many(objects, [f"a/{number}" for number in range(500)], parallel)
    assert objects.requests["get"] < 50


# -- faults and latency


def outcomes(seed: int, **chances: float) -> list[Any]:
    faulty = Faulty(MemoryObjects(), seed, chances=chances, late_s=0.01)
    told: list[Any] = []
    for number in range(60):
        try:
            told.append(faulty.create(f"{number}", b"x"))
        except UnavailableError as error:
            told.append(str(error))
    faulty.settle()
    return [*told, [found.name for found in faulty.objects.list("")]]


def test_faults_are_the_same_in_each_run():
    chances = {"before": 0.2, "after": 0.2, "repeated": 0.2, "late": 0.1}
    assert outcomes(1, **chances) == outcomes(1, **chances)
    assert outcomes(1, **chances) != outcomes(2, **chances)


def test_what_each_fault_leaves():
    assert outcomes(1, before=1.0)[-1] == []
    assert len(outcomes(1, after=1.0)[-1]) == 60
    assert len(outcomes(1, late=1.0)[-1]) == 60
    assert outcomes(1, repeated=1.0)[:60] == [False] * 60
    assert outcomes(1)[:60] == [True] * 60


def test_a_stale_listing_misses_what_is_new():
    faulty = Faulty(MemoryObjects(), 1, chances={}, stale_s=0.2)
    faulty.create("a", b"x")
    assert faulty.list("") == []
    assert faulty.get("a") == b"x"
    time.sleep(0.25)
    assert [found.name for found in faulty.list("")] == ["a"]
    faulty.create("b", b"x")
    faulty.is_calm = True
    assert [found.name for found in faulty.list("")] == ["a", "b"]


def test_latency_is_of_each_request():
    objects = Latency(MemoryObjects("memory://"), put_s=0.02, get_s=0.01)
    began = time.monotonic()
    assert objects.create("a", b"x") is True
    assert objects.get("a") == b"x"
    assert [found.name for found in objects.list("")] == ["a"]
    objects.put("a", b"y")
    objects.delete(["a"])
    assert time.monotonic() - began >= 0.09
    probe(objects)
