"""Interrupts (Ctrl-C, SIGTERM) while this process works on a run: noted while foldlog is at its own work, let through
in code of users and in waits.

Promises: inside `held`, an interrupt is raised by `check` and inside `let_through` only, so what lies between is done
as a whole. While one is being handled, the next waits for such a place too, and cuts short a wait of more than
`SLICE_S`; the third is raised at once, wherever it comes. Costs no system call a step.

Only Python's own handler of SIGINT, and those that are named, are held back: a program that has its own is not
meddled with. Code of a step that looks for Python's own, as asyncio does for an orderly cancel, finds this one, and
gets its KeyboardInterrupt raised where it is.
Not here: what is recorded of an interrupt (engine/execution/).
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, TypeVar

Handler = Callable[[int, FrameType | None], Any]
A = TypeVar("A")

SLICE_S = 1.0  #: a wait that is shielded looks this often whether somebody wants out of it
AT_ONCE = 3  #: the interrupt of this number is raised wherever it comes

_SIGNALS: tuple[int, ...] = (signal.SIGTERM, signal.SIGINT)


class _Gate:
    """The handler of both signals, and what it has noted. Of the main thread: only there do handlers run."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.is_open = True
        self.is_shielded = False  #: waits are not let out of, either
        self.is_handling = False  #: an interrupt was raised, and is being recorded
        self.noted: list[int] = []
        self.before: dict[int, Handler] = {}

    def take(self, number: int, frame: FrameType | None) -> None:
        if self.is_open:
            self.before[number](number, frame)
            return
        self.noted.append(number)
        if self.level() >= AT_ONCE:
            self.deliver()

    def level(self) -> int:
        """How often somebody has asked for an end, as far as it has not been raised and dealt with."""
        return self.is_handling + max(map(self.noted.count, self.noted), default=0)

    def deliver(self) -> None:
        """Raise what was noted: the first, with a note of the other."""
        numbers, self.noted = self.noted, []
        raised: list[BaseException] = []
        for number in dict.fromkeys(numbers):
            try:
                self.before[number](number, None)
            except BaseException as interrupt:  # each handler has its turn
                raised.append(interrupt)
        for other in raised[1:]:
            raised[0].add_note(f"and {type(other).__name__}: {other}")
        if raised:
            raise raised[0]


_gate: _Gate | None = None


def _mine() -> _Gate | None:
    """The gate, in the thread that it is of."""
    gate = _gate
    return gate if gate is not None and gate.thread == threading.get_ident() else None


@contextmanager
def held(also: Collection[Handler] = ()) -> Iterator[None]:
    """Inside, interrupts are noted, and raised at the end at the latest. `also`: handlers to hold back beside Python's
    own of SIGINT; each raises something. May be nested: of a run within a step of another."""
    gate = _mine()
    if gate is not None:
        state = gate.is_open, gate.is_shielded, gate.is_handling
        gate.is_open = gate.is_shielded = gate.is_handling = False
        try:
            yield
        finally:
            gate.is_open, gate.is_shielded, gate.is_handling = state
            if gate.is_open and gate.noted:
                gate.deliver()
        return
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers are the main thread's, and so are interrupts
        return
    with _installed((signal.default_int_handler, *also)):
        yield


@contextmanager
def _installed(theirs: Collection[Any]) -> Iterator[None]:
    global _gate
    gate = _Gate()
    for number in _SIGNALS:
        if (handler := signal.getsignal(number)) in theirs and callable(handler):
            gate.before[number] = handler
    try:
        _gate = gate
        for number in gate.before:
            signal.signal(number, gate.take)
        gate.is_open = False
        yield
    finally:
        gate.is_open = False
        _gate = None
        came = _put_back(gate)
        if gate.noted:
            gate.deliver()
        if came is not None:
            raise came


def _put_back(gate: _Gate) -> BaseException | None:
    """Put the handlers back. From the first on, an interrupt is raised where it comes: it must not keep the other from
    being put back. Returns it."""
    came: BaseException | None = None
    for _ in range(3):
        try:
            for number, handler in gate.before.items():
                if signal.getsignal(number) == gate.take:  # else code of a user has put its own there
                    signal.signal(number, handler)
            break
        except BaseException as interrupt:
            came = interrupt
    return came


class let_through:
    """Inside, interrupts are raised as they come; those that were noted, on entry."""

    __slots__ = ("_gate", "_was_open")

    def __enter__(self) -> None:
        self._gate = gate = _mine()
        if gate is None:
            return
        self._was_open = gate.is_open
        gate.is_open = True
        if gate.noted:  # looked at only now: one that comes before this line is raised by the handler
            gate.is_open = self._was_open
            gate.deliver()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._gate is not None:
            self._gate.is_open = self._was_open


@contextmanager
def shielded() -> Iterator[None]:
    """Inside, waits are not let out of either, unless somebody insists: for the append that creates or ends a run."""
    gate = _mine()
    if gate is None:
        yield
        return
    was = gate.is_shielded
    gate.is_open, gate.is_shielded = False, True
    try:
        yield
    finally:
        gate.is_shielded = was


def check() -> None:
    """Raise what was noted."""
    gate = _gate
    if gate is not None and gate.noted and gate.thread == threading.get_ident():
        gate.deliver()


def handled(error: BaseException) -> None:
    """Say that `error` is being dealt with. First in whatever catches interrupts: another one waits from here on."""
    gate = _mine()
    if gate is not None:
        gate.is_open = False
        gate.is_handling = gate.is_handling or not isinstance(error, Exception)


def result_of(future: Future[A]) -> A:
    """Wait for the result."""
    gate = _mine()
    if gate is None or not gate.is_shielded:
        with let_through():
            return future.result()
    while not future.done():
        wait([future], timeout=SLICE_S)
        _give_way(gate, future.done())
    return future.result()


def sleep(seconds: float) -> None:
    """Wait so long."""
    gate = _mine()
    if gate is None or not gate.is_shielded:
        with let_through():
            time.sleep(seconds)
        return
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, SLICE_S))
        _give_way(gate, False)


def _give_way(gate: _Gate, is_done: bool) -> None:
    if gate.noted and not is_done and gate.level() >= AT_ONCE - 1:
        gate.deliver()
