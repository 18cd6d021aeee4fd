"""What an open log asks of a distant store while nothing happens: no write, and few looks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from ...backends.objectstore.stores.counting import Counts
from ...backends.objectstore.stores.memory import MemoryObjects
from .. import subject
from ..contest import Outcome, figure
from ..latency import Latency
from ..servers.appending import expect
from .distant import MONTH_S, Handle, held, opened, puts, told

SECONDS = 20.0
SETTLED_S = 3.0  #: after which what was appended has been given its positions, and was followed
EVENTS = 20


def idle(folder: Path, rounds: int) -> Iterator[Outcome]:
    """A log that has been appended to, and another one that is followed besides; side by side, for 20 seconds."""
    with ExitStack() as stack:
        alone, followed = (stack.enter_context(opened(Latency(MemoryObjects()))) for _ in range(2))
        followers = stack.enter_context(followed.log.follow())
        delivered: list[object] = []
        thread = threading.Thread(target=lambda: delivered.extend(followers), daemon=True)
        thread.start()
        for handle in (alone, followed):
            for number in range(EVENTS):
                handle.log.append("run", [subject.materialization(number)])
        time.sleep(SETTLED_S)
        before = [handle.counted.snapshot() for handle in (alone, followed)]
        time.sleep(SECONDS)
        yield from _told("an open log", alone, before[0])
        yield from _told("an open log with a follower", followed, before[1])
    thread.join()
    expect(len(delivered), EVENTS)


def _told(name: str, handle: Handle, before: Counts) -> Iterator[Outcome]:
    counts = handle.counted.snapshot().since(before)
    written = puts(counts) + counts.delete
    yield held(f"idle, writes in {SECONDS:g} s: {name}", written, "writes", most=0, note=told(counts))
    yield figure(f"idle, a month: {name}", counts.dollars * MONTH_S / SECONDS, "dollars")
