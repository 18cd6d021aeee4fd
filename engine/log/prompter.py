"""Sequencing at once, for those who follow the log elsewhere.

Promises: while somebody waits for the timeline to grow (`CanPrompt`), what this process appends gets its position soon,
one pass per `pass_s` of the backend at most; while nobody does, an append costs nothing, and a busy process asks once a
second. Not here: positions themselves (sequencer.py); a reader that comes gives them in any case.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable

from ..errors import FoldlogError
from .port import CanPrompt

LOOK_S = 1.0  #: between two looks whether anybody follows
SOON_S = 0.25  #: where a pass may become due


class Prompter:
    """One thread, made with the first append. `appended` may be called from any thread."""

    def __init__(self, backend: CanPrompt, catch_up: Callable[[], object]) -> None:
        self._backend = backend
        self._catch_up = catch_up
        self._news = threading.Event()
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0

    def appended(self) -> None:
        """Something was appended and acknowledged."""
        if self._pid != os.getpid():  # none yet, or in a process that this one was forked from
            self._start()
        self._news.set()

    def _start(self) -> None:
        with self._lock:
            if self._pid != os.getpid() and not self._closed.is_set():
                self._pid = os.getpid()
                self._thread = threading.Thread(target=self._run, name="foldlog-prompter", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        followed: bool | None = False
        looked = 0.0
        while not self._closed.is_set():
            self._news.wait()
            if self._closed.is_set():
                return
            try:
                self._news.clear()
                if followed is None or time.monotonic() - looked >= LOOK_S:
                    followed, looked = self._backend.is_followed(), time.monotonic()
                if followed is None:
                    self._news.set()
                elif followed:
                    self._catch_up()
            except FoldlogError:
                # The store is away, or the log was closed. Nothing is lost: whoever reads next sequences.
                followed = False
            except Exception:  # unforeseen; ended by it, the thread would leave followers to their polling for good
                followed = False
                logging.getLogger("foldlog").warning("could not sequence for those who follow", exc_info=True)
            self._closed.wait(SOON_S if followed is None else self._backend.pass_s if followed else LOOK_S)

    def close(self) -> None:
        """End the thread. Idempotent."""
        self._closed.set()
        self._news.set()
        if self._thread is not None and self._pid == os.getpid():
            self._thread.join()
