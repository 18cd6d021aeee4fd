"""What the processes of a run print: captured, kept under a key, read while it is still being written.

A key is a list of names, as a rule [run_id, "compute_logs", file_key]; `step_log_key` puts the attempt into the file
key, so that a retry overwrites nothing.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import IO, Literal, NamedTuple

from ..config.configurable import ConfigurableClass
from ..errors import UsageError
from .following import Poller
from .storage import COMPUTE_LOGS

IoType = Literal["stdout", "stderr"]
IO_TYPES: tuple[IoType, ...] = ("stdout", "stderr")
MAX_BYTES = 4 * 1024 * 1024  #: of each stream, in one answer, unless asked otherwise
MAX_BYTES_LIMIT = 64 * 1024 * 1024

LogKey = Sequence[str]


class LogData(NamedTuple):
    """Part of what was printed. Pass `cursor` to go on behind it."""

    log_key: tuple[str, ...]
    stdout: bytes  #: empty if there is nothing more yet
    stderr: bytes
    cursor: str  #: `stdout:stderr`, bytes read so far


class LogMetadata(NamedTuple):
    """Where people find what was printed; None where nothing is kept."""

    stdout_location: str | None
    stderr_location: str | None


class Subscription:
    """Somebody who is told of what is printed, until it is complete or he leaves. Made by `subscribe`."""

    def __init__(self, log_key: LogKey, callback: Callable[[LogData], None], cursor: str | None) -> None:
        self.log_key = tuple(log_key)
        self.callback = callback
        self.cursor = cursor
        self.is_over = False  #: all was delivered, he left, or the callback raised
        self.lock = threading.RLock()  #: held while he is told


class ComputeLogManager(ConfigurableClass, ABC):
    """Keeps what processes print. Thread-safe. The base class follows a growing log by polling."""

    polling_timeout_s: float = 1.0  #: seconds between two looks for subscribers

    @abstractmethod
    def capture_logs(self, log_key: LogKey) -> AbstractContextManager[LogMetadata]:
        """Keep what this process and its children print while inside; on exit, however it comes, it is complete.

        Captures may be nested: the innermost takes all. The same key again goes on behind what is there.
        """

    @abstractmethod
    def open_log_stream(self, log_key: LogKey, io_type: IoType) -> AbstractContextManager[IO[bytes]]:
        """A stream to write to instead of printing; closing it does not make the log complete."""

    @abstractmethod
    def is_capture_complete(self, log_key: LogKey) -> bool:
        """Whether nothing more is to come. False for a process that was killed: its end is told by its run."""

    @abstractmethod
    def get_log_data(self, log_key: LogKey, cursor: str | None = None, max_bytes: int = MAX_BYTES) -> LogData:
        """What was printed behind `cursor`, from the start without one; of each stream at most `max_bytes`.

        A character of several bytes may be cut at the end; its rest comes next. Raises UsageError for no cursor.
        """

    @abstractmethod
    def get_log_metadata(self, log_key: LogKey) -> LogMetadata:
        """Where people find it."""

    @abstractmethod
    def delete_logs(self, log_key: LogKey | None = None, prefix: LogKey | None = None) -> None:
        """Delete one log, or all whose key begins with `prefix` (whole names). What is not there is no matter.

        Raises UsageError unless exactly one of the two is given.
        """

    def subscribe(
        self, log_key: LogKey, callback: Callable[[LogData], None], *, cursor: str | None = None
    ) -> Subscription:
        """Call `callback`, in a thread of its own, with all that is printed behind `cursor`, until it is complete."""
        check_key(log_key)
        read_cursor(cursor)
        subscription = Subscription(log_key, callback, cursor)
        self._poller.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Tell him nothing more. A call that is under way ends first, unless it is the one that asks. Idempotent."""
        self._poller.remove(subscription)

    def close(self) -> None:
        """End all subscriptions. Idempotent."""
        self._poller.close()

    @property
    def _poller(self) -> Poller:
        # In one step, for two threads may ask at once; here and not in __init__, which a subclass may forget to call.
        poller: Poller = self.__dict__.setdefault("_follower", Poller(self))
        return poller


def step_log_key(run_id: str, step_key: str, attempt: int = 1) -> tuple[str, str, str]:
    """The key of what one attempt at a step prints."""
    if attempt < 1:
        raise UsageError(f"attempt={attempt}: the first is 1")
    return (run_id, COMPUTE_LOGS, f"{step_key}-{attempt}")


def read_cursor(cursor: str | None) -> tuple[int, int]:
    """The bytes read of stdout and of stderr."""
    out, colon, err = (cursor or "0:0").partition(":")
    if not (colon and out.isascii() and err.isascii() and out.isdigit() and err.isdigit()):
        raise UsageError(f"{cursor!r} is no cursor of a compute log; those are stdout:stderr in bytes, as '0:0'")
    return int(out), int(err)


def check_max_bytes(max_bytes: int) -> None:
    """Raise UsageError for more than an answer may have."""
    if not 0 < max_bytes <= MAX_BYTES_LIMIT:
        raise UsageError(f"max_bytes={max_bytes} is out of range: 1 to {MAX_BYTES_LIMIT:,}")


def check_key(log_key: LogKey) -> None:
    """Raise UsageError for what is no key."""
    if isinstance(log_key, str) or not log_key:
        raise UsageError(f"{log_key!r} is no key of a compute log; those are lists, as [run_id, 'compute_logs', name]")


def check_one(log_key: LogKey | None, prefix: LogKey | None) -> None:
    """Raise UsageError unless just one of the two says what to delete."""
    if (log_key is None) == (prefix is None):
        raise UsageError("delete_logs takes a log_key or a prefix, one of them")
    check_key(log_key if log_key is not None else prefix or ())
