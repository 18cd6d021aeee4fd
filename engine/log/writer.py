"""Group commit: many small appends of one process, few commits.

Promises: every append keeps its own receipt; a conflict fails that append alone; after `flush` all is durable or its
failure was raised; nothing acknowledged is lost; an append that is to come `after` another is not recorded without it.
There is no fixed window: while one commit is in flight, the next group gathers. Not here: encoding and checks
(EventLog.prepare, in the caller's thread), one commit for several appends (the backend's `append_group`).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast
from uuid import UUID

from ..errors import UnavailableError, UsageError
from ..events.event import Event
from .port import ANY, Append, CanGroup, Expected, Outcome, Receipt

if TYPE_CHECKING:
    from .log import EventLog

GROUP = 1000  #: appends in one commit at most

_committing: set[int] = set()  #: threads of writers that are at it


def is_writer_here() -> bool:
    """Whether this thread is one of a writer, at a commit: what it logs must not make another append."""
    return threading.get_ident() in _committing


def is_writer_at_work() -> bool:
    """Whether a writer of this process is at a commit just now."""
    return bool(_committing)


class _Queued(NamedTuple):
    append: Append
    future: Future[Receipt]
    after: Future[Receipt] | None


class EventWriter:
    """Appends from any thread, committed in groups by one thread of its own. Close it, or use it as a context."""

    def __init__(self, log: EventLog, *, max_pending: int) -> None:
        if max_pending < 1:
            raise UsageError(f"max_pending={max_pending}: at least one append must be able to wait")
        self._log = log
        self._can_group = isinstance(log.backend, CanGroup)  # asked once: a look at a protocol takes microseconds
        self._max_pending = max_pending
        self._waiting: deque[_Queued] = deque()
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
        self,
        shard: str,
        events: Sequence[Event[Any]],
        *,
        expected: Expected = ANY,
        key: UUID | None = None,
        after: Future[Receipt] | None = None,
    ) -> Future[Receipt]:
        """Queue an append; the future gives its receipt once it is durable, or the error of `EventLog.append`.

        Appends to one shard are recorded in the order they were queued. Blocks while `max_pending` appends wait, so a
        slow disk slows its writers instead of filling the memory. What can be refused at once is raised here.
        `after`: of an append that was queued here before. If the store gave that no answer, this one is not tried, and
        fails with UnavailableError: repeated later, the two would change places.
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
            self._waiting.append(_Queued(append, future, after))
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
            group = [one for one in taken if one.future.set_running_or_notify_cancel()]
            left = _left_behind(group)
            tried = [one for one in group if one.future not in left] if left else group
            outcomes: list[Outcome] = [_no_answer() for _ in left]
            outcomes += self._commit([one.append for one in tried])
            for future, outcome in zip([*left, *(one.future for one in tried)], outcomes, strict=True):
                _settle(future, outcome)
            with self._lock:
                self._settled += len(taken)
                failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
                self._failure = self._failure or next(iter(failures), None)
                self._change.notify_all()

    def _next_group(self) -> list[_Queued]:
        with self._lock:
            while not self._waiting and not self._closing:
                self._work.wait()
            most = GROUP if self._can_group else 1  # else the next would be tried before it is known that one failed
            group = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
            self._change.notify_all()
        return group

    def _commit(self, appends: list[Append]) -> Sequence[Outcome]:
        if not appends:
            return []
        backend, thread = self._log.backend, threading.get_ident()
        _committing.add(thread)
        try:
            if self._can_group:
                outcomes = cast(CanGroup, backend).append_group(appends)
            else:
                outcomes = [_outcome(backend.append, append) for append in appends]
            self._log.appended()
            return outcomes
        except Exception as error:  # the whole group failed: every caller must learn of it, and the thread goes on
            return [error] * len(appends)
        finally:
            _committing.discard(thread)


def _left_behind(group: Sequence[_Queued]) -> dict[Future[Receipt], None]:
    """Those that are to come after one that got no answer; or after one of these."""
    left: dict[Future[Receipt], None] = {}
    for one in group:
        if one.after is not None and (one.after in left or got_no_answer(one.after)):
            left[one.future] = None
    return left


def got_no_answer(future: Future[Receipt]) -> bool:
    """Whether the append was tried, and the store did not say what became of it."""
    return future.done() and not future.cancelled() and isinstance(future.exception(), UnavailableError)


def _no_answer() -> UnavailableError:
    return UnavailableError("the store gave no answer to an append that comes before this one")


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
