"""Who appends, and what has been appended and not yet placed: the two kinds of small objects that tell.

A writer registers once, then numbers its markers from 1 on, each made only when it is known what became of the one
before. A marker names the segments it announces and is put side by side with them; an append is acknowledged when both
are there. Whoever shuts the gate puts a guard in the next number of every registered writer: the writer's next marker
finds its place taken, and its append is none. So the gate shuts without any clock.

A marker may be deleted only once the order has noted its number (`State.writers`): else the guard could be put below
the number that the writer has reached. Not here: when the gate shuts (gate.py).
"""

from __future__ import annotations

import os
import secrets
import struct
import threading
import time
import zlib
from collections.abc import Sequence
from typing import Final

import msgpack

from ...engine.log.port import GateState, refusal
from . import names
from .clock import elapsed_s
from .order_log import OrderLog
from .segment import damaged

AGE_S: Final = 12 * 3600.0  #: after which a writer registers anew; registrations are reaped after two days
_MARKER: Final = b"foldmrk1"
GUARD: Final = b"foldgrd1"
_CRC: Final = struct.Struct(">I")
_WRITER: Final = b"foldwri1"

Entry = tuple[str, int, int]  #: shard, first and last seq of a segment


def encode(entries: Sequence[Entry], nonce: bytes) -> bytes:
    body: bytes = _MARKER + msgpack.packb([nonce, [list(entry) for entry in entries]])
    return body + _CRC.pack(zlib.crc32(body))


def decode(data: bytes, name: str) -> list[Entry]:
    """What a marker announces; a guard announces nothing. Raises CorruptLogError for anything else."""
    if data.startswith(GUARD):
        return []
    try:
        if not data.startswith(_MARKER):
            raise ValueError("its beginning is altered")
        if _CRC.unpack(data[-4:])[0] != zlib.crc32(data[:-4]):
            raise ValueError("it is torn, or its bytes are altered")
        return [(shard, first, last) for shard, first, last in msgpack.unpackb(data[8:-4])[1]]
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise damaged(name, f"it is no marker: {error}") from error


def guard() -> bytes:
    return GUARD + secrets.token_bytes(8)


class Lane:
    """One registered writer."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.n = 0  #: the last number it has used
        self.since = elapsed_s()


class Writers:
    """The writers of one handle: a lane for each group of appends that is under way. Thread-safe."""

    def __init__(self, order: OrderLog, url: str) -> None:
        self._order = order
        self._url = url
        self._lock = threading.Lock()
        self._free: list[Lane] = []
        self._pid = os.getpid()

    def take(self) -> Lane:
        """A lane, registered. Raises LogMoved behind a gate that is not open."""
        with self._lock:
            if self._pid != os.getpid():  # those of the parent go on there
                self._free, self._pid = [], os.getpid()
            lane = self._free.pop() if self._free else None
        if lane is not None and elapsed_s() - lane.since < AGE_S:
            self._check_gate()
            return lane
        return self._register()

    def give_back(self, lane: Lane) -> None:
        """Of a lane whose last marker is known to be there, or not to be."""
        with self._lock:
            self._free.append(lane)

    def announce(self, lane: Lane, entries: Sequence[Entry]) -> bool:
        """Put a marker. False if a guard stands in its place, or it is too old. Raises UnavailableError if nothing is
        known: then the lane must not be used again."""
        objects = self._order.objects
        if elapsed_s() - lane.since >= AGE_S:  # it slept since it was taken: its guard may be gone again
            return False
        name, data = names.marker(lane.id, lane.n + 1), encode(entries, secrets.token_bytes(8))
        if not objects.create(name, data):
            found = objects.get(name)
            # Gone again: it was this one, its reply was lost, and it has been placed and noted meanwhile.
            if found is not None and found != data:
                return False
        lane.n += 1
        return True

    def close(self) -> None:
        """Take the registrations away: nothing is under way in these lanes."""
        with self._lock:
            gone, self._free = self._free, []
        if gone and self._pid == os.getpid():
            self._order.objects.delete([names.writer(lane.id) for lane in gone])

    def _register(self) -> Lane:
        lane = Lane(secrets.token_hex(8))
        self._order.objects.create(
            names.writer(lane.id), _WRITER + msgpack.packb([os.getpid(), time.time_ns() // 1000])
        )
        # Looked at after the registration is there: who shuts the gate lists the writers after it has said so.
        self._order.refresh()
        try:
            self._check_gate()
        except BaseException:
            self.give_back(lane)
            raise
        return lane

    def _check_gate(self) -> None:
        """Raise LogMoved if the gate is not open; looked at anew before that is said."""
        order = self._order
        for looked in (False, True):
            with order.lock:
                gate = order.state.closing or order.state.gate
            if gate.state is GateState.OPEN:
                return
            if not looked:
                order.refresh()
        raise refusal(self._url, gate)
