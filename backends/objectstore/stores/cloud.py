"""Objects in a bucket: what the port says, by one conditional request of the store, tried again for a while.

Promises: an error is a foldlog error, and shows no credentials. A request that got no answer is repeated for PATIENCE_S
at most; a create that is repeated may meet its own object, and says that there is one.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from ....engine.errors import FoldlogError, ReadOnlyError, UnavailableError, UsageError, fault
from ....engine.secrecy import VARIABLE, Secrecy
from ...sql.forked import begin_anew_in_children
from .driver import Driver
from .meaning import Meaning, meaning_of
from .names import check_name, check_object, check_prefix
from .port import Found

T = TypeVar("T")

PATIENCE_S = 10.0  #: after this no request is begun again
ANSWER_S = 10.0  #: for an answer, beside the time for its bytes
BYTES_PER_S = 1_000_000  #: of a line that is slow, and not broken
DELETED_PER_S = 100
WHOLE_S = 120.0  #: for an object whose size is not known
CREDENTIALS = f"{VARIABLE} has them, or what the store's package finds by itself."
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


class CloudObjects:
    """Objects below `bucket/prefix`. Nothing is asked of the store before the first use."""

    def __init__(self, url: str, place: str, secrecy: Secrecy, connect: Callable[[], Driver]) -> None:
        self.url = url
        bucket, slash, prefix = place.partition("/")
        self._root = f"{bucket}/{prefix}/" if slash else f"{bucket}/"
        self._cut = len(self._root) - len(bucket) - 1  #: of a path without its bucket, what is not the name
        self._secrecy, self._connect = secrecy, connect
        self._driver: Driver | None = None
        self._lock = threading.Lock()
        begin_anew_in_children(self)

    def begin_anew(self) -> None:
        """The connections are the parent's, and so is the thread that serves them."""
        self._lock = threading.Lock()
        if self._driver is not None:
            self._driver.abandon()
            self._driver = None

    def create(self, name: str, data: bytes) -> bool:
        check_object(name, data)
        return self._write(name, data, create=True)

    def put(self, name: str, data: bytes) -> None:
        check_object(name, data)
        self._write(name, data, create=False)

    def get(self, name: str, *, start: int = 0, end: int | None = None) -> bytes | None:
        check_name(name)
        # A store takes no empty range, and yet is to say whether there is the object.
        behind = end if end is None or end > start else start + 1
        timeout_s = WHOLE_S if end is None else ANSWER_S + max(0, end - start) / BYTES_PER_S

        def read(driver: Driver) -> bytes | None:
            data = driver.read(self._root + name, start, behind, timeout_s=timeout_s)
            return data if behind == end else b""

        return self._tried("read", name, read, {Meaning.MISSING: None, Meaning.EMPTY: b""})

    def list(self, prefix: str) -> list[Found]:
        check_prefix(prefix)
        found = self._tried("list", prefix, lambda driver: driver.find(self._root + prefix, timeout_s=ANSWER_S), {})
        return sorted(Found(one.name[self._cut :], one.size, one.modified_us) for one in found)

    def delete(self, names: Sequence[str]) -> None:
        for name in names:
            check_name(name)
        if names:
            paths = [self._root + name for name in names]
            timeout_s = ANSWER_S + len(names) / DELETED_PER_S
            self._tried("delete", names[0], lambda driver: driver.delete(paths, timeout_s=timeout_s), {})

    def close(self) -> None:
        with self._lock:
            self._driver = None

    def __repr__(self) -> str:
        return f"<CloudObjects {self.url}>"

    def _write(self, name: str, data: bytes, *, create: bool) -> bool:
        timeout_s = ANSWER_S + len(data) / BYTES_PER_S

        def write(driver: Driver) -> bool:
            driver.write(self._root + name, data, create=create, timeout_s=timeout_s)
            return True

        return self._tried("create" if create else "write", name, write, {Meaning.EXISTS: False} if create else {})

    def _tried(self, deed: str, name: str, call: Callable[[Driver], T], answers: Mapping[Meaning, T]) -> T:
        """What a call gives, or the answer that its error is; again and again while the store gives none."""
        began, pause = time.monotonic(), FIRST_PAUSE_S
        while True:
            try:
                return call(self._connected())
            except (FoldlogError, MemoryError):
                raise
            except Exception as error:  # each package has errors of its own
                meaning = meaning_of(error)
                if meaning in answers:
                    return answers[meaning]
                if meaning is not Meaning.AGAIN or time.monotonic() - began + pause > PATIENCE_S:
                    cause = self._secrecy.cause(error)
                    if meaning is Meaning.UNFORESEEN and cause is not None:
                        raise
                    raise self._told(deed, name, meaning, error) from cause
            time.sleep(pause * random.uniform(0.5, 1.0))  # not in step with whoever was turned away as well
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _connected(self) -> Driver:
        driver = self._driver
        if driver is None:
            with self._lock:
                if self._driver is None:
                    self._driver = self._made()
                driver = self._driver
        return driver

    def _made(self) -> Driver:
        try:
            return self._connect()
        except TypeError as error:  # how Python says that there is no such argument
            raise fault(
                f"{self.url}: the store's package takes no such options: {self._secrecy.shown(str(error))}",
                f"Correct {VARIABLE}, a JSON object with the options that the package's own manual has.",
            ) from self._secrecy.cause(error)

    def _told(self, deed: str, name: str, meaning: Meaning, error: Exception) -> FoldlogError:
        problem = f"{self.url}: cannot {deed} {name or 'objects'}"
        text = f"{problem}: {self._secrecy.shown(f'{type(error).__name__}: {error}')}"
        if meaning is Meaning.AGAIN or meaning is Meaning.UNFORESEEN:
            told = UnavailableError(text)
            told.remedy = "Check the network and the store, then repeat the call: what has landed is not written twice."
            return told
        bucket = self._root.partition("/")[0]
        if meaning is Meaning.REFUSED:
            refused = (UsageError if deed in ("read", "list") else ReadOnlyError)(
                f"{problem}: access was refused: {self._secrecy.shown(f'{type(error).__name__}: {error}')}"
            )
            refused.remedy = (
                f"Let these credentials list {bucket!r}, and read, write and delete objects in it; {CREDENTIALS}"
            )
            return refused
        if meaning is Meaning.NOWHERE or meaning is Meaning.MISSING:
            return fault(
                f"{problem}: there is no {bucket!r}",
                f"Make {bucket!r} with the tools of the store, or correct the URL; foldlog makes none.",
            )
        return fault(text, f"Correct the URL or the storage options; {CREDENTIALS}")
