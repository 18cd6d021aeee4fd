"""Several requests of a store at once: a request is mostly waiting."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from ...sql.forked import begin_anew_in_children
from .port import Objects

T = TypeVar("T")

THREADS = 32  #: requests at once, of one `Parallel`


class _Call(Generic[T]):
    """One call: what it gave or raised, once it is done."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._done = threading.Event()
        self.error: BaseException | None = None
        self.given: T

    def run(self) -> None:
        try:
            self.given = self._call()
        except BaseException as error:  # told to who waits
            self.error = error
        finally:
            self._done.set()

    def wait(self) -> None:
        self._done.wait()


class _Pool:
    """Threads that take calls from one queue."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: SimpleQueue[_Call[Any] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._under_way = 0  #: calls that wait or run

    def hand_out(self, calls: Sequence[_Call[Any]]) -> None:
        with self._lock:
            self._under_way += len(calls)
            while self._threads < min(self._most, self._under_way):
                threading.Thread(target=self._work, name="foldlog-objects", daemon=True).start()
                self._threads += 1
            for call in calls:
                self._queue.put(call)

    def end(self) -> None:
        """Each thread ends, once the calls before this one are done."""
        with self._lock:
            for _ in range(self._threads):
                self._queue.put(None)
            self._threads = 0  # who still hands out calls to this pool gets threads for them

    def _work(self) -> None:
        while (call := self._queue.get()) is not None:
            call.run()
            del call  # what it gave is not held until the next one comes
            with self._lock:
                self._under_way -= 1


class Parallel:
    """Runs calls side by side, in threads that are made when they are first needed and that no exit waits for.

    Not of concurrent.futures, whose threads the interpreter joins at its end, however long a store takes to answer.
    A call must not use the `Parallel` that it runs in: with all threads waiting for others, none would be left.
    """

    def __init__(self, threads: int = THREADS) -> None:
        self._most = threads
        self._pool = _Pool(threads)
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """The threads stayed with the parent."""
        self._pool = _Pool(self._most)

    def run(self, calls: Sequence[Callable[[], T]]) -> list[T]:
        """What the calls give, in their order. All have ended when it returns, or raises the first's error.

        The first runs in the caller's thread: alone, it costs nothing more.
        """
        if len(calls) == 1:
            return [calls[0]()]
        all_calls = [_Call(call) for call in calls]
        self._pool.hand_out(all_calls[1:])
        for own in all_calls[:1]:
            own.run()
        for other in all_calls[1:]:
            other.wait()
        for one in all_calls:
            if one.error is not None:
                raise one.error
        return [one.given for one in all_calls]

    def close(self) -> None:
        """End the threads, each after its call. The next `run` makes new ones."""
        pool, self._pool = self._pool, _Pool(self._most)
        pool.end()


def get_many(
    objects: Objects, names: Sequence[str], parallel: Parallel, *, end: int | None = None, at_once: int = THREADS
) -> list[bytes | None]:
    """Objects by name, as `Objects.get` gives each, up to byte `end`; at most `at_once` are asked for at a time."""
    found: list[bytes | None] = [None] * len(names)
    left = deque(enumerate(names))

    def work() -> None:
        while True:
            try:
                number, name = left.popleft()
            except IndexError:
                return
            try:
                found[number] = objects.get(name, end=end)
            except BaseException:
                left.clear()  # the others need not go on
                raise

    parallel.run([work] * min(at_once, len(names)))
    return found
