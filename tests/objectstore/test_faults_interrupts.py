"""An interrupt at each line that the backend executes in a caller's thread: nobody else is left waiting, nothing that
was acknowledged is lost, and the handle goes on.

In the usual run at some of the lines, under `long` at all of them.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from linecache import getline
from types import FrameType
from typing import Any, Self

import pytest
from hooked import Hooked

from foldlog import UnavailableError
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.log.port import Receipt
from foldlog.testing.store import an_append, bodies, held, put, sequence, timeline


@pytest.fixture(autouse=True)
def ctrl_c_interrupts() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


STEPS = [7, pytest.param(1, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
PART, SERVER = "/backends/objectstore/", "/memory.py"  #: the store stands for a server, which nobody interrupts


class At:
    """Traces the lines of the backend; at the line of a number it interrupts, once."""

    def __init__(self, number: int = 0) -> None:
        self.lines = 0
        self.where = ""
        self._number = number

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        path = frame.f_code.co_filename
        if PART not in path or path.endswith(SERVER):
            return None
        # No signal comes where a block begins, nor where it ends, for which its first line comes once more.
        if event == "line" and not getline(path, frame.f_lineno).lstrip().startswith(("with ", "try:")):
            self.lines += 1
            if self.lines == self._number:
                self.where = f"{path.rpartition('/')[2]}:{frame.f_lineno} {frame.f_code.co_name}"
                raise KeyboardInterrupt
        return self


def interrupted(deed: Callable[[], object], number: int) -> tuple[At, bool]:
    at = At(number)
    sys.settrace(at)
    try:
        deed()
    except KeyboardInterrupt:
        return at, True
    finally:
        sys.settrace(None)
    return at, False


class Place:
    """A log with a few events, and a second handle that has seen them."""

    def __init__(self) -> None:
        self.objects = MemoryObjects("memory:objects")
        self.hold = 0.0  #: seconds that each create takes
        self._made: list[ObjectBackend] = []
        self.backend = self.open()
        for number in range(3):
            put(self.backend, f"run-{number}", b"before")
        sequence(self.backend)
        put(self.backend, "run-0", b"pending")

    def open(self) -> ObjectBackend:
        backend = ObjectBackend(Hooked(self.objects, before=self._hold))
        self._made.append(backend)
        return backend

    def _hold(self, operation: str, name: str) -> None:
        if operation == "create" and self.hold:
            time.sleep(self.hold)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for backend in self._made:
            backend.close()

    def check(self, acknowledged: list[tuple[Receipt, bytes]], where: str) -> None:
        """P1, P2, P3, P5: by this handle and by a new one."""
        put(self.backend, "run-0", b"after")
        for backend in (self.backend, self.open()):
            end = sequence(backend)
            assert [one.position for one in timeline(backend)] == list(range(1, end + 1)), where
            for receipt, body in acknowledged:
                assert bodies(held(backend, receipt.shard))[receipt.first_seq - 1] == body, where
            for shard in ("run-0", "run-1", "run-2", "run-9"):
                stored = held(backend, shard)
                assert [one.seq for one in stored] == list(range(1, len(stored) + 1)), where
                assert len({one.position for one in stored} - {None}) == len(stored), where
        assert bodies(held(self.backend, "run-0"))[-1] == b"after", where


def some_appends(place: Place) -> None:
    place.backend.append_group([an_append("run-0", b"a", key=1), an_append("run-9", b"b"), an_append("run-0", b"c")])


def a_pass(place: Place) -> None:
    sequence(place.backend)


def reads(place: Place) -> None:
    other = place.open()
    put(other, "run-1", b"of another")
    sequence(other)
    timeline(place.backend)
    held(place.backend, "run-1")


def a_new_handle(place: Place) -> None:
    place.backend = place.open()
    put(place.backend, "run-2", b"x", key=5)


def life(place: Place) -> None:
    place.backend.seal("run-1")
    place.backend.fence("run-3")


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("deed", [some_appends, a_pass, reads, a_new_handle, life])
def test_a_handle_goes_on(deed: Callable[[Place], None], step: int) -> None:
    """P1, P2, P3, P5: whatever it was at."""
    with Place() as place:
        total = interrupted(lambda: deed(place), 0)[0].lines
    assert total > 50
    met = 0
    for number in range(1, total + 1, step):
        with Place() as place:
            at, was = interrupted(lambda place=place: deed(place), number)  # type: ignore[misc]
            met += was
            place.check([], f"{number}: {at.where}")
    assert met > len(range(1, total + 1, step)) // 2


@pytest.mark.parametrize("step", STEPS)
def test_nobody_is_left_waiting(step: int) -> None:
    """P1: the main thread is interrupted, where interrupts come; those whose appends went with its own, or wait for its
    shards, get an outcome."""
    with Place() as place:
        total = interrupted(lambda: put(place.backend, "run-0", b"x"), 0)[0].lines
    assert total > 10
    for number in range(1, total + 1, step):
        with Place() as place:
            place.hold = 0.002
            others: list[Any] = []

            def follow(shard: str, place: Place = place, others: list[Any] = others) -> None:
                for _ in range(2):
                    try:
                        others.append((put(place.backend, shard, shard.encode()), shard.encode()))
                    except UnavailableError as error:
                        others.append(error)

            shards = ("run-0", "run-0", "run-9")
            threads = [threading.Thread(target=follow, args=(name,), daemon=True) for name in shards]
            for thread in threads:
                thread.start()
            at, _ = interrupted(lambda place=place: put(place.backend, "run-0", b"main"), number)  # type: ignore[misc]
            for thread in threads:
                thread.join(5)
                assert not thread.is_alive(), f"{number}: {at.where}: somebody waits for ever"
            assert len(others) == 6
            place.check([one for one in others if isinstance(one, tuple)], f"{number}: {at.where}")


def test_a_signal_while_a_request_takes_long() -> None:
    """P1: the caller gets its interrupt at once, and the appends of others that went with it their receipts."""
    with Place() as place:
        place.hold = 0.5
        others: list[Receipt] = []
        thread = threading.Thread(target=lambda: others.append(put(place.backend, "run-0", b"other")), daemon=True)
        timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        thread.start()
        timer.start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            place.backend.append_group([an_append("run-0", b"a"), an_append("run-1", b"b")])
        assert time.monotonic() - began < 0.45
        thread.join(10)
        place.hold = 0
        assert len(others) == 1
        deadline = time.monotonic() + 10
        while place.backend._appender._groups and time.monotonic() < deadline:  # it goes on
            time.sleep(0.01)
        place.check([(others[0], b"other")], "by a signal")
