"""Where news is, without asking every open shard: one small file of slots, rung after each commit.

    bytes 0-7    b"foldbell"
    bytes 8-23   the boot of the machine it was last used in
    bytes 24-31  clock offset, microseconds (clock below); 32-39 its complement, to tell that it is whole
    from 64 on   slots of 8 bytes, one an open shard: a token no other ring ever wrote

A writer rings after its commit and before its acknowledgement, so whoever reads the slots sees every acknowledged
append as a token it has not seen. A token tells nothing else: with seqs in the slots, a late ring of a slow writer
would look like old news. Nothing here is durable. A writer may be killed between commit and ring: each holds a lock on
a file in `writers/`, and whoever finds a file nobody holds rings all slots in its stead. After a reboot the boot id
differs, and all slots are rung.

The clock: microseconds since 1970 that never step back on this machine, the same in every process: the kernel's boot
clock plus the shared offset. Timestamps by it order appends that one sequencer pass takes in together; by the wall
clock, a step back would put an append before another that was acknowledged before it began.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import mmap
import os
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from time import clock_gettime_ns

MAGIC = b"foldbell"
HEADER = 64
SLOT = 8
BLOCK = 4096  #: the file grows by this much
_OFFSET_AT = 24
_CHECK_AT = 32
_SCATTER = 0x9E3779B97F4A7C15  # odd, so that no two counts below 2**63 give one token
_POSITIVE = (1 << 63) - 1

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_id() -> bytes:
    """16 bytes that change with each boot of the machine."""
    try:
        text = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:  # no such file outside Linux: the boot's own wall time, to the minute, serves as well
        text = str((time.time_ns() - time.clock_gettime_ns(_BOOT_CLOCK)) // 60_000_000_000)
    return blake2b(text.encode(), digest_size=16).digest()


def boot_us() -> int:
    """Microseconds since the machine's boot, sleep included."""
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1000


def wall_us() -> int:
    return time.time_ns() // 1000


class Doorbell:
    """The open doorbell file of one process."""

    def __init__(
        self,
        path: Path,
        *,
        last_us: Callable[[], int],
        slots: Callable[[], list[int]],
        wall: Callable[[], int] = wall_us,
    ) -> None:
        """`last_us`: the greatest timestamp the order knows; the clock never starts below it. `slots`: those in use,
        all rung at the first opening since the machine's boot, for what the file held then may be lost."""
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._wall = wall
        self._threads = threading.Lock()
        # 31 random bits and a counter: unique over processes and rings, and never negative as SQLite's integers.
        self._tokens = itertools.count(secrets.randbits(31) << 32)
        self._words = memoryview(b"").cast("q")
        try:
            self._start(last_us, slots)
        except BaseException:
            self.close()
            raise

    def ring(self, slot: int) -> None:
        """Tell that the shard of `slot` has news."""
        # Scattered: with bits that differ by one, a damaged bit could make a new token look like one that is settled.
        token = next(self._tokens) * _SCATTER & _POSITIVE
        try:
            self._words[HEADER // SLOT + slot] = token
        except IndexError:
            self._grown(slot)[HEADER // SLOT + slot] = token

    def read(self) -> bytes:
        """The tokens of all slots, 8 bytes each."""
        words = self._words
        if os.fstat(self._handle).st_size > len(words) * SLOT:  # another process needed more slots
            words = self._remap()
        return bytes(words[HEADER // SLOT :])

    def now_us(self) -> int:
        """The shared clock. The offset is read each time: another process may have moved the clock forward, and what
        begins after its append must be stamped by the same clock."""
        return self._words[_OFFSET_AT // SLOT] + clock_gettime_ns(_BOOT_CLOCK) // 1000

    def close(self) -> None:
        if self._handle >= 0:
            self._words = memoryview(b"").cast("q")
            os.close(self._handle)
            self._handle = -1

    def _grown(self, slot: int) -> memoryview:
        """A map with room for a slot. The file only ever grows: another process may have it mapped."""
        with self._alone():
            size = HEADER + SLOT * (slot + 1)
            self._extend(-(-size // BLOCK) * BLOCK)
            return self._remap()

    def _extend(self, size: int) -> None:
        """Written, not only made longer: storing to a mapped hole kills the process when the disk is full."""
        now = os.fstat(self._handle).st_size
        if now < size:
            os.pwrite(self._handle, bytes(size - now), now)

    def _remap(self) -> memoryview:
        """Map the file as long as it is, and return that map: another thread that looked at its length before may put
        a shorter one in its place at once. The old map is left to those who are just using it."""
        words = memoryview(mmap.mmap(self._handle, os.fstat(self._handle).st_size // SLOT * SLOT)).cast("q")
        self._words = words
        return words

    @contextmanager
    def _alone(self) -> Iterator[None]:
        # The lock of the file keeps processes out, but not threads: one would zero what another has just rung.
        with self._threads:
            fcntl.flock(self._handle, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._handle, fcntl.LOCK_UN)

    def _start(self, last_us: Callable[[], int], slots: Callable[[], list[int]]) -> None:
        """Map the file and set the clock. The header is written last: killed before, the next process does it all."""
        with self._alone():
            self._extend(BLOCK)
            self._remap()
            header = bytes(self._words[: HEADER // SLOT])
            offset = max(self._wall(), last_us() + 1) - boot_us()
            if header[:8] == MAGIC and header[8:24] == boot_id() and self._offset_is_whole():
                # Only ever forward: a wall clock stepped back must not take the other processes with it.
                offset = max(offset, self._words[_OFFSET_AT // SLOT])
                self._words[_OFFSET_AT // SLOT], self._words[_CHECK_AT // SLOT] = offset, ~offset
                return
        for slot in slots():
            self.ring(slot)
        with self._alone():
            os.pwrite(self._handle, struct.pack("<8s16sqq24x", MAGIC, boot_id(), offset, ~offset), 0)

    def _offset_is_whole(self) -> bool:
        """Whether the clock's offset is as it was written; a damaged one could set the clock centuries ahead."""
        return self._words[_OFFSET_AT // SLOT] == ~self._words[_CHECK_AT // SLOT]


class Writers:
    """Which processes write here: a locked file each. A lock nobody holds tells of a writer that died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine: tuple[Path, int] | None = None

    def join(self) -> None:
        """Say that this process writes. Durable, so that a power loss is found too."""
        if self._mine is not None:
            return
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(6)}"
        # Locked before it has its name: else another process could take it for a dead writer's in between.
        temporary = self._folder / f".{path.name}"
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(handle, fcntl.LOCK_EX)
        os.rename(temporary, path)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self._mine = (path, handle)

    def leave(self) -> None:
        """Say that this process has rung for all it committed."""
        if self._mine is not None:
            path, handle = self._mine
            path.unlink(missing_ok=True)
            os.close(handle)
            self._mine = None

    def dead(self) -> list[Path]:
        """The files of writers that ended without leaving. Unlink them once all open shards were scanned."""
        return [path for path in self._others() if not self._alive(path)]

    def others_live(self) -> bool:
        """Whether another process writes here."""
        return any(self._alive(path) for path in self._others())

    def _others(self) -> list[Path]:
        try:
            names = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        mine = self._mine[0].name if self._mine else None
        return [self._folder / name for name in names if name != mine and not name.startswith(".")]

    def _alive(self, path: Path) -> bool:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True  # it has left meanwhile, which leaves nothing to look for
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            return True
        else:
            return False
        finally:
            os.close(handle)
