"""Positions without a reader: who appends gives them soon, and of many processes one does it for all."""

from __future__ import annotations

import time
from typing import Any

from foldlog import Event
from foldlog.backends.objectstore.backend import ObjectBackend
from foldlog.backends.objectstore.stores.memory import MemoryObjects
from foldlog.engine.events.log import LogMessage
from foldlog.engine.log.log import EventLog
from foldlog.serdes import Codec
from foldlog.testing.store import put, sequence


def test_what_is_appended_gets_positions_by_itself() -> None:
    """P5: followers elsewhere need no pass of their own."""
    objects = MemoryObjects("memory:objects")
    backend = ObjectBackend(objects)
    backend.pass_s = 0.05
    with EventLog(backend, Codec()) as log:
        append = log.prepare("run-1", [_event()])
        backend.append(append)
        log.appended()
        deadline = time.monotonic() + 20
        with_another = ObjectBackend(objects, read_only=True)
        while with_another.head().position < 1:
            assert time.monotonic() < deadline, "nobody gave it a position"
            time.sleep(0.01)


def test_who_has_appended_nothing_has_nothing_to_place() -> None:
    """A pass costs listings: an idle process makes none."""
    backend = ObjectBackend(MemoryObjects("memory:objects"))
    assert backend.is_followed() is False
    put(backend, "run-1", b"a")
    sequence(backend)
    assert backend.is_followed() is False


def test_one_pass_serves_all() -> None:
    """A process whose appends another has placed makes no pass; one whose appends wait is soon to make one."""
    objects = MemoryObjects("memory:objects")
    one, other = ObjectBackend(objects), ObjectBackend(objects)
    one.pass_s = other.pass_s = 0.1
    for turn in range(3):
        put(one, "run-1", b"%d" % turn)
        put(other, "run-2", b"%d" % turn)
    assert (one.is_followed(), other.is_followed()) == (None, None)
    time.sleep(0.11)
    assert one.is_followed() is True
    sequence(one)
    assert other.is_followed() is False
    put(other, "run-2", b"fresh")
    assert other.is_followed() is None


def _event() -> Event[Any]:

    return Event.now(LogMessage(text="a"))
