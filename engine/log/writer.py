"""Group commit: many small appends of one process, few commits.

Promises: every append keeps its own receipt; a conflict fails that append alone; after `flush` all is durable or its
failure was raised; nothing acknowledged is lost. There is no fixed window: while one commit is in flight, the next
group gathers. Not here: encoding and checks (EventLog.prepare, in the caller's thread), one commit for several
appends (the backend's `append_group`).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast
from uuid import UUID

from ..errors import UsageError
from ..events.event import Event
from .port import ANY, Append, CanGroup, Expected, Outcome, Receipt

if TYPE_CHECKING:
    from .log import EventLog

GROUP = 1000  #: appends in one commit at most


class EventWriter:
    """Appends from any thread, committed in groups by one thread of its own. Close it, or use it as a context."""

    def __init__(self, log: EventLog, *, max_pending: int) -> None:
        if max_pending < 1:
            raise UsageError(f"max_pending={max_pending}: at least one append must be able to wait")
        self._log = log
        self._can_group = isinstance(log.backend, CanGroup)  # asked once: a look at a protocol takes microseconds
        self._max_pending = max_pending
        self._waiting: deque[tuple[Append, Future[Receipt]]] = deque()
        self._queued = 0  #: appends ever queued
        self._settled = 0  #: of these, how many are durable or have failed
        self._lock = threading.RLock()  #: of the queue and the counts
        # Two conditions: woken for what concerns others, a thread takes the interpreter from them.
        self._work = threading.Condition(self._lock)  #: there is something to write
        self._change = threading.Condition(self._lock)  #: there is room in the queue, or appends were settled
        self._closing = False
        self._pid = os.getpid()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="foldlog-writer", daemon=True)
        self._thread.start()

    def append(
        self, shard: str, events: Sequence[Event[Any]], *, expected: Expected = ANY, key: UUID | None = None
    ) -> Future[Receipt]:
        """Queue an append; the future gives its receipt once it is durable, or the error of `EventLog.append`.

        Appends to one shard are recorded in the order they were queued. Blocks while `max_pending` appends wait, so a
        slow disk slows its writers instead of filling the memory. What can be refused at once is raised here.
        A callback of the future runs in the writer's thread: it must not append or flush, which wait for that thread.
        """
        append = self._log.prepare(shard, events, expected=expected, key=key)
        future: Future[Receipt] = Future()
        self._check_process()
        with self._lock:
            while len(self._waiting) >= self._max_pending and not self._closing:
                self._change.wait()
            if self._closing:
                raise UsageError("the writer is closed")
            self._waiting.append((append, future))
            self._queued += 1
            self._work.notify()
        return future

    def flush(self, timeout: float | None = None) -> None:
        """Wait until all that was queued before is durable. Raises the first failure since the last flush.

        Raises TimeoutError after `timeout` seconds; what was queued is still being written then.
        """
        self._check_process()
        with self._lock:
            target = self._queued  # not "until nothing waits": others may queue faster than that
            if not self._change.wait_for(lambda: self._settled >= target, timeout):
                raise TimeoutError(f"{target - self._settled} appends are not durable yet")
            failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Write what is queued, then end. Raises like `flush`. Idempotent."""
        with self._lock:
            self._closing = True
            self._work.notify()
            self._change.notify_all()
        self._thread.join()
        self.flush()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:  # threads do not live on in a forked child: it would wait for ever
            raise UsageError("the writer was made before this process was forked; open the log in the child")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while taken := self._next_group():
            # An append whose future was cancelled while it waited is not written: nobody would learn of it.
            group = [(append, future) for append, future in taken if future.set_running_or_notify_cancel()]
            outcomes = self._commit([append for append, _ in group])
            for (_, future), outcome in zip(group, outcomes, strict=True):
                _settle(future, outcome)
            with self._lock:
                self._settled += len(taken)
                failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
                self._failure = self._failure or next(iter(failures), None)
                self._change.notify_all()

    def _next_group(self) -> list[tuple[Append, Future[Receipt]]]:
        with self._lock:
            while not self._waiting and not self._closing:
                self._work.wait()
            group = [self._waiting.popleft() for _ in range(min(GROUP, len(self._waiting)))]
            self._change.notify_all()
        return group

    def _commit(self, appends: list[Append]) -> Sequence[Outcome]:
        backend = self._log.backend
        try:
            if self._can_group:
                return cast(CanGroup, backend).append_group(appends)
            return [_outcome(backend.append, append) for append in appends]
        except Exception as error:  # the whole group failed: every caller must learn of it, and the thread goes on
            return [error] * len(appends)


def _outcome(deed: Callable[[Append], Receipt], append: Append) -> Outcome:
    try:
        return deed(append)
    except Exception as error:  # handed to the caller through its future
        return error


def _settle(future: Future[Receipt], outcome: Outcome) -> None:
    if isinstance(outcome, Receipt):
        future.set_result(outcome)
    else:
        future.set_exception(outcome)
